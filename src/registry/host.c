/* SPDX-License-Identifier: Apache-2.0 */
/* What is learned of a host, kept under one lock; see host.h. */
#include "registry/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "http/retry.h"
#include "http/url.h"
#include "registry/hint.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/map.h"

#define ATTEMPTS_DEFAULT 5
#define RETRY_BASE_MS 500
#define RETRY_CAP_MS 30000

void demand_done(struct demand *d)
{
	free(d->realm);
	free(d->service);
	*d = (struct demand){.known = false};
}

int demand_copy(const struct demand *d, struct demand *ret)
{
	struct demand copy = {.known = d->known, .scheme = d->scheme};

	if (d->realm)
		copy.realm = strdup(d->realm);
	if (d->service)
		copy.service = strdup(d->service);
	if ((d->realm && !copy.realm) || (d->service && !copy.service)) {
		demand_done(&copy);
		return -ENOMEM;
	}
	demand_done(ret);
	*ret = copy;
	return 0;
}

int registry_conf(struct registry *r, const struct host_conf **ret)
{
	int ret_code = 0;

	autolock(&r->lock);
	if (!r->has_conf) {
		ret_code = r->endpoint ? hosts_endpoint(r->cfg->hosts,
							r->endpoint, &r->conf)
				       : hosts_find(r->cfg->hosts, r->host,
						    &r->conf);
		if (ret_code < 0)
			return ret_code == -ENOMEM ? ret_code : -EIO;
		r->has_conf = true;
		/* Nobody has asked for an origin before this. */
		r->wire.origins.home = &r->conf;
	}
	*ret = &r->conf;
	return 0;
}

void registry_policy(const struct registry *r, struct retry_policy *ret)
{
	const struct registries_config *cfg = r->cfg;

	ret->attempts = cfg->retries ? cfg->retries : ATTEMPTS_DEFAULT;
	ret->base_ms =
		cfg->times.retry_base ? cfg->times.retry_base : RETRY_BASE_MS;
	ret->cap_ms =
		cfg->times.retry_cap ? cfg->times.retry_cap : RETRY_CAP_MS;
}

int registry_base(struct registry *r, char **ret)
{
	const struct host_conf *conf;
	bool https;
	int ret_code = registry_conf(r, &conf);

	if (ret_code < 0)
		return ret_code;
	pthread_mutex_lock(&r->lock);
	https = conf->try_https_first ? r->scheme != SCHEME_HTTP
				      : !conf->plain_http;
	pthread_mutex_unlock(&r->lock);
	*ret = str_printf("%s://%s", https ? "https" : "http", conf->api_host);
	return *ret ? 0 : -ENOMEM;
}

int registry_url(struct registry *r, const char *base, const char *path,
		 char **ret)
{
	const struct host_conf *conf;
	autofree char *url = NULL;
	int ret_code = registry_conf(r, &conf);

	if (ret_code < 0)
		return ret_code;
	if (conf->path && str_prefix(path, "/v2/"))
		url = str_printf("%s%s%s", base, conf->path, path + 3);
	else
		url = str_printf("%s%s", base, path);
	if (!url)
		return -ENOMEM;
	if (r->endpoint && r->endpoint->ns)
		ret_code = url_add_query(
			&url, "ns", r->stands_for ? r->stands_for : r->name);
	if (ret_code == 0)
		*ret = steal(&url);
	return ret_code;
}

/* Of Docker Hub and those who do as it does. */
static void note_rate(struct registry *r, const struct http_head *head)
{
	const char *limit = http_header(head, "ratelimit-limit");
	const char *left = http_header(head, "ratelimit-remaining");
	struct rate rate = {.known = true};
	uint64_t window;

	if (!limit || !left ||
	    header_parse_ratelimit(limit, &rate.limit, &rate.window_s) < 0 ||
	    header_parse_ratelimit(left, &rate.remaining, &window) < 0)
		return;
	rate.seen_ms = clock_ms();
	r->rate = rate;
}

