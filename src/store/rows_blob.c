/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs: what chunks are in the file, and the hash's states.  Damage here
 * would make wrong bytes look right, so every map and states row carries a
 * sum over itself and its place; a row that does not fit is as good as absent.
 */
#include <errno.h>
#include <string.h>

#include "store/rowutil.h"
#include "store/state.h"

#define SUM_BYTES 16
#define BITS_BYTES (SEGMENT_CHUNKS / 8)
#define STATES_BYTES_MAX (SEGMENT_CHUNKS * HASH_STATE_MAX)

enum row_kind { ROW_MAP = 1, ROW_STATES };

static void put_u64(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static void row_sum(const struct digest *d, enum row_kind kind, size_t segment,
		    const void *bytes, size_t len, uint8_t out[HASH_MAX])
{
	uint8_t place[2 + 8];
	struct hash h;

	place[0] = (uint8_t)kind;
	place[1] = (uint8_t)d->alg;
	put_u64(place + 2, segment);
	hash_init(&h, HASH_SHA256);
	hash_update(&h, d->raw, sizeof(d->raw));
	hash_update(&h, place, sizeof(place));
	hash_update(&h, bytes, len);
	hash_final(&h, out);
}

/* Segment number and sound bytes of the current row: segment, bytes, sum. */
static int get_row(const struct query *q, const struct chunkmap *m,
		   enum row_kind kind, size_t *ret_segment, const uint8_t **ret,
		   size_t *ret_len)
{
	size_t max = kind == ROW_MAP ? BITS_BYTES : STATES_BYTES_MAX;
	const void *bytes = NULL, *sum = NULL;
	size_t len = 0, sum_len = 0;
	uint8_t want[HASH_MAX];
	int64_t segment = 0;
	int r;

	r = query_get_int(q, 0, 0, (int64_t)m->segments_len - 1, &segment);
	if (r == 0)
		r = query_get_blob(q, 1, max, &bytes, &len);
	if (r == 0)
		r = query_get_blob(q, 2, SUM_BYTES, &sum, &sum_len);
	if (r < 0)
		return r;
	row_sum(&m->digest, kind, (size_t)segment, bytes, len, want);
	if (sum_len != SUM_BYTES || memcmp(sum, want, SUM_BYTES) != 0)
		return -EBADMSG;
	*ret_segment = (size_t)segment;
	*ret = bytes;
	*ret_len = len;
	return 0;
}

int blob_get(struct store *s, const struct digest *d, struct blob_row *ret)
{
	struct blob_row row = {0};
	int64_t size, bytes, used;
	uint8_t key[ROW_KEY_MAX];
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT id, size, bytes, used FROM blob WHERE digest=?");
	int r;

	query_blob(&q, key, row_key(d, key));
	r = query_next(&q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (query_get_int(&q, 0, INT64_MIN, INT64_MAX, &row.id) < 0 ||
	    query_get_int(&q, 1, 0, ROW_SIZE_MAX, &size) < 0 ||
	    query_get_int(&q, 2, 0, size, &bytes) < 0 ||
	    query_get_int(&q, 3, 0, INT64_MAX, &used) < 0)
		return -ENOENT;
	row.size_bytes = (uint64_t)size;
	row.bytes = (uint64_t)bytes;
	row.used = (uint64_t)used;
	*ret = row;
	return 0;
}

/* The frontier is where the sound, whole rows of states end. */
static int load_states(struct store *s, int64_t id, struct chunkmap *m)
{
	autoquery q =
		query_start(s->db, "SELECT segment, states, sum FROM states "
				   "WHERE blob=? ORDER BY segment");
	size_t size = hash_size(m->digest.alg), known = 0, segment, len;
	const uint8_t *bytes;
	int r;

	query_int(&q, id);
	while ((r = query_next(&q)) > 0) {
		size_t max = m->chunks + 1 - known;

		if (get_row(&q, m, ROW_STATES, &segment, &bytes, &len) < 0 ||
		    segment * SEGMENT_CHUNKS != known || len % size != 0)
			break;
		max = (max < SEGMENT_CHUNKS ? max : SEGMENT_CHUNKS) * size;
		if (len > max || len == 0)
			break;
		r = chunkmap_prepare(m, known, true);
		if (r < 0)
			return r;
		memcpy(m->segments[segment]->states, bytes, len);
		m->segments[segment]->states_saved = len / size;
		known += len / size;
		if (len / size < SEGMENT_CHUNKS)
			break;
	}
	m->hashed = known > 0 ? known - 1 : 0;
	return r < 0 ? r : 0;
}

/* The last state of a verified blob is its digest. */
static bool states_plausible(const struct chunkmap *m)
{
	const uint8_t *last;

	if (m->hashed < m->chunks)
		return true;
	last = chunkmap_state(m, m->chunks);
	return last &&
	       memcmp(last, m->digest.raw, hash_size(m->digest.alg)) == 0;
}

static int load_bits(struct store *s, int64_t id, struct chunkmap *m)
{
	autoquery q = query_start(
		s->db, "SELECT segment, bits, sum FROM map WHERE blob=?");
	const uint8_t *bytes;
	size_t segment, len;
	int r;

	query_int(&q, id);
	while ((r = query_next(&q)) > 0) {
		size_t first;

		if (get_row(&q, m, ROW_MAP, &segment, &bytes, &len) < 0 ||
		    len != BITS_BYTES)
			continue;
		first = segment * SEGMENT_CHUNKS;
		r = chunkmap_prepare(m, first, false);
		if (r < 0)
			return r;
		for (size_t k = 0; k < SEGMENT_CHUNKS; k++) {
			if (first + k >= m->chunks ||
			    !(bytes[k / 8] >> (k % 8) & 1))
				continue;
			chunkmap_add(m, first + k);
			chunkmap_clear(m, CHUNK_CHECKED, first + k);
			chunkmap_set(m, CHUNK_SAVED, first + k);
		}
	}
	return r;
}

int blob_load(struct store *s, const struct blob_row *row, struct chunkmap *m)
{
	autodb(s->db);
	int r = load_states(s, row->id, m);

	if (r == 0 && !states_plausible(m))
		chunkmap_reset(m, true);
	if (r == 0)
		r = load_bits(s, row->id, m);
	return r;
}

static int save_row(struct store *s, const struct blob_change *b,
		    int64_t *ret_id)
{
	static const char sql[] =
		"INSERT INTO blob(digest, size, bytes, verified, used) "
		"VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(digest) DO UPDATE SET "
		"size=?2, bytes=?3, verified=?4, used=?5 RETURNING id";
	autoquery q = query_start(s->db, sql);
	uint8_t key[ROW_KEY_MAX];
	int r;

	query_blob(&q, key, row_key(b->digest, key));
	query_int(&q, (int64_t)b->size_bytes);
	query_int(&q, (int64_t)b->bytes);
	query_int(&q, b->verified);
	query_int(&q, (int64_t)b->used);
	r = query_next(&q);
	if (r > 0)
		r = query_get_int(&q, 0, INT64_MIN, INT64_MAX, ret_id);
	else if (r == 0)
		r = -EIO;
	if (r == 0)
		r = query_next(&q);
	return r;
}

static int save_part(struct store *s, const char *sql, int64_t id,
		     const struct blob_change *b, enum row_kind kind, size_t n,
		     const void *bytes, size_t len)
{
	autoquery q = query_start(s->db, sql);
	uint8_t sum[HASH_MAX];

	row_sum(b->digest, kind, n, bytes, len, sum);
	query_int(&q, id);
	query_int(&q, (int64_t)n);
	query_blob(&q, bytes, len);
	query_blob(&q, sum, SUM_BYTES);
	return query_run(&q);
}

static int save_segment(struct store *s, int64_t id,
			const struct blob_change *b,
			const struct segment_change *g)
{
	uint8_t bits[BITS_BYTES];
	int r = 0;

	for (size_t w = 0; w < SEGMENT_WORDS; w++)
		put_u64(bits + 8 * w, g->bits[w]);
	if (g->has_bits)
		r = save_part(s, "INSERT OR REPLACE INTO map VALUES(?,?,?,?)",
			      id, b, ROW_MAP, g->n, bits, sizeof(bits));
	if (r == 0 && g->states)
		r = save_part(
			s, "INSERT OR REPLACE INTO states VALUES(?,?,?,?)", id,
			b, ROW_STATES, g->n, g->states, g->states_len);
	return r;
}

static int run_with_id(struct store *s, const char *sql, int64_t id)
{
	autoquery q = query_start(s->db, sql);

	query_int(&q, id);
	return query_run(&q);
}

static int delete_maps(struct store *s, int64_t id)
{
	return run_with_id(s, "DELETE FROM map WHERE blob=?", id);
}

static int delete_states(struct store *s, int64_t id)
{
	return run_with_id(s, "DELETE FROM states WHERE blob=?", id);
}

static int save_rows(struct store *s, const struct blob_change *b)
{
	int64_t id = 0;
	int r = save_row(s, b, &id);

	if (r == 0 && b->maps_lost)
		r = delete_maps(s, id);
	if (r == 0 && b->states_lost)
		r = delete_states(s, id);
	for (size_t i = 0; r == 0 && i < b->segments_len; i++)
		r = save_segment(s, id, b, &b->segments[i]);
	return r;
}

int blob_save(struct store *s, const struct blob_change *change)
{
	autodb(s->db);
	int r = db_begin(s->db);

	if (r < 0)
		return r;
	return db_end(s->db, save_rows(s, change));
}

void blob_change_done(struct blob_change *change)
{
	for (size_t i = 0; i < change->segments_len; i++)
		free(change->segments[i].states);
	free(change->segments);
	change->segments = NULL;
	change->segments_len = 0;
}

int blob_each_like(struct store *s, const struct digest *d, size_t n,
		   int (*each)(void *arg, const struct digest *d), void *arg)
{
	uint8_t from[ROW_KEY_MAX], to[ROW_KEY_MAX];
	size_t len = row_key(d, from);
	struct digest found;
	int r;

	memcpy(to, from, 1 + n);
	memset(to + 1 + n, 0xff, len - 1 - n);
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT digest FROM blob WHERE digest BETWEEN ? AND ?");

	query_blob(&q, from, 1 + n);
	query_blob(&q, to, len);
	while ((r = query_next(&q)) > 0) {
		if (row_get_digest(&q, 0, &found) < 0)
			continue;
		r = each(arg, &found);
		if (r != 0)
			return r;
	}
	return r;
}

/* Without data; and without the row, if it is to be forgotten. */
static int clear_blob(struct store *s, const struct digest *d, bool forget)
{
	struct blob_row row;
	int r = blob_get(s, d, &row);

	if (r < 0)
		return r;
	autodb(s->db);
	r = db_begin(s->db);
	if (r < 0)
		return r;
	r = delete_maps(s, row.id);
	if (r == 0 && forget)
		r = delete_states(s, row.id);
	if (r == 0)
		r = run_with_id(s,
				forget ? "DELETE FROM blob WHERE id=?"
				       : "UPDATE blob SET bytes=0 WHERE id=?",
				row.id);
	return db_end(s->db, r);
}

int blob_forget(struct store *s, const struct digest *d)
{
	return clear_blob(s, d, true);
}

int blob_empty(struct store *s, const struct digest *d)
{
	return clear_blob(s, d, false);
}

int blob_oldest(struct store *s, uint64_t since, size_t max,
		struct digest *ret_digests, struct blob_row *ret_rows,
		size_t *ret_len)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT digest, size, bytes, used FROM blob "
		       "WHERE bytes>0 AND used>=? ORDER BY used LIMIT ?");
	int64_t size, bytes, used;
	size_t n = 0;
	int r;

	query_int(&q, (int64_t)since);
	query_int(&q, (int64_t)max);
	while (n < max && (r = query_next(&q)) > 0) {
		if (row_get_digest(&q, 0, &ret_digests[n]) < 0 ||
		    query_get_int(&q, 1, 0, ROW_SIZE_MAX, &size) < 0 ||
		    query_get_int(&q, 2, 0, size, &bytes) < 0 ||
		    query_get_int(&q, 3, 0, INT64_MAX, &used) < 0)
			continue;
		ret_rows[n++] = (struct blob_row){
			.size_bytes = (uint64_t)size,
			.bytes = (uint64_t)bytes,
			.used = (uint64_t)used,
		};
	}
	*ret_len = n;
	return query_end(&q);
}

int blob_totals(struct store *s, uint64_t *ret_bytes, uint64_t *ret_used)
{
	autodb(s->db);
	autoquery q = query_start(s->db, "SELECT size, bytes, used FROM blob");
	uint64_t sum = 0, newest = 0;
	int64_t size, bytes, used;

	while (query_next(&q) > 0) {
		if (query_get_int(&q, 0, 0, ROW_SIZE_MAX, &size) < 0 ||
		    query_get_int(&q, 1, 0, size, &bytes) < 0 ||
		    query_get_int(&q, 2, 0, INT64_MAX / 2, &used) < 0)
			continue;
		sum += (uint64_t)bytes;
		if ((uint64_t)used > newest)
			newest = (uint64_t)used;
	}
	*ret_bytes = sum;
	*ret_used = newest;
	return query_end(&q);
}
