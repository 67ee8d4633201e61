/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A stage is one file being written that no registry has confirmed yet: an
 * unnamed file in the cache's spool, gone when it is freed or the process ends.
 * All stages together are bounded (options.spool_size), and leave
 * cache_min_free of the disk to others, for which cached blobs are evicted.
 * Counted.  Any thread; writers of one stage are kept apart by the caller.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct store;
struct stage;

/* -EROFS: the store has no disk to write to; -ENOSPC, -EMFILE, -ENOMEM, -EIO.
 * The store must outlive it. */
int stage_new(struct store *s, struct stage **ret);
void stage_free(struct stage *st); /* NULL is fine */
/* Writes all or nothing counts; -ENOSPC: no room, before anything is lost;
 * -EFBIG; -EIO, after which the stage stays bad and says -EIO for ever. */
int stage_write(struct stage *st, const void *buf, size_t len, uint64_t off);
/* Short only at the end; holes read as zeros. */
ssize_t stage_read(struct stage *st, void *buf, size_t len, uint64_t off);
/* Nobody means to read what is before `off` again. */
void stage_pass(struct stage *st, uint64_t off);
int stage_truncate(struct stage *st, uint64_t size_bytes);
uint64_t stage_size(const struct stage *st);

struct stage_stats {
	uint64_t stages, bytes, size_bytes; /* in use, of at most */
};
void stage_stats(struct store *s, struct stage_stats *ret);
