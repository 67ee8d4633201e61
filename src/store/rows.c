/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over all tables: forgetting the old, counting. */
#include "store/rows.h"

#include "store/rowutil.h"
#include "store/state.h"

#define KEEP_S ((int64_t)90 * 86400)
/* Blobs without data of which the states are kept. */
#define KEEP_EMPTY_BLOBS 16384

static int delete_before(struct db *db, const char *sql, int64_t v)
{
	autoquery q = query_start(db, sql);

	query_int(&q, v);
	return query_run(&q);
}

static int prune_blobs(struct db *db)
{
	int r = delete_before(db,
			      "DELETE FROM blob WHERE bytes=0 AND id NOT IN "
			      "(SELECT id FROM blob WHERE bytes=0 "
			      "ORDER BY used DESC LIMIT ?)",
			      KEEP_EMPTY_BLOBS);

	if (r == 0)
		r = db_exec(db, "DELETE FROM map WHERE blob NOT IN "
				"(SELECT id FROM blob)");
	if (r == 0)
		r = db_exec(db, "DELETE FROM states WHERE blob NOT IN "
				"(SELECT id FROM blob)");
	return r;
}

/* A wall clock that was set back keeps rows longer, no more. */
int rows_prune(struct store *s, int64_t wall)
{
	static const char *const deletes[] = {
		"DELETE FROM document WHERE wall < ?",
		"DELETE FROM list WHERE wall < ?",
		"DELETE FROM tag WHERE wall < ?",
		"DELETE FROM repository WHERE wall < ?",
		"DELETE FROM granted WHERE wall < ?",
	};
	autodb(s->db);
	int r = db_begin(s->db);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < sizeof(deletes) / sizeof(*deletes);
	     i++)
		r = delete_before(s->db, deletes[i], wall - KEEP_S);
	if (r == 0)
		r = prune_blobs(s->db);
	return row_result(db_end(s->db, r));
}

int rows_clear(struct store *s)
{
	autodb(s->db);
	int r = db_begin(s->db);

	if (r < 0)
		return r;
	r = db_exec(s->db, "DELETE FROM document");
	if (r == 0)
		r = db_exec(s->db, "DELETE FROM list");
	if (r == 0)
		r = db_exec(s->db, "DELETE FROM tag");
	r = db_end(s->db, r);
	if (r == 0)
		db_vacuum(s->db);
	return row_result(r);
}

static int count(struct db *db, const char *sql, uint64_t *ret)
{
	autoquery q = query_start(db, sql);
	int64_t v = 0;
	int r = query_next(&q);

	if (r > 0)
		r = query_get_int(&q, 0, 0, INT64_MAX, &v);
	if (r == 0)
		*ret = (uint64_t)v;
	return r;
}

int rows_stats(struct store *s, struct store_stats *ret)
{
	autodb(s->db);
	int r = count(s->db, "SELECT count(*) FROM blob WHERE bytes>0",
		      &ret->blobs);

	if (r == 0)
		r = count(s->db, "SELECT count(*) FROM blob WHERE verified<>0",
			  &ret->verified_blobs);
	if (r == 0)
		r = count(s->db, "SELECT count(*) FROM document",
			  &ret->documents);
	if (r == 0)
		r = count(s->db, "SELECT count(*) FROM tag", &ret->tags);
	return row_result(r);
}
