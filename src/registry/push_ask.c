/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the blob there?  Asked before anything is sent, and when nobody knows
 * whether a commit was done (faults.md N23): then until it is seen, or the
 * session is seen to be open still, or time is up.
 */
#include <errno.h>
#include <strings.h>

#include "registry/push_state.h"
#include "util/clock.h"
#include "util/log.h"

#define ANSWER_MAX ((uint64_t)1 << 20)
#define ASK_PAUSE_MS 500

bool push_is_page(const struct call *c)
{
	const char *type = call_header(c, "content-type", 0);

	return type && strncasecmp(type, "text/html", 9) == 0;
}

/* A redirect to storage says yes: it is not followed, for what is signed for
 * GET refuses HEAD. */
static int ask_blob(struct push *p, struct outcome *out, struct call **ret)
{
	const struct call_spec spec = {.method = "HEAD",
				       .path = p->o.path,
				       .repository = p->spec->repository,
				       .scope = p->scope,
				       .object = p->o.name,
				       .max_body_bytes = ANSWER_MAX,
				       .stay = true,
				       .silent = out};

	push_renew(p);
	return call_run(p->r, &spec, p->w, ret);
}

int push_ask(struct push *p, bool strict)
{
	struct outcome out = {.error = 0};
	struct call *c;
	int r = ask_blob(p, &out, &c), status;

	if (r < 0) {
		p->out = out;
		return push_fail(p, r);
	}
	status = call_status(c);
	if ((status == 200 && !push_is_page(c)) ||
	    (status > 300 && status < 400))
		r = PUSH_DONE;
	else if (strict)
		r = call_fault(c, p->w);
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
		    !push_is_page(c);
	r = *ret_open ? go_on(p, c) : PUSH_ON;
	call_close(c);
	return r;
}

/* 1 yes, 0 no, -EAGAIN not known; or -errno, recorded. */
static int is_there(struct push *p)
{
	struct outcome out = {.error = 0};
	struct call *c;
	int r = ask_blob(p, &out, &c), status;

	if (r == -EINTR || r == -ENOMEM)
		return push_fail(p, r);
	if (r < 0)
		return -EAGAIN;
	status = call_status(c);
	r = -EAGAIN;
	if ((status == 200 && !push_is_page(c)) ||
	    (status > 300 && status < 400))
		r = 1;
	else if (status >= 400 && status < 500)
		r = 0;
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
