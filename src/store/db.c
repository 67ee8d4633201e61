/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the database, and living with what is wrong with it.
 *
 *   connect --(foreign, damaged)--> set aside, connect --(fails)--> in memory
 *      |                                  ^
 *      +--(damage found while running)----+   once; the next time: in memory
 *
 * One that could not be opened for want of room is in memory until there is
 * some (db_open_later).  One that must survive: dbkept.c.
 *
 * One connection in exclusive locking mode: SQLite keeps the WAL's index on
 * the heap then (no shared memory file whose loss would be a SIGBUS), and its
 * checkpoint races between connections (fixed in 3.51.3) cannot happen.  Other
 * processes are kept out by the lock on the directory.
 */
#include "store/db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/dbconn.h"
#include "store/schema.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

#define DB_BUSY_MS 200
#define BAD_TRIES 1000
/* No value is larger: documents are 4 MiB at most. */
#define DB_VALUE_MAX (16 << 20)
#define DB_LOG_EVERY_MS 60000

int db_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

int db_error(struct db *db, int rc)
{
	int r = db_errno(rc);
	uint64_t now = clock_ms();

	if (r == -EBADMSG) {
		db->bad = true;
		r = -EIO;
	}
	/* What a failed sync has lost, the next one does not bring back. */
	if (db->kept &&
	    (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC))
		db->bad = true;
	if (db->logged_ms && now - db->logged_ms < DB_LOG_EVERY_MS)
		return r;
	db->logged_ms = now;
	log_warning("%s: %s", db->title,
		    db->sq ? sqlite3_errmsg(db->sq) : sqlite3_errstr(rc));
	return r;
}

void db_disconnect(struct db *db)
{
	for (size_t i = 0; i < db->statements_len; i++)
		sqlite3_finalize(db->statements[i].st);
	db->statements_len = 0;
	sqlite3_close(db->sq);
	db->sq = NULL;
}

/* The file is not trusted: no triggers, views or functions of its making. */
int db_harden(sqlite3 *sq)
{
	static const struct {
		int option, on;
	} options[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
	};
	static const char pragmas[] = "PRAGMA trusted_schema=OFF;"
				      "PRAGMA mmap_size=0;"
				      "PRAGMA cell_size_check=ON;"
				      "PRAGMA temp_store=MEMORY;"
				      "PRAGMA cache_size=-4096;"
				      "PRAGMA locking_mode=EXCLUSIVE;";
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (rc == SQLITE_OK)
			rc = sqlite3_db_config(sq, options[i].option,
					       options[i].on, NULL);
	}
	sqlite3_limit(sq, SQLITE_LIMIT_LENGTH, DB_VALUE_MAX);
	sqlite3_limit(sq, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_busy_timeout(sq, DB_BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(sq, pragmas, NULL, NULL, NULL);
	return rc;
}

static int pragmas(sqlite3 *sq, bool in_memory)
{
	/* Pages of 4096 bytes: 64 MiB in memory, 1 GiB on disk. */
	static const char memory[] = "PRAGMA max_page_count=16384;";
	static const char disk[] = "PRAGMA journal_mode=WAL;"
				   "PRAGMA synchronous=NORMAL;"
				   "PRAGMA journal_size_limit=16777216;"
				   "PRAGMA max_page_count=262144;";

	return sqlite3_exec(sq, in_memory ? memory : disk, NULL, NULL, NULL);
}

int db_get_one(sqlite3 *sq, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(sq, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
		*ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return db_errno(rc);
}

int db_quick_check(sqlite3 *sq)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(sq, "PRAGMA quick_check(1)", -1, &st, NULL);
	int r = -EBADMSG;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const void *text = sqlite3_column_text(st, 0);

		if (text && strcmp(text, "ok") == 0)
			r = 0;
	} else {
		r = db_errno(rc);
	}
	sqlite3_finalize(st);
	return r;
}

