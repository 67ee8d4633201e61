/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a host, as a page for people and as JSON.  Everything in it
 * was sent by strangers: escaped here, and no secret is among it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "registry/host.h"
#include "registry/mirror.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/json.h"

/* Copied under the lock, printed without. */
struct view {
	enum scheme scheme;
	bool http2, speaks, no_ranges, insecure;
	enum http_peer peer;
	bool auth_known;
	enum challenge_scheme auth;
	char realm[256], service[256], api_version[64];
	enum support referrers, catalog;
	struct rate rate;
	struct token_stats tokens;
	unsigned used, max;
	bool credential_refused;
};

static void look(struct registry *r, struct view *v)
{
	autofree char *realm = NULL;

	memset(v, 0, sizeof(*v));
	tokens_stats(r->tokens, &v->tokens);
	v->used = slots_used(&r->lanes->fetches);
	v->max = r->lanes->fetches.max;
	v->catalog = registry_catalog(r);
	autolock(&r->lock);
	v->scheme = r->scheme;
	v->http2 = r->http2;
	v->speaks = r->speaks;
	v->no_ranges = r->no_ranges;
	v->insecure = r->has_conf && r->conf.insecure;
	v->peer = r->peer;
	v->auth_known = r->demand.known;
	v->auth = r->demand.scheme;
	if (r->demand.realm)
		realm = url_redact(r->demand.realm);
	if (realm)
		fault_copy(v->realm, sizeof(v->realm), realm);
	if (r->demand.service)
		fault_copy(v->service, sizeof(v->service), r->demand.service);
	memcpy(v->api_version, r->api_version, sizeof(v->api_version));
	v->referrers = r->referrers;
	v->rate = r->rate;
	v->credential_refused = clock_ms() < r->refused_until_ms;
}

static const char *scheme_name(const struct view *v)
{
	switch (v->scheme) {
	case SCHEME_HTTPS:
		return v->insecure ? "https, not verified" : "https";
	case SCHEME_HTTP:
		return "http";
	case SCHEME_UNKNOWN:
		break;
	}
	return "not asked yet";
}

static const char *auth_name(const struct view *v)
{
	if (!v->auth_known)
		return v->speaks ? "not asked for" : "unknown";
	switch (v->auth) {
	case CHALLENGE_BASIC:
		return "basic";
	case CHALLENGE_BEARER:
		return "bearer";
	case CHALLENGE_OTHER:
		break;
	}
	return "none";
}

static const char *support_name(enum support s)
{
	switch (s) {
	case SUPPORT_YES:
		return "yes";
	case SUPPORT_NO:
		return "no";
	case SUPPORT_UNKNOWN:
		break;
	}
	return "unknown";
}

static const char *peer_name(enum http_peer p)
{
	switch (p) {
	case HTTP_PEER_LOOPBACK:
		return "loopback";
	case HTTP_PEER_LOCAL:
		return "link-local";
	case HTTP_PEER_PRIVATE:
		return "private";
	case HTTP_PEER_PUBLIC:
		return "public";
	case HTTP_PEER_ANY:
		break;
	}
	return "unknown";
}

/* "label:   value", what is not plain of the value as \xNN. */
static int row(struct str *out, const char *label, const char *value)
{
	int r = str_addf(out, "%-12s ", label);

	if (r == 0)
		r = escape_text(value, "", out);
	return r < 0 ? r : str_addc(out, '\n');
}

static int rows_auth(const struct view *v, struct str *out)
{
	char text[128];
	int r = row(out, "auth", auth_name(v));

	if (r == 0 && v->realm[0])
		r = row(out, "realm", v->realm);
	if (r == 0 && v->service[0])
		r = row(out, "service", v->service);
	if (r == 0 && v->credential_refused)
		r = row(out, "credential", "refused, going without");
	if (r == 0 && v->tokens.held) {
		snprintf(text, sizeof(text),
			 "%zu, newest %" PRIu64 " s old, good for %" PRIu64
			 " s",
			 v->tokens.held, v->tokens.age_ms / 1000,
			 v->tokens.left_ms / 1000);
		r = row(out, "tokens", text);
	}
	return r;
}

static int rows_rate(const struct view *v, struct str *out)
{
	char text[128];

	if (!v->rate.known)
		return 0;
	snprintf(text, sizeof(text),
		 "%" PRIu64 " of %" PRIu64 " left per %" PRIu64 " s (%" PRIu64
		 " s ago)",
		 v->rate.remaining, v->rate.limit, v->rate.window_s,
		 (clock_ms() - v->rate.seen_ms) / 1000);
	return row(out, "rate limit", text);
}

