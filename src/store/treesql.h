/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The database of one tree: its tables, the one connection, its statements.
 * Columns that are mostly zero or NULL take no room then.
 */
#include <stdbool.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

#define TREE_CACHE_BYTES (8 << 20)
/* Modes are kept less this: two bytes for all of them. */
#define TREE_MODE_BIAS 32768

enum tree_sql {
	TREE_SQL_ADD_INODE,
	TREE_SQL_SET_INODE,
	TREE_SQL_GET_INODE,
	TREE_SQL_DROP_INODE,
	TREE_SQL_SET_NLINK,
	TREE_SQL_COUNT_DIRS,
	TREE_SQL_DROP_UNNAMED_PIECES,
	TREE_SQL_DROP_UNNAMED_EXTRAS,
	TREE_SQL_DROP_UNNAMED,
	TREE_SQL_FLAGGED,
	TREE_SQL_ADD_EXTRA,
	TREE_SQL_DROP_EXTRA,
	TREE_SQL_GET_LINK,
	TREE_SQL_GET_XATTRS,
	TREE_SQL_GET_RAW_NAME,
	TREE_SQL_ADD_NAME,
	TREE_SQL_DROP_NAME,
	TREE_SQL_DROP_NAMES,
	TREE_SQL_GET_NAME,
	TREE_SQL_CHILDREN,
	TREE_SQL_FIND,
	TREE_SQL_LIST,
	TREE_SQL_LIST_FROM,
	TREE_SQL_LIST_INODES,
	TREE_SQL_ADD_PIECE,
	TREE_SQL_DROP_PIECES,
	TREE_SQL_PIECE_AT,
	TREE_SQL_PIECE_BEHIND,
	TREE_SQL_ADD_POINT,
	TREE_SQL_ADD_WINDOW,
	TREE_SQL_POINTS,
	TREE_SQL_GET_WINDOW,
	TREE_SQL_SET_FACT,
	TREE_SQL_GET_FACT,
	TREE_SQL_PAGES,
	TREE_SQL_COUNT
};

struct treesql {
	struct sqlite3 *sq;
	struct sqlite3_stmt *st[TREE_SQL_COUNT];
};

/* Both: an SQLite result code; to be closed in any case. */
/* fd -1: in memory.  Empty tables, in a transaction that stays open. */
int treesql_create(struct treesql *db, int fd, uint64_t min_free);
/* What is in the file is one of ours, whole, of this version; else
 * SQLITE_CORRUPT, SQLITE_NOTADB or SQLITE_IOERR_DATA. */
int treesql_open(struct treesql *db, int fd);
/* Notes that it is whole, and commits. */
int treesql_commit(struct treesql *db);
void treesql_close(struct treesql *db);
/* Prepared at its first use; NULL and *ret_rc. */
struct sqlite3_stmt *treesql_get(struct treesql *db, enum tree_sql which,
				 int *ret_rc);
int treesql_errno(int rc);
