/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first two bytes are the sizes of the pieces, the rest is the stream; if
 * the second is odd and what follows is a deflate stream, it is made into a
 * member with the right sums first, twice.  zlib must say the same about it,
 * and every point must lead to the same bytes.  zlib is stricter about Huffman
 * codes that leave combinations unused: what only it refuses is not compared
 * further.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <zlib.h>

#include "layer/codec.h"

#define OUT_MAX ((size_t)4 << 20)
#define MARKS_MAX 64
#define PAGE ((size_t)4096)
#define FENCED_MAX ((size_t)64 * PAGE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct mark {
	struct codec_point p;
	uint8_t window[CODEC_WINDOW_MAX];
	size_t len;
};

static uint8_t ours[OUT_MAX], theirs[OUT_MAX], again[OUT_MAX];
static struct mark marks[MARKS_MAX];
static size_t marks_len;

static void require(int ok)
{
	if (!ok)
		abort();
}

/*
 * A copy of the input that ends where the memory ends: the sanitizers do not
 * see what ISA-L's assembly touches.
 */
static uint8_t *fenced(const uint8_t *in, size_t len)
{
	static uint8_t *m;

	if (!m) {
		m = mmap(NULL, FENCED_MAX + PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		require(m != MAP_FAILED);
		require(mprotect(m + FENCED_MAX, PAGE, PROT_NONE) == 0);
	}
	return len ? memcpy(m + FENCED_MAX - len, in, len) : m;
}

/* The result of the decoder; the bytes made, in *ret_len. */
static int run(struct decoder *d, const uint8_t *in, size_t in_len,
	       const uint8_t step[2], uint8_t *out, size_t *ret_len)
{
	struct decoder_io io = {.in_len = 0};
	size_t in_step = step[0] ? step[0] * (size_t)step[0] : in_len;
	size_t out_step = step[1] ? step[1] * (size_t)step[1] : OUT_MAX;
	size_t taken = 0, made = 0, idle = 0;
	int r;

	do {
		size_t n =
			out_step < OUT_MAX - made ? out_step : OUT_MAX - made;
		size_t room = n, had;

		if (io.in_len == 0) {
			io.in_len = in_len - taken < in_step ? in_len - taken
							     : in_step;
			io.in = fenced(in + taken, io.in_len);
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
			struct mark *m = &marks[marks_len++];

			decoder_point(d, &m->p, m->window, &m->len);
		}
	} while (r == DECODER_MORE || r == DECODER_POINT);
	*ret_len = made;
	return r;
}

static int only_zlib_refuses(const char *msg)
{
	static const char *const codes[] = {
		"invalid code lengths set", "invalid literal/lengths set",
		"invalid distances set",    "invalid bit length repeat",
		"invalid window size",
	};

	for (size_t i = 0; msg && i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (strcmp(msg, codes[i]) == 0)
			return 1;
	}
	return 0;
}

/* DECODER_END, -EBADMSG, 0: too long; 1: refused for a reason of its own. */
static int oracle(const uint8_t *in, size_t len, size_t *ret_len)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
		      .avail_in = (uInt)len,
		      .next_out = theirs,
		      .avail_out = OUT_MAX};
	int r, first = 1, result = -EBADMSG;

	require(inflateInit2(&z, 31) == Z_OK);
	while (1) {
		if (!first && (z.avail_in == 0 || *z.next_in == 0)) {
			result = DECODER_END;
			for (; z.avail_in; z.avail_in--) {
				if (*z.next_in++)
					result = -EBADMSG;
			}
			break;
		}
		first = 0;
		r = inflate(&z, Z_FINISH);
		if (r != Z_STREAM_END) {
			if (z.avail_out == 0)
				result = 0;
			else if (only_zlib_refuses(z.msg))
				result = 1;
			break;
		}
		inflateReset(&z);
	}
	*ret_len = OUT_MAX - z.avail_out;
	inflateEnd(&z);
	return result;
}

static void check_mark(const struct mark *m, const uint8_t *in, size_t in_len,
		       size_t out_len, const uint8_t step[2])
{
	struct decoder *d;
	size_t len;
	int r;

	require(m->p.in_off <= in_len && m->p.out_off <= out_len);
	if (decoder_resume(CODEC_GZIP, &m->p, m->window, m->len, &d) < 0)
		abort();
	r = run(d, in + m->p.in_off, in_len - (size_t)m->p.in_off, step, again,
		&len);
	require(r == DECODER_END);
	require(len == out_len - m->p.out_off);
	require(memcmp(again, ours + m->p.out_off, len) == 0);
	decoder_free(d);
}

/* Two members of the deflate stream; false if it is none. */
static int wrap(const uint8_t *in, size_t len, uint8_t *to, size_t *ret_len)
{
	static const uint8_t head[10] = {0x1f, 0x8b, 8};
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
		      .avail_in = (uInt)len,
		      .next_out = theirs,
		      .avail_out = OUT_MAX / 4};
	uint8_t *at = to;
	uLong crc;
	int r;

	require(inflateInit2(&z, -15) == Z_OK);
	r = inflate(&z, Z_FINISH);
	crc = crc32(0, theirs, (uInt)z.total_out);
	inflateEnd(&z);
	if (r != Z_STREAM_END)
		return 0;
	for (int i = 0; i < 2; i++) {
		memcpy(at, head, sizeof(head));
		memcpy(at + sizeof(head), in, z.total_in);
		at += sizeof(head) + z.total_in;
		for (int k = 0; k < 8; k++)
			*at++ = (uint8_t)((k < 4 ? crc : z.total_out) >>
					  k % 4 * 8);
	}
	*ret_len = (size_t)(at - to);
	return 1;
}

static void check(const uint8_t *in, size_t in_len, const uint8_t step[2])
{
	size_t len, expect_len, points;
	struct decoder *d;
	int r, expect;

	marks_len = 0;
	if (decoder_new(CODEC_GZIP, 1 + step[0] * 256, &d) < 0)
		return;
	r = run(d, in, in_len, step, ours, &len);
	decoder_free(d);
	expect = oracle(in, in_len, &expect_len);
	if (expect == 1 || expect == 0 || len == OUT_MAX)
		return;
	require(r == expect);
	if (r != DECODER_END)
		return;
	require(len == expect_len && memcmp(ours, theirs, len) == 0);
	points = marks_len;
	for (size_t i = 0; i < points; i++)
		check_mark(&marks[i], in, in_len, len,
			   i & 1 ? step : (const uint8_t[2]){0, 0});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t wrapped[2 * FENCED_MAX + 64];
	size_t len;

	if (size < 2 || size > FENCED_MAX / 2 - 32)
		return 0;
	if (data[1] & 1 && wrap(data + 2, size - 2, wrapped, &len))
		check(wrapped, len, data);
	else
		check(data + 2, size - 2, data);
	return 0;
}
