/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zstd.h>

#include "codec-fixture.h"

struct frame_opts {
	int level, window_log;
	bool checksum, no_size;
};

/* One frame, appended. */
static void frame(struct bytes *to, const void *plain, size_t len,
		  const struct frame_opts *o)
{
	size_t cap = ZSTD_compressBound(len) + 100, r;
	ZSTD_CCtx *c = ZSTD_createCCtx();
	uint8_t *out = malloc(cap);
	ZSTD_inBuffer in = {plain, len, 0};
	ZSTD_outBuffer o_buf = {out, cap, 0};

	assert_true(c && out);
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, o->level);
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, o->checksum);
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, !o->no_size);
	if (o->window_log) {
		ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, o->window_log);
		ZSTD_CCtx_setParameter(c, ZSTD_c_chainLog, 10);
		ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog, 10);
	}
	/* Continued first, so that the window is not fitted to the size. */
	if (o->window_log)
		ZSTD_compressStream2(c, &o_buf, &in, ZSTD_e_continue);
	do {
		r = ZSTD_compressStream2(c, &o_buf, &in, ZSTD_e_end);
		assert_false(ZSTD_isError(r));
	} while (r);
	bytes_append(to, out, o_buf.pos);
	ZSTD_freeCCtx(c);
	free(out);
}

static void le32(struct bytes *to, uint32_t v)
{
	uint8_t b[] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
		       (uint8_t)(v >> 24)};

	bytes_append(to, b, 4);
}

static void skippable(struct bytes *to, uint32_t magic, const void *v,
		      size_t len)
{
	le32(to, magic);
	le32(to, (uint32_t)len);
	bytes_append(to, v, len);
}

static void decodes_single_frames(void **state)
{
	static const struct frame_opts opts[] = {
		{.level = 1},
		{.level = 3, .checksum = true},
		{.level = 19, .no_size = true},
		{.level = -5, .checksum = true, .no_size = true},
	};
	static const size_t sizes[] = {0, 1, 300, 32768, 400000};

	for (size_t k = 0; k < 4; k++) {
		for (size_t i = 0; i < 5; i++) {
			struct bytes plain = sample(sizes[i], (uint32_t)i);
			struct bytes in = {.v = NULL};
			size_t marks;

			frame(&in, plain.v, plain.len, &opts[k]);
			expect_plain(CODEC_ZSTD, &in, &plain, 1000, &marks);
			assert_int_equal(marks, 0);
			bytes_done(&in);
			bytes_done(&plain);
		}
	}
}

/* Frames, skippable ones before, between and after them. */
static void points_at_frames(void **state)
{
	const struct frame_opts o = {.level = 3, .checksum = true};
	struct bytes plain = sample(200000, 21), in = {.v = NULL};
	struct bytes table = {.v = NULL};
	struct decoded got;
	size_t starts[40], marks;

	skippable(&in, 0x184d2a50, "abcd", 4);
	for (size_t i = 0; i < 40; i++) {
		size_t at = in.len;

		starts[i] = at;
		frame(&in, plain.v + i * 5000, 5000, &o);
		le32(&table, (uint32_t)(in.len - at));
		le32(&table, 5000);
		if (i % 5 == 4)
			skippable(&in, 0x184d2a5f, plain.v, i * 100);
		if (i % 7 == 6)
			frame(&in, "", 0, &o);
	}
	/* The table of the seekable format. */
	le32(&table, 40);
	bytes_append(&table, "", 1);
	le32(&table, 0x8f92eab1);
	skippable(&in, 0x184d2a5e, table.v, table.len);
	expect_plain(CODEC_ZSTD, &in, &plain, 12000, &marks);
	assert_int_equal(marks, 13);
	decode(CODEC_ZSTD, &in, MIB, MIB, 12000, &got);
	for (size_t i = 0; i < got.marks_len; i++) {
		const struct mark *m = &got.marks[i];

		assert_int_equal(m->window_len, 0);
		assert_int_equal(m->p.bits, 0);
		assert_int_equal(m->p.out_off, 15000 * (i + 1));
		/* An empty frame may be what comes first. */
		assert_true(m->p.in_off <= starts[3 * (i + 1)]);
		assert_memory_equal(in.v + m->p.in_off, "\x28\xb5\x2f\xfd", 4);
	}
	decoded_done(&got);
	bytes_done(&table);
	bytes_done(&in);
	bytes_done(&plain);
}