void registry_note_head(struct registry *r, const char *url,
			const struct http_head *head)
{
	const char *version =
		http_header(head, "docker-distribution-api-version");

	autolock(&r->lock);
	r->scheme = str_prefix(url, "https:") ? SCHEME_HTTPS : SCHEME_HTTP;
	if (head->peer != HTTP_PEER_ANY)
		r->peer = head->peer;
	/* Bulk goes by HTTP/1.1 on purpose. */
	r->http2 |= head->http2;
	if (version) {
		fault_copy(r->api_version, sizeof(r->api_version), version);
		r->speaks = true;
	}
	note_rate(r, head);
}

/*
 * A host may want Basic for its catalogue and tokens for all else (Harbor).
 * The first word counts for what is sent unasked; the rest is per call.
 */
void registry_set_demand(struct registry *r, const struct demand *d)
{
	autolock(&r->lock);
	r->speaks = true;
	if (!r->demand.known || r->demand.scheme == d->scheme ||
	    r->demand.scheme == CHALLENGE_OTHER)
		demand_copy(d, &r->demand);
}

void registry_forget_demand(struct registry *r)
{
	autolock(&r->lock);
	demand_done(&r->demand);
}

int registry_copy_demand(struct registry *r, struct demand *ret)
{
	autolock(&r->lock);
	return demand_copy(&r->demand, ret);
}

int registry_scope(struct registry *r, const char *own, char **ret)
{
	const char *merged;

	autolock(&r->lock);
	merged = map_find(r->scopes, own);
	*ret = strdup(merged ? merged : own);
	return *ret ? 0 : -ENOMEM;
}

void registry_keep_scope(struct registry *r, const char *own,
			 const char *merged)
{
	void *copy, *old = NULL;

	autolock(&r->lock);
	if (map_len(r->scopes) >= REGISTRY_SCOPES_MAX)
		return;
	copy = strdup(merged);
	if (copy && map_put(r->scopes, own, copy, &old) < 0)
		old = copy;
	free(old);
}

bool registry_speaks(struct registry *r)
{
	autolock(&r->lock);
	return r->speaks;
}

enum support registry_referrers(struct registry *r)
{
	autolock(&r->lock);
	return r->referrers;
}

void registry_set_referrers(struct registry *r, enum support s)
{
	autolock(&r->lock);
	r->referrers = s;
}

enum support registry_catalog(struct registry *r)
{
	autolock(&r->lock);
	if (r->catalog == SUPPORT_NO && clock_ms() >= r->catalog_until_ms)
		r->catalog = SUPPORT_UNKNOWN;
	return r->catalog;
}

void registry_set_catalog(struct registry *r, enum support s)
{
	autolock(&r->lock);
	r->catalog = s;
	r->catalog_until_ms = clock_ms() + REGISTRY_NO_LIST_MS;
}

void registry_set_no_ranges(struct registry *r)
{
	autolock(&r->lock);
	r->no_ranges = true;
}

/* As the tree calls it; NULL: so it does. */
static char *object_here(const struct registry *r, const char *object)
{
	size_t n = r->there ? strlen(r->there) : 0;
	const char *rest = object + n;

	if (!r->there || *object == '/' || strncmp(object, r->there, n) != 0 ||
	    (n && *rest && *rest != '/'))
		return NULL;
	rest += *rest == '/';
	return str_printf("%s%s%s", r->here, *r->here && *rest ? "/" : "",
			  rest);
}

void registry_fault(struct registry *r, const char *object,
		    const struct outcome *out)
{
	struct fault f = {.wall = clock_wall(),
			  .error = -out->error,
			  .status = out->status};
	autofree char *here = object_here(r, object);
	autofree char *where = NULL;
	autofree char *told = NULL;
	const char *text = out->text, *hint;
	const char *name = r->stands_for ? r->stands_for : r->name;

	if (out->error == -EINTR || !r->cfg->faults)
		return;
	if (r->is_mirror) {
		log_info("mirror %s: %s: %s; asking elsewhere", r->host, object,
			 out->text);
		return;
	}
	fault_copy(f.host, sizeof(f.host), name);
	fault_copy(f.object, sizeof(f.object), here ? here : object);
	if (strcmp(name, r->host) != 0)
		where = str_printf("%.400s (asked of %s)", out->text, r->host);
	text = where ? where : text;
	hint = hint_find(r, object, out);
	if (hint)
		told = str_printf("%s (%s)", text, hint);
	fault_copy(f.text, sizeof(f.text), told ? told : text);
	fault_record(r->cfg->faults, &f);
}
