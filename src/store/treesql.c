/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree is written in one transaction without a journal: until it is sealed
 * it is of no use to anybody after a crash, so nothing is done to save it, and
 * an error while writing is the end of it.  The number of pages is written
 * into the file last: a file of another length was not closed by us.
 */
#include "store/treesql.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/treevfs.h"

#define APPLICATION_ID 0x52665472 /* "RfTr" */
#define TREE_VERSION 1
/* Of all connections; near it SQLite's caches reuse their own pages. */
#define HEAP_BYTES ((int64_t)64 << 20)
#define PAGES_MAX (4 << 20)	   /* 16 GiB */
#define PAGES_MAX_MEMORY (1 << 16) /* 256 MiB */
#define VALUE_MAX (2 << 20)
#define PAGES_UNKNOWN "9223372036854775807"

/*
 * inode: nlink of a directory is the number of its subdirectories, data of a
 *	  device its numbers; modes are biased
 * extra: what few inodes have
 * piece: of a file's content
 * point: restart points; window: what is needed there
 * Sorted by the object's name.
 */
static const char *const tables[] = {
	"CREATE TABLE extra(ino INTEGER PRIMARY KEY, link BLOB, xattrs BLOB,"
	" raw_name BLOB)",
	"CREATE TABLE fact(key TEXT NOT NULL PRIMARY KEY, value) WITHOUT ROWID",
	"CREATE TABLE inode(ino INTEGER PRIMARY KEY, mode INTEGER NOT NULL,"
	" uid INTEGER NOT NULL, gid INTEGER NOT NULL, nlink INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, size INTEGER NOT NULL,"
	" mtime INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
	" data INTEGER NOT NULL, layer INTEGER NOT NULL, src INTEGER NOT NULL)",
	"CREATE TABLE name(dir INTEGER NOT NULL, name BLOB NOT NULL,"
	" ino INTEGER NOT NULL, mode INTEGER NOT NULL,"
	" PRIMARY KEY(dir, name)) WITHOUT ROWID",
	"CREATE TABLE piece(ino INTEGER NOT NULL, off INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, src_off INTEGER NOT NULL,"
	" src_end INTEGER NOT NULL, inner_off INTEGER NOT NULL, digest BLOB,"
	" PRIMARY KEY(ino, off)) WITHOUT ROWID",
	"CREATE TABLE point(n INTEGER PRIMARY KEY, in_off INTEGER NOT NULL,"
	" out_off INTEGER NOT NULL, bits INTEGER NOT NULL)",
	"CREATE TABLE window(n INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

#define INODE                                                                  \
	"i.ino, i.mode, i.uid, i.gid, i.nlink, i.flags, i.size, i.mtime,"      \
	" i.mtime_ns, i.data, i.layer, i.src"
#define PIECE "off, bytes, src_off, src_end, inner_off, digest"
/* Directories' modes, biased. */
#define IS_DIR "mode BETWEEN -16384 AND -12289"

static const char *const statements[TREE_SQL_COUNT] = {
	[TREE_SQL_ADD_INODE] =
		"INSERT INTO inode(mode, uid, gid, flags, size, mtime,"
		" mtime_ns, data, layer, src, ino, nlink)"
		" VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
	[TREE_SQL_SET_INODE] =
		"UPDATE inode SET mode=?, uid=?, gid=?, flags=?, size=?,"
		" mtime=?, mtime_ns=?, data=?, layer=?, src=? WHERE ino=?",
	[TREE_SQL_GET_INODE] = "SELECT " INODE " FROM inode AS i WHERE ino=?",
	[TREE_SQL_DROP_INODE] = "DELETE FROM inode WHERE ino=?",
	[TREE_SQL_SET_NLINK] = "UPDATE inode SET nlink=? WHERE ino=?",
	[TREE_SQL_COUNT_DIRS] =
		"UPDATE inode SET nlink=d.n FROM (SELECT dir, count(*) AS n"
		" FROM name WHERE " IS_DIR " GROUP BY dir) AS d"
		" WHERE inode.ino=d.dir",
	[TREE_SQL_DROP_UNNAMED_PIECES] =
		"DELETE FROM piece WHERE ino IN (SELECT ino FROM inode"
		" WHERE nlink=0 AND NOT (" IS_DIR "))",
	[TREE_SQL_DROP_UNNAMED_EXTRAS] =
		"DELETE FROM extra WHERE ino IN (SELECT ino FROM inode"
		" WHERE nlink=0 AND NOT (" IS_DIR "))",
	[TREE_SQL_DROP_UNNAMED] =
		"DELETE FROM inode WHERE nlink=0 AND NOT (" IS_DIR ")",
	[TREE_SQL_FLAGGED] = "SELECT ino FROM inode WHERE ino>? AND flags&?"
			     " ORDER BY ino LIMIT ?",
	[TREE_SQL_ADD_EXTRA] = "INSERT INTO extra(ino, link, xattrs, raw_name)"
			       " VALUES(?,?,?,?)",
	[TREE_SQL_DROP_EXTRA] = "DELETE FROM extra WHERE ino=?",
	[TREE_SQL_GET_LINK] = "SELECT link FROM extra WHERE ino=?",
	[TREE_SQL_GET_XATTRS] = "SELECT xattrs FROM extra WHERE ino=?",
	[TREE_SQL_GET_RAW_NAME] = "SELECT raw_name FROM extra WHERE ino=?",
	[TREE_SQL_ADD_NAME] = "INSERT OR IGNORE INTO name(dir, name, ino, mode)"
			      " VALUES(?,?,?,?)",
	[TREE_SQL_DROP_NAME] = "DELETE FROM name WHERE dir=? AND name=?",
	[TREE_SQL_DROP_NAMES] = "DELETE FROM name WHERE dir=?",
	[TREE_SQL_GET_NAME] = "SELECT ino, mode FROM name"
			      " WHERE dir=? AND name=?",
	[TREE_SQL_CHILDREN] = "SELECT ino, mode FROM name WHERE dir=?",
	[TREE_SQL_FIND] = "SELECT " INODE " FROM name AS n CROSS JOIN"
			  " inode AS i ON i.ino=n.ino"
			  " WHERE n.dir=? AND n.name=?",
	[TREE_SQL_LIST] = "SELECT name, ino, mode FROM name"
			  " WHERE dir=? AND name>? ORDER BY name LIMIT ?",
	[TREE_SQL_LIST_FROM] = "SELECT name, ino, mode FROM name"
			       " WHERE dir=? ORDER BY name LIMIT ?2 OFFSET ?3",
	/* A name without its inode is one of NULLs: damaged. */
	[TREE_SQL_LIST_INODES] =
		"SELECT n.name, n.ino, n.mode, " INODE " FROM name AS n"
		" LEFT JOIN inode AS i ON i.ino=n.ino"
		" WHERE n.dir=? AND n.name>? ORDER BY n.name LIMIT ?",
	[TREE_SQL_ADD_PIECE] = "INSERT INTO piece(ino, " PIECE ")"
			       " VALUES(?,?,?,?,?,?,?)",
	[TREE_SQL_DROP_PIECES] = "DELETE FROM piece WHERE ino=?",
	[TREE_SQL_PIECE_AT] = "SELECT " PIECE " FROM piece"
			      " WHERE ino=? AND off<=?"
			      " ORDER BY off DESC LIMIT 1",
	[TREE_SQL_PIECE_BEHIND] = "SELECT " PIECE " FROM piece"
				  " WHERE ino=? AND off>?"
				  " ORDER BY off LIMIT 1",
	[TREE_SQL_ADD_POINT] = "INSERT INTO point(n, in_off, out_off, bits)"
			       " VALUES(?,?,?,?)",
	[TREE_SQL_ADD_WINDOW] = "INSERT INTO window(n, bytes) VALUES(?,?)",
	[TREE_SQL_POINTS] = "SELECT n, in_off, out_off, bits FROM point"
			    " ORDER BY n",
	[TREE_SQL_GET_WINDOW] = "SELECT bytes FROM window WHERE n=?",
	[TREE_SQL_SET_FACT] = "INSERT OR REPLACE INTO fact(key, value)"
			      " VALUES(?,?)",
	[TREE_SQL_GET_FACT] = "SELECT value FROM fact WHERE key=?",
	[TREE_SQL_PAGES] = "PRAGMA page_count",
};

int treesql_errno(int rc)
{
	if (rc == SQLITE_IOERR_DATA)
		return -EBADMSG;
	switch (rc & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_TOOBIG: /* we put in nothing that is */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

static int exec(struct treesql *db, const char *sql)
{
	return sqlite3_exec(db->sq, sql, NULL, NULL, NULL);
}

/* The file is not trusted: no functions, triggers or views of its making. */
static int harden(struct treesql *db, bool sealed)
{
	const struct {
		int option, on;
	} options[] = {
		/* It would forbid writing without a journal. */
		{SQLITE_DBCONFIG_DEFENSIVE, sealed},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (rc == SQLITE_OK)
			rc = sqlite3_db_config(db->sq, options[i].option,
					       options[i].on, NULL);
	}
	sqlite3_limit(db->sq, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	sqlite3_limit(db->sq, SQLITE_LIMIT_ATTACHED, 0);
	(void)sqlite3_soft_heap_limit64(HEAP_BYTES);
	return rc;
}

static int connect_to(struct treesql *db, int fd, bool sealed,
		      uint64_t min_free)
{
	char pragmas[256];
	int rc;

	memset(db, 0, sizeof(*db));
	if (fd >= 0)
		rc = treevfs_open(fd, sealed, min_free, &db->sq);
	else
		rc = sqlite3_open_v2(
			":memory:", &db->sq,
			SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
				SQLITE_OPEN_PRIVATECACHE,
			NULL);
	if (rc == SQLITE_OK)
		rc = harden(db, sealed);
	snprintf(pragmas, sizeof(pragmas),
		 "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
		 "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
		 "PRAGMA secure_delete=OFF; PRAGMA cache_size=-%d;",
		 TREE_CACHE_BYTES / 1024);
	if (rc == SQLITE_OK)
		rc = exec(db, pragmas);
	return rc;
}

int treesql_create(struct treesql *db, int fd, uint64_t min_free)
{
	int rc = connect_to(db, fd, false, min_free);
	char pragmas[256];

	snprintf(pragmas, sizeof(pragmas),
		 "PRAGMA page_size=%d; PRAGMA max_page_count=%d;"
		 "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
		 "PRAGMA application_id=%d; PRAGMA user_version=%d; BEGIN;",
		 TREE_PAGE_BYTES, fd >= 0 ? PAGES_MAX : PAGES_MAX_MEMORY,
		 APPLICATION_ID, TREE_VERSION);
	if (rc == SQLITE_OK)
		rc = exec(db, pragmas);
	for (size_t i = 0; rc == SQLITE_OK && i < TABLES; i++)
		rc = exec(db, tables[i]);
	/* Its row does not grow when the number is known. */
	if (rc == SQLITE_OK)
		rc = exec(db, "INSERT INTO fact(key, value)"
			      " VALUES('.pages', " PAGES_UNKNOWN ")");
	return rc;
}

/* First column of the first row. */
static int get_int(struct treesql *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->sq, sql, -1, &st, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_DONE)
			rc = SQLITE_CORRUPT;
	}
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc;
}

/* SQLite keeps the texts: no table, index, trigger or view but ours. */
static int check_tables(struct treesql *db)
{
	static const char sql[] = "SELECT sql FROM sqlite_schema "
				  "WHERE sql IS NOT NULL ORDER BY name";
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->sq, sql, -1, &st, NULL);
	size_t n = 0;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW) {
		const void *text = sqlite3_column_text(st, 0);

		if (n == TABLES || !text || strcmp(text, tables[n]) != 0)
			break;
		n++;
		rc = sqlite3_step(st);
	}
	sqlite3_finalize(st);
	if (rc == SQLITE_ROW)
		return SQLITE_CORRUPT;
	if (rc == SQLITE_DONE)
		return n == TABLES ? SQLITE_OK : SQLITE_CORRUPT;
	return rc;
}

