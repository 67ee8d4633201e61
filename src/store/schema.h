/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The tables.  A file whose schema is not word for word this one is not ours:
 * nothing in it needs to survive, so it is set aside instead of migrated.
 */
struct sqlite3;

/* In the database's header: "rfs1", and the version of the tables. */
#define SCHEMA_APPLICATION_ID 0x72667331
#define SCHEMA_VERSION 1

/* 0; or -EBADMSG: not our tables; or -EIO: could not be read. */
int schema_check(struct sqlite3 *sq);
/* Makes the tables in an empty database. */
int schema_create(struct sqlite3 *sq);