/* Remembers that we run, durably; tells whether the last stop was clean. */
static int start_run(struct db *db)
{
	static const char mark[] = "PRAGMA synchronous=FULL;"
				   "INSERT OR REPLACE INTO run VALUES(1, 0);"
				   "PRAGMA synchronous=NORMAL;";
	int64_t clean = 0;
	int r, rc;

	r = db_get_one(db->sq, "SELECT clean FROM run WHERE id = 1", &clean);
	if (r < 0)
		return r;
	db->unclean = clean != 1;
	if (db->unclean && clean != -1) {
		r = db_quick_check(db->sq);
		if (r < 0)
			return r;
	}
	rc = sqlite3_exec(db->sq, mark, NULL, NULL, NULL);
	return db_errno(rc);
}

static int open_schema(sqlite3 *sq, const struct schema *schema)
{
	int64_t objects = 0;
	int r = db_get_one(sq, "SELECT count(*) FROM sqlite_schema", &objects);

	if (r == 0 && objects == 0)
		return schema_create(sq, schema);
	return r < 0 ? r : schema_check(sq, schema);
}

/* A header may say that the file is of a kind that can only be read; a disk
 * that can only be read says so itself. */
static bool claims_read_only(struct db *db, const char *path)
{
	return path && db->sq &&
	       (sqlite3_errcode(db->sq) & 0xff) == SQLITE_READONLY &&
	       access(path, W_OK) == 0;
}

/* 0; -EBADMSG: what is there is not a sound database of ours; or -errno. */
static int connect_to(struct db *db, const char *path)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
		    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	struct stat st;
	int r, rc;

	if (path && lstat(path, &st) == 0 &&
	    (!S_ISREG(st.st_mode) || st.st_uid != geteuid()))
		return -EBADMSG;
	if (path)
		flags |= SQLITE_OPEN_NOFOLLOW;
	rc = sqlite3_open_v2(path ? path : ":memory:", &db->sq, flags, NULL);
	if (rc == SQLITE_OK)
		rc = db_harden(db->sq);
	if (rc == SQLITE_OK)
		rc = pragmas(db->sq, !path);
	r = db_errno(rc);
	if (r == 0)
		r = open_schema(db->sq, db->schema);
	if (r == 0)
		r = start_run(db);
	if (r < 0 && claims_read_only(db, path))
		r = -EBADMSG;
	if (r < 0) {
		if (r != -EBADMSG)
			log_warning("%s: %s", db->title,
				    db->sq ? sqlite3_errmsg(db->sq)
					   : sqlite3_errstr(rc));
		db_disconnect(db);
	}
	return r;
}

/* A name that is free, by the time. */
static char *bad_name(const char *path)
{
	int64_t wall = clock_wall();
	struct stat st;

	for (int64_t n = wall; n < wall + BAD_TRIES; n++) {
		autofree char *name =
			str_printf("%s.bad-%lld", path, (long long)n);

		if (!name)
			return NULL;
		if (lstat(name, &st) < 0)
			return steal(&name);
	}
	return NULL;
}

static int set_aside(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-journal"};
	autofree char *bad = bad_name(path);
	int r = 0;

	if (!bad)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		autofree char *from = str_printf("%s%s", path, suffixes[i]);
		autofree char *to = str_printf("%s%s", bad, suffixes[i]);

		if (!from || !to)
			return -ENOMEM;
		if (rename(from, to) < 0 && errno != ENOENT)
			r = -errno;
	}
	log_warning("%s is damaged or foreign: set aside as %s", path, bad);
	return r;
}

static int connect_file(struct db *db)
{
	int r = connect_to(db, db->path);

	if (r == -EBADMSG) {
		r = set_aside(db->path);
		if (r == 0)
			r = connect_to(db, db->path);
		db->unclean = true;
		db->generation++;
	}
	db->in_memory = r < 0;
	return r;
}

static int connect_memory(struct db *db)
{
	db->in_memory = true;
	return connect_to(db, NULL);
}

