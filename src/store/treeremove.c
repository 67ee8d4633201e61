/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking names out of a tree, with all beneath.  However deep it is: what is
 * still to be emptied is a list, not the stack.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "store/treestate.h"
#include "util/auto.h"
#include "util/vec.h"

struct doomed {
	VEC(uint64_t) dirs;
};

static void doomed_done(struct doomed *d)
{
	vec_done(&d->dirs);
}

static int run_by_ino(struct tree *t, enum tree_sql which, uint64_t ino)
{
	autoask a = ask_start(t, which);

	ask_int(&a, (int64_t)ino);
	return ask_run(&a);
}

static int drop_inode(struct tree *t, uint64_t ino)
{
	int r = run_by_ino(t, TREE_SQL_DROP_INODE, ino);

	if (r == 0)
		r = run_by_ino(t, TREE_SQL_DROP_PIECES, ino);
	if (r == 0)
		r = run_by_ino(t, TREE_SQL_DROP_EXTRA, ino);
	return r;
}

/* A file lost one of its names. */
static int drop_link(struct tree *t, uint64_t ino)
{
	struct tree_inode i;
	int r = tree_inode_get(t, ino, &i);

	if (r < 0)
		return r;
	if (i.nlink <= 1)
		return drop_inode(t, ino);
	autoask a = ask_start(t, TREE_SQL_SET_NLINK);

	ask_int(&a, (int64_t)i.nlink - 1);
	ask_int(&a, (int64_t)ino);
	return ask_run(&a);
}

/* What a name stood for. */
static int drop_child(struct tree *t, uint64_t ino, uint32_t mode,
		      struct doomed *d)
{
	return S_ISDIR(mode) ? vec_push(&d->dirs, ino) : drop_link(t, ino);
}

static int get_child(struct ask *a, uint64_t *ret_ino, uint32_t *ret_mode)
{
	int64_t ino = 0, mode = 0;
	int r = ask_get_int(a, 0, 1, INT64_MAX, &ino);

	if (r == 0)
		r = ask_get_int(a, 1, -TREE_MODE_BIAS,
				TREE_MODE_MAX - TREE_MODE_BIAS, &mode);
	*ret_ino = (uint64_t)ino;
	*ret_mode = (uint32_t)(mode + TREE_MODE_BIAS);
	return r;
}

static int drop_children(struct tree *t, uint64_t dir, struct doomed *d)
{
	autoask a = ask_start(t, TREE_SQL_CHILDREN);
	uint32_t mode = 0;
	uint64_t ino = 0;
	int r;

	ask_int(&a, (int64_t)dir);
	while ((r = ask_next(&a)) > 0) {
		r = get_child(&a, &ino, &mode);
		if (r == 0)
			r = drop_child(t, ino, mode, d);
		if (r < 0)
			return r;
	}
	ask_end(&a);
	return r < 0 ? r : run_by_ino(t, TREE_SQL_DROP_NAMES, dir);
}

static int drop_dirs(struct tree *t, struct doomed *d)
{
	uint64_t dir;
	int r = 0;

	while (r == 0 && d->dirs.len > 0) {
		dir = d->dirs.v[--d->dirs.len];
		r = drop_children(t, dir, d);
		if (r == 0)
			r = drop_inode(t, dir);
	}
	return r;
}

static int get_name(struct tree *t, uint64_t dir, const char *name,
		    uint64_t *ret_ino, uint32_t *ret_mode)
{
	autoask a = ask_start(t, TREE_SQL_GET_NAME);
	int r;

	ask_int(&a, (int64_t)dir);
	ask_bytes(&a, name, strlen(name));
	r = ask_next(&a);
	if (r == 0)
		return -ENOENT;
	return r < 0 ? r : get_child(&a, ret_ino, ret_mode);
}

static int drop_name(struct tree *t, uint64_t dir, const char *name)
{
	autoask a = ask_start(t, TREE_SQL_DROP_NAME);

	ask_int(&a, (int64_t)dir);
	ask_bytes(&a, name, strlen(name));
	return ask_run(&a);
}

static int can_remove(const struct tree *t)
{
	if (t->failed)
		return t->failed;
	return t->state == TREE_BUILDING ? 0 : -EROFS;
}

/* Half done is not to be gone on with. */
static int finish(struct tree *t, int r)
{
	if (r < 0 && !t->failed)
		t->failed = r;
	return r;
}

int tree_remove(struct tree *t, uint64_t dir, const char *name)
{
	__attribute__((cleanup(doomed_done))) struct doomed doomed = {0};
	uint32_t mode = 0;
	uint64_t ino = 0;
	int r;

	autolock(&t->lock);
	r = can_remove(t);
	if (r == 0)
		r = get_name(t, dir, name, &ino, &mode);
	if (r < 0)
		return r;
	r = drop_name(t, dir, name);
	if (r == 0)
		r = drop_child(t, ino, mode, &doomed);
	if (r == 0)
		r = drop_dirs(t, &doomed);
	return finish(t, r);
}

int tree_clear(struct tree *t, uint64_t dir)
{
	__attribute__((cleanup(doomed_done))) struct doomed doomed = {0};
	int r;

	autolock(&t->lock);
	r = can_remove(t);
	if (r < 0)
		return r;
	r = drop_children(t, dir, &doomed);
	if (r == 0)
		r = drop_dirs(t, &doomed);
	return finish(t, r);
}
