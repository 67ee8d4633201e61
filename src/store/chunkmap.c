/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: present and present_ahead count the CHUNK_PRESENT bits; state k
 * is known exactly for k <= hashed; a segment's states are whole or NULL.
 */
#include "store/chunkmap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECENT_MS 1000

int chunkmap_init(struct chunkmap *m, const struct digest *d,
		  uint64_t size_bytes)
{
	struct hash h;
	int r;

	*m = (struct chunkmap){.digest = *d, .size_bytes = size_bytes};
	m->chunks = (size_t)((size_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
	/* State `chunks` has a place as well. */
	m->segments_len = m->chunks / SEGMENT_CHUNKS + 1;
	m->segments = calloc(m->segments_len, sizeof(*m->segments));
	if (!m->segments)
		return -ENOMEM;
	r = chunkmap_prepare(m, 0, true);
	if (r < 0) {
		chunkmap_done(m);
		return r;
	}
	hash_init(&h, d->alg);
	hash_get_state(&h, m->segments[0]->states);
	return 0;
}

void chunkmap_done(struct chunkmap *m)
{
	for (size_t n = 0; m->segments && n < m->segments_len; n++) {
		if (m->segments[n])
			free(m->segments[n]->states);
		free(m->segments[n]);
	}
	free(m->segments);
	m->segments = NULL;
	m->segments_len = 0;
}

size_t chunkmap_len(const struct chunkmap *m, size_t i)
{
	uint64_t left = m->size_bytes - (uint64_t)i * CHUNK_BYTES;

	return left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
}

/* States of a small blob take little; those of a large one are zero pages
 * until used. */
static size_t states_size(const struct chunkmap *m, size_t n)
{
	size_t left = m->chunks + 1 - n * SEGMENT_CHUNKS;
	size_t count = left < SEGMENT_CHUNKS ? left : SEGMENT_CHUNKS;

	/* hash_get_state may write HASH_STATE_MAX bytes. */
	return count * hash_size(m->digest.alg) + HASH_STATE_MAX;
}

int chunkmap_prepare(struct chunkmap *m, size_t i, bool state)
{
	size_t n = i / SEGMENT_CHUNKS;
	struct segment *g = m->segments[n];

	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return -ENOMEM;
		m->segments[n] = g;
	}
	if (state && !g->states) {
		g->states = calloc(1, states_size(m, n));
		if (!g->states)
			return -ENOMEM;
	}
	return 0;
}

static uint64_t *word_of(const struct chunkmap *m, enum chunk_bit bit, size_t i)
{
	struct segment *g = m->segments[i / SEGMENT_CHUNKS];

	return g ? &g->bits[bit][i % SEGMENT_CHUNKS / 64] : NULL;
}

bool chunkmap_test(const struct chunkmap *m, enum chunk_bit bit, size_t i)
{
	const uint64_t *w = word_of(m, bit, i);

	return w && *w >> (i % 64) & 1;
}

size_t chunkmap_next(const struct chunkmap *m, enum chunk_bit bit, size_t i)
{
	while (i < m->chunks) {
		const uint64_t *w = word_of(m, bit, i);

		if (!w)
			i += SEGMENT_CHUNKS - i % SEGMENT_CHUNKS;
		else if (*w >> (i % 64) == 0)
			i += 64 - i % 64;
		else if (!(*w >> (i % 64) & 1))
			i++;
		else
			return i;
	}
	return m->chunks;
}

void chunkmap_set(struct chunkmap *m, enum chunk_bit bit, size_t i)
{
	uint64_t *w = word_of(m, bit, i);

	assert(w);
	*w |= (uint64_t)1 << (i % 64);
}

void chunkmap_clear(struct chunkmap *m, enum chunk_bit bit, size_t i)
{
	uint64_t *w = word_of(m, bit, i);

	if (w)
		*w &= ~((uint64_t)1 << (i % 64));
}

void chunkmap_add(struct chunkmap *m, size_t i)
{
	chunkmap_set(m, CHUNK_CHECKED, i);
	if (chunkmap_test(m, CHUNK_PRESENT, i))
		return;
	chunkmap_set(m, CHUNK_PRESENT, i);
	m->present++;
	m->present_ahead += i >= m->hashed;
}

void chunkmap_remove(struct chunkmap *m, size_t i)
{
	if (chunkmap_test(m, CHUNK_PRESENT, i)) {
		m->present--;
		m->present_ahead -= i >= m->hashed;
	}
	for (int bit = 0; bit < CHUNK_BITS; bit++) {
		if (bit != CHUNK_SAVED)
			chunkmap_clear(m, (enum chunk_bit)bit, i);
	}
}

void chunkmap_reset(struct chunkmap *m, bool states)
{
	for (size_t n = 0; n < m->segments_len; n++) {
		struct segment *g = m->segments[n];

		if (!g)
			continue;
		memset(g->bits, 0, sizeof(g->bits));
		if (states)
			g->states_saved = 0;
	}
	m->present = m->present_ahead = m->hand = 0;
	if (states)
		m->hashed = 0;
}

const uint8_t *chunkmap_state(const struct chunkmap *m, size_t i)
{
	const struct segment *g = m->segments[i / SEGMENT_CHUNKS];

	if (i > m->hashed || !g || !g->states)
		return NULL;
	return g->states + i % SEGMENT_CHUNKS * hash_size(m->digest.alg);
}

void chunkmap_advance(struct chunkmap *m, const uint8_t *state)
{
	size_t size = hash_size(m->digest.alg), k = m->hashed + 1;
	struct segment *g = m->segments[k / SEGMENT_CHUNKS];

	assert(m->hashed < m->chunks && g && g->states);
	memcpy(g->states + k % SEGMENT_CHUNKS * size, state, size);
	if (chunkmap_test(m, CHUNK_PRESENT, m->hashed))
		m->present_ahead--;
	m->hashed = k;
}

size_t chunkmap_states_in(const struct chunkmap *m, size_t n)
{
	size_t first = n * SEGMENT_CHUNKS, left;

	if (!m->segments[n] || !m->segments[n]->states || m->hashed < first)
		return 0;
	left = m->hashed + 1 - first;
	return left < SEGMENT_CHUNKS ? left : SEGMENT_CHUNKS;
}

size_t chunkmap_missing(const struct chunkmap *m)
{
	return m->chunks - m->hashed - m->present_ahead;
}

bool chunkmap_verified(const struct chunkmap *m)
{
	return m->hashed == m->chunks;
}

void chunkmap_step(const struct digest *d, size_t i, bool last,
		   const uint8_t state[HASH_STATE_MAX], const void *bytes,
		   size_t len, uint8_t ret[HASH_STATE_MAX])
{
	struct hash h;

	hash_resume(&h, d->alg, (uint64_t)i * CHUNK_BYTES, state);
	hash_update(&h, bytes, len);
	if (last)
		hash_final(&h, ret);
	else
		hash_get_state(&h, ret);
}

void chunkmap_touch(struct chunkmap *m, size_t i, uint64_t now_ms)
{
	struct segment *g = m->segments[i / SEGMENT_CHUNKS];
	uint64_t age = now_ms - g->recent_ms;

	if (age >= RECENT_MS) {
		if (age < 2 * RECENT_MS)
			memcpy(g->bits[CHUNK_RECENT_OLD], g->bits[CHUNK_RECENT],
			       sizeof(g->bits[0]));
		else
			memset(g->bits[CHUNK_RECENT_OLD], 0,
			       sizeof(g->bits[0]));
		memset(g->bits[CHUNK_RECENT], 0, sizeof(g->bits[0]));
		g->recent_ms = now_ms;
	}
	chunkmap_set(m, CHUNK_RECENT, i);
}

bool chunkmap_recent(const struct chunkmap *m, size_t i, uint64_t now_ms)
{
	const struct segment *g = m->segments[i / SEGMENT_CHUNKS];
	uint64_t age;

	if (!g)
		return false;
	age = now_ms - g->recent_ms;
	return (age < 2 * RECENT_MS && chunkmap_test(m, CHUNK_RECENT, i)) ||
	       (age < RECENT_MS && chunkmap_test(m, CHUNK_RECENT_OLD, i));
}

/* May the hand take chunk i?  If it was read, next time. */
static bool take(struct chunkmap *m, size_t i, uint64_t now_ms, bool force)
{
	if (!chunkmap_test(m, CHUNK_PRESENT, i) ||
	    chunkmap_test(m, CHUNK_SPILLED, i))
		return false;
	if (force)
		return true;
	if (chunkmap_recent(m, i, now_ms))
		return false;
	if (chunkmap_test(m, CHUNK_REFERENCED, i)) {
		chunkmap_clear(m, CHUNK_REFERENCED, i);
		return false;
	}
	return true;
}

/* How many chunks from i on are surely absent. */
static size_t absent(const struct chunkmap *m, size_t i)
{
	const uint64_t *w = word_of(m, CHUNK_PRESENT, i);

	if (!w)
		return SEGMENT_CHUNKS - i % SEGMENT_CHUNKS;
	return *w >> (i % 64) ? 0 : 64 - i % 64;
}

size_t chunkmap_victims(struct chunkmap *m, size_t limit, uint64_t now_ms,
			bool force, size_t max, size_t *ret_from)
{
	size_t n = 1, seen = 0;

	if (m->present == 0 || max == 0)
		return 0;
	/* Twice round: the first time may only take the references. */
	for (;; seen++, m->hand++) {
		if (m->hand >= limit)
			m->hand = 0;
		seen += absent(m, m->hand);
		m->hand += absent(m, m->hand);
		if (seen >= 2 * limit)
			return 0;
		if (m->hand < limit && take(m, m->hand, now_ms, force))
			break;
	}
	*ret_from = m->hand++;
	/* Past the one that ends the run, too: its reference was taken. */
	while (n < max && m->hand < limit && take(m, m->hand++, now_ms, force))
		n++;
	return n;
}
