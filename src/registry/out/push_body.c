/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on their way: one request with a part of the blob.  The source is read
 * as the socket takes it, straight into the buffer that this is fed from, so
 * memory does not grow with the blob; the last piece of a request that commits
 * is held back until the source was approved.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry/call_state.h"
#include "registry/location.h"
#include "registry/out/push_state.h"
#include "util/auto.h"

#define ANSWER_MAX ((uint64_t)1 << 20)

ssize_t push_read(struct push *p, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	/* Patience with the registry does not pay for a slow writer. */
	push_renew(p);
	n = p->source->read(p->source->arg, buf, len, off, p->w);
	if (n < 0)
		return n;
	if (off + (uint64_t)n > p->seen)
		p->seen = off + (uint64_t)n;
	if (n == 0 && off == p->seen)
		p->ended = true;
	return n;
}

int push_look_ahead(struct push *p, uint64_t bytes)
{
	if (!p->buf && !p->ended && p->seen < bytes)
		p->buf = malloc(PUSH_PIECE);
	if (!p->buf && !p->ended && p->seen < bytes)
		return -ENOMEM;
	while (!p->ended && p->seen < bytes) {
		ssize_t n = push_read(p, p->buf, PUSH_PIECE, p->seen);

		if (n < 0)
			return (int)n;
	}
	return 0;
}

int push_approve(struct push *p)
{
	int r = 0;

	if (p->checked)
		return 0;
	push_renew(p);
	if (p->source->check)
		r = p->source->check(p->source->arg, p->w);
	p->checked = r == 0;
	return r;
}

static int own(struct push *p, const char *what)
{
	outcome_set(&p->out, -EIO, "%s", what);
	return push_fail(p, -EIO);
}

/* The next piece, of `room` bytes at most.  0: the part is complete. */
static ssize_t next_piece(struct push *p, const struct push_part *part,
			  uint64_t off, void *buf, size_t room)
{
	ssize_t n;
	char byte;

	n = push_read(p, buf, room, off);
	if (n < 0)
		return n;
	if (n == 0 && part->to != PUSH_TO_END)
		return own(p, "the source ends too early");
	if (n > 0 && part->holds_tail && off + (uint64_t)n == p->seen &&
	    !p->ended) {
		ssize_t more = push_read(p, &byte, 1, p->seen);

		if (more <= 0)
			return more;
	}
	return n;
}

/* Room for the next piece.  0: it has answered, or it is gone. */
static ssize_t make_room(struct push *p, struct call *c, uint64_t left,
			 void **ret)
{
	size_t want = left < PUSH_PIECE ? (size_t)left : PUSH_PIECE;
	ssize_t n;

	push_renew(p);
	n = call_send_room(c, want, p->w, ret);
	if (n == -EPIPE)
		return 0;
	if (n < 0) {
		outcome_set(&p->out, (int)n, "takes no more bytes");
		return push_fail(p, (int)n);
	}
	return n;
}

static int send_bytes(struct push *p, const struct push_part *part,
		      struct call *c, struct push_ending *end)
{
	uint64_t off = part->from;
	ssize_t n = 0;
	void *buf;
	int r;

	while (off < part->to) {
		n = make_room(p, c, part->to - off, &buf);
		if (n <= 0)
			return (int)n;
		n = next_piece(p, part, off, buf, (size_t)n);
		if (n <= 0)
			break;
		if (part->commits && off + (uint64_t)n == part->to) {
			r = push_approve(p);
			if (r < 0)
				return r;
		}
		call_send_filled(c, (size_t)n);
		off += (uint64_t)n;
		p->sent = off;
		push_renew(p);
		if (p->source->progress)
			p->source->progress(p->source->arg,
					    part->from + call_sent_bytes(c));
	}
	if (n < 0)
		return (int)n;
	end->whole = true;
	end->commits = part->commits;
	return 0;
}

static int open_part(struct push *p, const struct push_part *part,
		     struct call **ret)
{
	bool empty = part->form == PUSH_COMMIT;
	struct call_spec spec = {.method = part->commits ? "PUT" : "PATCH",
				 .location = p->url,
				 .repository = p->spec->repository,
				 .scope = p->scope,
				 .object = p->o.name,
				 .content_type = "application/octet-stream",
				 .max_body_bytes = ANSWER_MAX,
				 .upload = !empty,
				 .upload_bytes = HTTP_UPLOAD_UNKNOWN,
				 .once = true,
				 .bulk = true,
				 .missing_is_news = true,
				 .silent = &p->out};
	char *url = NULL;
	char range[64];
	int r;

	if (part->to != PUSH_TO_END)
		spec.upload_bytes = part->to - part->from;
	if (part->ranged) {
		snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64,
			 part->from, part->to - 1);
		spec.content_range = range;
	}
	if (part->commits) {
		r = push_location_digest(p->url, p->spec->digest, &url);
		if (r < 0)
			return outcome_set(&p->out, r, "out of memory");
		spec.location = url;
	}
	push_renew(p);
	r = call_run(p->r, &spec, p->w, ret);
	token_forget(url);
	return r;
}

/* The empty PUT; the call layer identifies, and repeats what was not begun. */
static int send_commit(struct push *p, const struct push_part *part)
{
	struct push_ending end = {.whole = true, .commits = true};
	struct call *c;
	int r = push_approve(p);

	if (r < 0)
		return r;
	r = open_part(p, part, &c);
	if (r == -EINTR || r == -ENOMEM)
		return push_fail(p, r);
	if (r < 0) {
		/* Our own patience may end before the transfer's. */
		end.commits = p->out.fail ? !outcome_unreached(&p->out)
					  : r == -ETIMEDOUT && !p->out.status;
		return push_cut(p, part, &end);
	}
	r = push_judge(p, part, c, &end);
	call_close(c);
	return r;
}

int push_send(struct push *p, const struct push_part *part)
{
	struct push_ending end = {.whole = false};
	struct call *c;
	int r;

	if (part->form == PUSH_COMMIT)
		return send_commit(p, part);
	if (part->commits && part->to == 0) {
		r = push_approve(p);
		if (r < 0)
			return r;
	}
	r = open_part(p, part, &c);
	if (r == -EINTR || r == -ENOMEM)
		return push_fail(p, r);
	if (r < 0)
		return push_cut(p, part, &end);
	r = send_bytes(p, part, c, &end);
	if (r < 0) {
		call_close(c);
		return r;
	}
	r = call_finish(c, p->w, &p->out);
	if (r == -EINTR)
		r = push_fail(p, r);
	else if (r < 0)
		r = push_cut(p, part, &end);
	else
		r = push_judge(p, part, c, &end);
	call_close(c);
	return r;
}
