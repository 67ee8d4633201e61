/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the journal.  Damage within a page passes SQLite unseen, so an
 * image carries a sum over all that says what to publish where, a document one
 * over its place and type besides its digest.  A row that does not fit is
 * reported and left alone: what it meant is not guessed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "oci/mediatype.h"
#include "store/journal_private.h"
#include "store/rowutil.h"
#include "util/auto.h"
#include "util/hash.h"
#include "util/log.h"

#define SUM_BYTES 16
#define DOCUMENT_MAX ((size_t)8 << 20)
#define IMAGES_MAX 10000
#define SESSIONS_MAX 10000
#define TEXT_MAX 1024
#define URL_BYTES_MAX 16384
#define ERRNO_MAX 4095

/* --- sums --- */

static void sum_bytes(struct hash *h, const void *bytes, size_t len)
{
	uint64_t n = len;

	hash_update(h, &n, sizeof(n));
	hash_update(h, bytes, len);
}

static void sum_text(struct hash *h, const char *text)
{
	sum_bytes(h, text, strlen(text));
}

static void sum_digest(struct hash *h, const struct digest *d)
{
	uint8_t key[ROW_KEY_MAX];

	sum_bytes(h, key, row_key(d, key));
}

static void image_sum(const struct journal_image *i, uint8_t out[HASH_MAX])
{
	const int64_t before = i->before;
	struct hash h;

	hash_init(&h, HASH_SHA256);
	sum_bytes(&h, &i->id, sizeof(i->id));
	sum_text(&h, i->host);
	sum_text(&h, i->repository);
	sum_text(&h, i->name);
	sum_digest(&h, &i->root);
	sum_text(&h, i->mediatype);
	sum_bytes(&h, &i->wall, sizeof(i->wall));
	sum_bytes(&h, &before, sizeof(before));
	if (i->before == JOURNAL_BEFORE_IMAGE)
		sum_digest(&h, &i->was);
	hash_final(&h, out);
}

static void document_sum(int64_t id, const struct journal_document *d,
			 uint8_t out[HASH_MAX])
{
	struct hash h;

	hash_init(&h, HASH_SHA256);
	sum_bytes(&h, &id, sizeof(id));
	sum_digest(&h, &d->digest);
	sum_text(&h, d->mediatype);
	hash_final(&h, out);
}

static int check_sum(const struct query *q, int col,
		     const uint8_t want[HASH_MAX])
{
	const void *sum;
	size_t len;
	int r = query_get_blob(q, col, SUM_BYTES, &sum, &len);

	if (r < 0)
		return r;
	return len == SUM_BYTES && memcmp(sum, want, len) == 0 ? 0 : -EBADMSG;
}

/* --- where an image was copied from --- */

static void origin_sum(int64_t id, const char *host, const char *repository,
		       uint8_t out[HASH_MAX])
{
	struct hash h;

	hash_init(&h, HASH_SHA256);
	sum_bytes(&h, &id, sizeof(id));
	sum_text(&h, host);
	sum_text(&h, repository);
	hash_final(&h, out);
}

static int add_origin(struct db *db, const struct journal_image *i)
{
	autoquery q = query_start(db, "INSERT INTO origin VALUES(?, ?, ?, ?)");
	uint8_t sum[HASH_MAX];

	origin_sum(i->id, i->from_host, i->from_repository, sum);
	query_int(&q, i->id);
	query_text(&q, i->from_host);
	query_text(&q, i->from_repository);
	query_blob(&q, sum, SUM_BYTES);
	return query_run(&q);
}

/* --- adding --- */

static bool fits(const char *text, size_t max)
{
	return strnlen(text, max + 1) <= max;
}

static bool document_fits(const struct journal_document *d)
{
	return d->len <= DOCUMENT_MAX && fits(d->mediatype, MEDIATYPE_MAX);
}

static int count_images(struct db *db)
{
	autoquery q = query_start(db, "SELECT count(*) FROM image");
	int64_t n = 0;
	int r = query_next(&q);

	if (r > 0)
		r = query_get_int(&q, 0, 0, INT64_MAX, &n);
	return r == 0 && n >= IMAGES_MAX ? -ENOSPC : r;
}

