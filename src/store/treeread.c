/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a tree, also while it is being built.  Nothing that is read is
 * believed: numbers are held against their bounds, names against what a name
 * may be.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/treestate.h"
#include "util/auto.h"
#include "util/vec.h"

static int damaged(struct ask *a)
{
	return tree_error(a->t, SQLITE_CORRUPT);
}

/* Columns of an inode, all of them integers. */
static const struct {
	int64_t min, max;
} bounds[] = {
	{1, INT64_MAX},					   /* ino */
	{-TREE_MODE_BIAS, TREE_MODE_MAX - TREE_MODE_BIAS}, /* mode */
	{0, UINT32_MAX},				   /* uid */
	{0, UINT32_MAX},				   /* gid */
	{0, UINT32_MAX - 2},				   /* nlink */
	{0, UINT32_MAX},				   /* flags */
	{0, INT64_MAX},					   /* size */
	{INT64_MIN, INT64_MAX},				   /* mtime */
	{0, 999999999},					   /* mtime_ns */
	{INT64_MIN, INT64_MAX},				   /* data */
	{0, UINT32_MAX},				   /* layer */
	{0, INT64_MAX},					   /* src */
};
#define COLUMNS (sizeof(bounds) / sizeof(bounds[0]))

int tree_inode_read(struct ask *a, int col, struct tree_inode *ret)
{
	struct tree_inode i;
	int64_t v[COLUMNS];
	int r = 0;

	for (size_t c = 0; r == 0 && c < COLUMNS; c++)
		r = ask_get_int(a, col + (int)c, bounds[c].min, bounds[c].max,
				&v[c]);
	if (r < 0)
		return r;
	i = (struct tree_inode){
		.ino = (uint64_t)v[0],
		.mode = (uint32_t)(v[1] + TREE_MODE_BIAS),
		.uid = (uint32_t)v[2],
		.gid = (uint32_t)v[3],
		.nlink = (uint32_t)v[4],
		.flags = (uint32_t)v[5],
		.size_bytes = (uint64_t)v[6],
		.mtime_s = v[7],
		.mtime_ns = (uint32_t)v[8],
		.layer = (uint32_t)v[10],
		.src_ino = (uint64_t)v[11],
	};
	if (S_ISDIR(i.mode))
		i.nlink += 2;
	if (S_ISCHR(i.mode) || S_ISBLK(i.mode)) {
		i.major = (uint32_t)((uint64_t)v[9] >> 32);
		i.minor = (uint32_t)v[9];
	} else if (v[9] < 0) {
		return damaged(a);
	} else {
		i.data_off = (uint64_t)v[9];
	}
	if (i.ino == a->t->fresh_ino && !S_ISDIR(i.mode))
		i.nlink = 0;
	*ret = i;
	return 0;
}

static int one_inode(struct ask *a, struct tree_inode *ret)
{
	int r = ask_next(a);

	if (r == 0)
		return -ENOENT;
	return r < 0 ? r : tree_inode_read(a, 0, ret);
}

int tree_inode_get(struct tree *t, uint64_t ino, struct tree_inode *ret)
{
	autoask a = ask_start(t, TREE_SQL_GET_INODE);

	ask_int(&a, (int64_t)ino);
	return one_inode(&a, ret);
}

int tree_get(struct tree *t, uint64_t ino, struct tree_inode *ret)
{
	autolock(&t->lock);

	return tree_inode_get(t, ino, ret);
}

int tree_find(struct tree *t, uint64_t dir, const char *name,
	      struct tree_inode *ret)
{
	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_FIND);

	ask_int(&a, (int64_t)dir);
	ask_bytes(&a, name, strlen(name));
	return one_inode(&a, ret);
}

int tree_flagged(struct tree *t, uint32_t flags, uint64_t after, size_t max,
		 uint64_t *ret_inos, size_t *ret_len)
{
	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_FLAGGED);
	int64_t ino = 0;
	size_t n = 0;
	int r;

	ask_int(&a, (int64_t)(after < INT64_MAX ? after : INT64_MAX));
	ask_int(&a, flags);
	ask_int(&a, (int64_t)(max < TREE_NAMES_MAX ? max : TREE_NAMES_MAX));
	while ((r = ask_next(&a)) > 0 && n < max) {
		r = ask_get_int(&a, 0, 1, INT64_MAX, &ino);
		if (r < 0)
			return r;
		ret_inos[n++] = (uint64_t)ino;
	}
	if (r < 0)
		return r;
	*ret_len = n;
	return 0;
}

/* --- bytes --- */

static int add_bytes(struct tree *t, enum tree_sql which, uint64_t id,
		     struct str *out)
{
	autoask a = ask_start(t, which);
	const void *bytes = NULL;
	size_t len = 0;
	int r;

	ask_int(&a, (int64_t)id);
	r = ask_next(&a);
	if (r > 0)
		r = ask_get_bytes(&a, 0, TREE_VALUE_MAX, &bytes, &len);
	if (r < 0)
		return r;
	return bytes ? str_addn(out, bytes, len) : -ENODATA;
}

