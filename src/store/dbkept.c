/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database that must survive.  Until all that is known of it is as it should
 * be, nothing is written to the file, not even by closing it; then every commit
 * is synced.  A write-ahead log serves here, too: one sync makes a transaction
 * durable, and those that need not be cost none without putting the file at
 * risk, which a rollback journal could not do.  What is known of lost updates
 * in that mode needs a second connection (db.c).
 */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "store/dbconn.h"
#include "store/schema.h"

/* Pages of 4096 bytes: 256 MiB. */
static const char pragmas[] = "PRAGMA journal_mode=WAL;"
			      "PRAGMA synchronous=FULL;"
			      "PRAGMA journal_size_limit=16777216;"
			      "PRAGMA max_page_count=65536;";

enum content { CONTENT_OURS, CONTENT_EMPTY, CONTENT_OLDER };

/* What is there; empty: as a crash before its tables were made leaves it. */
static int check_content(struct db *db, const char **ret_why)
{
	int64_t objects = 0, id = 0;
	int r = db_quick_check(db->sq);

	if (r == 0)
		r = db_get_one(db->sq, "SELECT count(*) FROM sqlite_schema",
			       &objects);
	if (r == 0)
		r = db_get_one(db->sq, "PRAGMA application_id", &id);
	if (r == 0 && objects == 0 && id == 0)
		return CONTENT_EMPTY;
	if (r == 0)
		r = schema_check(db->sq, db->schema);
	if (r == -EBADMSG && db->schema->older &&
	    schema_check(db->sq, db->schema->older) == 0)
		return CONTENT_OLDER;
	if (r == -EBADMSG)
		*ret_why = schema_why(db->sq, db->schema);
	return r;
}

/* Where it cannot be had, SQLite goes on without saying so. */
static int check_wal(sqlite3 *sq)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(sq, "PRAGMA journal_mode", -1, &st, NULL);
	const void *mode;
	int r = -EIO;

	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		mode = sqlite3_column_text(st, 0);
		if (mode && strcmp(mode, "wal") == 0)
			r = 0;
	}
	sqlite3_finalize(st);
	return r;
}

static int no_checkpoint_on_close(sqlite3 *sq, int on)
{
	return sqlite3_db_config(sq, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on,
				 NULL);
}

static int connect_kept(struct db *db, const char **ret_why)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
		    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		    SQLITE_OPEN_NOFOLLOW;
	int rc = sqlite3_open_v2(db->path, &db->sq, flags, NULL);
	int r, content;

	if (rc == SQLITE_OK)
		rc = no_checkpoint_on_close(db->sq, 1);
	if (rc == SQLITE_OK)
		rc = db_harden(db->sq);
	r = db_errno(rc);
	if (r == 0)
		r = check_content(db, ret_why);
	content = r;
	if (r >= 0)
		r = db_errno(sqlite3_exec(db->sq, pragmas, NULL, NULL, NULL));
	if (r == 0)
		r = check_wal(db->sq);
	if (r == 0 && content == CONTENT_EMPTY)
		r = schema_create(db->sq, db->schema);
	if (r == 0 && content == CONTENT_OLDER)
		r = schema_upgrade(db->sq, db->schema);
	if (r == 0)
		r = db_errno(no_checkpoint_on_close(db->sq, 0));
	return r;
}

int db_open_kept(const struct db_kept *k, struct db **ret, const char **ret_why)
{
	const char *why = NULL;
	struct db *db = NULL;
	int r = db_new(k->path, &db);

	if (r == 0) {
		db->title = k->title;
		db->schema = k->schema;
		db->kept = true;
		r = connect_kept(db, &why);
	}
	if (r == 0) {
		*ret = db;
		return 0;
	}
	db_close(db);
	if (!why)
		why = r == -EBADMSG  ? "is damaged"
		      : r == -ENOSPC ? "cannot be written: the disk is full"
		      : r == -ENOMEM ? "cannot be opened: there is no memory"
				     : "cannot be opened for writing";
	*ret_why = why;
	return r;
}

bool db_is_bad(const struct db *db)
{
	return db->bad;
}

void db_set_durable(struct db *db, bool durable)
{
	/* Takes effect when it is prepared: no statement to be kept. */
	if (db->sq)
		sqlite3_exec(db->sq,
			     durable ? "PRAGMA synchronous=FULL"
				     : "PRAGMA synchronous=NORMAL",
			     NULL, NULL, NULL);
}

void db_settle(struct db *db)
{
	int rc = SQLITE_OK;

	if (db->sq && !db->bad)
		rc = sqlite3_wal_checkpoint_v2(
			db->sq, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (rc == SQLITE_OK)
		return;
	(void)db_error(db, rc);
	/* The log must not go because a later sync says that all is well. */
	if (db->bad)
		(void)no_checkpoint_on_close(db->sq, 1);
}
