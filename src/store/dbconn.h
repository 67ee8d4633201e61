/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What db.c and query.c share: the connection itself. */
#include <pthread.h>

#include "store/db.h"

#define DB_STATEMENTS_MAX 64

struct sqlite3;

struct db {
	char *path; /* NULL: was opened in memory */
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
	bool unclean;
	unsigned replaced; /* how often in this run */
	uint64_t generation;
	uint64_t logged_ms; /* when an error was last logged; 0 never */
};

/* Logs (not more than once a minute), notes damage; the -errno. */
int db_error(struct db *db, int rc);
