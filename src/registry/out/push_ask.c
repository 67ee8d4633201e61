/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the blob there?  Asked before anything is sent, and when nobody knows
 * whether a commit was done (faults.md N23): then until it is seen, or the
 * session is seen to be open still, or time is up.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/header.h"
#include "oci/descriptor.h"
#include "registry/call_state.h"
#include "registry/out/push_state.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

#define ASK_PAUSE_MS 500

static bool is_html(const struct call *c)
{
	const char *type = call_header(c, "content-type", 0);

	return type && strncasecmp(type, "text/html", 9) == 0;
}

int push_names(const struct push *p, const struct call *c)
{
	const char *text = call_header(c, "docker-content-digest", 0);
	struct digest d;

	if (!text || digest_parse(text, &d) < 0 ||
	    d.alg != p->spec->digest->alg)
		return 0;
	return digest_equal(&d, p->spec->digest) ? 1 : -1;
}

static int ask_blob(struct push *p, const char *method, struct outcome *out,
		    struct call **ret)
{
	bool get = *method == 'G';
	const struct call_spec spec = {.method = method,
				       .path = p->o.path,
				       .repository = p->spec->repository,
				       .scope = p->scope,
				       .object = p->o.name,
				       .range = get ? "bytes=0-0" : NULL,
				       .max_body_bytes = DESCRIPTOR_SIZE_MAX,
				       .once = get,
				       .stay = !get,
				       .silent = out};

	push_renew(p);
	return call_run(p->r, &spec, p->w, ret);
}

static bool is_plausible(const struct push *p, uint64_t size)
{
	uint64_t want = PUSH_SIZE_UNKNOWN;
	struct digest empty;

	if (p->source && p->source->size)
		want = p->source->size(p->source->arg);
	if (want != PUSH_SIZE_UNKNOWN)
		return size == want;
	digest_of(p->spec->digest->alg, "", 0, &empty);
	return size > 0 || digest_equal(&empty, p->spec->digest);
}

/* Is this the answer to bytes=0-0 of our blob? */
static bool shows_it(const struct push *p, const struct call *c)
{
	const char *range = call_header(c, "content-range", 0);
	const char *length = call_header(c, "content-length", 0);
	struct content_range cr;
	unsigned long long n;

	if (is_html(c) || push_names(p, c) < 0)
		return false;
	switch (call_status(c)) {
	case 206:
		return range && header_parse_content_range(range, &cr) == 0 &&
		       cr.first == 0 &&
		       (cr.total == UINT64_MAX || is_plausible(p, cr.total));
	case 200:
		return !length ||
		       (str_to_u64(length, DESCRIPTOR_SIZE_MAX, &n) == 0 &&
			is_plausible(p, n));
	case 416: /* nothing has no first byte */
		return range && strcmp(range, "bytes */0") == 0 &&
		       is_plausible(p, 0);
	default:
		return false;
	}
}

/* A redirect may lead to the storage, or to a page to log in.  By GET: what
 * is signed for that refuses HEAD.  1 it is there, 0 it does not look so, or
 * -EINTR, -ENOMEM. */
static int follow(struct push *p, struct outcome *out)
{
	struct call *c;
	int r = ask_blob(p, "GET", out, &c);

	if (r < 0)
		return r == -EINTR || r == -ENOMEM ? r : 0;
	r = shows_it(p, c);
	call_close(c);
	return r;
}

/* 1: it is there; 0: *ret is what was answered, NULL: redirects to something
 * else; -errno, `out` says why. */
static int look(struct push *p, struct outcome *out, struct call **ret)
{
	struct call *c;
	int r = ask_blob(p, "HEAD", out, &c), status, named;

	if (r < 0)
		return r;
	status = call_status(c);
	named = push_names(p, c);
	if (!call_is_redirect(status)) {
		*ret = c;
		return status == 200 && !is_html(c) && named >= 0;
	}
	call_close(c);
	*ret = NULL;
	return named == 1 ? 1 : follow(p, out);
}

static int misled(struct push *p)
{
	outcome_set(&p->out, -EIO, "redirects to something else");
	return push_fail(p, -EIO);
}

int push_ask(struct push *p, bool strict)
{
	struct outcome out = {.error = 0};
	struct call *c;
	int r = look(p, &out, &c);

	if (r < 0) {
		p->out = out;
		return push_fail(p, r);
	}
	if (r == 1)
		r = PUSH_DONE;
	else if (strict)
		r = c ? call_fault(c, p->w) : misled(p);
	call_close(c);
	return r;
}

/* It goes on from what it holds; where that is not told, from what it has
 * acknowledged, if that was all. */
static int go_on(struct push *p, struct call *c)
{
	bool all = p->opened && p->ended && p->off == p->seen;
	uint64_t stored;
	int r;

	if (!push_read_status(p, c, &stored) || !call_header(c, "range", 0)) {
		if (!all)
			return push_restart(p, false);
		stored = p->off;
	}
	r = push_move(p, c, false);
	if (r < 0)
		return r;
	p->sent = stored;
	push_progress(p, stored);
	return PUSH_ON;
}

/* *ret_open: the session is still there, so it was not committed. */
static int ask_session(struct push *p, bool *ret_open)
{
	struct outcome out = {.error = 0};
	struct call *c;
	int r = push_ask_status(p, &out, &c);

	if (r == -EINTR || r == -ENOMEM)
		return push_fail(p, r);
	if (r < 0)
		return PUSH_ON;
	*ret_open = call_status(c) >= 200 && call_status(c) < 300 &&
		    !call_is_page(c);
	r = *ret_open ? go_on(p, c) : PUSH_ON;
	call_close(c);
	return r;
}

/* 1 yes, 0 no, -EAGAIN not known; or -errno, recorded. */
static int is_there(struct push *p)
{
	struct outcome out = {.error = 0};
	struct call *c;
	int r = look(p, &out, &c), status;

	if (r == -EINTR || r == -ENOMEM)
		return push_fail(p, r);
	if (r < 0)
		return -EAGAIN;
	status = c ? call_status(c) : 0;
	if (r == 0 && (status < 400 || status >= 500))
		r = -EAGAIN;
	call_close(c);
	return r;
}

int push_find_out(struct push *p)
{
	uint64_t until = clock_ms() + p->patience_ms / 4;
	uint64_t pause = p->patience_ms / 240;
	bool open = false;
	int r;

	if (pause == 0 || pause > ASK_PAUSE_MS)
		pause = ASK_PAUSE_MS;
	log_info("%s: %s: the outcome is indeterminate, asking", p->r->host,
		 p->o.name);
	for (;; pause *= 2) {
		r = is_there(p);
		if (r == 1)
			return PUSH_DONE;
		if (r == 0)
			r = ask_session(p, &open);
		if ((r < 0 && r != -EAGAIN) || open)
			return r;
		if (clock_ms() + pause >= until)
			return push_restart(p, true);
		r = wait_sleep(p->w, pause);
		if (r < 0)
			return push_fail(p, r);
	}
}
