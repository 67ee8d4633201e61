/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A piece of a file in a layer that has a table of contents: compressed bytes
 * of the blob that can be decoded on their own and have a digest of their own.
 * Nothing of it is given out before that was checked; pieces over SPAN_MAX are
 * spooled through the store.
 */
#include "content/blob.h"
#include "content/span.h"
#include "layer/codec.h"
#include "store/tree.h"

/* Exactly len bytes of the decoded piece from `off`; -EBADMSG: it is not what
 * its digest says, or cannot be decoded. */
int piece_read(struct spans *spans, struct store *store, struct blob *b,
	       enum codec codec, const struct tree_piece *p, struct ahead *a,
	       void *buf, size_t len, uint64_t off, struct wait *w);
