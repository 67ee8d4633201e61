/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The tables of a database.  A file whose schema is not word for word the
 * expected one is not ours, or of another version.
 */
#include <stddef.h>

struct sqlite3;

struct schema {
	/* In the database's header; four letters, and the tables' version. */
	int application_id, version;
	/* CREATE statements, sorted by the object's name. */
	const char *const *statements;
	size_t statements_len;
	/* The one before, and what makes this of it; or NULL: what is older is
	 * as foreign as any. */
	const struct schema *older;
	const char *upgrade;
};
extern const struct schema schema_cache;

/* 0; or -EBADMSG: not these tables; or -EIO: could not be read. */
int schema_check(struct sqlite3 *sq, const struct schema *schema);
/* Makes it of one that is the older schema's, all or nothing. */
int schema_upgrade(struct sqlite3 *sq, const struct schema *schema);
/* Makes the tables in an empty database. */
int schema_create(struct sqlite3 *sq, const struct schema *schema);
/* For people, why schema_check said no. */
const char *schema_why(struct sqlite3 *sq, const struct schema *schema);
