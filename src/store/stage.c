/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage may be told that there is no room only by the write that would need
 * it: room is reserved (fallocate) before a byte is written, somewhat ahead of
 * a file that grows.  What counts against the limit of all stages is their
 * size, holes included: so much is to be sent, and may yet be written.
 *
 * What of a large file is not to be read again, unless an upload breaks, is
 * written back and leaves the page cache: so its pages serve for what comes
 * next, and 10 GiB that pass through push nobody else's files out of memory.
 *
 *   0 <= size;  0 <= reserved;  on disk there is room for [0, reserved)
 *   0 <= dropped <= flushed: page cache of [RESIDENT, dropped) was given back
 *   good --(a write or truncation failed half-way)--> bad, for ever
 */
#include "store/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define SPOOL "spool"
#define STAGE_SIZE_MAX ((uint64_t)1 << 50)
#define AHEAD_MIN ((uint64_t)4 << 10)
#define AHEAD_MAX ((uint64_t)16 << 20)
#define NAME_TRIES 100
/* Files up to this size need no disk at all if they are gone soon. */
#define RESIDENT_BYTES ((uint64_t)32 << 20)
#define FLUSH_STEP_BYTES ((uint64_t)8 << 20)
/* So far behind, the disk should have it. */
#define DROP_LAG_BYTES ((uint64_t)16 << 20)
#define WARN_EVERY_MS 60000

struct stage {
	struct store *s;
	int fd;
	atomic_bool bad;
	_Atomic uint64_t size_bytes;
	/* The writer's. */
	uint64_t reserved;
	bool no_reserve; /* the file system cannot: room is only looked for */
	/* Of who has read most of it; two at once do no harm. */
	_Atomic uint64_t flushed, dropped;
};

/* At most once a minute for all stages. */
static void warn(struct store *s, const char *what, const char *why)
{
	uint64_t now = clock_ms();
	bool quiet;

	pthread_mutex_lock(&s->lock);
	quiet = s->stage_warned_ms && now - s->stage_warned_ms < WARN_EVERY_MS;
	if (!quiet)
		s->stage_warned_ms = now;
	pthread_mutex_unlock(&s->lock);
	if (!quiet)
		log_warning("cache %s: %s: %s", s->dir, what, why);
}

/* --- the file --- */

static int open_spool(struct store *s)
{
	int fd = fd_openat(s->dirfd, SPOOL, O_RDONLY | O_DIRECTORY, 0);

	if (fd != -ENOENT)
		return fd;
	/* On a directory that was deleted, this is ENOENT too. */
	if (mkdirat(s->dirfd, SPOOL, 0700) < 0 && errno != EEXIST)
		return -errno;
	return fd_openat(s->dirfd, SPOOL, O_RDONLY | O_DIRECTORY, 0);
}

/* Where unnamed files cannot be had: a name that lives for a moment. */
static int open_named(int spool)
{
	static _Atomic unsigned int serial;
	char name[32];
	int fd = -1;

	for (int i = 0; i < NAME_TRIES; i++) {
		snprintf(name, sizeof(name), "%d-%u", (int)getpid(),
			 atomic_fetch_add(&serial, 1));
		fd = fd_openat(spool, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd != -EEXIST)
			break;
	}
	if (fd >= 0)
		(void)unlinkat(spool, name, 0);
	return fd;
}

static int open_file(struct store *s)
{
	autoclose int spool = open_spool(s);
	int fd;

	if (spool == -ENOENT || spool == -ESTALE) {
		pthread_mutex_lock(&s->maintenance);
		storedir_revive(s);
		pthread_mutex_unlock(&s->maintenance);
		spool = open_spool(s);
	}
	if (spool < 0)
		return spool;
	fd = fd_openat(spool, ".", O_RDWR | O_TMPFILE | O_EXCL, 0600);
	/* EISDIR: a kernel that does not know the flag. */
	if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL)
		fd = open_named(spool);
	return fd;
}

/* Why there is no file, in the terms of stage.h. */
static int open_error(struct store *s, int r)
{
	warn(s, "no file to write to", strerror(-r));
	switch (r) {
	case -ENOMEM:
	case -EMFILE:
	case -ENOSPC:
		return r;
	case -ENFILE:
		return -EMFILE;
	case -EDQUOT:
		return -ENOSPC;
	case -EROFS:
	case -EACCES:
	case -EPERM:
		return -EROFS;
	default:
		return -EIO;
	}
}

