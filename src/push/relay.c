/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay reads in order, and hashes in order.  Who sends may have to go back
 * (an upload that was cut): then it begins at the last state it has kept before
 * that place, and what comes again is hashed again; where it ends up, at the
 * furthest place so far, the two hashes must agree.  So whatever bytes of
 * whichever answer were sent, they are those that the final digest is about.
 *
 * Invariants: `now` is the hash of [0, now.bytes), the place of the next byte;
 * `front` that of all that was ever read, now.bytes <= front.bytes; the states
 * kept are those at each multiple of `step` up to front.bytes.
 */
#include "push/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/known.h"
#include "registry/fetch.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/hash.h"

#define MARKS_MAX 256
#define MARKS_STEP ((uint64_t)64 << 10)
#define SKIP_BYTES ((size_t)256 << 10)
/* Below this it is rather fetched again than through the cache. */
#define CACHED_PERCENT_MIN 50

struct relay {
	struct repo *from;
	struct digest digest;
	uint64_t size;
	struct blob *blob;
	bool direct;  /* not through the cache */
	bool trusted; /* the cache has verified the whole of it */
	struct ahead ahead;
	struct fetch *fetch; /* if direct; its place is now.bytes */
	struct hash now, front;
	uint64_t step;
	size_t marks_len;
	uint8_t marks[MARKS_MAX][HASH_STATE_MAX];
};

int relay_open(struct repo *from, const struct digest *d, uint64_t size_bytes,
	       bool direct, struct relay **ret)
{
	struct relay *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = blob_open(from, d, size_bytes, &r->blob);
	if (e < 0) {
		free(r);
		return e;
	}
	blob_reader_checks(r->blob);
	ahead_init(&r->ahead, content_ahead_limit(repo_content(from)), true);
	hash_init(&r->now, d->alg);
	r->front = r->now;
	r->from = repo_ref(from);
	r->digest = *d;
	r->size = size_bytes;
	r->step = MARKS_STEP;
	r->trusted = blob_verified(r->blob);
	r->direct = direct && blob_cached_percent(r->blob) < CACHED_PERCENT_MIN;
	*ret = r;
	return 0;
}

void relay_close(struct relay *r)
{
	if (!r)
		return;
	fetch_close(r->fetch);
	ahead_done(&r->ahead);
	blob_unref(r->blob);
	repo_unref(r->from);
	free(r);
}

/* --- hashing --- */

static void keep_mark(struct relay *r)
{
	uint64_t next = (r->marks_len + 1) * r->step;

	if (r->front.bytes != next)
		return;
	hash_get_state(&r->front, r->marks[r->marks_len++]);
	if (r->marks_len < MARKS_MAX)
		return;
	/* Every other one from now on. */
	r->marks_len /= 2;
	r->step *= 2;
	for (size_t i = 0; i < r->marks_len; i++)
		memcpy(r->marks[i], r->marks[2 * i + 1], HASH_STATE_MAX);
}

static void hash_front(struct relay *r, const char *buf, size_t len)
{
	while (len > 0) {
		uint64_t left = r->step - r->front.bytes % r->step;
		size_t n = len < left ? len : (size_t)left;

		hash_update(&r->front, buf, n);
		keep_mark(r);
		buf += n;
		len -= n;
	}
	r->now = r->front;
}

static int mismatch(struct relay *r)
{
	blob_fault(r->blob, EBADMSG,
		   "what the registry sent is not what its digest says");
	if (!r->direct)
		blob_reject(r->blob);
	return -EBADMSG;
}

static bool is_equal(struct hash a, struct hash b)
{
	struct digest x = {.alg = a.alg}, y = {.alg = b.alg};

	hash_final(&a, x.raw);
	hash_final(&b, y.raw);
	return digest_equal(&x, &y);
}

/* The next bytes have come, again or for the first time. */
static int hash_on(struct relay *r, const char *buf, size_t len)
{
	uint64_t behind = r->front.bytes - r->now.bytes;
	size_t again = len < behind ? len : (size_t)behind;

	if (again > 0) {
		hash_update(&r->now, buf, again);
		if (again == behind && !is_equal(r->now, r->front))
			return mismatch(r);
	}
	if (len > again)
		hash_front(r, buf + again, len - again);
	return 0;
}

