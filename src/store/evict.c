/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction.  First whole blobs that are not open, least recently used first;
 * then those open without a user; then chunks of blobs in use: each has a
 * clock hand that goes round and takes what was not used since it passed,
 * behind the hash frontier first, for ahead of it a hole holds up the hash.
 *
 * Limits: above size_bytes the janitor is woken; above HARD_BYTES more whoever
 * writes makes the room himself and spares nothing, so that a stream faster
 * than the janitor stays bounded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metric.h"
#include "util/vec.h"

#define HARD_BYTES ((uint64_t)32 << 20)
#define ROOM_BYTES_MAX ((uint64_t)64 << 20)
/* So much may be written before the free space is looked at again. */
#define LOOK_BYTES ((uint64_t)64 << 20)
#define RUN_MAX 256
#define CLOSED_BATCH 16
#define FULL_PAUSE_MS 1000
#define SPARE_MS 1000

uint64_t evict_target(uint64_t bytes, uint64_t size_bytes, uint64_t free_bytes,
		      uint64_t min_free_bytes)
{
	uint64_t room = size_bytes / 16, target = bytes, lack;

	if (room > ROOM_BYTES_MAX)
		room = ROOM_BYTES_MAX;
	if (bytes > size_bytes)
		target = size_bytes - room;
	if (free_bytes < min_free_bytes) {
		lack = min_free_bytes - free_bytes;
		lack = lack < bytes ? bytes - lack : 0;
		if (lack < target)
			target = lack;
	}
	return target;
}

static bool above(struct store *s, uint64_t target)
{
	autolock(&s->lock);

	return s->bytes > target;
}

/* How many chunks too many, at most RUN_MAX.  Lock held. */
static size_t excess(const struct store *s, uint64_t target)
{
	uint64_t n = s->bytes > target ? s->bytes - target : 0;

	n = (n + CHUNK_BYTES - 1) / CHUNK_BYTES;
	return n < RUN_MAX ? (size_t)n : RUN_MAX;
}

static bool is_open(struct store *s, const struct digest *d)
{
	autolock(&s->lock);

	return map_findn(s->table, d, sizeof(*d)) != NULL;
}

static void evict_closed_blob(struct store *s, const struct digest *d,
			      const struct blob_row *row)
{
	autolock(&s->opening);

	if (is_open(s, d) || blob_empty(s, d) < 0)
		return;
	blobfile_remove(s, d);
	autolock(&s->lock);
	s->bytes -= row->bytes < s->bytes ? row->bytes : s->bytes;
}

static void evict_closed(struct store *s, uint64_t target)
{
	struct digest digests[CLOSED_BATCH];
	struct blob_row rows[CLOSED_BATCH];
	uint64_t since = 0;
	size_t n = 0;

	do {
		if (blob_oldest(s, since, CLOSED_BATCH, digests, rows, &n) < 0)
			return;
		for (size_t i = 0; i < n && above(s, target); i++) {
			evict_closed_blob(s, &digests[i], &rows[i]);
			since = rows[i].used + 1;
		}
	} while (n == CLOSED_BATCH && above(s, target));
}

