/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One blob's bytes, in chunks of CHUNK_BYTES (the last one shorter), in a
 * sparse file.
 *
 *   ABSENT --put--> PRESENT --(whole blob hashed, digest right)--> VERIFIED
 *     ^               |                                               |
 *     +---- drop: digest wrong, damaged on disk, evicted -------------+
 *
 * Invariants: (1) chunks are hashed in order as they come; the chunk that makes
 * the blob complete is not PRESENT for readers before the digest has been
 * found right, so nobody can read a whole blob that is wrong. (2) The pass that
 * verified a blob leaves the hash's chaining state at every chunk boundary;
 * once there, they stay (in the database) when the data is evicted, and a chunk
 * that is put again must fit between its two states or is refused. (3) A map
 * on disk never says present before the data is durable.  (4) After a start, a
 * chunk that has states is checked again when first used.
 *
 * A chunk that cannot be written (disk full, read-only) is kept in a small
 * memory ring instead: reading goes on.  All functions from any thread; none
 * waits for the network.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "oci/digest.h"
#include "store/store.h"

#define CHUNK_BYTES ((size_t)256 << 10)

struct chunks;

/* The one object of this digest: shared, counted.  -EBADMSG: known with
 * another size.  size_bytes <= DESCRIPTOR_SIZE_MAX. */
int chunks_open(struct store *s, const struct digest *d, uint64_t size_bytes,
		struct chunks **ret);
void chunks_close(struct chunks *c);

uint64_t chunks_size(const struct chunks *c);
size_t chunks_count(const struct chunks *c);
size_t chunks_present(const struct chunks *c); /* how many */
/* The whole blob was hashed once and was right (its data may be gone since). */
bool chunks_verified(const struct chunks *c);
/* May chunk i be served now?  Re-checks it on first use after a start; a
 * damaged one is dropped and false.  `strict`: only if VERIFIED. */
bool chunks_ready(struct chunks *c, size_t i, bool strict);
/*
 * Gives chunk i, exactly its length.  0: it is there (or was before); or
 * -EBADMSG: it does not fit its states (chunk refused), or it completed the
 * blob and the digest is wrong (all data dropped, chunks_failed is true), or
 * another one did before: of a failed blob nothing is taken.
 * Hashing ahead of a gap waits for the gap; may hash a lot when one closes.
 */
int chunks_put(struct chunks *c, size_t i, const void *bytes, size_t len);
bool chunks_failed(const struct chunks *c); /* digest was found wrong */
void chunks_clear_failed(struct chunks *c);
/* Reads bytes of ready chunks; short only at the blob's end.  -ENODATA: a chunk
 * was evicted meanwhile: fetch it again. */
ssize_t chunks_read(struct chunks *c, void *buf, size_t len, uint64_t off);
/* Drops all data (states stay): evict. */
int chunks_drop(struct chunks *c);
/* Some of it was found wrong by whoever read it: drops all data, and the states
 * with it, unless the whole was VERIFIED. */
void chunks_reject(struct chunks *c);
/* Marks as used just now: for the eviction order. */
void chunks_touch(struct chunks *c);
