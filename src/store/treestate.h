/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The insides of a tree, shared by the tree*.c files. */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store/tree.h"
#include "store/treesql.h"
#include "util/list.h"

#define TREE_VALUE_MAX ((size_t)1 << 20) /* link, attributes, window, text */
#define TREE_POINTS_MAX ((size_t)1 << 20)
#define TREE_NAMES_MAX ((size_t)1 << 20) /* of one answer */
#define TREE_MODE_MAX 0xffff

enum tree_state { TREE_BUILDING, TREE_SEALING, TREE_SEALED };

struct tree {
	/* Constant while open. */
	struct store *s;
	char *key;
	struct list_node node;	  /* in s->trees; protected by s->lock */
	struct list_node in_pool; /* in s->pool; protected by s->pool_lock */
	_Atomic uint64_t used_ms; /* when it was last asked something */
	atomic_bool parked;	  /* closed for a while; see treepool.c */

	pthread_mutex_t lock;
	/* All below, and changes of `parked`, protected by lock. */
	struct treesql sql;
	enum tree_state state;
	int fd;	    /* the file; -1: in memory, or parked */
	char *temp; /* its name while building; NULL: has none */
	bool kept;  /* found by its key, unless it was evicted */
	int failed; /* -errno of everything from now on; or 0 */
	bool logged;
	dev_t dev; /* while parked: which file it was */
	ino_t file_ino;
	off_t file_bytes;
	uint64_t last_ino;  /* numbers go up */
	uint64_t fresh_ino; /* newest inode while it has no name; or 0 */
	bool unnamed;	    /* others may be without a name */
	uint64_t points;    /* added so far */
};

/* Logs once; remembers what makes the tree useless; the -errno. */
int tree_error(struct tree *t, int rc);
/* With the lock held. */
int tree_inode_get(struct tree *t, uint64_t ino, struct tree_inode *ret);
/* Of a row whose columns are an inode's from `col` on. */
struct ask;
int tree_inode_read(struct ask *a, int col, struct tree_inode *ret);
int tree_name_check(const char *name);
/* Before sealing: link counts, no files without names. */
int tree_settle(struct tree *t);

/* --- ask: one statement, bound, stepped, read; the first error stays --- */

struct ask {
	struct tree *t;
	struct sqlite3_stmt *st;
	int bound;
	int r;
};

struct ask ask_start(struct tree *t, enum tree_sql which);
void ask_int(struct ask *a, int64_t v);
void ask_bytes(struct ask *a, const void *v, size_t n); /* NULL stays NULL */
void ask_text(struct ask *a, const char *v);
/* 1: a row; 0: no more; or -errno. */
int ask_next(struct ask *a);
int ask_end(struct ask *a);
int ask_run(struct ask *a);

static inline void auto_ask_(struct ask *a)
{
	ask_end(a);
}
#define autoask __attribute__((cleanup(auto_ask_))) struct ask

/* Columns.  Of another type or out of bounds: the file is damaged. */
int ask_get_int(struct ask *a, int col, int64_t min, int64_t max, int64_t *ret);
int ask_get_bytes(struct ask *a, int col, size_t max, const void **ret,
		  size_t *ret_len);

/* --- treepool.c: which sealed trees are open --- */

/* With the tree's lock held: it is open, and can be found by its key.  Parks
 * what is too much. */
void treepool_enter(struct tree *t);
/* Likewise: it is about to be closed. */
void treepool_leave(struct tree *t);
/* Likewise: opens it again.  -EBADMSG: it is lost; -ENFILE: no descriptor;
 * -ENOMEM, -EIO: perhaps the next time. */
int treepool_unpark(struct tree *t);
/* Parks what is more than max, or was last used before that time; how many. */
unsigned treepool_shrink(struct store *s, unsigned max, uint64_t before_ms);
/* treefile_open; when descriptors have run out, parks others.  -ENFILE. */
int treepool_open_file(struct store *s, const char *key, int *ret_fd);

/* --- treefile.c: DIR/trees --- */

/* A new file for what will be `key`; its name.  -EROFS, -ENOSPC. */
int treefile_make(struct store *s, const char *key, int *ret_fd,
		  char **ret_temp);
/* A file without a name; -ENOSPC: nowhere is there room for one. */
int treefile_make_nameless(int *ret_fd);
/* -ENOENT; -EPERM: not a file of ours. */
int treefile_open(struct store *s, const char *key, int *ret_fd);
/* Less than min_free and `more` left: -ENOSPC. */
int treefile_check_room(struct store *s, uint64_t more);
/* Durably renames it.  -EROFS also when somebody deleted the directory. */
int treefile_keep(struct store *s, const char *temp, const char *key);
void treefile_remove(struct store *s, const char *name);
/* Only if it is the file of fd. */
void treefile_remove_same(struct store *s, const char *name, int fd);
void treefile_touch(int fd);
bool treefile_exists(struct store *s, const char *key);
/* Is there ever room for one so large? */
bool treefile_fits(const struct store *s, uint64_t bytes);