/* No more than it may be when it is read. */
static void bind_text(struct query *q, const char *text,
		      char kept[TEXT_MAX + 1])
{
	snprintf(kept, TEXT_MAX + 1, "%s", text ? text : "");
	query_text(q, kept);
}

static int add_image(struct db *db, const struct journal_image *i)
{
	autoquery q = query_start(db, "INSERT INTO image VALUES"
				      "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	uint8_t key[ROW_KEY_MAX], was[ROW_KEY_MAX], sum[HASH_MAX];
	char text[TEXT_MAX + 1];

	image_sum(i, sum);
	query_int(&q, i->id);
	query_text(&q, i->host);
	query_text(&q, i->repository);
	query_text(&q, i->name);
	query_blob(&q, key, row_key(&i->root, key));
	query_text(&q, i->mediatype);
	query_int(&q, i->wall);
	query_int(&q, i->before);
	if (i->before == JOURNAL_BEFORE_IMAGE)
		query_blob(&q, was, row_key(&i->was, was));
	else
		query_blob(&q, "", 0);
	query_int(&q, i->error);
	bind_text(&q, i->text, text);
	query_blob(&q, sum, SUM_BYTES);
	return query_run(&q);
}

static int add_document(struct db *db, int64_t id,
			const struct journal_document *d)
{
	autoquery q = query_start(db, "INSERT OR REPLACE INTO document "
				      "VALUES(?, ?, ?, ?, ?)");
	uint8_t key[ROW_KEY_MAX], sum[HASH_MAX];

	document_sum(id, d, sum);
	query_int(&q, id);
	query_blob(&q, key, row_key(&d->digest, key));
	query_text(&q, d->mediatype);
	query_blob(&q, d->bytes, d->len);
	query_blob(&q, sum, SUM_BYTES);
	return query_run(&q);
}

int journal_add(struct journal *j, const struct journal_image *image,
		const struct journal_document *docs, size_t docs_len,
		int64_t *ret_id)
{
	struct journal_image i = *image;
	int r;

	if (!j->db)
		return -EROFS;
	if (!fits(i.host, ROW_NAME_MAX) || !fits(i.repository, ROW_NAME_MAX) ||
	    !fits(i.name, ROW_NAME_MAX) || !fits(i.mediatype, MEDIATYPE_MAX) ||
	    (i.from_host && (!fits(i.from_host, ROW_NAME_MAX) ||
			     !fits(i.from_repository, ROW_NAME_MAX))))
		return -EFBIG;
	for (size_t k = 0; k < docs_len; k++)
		if (!document_fits(&docs[k]))
			return -EFBIG;
	autodb(j->db);
	r = journal_begin(j);
	if (r < 0)
		return r;
	i.id = j->next_image++;
	r = count_images(j->db);
	if (r == 0)
		r = add_image(j->db, &i);
	if (r == 0 && i.from_host)
		r = add_origin(j->db, &i);
	for (size_t k = 0; r == 0 && k < docs_len; k++)
		r = add_document(j->db, i.id, &docs[k]);
	r = journal_end(j, r);
	if (r == 0)
		*ret_id = i.id;
	return r;
}

/* -ENOENT: no such image. */
static int find_image(struct db *db, int64_t id)
{
	autoquery q = query_start(db, "SELECT 1 FROM image WHERE id=?");
	int r;

	query_int(&q, id);
	r = query_next(&q);
	return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

int journal_add_document(struct journal *j, int64_t id,
			 const struct journal_document *doc)
{
	int r;

	if (!j->db)
		return -EROFS;
	if (!document_fits(doc))
		return -EFBIG;
	autodb(j->db);
	r = journal_begin(j);
	if (r < 0)
		return r;
	r = find_image(j->db, id);
	if (r == 0)
		r = add_document(j->db, id, doc);
	return journal_end(j, r);
}

/* --- changing --- */

static int set_note(struct db *db, int64_t id, int error, const char *text)
{
	autoquery q =
		query_start(db, "UPDATE image SET error=?, text=? WHERE id=?");
	char kept[TEXT_MAX + 1];

	query_int(&q, error);
	bind_text(&q, text, kept);
	query_int(&q, id);
	return query_run(&q);
}

int journal_note(struct journal *j, int64_t id, int error, const char *text)
{
	int r;

	if (!j->db)
		return -EROFS;
	if (error < 0 || error > ERRNO_MAX)
		return -EINVAL;
	autodb(j->db);
	r = journal_begin(j);
	return r < 0 ? r : journal_end(j, set_note(j->db, id, error, text));
}

static int delete_row(struct db *db, const char *sql, int64_t id)
{
	autoquery q = query_start(db, sql);

	query_int(&q, id);
	return query_run(&q);
}

int journal_remove(struct journal *j, int64_t id)
{
	int r;

	if (!j->db)
		return -EROFS;
	autodb(j->db);
	r = journal_begin(j);
	if (r < 0)
		return r;
	r = delete_row(j->db, "DELETE FROM image WHERE id=?", id);
	if (r == 0)
		r = delete_row(j->db, "DELETE FROM document WHERE image=?", id);
	if (r == 0)
		r = delete_row(j->db, "DELETE FROM origin WHERE image=?", id);
	return journal_end(j, r);
}

/* --- reading --- */

static int get_image(const struct query *q, struct journal_image *ret)
{
	uint8_t sum[HASH_MAX];
	int64_t error = 0, before = 0;
	int r = query_get_int(q, 0, 1, INT64_MAX, &ret->id);

	if (r == 0)
		r = query_get_text(q, 1, ROW_NAME_MAX, &ret->host);
	if (r == 0)
		r = query_get_text(q, 2, ROW_NAME_MAX, &ret->repository);
	if (r == 0)
		r = query_get_text(q, 3, ROW_NAME_MAX, &ret->name);
	if (r == 0)
		r = row_get_digest(q, 4, &ret->root);
	if (r == 0)
		r = query_get_text(q, 5, MEDIATYPE_MAX, &ret->mediatype);
	if (r == 0)
		r = query_get_int(q, 6, INT64_MIN, INT64_MAX, &ret->wall);
	if (r == 0)
		r = query_get_int(q, 7, JOURNAL_BEFORE_UNKNOWN,
				  JOURNAL_BEFORE_IMAGE, &before);
	if (r == 0 && before == JOURNAL_BEFORE_IMAGE)
		r = row_get_digest(q, 8, &ret->was);
	if (r == 0)
		r = query_get_int(q, 9, 0, ERRNO_MAX, &error);
	if (r == 0)
		r = query_get_text(q, 10, TEXT_MAX, &ret->text);
	if (r < 0)
		return r;
	ret->error = (int)error;
	ret->before = (enum journal_before)before;
	image_sum(ret, sum);
	return check_sum(q, 11, sum);
}

/* One that is damaged costs the referrers, which can be copied by hand. */
static void get_origin(const struct query *q, struct journal_image *i)
{
	const char *host, *repository;
	uint8_t sum[HASH_MAX];

	if (query_get_text(q, 12, ROW_NAME_MAX, &host) < 0 ||
	    query_get_text(q, 13, ROW_NAME_MAX, &repository) < 0)
		return;
	origin_sum(i->id, host, repository, sum);
	if (check_sum(q, 14, sum) < 0)
		return;
	i->from_host = host;
	i->from_repository = repository;
}

int journal_images(struct journal *j, journal_each_image each, void *arg)
{
	size_t damaged = 0;
	int r;

	if (!j->db)
		return -EROFS;
	autodb(j->db);
	autoquery q = query_start(
		j->db, "SELECT id, image.host, image.repository, name, root, "
		       "mediatype, wall, before, was, error, text, image.sum, "
		       "origin.host, origin.repository, origin.sum FROM image "
		       "LEFT JOIN origin ON origin.image = id ORDER BY id");

	while ((r = query_next(&q)) > 0) {
		struct journal_image i = {.id = 0};

		r = get_image(&q, &i);
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			log_error("journal: pending image %lld is damaged: it "
				  "is left alone",
				  (long long)i.id);
			damaged++;
			continue;
		}
		get_origin(&q, &i);
		r = each(arg, &i);
		if (r != 0)
			return r;
	}
	return r == 0 && damaged ? -EBADMSG : r;
}

static int get_document(const struct query *q, int64_t id,
			struct journal_document *ret)
{
	uint8_t sum[HASH_MAX];
	struct digest is;
	int r = row_get_digest(q, 0, &ret->digest);

	if (r == 0)
		r = query_get_text(q, 1, MEDIATYPE_MAX, &ret->mediatype);
	if (r == 0)
		r = query_get_blob(q, 2, DOCUMENT_MAX, &ret->bytes, &ret->len);
	if (r < 0)
		return r;
	document_sum(id, ret, sum);
	r = check_sum(q, 3, sum);
	if (r < 0)
		return r;
	digest_of(ret->digest.alg, ret->bytes, ret->len, &is);
	return digest_equal(&is, &ret->digest) ? 0 : -EBADMSG;
}

int journal_documents(struct journal *j, int64_t id, journal_each_document each,
		      void *arg)
{
	size_t damaged = 0;
	int r;

	if (!j->db)
		return -EROFS;
	autodb(j->db);
	autoquery q = query_start(
		j->db, "SELECT digest, mediatype, body, sum FROM document "
		       "WHERE image=? ORDER BY digest");

	query_int(&q, id);
	while ((r = query_next(&q)) > 0) {
		struct journal_document d = {.len = 0};

		r = get_document(&q, id, &d);
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			log_error("journal: a document of pending image %lld "
				  "is damaged",
				  (long long)id);
			damaged++;
			continue;
		}
		r = each(arg, &d);
		if (r != 0)
			return r;
	}
	return r == 0 && damaged ? -EBADMSG : r;
}

