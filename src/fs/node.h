/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A node is one name in the mounted tree; each kind of directory or file is one
 * const table of what it can do, in a file of its own.  A node is known to the
 * kernel by its id (never reused) and to people by its inode number, which is
 * a hash of its path, so that it does not depend on the order of visits.
 *
 * Calls come with a reference held, from any thread, several at a time.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "content/content.h"
#include "util/list.h"
#include "util/str.h"
#include "util/wait.h"

/* Kinds in the order in which a recursive copy should meet them: cp goes by
 * ascending inode number, others by readdir order. */
enum node_rank {
	NODE_RANK_FIRST = 1, /* blobs/, layers' bytes */
	NODE_RANK_CONFIG,
	NODE_RANK_MANIFEST,
	NODE_RANK_INDEX,
	NODE_RANK_ROOT,
	NODE_RANK_PLAIN, /* all that has no order */
	NODE_RANK_LAST,	 /* index.json */
};

/* Everything is the mount owner's to change, as far as it can be changed; and a
 * copy of it should be. */
#define NODE_DIR_MODE 0755
#define NODE_FILE_MODE 0644

struct fs;
struct node;
struct outbox;

/* How long the kernel may believe an answer, in seconds. */
#define NODE_TTL_FOREVER 1e6
#define NODE_TTL_NEGATIVE 2.0

/* What is said of a node, and how long that may be believed. */
struct node_attr {
	struct stat st;
	double ttl_s;
};

/* Takes one directory entry; false: full, stop. */
struct dir_sink {
	bool (*add)(struct dir_sink *sink, const char *name, mode_t type,
		    uint64_t ino, uint64_t next_off);
	/* What the directory wants to be reminded of when the entry that it
	 * adds is looked up, in case that is done at once. */
	uint64_t hint;
	const void *found; /* likewise, what the look-up would find; or NULL */
	bool plus;	   /* entries are looked up at once */
	bool costly;	   /* looking it up is work: not unless somebody asks */
};

/* A look-up, for kinds that find the attributes along with the node. */
struct node_look {
	const char *name;
	struct node *known; /* as in lookup below */
	uint64_t hint;	    /* 0: none */
	const void *found;  /* of the list that it comes from; or NULL */
	double ttl_s;
	struct node_attr attr; /* begun by node_attr_init of the found node */
};

struct writer;
struct writer_copy;

/* How a file is opened for writing, and by which thread of whom. */
struct opening {
	int flags; /* of open(2) */
	pid_t tid;
};

struct node_ops {
	mode_t type; /* S_IFDIR S_IFREG S_IFLNK */

	/* Begun by node_attr_init.  Where st_mtim is left alone, the time is
	 * not known yet: the mount's is shown and the kernel asks again.
	 * st_ctim left alone is st_mtim. */
	int (*getattr)(struct node *n, struct wait *w, struct node_attr *a);
	void (*done)(struct node *n); /* frees what the kind added */
	int (*listxattr)(struct node *n, struct wait *w, struct str *names);
	/* -ENODATA: no such attribute. */
	int (*getxattr)(struct node *n, struct wait *w, const char *name,
			struct str *value);

	/*
	 * Directories.  lookup: *ret is a new node (node_new) or `known`, the
	 * one this name meant last, if it still does; or -ENOENT.  *ttl_s: how
	 * long either may be believed; left alone: for ever.
	 */
	int (*lookup)(struct node *dir, const char *name, struct node *known,
		      struct wait *w, struct node **ret, double *ttl_s);
	int (*look)(struct node *dir, struct node_look *l, struct wait *w,
		    struct node **ret); /* instead of lookup */
	/* Somebody makes it his working directory.  NULL: so be it. */
	int (*enter)(struct node *dir, struct wait *w);
	int (*opendir)(struct node *dir, struct wait *w, void **ret_handle);
	/* Adds entries from offset `off` on (0: the first); 0 at the end. */
	int (*readdir)(struct node *dir, void *handle, uint64_t off,
		       struct wait *w, struct dir_sink *sink);
	void (*closedir)(struct node *dir, void *handle);

	/* Symbolic links. */
	int (*readlink)(struct node *n, struct wait *w, struct str *out);

