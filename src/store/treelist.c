/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of a directory.  A list is two pieces of memory, the items and their
 * texts, however long it is.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/treestate.h"
#include "util/auto.h"
#include "util/vec.h"

#define NAME_COLUMNS 3

/* While it grows, the names are offsets into the text. */
struct names {
	struct tree_name *v;
	size_t len, cap;
	char *text;
	size_t text_len, text_cap;
	bool with_inodes;
	VEC(struct tree_inode) inodes;
};

static void names_done(struct names *n)
{
	free(n->v);
	free(n->text);
	vec_done(&n->inodes);
}

#define autonames __attribute__((cleanup(names_done))) struct names

static int name_text(struct names *n, const void *name, size_t len)
{
	size_t cap = n->text_cap ? n->text_cap * 2 : 4096;
	char *text;

	if (!n->text || n->text_cap - n->text_len <= len) {
		text = realloc(n->text, cap);
		if (!text)
			return -ENOMEM;
		n->text = text;
		n->text_cap = cap;
	}
	memcpy(n->text + n->text_len, name, len);
	n->text_len += len;
	n->text[n->text_len++] = '\0';
	return 0;
}

static int name_add(struct names *n, struct ask *a)
{
	struct tree_name item = {.name = NULL};
	int64_t ino = 0, mode = 0;
	const void *name;
	size_t len;
	int r = ask_get_bytes(a, 0, TREE_NAME_MAX, &name, &len);

	if (r == 0)
		r = ask_get_int(a, 1, 1, INT64_MAX, &ino);
	if (r == 0)
		r = ask_get_int(a, 2, -TREE_MODE_BIAS,
				TREE_MODE_MAX - TREE_MODE_BIAS, &mode);
	if (r < 0)
		return r;
	if (len == 0 || memchr(name, '\0', len) || memchr(name, '/', len))
		return tree_error(a->t, SQLITE_CORRUPT);
	r = name_text(n, name, len);
	if (r < 0)
		return r;
	item.ino = (uint64_t)ino;
	item.mode = (uint32_t)(mode + TREE_MODE_BIAS);
	return vec_push(n, item);
}

static int inode_add(struct names *n, struct ask *a)
{
	struct tree_inode i = {0};
	int r = tree_inode_read(a, NAME_COLUMNS, &i);

	return r < 0 ? r : vec_push(&n->inodes, i);
}

/* The caller frees what it does not take. */
static int names_read(struct ask *a, struct names *names)
{
	char *text;
	int r;

	while ((r = ask_next(a)) > 0) {
		r = name_add(names, a);
		if (r == 0 && names->with_inodes)
			r = inode_add(names, a);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	text = names->text;
	for (size_t i = 0; i < names->len; i++) {
		names->v[i].name = text;
		text += strlen(text) + 1;
	}
	return 0;
}

static void names_take(struct names *names, struct tree_name **ret,
		       size_t *ret_len)
{
	*ret = steal(&names->v);
	*ret_len = names->len;
	names->text = NULL;
}

/* The statements want the directory, the name before, and how many. */
static int names_after(struct tree *t, enum tree_sql which, uint64_t dir,
		       const char *after, size_t max, struct names *ret)
{
	autoask a = ask_start(t, which);

	ask_int(&a, (int64_t)dir);
	ask_bytes(&a, after ? after : "", after ? strlen(after) : 0);
	ask_int(&a, (int64_t)(max < TREE_NAMES_MAX ? max : TREE_NAMES_MAX));
	return names_read(&a, ret);
}

/* One piece of memory holds all texts; the first one is its beginning. */
void tree_names_free(struct tree_name *names, size_t len)
{
	if (names && len > 0)
		free(names[0].name);
	free(names);
}

int tree_list(struct tree *t, uint64_t dir, const char *after, size_t max,
	      struct tree_name **ret, size_t *ret_len)
{
	autonames names = {0};
	int r;

	autolock(&t->lock);
	r = names_after(t, TREE_SQL_LIST, dir, after, max, &names);
	if (r == 0)
		names_take(&names, ret, ret_len);
	return r;
}

int tree_list_inodes(struct tree *t, uint64_t dir, const char *after,
		     size_t max, struct tree_name **ret,
		     struct tree_inode **ret_inodes, size_t *ret_len)
{
	autonames names = {.with_inodes = true};
	int r;

	autolock(&t->lock);
	r = names_after(t, TREE_SQL_LIST_INODES, dir, after, max, &names);
	if (r < 0)
		return r;
	names_take(&names, ret, ret_len);
	*ret_inodes = steal(&names.inodes.v);
	return 0;
}

int tree_list_from(struct tree *t, uint64_t dir, uint64_t skip, size_t max,
		   struct tree_name **ret, size_t *ret_len)
{
	autonames names = {0};
	int r;

	autolock(&t->lock);
	autoask a = ask_start(t, TREE_SQL_LIST_FROM);

	ask_int(&a, (int64_t)dir);
	ask_int(&a, (int64_t)(max < TREE_NAMES_MAX ? max : TREE_NAMES_MAX));
	ask_int(&a, (int64_t)(skip < INT64_MAX ? skip : INT64_MAX));
	r = names_read(&a, &names);
	if (r == 0)
		names_take(&names, ret, ret_len);
	return r;
}
