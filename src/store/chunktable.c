/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of open blobs: one object per digest.  Joining and leaving it is
 * under `opening`, so loading and the removal of an empty file see nobody
 * else; finding what is in it needs the lock only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/descriptor.h"
#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"

/* More blocks than chunks by this much: left over from a crash. */
#define SLACK_BYTES ((uint64_t)1 << 20)

static void free_chunks(struct chunks *c)
{
	if (!c)
		return;
	chunkmap_done(&c->map);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}
AUTOPTR_DEFINE(chunks, free_chunks)

/* 0 or 1 object, with a user more; -EBADMSG: of another size. */
static int find_open(struct store *s, const struct digest *d,
		     uint64_t size_bytes, struct chunks **ret)
{
	autolock(&s->lock);
	struct chunks *c = map_findn(s->table, d, sizeof(*d));

	if (!c)
		return 0;
	if (c->size_bytes != size_bytes)
		return -EBADMSG;
	chunk_ref(c);
	*ret = c;
	return 1;
}

/* Everything that the file cannot have goes from the map. */
static void fit_to_file(struct chunks *c, uint64_t file_size)
{
	struct chunkmap *m = &c->map;
	size_t i = (size_t)(file_size / CHUNK_BYTES);

	while ((i = chunkmap_next(m, CHUNK_PRESENT, i)) < c->count) {
		if ((uint64_t)i * CHUNK_BYTES + chunkmap_len(m, i) > file_size)
			chunkmap_remove(m, i);
		i++;
	}
	/* Only with its last chunk hidden would it become verified. */
	if (!chunkmap_verified(m) && chunkmap_missing(m) == 0)
		chunkmap_remove(m, c->count - 1);
	for (i = 0; (i = chunkmap_next(m, CHUNK_PRESENT, i)) < c->count; i++)
		c->file_bytes += chunkmap_len(m, i);
	for (i = 0; (i = chunkmap_next(m, CHUNK_SAVED, i)) < c->count; i++)
		c->dirty |= !chunkmap_test(m, CHUNK_PRESENT, i);
}

/* Data that was written but not recorded before a crash. */
static void punch_absent(struct chunks *c, uint64_t file_size)
{
	uint64_t from, to;
	size_t i = 0, next;

	if (c->map.present == 0) {
		/* Then only its space is not accounted for. */
		(void)!ftruncate(c->fd, 0);
		return;
	}
	for (; i < c->count; i = next + 1) {
		next = chunkmap_next(&c->map, CHUNK_PRESENT, i);
		from = (uint64_t)i * CHUNK_BYTES;
		to = (uint64_t)next * CHUNK_BYTES;
		to = to < file_size ? to : file_size;
		if (next > i && from < to)
			(void)blobfile_punch(c->fd, from, to - from);
	}
}

/* With the map loaded: opens the file and compares. */
static int load_file(struct chunks *c)
{
	struct stat st = {0};
	int r = -ENOENT;

	if (c->map.present > 0)
		r = blobfile_open(c->s, &c->digest, false, &c->fd,
				  &c->read_only);
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		return r;
	if (r == 0 && fstat(c->fd, &st) < 0)
		return -errno;
	fit_to_file(c, r == 0 ? (uint64_t)st.st_size : 0);
	if (r == 0 && !c->read_only &&
	    (uint64_t)st.st_blocks * 512 > c->file_bytes + SLACK_BYTES)
		punch_absent(c, (uint64_t)st.st_size);
	return 0;
}

/* What another size says is believed only if that was verified. */
static int check_size(struct chunks *c, const struct blob_row *row)
{
	struct chunkmap other;
	bool verified;
	int r;

	r = chunkmap_init(&other, &c->digest, row->size_bytes);
	if (r < 0)
		return r;
	r = blob_load(c->s, row, &other);
	verified = r == 0 && chunkmap_verified(&other);
	chunkmap_done(&other);
	if (verified)
		return -EBADMSG;
	blobfile_remove(c->s, &c->digest);
	(void)blob_forget(c->s, &c->digest);
	return 0;
}

static int load(struct chunks *c, uint64_t *ret_row_bytes)
{
	struct blob_row row = {0};
	int r = blob_get(c->s, &c->digest, &row);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*ret_row_bytes = row.bytes;
	if (row.size_bytes != c->size_bytes)
		return check_size(c, &row);
	c->used = c->used_saved = row.used;
	r = blob_load(c->s, &row, &c->map);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		chunkmap_reset(&c->map, true);
	return load_file(c);
}

static void check_empty(struct chunks *c)
{
	struct digest empty;

	if (c->size_bytes > 0)
		return;
	digest_of(c->digest.alg, "", 0, &empty);
	c->failed = !digest_equal(&empty, &c->digest);
}