/* --- sessions: may be lost with the power, for they expire by themselves ---
 */

static int add_session(struct db *db, int64_t id, const char *host,
		       const char *repository, const char *url)
{
	autoquery q = query_start(db, "INSERT INTO session VALUES(?, ?, ?, ?)");

	query_int(&q, id);
	query_text(&q, host);
	query_text(&q, repository);
	query_text(&q, url);
	return query_run(&q);
}

int journal_session_open(struct journal *j, const char *host,
			 const char *repository, const char *url,
			 int64_t *ret_id)
{
	int64_t id;
	int r;

	if (!j->db)
		return -EROFS;
	if (!fits(host, ROW_NAME_MAX) || !fits(repository, ROW_NAME_MAX) ||
	    !fits(url, URL_BYTES_MAX))
		return -EFBIG;
	autodb(j->db);
	db_set_durable(j->db, false);
	r = journal_begin(j);
	if (r == 0) {
		id = j->next_session++;
		r = add_session(j->db, id, host, repository, url);
		/* The oldest are not worth more room than that. */
		if (r == 0)
			r = delete_row(j->db,
				       "DELETE FROM session WHERE id <= ?",
				       id - SESSIONS_MAX);
		r = journal_end_loosely(j, r);
		if (r == 0)
			*ret_id = id;
	}
	db_set_durable(j->db, true);
	return r;
}

