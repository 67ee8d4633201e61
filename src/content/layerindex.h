/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is inside one layer, however it was found out: by its table of contents,
 * or by one pass over all of it.  One object per layer (and claim) while
 * anybody uses it, kept on disk by digest; which repository's readers may see
 * it is the caller's business.  Any thread.
 */
#include "content/build.h"
#include "content/layernote.h"
#include "content/layerstream.h"

#define LAYERINDEX_REASON_MAX 160

enum layer_form {
	LAYER_ARCHIVE, /* a tar archive, read by its restart points */
	LAYER_TOC,     /* read by its table of contents */
	LAYER_RAW      /* no archive: one file, the blob */
};

struct layerindex {
	struct build build;
	struct content *content;
	char *key;     /* of its tree */
	char *entry;   /* in content->layers: also of the title */
	unsigned refs; /* protected by content->layers_lock */
	bool listed;   /* in content->layers; likewise */

	/* Constant. */
	struct digest digest;
	uint64_t size_bytes;
	struct layernote note;

	/* Through which it is read; set by the start. */
	struct repo *repo;

	/* Protected by build.lock until READY, constant from then on. */
	struct tree *tree;
	struct stream *stream; /* LAYER_ARCHIVE only */
	bool live; /* while RUNNING: tree and stream may be read already */
	enum layer_form form;
	enum codec codec;
	uint64_t decoded_bytes;
	struct digest diff_id; /* LAYER_ARCHIVE, undamaged */
	uint64_t prefetch_end;
	bool damaged; /* from somewhere on; then `reason` says what */
	char reason[LAYERINDEX_REASON_MAX];

	/* Fetching ahead; protected by build.lock. */
	bool ahead_begun;
	uint64_t base_bytes; /* that were in the cache then */
	bool rest_wanted;

	/* Of an attempt that found the disk full; still read by somebody. */
	struct tree *old_tree;
	struct stream *old_stream;
};

/* Starts nothing.  One that failed a while ago, or for another repository, is
 * made anew. */
int layerindex_open(struct repo *r, const struct digest *d, uint64_t size_bytes,
		    const struct layernote *note, struct layerindex **ret);
struct layerindex *layerindex_ref(struct layerindex *x);
void layerindex_unref(struct layerindex *x);
int layerindex_start(struct layerindex *x, struct repo *r);
/* The name under which its tree is kept. */
char *layerindex_key(const struct digest *d, const struct toc_claim *claim);
/* One line in `.registryfs/errors`, under the layer's name. */
void layerindex_fault(const struct layerindex *x, int error, const char *text);
/* While RUNNING: shows what there is so far. */
void layerindex_publish(struct layerindex *x, struct tree *t, struct stream *s,
			bool live);
