/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The decoded bytes of a layer (the tar archive), read at random from the
 * compressed blob by restart points: one span between two points is fetched,
 * decoded and kept in memory for a while.  A span over SPAN_MAX (a zstd layer
 * of one frame, a block that is a bomb) is decoded in order into the store
 * instead (see spool.h), once the pass has ended, and read from there.
 *
 * It can be read while the pass that makes the points is still under way:
 * readers of what was not reached yet wait.  Any thread; one pass.
 */
#include <sys/types.h>

#include "content/blob.h"
#include "content/span.h"
#include "layer/codec.h"
#include "store/tree.h"

struct stream;

/* `tree` keeps the windows; all outlive the stream. */
int stream_new(struct spans *spans, struct store *store, enum codec codec,
	       struct tree *tree, struct stream **ret);
void stream_free(struct stream *s); /* no reader is left */

/* --- what the pass tells --- */

/* The next restart point (its window is in the tree): all before it can be
 * read. */
int stream_add_point(struct stream *s, const struct tree_point *p);
/* So far did it come.  Without compression, all before can be read; else this
 * only tells those who wait that the pass gets on. */
void stream_reached(struct stream *s, uint64_t bytes);
/* The end: all can be read. */
void stream_finish(struct stream *s, uint64_t bytes,
		   const struct digest *diff_id);
/* Nothing behind what was reached will come: readers there get `error`.
 * `bytes`: decoded before the damage, readable up to there. */
void stream_fail(struct stream *s, int error, uint64_t bytes);

/* Which bytes of the blob decode to [off, off+len); -EAGAIN: the pass is not
 * over. */
int stream_place(struct stream *s, uint64_t off, uint64_t len,
		 uint64_t *ret_from, uint64_t *ret_to);
/* Exactly len bytes from `off` of the archive, or -errno.  `b` brings the
 * compressed bytes, `a` (or NULL) is the reader's read-ahead on them. */
int stream_read(struct stream *s, struct blob *b, struct ahead *a, void *buf,
		size_t len, uint64_t off, struct wait *w);
