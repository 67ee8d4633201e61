/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one SQLite connection, its lock, and statements.  A statement is used
 * through a query, which keeps the first error: bind, step and read without
 * looking, the end tells.  Queries live only while the lock is held.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/auto.h"

struct db;
struct schema;
struct sqlite3_stmt;

/* NULL path: in memory.  A damaged or foreign file is set aside first. */
int db_open(const char *path, struct db **ret);
/* In memory till db_reopen: there is no room for a file now. */
int db_open_later(const char *path, struct db **ret);
bool db_is_late(struct db *db);
/*
 * One that must survive: what was committed is on the disk (synchronous=FULL),
 * and the file is never set aside nor replaced by memory.  A failure has its
 * reason in *ret_why.  Once damage is found, or a sync failed, all is -EIO.
 */
struct db_kept {
	const char *path, *title; /* the latter is kept by pointer */
	const struct schema *schema;
};
int db_open_kept(const struct db_kept *k, struct db **ret,
		 const char **ret_why);
/* Of a kept one, with the lock held: is all -EIO from now on? */
bool db_is_bad(const struct db *db);
/* Of a kept one, with the lock held, outside of a transaction: what is
 * committed from now on may, or may not, be lost with the power. */
void db_set_durable(struct db *db, bool durable);
/* Of a kept one, with the lock held, outside of a transaction: what was
 * committed is in the file itself, and the log empty.  Damage to a log is
 * passed over in silence by SQLite, which takes its rest for a commit that
 * never was; damage to the file is found.  Failure: it is in the log still. */
void db_settle(struct db *db);
/* Marks a clean stop.  NULL is fine. */
void db_close(struct db *db);
/* Closes and opens again: after a fork, or when the file's directory is new. */
int db_reopen(struct db *db);
/* Every change means that all rows were lost. */
uint64_t db_generation(struct db *db);
/* The last stop was not clean, or the file is new: look for leftovers. */
bool db_unclean(struct db *db);

struct db *db_lock(struct db *db);
void db_unlock(struct db *db); /* and replaces a database found damaged */

static inline void auto_db_(struct db **db)
{
	db_unlock(*db);
}
/* Locks until the end of the scope. */
#define autodb(which)                                                          \
	__attribute__((cleanup(auto_db_), unused)) struct db *AUTO_CAT(        \
		db_, __LINE__) = db_lock(which)

/* A transaction; with the lock held.  End with r: 0 commits, else rolls back
 * and is returned. */
int db_begin(struct db *db);
int db_end(struct db *db, int r);
int db_exec(struct db *db, const char *sql);
/* Gives back what deleted rows took; outside of a transaction.  Where that
 * fails, the room is used again. */
void db_vacuum(struct db *db);

struct query {
	struct db *db;
	struct sqlite3_stmt *st;
	int bound; /* parameters bound so far */
	int r;	   /* first error, -errno */
};

/* `sql` must be a constant: prepared once, found again by its address. */
struct query query_start(struct db *db, const char *sql);
void query_int(struct query *q, int64_t v);
void query_text(struct query *q, const char *v); /* NULL is "" */
void query_blob(struct query *q, const void *v, size_t n);
/* 1: a row; 0: no more; or -errno. */
int query_next(struct query *q);
/* 0 or -errno (-EIO, -ENOMEM, -ENOSPC); may be called twice. */
int query_end(struct query *q);
/* Runs what has no rows. */
int query_run(struct query *q);

static inline void auto_query_(struct query *q)
{
	query_end(q);
}
#define autoquery __attribute__((cleanup(auto_query_))) struct query

/* Columns.  What has another type or is out of bounds is -EBADMSG: the row is
 * damaged.  Pointers are valid until the next step. */
int query_get_int(const struct query *q, int col, int64_t min, int64_t max,
		  int64_t *ret);
int query_get_text(const struct query *q, int col, size_t max,
		   const char **ret);
int query_get_blob(const struct query *q, int col, size_t max, const void **ret,
		   size_t *ret_len);
