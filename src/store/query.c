/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: prepared once per connection, never built from data. */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "store/dbconn.h"

static struct sqlite3_stmt *find_statement(struct db *db, const char *sql,
					   int *ret_rc)
{
	sqlite3_stmt *st = NULL;
	size_t i;

	for (i = 0; i < db->statements_len; i++) {
		if (db->statements[i].sql == sql)
			return db->statements[i].st;
	}
	if (i == DB_STATEMENTS_MAX) {
		*ret_rc = SQLITE_NOMEM;
		return NULL;
	}
	*ret_rc = sqlite3_prepare_v3(db->sq, sql, -1, SQLITE_PREPARE_PERSISTENT,
				     &st, NULL);
	if (*ret_rc != SQLITE_OK)
		return NULL;
	db->statements[i].sql = sql;
	db->statements[i].st = st;
	db->statements_len++;
	return st;
}

static void check(struct query *q, int rc)
{
	if (rc != SQLITE_OK && q->r == 0)
		q->r = db_error(q->db, rc);
}

struct query query_start(struct db *db, const char *sql)
{
	struct query q = {.db = db};
	int rc = SQLITE_OK;

	if (!db->sq || db->bad) {
		q.r = -EIO;
		return q;
	}
	q.st = find_statement(db, sql, &rc);
	check(&q, rc);
	return q;
}

void query_int(struct query *q, int64_t v)
{
	if (q->st)
		check(q, sqlite3_bind_int64(q->st, ++q->bound, v));
}

void query_text(struct query *q, const char *v)
{
	if (q->st)
		check(q, sqlite3_bind_text(q->st, ++q->bound, v ? v : "", -1,
					   SQLITE_STATIC));
}

void query_blob(struct query *q, const void *v, size_t n)
{
	if (q->st)
		check(q, sqlite3_bind_blob64(q->st, ++q->bound, n ? v : "", n,
					     SQLITE_STATIC));
}

int query_next(struct query *q)
{
	int rc;

	if (q->r < 0)
		return q->r;
	rc = sqlite3_step(q->st);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		check(q, rc);
	return q->r;
}

int query_end(struct query *q)
{
	if (q->st) {
		/* Its result is the one that the step has told. */
		(void)sqlite3_reset(q->st);
		(void)sqlite3_clear_bindings(q->st);
		q->st = NULL;
	}
	return q->r;
}

int query_run(struct query *q)
{
	int r = query_next(q);

	query_end(q);
	return r < 0 ? r : 0;
}

int query_get_int(const struct query *q, int col, int64_t min, int64_t max,
		  int64_t *ret)
{
	int64_t v;

	if (sqlite3_column_type(q->st, col) != SQLITE_INTEGER)
		return -EBADMSG;
	v = sqlite3_column_int64(q->st, col);
	if (v < min || v > max)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int query_get_text(const struct query *q, int col, size_t max, const char **ret)
{
	const void *text;
	size_t len;

	if (sqlite3_column_type(q->st, col) != SQLITE_TEXT)
		return -EBADMSG;
	text = sqlite3_column_text(q->st, col);
	if (!text)
		return -ENOMEM;
	len = (size_t)sqlite3_column_bytes(q->st, col);
	if (len > max || strlen(text) != len)
		return -EBADMSG;
	*ret = text;
	return 0;
}

int query_get_blob(const struct query *q, int col, size_t max, const void **ret,
		   size_t *ret_len)
{
	const void *bytes;
	size_t len;

	if (sqlite3_column_type(q->st, col) != SQLITE_BLOB)
		return -EBADMSG;
	bytes = sqlite3_column_blob(q->st, col);
	len = (size_t)sqlite3_column_bytes(q->st, col);
	if (len > max)
		return -EBADMSG;
	if (len > 0 && !bytes)
		return -ENOMEM;
	*ret = len ? bytes : "";
	*ret_len = len;
	return 0;
}
