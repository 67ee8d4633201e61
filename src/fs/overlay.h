/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is being written into an image directory, laid over what the registry
 * shows: published names come first and stay as they are until the new image
 * is; the draft's come in addition.  These are the node_ops that all kinds of
 * directories and files beneath an image directory share.
 */
#include "fs/node.h"
#include "push/draft.h"

struct snapshot;

/* The draft of this name; -ENOENT: nobody writes it, or nobody may. */
int overlay_find(struct node *n, struct repo *r, const char *name,
		 struct draft **ret);
/* The draft of the image directory that `n` is or is in, and the way from there
 * to `name` in n (NULL: to n itself).  -ENOENT. */
int overlay_draft(struct node *n, const char *name, struct str *path,
		  struct draft **ret);

/* What the draft has of this name: `known` as in node_ops. */
int overlay_lookup(struct node *dir, const char *name, struct node *known,
		   struct wait *w, struct node **ret, double *ttl_s);
/* Adds the draft's entries that are not in s yet. */
int overlay_list(struct node *dir, struct snapshot *s);

bool overlay_keep(struct node *dir, void *handle);
int overlay_write_open(struct node *n, const struct opening *o,
		       struct writer **ret);
int overlay_create(struct node *dir, const char *name, const struct opening *o,
		   struct node **ret, struct writer **ret_writer);
int overlay_mkdir(struct node *dir, const char *name, pid_t tid,
		  struct node **ret);
int overlay_symlink(struct node *dir, const char *name, const char *target,
		    struct wait *w, struct node **ret);
int overlay_link(struct node *dir, const char *name, struct node *from,
		 struct wait *w, struct node **ret);
int overlay_unlink(struct node *dir, const char *name, struct wait *w);
int overlay_rmdir(struct node *dir, const char *name, struct wait *w);
int overlay_rename(struct node *dir, const char *name, struct node *to,
		   const char *new_name, bool keep, struct wait *w);
int overlay_sync(struct node *dir, struct wait *w);

/* Of a directory's table. */
#define OVERLAY_DIR_OPS                                                        \
	.settable = true, .keep = overlay_keep, .create = overlay_create,      \
	.mkdir = overlay_mkdir, .symlink = overlay_symlink,                    \
	.link = overlay_link, .unlink = overlay_unlink,                        \
	.rmdir = overlay_rmdir, .rename = overlay_rename, .sync = overlay_sync
