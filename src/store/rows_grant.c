/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grants.  One digest may have been granted as a blob and as a manifest, so
 * the kind is part of the key; a row that is damaged grants nothing.
 */
#include <errno.h>

#include "store/rows.h"
#include "store/rowutil.h"
#include "store/state.h"
#include "util/clock.h"

#define GRANT_AGAIN_S 86400

int grant_put(struct store *s, const char *host, const char *repository,
	      const char *identity, const struct grant_row *row)
{
	static const char sql[] =
		"INSERT INTO granted VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) "
		"ON CONFLICT DO UPDATE SET size=?6, wall=?7 "
		"WHERE size <> ?6 OR wall < ?7 - ?8";
	autodb(s->db);
	autoquery q = query_start(s->db, sql);
	uint8_t key[ROW_KEY_MAX];

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, identity);
	query_blob(&q, key, row_key(&row->digest, key));
	query_int(&q, row->kind);
	query_int(&q, row_size(row->size_bytes));
	query_int(&q, clock_wall());
	query_int(&q, GRANT_AGAIN_S);
	return row_result(query_run(&q));
}

/* Columns: digest, kind, size. */
static int get_grant(const struct query *q, struct grant_row *ret)
{
	struct grant_row row = {0};
	int64_t kind = 0;
	int r = row_get_digest(q, 0, &row.digest);

	if (r == 0)
		r = query_get_int(q, 1, GRANT_BLOB, GRANT_CLAIM, &kind);
	if (r == 0)
		r = row_get_size(q, 2, &row.size_bytes);
	if (r < 0)
		return r;
	row.kind = (enum grant_kind)kind;
	*ret = row;
	return 0;
}

bool grant_has(struct store *s, const char *host, const char *repository,
	       const char *identity, const struct digest *d,
	       struct grant_row *ret)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT digest, kind, size FROM granted WHERE host=? "
		       "AND repository=? AND identity=? AND digest=? "
		       "ORDER BY kind");
	uint8_t key[ROW_KEY_MAX];
	struct grant_row row;

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, identity);
	query_blob(&q, key, row_key(d, key));
	if (query_next(&q) <= 0 || get_grant(&q, &row) < 0 ||
	    !digest_equal(&row.digest, d))
		return false;
	if (ret)
		*ret = row;
	return true;
}

int grant_forget(struct store *s, const char *host, const char *repository,
		 const struct digest *d)
{
	autodb(s->db);
	autoquery q = query_start(s->db, "DELETE FROM granted WHERE host=? AND "
					 "repository=? AND digest=?");
	uint8_t key[ROW_KEY_MAX];

	query_text(&q, host);
	query_text(&q, repository);
	query_blob(&q, key, row_key(d, key));
	return row_result(query_run(&q));
}

int grant_each(struct store *s, const char *host, const char *repository,
	       const char *identity, enum grant_kind kind, grant_each_fn each,
	       void *arg)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT digest, min(kind), size FROM granted "
		       "WHERE host=? AND repository=? AND identity=? "
		       "AND kind IN (?, ?) GROUP BY digest ORDER BY digest");
	struct grant_row row;
	int r;

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, identity);
	query_int(&q, kind);
	query_int(&q, kind == GRANT_BLOB ? GRANT_CLAIM : kind);
	while ((r = query_next(&q)) > 0) {
		if (get_grant(&q, &row) < 0)
			continue;
		r = each(arg, &row);
		if (r != 0)
			return r;
	}
	return row_result(r);
}

int grant_holders(struct store *s, const char *host, const struct digest *d,
		  unsigned max, grant_holder_fn each, void *arg)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT repository, identity FROM granted WHERE host=? "
		       "AND digest=? AND kind IN (?, ?) ORDER BY wall DESC "
		       "LIMIT ?");
	const char *repository, *identity;
	uint8_t key[ROW_KEY_MAX];
	int r;

	query_text(&q, host);
	query_blob(&q, key, row_key(d, key));
	query_int(&q, GRANT_BLOB);
	query_int(&q, GRANT_CLAIM);
	query_int(&q, max);
	while ((r = query_next(&q)) > 0) {
		if (query_get_text(&q, 0, ROW_NAME_MAX, &repository) < 0 ||
		    query_get_text(&q, 1, ROW_NAME_MAX, &identity) < 0)
			continue;
		r = each(arg, repository, identity);
		if (r != 0)
			return r;
	}
	return row_result(r);
}
