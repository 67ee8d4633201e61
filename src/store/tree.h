/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A tree of files without their bytes: what is inside a layer, or inside the
 * merged layers of an image.  An SQLite file of its own under DIR/trees, built
 * once, sealed, and from then on opened immutable; its memory does not grow
 * with the number of entries.  A store without a disk keeps it in a temporary
 * database instead, as long as it is open.
 *
 *   BUILDING --seal--> SEALED      closed before: as if it had never been
 *
 * While it is being built it can be read, too: it shows what is there so far.
 * All functions from any thread; one lock inside; callbacks must not call the
 * same tree.  -EBADMSG: the file is damaged; it is removed and all that is
 * asked of this tree from then on fails.  So it is with any failure of the disk
 * while building (-ENOSPC, -EIO): there is no way back.
 *
 * However many are held, only some have their file open; the others open it
 * when they are asked something.  One whose file was removed meanwhile is
 * -EBADMSG, too; -ENFILE: no descriptor is left, which may pass.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/digest.h"
#include "store/store.h"
#include "util/str.h"

struct tree;

#define TREE_ROOT ((uint64_t)1) /* a directory, there from the start */
#define TREE_KEY_MAX 255	/* [a-z0-9-] */
#define TREE_NAME_MAX 255

enum tree_flag {
	TREE_IMPLIED = 1,  /* directory for which there was no entry */
	TREE_DANGLING = 2, /* hard link whose target is not in this tree; its
			      link is the target's path */
	TREE_PIECES = 4,   /* content is in the pieces */
	TREE_RAW_NAME = 8, /* its name is escaped; see raw_name */
	TREE_BLOB = 16	   /* content is the layer's blob itself */
};

struct tree_inode {
	uint64_t ino;
	uint32_t mode; /* with the type's bits */
	uint32_t uid, gid;
	uint32_t nlink; /* files: names; directories: right once sealed */
	uint32_t flags;
	uint64_t size_bytes;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t major, minor;
	uint64_t data_off; /* in the layer's decoded stream */
	/* Of a merged tree: which layer brought it (0: the base), and its inode
	 * there. */
	uint32_t layer;
	uint64_t src_ino;
};

/* The rest of an inode: bytes, or NULL. */
struct tree_extra {
	const void *link;
	size_t link_len;
	const void *xattrs; /* packed by whoever puts them in */
	size_t xattrs_len;
	const char *raw_name;
	size_t raw_name_len;
};

struct tree_piece {
	uint64_t off, bytes;
	uint64_t src_off, src_end, inner_off;
	bool has_digest;
	uint8_t digest[32];
};

struct tree_point {
	uint64_t in_off, out_off;
	uint8_t bits;
};

/* A name in a directory; owned by whoever asked for the list. */
struct tree_name {
	char *name;
	uint64_t ino;
	uint32_t mode;
};

/* --- life --- */

/* A sealed one.  -ENOENT: not kept (or damaged, or of another version: then it
 * is removed). */
int tree_open(struct store *s, const char *key, struct tree **ret);
/* An empty one.  -ENOSPC, -EROFS: try with `in_memory`. */
int tree_create(struct store *s, const char *key, bool in_memory,
		struct tree **ret);
/* Makes it durable and final; then it can be found by its key.  When it fails,
 * but tree_sealed(), it is final and can be read, only not kept: -ENOSPC,
 * -EROFS (also when the directory was deleted), -EIO. */
int tree_seal(struct tree *t);
bool tree_sealed(struct tree *t);
/* All that is asked of it fails: damaged, or removed while it was parked. */
bool tree_lost(struct tree *t);
/* Was kept, but is no longer, though it could be: its holder reads on. */
bool tree_evicted(struct tree *t);
void tree_close(struct tree *t); /* NULL is fine */
/* Is a sealed one kept on disk?  No I/O but a stat. */
bool tree_kept(struct store *s, const char *key);
void tree_forget(struct store *s, const char *key);
/* Of a key KIND-ALG-HEX, perhaps with more behind it; -EINVAL. */
int tree_key_digest(const char *key, struct digest *ret);
uint64_t tree_bytes(struct tree *t); /* of the database */