int stage_new(struct store *s, struct stage **ret)
{
	struct stage *st;
	int fd;

	if (s->dirfd < 0)
		return -EROFS;
	st = calloc(1, sizeof(*st));
	if (!st)
		return -ENOMEM;
	fd = open_file(s);
	if (fd < 0) {
		free(st);
		return open_error(s, fd);
	}
	st->s = s;
	st->fd = fd;
	*ret = st;
	autolock(&s->lock);
	s->stages++;
	return 0;
}

void stage_free(struct stage *st)
{
	struct store *s;

	if (!st)
		return;
	s = st->s;
	close(st->fd);
	pthread_mutex_lock(&s->lock);
	s->stages--;
	s->stage_bytes -= atomic_load(&st->size_bytes);
	pthread_mutex_unlock(&s->lock);
	free(st);
}

void stage_sweep(struct store *s)
{
	autoclose int fd = -1;
	struct dirent *e;
	DIR *dir;

	if (s->dirfd < 0)
		return;
	fd = fd_openat(s->dirfd, SPOOL, O_RDONLY | O_DIRECTORY, 0);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return;
	while ((e = readdir(dir)))
		(void)unlinkat(fd, e->d_name, 0);
	(void)steal_fd(&fd); /* it is the DIR's */
	closedir(dir);
}

/* --- room --- */

/* Counts the bytes from now on, unless all would be too many. */
static int charge(struct stage *st, uint64_t more)
{
	struct store *s = st->s;
	bool full;

	pthread_mutex_lock(&s->lock);
	full = s->spool_bytes && (s->stage_bytes >= s->spool_bytes ||
				  more > s->spool_bytes - s->stage_bytes);
	if (!full)
		s->stage_bytes += more;
	pthread_mutex_unlock(&s->lock);
	if (full)
		warn(s, "no room to write to", "spool_size is used up");
	return full ? -ENOSPC : 0;
}

static void discharge(struct stage *st, uint64_t less)
{
	autolock(&st->s->lock);
	st->s->stage_bytes -= less;
}

static bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

