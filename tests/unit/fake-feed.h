/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Feeds that are a buffer each, and how many there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "push/feed.h"

/* Protected by lock; so are the feeds' counts and bytes. */
static struct {
	pthread_mutex_t lock;
	unsigned alive;
} feeds = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct feed {
	unsigned refs;
	char *bytes;
	size_t len;
	bool ended, aborted;
};

int feed_new(struct store *s, struct feed **ret)
{
	(void)s;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->refs = 1;
	(*ret)->bytes = calloc(1, 1);
	pthread_mutex_lock(&feeds.lock);
	feeds.alive++;
	pthread_mutex_unlock(&feeds.lock);
	return 0;
}

struct feed *feed_ref(struct feed *f)
{
	pthread_mutex_lock(&feeds.lock);
	f->refs++;
	pthread_mutex_unlock(&feeds.lock);
	return f;
}

void feed_unref(struct feed *f)
{
	bool last;

	if (!f)
		return;
	pthread_mutex_lock(&feeds.lock);
	last = --f->refs == 0;
	feeds.alive -= last;
	pthread_mutex_unlock(&feeds.lock);
	if (!last)
		return;
	free(f->bytes);
	free(f);
}

void feed_hash_by(struct feed *f, enum hash_alg alg)
{
	(void)alg;
	assert_int_equal(f->len, 0);
}

int feed_write(struct feed *f, const void *buf, size_t len, uint64_t off)
{
	size_t end = (size_t)off + len;

	pthread_mutex_lock(&feeds.lock);
	if (end > f->len) {
		f->bytes = realloc(f->bytes, end + 1);
		memset(f->bytes + f->len, 0, end + 1 - f->len);
		f->len = end;
	}
	memcpy(f->bytes + off, buf, len);
	f->ended = false;
	pthread_mutex_unlock(&feeds.lock);
	return 0;
}

int feed_truncate(struct feed *f, uint64_t size)
{
	if (size > f->len)
		return feed_write(f, "", 0, size);
	f->len = (size_t)size;
	f->ended = false;
	return 0;
}

void feed_end(struct feed *f)
{
	f->ended = true;
}

void feed_abort(struct feed *f)
{
	f->aborted = true;
}

int feed_digest(struct feed *f, enum hash_alg alg, struct digest *ret)
{
	digest_of(alg, f->bytes, f->len, ret);
	return 0;
}

uint64_t feed_size(const struct feed *f)
{
	uint64_t size;

	pthread_mutex_lock(&feeds.lock);
	size = f->len;
	pthread_mutex_unlock(&feeds.lock);
	return size;
}

ssize_t feed_read(struct feed *f, void *buf, size_t len, uint64_t off)
{
	if (off >= f->len)
		return 0;
	if (len > f->len - off)
		len = f->len - (size_t)off;
	memcpy(buf, f->bytes + off, len);
	return (ssize_t)len;
}

int feed_read_whole(struct feed *f, size_t max, char **ret, size_t *ret_len)
{
	if (f->len > max)
		return -EFBIG;
	*ret = calloc(1, f->len + 1);
	memcpy(*ret, f->bytes, f->len);
	*ret_len = f->len;
	return 0;
}
