/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first two bytes are the sizes of the pieces, the rest is the stream.
 * The size of the pieces must not matter; libzstd, given all at once, must say
 * the same (but that it knows older formats and larger windows); every point
 * must lead to the same bytes.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "layer/codec.h"

#define OUT_MAX ((size_t)1 << 20)
#define MARKS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t ours[OUT_MAX], theirs[OUT_MAX], again[OUT_MAX];
static struct codec_point marks[MARKS_MAX];
static size_t marks_len;

static void require(int ok)
{
	if (!ok)
		abort();
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The result of the decoder; the bytes made, in *ret_len. */
static int run(struct decoder *d, const uint8_t *in, size_t in_len,
	       size_t in_step, size_t out_step, uint8_t *out, size_t *ret_len)
{
	struct decoder_io io = {.in = in};
	size_t taken = 0, made = 0, idle = 0;
	int r;

	do {
		size_t room = least(out_step, OUT_MAX - made), had;

		if (io.in_len == 0) {
			io.in_len = least(in_len - taken, in_step);
			taken += io.in_len;
		}
		had = io.in_len;
		io.in_last = taken == in_len;
		io.out = out + made;
		io.out_len = room;
		r = decoder_run(d, &io);
		require(io.in_len <= had && io.out_len <= room);
		made += room - io.out_len;
		idle = had == io.in_len && io.out_len == room ? idle + 1 : 0;
		if (made == OUT_MAX)
			break;
		require(idle < 3);
		if (r == DECODER_POINT && marks_len < MARKS_MAX) {
			uint8_t window[CODEC_WINDOW_MAX];
			size_t window_len;

			decoder_point(d, &marks[marks_len++], window,
				      &window_len);
			require(window_len == 0);
		}
	} while (r == DECODER_MORE || r == DECODER_POINT);
	*ret_len = made;
	return r;
}

static void check_mark(const struct codec_point *p, const uint8_t *in,
		       size_t in_len, size_t out_len)
{
	struct decoder *d;
	size_t len;
	int r;

	require(p->in_off < in_len && p->out_off <= out_len && p->bits == 0);
	if (decoder_resume(CODEC_ZSTD, p, NULL, 0, &d) < 0)
		abort();
	r = run(d, in + p->in_off, in_len - (size_t)p->in_off, SIZE_MAX,
		SIZE_MAX, again, &len);
	require(r == DECODER_END && len == out_len - p->out_off);
	require(memcmp(again, ours + p->out_off, len) == 0);
	decoder_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t in_step, out_step, len, again_len, n, points;
	struct decoder *d;
	int r, whole;

	if (size < 2)
		return 0;
	in_step = data[0] ? data[0] * (size_t)data[0] : SIZE_MAX;
	out_step = data[1] ? data[1] * (size_t)data[1] : SIZE_MAX;
	data += 2;
	size -= 2;
	marks_len = 0;
	if (decoder_new(CODEC_ZSTD, 100, &d) < 0)
		return 0;
	r = run(d, data, size, in_step, out_step, ours, &len);
	decoder_free(d);
	points = marks_len;
	if (len == OUT_MAX)
		return 0;
	if (decoder_new(CODEC_ZSTD, 0, &d) < 0)
		return 0;
	whole = run(d, data, size, SIZE_MAX, SIZE_MAX, again, &again_len);
	decoder_free(d);
	require(r == whole);
	if (r != DECODER_END)
		return 0;
	require(len == again_len && memcmp(ours, again, len) == 0);
	n = ZSTD_decompress(theirs, OUT_MAX, data, size);
	require(!ZSTD_isError(n));
	require(n == len && memcmp(ours, theirs, n) == 0);
	for (size_t i = 0; i < points; i++)
		check_mark(&marks[i], data, size, len);
	return 0;
}