/* A run of chunks is taken off the map, then off the disk.  How many. */
static size_t evict_run(struct chunks *c, size_t limit, uint64_t target,
			uint64_t now_ms, bool force)
{
	struct claim claim;
	struct store *s = c->s;
	bool saved = false;
	size_t from = 0, n;
	int fd, r;

	pthread_mutex_lock(&s->lock);
	n = chunkmap_victims(&c->map, limit, now_ms, force, excess(s, target),
			     &from);
	for (size_t i = from; i < from + n; i++) {
		saved |= chunkmap_test(&c->map, CHUNK_SAVED, i);
		chunkmap_clear(&c->map, CHUNK_SAVED, i);
		chunk_lost(c, i);
	}
	claim.from = from;
	claim.to = from + n;
	list_push_back(&c->claims, &claim.node);
	fd = c->fd;
	pthread_mutex_unlock(&s->lock);

	/* The map never says more than there is: it goes first. */
	if (saved)
		(void)save_lost(c, from / SEGMENT_CHUNKS,
				(from + n - 1) / SEGMENT_CHUNKS);
	r = n ? blobfile_punch(fd, (uint64_t)from * CHUNK_BYTES,
			       (uint64_t)n * CHUNK_BYTES)
	      : 0;

	autolock(&s->lock);
	chunk_unclaim(c, &claim);
	if (r == -EOPNOTSUPP && !s->no_punch) {
		s->no_punch = true;
		log_warning("cache %s: its file system cannot punch holes: "
			    "only whole blobs are evicted",
			    s->dir);
	}
	return n;
}

static void evict_idle(struct chunks *c, uint64_t now_ms, bool force)
{
	struct store *s = c->s;
	bool go;

	pthread_mutex_lock(&s->lock);
	go = c->refs == 1 && c->file_bytes > 0 &&
	     (force || now_ms - c->idle_ms >= SPARE_MS);
	if (go)
		chunk_reset_begin(c, false);
	pthread_mutex_unlock(&s->lock);
	if (go)
		chunk_reset_empty(c);
}

static void evict_chunks(struct chunks *c, uint64_t target, uint64_t now_ms,
			 bool force)
{
	size_t hashed;

	pthread_mutex_lock(&c->s->lock);
	hashed = c->map.hashed;
	pthread_mutex_unlock(&c->s->lock);
	while (evict_run(c, hashed, target, now_ms, force) > 0)
		continue;
	while (evict_run(c, c->count, target, now_ms, force) > 0)
		continue;
}

struct open_blobs {
	VEC(struct chunks *) list;
};

/* Least recently used first; all with a user (us) more. */
static void hold_open(struct store *s, struct open_blobs *ret)
{
	autolock(&s->lock);

	list_for(node, &s->open) {
		struct chunks *c = container_of(node, struct chunks, node);

		if (c->file_bytes == 0 || c->resetting)
			continue;
		if (vec_push(&ret->list, c) < 0)
			break;
		chunk_ref(c);
	}
}

static void let_go(struct store *s, struct open_blobs *o)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < o->list.len; i++)
		chunk_unref(o->list.v[i]);
	pthread_mutex_unlock(&s->lock);
	vec_done(&o->list);
}

static void evict_open(struct store *s, uint64_t target, uint64_t now_ms,
		       bool force)
{
	struct open_blobs o = {{0}};
	bool punch;

	hold_open(s, &o);
	pthread_mutex_lock(&s->lock);
	punch = !s->no_punch;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < o.list.len && above(s, target); i++)
		evict_idle(o.list.v[i], now_ms, force);
	for (size_t i = 0; i < o.list.len && punch && above(s, target); i++)
		evict_chunks(o.list.v[i], target, now_ms, force);
	let_go(s, &o);
}

uint64_t evict_unused(struct store *s)
{
	struct open_blobs o = {{0}};
	uint64_t before;

	autolock(&s->maintenance);
	pthread_mutex_lock(&s->lock);
	before = s->bytes;
	pthread_mutex_unlock(&s->lock);
	evict_closed(s, 0);
	hold_open(s, &o);
	for (size_t i = 0; i < o.list.len; i++)
		evict_idle(o.list.v[i], 0, true);
	let_go(s, &o);
	autolock(&s->lock);
	return before > s->bytes ? before - s->bytes : 0;
}

