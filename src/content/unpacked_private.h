/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the unpacked*.c files share. */
#include "content/context.h"
#include "content/image.h"
#include "content/rootfs.h"
#include "content/unpacked.h"

struct unpacked {
	char *key;
	unsigned refs; /* protected by content->layers_lock */
	bool listed;   /* likewise */
	struct repo *repo;
	struct digest digest;

	/* A layer (image is NULL). */
	uint64_t size_bytes;
	struct layernote note;

	/* A root file system. */
	struct image *image;

	pthread_mutex_t lock;
	struct layerindex *index; /* of a layer; protected by lock */
	struct rootfs *rootfs;	  /* else; likewise */
	uint64_t shape; /* what its inode numbers depend on; 0: none were given
			   out yet; likewise */
};

/* The tree as it is now.  References on what it belongs to. */
struct look {
	struct layerindex *index;
	struct rootfs *rootfs;
	struct build *build;
	struct tree *tree;
	struct stream *stream;
	bool final, failed, damaged;
	uint64_t seen; /* progress */
	uint64_t budget_ms;
};

int unpacked_look(struct unpacked *u, bool whole, struct wait *w,
		  struct look *ret);
/* A look at a tree in which the inode is.  -ESTALE: there is no such one. */
int unpacked_look_inode(struct unpacked *u, uint64_t ino, struct wait *w,
			struct look *ret, struct tree_inode *ret_inode);
/* A tree that is not final does not have it: waits until it has more. */
int look_on(struct unpacked *u, struct look *l, struct wait *w);
/* After a question: *r is what came of it.  True: the tree was lost; who looks
 * again finds another one.  False after too many of these, then *r is -EIO. */
bool look_renew(struct look *l, int *r, unsigned *tries);
/* Whoever asks about a tree wants one that is kept.  True, once: it was and is
 * no more; who looks again has it made anew. */
bool look_regain(struct look *l, bool *tried);
void look_done(struct look *l);
