/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A feed is the bytes of one file as they are being written: kept in a stage,
 * hashed on the way as long as they come in order, and read behind the writer
 * by an upload.  Counted; any thread.
 *
 *   growing --feed_end--> ended --feed_write, feed_truncate--> growing
 *   any --feed_abort--> aborted
 *
 * What an upload has read is promised to it: a change of earlier bytes makes
 * its next feed_next fail with -ESTALE, and it has to begin anew after the end.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "oci/digest.h"
#include "store/store.h"
#include "util/auto.h"
#include "util/wait.h"

#define FEED_SIZE_UNKNOWN UINT64_MAX

struct feed;

/* -EROFS, -ENOMEM, -EMFILE. */
int feed_new(struct store *s, struct feed **ret);
struct feed *feed_ref(struct feed *f);
void feed_unref(struct feed *f);
AUTOPTR_DEFINE(feed, feed_unref)

/* --- the writer --- */
/* 0 or -ENOSPC, -EIO, -EFBIG; `alg` is what it will be named by, so that it is
 * hashed as it comes. */
void feed_hash_by(struct feed *f,
		  enum hash_alg alg); /* before the first byte */
int feed_write(struct feed *f, const void *buf, size_t len, uint64_t off);
int feed_truncate(struct feed *f, uint64_t size_bytes);
void feed_end(struct feed *f);
/* What waits for more gets -ECANCELED. */
void feed_abort(struct feed *f);
/* The digest of all bytes; reads them again if they did not come in order. */
int feed_digest(struct feed *f, enum hash_alg alg, struct digest *ret);

/* --- anybody --- */
uint64_t feed_size(const struct feed *f); /* so far */
bool feed_ended(const struct feed *f);
ssize_t feed_read(struct feed *f, void *buf, size_t len, uint64_t off);
/* The whole of a small one, NUL added; -EFBIG over max. */
int feed_read_whole(struct feed *f, size_t max, char **ret, size_t *ret_len);

/* --- the upload behind it --- */
/* At least one byte from off, waiting for it; 0: the end.  -ESTALE, -ECANCELED,
 * -ETIMEDOUT, -EINTR.  `seen` is the reader's own, zeroed at the beginning: it
 * is how changes behind its back are noticed. */
struct feed_reader {
	uint64_t seen_off, edits;
};
ssize_t feed_next(struct feed *f, struct feed_reader *seen, void *buf,
		  size_t len, uint64_t off, struct wait *w);
/* FEED_SIZE_UNKNOWN while it grows. */
uint64_t feed_final_size(const struct feed *f);
/* 0: it has ended; -ECANCELED, -ETIMEDOUT, -EINTR. */
int feed_wait_end(struct feed *f, struct wait *w);
