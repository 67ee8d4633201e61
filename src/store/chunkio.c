/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one chunk, in or out.  A write that fails is no failure of the
 * put: the chunk goes to memory, and one line a minute says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define LOAD_TRIES 4
#define WARN_EVERY_MS 60000

enum load_from { LOAD_NONE, LOAD_DONE, LOAD_FILE };

struct load {
	int fd;
	uint64_t drops;
	bool checked;
};

/* Where chunk i is; from memory it is copied at once. */
static enum load_from load_begin(struct chunks *c, size_t i, void *buf,
				 struct load *ret)
{
	const void *bytes;

	autolock(&c->s->lock);
	/* The hidden chunk is there for the hash only. */
	if (!chunkmap_test(&c->map, CHUNK_PRESENT, i) && c->hidden != i)
		return LOAD_NONE;
	if (chunkmap_test(&c->map, CHUNK_SPILLED, i)) {
		bytes = spill_find(&c->s->spill, c, i);
		if (bytes)
			memcpy(buf, bytes, chunkmap_len(&c->map, i));
		return bytes ? LOAD_DONE : LOAD_NONE;
	}
	if (c->hidden == i && c->hidden_spilled)
		return LOAD_NONE;
	ret->fd = c->fd;
	ret->drops = c->drops;
	ret->checked =
		c->hidden == i || chunkmap_test(&c->map, CHUNK_CHECKED, i);
	return c->fd >= 0 ? LOAD_FILE : LOAD_NONE;
}

int chunk_load(struct chunks *c, size_t i, void *buf)
{
	uint64_t off = (uint64_t)i * CHUNK_BYTES;
	size_t len = chunkmap_len(&c->map, i);
	struct load at = {.fd = -1};

	for (int try = 0; try < LOAD_TRIES; try++) {
		enum load_from from = load_begin(c, i, buf, &at);

		if (from != LOAD_FILE)
			return from == LOAD_DONE ? 0 : -ENODATA;
		if (fd_pread_all(at.fd, buf, len, off) != (ssize_t)len)
			return -ENODATA;
		/* After a power failure the map may be older than a hole. */
		if (!at.checked && blobfile_has_hole(at.fd, off, len))
			return -ENODATA;
		autolock(&c->s->lock);
		if (c->drops == at.drops)
			return 0;
	}
	return -ENODATA;
}

/* The blob's file, made if there is none. */
static int get_file(struct chunks *c, int *ret_fd)
{
	struct store *s = c->s;
	bool read_only = false;
	int fd = -1, r;

	pthread_mutex_lock(&s->lock);
	fd = c->fd;
	read_only = c->read_only;
	pthread_mutex_unlock(&s->lock);
	if (fd < 0) {
		r = blobfile_open(s, &c->digest, true, &fd, &read_only);
		if (store_relieve(s, r))
			r = blobfile_open(s, &c->digest, true, &fd, &read_only);
		if (r < 0)
			return r;
		autolock(&s->lock);
		if (c->fd >= 0) {
			close(fd);
			fd = c->fd;
		}
		c->fd = fd;
		c->read_only = read_only;
	}
	*ret_fd = fd;
	return read_only ? -EROFS : 0;
}

static int write_chunk(struct chunks *c, size_t i, const void *bytes,
		       size_t len)
{
	int fd = -1;
	int r = get_file(c, &fd);

	if (r == -ENOENT || r == -ESTALE) {
		pthread_mutex_lock(&c->s->maintenance);
		storedir_revive(c->s);
		pthread_mutex_unlock(&c->s->maintenance);
		r = get_file(c, &fd);
	}
	if (r < 0)
		return r;
	return fd_pwrite_all(fd, bytes, len, (uint64_t)i * CHUNK_BYTES);
}

static void warn(struct store *s, int r, uint64_t now_ms)
{
	bool quiet;

	pthread_mutex_lock(&s->lock);
	quiet = s->warned_ms && now_ms - s->warned_ms < WARN_EVERY_MS;
	if (!quiet)
		s->warned_ms = now_ms;
	pthread_mutex_unlock(&s->lock);
	if (!quiet)
		log_warning("cache %s cannot be written: %s; going on in "
			    "memory",
			    s->dir, strerror(-r));
}

int chunk_store(struct chunks *c, size_t i, const void *bytes, size_t len,
		void **ret_spill)
{
	struct store *s = c->s;
	uint64_t now = clock_ms();
	void *copy;
	int r;

	if (s->dirfd >= 0 && evict_make_room(s, now)) {
		r = write_chunk(c, i, bytes, len);
		if ((r == -ENOSPC || r == -EDQUOT) && evict_disk_full(s, now))
			r = write_chunk(c, i, bytes, len);
		if (r == 0)
			return 0;
		warn(s, r, now);
	}
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, bytes, len);
	*ret_spill = copy;
	return 0;
}
