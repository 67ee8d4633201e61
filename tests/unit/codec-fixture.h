/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Data to compress, and decoding it in pieces of any size with all its points
 * collected.  Include after <cmocka.h>.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layer/codec.h"
#include "util/auto.h"

#define KIB ((size_t)1024)
#define MIB ((size_t)1048576)

struct bytes {
	uint8_t *v;
	size_t len, cap;
};

struct mark {
	struct codec_point p;
	uint8_t *window;
	size_t window_len;
};

struct decoded {
	struct bytes out;
	struct mark *marks;
	size_t marks_len;
	int r;
	char error[160];
};

static inline uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static inline void bytes_append(struct bytes *b, const void *v, size_t len)
{
	if (!b->v || b->len + len > b->cap) {
		b->cap = 2 * (b->len + len) + 64;
		b->v = realloc(b->v, b->cap);
		assert_non_null(b->v);
	}
	if (len)
		memcpy(b->v + b->len, v, len);
	b->len += len;
}

static inline void bytes_done(struct bytes *b)
{
	free(b->v);
	*b = (struct bytes){.v = NULL};
}

/* Words, repeats from afar, zeros and noise, as layers have them. */
static inline struct bytes sample(size_t len, uint32_t seed)
{
	struct bytes b = {.v = malloc(len + 1), .len = len, .cap = len};
	size_t at = 0;

	assert_non_null(b.v);
	while (at < len) {
		size_t n = 1 + rnd(&seed) % 3000, kind = rnd(&seed) % 5;
		size_t back = 1 + rnd(&seed) % 32768;

		if (n > len - at)
			n = len - at;
		for (size_t i = 0; i < n; i++, at++) {
			if (kind == 0)
				b.v[at] = (uint8_t)rnd(&seed);
			else if (kind == 1)
				b.v[at] = 0;
			else if (kind <= 3 && at >= back)
				b.v[at] = b.v[at - back];
			else
				b.v[at] = "the quick\nbrown fox jumps over "
					  "lazy/dog 0123.so"[rnd(&seed) % 46];
		}
	}
	return b;
}

static inline void decoded_done(struct decoded *d)
{
	for (size_t i = 0; i < d->marks_len; i++)
		free(d->marks[i].window);
	free(d->marks);
	bytes_done(&d->out);
	*d = (struct decoded){.r = 0};
}

static inline void add_mark(struct decoded *ret, const struct decoder *d)
{
	struct mark m = {.window = malloc(CODEC_WINDOW_MAX)};

	assert_non_null(m.window);
	decoder_point(d, &m.p, m.window, &m.window_len);
	ret->marks = realloc(ret->marks, (ret->marks_len + 1) * sizeof(m));
	assert_non_null(ret->marks);
	ret->marks[ret->marks_len++] = m;
}

/* The next piece, as a copy so that reading too far is seen. */
static inline uint8_t *next_piece(const uint8_t *in, size_t len, size_t *pos,
				  size_t feed, struct decoder_io *io)
{
	size_t n = len - *pos < feed ? len - *pos : feed;
	uint8_t *piece = malloc(n ? n : 1);

	assert_non_null(piece);
	if (n)
		memcpy(piece, in + *pos, n);
	*pos += n;
	io->in = piece;
	io->in_len = n;
	io->in_last = *pos == len;
	return piece;
}

/* Runs to the end or to an error, in pieces of feed_in and feed_out bytes. */
static inline void drain(struct decoder *d, const uint8_t *in, size_t len,
			 size_t feed_in, size_t feed_out, struct decoded *ret)
{
	uint8_t *out = malloc(feed_out), *piece = NULL;
	struct decoder_io io = {.in_len = 0};
	size_t pos = 0, idle = 0;

	assert_non_null(out);
	*ret = (struct decoded){.r = 0};
	do {
		size_t before;

		if (!piece || (io.in_len == 0 && !io.in_last)) {
			free(piece);
			piece = next_piece(in, len, &pos, feed_in, &io);
		}
		before = io.in_len;
		io.out = out;
		io.out_len = feed_out;
		ret->r = decoder_run(d, &io);
		assert_true(io.in_len <= before && io.out_len <= feed_out);
		bytes_append(&ret->out, out, feed_out - io.out_len);
		idle = before == io.in_len && io.out_len == feed_out ? idle + 1
								     : 0;
		assert_true(idle < 3 || ret->r);
		if (ret->r == DECODER_POINT)
			add_mark(ret, d);
	} while (ret->r == DECODER_MORE || ret->r == DECODER_POINT);
	free(out);
	free(piece);
	if (ret->r == DECODER_END)
		assert_true(pos == len && io.in_len == 0);
}

