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

#include "config/endpoint.h"
#include "config/hostname.h"
#include "oci/reference.h"
#include "registry/call.h"
#include "registry/ecr.h"
#include "registry/host.h"
#include "registry/mirror.h"
#include "registry/registries_private.h"
#include "registry/there.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/hash.h"
#include "util/map.h"

#define REGISTRIES_MAX 4096
#define BROKEN_MS 5000
#define PAUSE_MS 500

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
	if (r->has_conf)
		host_conf_done(&r->conf);
	demand_done(&r->demand);
	token_forget(r->login.token);
	login_kept_done(&r->login_kept);
	ecr_free(r->ecr);
	pthread_cond_destroy(&r->learned);
	pthread_mutex_destroy(&r->lock);
	free(r->name);
	free(r->prefix);
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
	pthread_mutex_init(&r->lock, NULL);
	r->wire.http = cfg->http;
	r->wire.pause_ms =
		cfg->times.retry_base ? cfg->times.retry_base : PAUSE_MS;
	r->host = strdup(host);
	r->name = strdup(host);
	e = r->host && r->name
		    ? origins_init(&r->wire.origins, cfg->hosts, cfg->doors)
		    : -ENOMEM;
	if (e == 0)
		e = doors_lanes(cfg->doors, hostname_canonical(host),
				&r->lanes);
	if (e == 0)
		e = ecr_new(host, &r->ecr);
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

/* Whoever asks it may not be told so by the allow list, which is about names in
 * the tree. */
static int make_top(struct registries *rs)
{
	const struct endpoint *e = NULL;
	int r;

	if (rs->cfg.hosts)
		e = hosts_mirror(rs->cfg.hosts, &rs->path);
	if (!e)
		return 0;
	r = registry_new(&rs->cfg, e->host, &rs->top);
	if (r < 0)
		return r;
	rs->top->endpoint = e;
	rs->top->stands_for = rs->top->name;
	return 0;
}

int registries_new(const struct registries_config *cfg, struct registries **ret)
{
	struct registries *rs = calloc(1, sizeof(*rs));
	int e;

	if (!rs)
		return -ENOMEM;
	rs->cfg = *cfg;
	pthread_mutex_init(&rs->lock, NULL);
	rs->cfg.doors = NULL;
	e = map_new(&rs->map);
	if (e == 0)
		e = doors_new(broken_ms(cfg), cfg->slots, &rs->cfg.doors);
	if (e == 0)
		e = make_top(rs);
	if (e < 0)
		registries_free(rs);
	else
		*ret = rs;
	return e;
}

void registries_free(struct registries *rs)
{
	if (!rs)
		return;
	map_free(rs->map, registry_free);
	registry_free(rs->top);
	doors_free(rs->cfg.doors);
	string_list_done(&rs->mirrored);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

/* One that is where hosts.h says. */
static int seated_new(struct registries *rs, const char *name,
		      struct registry **ret)
{
	struct seat seat = {.endpoint = NULL};
	struct registry *r = NULL;
	int e = 0;

	if (rs->cfg.hosts)
		e = hosts_seat(rs->cfg.hosts, name, &seat);
	if (e == 0)
		e = registry_new(&rs->cfg,
				 seat.endpoint ? seat.endpoint->host : name,
				 &r);
	if (e == 0) {
		free(r->name);
		r->name = strdup(name);
		r->endpoint = seat.endpoint;
		r->prefix = steal(&seat.prefix);
		r->top = rs->top;
		if (!r->name) {
			registry_free(r);
			e = -ENOMEM;
		}
	}
	seat_done(&seat);
	if (e == 0)
		*ret = r;
	return e == -EINVAL ? -ENOENT : e;
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
		e = seated_new(rs, name, &r);
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
	return r->name;
}

int registries_place(const struct registries *rs, const char *host, char **ret)
{
	*ret = rs->top ? str_printf("%s@%s%s%s", host, rs->top->host,
				    *rs->path ? "/" : "", rs->path)
		       : strdup(host);
	return *ret ? 0 : -ENOMEM;
}

/* What one place has shown is not what another would. */
static void add_place(const struct registry *r, char identity[17])
{
	uint8_t digest[HASH_MAX];
	struct hash h;

	hash_init(&h, HASH_SHA256);
	hash_update(&h, identity, strlen(identity) + 1);
	hash_update(&h, r->endpoint->host, strlen(r->endpoint->host) + 1);
	hash_update(&h, r->endpoint->path, strlen(r->endpoint->path) + 1);
	if (r->prefix)
		hash_update(&h, r->prefix, strlen(r->prefix));
	hash_final(&h, digest);
	hex_encode(digest, 8, identity);
}

int registry_identity(struct registry *r, const char *repository, char out[17])
{
	struct credential c = {.kind = CREDENTIAL_NONE};
	autofree char *there = NULL;
	int e = there_repository(r, repository, &there);

	if (e == 0)
		e = login_have(r, there, &c);
	if (e < 0)
		return e;
	credential_identity(&c, out);
	credential_done(&c);
	if (r->endpoint)
		add_place(r, out);
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
