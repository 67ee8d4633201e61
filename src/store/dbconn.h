/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What db.c, dbkept.c and query.c share: the connection itself. */
#include <pthread.h>

#include "store/db.h"

#define DB_STATEMENTS_MAX 64

struct sqlite3;

struct schema;

struct db {
	char *path;	   /* NULL: was opened in memory */
	const char *title; /* for the log */
	const struct schema *schema;
	bool kept; /* see db_open_kept */
	pthread_mutex_t lock;
	/* All below protected by lock. */
	struct sqlite3 *sq;
	struct {
		const char *sql; /* by address */
		struct sqlite3_stmt *st;
	} statements[DB_STATEMENTS_MAX];
	size_t statements_len;
	bool bad;	/* to be replaced at the next unlock */
	bool in_memory; /* as things stand now */
	bool late;	/* because there was no room */
	bool unclean;
	unsigned replaced; /* how often in this run */
	uint64_t generation;
	uint64_t logged_ms; /* when an error was last logged; 0 never */
};

/* Logs (not more than once a minute), notes damage; the -errno. */
int db_error(struct db *db, int rc);

/* Without a connection yet. */
int db_new(const char *path, struct db **ret);
void db_disconnect(struct db *db);
int db_errno(int rc); /* -EBADMSG: damaged, or no database */
/* The file is not trusted, and nobody else's: returns SQLite's code. */
int db_harden(struct sqlite3 *sq);
/* First column of the first row; -1 if there is none. */
int db_get_one(struct sqlite3 *sq, const char *sql, int64_t *ret);
int db_quick_check(struct sqlite3 *sq);
