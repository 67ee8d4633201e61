/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A blob that is bytes in memory and does as it is told, in place of the one
 * that comes through the network; a store; and what compresses.  Include first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "codec-fixture.h"

#include "content/blob.h"
#include "content/span.h"
#include "content/spool.h"
#include "store/chunk.h"
#include "store/tree.h"
#include "util/clock.h"
#include "util/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define UNUSED __attribute__((unused))

struct blob {
	struct bytes bytes;
	struct digest digest;
	atomic_uint reads;
	atomic_uint rejected;	/* told that its bytes are wrong */
	atomic_ullong got;	/* bytes read */
	atomic_bool hold;	/* nothing comes while it is set */
	atomic_int failure;	/* instead of bytes */
	atomic_ullong spoil_at; /* this byte comes wrong; or SIZE_MAX */
	unsigned delay_ms;
};

static inline struct blob *blob_make(struct bytes bytes)
{
	struct blob *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->bytes = bytes;
	digest_of(HASH_SHA256, bytes.v, bytes.len, &b->digest);
	atomic_init(&b->spoil_at, SIZE_MAX);
	return b;
}

static inline void blob_unmake(struct blob *b)
{
	bytes_done(&b->bytes);
	free(b);
}

uint64_t blob_size(const struct blob *b)
{
	return b->bytes.len;
}

void blob_fault(const struct blob *b, int error, const char *text)
{
}

void blob_reject(struct blob *b)
{
	b->rejected++;
}

const struct digest *blob_digest(const struct blob *b)
{
	return &b->digest;
}

ssize_t blob_read(struct blob *b, struct ahead *a, void *buf, size_t len,
		  uint64_t off, struct wait *w)
{
	uint64_t spoil = atomic_load(&b->spoil_at);
	int r = wait_check(w);

	assert_null(a);
	atomic_fetch_add(&b->reads, 1);
	while (r == 0 && atomic_load(&b->hold))
		r = wait_sleep(w, 1);
	if (r == 0 && b->delay_ms)
		r = wait_sleep(w, b->delay_ms);
	if (r < 0)
		return r;
	if (atomic_load(&b->failure))
		return atomic_load(&b->failure);
	if (off >= b->bytes.len)
		return 0;
	if (len > b->bytes.len - off)
		len = b->bytes.len - (size_t)off;
	memcpy(buf, b->bytes.v + off, len);
	if (spoil >= off && spoil < off + len)
		((uint8_t *)buf)[spoil - off] ^= 0x20;
	atomic_fetch_add(&b->got, len);
	return (ssize_t)len;
}

/* --- compressing --- */

static inline void add_gzip(struct bytes *b, const uint8_t *v, size_t len)
{
	z_stream z = {0};
	size_t room;

	assert_int_equal(
		deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
		Z_OK);
	room = deflateBound(&z, len);
	b->v = realloc(b->v, b->len + room);
	assert_non_null(b->v);
	z.next_in = (uint8_t *)(uintptr_t)v;
	z.avail_in = (uInt)len;
	z.next_out = b->v + b->len;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	b->len += room - z.avail_out;
	deflateEnd(&z);
}

static inline void add_zstd(struct bytes *b, const uint8_t *v, size_t len)
{
	size_t room = ZSTD_compressBound(len), n;

	b->v = realloc(b->v, b->len + room);
	assert_non_null(b->v);
	n = ZSTD_compress(b->v + b->len, room, v, len, 1);
	assert_false(ZSTD_isError(n));
	b->len += n;
}

/* As members or frames of `each` bytes. */
static inline struct bytes compress_all(enum codec c, const struct bytes *plain,
					size_t each)
{
	struct bytes b = {.v = NULL};

	for (size_t at = 0; at < plain->len; at += each) {
		size_t n = plain->len - at < each ? plain->len - at : each;

		if (c == CODEC_GZIP)
			add_gzip(&b, plain->v + at, n);
		else if (c == CODEC_ZSTD)
			add_zstd(&b, plain->v + at, n);
		else
			bytes_append(&b, plain->v + at, n);
	}
	return b;
}

/* --- a store --- */

/* No test loses power: not waiting for the disk makes them fast. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

struct shelf {
	char dir[64];
	struct store *store;
	struct spans *spans;
};

static inline void shelf_open(struct shelf *s, bool disk, uint64_t span_bytes)
{
	struct store_config cfg = {.size_bytes = (uint64_t)1 << 30};
	static char sub[80];

	log_set_level(LOG_LEVEL_ERROR);
	if (!s->dir[0]) {
		snprintf(s->dir, sizeof(s->dir), "/tmp/test-span-XXXXXX");
		assert_non_null(mkdtemp(s->dir));
	}
	snprintf(sub, sizeof(sub), "%s/c", s->dir);
	cfg.dir = disk ? sub : NULL;
	assert_int_equal(store_open(&cfg, &s->store, NULL), 0);
	assert_int_equal(spans_new(span_bytes, &s->spans), 0);
}

static inline void shelf_close(struct shelf *s)
{
	spans_free(s->spans);
	store_close(s->store);
}

static inline void shelf_remove(struct shelf *s)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", s->dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	s->dir[0] = '\0';
}