/* --- building --- */

/* i->ino, i->nlink are ignored.  -EINVAL: out of bounds; -EFBIG: over 1 MiB of
 * extra; nothing is changed then. */
int tree_add_inode(struct tree *t, const struct tree_inode *i,
		   const struct tree_extra *x, uint64_t *ret_ino);
/* Other attributes, of the same type, for a directory; its names stay (and so
 * do their modes). */
int tree_set_inode(struct tree *t, uint64_t ino, const struct tree_inode *i,
		   const struct tree_extra *x);
int tree_add_piece(struct tree *t, uint64_t ino, const struct tree_piece *p);
/* One more name; `mode` (of which readers use the type) goes into lists.
 * -EEXIST; -EINVAL for ".", "..", a slash; -ENAMETOOLONG. */
int tree_add_name(struct tree *t, uint64_t dir, const char *name, uint64_t ino,
		  uint32_t mode);
/* Takes a name away and all beneath; inodes without names are gone, with
 * their pieces.  -ENOENT. */
int tree_remove(struct tree *t, uint64_t dir, const char *name);
/* Takes all names of a directory away. */
int tree_clear(struct tree *t, uint64_t dir);
/* Restart points in ascending order, with their packed windows. */
int tree_add_point(struct tree *t, const struct tree_point *p,
		   const void *window, size_t window_len);
/* Small facts about the tree, by key. */
int tree_set_text(struct tree *t, const char *key, const char *value);
int tree_set_int(struct tree *t, const char *key, int64_t value);

/* --- reading --- */

/* -ENOENT: no such name in `dir`. */
int tree_find(struct tree *t, uint64_t dir, const char *name,
	      struct tree_inode *ret);
int tree_get(struct tree *t, uint64_t ino, struct tree_inode *ret);
/* Up to `max` names (and not over a million) after `after` (NULL: from the
 * first), by bytes. */
int tree_list(struct tree *t, uint64_t dir, const char *after, size_t max,
	      struct tree_name **ret, size_t *ret_len);
/* The same with the inode of each, as tree_get would say; caller frees both. */
int tree_list_inodes(struct tree *t, uint64_t dir, const char *after,
		     size_t max, struct tree_name **ret,
		     struct tree_inode **ret_inodes, size_t *ret_len);
/* The same from the skip-th on. */
int tree_list_from(struct tree *t, uint64_t dir, uint64_t skip, size_t max,
		   struct tree_name **ret, size_t *ret_len);
void tree_names_free(struct tree_name *names, size_t len);
/* Each is added to a str; -ENODATA: has none. */
int tree_get_link(struct tree *t, uint64_t ino, struct str *out);
int tree_get_xattrs(struct tree *t, uint64_t ino, struct str *out);
int tree_get_raw_name(struct tree *t, uint64_t ino, struct str *out);
/* The piece that holds `off`, else the first one behind it; -ENOENT: none. */
int tree_find_piece(struct tree *t, uint64_t ino, uint64_t off,
		    struct tree_piece *ret);
/* Inodes with one of these flags, ascending; more after `after`. */
int tree_flagged(struct tree *t, uint32_t flags, uint64_t after, size_t max,
		 uint64_t *ret_inos, size_t *ret_len);
/* All points, in order (caller frees), and one's packed window. */
int tree_points(struct tree *t, struct tree_point **ret, size_t *ret_len);
int tree_get_window(struct tree *t, size_t point, struct str *out);
/* -ENODATA: not set. */
int tree_get_text(struct tree *t, const char *key, struct str *out);
int tree_get_int(struct tree *t, const char *key, int64_t *ret);
