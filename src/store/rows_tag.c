/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, and the hosts and repositories that were seen. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/rows.h"
#include "store/rowutil.h"
#include "store/state.h"
#include "util/clock.h"

#define SEEN_AGAIN_S 86400

int tag_put(struct store *s, const char *host, const char *repository,
	    const char *identity, const char *tag, const struct tag_row *row)
{
	autodb(s->db);
	autoquery q = query_start(s->db, "INSERT OR REPLACE INTO tag "
					 "VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
	uint8_t key[ROW_KEY_MAX];

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, identity);
	query_text(&q, tag);
	query_blob(&q, key, row_key(&row->digest, key));
	query_text(&q, row->mediatype);
	query_int(&q, row_size(row->size_bytes));
	query_int(&q, row->wall);
	return row_result(query_run(&q));
}

int tag_get(struct store *s, const char *host, const char *repository,
	    const char *identity, const char *tag, struct tag_row *ret)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT digest, mediatype, size, wall FROM tag WHERE "
		       "host=? AND repository=? AND identity=? AND name=?");
	struct tag_row row = {0};
	const char *mediatype;
	int r;

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, identity);
	query_text(&q, tag);
	r = query_next(&q);
	if (r <= 0)
		return r < 0 ? row_result(r) : -ENOENT;
	if (row_get_digest(&q, 0, &row.digest) < 0 ||
	    query_get_text(&q, 1, MEDIATYPE_MAX, &mediatype) < 0 ||
	    row_get_size(&q, 2, &row.size_bytes) < 0 ||
	    query_get_int(&q, 3, 0, INT64_MAX, &row.wall) < 0)
		return -ENOENT;
	snprintf(row.mediatype, sizeof(row.mediatype), "%s", mediatype);
	*ret = row;
	return 0;
}

int tag_forget(struct store *s, const char *host, const char *repository,
	       const char *tag)
{
	autodb(s->db);
	autoquery q = query_start(s->db, "DELETE FROM tag WHERE "
					 "host=? AND repository=? AND name=?");

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, tag);
	return row_result(query_run(&q));
}

int tag_forget_digest(struct store *s, const char *host, const char *repository,
		      const struct digest *d)
{
	autodb(s->db);
	autoquery q = query_start(s->db, "DELETE FROM tag WHERE host=? AND "
					 "repository=? AND digest=?");
	uint8_t key[ROW_KEY_MAX];

	query_text(&q, host);
	query_text(&q, repository);
	query_blob(&q, key, row_key(d, key));
	return row_result(query_run(&q));
}

/* Calls with the first column of each row. */
static int each_name(struct query *q, row_each each, void *arg)
{
	const char *name;
	int r;

	while ((r = query_next(q)) > 0) {
		if (query_get_text(q, 0, ROW_NAME_MAX, &name) < 0)
			continue;
		r = each(arg, name);
		if (r != 0)
			return r;
	}
	return row_result(r);
}

int tag_each(struct store *s, const char *host, const char *repository,
	     const char *identity, row_each each, void *arg)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT name FROM tag WHERE host=? AND repository=? AND "
		       "identity=? ORDER BY name");

	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, identity);
	return each_name(&q, each, arg);
}

int repository_seen(struct store *s, const char *host, const char *repository)
{
	/* Not written again for every look. */
	static const char sql[] =
		"INSERT INTO repository VALUES(?1, ?2, ?3) "
		"ON CONFLICT DO UPDATE SET wall=?3 WHERE wall < ?3 - ?4";
	autodb(s->db);
	autoquery q = query_start(s->db, sql);

	query_text(&q, host);
	query_text(&q, repository);
	query_int(&q, clock_wall());
	query_int(&q, SEEN_AGAIN_S);
	return row_result(query_run(&q));
}

int repository_each(struct store *s, const char *host, row_each each, void *arg)
{
	autodb(s->db);
	autoquery q = query_start(s->db, "SELECT name FROM repository WHERE "
					 "host=? ORDER BY name");

	query_text(&q, host);
	return each_name(&q, each, arg);
}

int host_each(struct store *s, row_each each, void *arg)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT DISTINCT host FROM repository ORDER BY host");

	return each_name(&q, each, arg);
}
