/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents by digest, and lists by key.  A document is hashed again when it
 * is read: damage within a page passes SQLite unseen.  When the database has
 * no room for one more, the oldest half of both makes some.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows.h"
#include "store/rowutil.h"
#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"

#define BODY_MAX ((size_t)8 << 20)
#define LIST_KEY_MAX 8192

static int drop_oldest(struct db *db)
{
	int r = db_exec(db, "DELETE FROM document WHERE wall <= (SELECT wall "
			    "FROM document ORDER BY wall LIMIT 1 OFFSET "
			    "(SELECT count(*)/2 FROM document))");

	if (r == 0)
		r = db_exec(db, "DELETE FROM list WHERE wall <= (SELECT wall "
				"FROM list ORDER BY wall LIMIT 1 OFFSET "
				"(SELECT count(*)/2 FROM list))");
	return r;
}

static int put_document(struct db *db, const struct digest *d,
			const char *mediatype, const void *bytes, size_t len)
{
	autoquery q = query_start(
		db, "INSERT OR REPLACE INTO document VALUES(?, ?, ?, ?)");
	uint8_t key[ROW_KEY_MAX];

	query_blob(&q, key, row_key(d, key));
	query_text(&q, mediatype);
	query_blob(&q, bytes, len);
	query_int(&q, clock_wall());
	return query_run(&q);
}

int document_put(struct store *s, const struct digest *d, const char *mediatype,
		 const void *bytes, size_t len)
{
	autodb(s->db);
	int r;

	if (len > BODY_MAX || strlen(mediatype) > MEDIATYPE_MAX)
		return -EFBIG;
	r = put_document(s->db, d, mediatype, bytes, len);
	if (r == -ENOSPC && drop_oldest(s->db) == 0)
		r = put_document(s->db, d, mediatype, bytes, len);
	return row_result(r);
}

static int forget_document(struct db *db, const struct digest *d)
{
	autoquery q = query_start(db, "DELETE FROM document WHERE digest=?");
	uint8_t key[ROW_KEY_MAX];

	query_blob(&q, key, row_key(d, key));
	return query_run(&q);
}

/* A copy with a NUL behind it. */
static char *copy_bytes(const void *bytes, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	if (len > 0) /* SQLite has no pointer to nothing */
		memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

static int get_document(struct db *db, const struct digest *d,
			char **ret_mediatype, char **ret, size_t *ret_len)
{
	autoquery q = query_start(
		db, "SELECT mediatype, body FROM document WHERE digest=?");
	autofree char *type = NULL, *body = NULL;
	uint8_t key[ROW_KEY_MAX];
	const char *mediatype = NULL;
	const void *bytes = NULL;
	struct digest is;
	size_t len = 0;
	int r;

	query_blob(&q, key, row_key(d, key));
	r = query_next(&q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = query_get_text(&q, 0, MEDIATYPE_MAX, &mediatype);
	if (r == 0)
		r = query_get_blob(&q, 1, BODY_MAX, &bytes, &len);
	if (r < 0)
		return r;
	digest_of(d->alg, bytes, len, &is);
	if (!digest_equal(&is, d))
		return -EBADMSG;
	type = strdup(mediatype);
	body = copy_bytes(bytes, len);
	if (!type || !body)
		return -ENOMEM;
	if (ret_mediatype)
		*ret_mediatype = steal(&type);
	*ret = steal(&body);
	*ret_len = len;
	return 0;
}

int document_get(struct store *s, const struct digest *d, char **ret_mediatype,
		 char **ret, size_t *ret_len)
{
	autodb(s->db);
	int r = get_document(s->db, d, ret_mediatype, ret, ret_len);
	char name[24];

	if (r != -EBADMSG)
		return row_result(r);
	digest_short(d, name);
	log_warning("cached document %s is damaged: forgotten", name);
	r = forget_document(s->db, d);
	return r < 0 ? row_result(r) : -ENOENT;
}

int document_each(struct store *s, document_each_fn each, void *arg)
{
	autodb(s->db);
	autoquery q =
		query_start(s->db, "SELECT digest FROM document ORDER BY wall");
	struct digest d;
	int r;

	while ((r = query_next(&q)) > 0) {
		if (row_get_digest(&q, 0, &d) < 0)
			continue;
		r = each(arg, &d);
		if (r != 0)
			return r;
	}
	return row_result(r);
}

static int put_list(struct db *db, const char *key, const void *bytes,
		    size_t len)
{
	autoquery q =
		query_start(db, "INSERT OR REPLACE INTO list VALUES(?, ?, ?)");

	query_text(&q, key);
	query_blob(&q, bytes, len);
	query_int(&q, clock_wall());
	return query_run(&q);
}

int list_put(struct store *s, const char *key, const void *bytes, size_t len)
{
	autodb(s->db);
	int r;

	if (len > BODY_MAX || strlen(key) > LIST_KEY_MAX)
		return -EFBIG;
	r = put_list(s->db, key, bytes, len);
	if (r == -ENOSPC && drop_oldest(s->db) == 0)
		r = put_list(s->db, key, bytes, len);
	return row_result(r);
}

int list_get(struct store *s, const char *key, int64_t *ret_wall, char **ret,
	     size_t *ret_len)
{
	autodb(s->db);
	autoquery q =
		query_start(s->db, "SELECT wall, body FROM list WHERE key=?");
	const void *bytes;
	int64_t wall;
	size_t len;
	char *body;
	int r;

	query_text(&q, key);
	r = query_next(&q);
	if (r <= 0)
		return r < 0 ? row_result(r) : -ENOENT;
	if (query_get_int(&q, 0, 0, INT64_MAX, &wall) < 0 ||
	    query_get_blob(&q, 1, BODY_MAX, &bytes, &len) < 0)
		return -ENOENT;
	body = copy_bytes(bytes, len);
	if (!body)
		return -ENOMEM;
	if (ret_wall)
		*ret_wall = wall;
	*ret = body;
	*ret_len = len;
	return 0;
}