static int row_origin(struct origin *o, void *arg)
{
	autostr text = {.len = 0};
	int r = str_add(&text, origin_name(o));

	if (r == 0)
		r = door_print(origin_door(o), &text);
	return r < 0 ? r : row(arg, "asked", text.buf);
}

/* Where it is, if that is not its name. */
static int row_place(const struct registry *r, struct str *out)
{
	const char *path =
		strcmp(r->endpoint->path, "/v2") == 0 ? "" : r->endpoint->path;
	autofree char *place =
		str_printf("%s%s%s%s", r->host, path, r->prefix ? "/" : "",
			   r->prefix ? r->prefix : "");

	return place ? row(out, "is at", place) : -ENOMEM;
}

int registry_print(struct registry *r, struct str *out)
{
	struct view v;
	char busy[64];
	int e;

	look(r, &v);
	snprintf(busy, sizeof(busy), "%u of %u", v.used, v.max);
	e = row(out, "host", r->name);
	if (e == 0 && r->endpoint)
		e = row_place(r, out);
	if (e == 0)
		e = row(out, "transport", scheme_name(&v));
	if (e == 0 && v.scheme != SCHEME_UNKNOWN)
		e = row(out, "protocol", v.http2 ? "HTTP/2" : "HTTP/1.1");
	if (e == 0)
		e = row(out, "network", peer_name(v.peer));
	if (e == 0 && v.api_version[0])
		e = row(out, "api", v.api_version);
	if (e == 0)
		e = rows_auth(&v, out);
	if (e == 0)
		e = row(out, "ranges", v.no_ranges ? "no" : "yes");
	if (e == 0)
		e = row(out, "catalogue", support_name(v.catalog));
	if (e == 0)
		e = row(out, "referrers", support_name(v.referrers));
	if (e == 0)
		e = rows_rate(&v, out);
	if (e == 0)
		e = row(out, "requests", busy);
	if (e == 0)
		e = origins_print_each(&r->wire.origins, row_origin, out);
	if (e == 0)
		e = mirrors_print(r, out);
	return e;
}

static int member(struct str *out, const char *name, const char *value)
{
	int r = str_addf(out,
			 "%s\"%s\":", out->buf[out->len - 1] == '{' ? "" : ",",
			 name);

	return r < 0 ? r : json_add_string(out, value);
}

static int members_numbers(const struct view *v, struct str *out)
{
	int r = str_addf(out,
			 ",\"http2\":%s,\"tls_verified\":%s,\"ranges\":%s,"
			 "\"slots_used\":%u,\"slots\":%u,\"tokens\":%zu",
			 v->http2 ? "true" : "false",
			 v->scheme == SCHEME_HTTPS && !v->insecure ? "true"
								   : "false",
			 v->no_ranges ? "false" : "true", v->used, v->max,
			 v->tokens.held);

	if (r == 0 && v->tokens.held)
		r = str_addf(out,
			     ",\"token_age_s\":%" PRIu64
			     ",\"token_left_s\":%" PRIu64,
			     v->tokens.age_ms / 1000, v->tokens.left_ms / 1000);
	if (r == 0 && v->rate.known)
		r = str_addf(out,
			     ",\"ratelimit\":{\"limit\":%" PRIu64
			     ",\"remaining\":%" PRIu64 ",\"window_s\":%" PRIu64
			     ",\"age_s\":%" PRIu64 "}",
			     v->rate.limit, v->rate.remaining, v->rate.window_s,
			     (clock_ms() - v->rate.seen_ms) / 1000);
	return r;
}

int registry_print_json(struct registry *r, struct str *out)
{
	autostr text = {.len = 0};
	struct view v;
	int e;

	look(r, &v);
	e = str_addc(&text, '{');
	if (e == 0)
		e = member(&text, "host", r->name);
	if (e == 0)
		e = member(&text, "transport", scheme_name(&v));
	if (e == 0)
		e = member(&text, "network", peer_name(v.peer));
	if (e == 0)
		e = member(&text, "api", v.api_version);
	if (e == 0)
		e = member(&text, "auth", auth_name(&v));
	if (e == 0)
		e = member(&text, "realm", v.realm);
	if (e == 0)
		e = member(&text, "service", v.service);
	if (e == 0)
		e = member(&text, "catalogue", support_name(v.catalog));
	if (e == 0)
		e = member(&text, "referrers", support_name(v.referrers));
	if (e == 0)
		e = members_numbers(&v, &text);
	if (e == 0)
		e = str_addc(&text, '}');
	return e < 0 ? e : str_addn(out, text.buf, text.len);
}
