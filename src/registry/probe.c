/* SPDX-License-Identifier: Apache-2.0 */
/* One request each, all the way as a mount would send it: token, redirects,
 * attempts.  Only what answers is kept, whatever its status. */
#include "registry/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "http/header.h"
#include "http/url.h"
#include "oci/mediatype.h"
#include "registry/call.h"
#include "registry/catalog.h"
#include "registry/host.h"
#include "registry/mirror.h"
#include "registry/object.h"
#include "registry/probe_call.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"

#define ANSWER_MAX ((uint64_t)1 << 20)
#define READ_MAX 4096

int probe_call(struct registry *r, const struct call_spec *s, struct wait *w,
	       struct probe *p, struct call **ret)
{
	struct outcome out = {.error = 0};
	struct call_spec spec = *s;
	struct call *c;
	int e;

	*p = (struct probe){.error = 0};
	spec.silent = &out;
	e = call_run(r, &spec, w, &c);
	if (e == 0) {
		p->status = call_status(c);
		p->identified = call_identified(c);
		out = *call_outcome(c);
		*ret = c;
	} else {
		p->error = e;
		p->status = out.status;
		p->fail = out.fail;
		*ret = NULL;
	}
	fault_copy(p->code, sizeof(p->code), out.code);
	fault_copy(p->text, sizeof(p->text),
		   out.text[0] || e == 0 ? out.text : strerror(-e));
	return e == -ENOMEM || e == -EINTR ? e : 0;
}

int probe_broken(struct probe *p, const char *why)
{
	p->error = -EIO;
	fault_copy(p->text, sizeof(p->text), why);
	return 0;
}

int probe_ping(struct registry *r, struct wait *w, struct probe *ret)
{
	const struct call_spec spec = {.method = "GET",
				       .path = "/v2/",
				       .repository = "",
				       .scope = "",
				       .object = "/v2/",
				       .max_body_bytes = ANSWER_MAX,
				       .document = true};
	struct call *c;
	int e = probe_call(r, &spec, w, ret, &c);

	call_close(c);
	return e;
}

static void copy_redacted(char *to, size_t size, const char *url)
{
	autofree char *text = url ? url_redact(url) : NULL;

	fault_copy(to, size, text ? text : "");
}

void probe_login(struct registry *r, struct probe_login *ret)
{
	static const char *const names[] = {[CHALLENGE_OTHER] = "none",
					    [CHALLENGE_BASIC] = "Basic",
					    [CHALLENGE_BEARER] = "Bearer"};
	struct probe_login p = {.known = false};
	struct token_stats tokens;

	tokens_stats(r->tokens, &tokens);
	if (tokens.held)
		p.token_life_s = (tokens.age_ms + tokens.left_ms + 500) / 1000;
	fault_copy(p.lister, sizeof(p.lister), catalog_find(r)->name);
	autolock(&r->lock);
	p.known = r->demand.known;
	fault_copy(p.scheme, sizeof(p.scheme), names[r->demand.scheme]);
	copy_redacted(p.realm, sizeof(p.realm), r->demand.realm);
	fault_copy(p.service, sizeof(p.service),
		   r->demand.service ? r->demand.service : "");
	p.refused = clock_ms() < r->refused_until_ms;
	p.has_rate = r->rate.known;
	p.rate_limit = r->rate.limit;
	p.rate_left = r->rate.remaining;
	p.rate_window_s = r->rate.window_s;
	p.is_referrers_known = r->referrers != SUPPORT_UNKNOWN;
	p.has_referrers = r->referrers == SUPPORT_YES;
	*ret = p;
}

int probe_head(struct registry *r, const char *repository, const char *ref,
	       struct wait *w, struct probe_head *ret)
{
	struct call_spec spec = {.method = "HEAD", .repository = repository};
	struct probe_head p = {.digest = ""};
	const char *digest, *type;
	struct call *c = NULL;
	struct object o;
	int e = object_init(&o, repository, "manifests", ref);

	if (e < 0)
		return e;
	spec.path = o.path;
	spec.scope = o.scope;
	spec.object = o.name;
	spec.accept = mediatype_accept();
	e = probe_call(r, &spec, w, &p.answer, &c);
	object_done(&o);
	if (c) {
		digest = call_header(c, "docker-content-digest", 0);
		type = call_header(c, "content-type", 0);
		fault_copy(p.digest, sizeof(p.digest), digest ? digest : "");
		fault_copy(p.mediatype, sizeof(p.mediatype), type ? type : "");
	}
	call_close(c);
	*ret = p;
	return e;
}

/* --- places --- */

static int describe(const struct registry *r, char **ret)
{
	static const char *const schemes[] = {
		[ENDPOINT_USUAL] = "",
		[ENDPOINT_HTTPS] = "https://",
		[ENDPOINT_HTTP] = "http://",
		[ENDPOINT_EITHER] = "",
	};
	const struct endpoint *e = r->endpoint;

	*ret = e ? str_printf("%s%s%s", schemes[e->scheme], e->host,
			      strcmp(e->path, "/v2") == 0 ? "" : e->path)
		 : strdup(r->host);
	return *ret ? 0 : -ENOMEM;
}

