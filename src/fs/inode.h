/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The table of nodes that the kernel knows: by id, and by (parent, name).
 * A node lives while the kernel has look-ups on it, a child refers to it, or a
 * request works on it.  One lock, held for moments.
 */
#include "fs/node.h"

struct inodes;

int inodes_new(struct inodes **ret);
/* Frees the table and every node left in it. */
void inodes_free(struct inodes *t);
/* Takes the root in (id 1), one look-up. */
void inodes_add_root(struct inodes *t, struct node *root);
/* A reference on the node of this id; NULL: unknown. */
struct node *inode_get(struct inodes *t, uint64_t id);
void inode_put(struct inodes *t, struct node *n);
/* A reference on what this name meant last; NULL: nothing known. */
struct node *inode_known(struct inodes *t, struct node *parent,
			 const char *name);
/* The name was removed: what it meant is found no more, though the kernel may
 * be slow to forget it. */
void inode_unname(struct inodes *t, struct node *parent, const char *name);
/*
 * Enters a new node, or finds that the same name and version was entered
 * meanwhile and frees it.  Returns the one that counts, with a reference and
 * one more look-up by the kernel.  Cannot fail.
 */
struct node *inode_enter(struct inodes *t, struct node *n);
void inode_forget(struct inodes *t, uint64_t id, uint64_t nlookup);
size_t inodes_len(struct inodes *t);
