/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All hosts met so far.  A registry is made by naming it and lives until the
 * end, so pointers to it need no count; REGISTRIES_MAX bounds what walking
 * through made-up host names can cost.
 */
#include "registry/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/reference.h"
#include "registry/call.h"
#include "registry/fault_table.h"
#include "registry/host.h"
#include "registry/mirror.h"
#include "util/auto.h"
#include "util/map.h"

#define REGISTRIES_MAX 4096
#define BROKEN_MS 5000
#define PAUSE_MS 500

struct registries {
	struct registries_config cfg;
	pthread_mutex_t lock; /* protects map */
	struct map *map;      /* host -> struct registry */
};

void registry_free(void *p)
{
	struct registry *r = p;

	if (!r)
		return;
	mirrors_free(r);
	origins_done(&r->wire.origins);
	tokens_free(r->tokens);
	redirects_free(r->redirects);
	map_free(r->scopes, free);
	slots_done(&r->slots);
	slots_done(&r->sends);
	if (r->has_conf)
		host_conf_done(&r->conf);
	demand_done(&r->demand);
	token_forget(r->login.token);
	pthread_cond_destroy(&r->learned);
	pthread_mutex_destroy(&r->lock);
	free(r->host);
	free(r);
}

/* The breaker's pause is a quarter of a look-up's budget. */
static unsigned broken_ms(const struct registries_config *cfg)
{
	return cfg->times.meta_budget ? cfg->times.meta_budget / 4 : BROKEN_MS;
}

int registry_new(const struct registries_config *cfg, const char *host,
		 struct registry **ret)
{
	struct registry *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->cfg = cfg;
	e = wait_cond_init(&r->learned);
	if (e < 0) {
		free(r);
		return e;
	}
	e = slots_init(&r->slots, cfg->slots);
	if (e == 0) {
		e = slots_init(&r->sends, SLOTS_SENDS);
		if (e < 0)
			slots_done(&r->slots);
	}
	if (e < 0) {
		pthread_cond_destroy(&r->learned);
		free(r);
		return e;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->wire.http = cfg->http;
	r->wire.pause_ms =
		cfg->times.retry_base ? cfg->times.retry_base : PAUSE_MS;
	r->host = strdup(host);
	e = r->host ? origins_init(&r->wire.origins, cfg->hosts, broken_ms(cfg))
		    : -ENOMEM;
	if (e == 0)
		e = tokens_new(&r->tokens);
	if (e == 0)
		e = redirects_new(&r->redirects);
	if (e == 0)
		e = map_new(&r->scopes);
	if (e < 0)
		registry_free(r);
	else
		*ret = r;
	return e;
}

int registries_new(const struct registries_config *cfg, struct registries **ret)
{
	struct registries *rs = calloc(1, sizeof(*rs));
	int e;

	if (!rs)
		return -ENOMEM;
	rs->cfg = *cfg;
	e = map_new(&rs->map);
	if (e < 0) {
		free(rs);
		return e;
	}
	pthread_mutex_init(&rs->lock, NULL);
	*ret = rs;
	return 0;
}

void registries_free(struct registries *rs)
{
	if (!rs)
		return;
	map_free(rs->map, registry_free);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

int registries_get(struct registries *rs, const char *host,
		   struct registry **ret)
{
	char name[REFERENCE_HOST_MAX + 1];
	struct registry *r;
	int e = reference_parse_host(host, name);

	if (e < 0)
		return -EINVAL;
	if (rs->cfg.allow && !allow_host(rs->cfg.allow, name))
		return -EPERM;
	autolock(&rs->lock);
	r = map_find(rs->map, name);
	if (!r) {
		if (map_len(rs->map) >= REGISTRIES_MAX)
			return -ENOMEM;
		e = registry_new(&rs->cfg, name, &r);
		if (e < 0)
			return e;
		e = map_put(rs->map, name, r, NULL);
		if (e < 0) {
			registry_free(r);
			return e;
		}
	}
	*ret = r;
	return 0;
}

int registries_list(struct registries *rs, struct string_list *ret)
{
	const char *host;
	size_t pos = 0;
	int e = 0;

	autolock(&rs->lock);
	while (e == 0 && map_next(rs->map, &pos, &host))
		e = string_list_add(ret, host);
	return e;
}

const char *registry_host(const struct registry *r)
{
	return r->host;
}

int registry_identity(struct registry *r, const char *repository, char out[17])
{
	struct credential c = {.kind = CREDENTIAL_NONE};
	int e = 0;

	if (r->cfg->auth)
		e = dockerauth_find(r->cfg->auth, r->host, repository, &c);
	if (e < 0)
		return e;
	credential_identity(&c, out);
	credential_done(&c);
	return 0;
}

static void fill_auth(struct registry *r, struct registry_probe *p)
{
	const char *name = "none";
	autofree char *realm = NULL;

	autolock(&r->lock);
	if (r->demand.scheme == CHALLENGE_BASIC)
		name = "basic";
	else if (r->demand.scheme == CHALLENGE_BEARER)
		name = "bearer";
	fault_copy(p->auth, sizeof(p->auth), name);
	if (r->demand.realm)
		realm = url_redact(r->demand.realm);
	if (realm)
		fault_copy(p->realm, sizeof(p->realm), realm);
	memcpy(p->api_version, r->api_version, sizeof(p->api_version));
	p->tls_verified = p->https && !r->conf.insecure;
}

int registry_probe(struct registry *r, struct wait *w,
		   struct registry_probe *ret)
{
	const struct call_spec spec = {.method = "GET",
				       .path = "/v2/",
				       .repository = "",
				       .scope = "",
				       .object = "/v2/",
				       .max_body_bytes = 1 << 20,
				       .document = true};
	struct registry_probe p = {.status = 0};
	struct call *c;
	int e = call_run(r, &spec, w, &c);

	if (e < 0)
		return e;
	p.status = call_status(c);
	p.https = str_prefix(call_url(c), "https:");
	p.http2 = call_http2(c);
	p.with_credential = call_identified(c);
	call_close(c);
	fill_auth(r, &p);
	*ret = p;
	return 0;
}