int tree_get_link(struct tree *t, uint64_t ino, struct str *out)
{
	autolock(&t->lock);

	return add_bytes(t, TREE_SQL_GET_LINK, ino, out);
}

int tree_get_xattrs(struct tree *t, uint64_t ino, struct str *out)
{
	autolock(&t->lock);

	return add_bytes(t, TREE_SQL_GET_XATTRS, ino, out);
}

int tree_get_raw_name(struct tree *t, uint64_t ino, struct str *out)
{
	autolock(&t->lock);

	return add_bytes(t, TREE_SQL_GET_RAW_NAME, ino, out);
}

int tree_get_window(struct tree *t, size_t point, struct str *out)
{
	autolock(&t->lock);

	return add_bytes(t, TREE_SQL_GET_WINDOW, point, out);
}

/* --- pieces and points --- */

static int read_piece(struct ask *a, struct tree_piece *ret)
{
	struct tree_piece p = {0};
	const void *digest = NULL;
	int64_t v[5];
	size_t len = 0;
	int r = 0;

	for (int c = 0; r == 0 && c < 5; c++)
		r = ask_get_int(a, c, 0, INT64_MAX, &v[c]);
	if (r == 0)
		r = ask_get_bytes(a, 5, sizeof(p.digest), &digest, &len);
	if (r < 0)
		return r;
	if (v[1] > INT64_MAX - v[0] || (digest && len != sizeof(p.digest)))
		return damaged(a);
	p.off = (uint64_t)v[0];
	p.bytes = (uint64_t)v[1];
	p.src_off = (uint64_t)v[2];
	p.src_end = (uint64_t)v[3];
	p.inner_off = (uint64_t)v[4];
	p.has_digest = digest != NULL;
	if (digest)
		memcpy(p.digest, digest, sizeof(p.digest));
	*ret = p;
	return 0;
}

static int one_piece(struct tree *t, enum tree_sql which, uint64_t ino,
		     uint64_t off, struct tree_piece *ret)
{
	autoask a = ask_start(t, which);
	int r;

	ask_int(&a, (int64_t)ino);
	ask_int(&a, (int64_t)(off < INT64_MAX ? off : INT64_MAX));
	r = ask_next(&a);
	if (r == 0)
		return -ENOENT;
	return r < 0 ? r : read_piece(&a, ret);
}

int tree_find_piece(struct tree *t, uint64_t ino, uint64_t off,
		    struct tree_piece *ret)
{
	struct tree_piece p;
	int r;

	autolock(&t->lock);
	r = one_piece(t, TREE_SQL_PIECE_AT, ino, off, &p);
	if (r == -ENOENT || (r == 0 && off - p.off >= p.bytes))
		r = one_piece(t, TREE_SQL_PIECE_BEHIND, ino, off, &p);
	if (r == 0)
		*ret = p;
	return r;
}

static int read_point(struct ask *a, size_t n, struct tree_point *ret)
{
	int64_t place = 0, in_off = 0, out_off = 0, bits = 0;
	int r = ask_get_int(a, 0, 0, INT64_MAX, &place);

	if (r == 0)
		r = ask_get_int(a, 1, 0, INT64_MAX, &in_off);
	if (r == 0)
		r = ask_get_int(a, 2, 0, INT64_MAX, &out_off);
	if (r == 0)
		r = ask_get_int(a, 3, 0, UINT8_MAX, &bits);
	if (r < 0)
		return r;
	if ((uint64_t)place != n || n >= TREE_POINTS_MAX)
		return damaged(a);
	*ret = (struct tree_point){.in_off = (uint64_t)in_off,
				   .out_off = (uint64_t)out_off,
				   .bits = (uint8_t)bits};
	return 0;
}

int tree_points(struct tree *t, struct tree_point **ret, size_t *ret_len)
{
	VEC(struct tree_point) points = {0};
	struct tree_point p = {0};
	int r;

	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_POINTS);

	while ((r = ask_next(&a)) > 0) {
		r = read_point(&a, points.len, &p);
		if (r == 0)
			r = vec_push(&points, p);
		if (r < 0)
			break;
	}
	if (r < 0) {
		vec_done(&points);
		return r;
	}
	*ret = points.v;
	*ret_len = points.len;
	return 0;
}

/* --- facts --- */

int tree_get_text(struct tree *t, const char *key, struct str *out)
{
	const void *text = NULL;
	size_t len = 0;
	int r;

	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_GET_FACT);

	ask_text(&a, key);
	r = ask_next(&a);
	if (r > 0)
		r = ask_get_bytes(&a, 0, TREE_VALUE_MAX, &text, &len);
	if (r < 0)
		return r;
	if (!text)
		return -ENODATA;
	return memchr(text, '\0', len) ? damaged(&a) : str_addn(out, text, len);
}

int tree_get_int(struct tree *t, const char *key, int64_t *ret)
{
	int r;

	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_GET_FACT);

	ask_text(&a, key);
	r = ask_next(&a);
	if (r == 0)
		return -ENODATA;
	return r < 0 ? r : ask_get_int(&a, 0, INT64_MIN, INT64_MAX, ret);
}
