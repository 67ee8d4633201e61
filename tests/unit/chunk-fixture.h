/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For tests of blobs in a store: a cache directory, a blob of a few chunks.
 * pwrite and fdatasync are replaced, to fail when told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/chunk.h"
#include "store/state.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

#define MIB ((uint64_t)1 << 20)
#define N 7 /* chunks of the usual blob, the last one short */
#define SIZE (6 * CHUNK_BYTES + 1234)

static atomic_int fail_pwrite;	  /* so many chunk writes: ENOSPC */
static atomic_bool fail_datasync; /* EIO */

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (len == CHUNK_BYTES && atomic_load(&fail_pwrite) > 0) {
		atomic_fetch_sub(&fail_pwrite, 1);
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, buf, len, off);
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	if (atomic_load(&fail_datasync)) {
		errno = EIO;
		return -1;
	}
	/* No test loses power: not waiting for the disk makes them fast. */
	return 0;
}

struct fixture {
	char dir[64];
	struct store_config cfg;
	struct store *s;
	uint8_t *bytes; /* of the usual blob */
	struct digest d;
	char path[320]; /* of its file */
};

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(seed >> 56);
	}
}

static void blob_path(struct fixture *f, const struct digest *d, char *out,
		      size_t n)
{
	char hex[129];

	digest_hex(d, hex);
	snprintf(out, n, "%s/c/blobs/%s/%.2s/%s", f->dir, digest_alg_name(d),
		 hex, hex);
}

static void open_store(struct fixture *f)
{
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
}

static void reopen(struct fixture *f)
{
	store_close(f->s);
	open_store(f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	static char sub[80];

	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/test-chunk-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(sub, sizeof(sub), "%s/c", f->dir);
	f->cfg = (struct store_config){.dir = sub, .size_bytes = 1024 * MIB};
	f->bytes = malloc(SIZE);
	fill(f->bytes, SIZE, 1);
	digest_of(HASH_SHA256, f->bytes, SIZE, &f->d);
	blob_path(f, &f->d, f->path, sizeof(f->path));
	log_set_level(LOG_LEVEL_ERROR);
	open_store(f);
	*state = f;
	return 0;
}

static void remove_tree(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->s);
	remove_tree(f->dir);
	free(f->bytes);
	free(f);
	return 0;
}

static size_t chunk_len(uint64_t size, size_t i)
{
	uint64_t left = size - (uint64_t)i * CHUNK_BYTES;

	return left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
}

static int put(struct chunks *c, const uint8_t *bytes, size_t i)
{
	return chunks_put(c, i, bytes + i * CHUNK_BYTES,
			  chunk_len(chunks_size(c), i));
}

static struct chunks *open_blob(struct fixture *f)
{
	struct chunks *c = NULL;

	assert_int_equal(chunks_open(f->s, &f->d, SIZE, &c), 0);
	return c;
}

/* Everything can be read, and is right. */
static void check_all(struct chunks *c, const uint8_t *bytes, bool strict)
{
	uint64_t size = chunks_size(c);
	uint8_t *buf = malloc(size + 10);

	for (size_t i = 0; i < chunks_count(c); i++)
		assert_true(chunks_ready(c, i, strict));
	assert_int_equal(chunks_read(c, buf, size + 10, 0), (ssize_t)size);
	assert_memory_equal(buf, bytes, size);
	assert_int_equal(chunks_read(c, buf, 10, size), 0);
	if (size > 5) {
		assert_int_equal(chunks_read(c, buf, 10, size - 5), 5);
		assert_memory_equal(buf, bytes + size - 5, 5);
	}
	free(buf);
}

/* A new attempt. */
static void put_all(struct chunks *c, const uint8_t *bytes)
{
	chunks_clear_failed(c);
	for (size_t i = 0; i < chunks_count(c); i++)
		assert_int_equal(put(c, bytes, i), 0);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), chunks_count(c));
}

__attribute__((unused)) static void flip(const char *path, off_t off)
{
	int fd = open(path, O_RDWR);
	uint8_t b;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, off), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, off), 1);
	close(fd);
}
