/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a tree.  An inode mostly gets its one name right after it was added,
 * so it is written as having one, and only an inode for which that turns out
 * wrong is written again (`fresh_ino`: the newest one, still without a name).
 */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "store/treestate.h"
#include "util/auto.h"

static bool is_device(uint32_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

static int64_t data_of(const struct tree_inode *i)
{
	if (is_device(i->mode))
		return (int64_t)((uint64_t)i->major << 32 | i->minor);
	return (int64_t)i->data_off;
}

static int can_build(const struct tree *t)
{
	if (t->failed)
		return t->failed;
	return t->state == TREE_BUILDING ? 0 : -EROFS;
}

static int inode_check(const struct tree_inode *i)
{
	if (i->mode > TREE_MODE_MAX || i->mtime_ns >= 1000000000 ||
	    i->size_bytes > INT64_MAX || i->src_ino > INT64_MAX ||
	    (!is_device(i->mode) && i->data_off > INT64_MAX))
		return -EINVAL;
	return 0;
}

/* They share a row. */
static int extra_check(const struct tree_extra *x)
{
	const size_t lens[] = {x && x->link ? x->link_len : 0,
			       x && x->xattrs ? x->xattrs_len : 0,
			       x && x->raw_name ? x->raw_name_len : 0};
	size_t left = TREE_VALUE_MAX;

	for (size_t n = 0; n < sizeof(lens) / sizeof(lens[0]); n++) {
		if (lens[n] > left)
			return -EFBIG;
		left -= lens[n];
	}
	return 0;
}

static int add_extra(struct tree *t, uint64_t ino, const struct tree_extra *x)
{
	if (!x || (!x->link && !x->xattrs && !x->raw_name))
		return 0;
	autoask a = ask_start(t, TREE_SQL_ADD_EXTRA);

	ask_int(&a, (int64_t)ino);
	ask_bytes(&a, x->link, x->link_len);
	ask_bytes(&a, x->xattrs, x->xattrs_len);
	ask_bytes(&a, x->raw_name, x->raw_name_len);
	return ask_run(&a);
}

static int run_by_ino(struct tree *t, enum tree_sql which, uint64_t ino)
{
	autoask a = ask_start(t, which);

	ask_int(&a, (int64_t)ino);
	return ask_run(&a);
}

static int set_nlink(struct tree *t, uint64_t ino, uint64_t nlink)
{
	autoask a = ask_start(t, TREE_SQL_SET_NLINK);

	ask_int(&a, (int64_t)nlink);
	ask_int(&a, (int64_t)ino);
	return ask_run(&a);
}

/* Another inode comes before this one got its name. */
static int give_up_fresh(struct tree *t)
{
	uint64_t ino = t->fresh_ino;
	struct tree_inode i;
	int r;

	if (!ino)
		return 0;
	r = tree_inode_get(t, ino, &i);
	t->fresh_ino = 0;
	if (r < 0 || S_ISDIR(i.mode))
		return r;
	t->unnamed = true;
	return set_nlink(t, ino, 0);
}

/* All but ino and nlink. */
static void bind_inode(struct ask *a, const struct tree_inode *i)
{
	ask_int(a, (int64_t)i->mode - TREE_MODE_BIAS);
	ask_int(a, i->uid);
	ask_int(a, i->gid);
	ask_int(a, i->flags);
	ask_int(a, (int64_t)i->size_bytes);
	ask_int(a, i->mtime_s);
	ask_int(a, i->mtime_ns);
	ask_int(a, data_of(i));
	ask_int(a, i->layer);
	ask_int(a, (int64_t)i->src_ino);
}

static int insert_inode(struct tree *t, const struct tree_inode *i)
{
	autoask a = ask_start(t, TREE_SQL_ADD_INODE);

	bind_inode(&a, i);
	ask_int(&a, (int64_t)t->last_ino + 1);
	ask_int(&a, S_ISDIR(i->mode) ? 0 : 1);
	return ask_run(&a);
}

int tree_add_inode(struct tree *t, const struct tree_inode *i,
		   const struct tree_extra *x, uint64_t *ret_ino)
{
	autolock(&t->lock);
	int r = can_build(t);

	if (r == 0)
		r = inode_check(i);
	if (r == 0)
		r = extra_check(x);
	if (r == 0)
		r = give_up_fresh(t);
	if (r == 0)
		r = insert_inode(t, i);
	if (r == 0)
		r = add_extra(t, t->last_ino + 1, x);
	if (r < 0)
		return r;
	t->fresh_ino = ++t->last_ino;
	*ret_ino = t->last_ino;
	return 0;
}

static int update_inode(struct tree *t, uint64_t ino,
			const struct tree_inode *i)
{
	autoask a = ask_start(t, TREE_SQL_SET_INODE);

	bind_inode(&a, i);
	ask_int(&a, (int64_t)ino);
	return ask_run(&a);
}

int tree_set_inode(struct tree *t, uint64_t ino, const struct tree_inode *i,
		   const struct tree_extra *x)
{
	autolock(&t->lock);
	struct tree_inode old;
	int r = can_build(t);

	if (r == 0)
		r = inode_check(i);
	if (r == 0)
		r = extra_check(x);
	if (r == 0)
		r = tree_inode_get(t, ino, &old);
	/* Link counts depend on it. */
	if (r == 0 && (old.mode & S_IFMT) != (i->mode & S_IFMT))
		r = -EINVAL;
	if (r == 0)
		r = update_inode(t, ino, i);
	if (r == 0)
		r = run_by_ino(t, TREE_SQL_DROP_EXTRA, ino);
	if (r == 0)
		r = add_extra(t, ino, x);
	return r;
}

int tree_name_check(const char *name)
{
	size_t n = strnlen(name, TREE_NAME_MAX + 1);

	if (n == 0 || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return -EINVAL;
	return n > TREE_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Once more, unless it is the first. */
static int count_name(struct tree *t, uint64_t ino, uint32_t mode)
{
	struct tree_inode i;
	int r;

	if (ino == t->fresh_ino) {
		t->fresh_ino = 0;
		return 0;
	}
	if (S_ISDIR(mode))
		return 0;
	r = tree_inode_get(t, ino, &i);
	if (r < 0)
		return r == -ENOENT ? -EINVAL : r;
	return set_nlink(t, ino, (uint64_t)i.nlink + 1);
}

static int insert_name(struct tree *t, uint64_t dir, const char *name,
		       uint64_t ino, uint32_t mode)
{
	int r;
	autoask a = ask_start(t, TREE_SQL_ADD_NAME);

	ask_int(&a, (int64_t)dir);
	ask_bytes(&a, name, strlen(name));
	ask_int(&a, (int64_t)ino);
	ask_int(&a, (int64_t)mode - TREE_MODE_BIAS);
	r = ask_run(&a);
	if (r == 0 && sqlite3_changes(t->sql.sq) == 0)
		r = -EEXIST;
	return r;
}

int tree_add_name(struct tree *t, uint64_t dir, const char *name, uint64_t ino,
		  uint32_t mode)
{
	autolock(&t->lock);
	int r = can_build(t);

	if (r == 0)
		r = tree_name_check(name);
	if (r == 0 && (mode > TREE_MODE_MAX || ino == 0 || ino > t->last_ino ||
		       dir == 0 || dir > t->last_ino))
		r = -EINVAL;
	if (r == 0)
		r = insert_name(t, dir, name, ino, mode);
	if (r == 0)
		r = count_name(t, ino, mode);
	return r;
}

int tree_add_piece(struct tree *t, uint64_t ino, const struct tree_piece *p)
{
	autolock(&t->lock);
	int r = can_build(t);

	if (r == 0 &&
	    (ino == 0 || ino > t->last_ino || p->off > INT64_MAX ||
	     p->bytes > INT64_MAX - p->off || p->src_off > INT64_MAX ||
	     p->src_end > INT64_MAX || p->inner_off > INT64_MAX))
		r = -EINVAL;
	if (r < 0)
		return r;
	autoask a = ask_start(t, TREE_SQL_ADD_PIECE);

	ask_int(&a, (int64_t)ino);
	ask_int(&a, (int64_t)p->off);
	ask_int(&a, (int64_t)p->bytes);
	ask_int(&a, (int64_t)p->src_off);
	ask_int(&a, (int64_t)p->src_end);
	ask_int(&a, (int64_t)p->inner_off);
	ask_bytes(&a, p->has_digest ? p->digest : NULL, sizeof(p->digest));
	return ask_run(&a);
}

static int insert_point(struct tree *t, const struct tree_point *p)
{
	autoask a = ask_start(t, TREE_SQL_ADD_POINT);

	ask_int(&a, (int64_t)t->points);
	ask_int(&a, (int64_t)p->in_off);
	ask_int(&a, (int64_t)p->out_off);
	ask_int(&a, p->bits);
	return ask_run(&a);
}

static int insert_window(struct tree *t, const void *window, size_t len)
{
	autoask a = ask_start(t, TREE_SQL_ADD_WINDOW);

	ask_int(&a, (int64_t)t->points);
	ask_bytes(&a, window, len);
	return ask_run(&a);
}

int tree_add_point(struct tree *t, const struct tree_point *p,
		   const void *window, size_t window_len)
{
	autolock(&t->lock);
	int r = can_build(t);

	if (r == 0 && (p->in_off > INT64_MAX || p->out_off > INT64_MAX))
		r = -EINVAL;
	if (r == 0 &&
	    (window_len > TREE_VALUE_MAX || t->points == TREE_POINTS_MAX))
		r = -EFBIG;
	if (r == 0)
		r = insert_point(t, p);
	if (r == 0 && window_len > 0)
		r = insert_window(t, window, window_len);
	if (r == 0)
		t->points++;
	return r;
}

/* Keys that begin with a dot are our own. */
static int fact_check(const struct tree *t, const char *key)
{
	int r = can_build(t);

	if (r == 0 && (!*key || *key == '.' || strlen(key) > TREE_KEY_MAX))
		r = -EINVAL;
	return r;
}

int tree_set_text(struct tree *t, const char *key, const char *value)
{
	autolock(&t->lock);
	int r = fact_check(t, key);

	if (r == 0 && strlen(value) > TREE_VALUE_MAX)
		r = -EFBIG;
	if (r < 0)
		return r;
	autoask a = ask_start(t, TREE_SQL_SET_FACT);

	ask_text(&a, key);
	ask_text(&a, value);
	return ask_run(&a);
}

int tree_set_int(struct tree *t, const char *key, int64_t value)
{
	autolock(&t->lock);
	int r = fact_check(t, key);

	if (r < 0)
		return r;
	autoask a = ask_start(t, TREE_SQL_SET_FACT);

	ask_text(&a, key);
	ask_int(&a, value);
	return ask_run(&a);
}

static int run(struct tree *t, enum tree_sql which)
{
	autoask a = ask_start(t, which);

	return ask_run(&a);
}

int tree_settle(struct tree *t)
{
	int r = can_build(t);

	if (r == 0)
		r = give_up_fresh(t);
	if (r == 0 && t->unnamed) {
		r = run(t, TREE_SQL_DROP_UNNAMED_PIECES);
		if (r == 0)
			r = run(t, TREE_SQL_DROP_UNNAMED_EXTRAS);
		if (r == 0)
			r = run(t, TREE_SQL_DROP_UNNAMED);
	}
	if (r == 0)
		r = run(t, TREE_SQL_COUNT_DIRS);
	return r;
}