static int check_size(struct treesql *db, int fd)
{
	int64_t noted = 0;
	struct stat st;
	int rc = get_int(db, "SELECT value FROM fact WHERE key='.pages'",
			 &noted);

	if (rc != SQLITE_OK)
		return rc;
	if (fstat(fd, &st) < 0)
		return SQLITE_IOERR_FSTAT;
	return noted > 0 && noted <= PAGES_MAX &&
			       st.st_size == noted * TREE_PAGE_BYTES
		       ? SQLITE_OK
		       : SQLITE_CORRUPT;
}

static int check_root(struct treesql *db)
{
	int64_t is_dir = 0;
	int rc = get_int(db, "SELECT " IS_DIR " FROM inode WHERE ino=1",
			 &is_dir);

	if (rc == SQLITE_OK && !is_dir)
		rc = SQLITE_CORRUPT;
	return rc;
}

int treesql_open(struct treesql *db, int fd)
{
	int rc = connect_to(db, fd, true, 0);
	int64_t id = 0, version = 0;

	if (rc == SQLITE_OK)
		rc = get_int(db, "PRAGMA application_id", &id);
	if (rc == SQLITE_OK)
		rc = get_int(db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK &&
	    (id != APPLICATION_ID || version != TREE_VERSION))
		rc = SQLITE_NOTADB;
	if (rc == SQLITE_OK)
		rc = check_tables(db);
	if (rc == SQLITE_OK)
		rc = check_size(db, fd);
	if (rc == SQLITE_OK)
		rc = check_root(db);
	if (rc == SQLITE_OK)
		rc = exec(db, "PRAGMA query_only=ON");
	/* A schema that cannot be parsed. */
	return rc == SQLITE_ERROR ? SQLITE_CORRUPT : rc;
}

int treesql_commit(struct treesql *db)
{
	int64_t pages = 0;
	char sql[96];
	int rc = get_int(db, "PRAGMA page_count", &pages);

	snprintf(sql, sizeof(sql),
		 "UPDATE fact SET value=%lld"
		 " WHERE key='.pages'",
		 (long long)pages);
	if (rc == SQLITE_OK)
		rc = exec(db, sql);
	if (rc == SQLITE_OK)
		rc = exec(db, "COMMIT");
	return rc;
}

void treesql_close(struct treesql *db)
{
	for (size_t i = 0; i < TREE_SQL_COUNT; i++)
		sqlite3_finalize(db->st[i]);
	sqlite3_close(db->sq);
	memset(db, 0, sizeof(*db));
}

struct sqlite3_stmt *treesql_get(struct treesql *db, enum tree_sql which,
				 int *ret_rc)
{
	if (!db->st[which])
		*ret_rc = sqlite3_prepare_v3(db->sq, statements[which], -1,
					     SQLITE_PREPARE_PERSISTENT,
					     &db->st[which], NULL);
	return db->st[which];
}