static void only_skippable_is_empty(void **state)
{
	struct bytes in = {.v = NULL}, plain = {.v = NULL};

	skippable(&in, 0x184d2a53, "xyz", 3);
	skippable(&in, 0x184d2a50, "", 0);
	bytes_append(&plain, "", 0);
	expect_plain(CODEC_ZSTD, &in, &plain, 1, NULL);
	bytes_done(&in);
	bytes_done(&plain);
}

/* However the frame comes: libzstd is lenient if it has it whole. */
static void limits_the_window(void **state)
{
	struct bytes plain = sample(2000, 22);

	for (int log = 26; log <= 29; log++) {
		const struct frame_opts o = {
			.level = 1, .window_log = log, .no_size = true};
		struct bytes in = {.v = NULL};

		frame(&in, plain.v, plain.len, &o);
		if (log > CODEC_ZSTD_WINDOW_LOG_MAX)
			expect_damaged(CODEC_ZSTD, &in);
		else
			expect_plain(CODEC_ZSTD, &in, &plain, 0, NULL);
		bytes_done(&in);
	}
	bytes_done(&plain);
}

static void refuses_truncation_everywhere(void **state)
{
	const struct frame_opts o = {.level = 3, .checksum = true};
	struct bytes plain = sample(800, 23), in = {.v = NULL};
	size_t ends[3] = {0};

	frame(&in, plain.v, 500, &o);
	ends[0] = in.len;
	skippable(&in, 0x184d2a50, plain.v, 9);
	ends[1] = in.len;
	frame(&in, plain.v + 500, 300, &o);
	for (size_t len = 0; len < in.len; len++) {
		struct bytes cut = {.v = in.v, .len = len};

		if (len && (len == ends[0] || len == ends[1]))
			continue;
		expect_damaged(CODEC_ZSTD, &cut);
	}
	bytes_done(&in);
	bytes_done(&plain);
}

static void refuses_flipped_bits(void **state)
{
	const struct frame_opts o = {.level = 3, .checksum = true};
	struct bytes plain = sample(700, 24), in = {.v = NULL};
	size_t fine = 0;

	frame(&in, plain.v, plain.len, &o);
	for (size_t bit = 0; bit < in.len * 8; bit++) {
		struct decoded got;

		in.v[bit / 8] ^= (uint8_t)(1 << bit % 8);
		decode(CODEC_ZSTD, &in, MIB, MIB, 0, &got);
		in.v[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (got.r == DECODER_END) {
			fine++;
			assert_int_equal(got.out.len, plain.len);
			assert_memory_equal(got.out.v, plain.v, plain.len);
		}
		decoded_done(&got);
	}
	/* The unused bit of the header, and little else. */
	assert_true(fine < 8);
	bytes_done(&in);
	bytes_done(&plain);
}

static void refuses_what_is_no_frame(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"", 0},
		{"\x28\xb5\x2f", 3},
		{"\0\0\0\0", 4},
		{"\x27\xb5\x2f\xfd\0\0\0", 7}, /* format 0.7 */
		{"\x1e\xb5\x2f\xfd\0\0\0", 7}, /* format 0.1 */
		{"\x60\x2a\x4d\x18\0\0\0\0", 8},
		{"hello world", 11},
	};
	const struct frame_opts o = {.level = 3};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bytes in = {.v = NULL};

		bytes_append(&in, bad[i].bytes, bad[i].len);
		expect_damaged(CODEC_ZSTD, &in);
		/* Neither behind a frame. */
		if (bad[i].len) {
			in.len = 0;
			frame(&in, "abc", 3, &o);
			bytes_append(&in, bad[i].bytes, bad[i].len);
			expect_damaged(CODEC_ZSTD, &in);
		}
		bytes_done(&in);
	}
}