static int add_place(const struct round *o, struct probe_places *ret)
{
	const struct registry *r = o->registry;
	struct probe_place p = {.registry = o->registry, .last = o->last};
	int e;

	if (ret->len == PROBE_PLACES_MAX) { /* the last one must have room */
		ret->len--;
		free(ret->v[ret->len].repository);
		free(ret->v[ret->len].where);
	}
	p.written = r->endpoint ? r->endpoint->where : NULL;
	p.repository = strdup(o->repository);
	e = p.repository ? describe(r, &p.where) : -ENOMEM;
	if (e < 0) {
		free(p.repository);
		return e;
	}
	ret->v[ret->len++] = p;
	return 0;
}

int probe_places(struct registry *r, const char *repository, struct wait *w,
		 struct probe_places *ret)
{
	struct probe_places p = {.len = 0};
	struct round o;
	int e = round_begin(&o, r, repository, true);

	if (e == 0) {
		do
			e = add_place(&o, &p);
		while (e == 0 && round_go_on(&o, -ENOENT, w));
	}
	round_done(&o);
	if (e == 0 && !p.v[p.len - 1].last)
		e = wait_check(w) < 0 ? wait_check(w) : -EIO;
	if (e < 0)
		probe_places_done(&p);
	else
		*ret = p;
	return e;
}

void probe_places_done(struct probe_places *p)
{
	for (size_t i = 0; i < p->len; i++) {
		free(p->v[i].repository);
		free(p->v[i].where);
	}
	p->len = 0;
}

/* --- ranges --- */

static void note_target(const struct call *c, struct probe_range *p)
{
	const char *location = call_header(c, "location", 0);
	autofree char *absolute = NULL;
	struct url u;

	if (!location || url_resolve(call_url(c), location, &absolute) < 0 ||
	    url_parse(absolute, &u) < 0)
		return;
	if (u.has_port)
		snprintf(p->host, sizeof(p->host), "%s://%s:%u",
			 u.https ? "https" : "http", u.host, u.port);
	else
		snprintf(p->host, sizeof(p->host), "%s://%s",
			 u.https ? "https" : "http", u.host);
	url_done(&u);
}

/* Are these the bytes that were asked for, and all of them? */
static int judge_range(struct call *c, const struct descriptor *d, uint64_t off,
		       uint64_t len, struct wait *w, struct probe_range *p)
{
	const char *value = call_header(c, "content-range", 0);
	struct content_range cr;
	struct outcome out;
	char buf[READ_MAX];
	uint64_t got = 0;
	ssize_t n;

	if (p->answer.status != 206)
		return 0;
	if (!value || header_parse_content_range(value, &cr) < 0 ||
	    cr.first != off || cr.last != off + len - 1 ||
	    (cr.total != UINT64_MAX && cr.total != d->size_bytes))
		return probe_broken(&p->answer,
				    "its Content-Range is not what was asked "
				    "for");
	while ((n = call_read(c, buf, sizeof(buf), w, &out)) > 0)
		got += (uint64_t)n;
	if (n == -EIO)
		return probe_broken(&p->answer, out.text);
	if (n < 0) {
		probe_broken(&p->answer, strerror((int)-n));
		p->answer.error = (int)n;
		return n == -EINTR ? (int)n : 0;
	}
	if (got != len)
		return probe_broken(&p->answer, "it sends another number of "
						"bytes than it says");
	p->partial = true;
	return 0;
}

int probe_range(struct registry *r, const char *repository,
		const struct descriptor *d, uint64_t off, uint64_t len,
		struct wait *w, struct probe_range *ret)
{
	char text[DIGEST_TEXT_MAX], range[64];
	struct call_spec spec = {.method = "GET",
				 .repository = repository,
				 .range = range,
				 .max_body_bytes = DESCRIPTOR_SIZE_MAX,
				 .stay = true};
	struct probe_range p = {.host = ""};
	struct call *c = NULL;
	struct object o;
	int e;

	digest_format(&d->digest, text);
	e = object_init(&o, repository, "blobs", text);
	if (e < 0)
		return e;
	snprintf(range, sizeof(range), "bytes=%llu-%llu",
		 (unsigned long long)off, (unsigned long long)(off + len - 1));
	spec.path = o.path;
	spec.scope = o.scope;
	spec.object = o.name;
	e = probe_call(r, &spec, w, &p.answer, &c);
	if (e == 0 && c && p.answer.status >= 300 && p.answer.status < 400) {
		p.redirects = true;
		note_target(c, &p);
		call_close(c);
		spec.stay = false;
		e = probe_call(r, &spec, w, &p.answer, &c);
	}
	if (e == 0 && c)
		e = judge_range(c, d, off, len, w, &p);
	call_close(c);
	object_done(&o);
	*ret = p;
	return e;
}
