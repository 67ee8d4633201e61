/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is inside a layer, or inside an image's merged layers, as if it had been
 * unpacked: directories, files, links.  Opening is cheap; the first look inside
 * has the layers read (by their table of contents, else by one pass over all
 * of them), and waits for that while it makes progress.  Counted.  All
 * functions from any thread.
 */
#include "content/repo.h"
#include "oci/digest.h"
#include "store/tree.h"
#include "util/auto.h"

struct unpacked;
struct unpacked_file;

/* The registry must have shown that the repository holds it (no more than a
 * HEAD). */
int unpacked_open_layer(struct repo *r, const struct digest *d, struct wait *w,
			struct unpacked **ret);
/* The merged layers of an image manifest, or of an index's chosen platform.
 * -ENOENT: no such image, or it is none that has layers. */
int unpacked_open_rootfs(struct repo *r, const struct digest *manifest,
			 struct wait *w, struct unpacked **ret);
/* Has it been looked into, now or before?  If not, the next question fetches
 * the layers. */
bool unpacked_at_hand(struct unpacked *u);
struct unpacked *unpacked_ref(struct unpacked *u);
void unpacked_unref(struct unpacked *u);
AUTOPTR_DEFINE(unpacked, unpacked_unref)

/*
 * *ret_final (may be NULL): nothing can change it any more; false while the
 * layer is still being read.  A name that was not seen yet is waited for.
 * -ENOENT: there is none.  -EBADMSG: the layer is damaged before it could come.
 */
int unpacked_find(struct unpacked *u, uint64_t dir, const char *name,
		  struct wait *w, struct tree_inode *ret, bool *ret_final);
int unpacked_get(struct unpacked *u, uint64_t ino, struct wait *w,
		 struct tree_inode *ret, bool *ret_final);
/* Waits until the directory is complete.  Up to max names, from the skip-th on
 * or, faster, after `after`.  -EBADMSG after the last one that is known, where
 * the layer is damaged. */
int unpacked_list(struct unpacked *u, uint64_t dir, const char *after,
		  uint64_t skip, size_t max, struct wait *w,
		  struct tree_name **ret, size_t *ret_len);
/* The same with the inodes, behind `after` (NULL: from the first on). */
int unpacked_list_inodes(struct unpacked *u, uint64_t dir, const char *after,
			 size_t max, struct wait *w, struct tree_name **ret,
			 struct tree_inode **ret_inodes, size_t *ret_len);
int unpacked_readlink(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out);
/* The image's own attributes: one value, or all names (NUL-separated). */
int unpacked_getxattr(struct unpacked *u, uint64_t ino, const char *name,
		      struct wait *w, struct str *out);
int unpacked_listxattr(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct str *out);
/* The name as the image has it, where it had to be shown under another. */
int unpacked_raw_name(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out);
/* Which layer brought it. */
int unpacked_layer(struct unpacked *u, const struct tree_inode *i,
		   struct digest *ret);
/* Of the layer or image: how it is read, what was left out; one "key: value"
 * line each. */
int unpacked_about(struct unpacked *u, struct wait *w, struct str *out);

/* -ENOENT: a hard link to nothing. */
int unpacked_open_file(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct unpacked_file **ret);
/* Up to len bytes; short only at the end of the file. */
ssize_t unpacked_read(struct unpacked_file *f, void *buf, size_t len,
		      uint64_t off, struct wait *w);
/* All that is read was proven by a digest. */
bool unpacked_file_proven(struct unpacked_file *f);
void unpacked_close_file(struct unpacked_file *f);

/* Digests whose trees are kept: layers, or root filesystems, that this
 * repository may show. */
int unpacked_known(struct repo *r, bool rootfs, struct string_list *ret);
