/* SPDX-License-Identifier: Apache-2.0 */
/* One statement of a tree at a time: bound, stepped, its columns read. */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "store/treestate.h"
#include "util/clock.h"
#include "util/log.h"

int tree_error(struct tree *t, int rc)
{
	int r = treesql_errno(rc);

	if (!t->logged)
		log_warning("tree %s: %s", t->key, sqlite3_errstr(rc));
	t->logged = true;
	/* Without a journal there is no way back from a failed change. */
	if (r == -EBADMSG || t->state == TREE_BUILDING)
		t->failed = r;
	if (r == -EBADMSG && t->kept) {
		treefile_remove_same(t->s, t->key, t->fd);
		t->kept = false;
	}
	return r;
}

static void check(struct ask *a, int rc)
{
	if (rc != SQLITE_OK && a->r == 0)
		a->r = tree_error(a->t, rc);
}

struct ask ask_start(struct tree *t, enum tree_sql which)
{
	struct ask a = {.t = t, .r = t->failed};
	int rc = SQLITE_OK;

	if (a.r == 0 && t->state == TREE_SEALED) {
		atomic_store(&t->used_ms, clock_ms());
		if (atomic_load(&t->parked))
			a.r = treepool_unpark(t);
	}
	if (a.r == 0)
		a.st = treesql_get(&t->sql, which, &rc);
	check(&a, rc);
	return a;
}

void ask_int(struct ask *a, int64_t v)
{
	if (a->st)
		check(a, sqlite3_bind_int64(a->st, ++a->bound, v));
}

void ask_bytes(struct ask *a, const void *v, size_t n)
{
	if (!a->st)
		return;
	if (!v)
		check(a, sqlite3_bind_null(a->st, ++a->bound));
	else
		check(a, sqlite3_bind_blob64(a->st, ++a->bound, v, n,
					     SQLITE_STATIC));
}

void ask_text(struct ask *a, const char *v)
{
	if (a->st)
		check(a, sqlite3_bind_text(a->st, ++a->bound, v, -1,
					   SQLITE_STATIC));
}

int ask_next(struct ask *a)
{
	int rc;

	if (a->r < 0)
		return a->r;
	rc = sqlite3_step(a->st);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		check(a, rc);
	return a->r;
}

int ask_end(struct ask *a)
{
	/* Its result is the one that the step has told. */
	if (a->st)
		(void)sqlite3_reset(a->st);
	a->st = NULL;
	return a->r;
}

int ask_run(struct ask *a)
{
	int r = ask_next(a);

	ask_end(a);
	return r < 0 ? r : 0;
}

static int damaged(struct ask *a)
{
	a->r = tree_error(a->t, SQLITE_CORRUPT);
	return a->r;
}

int ask_get_int(struct ask *a, int col, int64_t min, int64_t max, int64_t *ret)
{
	int64_t v;

	if (sqlite3_column_type(a->st, col) != SQLITE_INTEGER)
		return damaged(a);
	v = sqlite3_column_int64(a->st, col);
	if (v < min || v > max)
		return damaged(a);
	*ret = v;
	return 0;
}

int ask_get_bytes(struct ask *a, int col, size_t max, const void **ret,
		  size_t *ret_len)
{
	int type = sqlite3_column_type(a->st, col);
	const void *bytes;
	size_t len;

	if (type == SQLITE_NULL) {
		*ret = NULL;
		*ret_len = 0;
		return 0;
	}
	if (type != SQLITE_BLOB && type != SQLITE_TEXT)
		return damaged(a);
	bytes = sqlite3_column_blob(a->st, col);
	len = (size_t)sqlite3_column_bytes(a->st, col);
	if (len > max)
		return damaged(a);
	/* No memory, or the overflow pages cannot be read. */
	if (len > 0 && !bytes) {
		a->r = tree_error(a->t, sqlite3_errcode(a->t->sql.sq));
		return a->r;
	}
	*ret = len ? bytes : "";
	*ret_len = len;
	return 0;
}
