/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Chunks that could not be written: a few in memory, the least recently used
 * goes first.  Shared by all blobs; the caller holds the store's lock.
 */
#include <stddef.h>
#include <stdint.h>

#define SPILL_CHUNKS 64

struct chunks;

struct spill {
	struct spill_entry {
		struct chunks *owner; /* NULL: free */
		size_t i;
		uint64_t used;
		void *bytes; /* owned */
	} entries[SPILL_CHUNKS];
	uint64_t tick;
};

/*
 * Keeps `bytes` (malloc'ed, taken over) as chunk i of owner, which is not
 * there yet.  *ret_victim is what had to go for it (owner NULL: nothing); its
 * bytes are already freed.
 */
void spill_put(struct spill *s, struct chunks *owner, size_t i, void *bytes,
	       struct spill_entry *ret_victim);
/* NULL: not there (any more). */
const void *spill_find(struct spill *s, const struct chunks *owner, size_t i);
void spill_remove(struct spill *s, const struct chunks *owner, size_t i);
void spill_remove_all(struct spill *s, const struct chunks *owner);
