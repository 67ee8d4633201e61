/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A writer is one open file that is being written.  What is written goes into
 * a feed; which FLUSH commits it, and what its result means, is faults.md 5:
 *
 *   CLEAN --write, copy, truncate--> DIRTY --commit--> COMMITTED
 *   DIRTY --its process was killed--> DROPPED          COMMITTED --write-->
 * DIRTY DIRTY --commit failed--> FAILED (the same error for ever)
 *
 * A commit is: for a blob, the registry has confirmed it; for a manifest among
 * the blobs, it is kept till its image is published; for index.json and
 * manifest.json, the image is published, or recorded as pending; for all other
 * names, the bytes are kept under that name.  One thread at a time may write,
 * flush and close; `writer_flush` and `writer_sync` wait for the network.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "content/image.h"
#include "content/repo.h"
#include "push/outbox.h"
#include "util/wait.h"

struct writer;

/* A blob beneath no image (_blobs/DIGEST). */
int writer_new_blob(struct outbox *o, struct repo *r, const struct digest *d,
		    pid_t tid, struct writer **ret);

/*
 * 0, or what makes the file fail: -ENOSPC, -EIO, or early what its upload
 * failed with.  They wait for another call's flush, and for bytes that are not
 * here but in a registry; without a `wait` that is -EINPROGRESS, and nothing
 * has happened.
 */
int writer_write(struct writer *w, const void *buf, size_t len, uint64_t off,
		 struct wait *wait);
ssize_t writer_read(struct writer *w, void *buf, size_t len, uint64_t off,
		    struct wait *wait);
int writer_truncate(struct writer *w, uint64_t size_bytes, struct wait *wait);
uint64_t writer_size(const struct writer *w);

/* copy_file_range from a blob of a registry.  Records it and begins the
 * transfer, of that blob and (image not NULL) perhaps of the image's others.
 * Returns what was taken; -EXDEV: not this way, read and write it. */
struct writer_copy {
	struct repo *from;
	const struct digest *digest;
	uint64_t size_bytes; /* of the blob */
	struct image *image; /* in which it was found, or NULL */
	uint64_t src_off, off, len;
	pid_t tid;
};
ssize_t writer_copy(struct writer *w, const struct writer_copy *c,
		    struct wait *wait);

/* FLUSH by this thread of some process. */
int writer_flush(struct writer *w, pid_t tid, struct wait *wait);
int writer_sync(struct writer *w, struct wait *wait); /* fsync: commits */
/* Would a flush by anybody have something to do? */
bool writer_dirty(const struct writer *w);
/*
 * Its name stands for bytes, it has got none, and whoever opened it, this
 * thread's process, goes on living: a close of the last descriptor is no
 * success then, though more may be written by those who inherited it.
 */
bool writer_lacks_bytes(struct writer *w, pid_t tid);
/* Records that, and returns what is to be told. */
int writer_report_empty(struct writer *w);
/* RELEASE: commits what no FLUSH did (nobody can be told: failures are logged
 * and recorded), waiting for the network. */
void writer_close(struct writer *w);
