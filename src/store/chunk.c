/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A put goes: claim the chunk, check it against its states if they are known,
 * write it, make it readable, hash on from the frontier.  The put that finds
 * itself the only one missing ahead of the frontier does it the other way
 * round: its chunk stays hidden until the hash has reached the end, and the
 * whole blob becomes readable, or nothing of it.
 *
 * Blobs that nobody uses any more stay in the table for a while.
 */
#include "store/chunk.h"

#include <errno.h>
#include <string.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/metric.h"

uint64_t chunks_size(const struct chunks *c)
{
	return c->size_bytes;
}

size_t chunks_count(const struct chunks *c)
{
	return c->count;
}

size_t chunks_present(const struct chunks *c)
{
	autolock(&c->s->lock);

	return c->map.present;
}

bool chunks_verified(const struct chunks *c)
{
	autolock(&c->s->lock);

	return chunkmap_verified(&c->map) && !c->failed;
}

bool chunks_failed(const struct chunks *c)
{
	autolock(&c->s->lock);

	return c->failed;
}

void chunks_clear_failed(struct chunks *c)
{
	autolock(&c->s->lock);

	/* That of an empty blob cannot get better. */
	if (c->count > 0)
		c->failed = false;
}

void chunks_touch(struct chunks *c)
{
	autolock(&c->s->lock);

	chunk_use(c);
	c->dirty = true;
}

int chunks_drop(struct chunks *c)
{
	pthread_mutex_lock(&c->s->lock);
	chunk_reset_begin(c, false);
	pthread_mutex_unlock(&c->s->lock);
	chunk_reset_finish(c);
	return 0;
}

void chunks_reject(struct chunks *c)
{
	{
		autolock(&c->s->lock);
		if (chunkmap_verified(&c->map))
			return;
		chunk_reset_begin(c, true);
	}
	chunk_reset_finish(c);
}

/* The only one missing at or after the frontier: hidden till the end is seen.
 * Lock held. */
static int complete(struct chunks *c, size_t i, const void *bytes)
{
	uint64_t epoch = c->epoch;
	bool memory = true;

	c->hidden = i;
	c->hidden_spilled = chunkmap_test(&c->map, CHUNK_SPILLED, i);
	while (c->epoch == epoch && c->hidden == i) {
		if (c->hashing) {
			pthread_cond_wait(&c->s->changed, &c->s->lock);
			continue;
		}
		memory = chunk_hash_on(c, i, bytes);
		if (c->epoch == epoch && c->hidden == i)
			break;
	}
	if (c->epoch != epoch)
		return c->failed ? -EBADMSG : -EAGAIN;
	if (c->hidden != i)
		return 0;
	/* Another chunk was lost on the way: not complete after all. */
	c->hidden = HIDDEN_NONE;
	if (!memory) {
		chunk_lost(c, i);
		return -ENOMEM;
	}
	if (!c->hidden_spilled || chunkmap_test(&c->map, CHUNK_SPILLED, i))
		chunk_mark(c, i);
	return 0;
}

/* A written chunk becomes readable.  Lock held. */
static int arrive(struct chunks *c, size_t i, const void *bytes, void **spilled,
		  struct claim *claim)
{
	if (*spilled)
		chunk_spill(c, i, steal(spilled));
	if (i >= c->map.hashed && chunkmap_missing(&c->map) == 1)
		return complete(c, i, bytes);
	chunk_mark(c, i);
	/* Who waits for this chunk need not wait for the hash. */
	chunk_unclaim(c, claim);
	/* What it cannot hash for want of memory is hashed later. */
	(void)chunk_hash_on(c, i, bytes);
	return 0;
}

/*
 * The chunk does not fit.  If the states are those of a verified blob, it is
 * wrong; if not, the fault may as well be in what was hashed before, so the
 * blob begins anew.
 */
static int refuse(struct chunks *c, size_t i, uint64_t epoch)
{
	bool reset;
	char name[24];

	pthread_mutex_lock(&c->s->lock);
	reset = !chunkmap_verified(&c->map) && c->epoch == epoch;
	if (reset)
		chunk_reset_begin(c, true);
	pthread_mutex_unlock(&c->s->lock);
	if (reset)
		chunk_reset_finish(c);
	digest_short(&c->digest, name);
	log_warning("%s: chunk %zu received is not what it was", name, i);
	metric_add(METRIC_DIGEST_MISMATCHES, 1);
	return -EBADMSG;
}

/* -EAGAIN: everything was dropped meanwhile. */
static int put_once(struct chunks *c, size_t i, const void *bytes, size_t len)
{
	autofree void *spilled = NULL;
	struct chunk_proof proof;
	struct claim claim;
	uint64_t epoch;
	int r;

	list_init(&claim.node);
	pthread_mutex_lock(&c->s->lock);
	if (c->failed || !chunk_claim(c, i, &claim)) {
		r = c->failed ? -EBADMSG : 0;
		pthread_mutex_unlock(&c->s->lock);
		return r;
	}
	epoch = c->epoch;
	r = chunkmap_prepare(&c->map, i, false);
	chunk_proof_get(c, i, &proof);
	pthread_mutex_unlock(&c->s->lock);

	if (r == 0 && !chunk_proof_fits(c, i, &proof, bytes))
		r = refuse(c, i, epoch);
	if (r == 0)
		r = chunk_store(c, i, bytes, len, &spilled);

	autolock(&c->s->lock);
	if (r == 0 && c->epoch != epoch)
		r = -EAGAIN;
	if (r == 0)
		r = arrive(c, i, bytes, &spilled, &claim);
	chunk_unclaim(c, &claim);
	return r;
}

int chunks_put(struct chunks *c, size_t i, const void *bytes, size_t len)
{
	int r;

	if (i >= c->count || len != chunkmap_len(&c->map, i))
		return -EINVAL;
	do {
		r = put_once(c, i, bytes, len);
	} while (r == -EAGAIN);
	return r;
}
