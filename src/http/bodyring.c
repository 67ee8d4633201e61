/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of the body: open -> ended (by the caller) -> told_end (libcurl has
 * taken all); over cuts that short: an answer came first, the rest is dropped
 * and the connection is not used again.
 *
 * Invariants (t->lock held):
 *  1. given == taken + used; given <= total.
 *  2. The ring only changes its size, and where it begins, while used == 0,
 * when the engine is not reading from it.
 *  3. paused and (used > 0, ended or over) imply that a resume is on its way.
 *  4. libcurl asks for more only when it has sent what it had taken, so
 *     sent == taken at each asking.
 */
#include "http/bodyring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/engine.h"
#include "http/transfer.h"
#include "util/auto.h"
#include "util/metric.h"

#define RING_BYTES ((size_t)1024 * 1024)

static bool is_short(const struct bodyring *u)
{
	return u->ended && u->total != HTTP_UPLOAD_UNKNOWN &&
	       u->given < u->total;
}

/* t->lock held. */
static void ask_resume(struct http_transfer *t)
{
	if (!t->up.paused || t->up.resume_asked || t->detached)
		return;
	t->up.resume_asked = true;
	engine_post(t->engine, t, TRANSFER_SEND);
}

/* How much can be taken now; the caller has it copied without the lock. */
static ssize_t find_bytes(struct http_transfer *t, size_t n)
{
	struct bodyring *u = &t->up;

	autolock(&t->lock);
	if (u->over)
		return 0;
	/* Cut off rather than made to look whole: of an unknown length it
	 * would be, and a known one the other side would wait for. */
	if (is_short(u))
		return -ENODATA;
	if (u->used > 0)
		return (ssize_t)(n < u->used ? n : u->used);
	if (u->ended)
		return 0;
	u->paused = true;
	u->resume_asked = false;
	return -EAGAIN;
}

ssize_t bodyring_take(struct http_transfer *t, char *buf, size_t n)
{
	struct bodyring *u = &t->up;
	ssize_t found;
	size_t first;

	bodyring_note_sent(t, u->taken);
	found = find_bytes(t, n);
	u->told_end = found == 0;
	if (found <= 0)
		return found;
	n = (size_t)found;
	first = u->size - u->pos < n ? u->size - u->pos : n;
	memcpy(buf, u->ring + u->pos, first);
	memcpy(buf + first, u->ring, n - first);
	u->taken += n;

	autolock(&t->lock);
	u->pos = (u->pos + n) % u->size;
	u->used -= n;
	if (u->used <= u->goal)
		pthread_cond_signal(&t->cond);
	return found;
}

void bodyring_note_sent(struct http_transfer *t, uint64_t bytes)
{
	uint64_t before = atomic_load(&t->up.sent);

	if (bytes > t->up.taken)
		bytes = t->up.taken;
	if (bytes <= before)
		return;
	atomic_store(&t->up.sent, bytes);
	metric_add(METRIC_HTTP_BYTES_OUT, (int64_t)(bytes - before));
}

bool bodyring_idle(struct http_transfer *t)
{
	autolock(&t->lock);
	return t->up.paused && !t->up.resume_asked;
}

bool bodyring_complete(const struct http_transfer *t, uint64_t bytes)
{
	return t->up.told_end ||
	       (t->up.total != HTTP_UPLOAD_UNKNOWN && bytes >= t->up.total);
}

bool bodyring_answered(struct http_transfer *t)
{
	struct bodyring *u = &t->up;

	if (!u->wanted || u->told_end || u->taken == u->total)
		return true;
	autolock(&t->lock);
	u->over = true;
	ask_resume(t);
	return false;
}

/* Waits until len more fit: all of them or none. */
static int wait_room(struct http_transfer *t, size_t len, struct wait *w)
{
	struct bodyring *u = &t->up;
	int r;

	/* A caller that is woken for every packet costs more than they do. */
	u->goal = len < RING_BYTES / 2 ? RING_BYTES / 2
		  : len < RING_BYTES   ? RING_BYTES - len
				       : 0;
	while (!t->head_ready && !t->finished && u->used > 0 &&
	       u->used + len > RING_BYTES) {
		r = wait_cond(w, &t->cond, &t->lock);
		if (r < 0)
			return r;
	}
	return t->head_ready || t->finished ? -EPIPE : 0;
}

static int make_room(struct bodyring *u, size_t len)
{
	size_t size = len > RING_BYTES ? len : RING_BYTES;
	char *ring;

	/* Of a short body no more than there will be. */
	if (size > u->total && len <= u->total)
		size = (size_t)u->total;
	if (u->size - u->used >= len)
		return 0;
	ring = malloc(size);
	if (!ring)
		return -ENOMEM;
	free(u->ring);
	u->ring = ring;
	u->size = size;
	u->pos = 0;
	return 0;
}

/* Lock held. */
static int prepare(struct http_transfer *t, size_t len, struct wait *w)
{
	struct bodyring *u = &t->up;
	int r = -EINVAL;

	if (u->wanted && !u->ended && len > 0 && len <= u->total - u->given)
		r = wait_room(t, len, w);
	return r < 0 ? r : make_room(u, len);
}

ssize_t http_send_room(struct http_transfer *t, size_t len, struct wait *w,
		       void **ret)
{
	struct bodyring *u = &t->up;
	size_t pos;
	int r;

	autolock(&t->lock);
	r = prepare(t, len, w);
	if (r < 0)
		return r;
	if (u->used == 0)
		u->pos = 0;
	pos = (u->pos + u->used) % u->size;
	*ret = u->ring + pos;
	return (ssize_t)(u->size - pos < len ? u->size - pos : len);
}

void http_send_filled(struct http_transfer *t, size_t n)
{
	autolock(&t->lock);
	t->up.used += n;
	t->up.given += n;
	ask_resume(t);
}

void http_send_end(struct http_transfer *t)
{
	autolock(&t->lock);
	t->up.ended = true;
	ask_resume(t);
}

uint64_t http_sent_bytes(const struct http_transfer *t)
{
	return atomic_load(&t->up.sent);
}