	/* Files. */
	int (*open)(struct node *n, struct wait *w, void **ret_handle);
	ssize_t (*read)(struct node *n, void *handle, void *buf, size_t len,
			uint64_t off, struct wait *w);
	void (*close)(struct node *n, void *handle);
	/* May pages read through earlier handles be trusted, or the list that
	 * this one of a directory gives be kept?  NULL: yes. */
	bool (*keep)(struct node *n, void *handle);
	bool uncached; /* made anew at each open: the kernel keeps no pages */
	/* What the mount's owner demands (fs/control.h).  NULL: nothing can be
	 * demanded.  -ENOTTY: not this. */
	int (*control)(struct node *n, void *handle, unsigned cmd,
		       const void *in, size_t in_len, void *out,
		       size_t out_len);
	bool long_list; /* directory of which only some entries may matter */
	bool volatile_list; /* directory whose list changes: never kept */

	/*
	 * Writing.  All may be missing: -EPERM.  Those that make something
	 * return a new node for the name (not entered).
	 */
	bool settable; /* modes, owners, times may be set (and are forgotten) */
	/* *ret may be NULL: it may be opened, but nothing of it changed. */
	int (*write_open)(struct node *n, const struct opening *o,
			  struct writer **ret);
	/* A writer of this file begins, or is about to be closed. */
	void (*writing)(struct node *n, struct writer *w, bool begins);
	/* Fills from, digest, size_bytes, image.  -EXDEV: read it instead. */
	int (*copy_source)(struct node *n, struct writer_copy *ret);

	int (*create)(struct node *dir, const char *name,
		      const struct opening *o, struct node **ret,
		      struct writer **ret_writer);
	int (*mkdir)(struct node *dir, const char *name, pid_t tid,
		     struct node **ret);
	int (*symlink)(struct node *dir, const char *name, const char *target,
		       struct wait *w, struct node **ret);
	int (*link)(struct node *dir, const char *name, struct node *from,
		    struct wait *w, struct node **ret);
	int (*unlink)(struct node *dir, const char *name, struct wait *w);
	int (*rmdir)(struct node *dir, const char *name, struct wait *w);
	/* With `keep` nothing may have the new name yet. */
	int (*rename)(struct node *dir, const char *name, struct node *to,
		      const char *new_name, bool keep, struct wait *w);
	/* fsync of a directory: 0 once all of it is where it should be. */
	int (*sync)(struct node *dir, struct wait *w);
};

struct node {
	const struct node_ops *ops;
	struct fs *fs;
	struct node *parent; /* counted; NULL for the root */
	char *name;	     /* behind the kind's own members */
	uint64_t id;	     /* FUSE nodeid */
	uint64_t path_hash;  /* of the whole path; of a numbered node: of what
				it is numbered in */
	uint64_t ino;
	uint64_t version; /* what the name meant: differs, then another node */

	/* private to inode.c; protected by its lock */
	struct node *next_id, *next_name; /* chains of the tables */
	uint64_t name_hash;
	uint64_t nlookup;
	unsigned refs;
	bool hashed; /* found by (parent, name) */
};

/* Allocates `size` bytes that begin with a struct node.  One that was never
 * entered in the table is given back by free(). */
int node_new(const struct node_ops *ops, size_t size, struct node *parent,
	     const char *name, enum node_rank rank, struct node **ret);
/*
 * A node in a tree that numbers its files itself: `number` is its, and the
 * same number is the same file, whatever the name.  `parent` is the tree's top
 * or another of its nodes.
 */
int node_new_numbered(const struct node_ops *ops, size_t size,
		      struct node *parent, const char *name, uint64_t number,
		      struct node **ret);
uint64_t node_numbered_ino(const struct node *parent, uint64_t number);
/* Frees one that was never entered. */
void node_discard(struct node *n);
/* The inode number that a child of this name would have. */
uint64_t node_child_ino(const struct node *parent, const char *name,
			enum node_rank rank);
struct content *node_content(const struct node *n);
struct outbox *node_outbox(const struct node *n);
const struct options *node_options(const struct node *n);
/* Adds its path from the mount's root: "/a/b"; nothing of the root. */
int node_way(const struct node *n, struct str *out);
/* Does the kernel check modes and owners? */
bool node_enforced(const struct node *n);
/* st_ino, st_nlink 1, the mount's user, the type bits; believed for ever. */
void node_attr_init(const struct node *n, struct node_attr *a);
/* For what has no time of its own. */
void node_mount_time(const struct node *n, struct node_attr *a);

/* Adds "." and ".." as far as `*off` asks for them and moves it past them;
 * false: the sink is full. */
bool dir_add_dots(struct node *dir, uint64_t *off, struct dir_sink *sink);
/* Spells a name as the mount lists it: ':' or, with colon=+, '+'. */
void name_spell(const struct options *o, char *name);
/* Names of attributes, NUL-separated, as listxattr wants them. */
int xattr_name(struct str *names, const char *name);