/* With the lock held: damage was found. */
static void replace(struct db *db)
{
	int r = -EIO;

	db_disconnect(db);
	db->bad = false;
	db->generation++;
	if (db->path && !db->in_memory && db->replaced++ == 0) {
		r = set_aside(db->path);
		if (r == 0)
			r = connect_file(db);
	}
	if (r < 0) {
		log_warning("%s: going on in memory", db->title);
		connect_memory(db);
	}
}

int db_new(const char *path, struct db **ret)
{
	struct db *db = calloc(1, sizeof(*db));

	if (!db)
		return -ENOMEM;
	pthread_mutex_init(&db->lock, NULL);
	db->path = path ? strdup(path) : NULL;
	if (path && !db->path) {
		db_close(db);
		return -ENOMEM;
	}
	*ret = db;
	return 0;
}

static int open_cache(const char *path, bool late, struct db **ret)
{
	struct db *db;
	int r = db_new(path, &db);

	if (r < 0)
		return r;
	db->title = "cache database";
	db->schema = &schema_cache;
	db->late = late;
	r = path && !late ? connect_file(db) : connect_memory(db);
	if (r < 0) {
		db_close(db);
		return r == -EBADMSG ? -EIO : r;
	}
	*ret = db;
	return 0;
}

int db_open(const char *path, struct db **ret)
{
	return open_cache(path, false, ret);
}

int db_open_later(const char *path, struct db **ret)
{
	return open_cache(path, true, ret);
}

bool db_is_late(struct db *db)
{
	autodb(db);

	return db->late;
}

static void mark_clean(struct db *db)
{
	if (db->sq && !db->bad && !db->kept)
		sqlite3_exec(db->sq, "INSERT OR REPLACE INTO run VALUES(1, 1)",
			     NULL, NULL, NULL);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	mark_clean(db);
	db_disconnect(db);
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
}

/* What the file knows of blobs is as old as the file: while the rows were in
 * memory, others came to have those names. */
static int forget_blobs(struct db *db)
{
	return db_errno(sqlite3_exec(db->sq,
				     "DELETE FROM blob; DELETE FROM map; "
				     "DELETE FROM states;",
				     NULL, NULL, NULL));
}

int db_reopen(struct db *db)
{
	autodb(db);
	bool unclean = db->unclean, old = db->in_memory;
	struct stat st;
	int r;

	if (!db->path)
		return 0;
	/* What was in a lost file, or in memory, is gone. */
	if (db->in_memory || lstat(db->path, &st) < 0)
		db->generation++;
	else
		mark_clean(db);
	db_disconnect(db);
	db->bad = false;
	r = connect_file(db);
	if (r == 0 && old) {
		r = forget_blobs(db);
		if (r < 0)
			db_disconnect(db);
	}
	if (r < 0) {
		db->generation++;
		return connect_memory(db);
	}
	db->late = false;
	db->unclean |= unclean;
	return 0;
}

uint64_t db_generation(struct db *db)
{
	autodb(db);

	return db->generation;
}

bool db_unclean(struct db *db)
{
	autodb(db);

	return db->unclean;
}

struct db *db_lock(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	return db;
}

void db_unlock(struct db *db)
{
	if (db->bad && !db->kept)
		replace(db);
	pthread_mutex_unlock(&db->lock);
}

int db_exec(struct db *db, const char *sql)
{
	struct query q = query_start(db, sql);

	return query_run(&q);
}

int db_begin(struct db *db)
{
	return db_exec(db, "BEGIN IMMEDIATE");
}

int db_end(struct db *db, int r)
{
	if (r == 0)
		r = db_exec(db, "COMMIT");
	/* An error may have rolled it back already. */
	if (r < 0 && db->sq && !sqlite3_get_autocommit(db->sq))
		sqlite3_exec(db->sq, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

void db_vacuum(struct db *db)
{
	if (!db->sq)
		return;
	/* It attaches what it writes to. */
	sqlite3_limit(db->sq, SQLITE_LIMIT_ATTACHED, 1);
	sqlite3_exec(db->sq, "VACUUM", NULL, NULL, NULL);
	sqlite3_limit(db->sq, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_exec(db->sq, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL,
		     NULL);
}
