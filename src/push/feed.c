/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage with a hash and readers behind the writer.  Two locks: `writing` for
 * whoever changes bytes, held while they go to the disk and through the hash;
 * `lock` for what readers look at, held for moments only, and taken second.
 *
 * Invariants: [0, solid) was written, or is a hole that an end made real;
 * solid <= size.  [0, hashed) went through the hash as it is.  Bytes below
 * `promised` were given to readers: who changes them counts an edit first, and
 * a reader who has counted fewer knows nothing any more.
 */
#include "push/feed.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/stage.h"

#define ISLANDS_MAX 32
#define HASH_STEP_BYTES ((size_t)256 << 10)
/* Writes of one handle may overtake each other by a few requests: so much is
 * hashed from the stage at once, more when the digest is wanted. */
#define CATCH_UP_BYTES ((uint64_t)4 << 20)

struct island {
	uint64_t from, to;
};

struct feed {
	atomic_uint refs;
	struct stage *stage;

	pthread_mutex_t writing;
	struct hash hash; /* these three: protected by writing */
	uint64_t hashed;
	bool jumbled; /* earlier bytes were changed: no more catching up */

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t moved;
	_Atomic uint64_t size; /* read without it */
	atomic_bool ended;     /* likewise */
	bool aborted;
	uint64_t solid;
	struct island islands[ISLANDS_MAX]; /* written beyond a gap */
	size_t islands_len;
	uint64_t edits;
	uint64_t promised;
	bool end_promised; /* somebody was told that this is the end */
};

int feed_new(struct store *s, struct feed **ret)
{
	struct feed *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = stage_new(s, &f->stage);
	if (r < 0) {
		free(f);
		return r;
	}
	atomic_init(&f->refs, 1);
	atomic_init(&f->size, 0);
	atomic_init(&f->ended, false);
	hash_init(&f->hash, HASH_SHA256);
	pthread_mutex_init(&f->writing, NULL);
	pthread_mutex_init(&f->lock, NULL);
	wait_cond_init(&f->moved);
	*ret = f;
	return 0;
}

struct feed *feed_ref(struct feed *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}

void feed_unref(struct feed *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
		return;
	stage_free(f->stage);
	pthread_cond_destroy(&f->moved);
	pthread_mutex_destroy(&f->lock);
	pthread_mutex_destroy(&f->writing);
	free(f);
}

/* --- what was written without a gap --- */

static void islands_land(struct feed *f)
{
	for (size_t i = 0; i < f->islands_len;) {
		struct island n = f->islands[i];

		if (n.from > f->solid) {
			i++;
			continue;
		}
		if (n.to > f->solid)
			f->solid = n.to;
		f->islands[i] = f->islands[--f->islands_len];
		i = 0;
	}
}

/* One too many is forgotten: readers then wait there for the end. */
static void solid_add(struct feed *f, uint64_t from, uint64_t to)
{
	if (from <= f->solid) {
		if (to > f->solid)
			f->solid = to;
		islands_land(f);
		return;
	}
	for (size_t i = 0; i < f->islands_len; i++)
		if (f->islands[i].to == from) {
			f->islands[i].to = to;
			return;
		}
	if (f->islands_len < ISLANDS_MAX)
		f->islands[f->islands_len++] = (struct island){from, to};
}

static void solid_cut(struct feed *f, uint64_t size_bytes)
{
	if (f->solid > size_bytes)
		f->solid = size_bytes;
	for (size_t i = 0; i < f->islands_len;) {
		struct island *n = &f->islands[i];

		if (n->to > size_bytes)
			n->to = size_bytes;
		if (n->from < n->to)
			i++;
		else
			*n = f->islands[--f->islands_len];
	}
}

/* --- the hash; `writing` is held --- */

static void hash_anew(struct feed *f)
{
	hash_init(&f->hash, f->hash.alg);
	f->hashed = 0;
}

static int hash_stage(struct feed *f, struct hash *h, uint64_t from,
		      uint64_t to)
{
	autofree char *buf = malloc(HASH_STEP_BYTES);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while (from < to) {
		size_t len = HASH_STEP_BYTES;

		if (len > to - from)
			len = (size_t)(to - from);
		n = stage_read(f->stage, buf, len, from);
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		hash_update(h, buf, (size_t)n);
		from += (uint64_t)n;
	}
	return 0;
}

static int hash_until(struct feed *f, uint64_t to)
{
	int r = hash_stage(f, &f->hash, f->hashed, to);

	if (r < 0)
		hash_anew(f); /* nobody knows how far it came */
	else
		f->hashed = to;
	return r;
}

static void hash_written(struct feed *f, const void *buf, size_t len,
			 uint64_t off, uint64_t solid)
{
	if (off < f->hashed) {
		hash_anew(f);
		f->jumbled = off > 0;
	}
	if (off != f->hashed)
		return;
	hash_update(&f->hash, buf, len);
	f->hashed += len;
	if (!f->jumbled && solid > f->hashed &&
	    solid - f->hashed <= CATCH_UP_BYTES)
		hash_until(f, solid);
}

void feed_hash_by(struct feed *f, enum hash_alg alg)
{
	autolock(&f->writing);
	if (f->hash.alg == alg)
		return;
	hash_init(&f->hash, alg);
	f->hashed = 0;
}

/* --- the writer --- */

/* Bytes from `off` on are about to change. */
static int note_change(struct feed *f, uint64_t off)
{
	autolock(&f->lock);
	if (f->aborted)
		return -EIO;
	if (off < f->promised || f->end_promised) {
		f->edits++;
		f->promised = 0;
		f->end_promised = false;
	}
	atomic_store(&f->ended, false);
	return 0;
}

