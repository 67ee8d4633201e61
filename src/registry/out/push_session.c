/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upload sessions: opened by POST (or left over by a mount that was none),
 * asked by GET what they hold, ended by DELETE.  Their URL is a secret that
 * changes with every answer; whoever keeps the journal is told.
 *
 *   none --POST--> open --PATCH--> holds bytes --PUT--> none
 *     ^-----------lost, dropped-------+
 */
#include <errno.h>
#include <string.h>

#include "config/allow.h"
#include "registry/call_state.h"
#include "registry/location.h"
#include "registry/out/push_state.h"
#include "registry/there.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/log.h"

#define ANSWER_MAX ((uint64_t)1 << 20)
#define PROGRESS ((uint64_t)1 << 20)
#define RESTARTS_MAX 2 /* three sessions */
#define SHRINKS_MAX 2
#define CANCEL_MS 2000

static void set_url(struct push *p, char *url)
{
	token_forget(p->url);
	p->url = url;
	if (p->source && p->source->session)
		p->source->session(p->source->arg, url);
}

static int no_memory(struct push *p)
{
	outcome_set(&p->out, -ENOMEM, "out of memory");
	return push_fail(p, -ENOMEM);
}

int push_move(struct push *p, struct call *c, bool must)
{
	const char *location = call_header(c, "location", 0);
	enum http_peer peer = c->peer;
	const char *why = "";
	char *url = NULL;
	int r;

	if (!location)
		return must ? call_broken(c, -EIO,
					  "does not say where to upload")
			    : 0;
	if (c->x.head->peer > peer)
		peer = c->x.head->peer;
	r = push_location(call_url(c), location, peer, &url, &why);
	if (r == 0)
		r = push_location_judge(c->base, url, p->r->cfg->allow, &why);
	if (r < 0)
		token_forget(url);
	if (r == -ENOMEM)
		return no_memory(p);
	if (r < 0)
		return call_broken(c, -EIO, "its upload location %s", why);
	set_url(p, url);
	return 0;
}

void push_progress(struct push *p, uint64_t stored)
{
	p->off = stored;
	if (stored > p->mark && stored - p->mark >= PROGRESS) {
		p->mark = stored;
		p->attempts = p->strangers = p->hops = 0;
	}
	push_renew(p);
	if (p->source && p->source->progress)
		p->source->progress(p->source->arg, stored);
}

/* A new session's first answer. */
static int begin(struct push *p, struct call *c)
{
	const char *least = call_header(c, "oci-chunk-min-length", 0);
	struct push_habits said = {.no_whole = false};
	unsigned long long n;
	int r = push_move(p, c, true);

	if (r < 0)
		return r;
	if (least && str_to_u64(least, INT64_MAX, &n) == 0) {
		said.chunk_min_bytes = n;
		push_habits_learn(&p->habits, &said);
	}
	p->off = p->sent = p->mark = 0;
	p->opened = false;
	push_renew(p);
	return PUSH_ON;
}

static int ask_session(struct push *p, const char *query, const char *scope,
		       struct call **ret)
{
	autofree char *path = str_printf("/v2/%s/blobs/uploads/%s",
					 p->spec->repository, query);
	const struct call_spec spec = {.method = "POST",
				       .path = path,
				       .repository = p->spec->repository,
				       .scope = scope,
				       .object = p->o.name,
				       .max_body_bytes = ANSWER_MAX,
				       .sends = true,
				       .creates = true,
				       .missing_is_news = true,
				       .silent = &p->out};