static int delete_sessions(struct journal *j, const char *sql, int64_t id)
{
	int r;

	db_set_durable(j->db, false);
	r = journal_begin(j);
	if (r == 0)
		r = journal_end_loosely(j, delete_row(j->db, sql, id));
	db_set_durable(j->db, true);
	return r;
}

int journal_session_over(struct journal *j, int64_t id)
{
	if (!j->db)
		return -EROFS;
	autodb(j->db);
	return delete_sessions(j, "DELETE FROM session WHERE id=?", id);
}

static int each_session(struct journal *j, journal_each_session each, void *arg)
{
	autoquery q = query_start(
		j->db, "SELECT host, repository, url FROM session WHERE id < ? "
		       "ORDER BY id");
	const char *host, *repository, *url;
	int r;

	query_int(&q, j->first_session);
	while ((r = query_next(&q)) > 0) {
		/* What it was does not matter: it expires. */
		if (query_get_text(&q, 0, ROW_NAME_MAX, &host) < 0 ||
		    query_get_text(&q, 1, ROW_NAME_MAX, &repository) < 0 ||
		    query_get_text(&q, 2, URL_BYTES_MAX, &url) < 0)
			continue;
		r = each(arg, host, repository, url);
		if (r != 0)
			return r;
	}
	return r;
}

int journal_take_sessions(struct journal *j, journal_each_session each,
			  void *arg)
{
	int r;

	if (!j->db)
		return -EROFS;
	autodb(j->db);
	r = each_session(j, each, arg);
	return r ? r
		 : delete_sessions(j, "DELETE FROM session WHERE id < ?",
				   j->first_session);
}
