/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is known of one blob's chunks: a few bits each, and the hash's chaining
 * states up to the hash frontier.  Kept in segments of SEGMENT_CHUNKS chunks
 * (1 GiB) that are allocated when first needed, so a huge or lying size costs
 * nothing.  Pure: no I/O, time is an argument, the caller locks.
 *
 * State k is the hash's chaining state before chunk k; state `chunks` is the
 * digest itself.  States 0..hashed are known.  So chunk k < hashed is right if
 * hashing it from state k gives state k + 1.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/digest.h"
#include "store/chunk.h"

#define SEGMENT_CHUNKS ((size_t)4096)
#define SEGMENT_WORDS (SEGMENT_CHUNKS / 64)

enum chunk_bit {
	CHUNK_PRESENT,	  /* can be read */
	CHUNK_CHECKED,	  /* was checked, or put, in this run */
	CHUNK_SPILLED,	  /* present, but in memory */
	CHUNK_REFERENCED, /* read since the clock hand passed */
	CHUNK_RECENT,	  /* touched in the segment's current second */
	CHUNK_RECENT_OLD, /* ... in the one before */
	CHUNK_SAVED,	  /* recorded as present in the database */
	CHUNK_SAVING,	  /* will be, once its data is durable */
	CHUNK_BITS
};

struct segment {
	uint64_t bits[CHUNK_BITS][SEGMENT_WORDS];
	uint64_t recent_ms;  /* when its current second began */
	uint8_t *states;     /* SEGMENT_CHUNKS of them, or NULL */
	size_t states_saved; /* the first so many are in the database */
};

struct chunkmap {
	struct digest digest;
	uint64_t size_bytes;
	size_t chunks;
	size_t hashed;	      /* the hash frontier */
	size_t present;	      /* how many */
	size_t present_ahead; /* of them, at or after the frontier */
	size_t hand;	      /* of the clock */
	struct segment **segments;
	size_t segments_len;
};

int chunkmap_init(struct chunkmap *m, const struct digest *d,
		  uint64_t size_bytes);
void chunkmap_done(struct chunkmap *m);
size_t chunkmap_len(const struct chunkmap *m, size_t i);
/* Allocates what setting bits of i, and state i if `state`, needs. */
int chunkmap_prepare(struct chunkmap *m, size_t i, bool state);

bool chunkmap_test(const struct chunkmap *m, enum chunk_bit bit, size_t i);
/* The first chunk from i on with this bit; `chunks` if there is none. */
size_t chunkmap_next(const struct chunkmap *m, enum chunk_bit bit, size_t i);
/* i must have been prepared; not for CHUNK_PRESENT. */
void chunkmap_set(struct chunkmap *m, enum chunk_bit bit, size_t i);
void chunkmap_clear(struct chunkmap *m, enum chunk_bit bit, size_t i);
void chunkmap_add(struct chunkmap *m, size_t i); /* now present, checked */
/* Now absent, and will not be saved.  CHUNK_SAVED stays. */
void chunkmap_remove(struct chunkmap *m, size_t i);
/* All bits of all chunks, and with `states` the frontier too. */
void chunkmap_reset(struct chunkmap *m, bool states);

/* NULL if not known. */
const uint8_t *chunkmap_state(const struct chunkmap *m, size_t i);
/* Moves the frontier over one chunk; state hashed + 1 must be prepared. */
void chunkmap_advance(struct chunkmap *m, const uint8_t *state);
/* How many known states lie in segment n. */
size_t chunkmap_states_in(const struct chunkmap *m, size_t n);
/* Chunks at or after the frontier that are absent. */
size_t chunkmap_missing(const struct chunkmap *m);
bool chunkmap_verified(const struct chunkmap *m);
/* Hashes chunk i: the state (or, for the last chunk, digest) after it. */
void chunkmap_step(const struct digest *d, size_t i, bool last,
		   const uint8_t state[HASH_STATE_MAX], const void *bytes,
		   size_t len, uint8_t ret[HASH_STATE_MAX]);

void chunkmap_touch(struct chunkmap *m, size_t i, uint64_t now_ms);
bool chunkmap_recent(const struct chunkmap *m, size_t i, uint64_t now_ms);
/*
 * The next run of chunks below `limit` that eviction may take, of at most
 * `max`, and moves the hand past it; 0: none.  Unless `force`, spares what was
 * touched in the last second, and once what was read since the hand passed.
 */
size_t chunkmap_victims(struct chunkmap *m, size_t limit, uint64_t now_ms,
			bool force, size_t max, size_t *ret_from);
