/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving maps.  What the map says now is noted (CHUNK_SAVING), the data is
 * made durable, then what is noted is written: chunks that came after the note
 * wait for the next time, chunks that were lost after it are taken off it.
 * The wait for the disk is outside of `maintenance`, so eviction goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/vec.h"

/* Lock held.  True: there is new data in the file. */
static bool note(struct chunks *c)
{
	bool changed = false;

	for (size_t n = 0; n < c->map.segments_len; n++) {
		struct segment *g = c->map.segments[n];

		for (size_t w = 0; g && w < SEGMENT_WORDS; w++) {
			g->bits[CHUNK_SAVING][w] = g->bits[CHUNK_PRESENT][w] &
						   ~g->bits[CHUNK_SPILLED][w];
			changed |= (g->bits[CHUNK_SAVING][w] &
				    ~g->bits[CHUNK_SAVED][w]) != 0;
		}
	}
	c->dirty = false;
	c->used_saved = c->used;
	return changed;
}

/* One segment's change, if any.  Lock held. */
static int add_change(struct chunks *c, size_t n, bool again,
		      struct segment_change *ret)
{
	size_t size = hash_size(c->digest.alg);
	size_t known = chunkmap_states_in(&c->map, n);
	struct segment *g = c->map.segments[n];

	*ret = (struct segment_change){.n = n};
	ret->has_bits =
		again || memcmp(g->bits[CHUNK_SAVING], g->bits[CHUNK_SAVED],
				sizeof(ret->bits)) != 0;
	memcpy(ret->bits, g->bits[CHUNK_SAVING], sizeof(ret->bits));
	/* The state that every hash begins with says nothing. */
	if (known > g->states_saved && c->map.hashed > 0) {
		ret->states = malloc(known * size);
		if (!ret->states)
			return -ENOMEM;
		memcpy(ret->states, g->states, known * size);
		ret->states_len = known * size;
		g->states_saved = known;
	}
	memcpy(g->bits[CHUNK_SAVED], g->bits[CHUNK_SAVING], sizeof(ret->bits));
	return 0;
}

static void begin_change(const struct chunks *c, struct blob_change *ret)
{
	*ret = (struct blob_change){
		.digest = &c->digest,
		.size_bytes = c->size_bytes,
		.bytes = c->file_bytes,
		.used = c->used,
		.verified = chunkmap_verified(&c->map) && !c->failed,
	};
}

/* All that changed since the last time.  Lock held. */
static int collect(struct chunks *c, struct blob_change *ret)
{
	size_t used = 0;

	begin_change(c, ret);
	for (size_t n = 0; n < c->map.segments_len; n++)
		used += c->map.segments[n] != NULL;
	ret->segments = calloc(used ? used : 1, sizeof(*ret->segments));
	if (!ret->segments)
		return -ENOMEM;
	for (size_t n = 0; n < c->map.segments_len; n++) {
		struct segment_change *g = &ret->segments[ret->segments_len];
		int r;

		if (!c->map.segments[n])
			continue;
		r = add_change(c, n, c->resave, g);
		if (r < 0)
			return r;
		ret->segments_len += g->has_bits || g->states;
	}
	ret->states_lost = c->states_lost;
	c->states_lost = c->resave = false;
	return 0;
}

/* Lock held: nothing that was written counts. */
static void redo(struct chunks *c)
{
	c->dirty = c->resave = true;
	for (size_t n = 0; n < c->map.segments_len; n++) {
		if (c->map.segments[n])
			c->map.segments[n]->states_saved = 0;
	}
}

/* The kernel may have dropped what it could not write: it counts as lost. */
static void lose_unsaved(struct chunks *c)
{
	struct chunkmap *m = &c->map;
	size_t i = 0;

	autolock(&c->s->lock);
	while ((i = chunkmap_next(m, CHUNK_PRESENT, i)) < c->count) {
		if (!chunkmap_test(m, CHUNK_SPILLED, i) &&
		    !chunkmap_test(m, CHUNK_SAVED, i))
			chunk_lost(c, i);
		i++;
	}
}

int save_one(struct chunks *c)
{
	struct blob_change change = {0};
	struct store *s = c->s;
	bool changed;
	int fd, r;

	pthread_mutex_lock(&s->lock);
	changed = note(c);
	fd = c->fd;
	pthread_mutex_unlock(&s->lock);
	if (changed && fd >= 0 && fdatasync(fd) < 0) {
		log_error("cache: data could not be made durable: %s",
			  strerror(errno));
		lose_unsaved(c);
		return -EIO;
	}

	autolock(&s->maintenance);
	pthread_mutex_lock(&s->lock);
	r = collect(c, &change);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		r = blob_save(s, &change);
	if (r < 0) {
		autolock(&s->lock);
		c->states_lost |= change.states_lost;
		redo(c);
	}
	blob_change_done(&change);
	return r;
}

int save_lost(struct chunks *c, size_t a, size_t b)
{
	struct blob_change change;
	struct store *s = c->s;
	int r;

	pthread_mutex_lock(&s->lock);
	begin_change(c, &change);
	change.segments = calloc(b - a + 1, sizeof(*change.segments));
	for (size_t n = a; change.segments && n <= b; n++) {
		struct segment_change *g =
			&change.segments[change.segments_len++];

		g->n = n;
		g->has_bits = true;
		memcpy(g->bits, c->map.segments[n]->bits[CHUNK_SAVED],
		       sizeof(g->bits));
	}
	pthread_mutex_unlock(&s->lock);
	r = change.segments ? blob_save(s, &change) : -ENOMEM;
	if (r < 0) {
		autolock(&s->lock);
		redo(c);
	}
	blob_change_done(&change);
	return r;
}

void save_again(struct store *s)
{
	autolock(&s->lock);

	list_for(node, &s->open) {
		struct chunks *c = container_of(node, struct chunks, node);

		redo(c);
		for (size_t n = 0; n < c->map.segments_len; n++) {
			struct segment *g = c->map.segments[n];

			if (g)
				memset(g->bits[CHUNK_SAVED], 0,
				       sizeof(g->bits[CHUNK_SAVED]));
		}
	}
}

int save_all(struct store *s)
{
	VEC(struct chunks *) list = {0};
	int r = 0, one;

	pthread_mutex_lock(&s->lock);
	list_for(node, &s->open) {
		struct chunks *c = container_of(node, struct chunks, node);

		if (!c->dirty)
			continue;
		r = vec_push(&list, c);
		if (r < 0)
			break;
		chunk_ref(c);
	}
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < list.len; i++) {
		one = save_one(list.v[i]);
		if (r == 0)
			r = one;
		pthread_mutex_lock(&s->lock);
		chunk_unref(list.v[i]);
		pthread_mutex_unlock(&s->lock);
	}
	vec_done(&list);
	return r;
}
