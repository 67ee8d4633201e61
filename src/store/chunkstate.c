/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transitions of a chunk and of a blob (see chunk.h), each in one place.
 *
 * Whoever makes chunks absent does so under the lock first and touches the
 * file afterwards; `drops` lets readers that were in the file meanwhile find
 * out.  Whoever writes or punches holds a claim on the range, so a chunk is
 * never written while its hole is being punched.  Whoever empties the file
 * moves `epoch`, and writers that began before it begin again.
 */
#include <errno.h>
#include <unistd.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"

void chunk_use(struct chunks *c)
{
	struct store *s = c->s;

	c->used = ++s->tick;
	list_del(&c->node);
	list_push_back(&s->open, &c->node);
}

static void count_bytes(struct chunks *c, size_t i, bool more)
{
	size_t len = chunkmap_len(&c->map, i);

	if (chunkmap_test(&c->map, CHUNK_SPILLED, i))
		return;
	if (more) {
		c->file_bytes += len;
		c->s->bytes += len;
	} else {
		c->file_bytes -= len;
		c->s->bytes -= len;
	}
}

void chunk_mark(struct chunks *c, size_t i)
{
	if (!chunkmap_test(&c->map, CHUNK_PRESENT, i))
		count_bytes(c, i, true);
	chunkmap_add(&c->map, i);
	chunkmap_touch(&c->map, i, clock_ms());
	c->dirty = true;
}

void chunk_lost(struct chunks *c, size_t i)
{
	if (chunkmap_test(&c->map, CHUNK_PRESENT, i))
		count_bytes(c, i, false);
	if (chunkmap_test(&c->map, CHUNK_SPILLED, i))
		spill_remove(&c->s->spill, c, i);
	chunkmap_remove(&c->map, i);
	c->disturbed |= i == c->map.hashed;
	c->drops++;
	c->dirty = true;
}

void chunk_ref(struct chunks *c)
{
	if (c->refs++ == 0)
		c->s->idle--;
}

void chunk_unref(struct chunks *c)
{
	if (--c->refs > 0)
		return;
	c->s->idle++;
	c->idle_ms = clock_ms();
}

static bool claimed(const struct chunks *c, size_t i)
{
	list_for(node, &c->claims) {
		const struct claim *other =
			container_of(node, struct claim, node);

		if (i >= other->from && i < other->to)
			return true;
	}
	return false;
}

bool chunk_claim(struct chunks *c, size_t i, struct claim *claim)
{
	for (;;) {
		if (chunkmap_test(&c->map, CHUNK_PRESENT, i))
			return false;
		if (!c->resetting && !claimed(c, i))
			break;
		pthread_cond_wait(&c->s->changed, &c->s->lock);
	}
	claim->from = i;
	claim->to = i + 1;
	list_push_back(&c->claims, &claim->node);
	return true;
}

void chunk_unclaim(struct chunks *c, struct claim *claim)
{
	list_del(&claim->node);
	pthread_cond_broadcast(&c->s->changed);
}

void chunk_spill(struct chunks *c, size_t i, void *bytes)
{
	struct spill_entry victim;

	spill_put(&c->s->spill, c, i, bytes, &victim);
	chunkmap_set(&c->map, CHUNK_SPILLED, i);
	if (victim.owner)
		chunk_lost(victim.owner, victim.i);
}

void chunk_reset_begin(struct chunks *c, bool states)
{
	c->resetting++;
	c->epoch++;
	c->drops++;
	c->hidden = HIDDEN_NONE;
	spill_remove_all(&c->s->spill, c);
	c->s->bytes -= c->file_bytes;
	c->file_bytes = 0;
	chunkmap_reset(&c->map, states);
	c->states_lost |= states;
	c->dirty = true;
}

void chunk_reset_empty(struct chunks *c)
{
	struct blob_change change = {
		.digest = &c->digest,
		.size_bytes = c->size_bytes,
		.maps_lost = true,
	};
	struct store *s = c->s;
	int fd, r;

	pthread_mutex_lock(&s->lock);
	change.used = c->used;
	change.states_lost = c->states_lost;
	change.verified = chunkmap_verified(&c->map) && !c->failed;
	c->states_lost = false;
	fd = c->fd;
	pthread_mutex_unlock(&s->lock);

	r = blob_save(s, &change);
	/* If it fails the space is lost until the blob is removed. */
	if (fd >= 0 && ftruncate(fd, 0) < 0)
		(void)blobfile_punch(fd, 0, c->size_bytes);

	autolock(&s->lock);
	if (r < 0 && change.states_lost)
		c->states_lost = true;
	c->resetting--;
	pthread_cond_broadcast(&s->changed);
}

void chunk_reset_finish(struct chunks *c)
{
	autolock(&c->s->maintenance);

	chunk_reset_empty(c);
}