static int allocate(struct stage *st, uint64_t end)
{
	if (st->no_reserve)
		return 0;
	while (fallocate(st->fd, FALLOC_FL_KEEP_SIZE, (off_t)st->reserved,
			 (off_t)(end - st->reserved)) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOSYS) {
			st->no_reserve = true;
			return 0;
		}
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* As much again as there is, within limits. */
static uint64_t reserve_ahead(const struct stage *st)
{
	if (st->no_reserve)
		return 0;
	if (st->reserved < AHEAD_MIN)
		return AHEAD_MIN;
	return st->reserved < AHEAD_MAX ? st->reserved : AHEAD_MAX;
}

/* One at a time, or two would take the same room. */
static int reserve(struct stage *st, uint64_t end)
{
	struct store *s = st->s;
	uint64_t want = end + reserve_ahead(st), now = clock_ms();
	int r;

	autolock(&s->staging);
	if (!evict_has_room(s, want - st->reserved))
		want = end;
	if (!evict_for(s, want - st->reserved, now)) {
		warn(s, "no room to write to",
		     "less than the free space to be left");
		return -ENOSPC;
	}
	r = allocate(st, want);
	if (is_full(r) && want > end) {
		want = end;
		r = allocate(st, want);
	}
	if (is_full(r) && evict_disk_full(s, now))
		r = allocate(st, want);
	if (r == 0)
		st->reserved = want;
	else
		warn(s, "no room to write to", strerror(-r));
	return is_full(r) ? -ENOSPC : r;
}

/* --- bytes --- */

static int spoil(struct stage *st, int r)
{
	if (!atomic_exchange(&st->bad, true))
		log_warning("cache %s: a file being written is lost: %s",
			    st->s->dir, strerror(-r));
	return -EIO;
}

static int set_size(struct stage *st, uint64_t size_bytes)
{
	while (ftruncate(st->fd, (off_t)size_bytes) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	/* Behind the end nothing stays reserved. */
	if (st->reserved > size_bytes)
		st->reserved = size_bytes;
	return 0;
}

/* A file that grew is as it was before; one that was written over is not. */
static int put(struct stage *st, const void *buf, size_t len, uint64_t off)
{
	uint64_t size = stage_size(st);
	int r = fd_pwrite_all(st->fd, buf, len, off);

	if (is_full(r) && evict_disk_full(st->s, clock_ms()))
		r = fd_pwrite_all(st->fd, buf, len, off);
	if (r == 0)
		return 0;
	if ((!is_full(r) && r != -EFBIG) || off < size ||
	    set_size(st, size) < 0)
		return spoil(st, r);
	warn(st->s, "no room to write to", strerror(-r));
	return is_full(r) ? -ENOSPC : r;
}

int stage_write(struct stage *st, const void *buf, size_t len, uint64_t off)
{
	uint64_t size = stage_size(st), end, more;
	int r = 0;

	if (atomic_load(&st->bad))
		return -EIO;
	if (off > STAGE_SIZE_MAX || len > STAGE_SIZE_MAX - off)
		return -EFBIG;
	if (len == 0)
		return 0;
	end = off + len;
	more = end > size ? end - size : 0;
	if (more > 0)
		r = charge(st, more);
	if (r < 0)
		return r;
	if (end > st->reserved)
		r = reserve(st, end);
	if (r == 0)
		r = put(st, buf, len, off);
	else if (r != -ENOSPC && r != -EFBIG)
		r = spoil(st, r);
	if (r < 0)
		discharge(st, more);
	else if (more > 0)
		atomic_store(&st->size_bytes, end);
	return r;
}

int stage_truncate(struct stage *st, uint64_t size_bytes)
{
	uint64_t size = stage_size(st);
	int r = 0;

	if (atomic_load(&st->bad))
		return -EIO;
	if (size_bytes > STAGE_SIZE_MAX)
		return -EFBIG;
	if (size_bytes > size)
		r = charge(st, size_bytes - size);
	if (r < 0)
		return r;
	/* Readers are told first that there is less. */
	if (size_bytes < size)
		atomic_store(&st->size_bytes, size_bytes);
	r = set_size(st, size_bytes);
	if (r < 0) {
		atomic_store(&st->size_bytes, size);
		if (size_bytes > size)
			discharge(st, size_bytes - size);
		if (is_full(r))
			return -ENOSPC;
		return r == -EFBIG ? r : spoil(st, r);
	}
	atomic_store(&st->size_bytes, size_bytes);
	if (size_bytes < size)
		discharge(st, size - size_bytes);
	return 0;
}

ssize_t stage_read(struct stage *st, void *buf, size_t len, uint64_t off)
{
	uint64_t size = stage_size(st);
	ssize_t n;

	if (atomic_load(&st->bad))
		return -EIO;
	if (off >= size)
		return 0;
	if (len > size - off)
		len = (size_t)(size - off);
	n = fd_pread_all(st->fd, buf, len, off);
	/* Shorter only if it was truncated meanwhile. */
	return n < 0 ? spoil(st, (int)n) : n;
}

/* Neither waits, and neither can fail in a way that matters: what is not on
 * disk yet stays in memory. */
void stage_pass(struct stage *st, uint64_t off)
{
	uint64_t from = atomic_load(&st->flushed), to;

	if (off < RESIDENT_BYTES || off - FLUSH_STEP_BYTES < from)
		return;
	atomic_store(&st->flushed, off);
	(void)sync_file_range(st->fd, (off_t)from, (off_t)(off - from),
			      SYNC_FILE_RANGE_WRITE);
	from = atomic_load(&st->dropped);
	to = off - DROP_LAG_BYTES;
	atomic_store(&st->dropped, to);
	(void)posix_fadvise(st->fd, (off_t)from, (off_t)(to - from),
			    POSIX_FADV_DONTNEED);
}

uint64_t stage_size(const struct stage *st)
{
	return atomic_load(&st->size_bytes);
}

void stage_stats(struct store *s, struct stage_stats *ret)
{
	autolock(&s->lock);
	*ret = (struct stage_stats){.stages = s->stages,
				    .bytes = s->stage_bytes,
				    .size_bytes = s->spool_bytes};
}