static int new_chunks(struct store *s, const struct digest *d,
		      uint64_t size_bytes, struct chunks **ret,
		      uint64_t *ret_row_bytes)
{
	autoptr(chunks) c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->s = s;
	c->fd = -1;
	c->digest = *d;
	c->size_bytes = size_bytes;
	c->hidden = HIDDEN_NONE;
	list_init(&c->node);
	list_init(&c->claims);
	r = chunkmap_init(&c->map, d, size_bytes);
	if (r < 0)
		return r;
	c->count = c->map.chunks;
	check_empty(c);
	r = load(c, ret_row_bytes);
	if (r < 0)
		return r;
	*ret = steal(&c);
	return 0;
}

static int open_new(struct store *s, const struct digest *d,
		    uint64_t size_bytes, struct chunks **ret)
{
	autolock(&s->opening);
	autoptr(chunks) c = NULL;
	uint64_t row_bytes = 0;
	int r = find_open(s, d, size_bytes, ret);

	if (r != 0)
		return r < 0 ? r : 0;
	r = new_chunks(s, d, size_bytes, &c, &row_bytes);
	if (r < 0)
		return r;
	autolock(&s->lock);
	r = map_putn(s->table, d, sizeof(*d), c, NULL);
	if (r < 0)
		return r;
	s->bytes = s->bytes > row_bytes ? s->bytes - row_bytes : 0;
	s->bytes += c->file_bytes;
	list_push_back(&s->open, &c->node);
	c->refs = 1;
	if (c->used == 0)
		c->used = c->used_saved = ++s->tick;
	*ret = steal(&c);
	return 0;
}

static bool leave_table(struct chunks *c);

/* What somebody once took for its size, was not proved, and nobody uses. */
static struct chunks *take_doubtful(struct store *s, const struct digest *d)
{
	autolock(&s->lock);
	struct chunks *c = map_findn(s->table, d, sizeof(*d));

	if (!c || c->refs > 0 || chunkmap_verified(&c->map))
		return NULL;
	chunk_ref(c);
	return c;
}

static void dismiss_doubtful(struct store *s, const struct digest *d)
{
	autolock(&s->saving);
	struct chunks *c = take_doubtful(s, d);

	if (!c)
		return;
	(void)save_one(c); /* so that its bytes are counted once */
	(void)leave_table(c);
}

int chunks_open(struct store *s, const struct digest *d, uint64_t size_bytes,
		struct chunks **ret)
{
	int r;

	if (size_bytes > DESCRIPTOR_SIZE_MAX)
		return -EFBIG;
	r = find_open(s, d, size_bytes, ret);
	if (r == -EBADMSG) {
		dismiss_doubtful(s, d);
		r = find_open(s, d, size_bytes, ret);
	}
	if (r != 0)
		return r < 0 ? r : 0;
	r = open_new(s, d, size_bytes, ret);
	if (store_relieve(s, r))
		r = open_new(s, d, size_bytes, ret);
	return r == -EMFILE ? -ENFILE : r;
}

void chunks_close(struct chunks *c)
{
	struct store *s;
	bool many;

	if (!c)
		return;
	s = c->s;
	pthread_mutex_lock(&s->lock);
	chunk_unref(c);
	many = s->idle > s->idle_max;
	pthread_mutex_unlock(&s->lock);
	/* If someone is saving now, they go the next time. */
	if (many && pthread_mutex_trylock(&s->saving) == 0) {
		chunk_release_idle(s, 0, false);
		pthread_mutex_unlock(&s->saving);
	}
}

/* An idle one that may go, with a user (us) again. */
static struct chunks *take_idle(struct store *s, uint64_t before_ms, bool all)
{
	autolock(&s->lock);

	list_for(node, &s->open) {
		struct chunks *c = container_of(node, struct chunks, node);

		if (c->refs > 0 ||
		    !(all || s->idle > s->idle_max || c->idle_ms < before_ms))
			continue;
		chunk_ref(c);
		return c;
	}
	return NULL;
}

/* False: somebody uses it again. */
static bool leave_table(struct chunks *c)
{
	struct store *s = c->s;

	autolock(&s->opening);
	pthread_mutex_lock(&s->lock);
	if (c->refs > 1) {
		chunk_unref(c);
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	list_del(&c->node);
	map_removen(s->table, &c->digest, sizeof(c->digest));
	spill_remove_all(&s->spill, c);
	pthread_mutex_unlock(&s->lock);
	if (c->fd >= 0 && c->file_bytes == 0)
		blobfile_remove(s, &c->digest);
	free_chunks(c);
	return true;
}

void chunk_release_idle(struct store *s, uint64_t before_ms, bool all)
{
	struct chunks *c;
	bool dirty;

	while ((c = take_idle(s, before_ms, all))) {
		pthread_mutex_lock(&s->lock);
		dirty = c->dirty || c->used != c->used_saved;
		pthread_mutex_unlock(&s->lock);
		/* What cannot be saved is fetched again some day. */
		if (dirty)
			(void)save_one(c);
		if (!leave_table(c))
			break;
	}
}