/* To the last state that is kept at or before off. */
static void go_back(struct relay *r, uint64_t off)
{
	size_t n = (size_t)(off / r->step);

	if (n > r->marks_len)
		n = r->marks_len;
	fetch_close(r->fetch);
	r->fetch = NULL;
	if (n == 0)
		hash_init(&r->now, r->digest.alg);
	else
		hash_resume(&r->now, r->digest.alg, n * r->step,
			    r->marks[n - 1]);
}

/* --- bytes --- */

static int open_stream(struct relay *r, struct wait *w)
{
	uint64_t off = r->now.bytes;
	int e;

	e = fetch_blob(repo_registry(r->from), repo_name(r->from), &r->digest,
		       r->size, off, r->size - off, w, &r->fetch);
	/* Where ranges are ignored, it begins at the beginning. */
	if (e == 0 && fetch_off(r->fetch) != off)
		hash_init(&r->now, r->digest.alg);
	return e;
}

/* The bytes at now.bytes; they are not hashed yet. */
static ssize_t read_on(struct relay *r, void *buf, size_t len, struct wait *w)
{
	ssize_t n;
	int e = 0;

	if (r->direct) {
		if (!r->fetch)
			e = open_stream(r, w);
		return e < 0 ? e : fetch_read(r->fetch, buf, len, w);
	}
	n = blob_read(r->blob, &r->ahead, buf, len, r->now.bytes, w);
	/* All of it will be wanted: no need to watch the reader first. */
	if (n > 0 && r->now.bytes == 0)
		blob_prefetch(r->blob, (uint64_t)n, r->ahead.limit_bytes);
	return n;
}

static ssize_t read_hashed(struct relay *r, void *buf, size_t len, unsigned ms,
			   struct wait *w)
{
	ssize_t n;
	int e;

	if (r->now.bytes >= r->size)
		return 0;
	n = read_on(r, buf, len, w);
	if (n <= 0)
		return n < 0 ? n : -EIO;
	w->deadline_ms = clock_ms() + ms;
	e = hash_on(r, buf, (size_t)n);
	return e < 0 ? e : n;
}

/* From a place that is kept up to off, or to what a server begins with. */
static int catch_up(struct relay *r, uint64_t off, unsigned ms, struct wait *w)
{
	autofree char *buf = malloc(SKIP_BYTES);
	ssize_t n = 1;

	if (!buf)
		return -ENOMEM;
	while (r->now.bytes < off && n > 0) {
		uint64_t left = off - r->now.bytes;

		n = read_hashed(r, buf,
				left < SKIP_BYTES ? (size_t)left : SKIP_BYTES,
				ms, w);
	}
	return n < 0 ? (int)n : 0;
}

static ssize_t read_trusted(struct relay *r, void *buf, size_t len,
			    uint64_t off, unsigned ms, struct wait *w)
{
	ssize_t n = blob_read(r->blob, &r->ahead, buf, len, off, w);

	if (n > 0)
		w->deadline_ms = clock_ms() + ms;
	return n;
}

ssize_t relay_read(struct relay *r, void *buf, size_t len, uint64_t off,
		   unsigned ms, struct wait *w)
{
	int e = 0;

	if (r->trusted && !r->direct)
		return read_trusted(r, buf, len, off, ms, w);
	if (off < r->now.bytes)
		go_back(r, off);
	if (r->direct && !r->fetch && r->now.bytes < r->size)
		e = open_stream(r, w);
	if (e == 0 && r->now.bytes < off)
		e = catch_up(r, off, ms, w);
	return e < 0 ? e : read_hashed(r, buf, len, ms, w);
}

int relay_check(struct relay *r, unsigned ms, struct wait *w)
{
	struct digest got = {.alg = r->digest.alg};
	struct hash h;
	int e;

	if (r->trusted && !r->direct)
		return 0;
	e = catch_up(r, r->size, ms, w);
	if (e < 0)
		return e;
	h = r->front;
	hash_final(&h, got.raw);
	if (!digest_equal(&got, &r->digest))
		return mismatch(r);
	if (r->direct)
		learn_blob(r->from, &r->digest, r->size);
	return 0;
}
