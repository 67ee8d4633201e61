/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open tree costs a descriptor and SQLite's memory, and whoever looked into
 * an image may hold its trees for days.  So of those that can be found again
 * only some stay open:
 *
 *   OPEN --(too many, or idle for a while)--> PARKED --(a question)--> OPEN
 *     |                                          '--(file gone)--> useless
 *     '--(removed while it was open)--> open until its holder closes it
 *
 * What is in memory, or a file without a name, cannot be parked.  A parked one
 * is found again only if its file is the same one: numbers were given out from
 * it.
 *
 * Every tree in the list is OPEN.  Whoever takes one from it holds the tree's
 * lock, and closing a tree takes that lock, too; so it is not freed meanwhile.
 * A tree's lock may be held when the list's is taken, and not the other way
 * round, but by trying.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/state.h"
#include "store/treestate.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"

#define OPEN_MAX 64
#define OPEN_MIN 4
/* Of all descriptors; what is in use, connections and files being written want
 * theirs. */
#define OPEN_SHARE 8

unsigned store_open_max(void)
{
	struct rlimit files;
	rlim_t max = OPEN_MAX;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur / OPEN_SHARE < max)
		max = files.rlim_cur / OPEN_SHARE;
	return max < OPEN_MIN ? OPEN_MIN : (unsigned)max;
}

void treepool_leave(struct tree *t)
{
	autolock(&t->s->pool_lock);

	if (list_empty(&t->in_pool))
		return;
	list_del(&t->in_pool);
	t->s->pool_len--;
}

/* The least recently used, locked, and no longer in the list; NULL: enough were
 * taken.  The pool's lock is held. */
static struct tree *take_idle(struct store *s, unsigned max, uint64_t before_ms)
{
	struct tree *t, *least;

	for (unsigned n = s->pool_len; n > 0; n--) {
		least = NULL;
		list_for(node, &s->pool) {
			t = container_of(node, struct tree, in_pool);
			if (!least || atomic_load(&t->used_ms) <
					      atomic_load(&least->used_ms))
				least = t;
		}
		if (!least || (s->pool_len <= max &&
			       atomic_load(&least->used_ms) >= before_ms))
			return NULL;
		if (pthread_mutex_trylock(&least->lock) == 0) {
			list_del(&least->in_pool);
			s->pool_len--;
			return least;
		}
		/* Somebody asks it now. */
		atomic_store(&least->used_ms, clock_ms());
	}
	return NULL;
}

/* The lock is held. */
static void park(struct tree *t)
{
	struct stat st;

	/* It was evicted: here is the last of it. */
	if (!t->failed && (fstat(t->fd, &st) < 0 || st.st_nlink == 0))
		return;
	if (!t->failed) {
		t->dev = st.st_dev;
		t->file_ino = st.st_ino;
		t->file_bytes = st.st_size;
		treefile_touch(t->fd);
	}
	treesql_close(&t->sql);
	close(t->fd);
	t->fd = -1;
	atomic_store(&t->parked, true);
}

unsigned treepool_shrink(struct store *s, unsigned max, uint64_t before_ms)
{
	unsigned parked = 0;
	struct tree *t;

	for (;;) {
		pthread_mutex_lock(&s->pool_lock);
		t = take_idle(s, max, before_ms);
		pthread_mutex_unlock(&s->pool_lock);
		if (!t)
			return parked;
		park(t);
		parked += atomic_load(&t->parked);
		pthread_mutex_unlock(&t->lock);
	}
}

bool store_relieve(struct store *s, int r)
{
	if (r != -EMFILE && r != -ENFILE)
		return false;
	(void)treepool_shrink(s, 0, 0);
	/* Else somebody is at it. */
	if (pthread_mutex_trylock(&s->saving) == 0) {
		chunk_release_idle(s, 0, true);
		pthread_mutex_unlock(&s->saving);
	}
	return true;
}

void treepool_enter(struct tree *t)
{
	struct store *s = t->s;

	atomic_store(&t->used_ms, clock_ms());
	{
		autolock(&s->pool_lock);
		list_push_back(&s->pool, &t->in_pool);
		s->pool_len++;
	}
	(void)treepool_shrink(s, s->pool_max, 0);
}

int treepool_open_file(struct store *s, const char *key, int *ret_fd)
{
	int r = treefile_open(s, key, ret_fd);

	if (store_relieve(s, r))
		r = treefile_open(s, key, ret_fd);
	return r == -EMFILE ? -ENFILE : r;
}

/* All that is asked of it from now on fails: who holds it makes it anew. */
static int lost(struct tree *t, const char *why)
{
	log_info("tree %s was %s while nobody used it", t->key, why);
	t->kept = false;
	t->failed = -EBADMSG;
	return t->failed;
}

static bool same_file(const struct tree *t, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == t->dev &&
	       st.st_ino == t->file_ino && st.st_size == t->file_bytes;
}

int treepool_unpark(struct tree *t)
{
	autoclose int fd = -1;
	int r = treepool_open_file(t->s, t->key, &fd), rc;

	if (r == -ENOENT || r == -EPERM)
		return lost(t, "removed");
	if (r < 0)
		return r;
	if (!same_file(t, fd))
		return lost(t, "replaced");
	t->fd = steal_fd(&fd);
	rc = treesql_open(&t->sql, t->fd);
	if (rc == SQLITE_OK) {
		atomic_store(&t->parked, false);
		treepool_enter(t);
		return 0;
	}
	r = tree_error(t, rc);
	treesql_close(&t->sql);
	close(t->fd);
	t->fd = -1;
	return r;
}
