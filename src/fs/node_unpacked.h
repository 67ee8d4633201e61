/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the kinds inside a layer or a root filesystem share.  Such a node holds
 * no attributes, only where to ask for them: there may be a million of them.
 * Its inode number is the tree's own, so hard links share it.
 */
#include "content/unpacked.h"
#include "fs/node.h"

struct node_unpacked {
	struct node node;
	struct unpacked *unpacked; /* counted */
	uint64_t ino;		   /* in there */
};

/* `parent`: the directory it is in, in the same tree. */
int node_unpacked_new(const struct node_ops *ops, struct node *parent,
		      const char *name, uint64_t ino, struct node **ret);
/* The image's attributes over those begun. */
void node_unpacked_fill(struct node *n, const struct tree_inode *i, bool final,
			struct node_attr *a);

/* The node_ops of all of them. */
int node_unpacked_getattr(struct node *n, struct wait *w, struct node_attr *a);
void node_unpacked_done(struct node *n);
int node_unpacked_listxattr(struct node *n, struct wait *w, struct str *names);
int node_unpacked_getxattr(struct node *n, struct wait *w, const char *name,
			   struct str *value);
