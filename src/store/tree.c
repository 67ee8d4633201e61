/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree's life.  One connection for each; see treesql.c.
 *
 *   BUILDING --seal--> SEALING --(durable, renamed)--> SEALED
 *                         '------(cannot be kept)----> SEALED, without a key
 *
 * While SEALING the old connection serves readers and the lock is free: syncing
 * a file may take long.  Adding is for whoever builds; he is also the one who
 * seals.
 */
#include "store/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/state.h"
#include "store/treestate.h"
#include "store/treevfs.h"
#include "util/auto.h"
#include "util/log.h"

AUTOPTR_DEFINE(tree, tree_close)

static int new_tree(struct store *s, const char *key, struct tree **ret)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->s = s;
	t->fd = -1;
	t->key = strdup(key);
	if (!t->key) {
		free(t);
		return -ENOMEM;
	}
	list_init(&t->in_pool);
	pthread_mutex_init(&t->lock, NULL);
	autolock(&s->lock);
	list_push_back(&s->trees, &t->node);
	*ret = t;
	return 0;
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	/* Nor is anybody parking it from here on. */
	pthread_mutex_lock(&t->lock);
	treepool_leave(t);
	pthread_mutex_unlock(&t->lock);
	pthread_mutex_lock(&t->s->lock);
	list_del(&t->node);
	pthread_mutex_unlock(&t->s->lock);
	if (t->kept && t->fd >= 0)
		treefile_touch(t->fd);
	if (t->temp)
		treefile_remove(t->s, t->temp);
	treesql_close(&t->sql);
	if (t->fd >= 0)
		close(t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t->temp);
	free(t->key);
	free(t);
}

int tree_open(struct store *s, const char *key, struct tree **ret)
{
	autoptr(tree) t = NULL;
	int r, rc;

	r = new_tree(s, key, &t);
	if (r == 0)
		r = treepool_open_file(s, key, &t->fd);
	if (r < 0)
		return r;
	t->state = TREE_SEALED;
	rc = treesql_open(&t->sql, t->fd);
	r = treesql_errno(rc);
	if (r == -EBADMSG) {
		log_warning("tree %s is damaged or of another version: removed",
			    key);
		treefile_remove_same(s, key, t->fd);
		return -ENOENT;
	}
	if (r < 0) {
		log_warning("tree %s: %s", key, sqlite3_errstr(rc));
		return r;
	}
	t->kept = true;
	treefile_touch(t->fd);
	autolock(&t->lock);
	treepool_enter(t);
	*ret = steal(&t);
	return 0;
}

static int add_root(struct tree *t)
{
	static const struct tree_inode root = {.mode = S_IFDIR | 0755,
					       .flags = TREE_IMPLIED};
	uint64_t ino;
	int r = tree_add_inode(t, &root, NULL, &ino);

	t->fresh_ino = 0;
	return r;
}

static int make_file(struct store *s, const char *key, struct tree *t)
{
	int r = treefile_make(s, key, &t->fd, &t->temp);

	if (store_relieve(s, r))
		r = treefile_make(s, key, &t->fd, &t->temp);
	return r == -EMFILE ? -ENFILE : r;
}

int tree_create(struct store *s, const char *key, bool in_memory,
		struct tree **ret)
{
	autoptr(tree) t = NULL;
	int r, rc;

	r = new_tree(s, key, &t);
	if (r < 0)
		return r;
	if (!in_memory && s->dirfd >= 0)
		r = make_file(s, key, t);
	else if (treefile_make_nameless(&t->fd) < 0)
		log_debug("tree %s: no room on disk: in memory", key);
	if (r < 0)
		return r;
	rc = treesql_create(&t->sql, t->fd, t->temp ? s->min_free_bytes : 0);
	if (rc != SQLITE_OK)
		return tree_error(t, rc);
	r = add_root(t);
	if (r < 0)
		return r;
	*ret = steal(&t);
	return 0;
}

static int begin_seal(struct tree *t, bool *ret_done)
{
	int r;

	autolock(&t->lock);
	*ret_done = true;
	if (t->state != TREE_BUILDING)
		return t->failed;
	r = tree_settle(t);
	if (r < 0)
		return r;
	if (t->temp) {
		/* What the cache of pages still holds. */
		r = treefile_check_room(t->s, TREE_CACHE_BYTES);
		if (r == 0) {
			int rc = treesql_commit(&t->sql);

			if (rc != SQLITE_OK)
				return tree_error(t, rc);
			*ret_done = false;
		}
	}
	t->state = *ret_done ? TREE_SEALED : TREE_SEALING;
	return r;
}

/* Opens it as everybody will, before anybody can. */
static int sync_and_open(struct tree *t, struct treesql *ret)
{
	int rc;

	if (fsync(t->fd) < 0)
		return -errno;
	rc = treesql_open(ret, t->fd);
	return treesql_errno(rc);
}

int tree_seal(struct tree *t)
{
	struct treesql sealed = {0}, old = {0};
	bool done;
	int r = begin_seal(t, &done);

	if (done)
		return r;
	/* Only the builder, who is here, changes temp. */
	r = sync_and_open(t, &sealed);
	if (r == 0)
		r = treefile_keep(t->s, t->temp, t->key);
	pthread_mutex_lock(&t->lock);
	t->state = TREE_SEALED;
	if (r == -EBADMSG)
		t->failed = r;
	if (r == 0) {
		t->kept = true;
		free(steal(&t->temp));
		old = t->sql;
		t->sql = sealed;
		memset(&sealed, 0, sizeof(sealed));
	}
	pthread_mutex_unlock(&t->lock);
	treesql_close(&old);
	treesql_close(&sealed);
	if (r < 0) {
		log_warning("tree %s cannot be kept: %s", t->key, strerror(-r));
		return r;
	}
	pthread_mutex_lock(&t->lock);
	treepool_enter(t);
	pthread_mutex_unlock(&t->lock);
	treefile_added(t->s, tree_bytes(t));
	return 0;
}

bool tree_sealed(struct tree *t)
{
	autolock(&t->lock);

	return t->state == TREE_SEALED;
}

bool tree_lost(struct tree *t)
{
	autolock(&t->lock);

	return t->failed != 0;
}

bool tree_evicted(struct tree *t)
{
	struct stat st;

	autolock(&t->lock);
	return t->kept && t->fd >= 0 && fstat(t->fd, &st) == 0 &&
	       st.st_nlink == 0 && treefile_fits(t->s, (uint64_t)st.st_size);
}

bool tree_kept(struct store *s, const char *key)
{
	return treefile_exists(s, key);
}

void tree_forget(struct store *s, const char *key)
{
	if (treefile_exists(s, key))
		treefile_remove(s, key);
}

uint64_t tree_bytes(struct tree *t)
{
	int64_t pages = 0;

	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_PAGES);

	if (ask_next(&a) <= 0 ||
	    ask_get_int(&a, 0, 0, INT64_MAX / TREE_PAGE_BYTES, &pages) < 0)
		return 0;
	return (uint64_t)pages * TREE_PAGE_BYTES;
}
