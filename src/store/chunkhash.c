/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash frontier.  One thread at a time hashes a blob, from the frontier on
 * as far as chunks are there; the lock is given up for every chunk, so readers
 * and writers go on.  Each chunk is hashed from its saved state: nothing else
 * has to be kept between two passes, or two runs of the program.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/metric.h"

/* What one pass carries along. */
struct pass {
	struct chunks *c;
	size_t given; /* chunk whose bytes the caller has */
	const void *bytes;
	uint64_t drops; /* `bytes` are good while c->drops is this */
	void *buf;
	bool no_memory;
};

void chunk_proof_get(struct chunks *c, size_t i, struct chunk_proof *ret)
{
	size_t size = hash_size(c->digest.alg);

	*ret = (struct chunk_proof){.known = i < c->map.hashed};
	if (!ret->known)
		return;
	memcpy(ret->before, chunkmap_state(&c->map, i), size);
	memcpy(ret->after, chunkmap_state(&c->map, i + 1), size);
}

bool chunk_proof_fits(const struct chunks *c, size_t i,
		      const struct chunk_proof *p, const void *bytes)
{
	uint64_t left = c->size_bytes - (uint64_t)i * CHUNK_BYTES;
	size_t len = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
	uint8_t after[HASH_STATE_MAX];

	if (!p->known)
		return true;
	chunkmap_step(&c->digest, i, i == c->count - 1, p->before, bytes, len,
		      after);
	return memcmp(after, p->after, hash_size(c->digest.alg)) == 0;
}

/* Lock held; given up and taken again. */
static void wrong_digest(struct chunks *c)
{
	char name[24];

	c->failed = true;
	chunk_reset_begin(c, true);
	pthread_mutex_unlock(&c->s->lock);
	digest_short(&c->digest, name);
	log_error("%s: the bytes received have another digest: dropped", name);
	metric_add(METRIC_DIGEST_MISMATCHES, 1);
	chunk_reset_finish(c);
	pthread_mutex_lock(&c->s->lock);
}

/* The frontier has reached the end and the digest is right. */
static void verified(struct chunks *c)
{
	size_t i = c->hidden;

	c->hidden = HIDDEN_NONE;
	c->failed = false;
	metric_add(METRIC_BLOBS_VERIFIED, 1);
	if (i == HIDDEN_NONE)
		return;
	/* Kept in memory, it may have had to go already. */
	if (!c->hidden_spilled || chunkmap_test(&c->map, CHUNK_SPILLED, i))
		chunk_mark(c, i);
}

static bool ready_to_hash(struct pass *p, size_t k)
{
	struct chunks *c = p->c;

	if (k >= c->count)
		return false;
	if (!chunkmap_test(&c->map, CHUNK_PRESENT, k) && c->hidden != k)
		return false;
	p->no_memory = chunkmap_prepare(&c->map, k + 1, true) < 0;
	return !p->no_memory;
}

/* Lock not held. */
static int hash_one(struct pass *p, size_t k, const uint8_t *state,
		    uint8_t ret[HASH_STATE_MAX])
{
	struct chunks *c = p->c;
	const void *bytes = p->bytes;
	int r;

	if (!bytes || k != p->given) {
		if (!p->buf)
			p->buf = malloc(CHUNK_BYTES);
		if (!p->buf)
			return -ENOMEM;
		r = chunk_load(c, k, p->buf);
		if (r < 0)
			return r;
		bytes = p->buf;
	}
	chunkmap_step(&c->digest, k, k == c->count - 1, state, bytes,
		      chunkmap_len(&c->map, k), ret);
	return 0;
}

/* One chunk further; false: no further. */
static bool step(struct pass *p)
{
	uint8_t before[HASH_STATE_MAX] = {0}, after[HASH_STATE_MAX];
	struct chunks *c = p->c;
	size_t k = c->map.hashed, size = hash_size(c->digest.alg);
	uint64_t epoch = c->epoch;
	int r;

	if (!ready_to_hash(p, k))
		return false;
	/* What is hashed must be what is read: the chunk may have been lost and
	 * put again with other bytes. */
	if (c->drops != p->drops && c->hidden != p->given)
		p->bytes = NULL;
	c->disturbed = false;
	memcpy(before, chunkmap_state(&c->map, k), size);
	pthread_mutex_unlock(&c->s->lock);
	r = hash_one(p, k, before, after);
	pthread_mutex_lock(&c->s->lock);
	if (c->epoch != epoch)
		return false;
	if (c->disturbed)
		return true;
	p->no_memory = r == -ENOMEM;
	if (r == -ENODATA && k != c->hidden)
		chunk_lost(c, k);
	if (r < 0)
		return false;
	if (k == c->count - 1 && memcmp(after, c->digest.raw, size) != 0) {
		wrong_digest(c);
		return false;
	}
	chunkmap_advance(&c->map, after);
	c->dirty = true;
	if (chunkmap_verified(&c->map))
		verified(c);
	return true;
}

bool chunk_hash_on(struct chunks *c, size_t i, const void *bytes)
{
	struct pass p = {.c = c, .given = i, .bytes = bytes, .drops = c->drops};

	if (c->hashing)
		return true;
	c->hashing = true;
	while (step(&p))
		continue;
	c->hashing = false;
	pthread_cond_broadcast(&c->s->changed);
	free(p.buf);
	return !p.no_memory;
}
