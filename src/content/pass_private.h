/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What both ways of finding out share: pass.c and pass_toc.c. */
#include "content/pass.h"
#include "content/treebuild.h"
#include "layer/tar.h"
#include "util/hasher.h"

struct pass {
	struct layerindex *x;
	struct blob *blob;
	struct wait *w;
	struct ahead ahead;
	bool in_memory;

	struct decoder *decoder;
	struct hasher *hasher;
	struct tar *tar;
	struct treebuild *build;
	struct tree *tree;
	struct stream *stream;
	struct decoder_io io;
	uint8_t *in;
	uint64_t fetched, decoded;
	bool ended; /* of the stream */
	bool hash_packed;
	struct hash packed; /* where the cache could lose bytes unhashed */
	char damage[LAYERINDEX_REASON_MAX];
};

/* Exactly len bytes of the blob.  Each read has a patience of its own. */
int pass_read(struct pass *p, void *buf, size_t len, uint64_t off);
/* One entry into the tree; `arg` is the pass.  -EFBIG, which was said. */
int pass_entry(void *arg, const struct layer_entry *e);
/* Is what `packed` bytes were decoded to within the options?  Likewise. */
int pass_limits(struct pass *p, uint64_t packed);
/* What a tree must say for an index to be loaded from it. */
int pass_save_facts(struct pass *p);
/* What cannot be kept can still be read. */
int pass_seal(struct tree *t);