	if (!path) {
		outcome_set(&p->out, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	push_renew(p);
	return call_run(p->r, &spec, p->w, ret);
}

int push_open(struct push *p)
{
	/* Those who know the parameter hash by it from the first byte. */
	const char *query = p->spec->digest->alg == HASH_SHA512
				    ? "?digest-algorithm=sha512"
				    : "";
	struct call *c;
	int r = ask_session(p, query, p->scope, &c);

	if (r < 0)
		return push_fail(p, r);
	if (call_status(c) == 202 && !call_is_page(c))
		r = begin(p, c);
	else if (call_status(c) < 300)
		r = call_broken(c, -EIO, "opens no upload session");
	else
		r = call_fault(c, p->w);
	call_close(c);
	return r;
}

static int mount_query(struct push *p, struct str *out)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *from = NULL;
	int r = there_repository(p->r, p->spec->from, &from);

	digest_format(p->spec->digest, digest);
	if (r == 0)
		r = str_add(out, "?mount=");
	if (r == 0)
		r = percent_encode(digest, "", out);
	if (r == 0)
		r = str_add(out, "&from=");
	return r < 0 ? r : percent_encode(from, "", out);
}

int push_mount(struct push *p)
{
	autofree char *scope =
		str_printf("%s repository:%s:pull", p->scope, p->spec->from);
	autostr query = {.max = 4096};
	struct call *c;
	int r;

	if (p->r->cfg->allow &&
	    !allow_exact(p->r->cfg->allow, p->r->name, p->spec->from))
		return PUSH_ON;
	if (!scope || mount_query(p, &query) < 0)
		return no_memory(p);
	r = ask_session(p, query.buf, scope, &c);
	if (r == -EINTR || r == -ENOMEM)
		return push_fail(p, r);
	/* Whatever is wrong with a mount may be right without. */
	if (r < 0)
		return PUSH_ON;
	/* Another digest: it would have been stored under a wrong name. */
	if (call_status(c) == 201 && push_names(p, c) >= 0 && !call_is_page(c))
		r = PUSH_DONE;
	else if (call_status(c) == 202 && !call_is_page(c))
		r = begin(p, c);
	else
		log_debug("%s: %s: no mount: %s", p->r->host, p->o.name,
			  call_outcome(c)->text);
	call_close(c);
	return r;
}

int push_ask_status(struct push *p, struct outcome *out, struct call **ret)
{
	const struct call_spec spec = {.method = "GET",
				       .location = p->url,
				       .repository = p->spec->repository,
				       .scope = p->scope,
				       .object = p->o.name,
				       .max_body_bytes = ANSWER_MAX,
				       .silent = out};

	push_renew(p);
	return call_run(p->r, &spec, p->w, ret);
}

/* What it says it holds, if that can be. */
bool push_read_status(const struct push *p, const struct call *c,
		      uint64_t *ret_stored)
{
	const char *range = call_header(c, "range", 0);

	if (call_status(c) < 200 || call_status(c) > 299 || call_is_page(c))
		return false;
	if (!range) {
		*ret_stored = 0;
		return p->sent == 0;
	}
	return push_parse_range(range, p->sent, ret_stored) == 0 &&
	       *ret_stored <= p->sent;
}

static int take_status(struct push *p, struct call *c)
{
	uint64_t stored;
	int r;

	if (call_status(c) == 401 || call_status(c) == 403)
		return call_fault(c, p->w);
	if (!push_read_status(p, c, &stored))
		return push_restart(p, call_status(c) == 404);
	if (stored < p->off && ++p->shrinks >= SHRINKS_MAX)
		return push_restart(p, false);
	r = push_move(p, c, false);
	if (r < 0)
		return r;
	p->sent = stored;
	push_progress(p, stored);
	return PUSH_ON;
}

int push_resync(struct push *p)
{
	struct outcome out = {.error = 0};
	struct call *c;
	int r = push_ask_status(p, &out, &c);

	if (r < 0) {
		p->out = out;
		return push_fail(p, r);
	}
	r = take_status(p, c);
	call_close(c);
	return r;
}

void push_cancel(struct registry *r, const char *repository, const char *url,
		 struct wait *w)
{
	/* Not the scope of pushing: who may not delete must not be taught to
	 * ask for it with every upload. */
	autofree char *scope =
		str_printf("repository:%s:delete,pull,push", repository);
	autofree char *object = str_printf("%s/_blobs", repository);
	struct outcome out;
	const struct call_spec spec = {.method = "DELETE",
				       .location = url,
				       .repository = repository,
				       .scope = scope,
				       .object = object,
				       .max_body_bytes = ANSWER_MAX,
				       .once = true,
				       .silent = &out};
	struct call *c;

	if (scope && object && call_run(r, &spec, w, &c) == 0)
		call_close(c);
}

void push_drop(struct push *p, bool is_gone)
{
	unsigned ms = p->r->cfg->times.meta_budget / 10;
	struct wait w;

	if (!p->url)
		return;
	if (!is_gone) {
		wait_init(&w, ms ? ms : CANCEL_MS, 0);
		push_cancel(p->r, p->spec->repository, p->url, &w);
	}
	set_url(p, NULL);
	p->off = p->sent = p->mark = 0;
}

int push_restart(struct push *p, bool is_gone)
{
	push_drop(p, is_gone);
	if (++p->restarts > RESTARTS_MAX) {
		if (!p->out.text[0])
			outcome_set(&p->out, -EIO, "loses its upload sessions");
		return push_fail(p, -EIO);
	}
	log_debug("%s: %s: begins anew", p->r->host, p->o.name);
	push_progress(p, 0);
	return PUSH_ON;
}
