/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An image's layers merged.  Making it has all layers indexed side by side,
 * checks each against the configuration's diff_id, merges their trees and
 * keeps the result under the manifest's digest.  Counted.  Any thread.
 */
#include "content/build.h"
#include "content/layerindex.h"

struct rootfs_layer {
	struct digest digest;
	uint64_t size_bytes; /* DESCRIPTOR_SIZE_UNKNOWN: ask (schema 1) */
	bool is_archive;     /* by its media type */
	struct layernote note;
	/* How it was read for the merge, which numbered its inodes; constant
	 * once READY. */
	enum layer_form form;
	struct layerindex *index; /* protected by rootfs->lock */
};

struct rootfs {
	struct build build;
	unsigned refs; /* protected by content->layers_lock */
	struct repo *repo;
	struct digest digest; /* of the manifest */
	bool has_config;      /* an image's, which names diff_ids */
	struct digest config;
	uint64_t config_bytes;
	struct rootfs_layer *layers;
	size_t layers_len;
	pthread_mutex_t lock;
	struct tree *tree; /* set by the build; constant once READY */
};

/* Starts nothing.  -ENOENT: the manifest has no layers. */
int rootfs_new(struct repo *r, const struct manifest *m, struct rootfs **ret);
struct rootfs *rootfs_ref(struct rootfs *f);
void rootfs_unref(struct rootfs *f);
int rootfs_start(struct rootfs *f);
/* The index of layer i, a reference for the caller; not started. */
int rootfs_layer_open(struct rootfs *f, size_t i, struct layerindex **ret);
/* Layer i was found to be read in another way than it was for the merge, or
 * damaged: both are made anew. */
void rootfs_layer_renew(struct rootfs *f, size_t i, struct layerindex *x);
/* The name under which the merged tree is kept. */
char *rootfs_key(const struct digest *manifest);