static void bombs_stream_by(void **state)
{
	const struct frame_opts o = {.level = 1, .checksum = true};
	struct bytes in = {.v = NULL};
	uint8_t *zeros = calloc(1, 12 * MIB);
	struct decoded got;

	assert_non_null(zeros);
	frame(&in, zeros, 12 * MIB, &o);
	assert_true(in.len * 5000 < 12 * MIB);
	decode(CODEC_ZSTD, &in, MIB, MIB, MIB, &got);
	assert_int_equal(got.r, DECODER_END);
	assert_int_equal(got.out.len, 12 * MIB);
	assert_memory_equal(got.out.v, zeros, 12 * MIB);
	decoded_done(&got);
	bytes_done(&in);
	free(zeros);
}

/* A caller with exactly enough room still learns that it is the end. */
static void ends_without_room(void **state)
{
	const struct frame_opts o = {.level = 3, .checksum = true};
	struct bytes plain = sample(80000, 8), in = {.v = NULL};
	uint8_t *out = malloc(plain.len);
	struct decoder *d;
	struct decoder_io io = {.out = out, .out_len = plain.len};
	int r;

	assert_non_null(out);
	frame(&in, plain.v, plain.len, &o);
	assert_int_equal(decoder_new(CODEC_ZSTD, 0, &d), 0);
	for (size_t i = 0; i < in.len; i++) {
		io.in = in.v + i;
		io.in_len = 1;
		io.in_last = i + 1 == in.len;
		r = decoder_run(d, &io);
		assert_int_equal(io.in_len, 0);
		assert_int_equal(r, io.in_last ? DECODER_END : DECODER_MORE);
	}
	assert_int_equal(io.out_len, 0);
	assert_memory_equal(out, plain.v, plain.len);
	decoder_free(d);
	free(out);
	bytes_done(&in);
	bytes_done(&plain);
}

/* Being asked again and again without room or input is no error. */
static void waits_for_room(void **state)
{
	const struct frame_opts o = {.level = 3};
	struct bytes plain = sample(300000, 25), in = {.v = NULL};
	struct decoder_io io = {.in_last = true};
	uint8_t *out = malloc(plain.len);
	struct decoder *d;

	assert_non_null(out);
	frame(&in, plain.v, plain.len, &o);
	assert_int_equal(decoder_new(CODEC_ZSTD, 0, &d), 0);
	io.in = in.v;
	io.in_len = 100;
	io.in_last = false;
	io.out = out;
	io.out_len = plain.len;
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(decoder_run(d, &io), DECODER_MORE);
	assert_int_equal(io.in_len, 0);
	io.in_len = in.len - 100;
	io.in_last = true;
	io.out_len = 0;
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(decoder_run(d, &io), DECODER_MORE);
	io.out_len = plain.len;
	assert_int_equal(decoder_run(d, &io), DECODER_END);
	assert_memory_equal(out, plain.v, plain.len);
	decoder_free(d);
	free(out);
	bytes_done(&in);
	bytes_done(&plain);
}

static void refuses_nonsense_points(void **state)
{
	struct codec_point p = {.in_off = 10, .out_off = 20, .bits = 1};
	struct decoder *d = NULL;

	assert_int_equal(decoder_resume(CODEC_ZSTD, &p, NULL, 0, &d), -EINVAL);
	p.bits = 0;
	assert_int_equal(decoder_resume(CODEC_ZSTD, &p, "abc", 3, &d), -EINVAL);
	assert_null(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_single_frames),
		cmocka_unit_test(points_at_frames),
		cmocka_unit_test(only_skippable_is_empty),
		cmocka_unit_test(limits_the_window),
		cmocka_unit_test(refuses_truncation_everywhere),
		cmocka_unit_test(refuses_flipped_bits),
		cmocka_unit_test(refuses_what_is_no_frame),
		cmocka_unit_test(bombs_stream_by),
		cmocka_unit_test(ends_without_room),
		cmocka_unit_test(waits_for_room),
		cmocka_unit_test(refuses_nonsense_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