uint64_t evict_to(struct store *s, uint64_t target_bytes, uint64_t now_ms,
		  bool force)
{
	uint64_t before, after;

	autolock(&s->maintenance);
	pthread_mutex_lock(&s->lock);
	before = s->bytes;
	pthread_mutex_unlock(&s->lock);
	if (before <= target_bytes)
		return 0;
	evict_closed(s, target_bytes);
	if (above(s, target_bytes))
		evict_open(s, target_bytes, now_ms, false);
	if (force && above(s, target_bytes))
		evict_open(s, target_bytes, now_ms, true);
	autolock(&s->lock);
	after = s->bytes;
	if (after >= before)
		return 0;
	s->evicted_bytes += before - after;
	metric_add(METRIC_EVICTED_BYTES, (int64_t)(before - after));
	return before - after;
}

void evict_check(struct store *s, uint64_t now_ms)
{
	uint64_t free_bytes = UINT64_MAX, bytes, target;
	bool starved;

	if (storedir_free(s, &free_bytes) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	bytes = s->bytes;
	s->unchecked_bytes = 0;
	pthread_mutex_unlock(&s->lock);
	target = evict_target(bytes, s->size_bytes, free_bytes,
			      s->min_free_bytes);
	if (target < bytes) {
		evict_to(s, target, now_ms, false);
		(void)storedir_free(s, &free_bytes);
	}
	starved = free_bytes < s->min_free_bytes;
	autolock(&s->lock);
	if (starved && !s->starved)
		log_warning("cache %s: less than the free space to be left; "
			    "going on in memory",
			    s->dir);
	s->starved = starved;
	metric_set(METRIC_CACHE_BYTES, (int64_t)s->bytes);
}

bool evict_make_room(struct store *s, uint64_t now_ms)
{
	bool kick, hard;

	pthread_mutex_lock(&s->lock);
	s->unchecked_bytes += CHUNK_BYTES;
	kick = s->bytes > s->size_bytes || s->unchecked_bytes >= LOOK_BYTES;
	hard = s->bytes > s->size_bytes + HARD_BYTES;
	if (kick && !s->kicked) {
		s->kicked = true;
		pthread_cond_signal(&s->kick);
	}
	if (s->starved) {
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	pthread_mutex_unlock(&s->lock);
	if (!hard)
		return true;
	evict_to(s, s->size_bytes, now_ms, true);
	return !above(s, s->size_bytes + HARD_BYTES);
}

bool evict_disk_full(struct store *s, uint64_t now_ms)
{
	uint64_t bytes, room, freed;

	pthread_mutex_lock(&s->lock);
	bytes = s->bytes;
	if (s->full_ms && now_ms - s->full_ms < FULL_PAUSE_MS)
		bytes = 0;
	pthread_mutex_unlock(&s->lock);
	if (bytes == 0)
		return false;
	room = bytes < ROOM_BYTES_MAX ? bytes : ROOM_BYTES_MAX;
	freed = evict_to(s, bytes - room, now_ms, false);
	if (freed > 0)
		return true;
	autolock(&s->lock);
	s->full_ms = now_ms;
	return false;
}

bool evict_has_room(struct store *s, uint64_t need_bytes)
{
	uint64_t free_bytes;

	/* Where that cannot be told, the write will. */
	return storedir_free(s, &free_bytes) < 0 ||
	       free_bytes >= s->min_free_bytes + need_bytes;
}

bool evict_for(struct store *s, uint64_t need_bytes, uint64_t now_ms)
{
	uint64_t floor = s->min_free_bytes + need_bytes, free_bytes = 0, bytes;

	if (evict_has_room(s, need_bytes))
		return true;
	(void)storedir_free(s, &free_bytes);
	pthread_mutex_lock(&s->lock);
	bytes = s->bytes;
	pthread_mutex_unlock(&s->lock);
	/* More than is needed now: the next need is near. */
	bytes = evict_target(bytes, UINT64_MAX, free_bytes,
			     floor + ROOM_BYTES_MAX);
	evict_to(s, bytes, now_ms, true);
	if (!evict_has_room(s, need_bytes))
		treefile_evict(s, need_bytes);
	return evict_has_room(s, need_bytes);
}
