/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: a check on first use, then straight from the file.  Nothing is held
 * while in the file; if any chunk of the blob was lost meanwhile (`drops`
 * moved) what was read may be a hole, and the read looks again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define READ_TRIES 4

/* On first use in this run: does it fit its states, is it there at all? */
static bool check_again(struct chunks *c, size_t i,
			const struct chunk_proof *proof)
{
	autofree void *buf = malloc(CHUNK_BYTES);
	bool fits;
	char name[24];

	if (!buf)
		return false;
	fits = chunk_load(c, i, buf) == 0 && chunk_proof_fits(c, i, proof, buf);
	autolock(&c->s->lock);
	if (!chunkmap_test(&c->map, CHUNK_PRESENT, i))
		return false;
	if (fits || chunkmap_test(&c->map, CHUNK_CHECKED, i)) {
		chunkmap_set(&c->map, CHUNK_CHECKED, i);
		return true;
	}
	chunk_lost(c, i);
	digest_short(&c->digest, name);
	log_warning("%s: chunk %zu is damaged in the cache: dropped", name, i);
	return false;
}

bool chunks_ready(struct chunks *c, size_t i, bool strict)
{
	struct chunk_proof proof;

	if (i >= c->count)
		return false;
	pthread_mutex_lock(&c->s->lock);
	if (!chunkmap_test(&c->map, CHUNK_PRESENT, i) ||
	    (strict && !chunkmap_verified(&c->map))) {
		pthread_mutex_unlock(&c->s->lock);
		return false;
	}
	if (chunkmap_test(&c->map, CHUNK_CHECKED, i)) {
		pthread_mutex_unlock(&c->s->lock);
		return true;
	}
	chunk_proof_get(c, i, &proof);
	pthread_mutex_unlock(&c->s->lock);
	return check_again(c, i, &proof);
}

struct read {
	struct chunks *c;
	char *buf;
	size_t len;
	uint64_t off;
};

/* The part of a read that lies in chunk i. */
static void clip(const struct read *rd, size_t i, size_t *ret_at,
		 size_t *ret_from, size_t *ret_len)
{
	uint64_t first = (uint64_t)i * CHUNK_BYTES, end = first + CHUNK_BYTES;
	uint64_t a = rd->off > first ? rd->off : first;
	uint64_t b = rd->off + rd->len < end ? rd->off + rd->len : end;

	*ret_at = (size_t)(a - rd->off);
	*ret_from = (size_t)(a - first);
	*ret_len = (size_t)(b - a);
}

/* Lock held: are all chunks readable?  What is in memory is copied. */
static int read_begin(const struct read *rd, bool *ret_file,
		      uint64_t *ret_drops)
{
	struct chunks *c = rd->c;
	size_t last = (size_t)((rd->off + rd->len - 1) / CHUNK_BYTES);
	uint64_t now = clock_ms();
	bool file = false;

	for (size_t i = (size_t)(rd->off / CHUNK_BYTES); i <= last; i++) {
		if (!chunkmap_test(&c->map, CHUNK_PRESENT, i) ||
		    !chunkmap_test(&c->map, CHUNK_CHECKED, i))
			return -ENODATA;
		file |= !chunkmap_test(&c->map, CHUNK_SPILLED, i);
		chunkmap_touch(&c->map, i, now);
		chunkmap_set(&c->map, CHUNK_REFERENCED, i);
	}
	chunk_use(c);
	*ret_file = file;
	*ret_drops = c->drops;
	return 0;
}

/* Lock held: over what came from the file. */
static int read_spilled(const struct read *rd)
{
	size_t last = (size_t)((rd->off + rd->len - 1) / CHUNK_BYTES);
	struct chunks *c = rd->c;
	size_t at, from, len;
	const char *bytes;

	for (size_t i = (size_t)(rd->off / CHUNK_BYTES); i <= last; i++) {
		if (!chunkmap_test(&c->map, CHUNK_SPILLED, i))
			continue;
		bytes = spill_find(&c->s->spill, c, i);
		if (!bytes)
			return -ENODATA;
		clip(rd, i, &at, &from, &len);
		memcpy(rd->buf + at, bytes + from, len);
	}
	return 0;
}

/* The file is shorter than its map says: somebody cut it. */
static void drop_behind(struct chunks *c, uint64_t size)
{
	size_t i = (size_t)(size / CHUNK_BYTES);

	autolock(&c->s->lock);
	while ((i = chunkmap_next(&c->map, CHUNK_PRESENT, i)) < c->count) {
		if (!chunkmap_test(&c->map, CHUNK_SPILLED, i) &&
		    (uint64_t)i * CHUNK_BYTES + chunkmap_len(&c->map, i) > size)
			chunk_lost(c, i);
		i++;
	}
}

/* Bytes of the file; -EAGAIN: look again. */
static int read_file(const struct read *rd, uint64_t drops)
{
	struct chunks *c = rd->c;
	ssize_t n = fd_pread_all(c->fd, rd->buf, rd->len, rd->off);
	size_t i = (size_t)(rd->off / CHUNK_BYTES);

	if (n == (ssize_t)rd->len)
		return 0;
	if (n >= 0) {
		/* Those behind may be in memory only. */
		memset(rd->buf + n, 0, rd->len - (size_t)n);
		drop_behind(c, rd->off + (uint64_t)n);
		return 0;
	}
	log_error("cache: read: %s", strerror((int)-n));
	autolock(&c->s->lock);
	if (c->drops == drops && !chunkmap_test(&c->map, CHUNK_SPILLED, i))
		chunk_lost(c, i);
	return -EAGAIN;
}

ssize_t chunks_read(struct chunks *c, void *buf, size_t len, uint64_t off)
{
	struct read rd = {.c = c, .buf = buf, .off = off};
	uint64_t drops = 0;
	bool file = false;
	int r;

	if (off >= c->size_bytes || len == 0)
		return 0;
	rd.len =
		len < c->size_bytes - off ? len : (size_t)(c->size_bytes - off);
	for (int try = 0; try < READ_TRIES; try++) {
		pthread_mutex_lock(&c->s->lock);
		r = read_begin(&rd, &file, &drops);
		pthread_mutex_unlock(&c->s->lock);
		if (r < 0)
			return r;
		if (file && read_file(&rd, drops) < 0)
			continue;
		autolock(&c->s->lock);
		if (c->drops != drops)
			continue;
		r = read_spilled(&rd);
		return r < 0 ? r : (ssize_t)rd.len;
	}
	return -ENODATA;
}
