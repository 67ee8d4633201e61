/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The cache on disk.  DIR/lock (one daemon at a time), DIR/meta.db (SQLite,
 * WAL, one connection, one mutex), DIR/blobs/ALG/xx/HEX (sparse files),
 * DIR/trees/KEY (what is inside layers; at most an eighth of size_bytes),
 * DIR/spool (store/stage.h), DIR/journal.db (store/journal.h, which alone must
 * survive).
 * Of the rest nothing needs to survive: a damaged database is set aside as
 * meta.db.bad-TIME and made anew; a directory that cannot be used (read-only,
 * full) leaves a store in memory, with one warning.  Any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "util/str.h"

struct store_config {
	const char *dir;	 /* NULL: in memory only */
	uint64_t size_bytes;	 /* of blob data, evicted least recently used */
	uint64_t min_free_bytes; /* left free on that file system */
	uint64_t spool_bytes;	 /* of files being written (store/stage.h); 0:
				    no limit */
};

struct store;
/* -EBUSY: another daemon uses DIR; *ret_pid (may be NULL) is its process. */
int store_open(const struct store_config *cfg, struct store **ret,
	       int *ret_pid);
/* Starts the janitor (eviction, saving of chunk maps): after daemonising. */
int store_start(struct store *s);
void store_close(struct store *s); /* saves, stops the janitor */

struct store_stats {
	bool in_memory;
	uint64_t blobs, verified_blobs, documents, tags;
	uint64_t bytes, size_bytes, disk_free_bytes, evicted_bytes;
	uint64_t trees, tree_bytes; /* kept; not part of bytes */
};
int store_stats(struct store *s, struct store_stats *ret);

/* --- forgetting, at somebody's word --- */

struct digest;
/* Of a blob, in files. */
uint64_t store_blob_bytes(struct store *s, const struct digest *d);
/* Its bytes; whoever reads it has them fetched again.  How many there were. */
uint64_t store_forget_blob(struct store *s, const struct digest *d);
/* The same for all whose digests begin with these `n` bytes. */
uint64_t store_forget_family(struct store *s, const struct digest *d, size_t n);
/* Trees of these digests, also those in use: they are read on.  Adds to both.
 */
typedef bool (*store_which_fn)(void *arg, const struct digest *d);
int store_forget_trees(struct store *s, store_which_fn which, void *arg,
		       uint64_t *trees, uint64_t *bytes);
/* All that is not in use and can be had again, but the names of what was seen.
 * How many bytes that were. */
int store_prune(struct store *s, uint64_t *ret_bytes);

/* Blob data goes to a disk with room left (else to a small ring in memory). */
bool store_has_disk(struct store *s);
/* 0, or why nothing can be written there.  One that is full now can: what is
 * cached makes room for it, and a write is told if that is not enough.
 * -EROFS; -ENOSPC: it was so full that it could not be opened. */
int store_writable(struct store *s);
/* Bytes of blob data that it can hold as things stand: what its size and the
 * disk allow; 0 without a disk. */
uint64_t store_room(struct store *s);