static inline void decode(enum codec c, const struct bytes *in, size_t feed_in,
			  size_t feed_out, uint64_t spacing,
			  struct decoded *ret)
{
	struct decoder *d;

	assert_int_equal(decoder_new(c, spacing, &d), 0);
	drain(d, in->v, in->len, feed_in, feed_out, ret);
	if (ret->r < 0) {
		assert_int_equal(ret->r, -EBADMSG);
		assert_true(strlen(decoder_error(d)) > 0);
		strncpy(ret->error, decoder_error(d), sizeof(ret->error) - 1);
	}
	decoder_free(d);
}

/* From the point to the end must give the rest of the plain bytes. */
static inline void check_mark(enum codec c, const struct bytes *in,
			      const struct mark *m, const struct bytes *plain,
			      size_t feed_in, size_t feed_out)
{
	struct decoder *d;
	struct decoded got;

	assert_true(m->p.in_off <= in->len && m->p.out_off <= plain->len);
	assert_int_equal(decoder_resume(c, &m->p, m->window, m->window_len, &d),
			 0);
	drain(d, in->v + m->p.in_off, in->len - (size_t)m->p.in_off, feed_in,
	      feed_out, &got);
	decoder_free(d);
	assert_int_equal(got.r, DECODER_END);
	assert_int_equal(got.marks_len, 0);
	assert_int_equal(got.out.len, plain->len - m->p.out_off);
	assert_memory_equal(got.out.v, plain->v + m->p.out_off, got.out.len);
	decoded_done(&got);
}

static inline void check_marks(enum codec c, const struct bytes *in,
			       const struct decoded *got,
			       const struct bytes *plain, uint64_t spacing)
{
	uint64_t last = 0;

	for (size_t i = 0; i < got->marks_len; i++) {
		const struct mark *m = &got->marks[i];

		assert_true(m->p.out_off >= last + spacing);
		last = m->p.out_off;
		check_mark(c, in, m, plain, MIB, MIB);
	}
}

/* Decodes to `plain`, in one piece and in small ones, and from each point. */
static inline void expect_plain(enum codec c, const struct bytes *in,
				const struct bytes *plain, uint64_t spacing,
				size_t *ret_marks)
{
	static const struct {
		size_t in, out;
	} feeds[] = {{MIB, MIB}, {311, 4099}, {1, MIB}, {MIB, 1}, {1, 1}};
	struct decoded got;

	for (size_t i = 0; i < sizeof(feeds) / sizeof(feeds[0]); i++) {
		if (plain->len > 33 * KIB && i > 1)
			continue;
		decode(c, in, feeds[i].in, feeds[i].out, spacing, &got);
		assert_string_equal(got.error, "");
		assert_int_equal(got.r, DECODER_END);
		assert_int_equal(got.out.len, plain->len);
		assert_memory_equal(got.out.v, plain->v, plain->len);
		check_marks(c, in, &got, plain, spacing);
		if (ret_marks && i == 0)
			*ret_marks = got.marks_len;
		decoded_done(&got);
	}
}

static inline void expect_damaged(enum codec c, const struct bytes *in)
{
	struct decoded got;

	decode(c, in, MIB, MIB, 0, &got);
	assert_int_equal(got.r, -EBADMSG);
	decoded_done(&got);
	decode(c, in, 1, 1, KIB, &got);
	assert_int_equal(got.r, -EBADMSG);
	decoded_done(&got);
}
