/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite keeps the text of every CREATE statement, so a comparison of the
 * texts finds foreign tables, views and triggers alike, and damage within.
 */
#include "store/schema.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/auto.h"

/* Sorted by the object's name.  `digest` is the algorithm's byte and the raw
 * digest; `wall` seconds since 1970; `sum` see rows_blob.c. */
static const char *const cache_statements[] = {
	"CREATE TABLE blob(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE,"
	" size INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" verified INTEGER NOT NULL, used INTEGER NOT NULL)",
	"CREATE INDEX blob_used ON blob(used)",
	"CREATE TABLE document(digest BLOB NOT NULL PRIMARY KEY,"
	" mediatype TEXT NOT NULL, body BLOB NOT NULL, wall INTEGER NOT NULL)",
	"CREATE TABLE granted(host TEXT NOT NULL, repository TEXT NOT NULL,"
	" identity TEXT NOT NULL, digest BLOB NOT NULL, kind INTEGER NOT NULL,"
	" size INTEGER NOT NULL, wall INTEGER NOT NULL,"
	" PRIMARY KEY(host, repository, identity, digest, kind)) WITHOUT ROWID",
	"CREATE TABLE list(key TEXT NOT NULL PRIMARY KEY, body BLOB NOT NULL,"
	" wall INTEGER NOT NULL)",
	"CREATE TABLE map(blob INTEGER NOT NULL, segment INTEGER NOT NULL,"
	" bits BLOB NOT NULL, sum BLOB NOT NULL,"
	" PRIMARY KEY(blob, segment)) WITHOUT ROWID",
	"CREATE TABLE repository(host TEXT NOT NULL, name TEXT NOT NULL,"
	" wall INTEGER NOT NULL, PRIMARY KEY(host, name)) WITHOUT ROWID",
	"CREATE TABLE run(id INTEGER PRIMARY KEY, clean INTEGER NOT NULL)",
	"CREATE TABLE states(blob INTEGER NOT NULL, segment INTEGER NOT NULL,"
	" states BLOB NOT NULL, sum BLOB NOT NULL, PRIMARY KEY(blob, segment))",
	"CREATE TABLE tag(host TEXT NOT NULL, repository TEXT NOT NULL,"
	" identity TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL,"
	" mediatype TEXT NOT NULL, size INTEGER NOT NULL,"
	" wall INTEGER NOT NULL,"
	" PRIMARY KEY(host, repository, identity, name)) WITHOUT ROWID",
};

const struct schema schema_cache = {
	.application_id = 0x72667331, /* "rfs1" */
	.version = 1,
	.statements = cache_statements,
	.statements_len =
		sizeof(cache_statements) / sizeof(cache_statements[0]),
};

static void auto_finalize(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
#define autostmt __attribute__((cleanup(auto_finalize))) sqlite3_stmt

static int sqlite_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a schema that cannot be parsed */
		return -EBADMSG;
	default:
		return -EIO;
	}
}

static int get_pragma(sqlite3 *sq, const char *sql, int64_t *ret)
{
	autostmt *st = NULL;
	int rc = sqlite3_prepare_v2(sq, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return sqlite_errno(rc);
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

int schema_check(struct sqlite3 *sq, const struct schema *schema)
{
	static const char sql[] = "SELECT sql FROM sqlite_schema "
				  "WHERE sql IS NOT NULL ORDER BY name";
	autostmt *st = NULL;
	int64_t id = 0, version = 0;
	size_t n = 0;
	int r, rc;

	r = get_pragma(sq, "PRAGMA application_id", &id);
	if (r == 0)
		r = get_pragma(sq, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (id != schema->application_id || version != schema->version)
		return -EBADMSG;
	rc = sqlite3_prepare_v2(sq, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return sqlite_errno(rc);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const void *text = sqlite3_column_text(st, 0);

		if (n == schema->statements_len || !text ||
		    strcmp(text, schema->statements[n]) != 0)
			return -EBADMSG;
		n++;
	}
	if (rc != SQLITE_DONE)
		return sqlite_errno(rc);
	return n == schema->statements_len ? 0 : -EBADMSG;
}

static int end(sqlite3 *sq, int rc)
{
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(sq, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		sqlite3_exec(sq, "ROLLBACK", NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : sqlite_errno(rc);
}

int schema_upgrade(struct sqlite3 *sq, const struct schema *schema)
{
	int rc = sqlite3_exec(sq, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(sq, schema->upgrade, NULL, NULL, NULL);
	return end(sq, rc);
}

int schema_create(struct sqlite3 *sq, const struct schema *schema)
{
	char pragmas[96];
	int rc = sqlite3_exec(sq, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	snprintf(pragmas, sizeof(pragmas),
		 "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 schema->application_id, schema->version);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(sq, pragmas, NULL, NULL, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < schema->statements_len; i++)
		rc = sqlite3_exec(sq, schema->statements[i], NULL, NULL, NULL);
	return end(sq, rc);
}

const char *schema_why(struct sqlite3 *sq, const struct schema *schema)
{
	int64_t id = 0, version = 0;

	if (get_pragma(sq, "PRAGMA application_id", &id) < 0 ||
	    get_pragma(sq, "PRAGMA user_version", &version) < 0)
		return "is damaged";
	if (id != schema->application_id)
		return "is not ours";
	if (version > schema->version)
		return "was written by a newer version";
	return version < schema->version ? "was written by an older version"
					 : "is damaged";
}