int feed_write(struct feed *f, const void *buf, size_t len, uint64_t off)
{
	uint64_t solid;
	int r;

	if (len == 0)
		return 0;
	if (off > (uint64_t)INT64_MAX - len)
		return -EFBIG;
	autolock(&f->writing);
	r = note_change(f, off);
	if (r == 0)
		r = stage_write(f->stage, buf, len, off);
	if (r < 0)
		return r;
	pthread_mutex_lock(&f->lock);
	if (off + len > atomic_load(&f->size))
		atomic_store(&f->size, off + len);
	solid_add(f, off, off + len);
	solid = f->solid;
	pthread_cond_broadcast(&f->moved);
	pthread_mutex_unlock(&f->lock);
	hash_written(f, buf, len, off, solid);
	return 0;
}

int feed_truncate(struct feed *f, uint64_t size_bytes)
{
	int r;

	if (size_bytes > INT64_MAX)
		return -EFBIG;
	autolock(&f->writing);
	if (size_bytes == feed_size(f))
		return 0;
	r = note_change(f, size_bytes);
	if (r == 0)
		r = stage_truncate(f->stage, size_bytes);
	if (r < 0)
		return r;
	if (size_bytes < f->hashed) {
		hash_anew(f);
		f->jumbled = size_bytes > 0;
	}
	autolock(&f->lock);
	atomic_store(&f->size, size_bytes);
	solid_cut(f, size_bytes);
	return 0;
}

void feed_end(struct feed *f)
{
	autolock(&f->writing);
	autolock(&f->lock);
	atomic_store(&f->ended, true);
	f->solid = atomic_load(&f->size);
	f->islands_len = 0;
	pthread_cond_broadcast(&f->moved);
}

void feed_abort(struct feed *f)
{
	autolock(&f->lock);
	f->aborted = true;
	pthread_cond_broadcast(&f->moved);
}

int feed_digest(struct feed *f, enum hash_alg alg, struct digest *ret)
{
	struct digest d = {.alg = alg};
	uint8_t raw[HASH_MAX];
	struct hash h;
	int r = 0;

	autolock(&f->writing);
	if (alg == f->hash.alg) {
		r = hash_until(f, feed_size(f));
		h = f->hash;
	} else {
		hash_init(&h, alg);
		r = hash_stage(f, &h, 0, feed_size(f));
	}
	if (r < 0)
		return r;
	hash_final(&h, raw);
	memcpy(d.raw, raw, hash_size(alg));
	*ret = d;
	return 0;
}

/* --- anybody --- */

uint64_t feed_size(const struct feed *f)
{
	return atomic_load(&f->size);
}

bool feed_ended(const struct feed *f)
{
	return atomic_load(&f->ended);
}

uint64_t feed_final_size(const struct feed *f)
{
	return feed_ended(f) ? feed_size(f) : FEED_SIZE_UNKNOWN;
}

ssize_t feed_read(struct feed *f, void *buf, size_t len, uint64_t off)
{
	return stage_read(f->stage, buf, len, off);
}

int feed_read_whole(struct feed *f, size_t max, char **ret, size_t *ret_len)
{
	autofree char *bytes = NULL;
	uint64_t size = feed_size(f);
	size_t pos = 0;
	ssize_t n;

	if (size > max)
		return -EFBIG;
	bytes = malloc((size_t)size + 1);
	if (!bytes)
		return -ENOMEM;
	while (pos < size) {
		n = stage_read(f->stage, bytes + pos, (size_t)size - pos, pos);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break; /* cut meanwhile */
		pos += (size_t)n;
	}
	bytes[pos] = '\0';
	*ret = steal(&bytes);
	*ret_len = pos;
	return 0;
}

/* --- the upload behind it --- */

/* Waits until there is something at `off`; *ret_to: where that ends, or `off`
 * at the end of all.  Promises it. */
static int next_span(struct feed *f, struct feed_reader *seen, size_t len,
		     uint64_t off, struct wait *w, uint64_t *ret_to)
{
	uint64_t to;
	int r;

	autolock(&f->lock);
	if (seen->seen_off == 0)
		seen->edits = f->edits;
	for (;;) {
		if (f->aborted)
			return -ECANCELED;
		if (seen->edits != f->edits)
			return -ESTALE;
		if (off < f->solid || atomic_load(&f->ended))
			break;
		r = wait_cond(w, &f->moved, &f->lock);
		if (r < 0)
			return r;
	}
	to = off;
	if (off < f->solid)
		to = f->solid - off < len ? f->solid : off + len;
	if (to > f->promised)
		f->promised = to;
	if (to == off)
		f->end_promised = true;
	*ret_to = to;
	return 0;
}

ssize_t feed_next(struct feed *f, struct feed_reader *seen, void *buf,
		  size_t len, uint64_t off, struct wait *w)
{
	uint64_t to;
	ssize_t n;
	int r;

	if (len == 0)
		return -EINVAL;
	r = next_span(f, seen, len, off, w, &to);
	if (r < 0)
		return r;
	if (to == off)
		return 0;
	n = stage_read(f->stage, buf, (size_t)(to - off), off);
	autolock(&f->lock);
	if (seen->edits != f->edits)
		return -ESTALE;
	if (n <= 0)
		return n < 0 ? n : -EIO;
	if (off + (uint64_t)n > seen->seen_off)
		seen->seen_off = off + (uint64_t)n;
	stage_pass(f->stage, off);
	return n;
}

int feed_wait_end(struct feed *f, struct wait *w)
{
	int r = 0;

	autolock(&f->lock);
	while (r == 0 && !f->aborted && !atomic_load(&f->ended))
		r = wait_cond(w, &f->moved, &f->lock);
	return r == 0 && f->aborted ? -ECANCELED : r;
}
