/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <zlib.h>

#include "codec-fixture.h"

/* One member, appended. */
static void member(struct bytes *to, const void *plain, size_t len, int level,
		   int strategy, gz_header *head)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)plain,
		      .avail_in = (uInt)len};
	size_t cap;
	uint8_t *out;

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 8, strategy),
			 Z_OK);
	if (head)
		assert_int_equal(deflateSetHeader(&z, head), Z_OK);
	cap = deflateBound(&z, len) + 70000;
	out = malloc(cap);
	assert_non_null(out);
	z.next_out = out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	bytes_append(to, out, z.total_out);
	deflateEnd(&z);
	free(out);
}

/* As pigz does: blocks of input, each ending at a byte by a flush. */
static void flushed(struct bytes *to, const struct bytes *plain, size_t every,
		    int flush)
{
	z_stream z = {.avail_in = 0};
	size_t cap = plain->len * 2 + 1000;
	uint8_t *out = malloc(cap);

	assert_non_null(out);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
	z.next_out = out;
	z.avail_out = (uInt)cap;
	z.next_in = plain->v;
	for (size_t at = 0; at < plain->len; at += every) {
		size_t n = plain->len - at < every ? plain->len - at : every;

		z.avail_in = (uInt)n;
		assert_int_equal(deflate(&z, flush), Z_OK);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	bytes_append(to, out, z.total_out);
	deflateEnd(&z);
	free(out);
}

static void decodes_what_zlib_makes(void **state)
{
	static const struct {
		int level, strategy;
	} kinds[] = {
		{1, Z_DEFAULT_STRATEGY}, {6, Z_DEFAULT_STRATEGY},
		{9, Z_DEFAULT_STRATEGY}, {6, Z_FIXED},
		{6, Z_HUFFMAN_ONLY},	 {6, Z_RLE},
		{0, Z_DEFAULT_STRATEGY},
	};
	static const size_t sizes[] = {0,     1,     2,	     300,   32767,
				       32768, 32769, 131072, 500001};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct bytes plain =
				sample(sizes[i], (uint32_t)(k + i));
			struct bytes in = {.v = NULL};
			size_t marks;

			member(&in, plain.v, plain.len, kinds[k].level,
			       kinds[k].strategy, NULL);
			expect_plain(CODEC_GZIP, &in, &plain, 40 * KIB, &marks);
			if (plain.len > 400000)
				assert_true(marks >= 3);
			expect_plain(CODEC_GZIP, &in, &plain, 0, &marks);
			assert_int_equal(marks, 0);
			bytes_done(&in);
			bytes_done(&plain);
		}
	}
}

static void points_at_every_flush(void **state)
{
	static const int kinds[] = {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_BLOCK,
				    Z_PARTIAL_FLUSH};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct bytes plain = sample(400000, 77);
		struct bytes in = {.v = NULL};
		size_t marks;

		flushed(&in, &plain, 999, kinds[k]);
		expect_plain(CODEC_GZIP, &in, &plain, 1000, &marks);
		/* Decoding runs some 32 KiB ahead of what it gives out. */
		assert_true(marks >= 8);
		bytes_done(&in);
		bytes_done(&plain);
	}
}

static void decodes_many_members(void **state)
{
	static Bytef extra[70000];
	char name[300], comment[] = "a comment";
	gz_header heads[] = {
		{.extra = extra, .extra_len = 26, .hcrc = 1},
		{.extra = extra, .extra_len = 65535, .name = (Bytef *)name},
		{.name = (Bytef *)name, .comment = (Bytef *)comment, .hcrc = 1},
		{.comment = (Bytef *)comment, .text = 1},
		{.extra = extra, .extra_len = 0, .hcrc = 1},
	};
	struct bytes plain = sample(900000, 5), in = {.v = NULL};
	size_t at = 0, marks, n = 0;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	while (at < plain.len) {
		size_t len = n % 7 == 3 ? 0 : 1 + (n * 7919) % 60000;

		if (len > plain.len - at)
			len = plain.len - at;
		member(&in, plain.v + at, len, (int)(n % 10), 0,
		       n % 6 ? &heads[n % 6 - 1] : NULL);
		at += len;
		n++;
	}
	expect_plain(CODEC_GZIP, &in, &plain, 20000, &marks);
	assert_true(marks > 15);
	/* Padding as tape drives and some registries add. */
	for (size_t i = 0; i < 1500; i++)
		bytes_append(&in, "", 1);
	expect_plain(CODEC_GZIP, &in, &plain, 20000, NULL);
	in.v[in.len - 1] = 1;
	expect_damaged(CODEC_GZIP, &in);
	bytes_done(&in);
	bytes_done(&plain);
}

static void member_starts_need_no_window(void **state)
{
	struct bytes plain = sample(200000, 9), in = {.v = NULL};
	struct decoded got;

	for (size_t at = 0; at < plain.len; at += 5000)
		member(&in, plain.v + at, 5000, 6, 0, NULL);
	decode(CODEC_GZIP, &in, MIB, MIB, 4500, &got);
	assert_int_equal(got.r, DECODER_END);
	assert_int_equal(got.marks_len, 39);
	for (size_t i = 0; i < got.marks_len; i++) {
		const struct mark *m = &got.marks[i];

		assert_int_equal(m->window_len, 0);
		assert_int_equal(m->p.bits, 0);
		assert_int_equal(m->p.out_off, (i + 1) * 5000);
		assert_int_equal(in.v[m->p.in_off], 0x1f);
		assert_int_equal(in.v[m->p.in_off + 1], 0x8b);
	}
	decoded_done(&got);
	bytes_done(&in);
	bytes_done(&plain);
}

/* The window is of the member only, however short that is. */
static void window_ends_at_the_member(void **state)
{
	struct bytes plain = sample(120000, 10), in = {.v = NULL};
	struct decoded got;
	size_t inside = 0;

	member(&in, plain.v, 60000, 6, 0, NULL);
	{
		struct bytes rest = {.v = plain.v + 60000, .len = 60000};

		flushed(&in, &rest, 500, Z_SYNC_FLUSH);
	}
	decode(CODEC_GZIP, &in, 50, MIB, 1000, &got);
	for (size_t i = 0; i < got.marks_len; i++) {
		const struct mark *m = &got.marks[i];
		size_t done = m->p.out_off > 60000 ? m->p.out_off - 60000 : 0;

		if (done == 0 || done > 30000)
			continue;
		inside++;
		assert_int_equal(m->window_len, done);
		assert_memory_equal(m->window, plain.v + 60000, done);
	}
	assert_true(inside > 10);
	decoded_done(&got);
	bytes_done(&in);
	bytes_done(&plain);
}

static void refuses_truncation_everywhere(void **state)
{
	gz_header head = {.name = (Bytef *)(uintptr_t) "x", .hcrc = 1};
	struct bytes plain = sample(900, 3), in = {.v = NULL};
	size_t first;

	member(&in, plain.v, 600, 6, 0, &head);
	first = in.len;
	member(&in, plain.v + 600, 300, 6, 0, NULL);
	for (size_t len = 0; len < in.len; len++) {
		struct bytes cut = {.v = in.v, .len = len};

		struct decoded all, some;

		if (len == first)
			continue;
		expect_damaged(CODEC_GZIP, &cut);
		/* What could be decoded is given out first. */
		decode(CODEC_GZIP, &cut, MIB, MIB, 0, &all);
		decode(CODEC_GZIP, &cut, MIB, 7, 0, &some);
		assert_int_equal(some.out.len, all.out.len);
		assert_memory_equal(all.out.v, plain.v, all.out.len);
		decoded_done(&all);
		decoded_done(&some);
	}
	bytes_done(&in);
	bytes_done(&plain);
}

/* A flipped bit is an error or, where nothing is summed, harmless. */
static void refuses_flipped_bits(void **state)
{
	struct bytes plain = sample(1200, 4), in = {.v = NULL};
	size_t fine = 0;

	member(&in, plain.v, plain.len, 6, 0, NULL);
	for (size_t bit = 0; bit < in.len * 8; bit++) {
		struct decoded got;

		in.v[bit / 8] ^= (uint8_t)(1 << bit % 8);
		decode(CODEC_GZIP, &in, MIB, MIB, 500, &got);
		in.v[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (got.r == DECODER_END) {
			fine++;
			assert_int_equal(got.out.len, plain.len);
			assert_memory_equal(got.out.v, plain.v, plain.len);
		} else {
			assert_int_equal(got.r, -EBADMSG);
		}
		decoded_done(&got);
	}
	/* FTEXT, MTIME, XFL, OS; a handful of bits between blocks. */
	assert_true(fine >= 49 && fine < 80);
	bytes_done(&in);
	bytes_done(&plain);
}

static void refuses_wrong_sums(void **state)
{
	struct bytes plain = sample(5000, 6), in = {.v = NULL};
	static const char *const tails[] = {"x", "\x1f", "\x1f\x8b\x08", "PK"};

	member(&in, plain.v, plain.len, 6, 0, NULL);
	for (size_t i = 1; i <= 8; i++) {
		in.v[in.len - i] ^= 1;
		expect_damaged(CODEC_GZIP, &in);
		in.v[in.len - i] ^= 1;
	}
	for (size_t i = 0; i < 4; i++) {
		size_t len = in.len;

		bytes_append(&in, tails[i], strlen(tails[i]));
		expect_damaged(CODEC_GZIP, &in);
		in.len = len;
	}
	expect_plain(CODEC_GZIP, &in, &plain, 0, NULL);
	bytes_done(&in);
	bytes_done(&plain);
}

static void refuses_bad_headers(void **state)
{
	static const struct {
		const char *bytes, *error;
		size_t len;
	} bad[] = {
		{"\x1f\x8b\x07\0\0\0\0\0\0\0\x03\0", "method", 12},
		{"\x1f\x8b\x08\x20\0\0\0\0\0\0\x03\0", "flags", 12},
		{"\x1f\x8b\x08\x80\0\0\0\0\0\0\x03\0", "flags", 12},
		{"\x1e\x8b\x08\0\0\0\0\0\0\0\x03\0", "not a gzip", 12},
		{"\x1f\x8c\x08\0\0\0\0\0\0\0\x03\0", "not a gzip", 12},
		{"\x1f\x8b\x08\x02\0\0\0\0\0\0\x01\x02\x03\0", "header", 14},
		{"", "too early", 0},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bytes in = {.v = NULL};
		struct decoded got;

		bytes_append(&in, bad[i].bytes, bad[i].len);
		decode(CODEC_GZIP, &in, 3, 3, 0, &got);
		assert_int_equal(got.r, -EBADMSG);
		assert_non_null(strstr(got.error, bad[i].error));
		decoded_done(&got);
		bytes_done(&in);
	}
}

/* Once it failed it stays so, and makes nothing more. */
static void stays_failed(void **state)
{
	struct bytes plain = sample(50000, 7), in = {.v = NULL};
	struct decoder *d;
	uint8_t out[1000];
	int r = 0;

	member(&in, plain.v, plain.len, 6, 0, NULL);
	member(&in, plain.v, plain.len, 6, 0, NULL);
	in.v[in.len / 2 - 3] ^= 0x10;
	assert_int_equal(decoder_new(CODEC_GZIP, 0, &d), 0);
	for (struct decoder_io io = {.in = in.v, .in_len = in.len}; r == 0;) {
		io.out = out;
		io.out_len = sizeof(out);
		r = decoder_run(d, &io);
	}
	assert_int_equal(r, -EBADMSG);
	for (size_t i = 0; i < 3; i++) {
		struct decoder_io io = {.in = in.v,
					.in_len = in.len,
					.in_last = true,
					.out = out,
					.out_len = sizeof(out)};

		assert_int_equal(decoder_run(d, &io), -EBADMSG);
		assert_int_equal(io.out_len, sizeof(out));
	}
	decoder_free(d);
	/* Not even if what follows is in order. */
	assert_int_equal(decoder_new(CODEC_GZIP, 0, &d), 0);
	for (size_t i = 0; i < 2; i++) {
		struct decoder_io io = {.in = i ? in.v : (const uint8_t *)"x",
					.in_len = i ? 1000 : 1,
					.out = out,
					.out_len = sizeof(out)};

		assert_int_equal(decoder_run(d, &io), -EBADMSG);
	}
	decoder_free(d);
	bytes_done(&in);
	bytes_done(&plain);
}

/* Deflate reaches 1000:1; one block may be the whole stream. */
static void bombs_stream_by(void **state)
{
	uint8_t *zeros = calloc(1, 12 * MIB);
	struct bytes in = {.v = NULL}, plain = {.v = zeros, .len = 12 * MIB};
	struct decoded got;

	assert_non_null(zeros);
	member(&in, zeros, plain.len, 9, 0, NULL);
	assert_true(in.len * 900 < plain.len);
	decode(CODEC_GZIP, &in, MIB, MIB, MIB, &got);
	assert_int_equal(got.r, DECODER_END);
	assert_int_equal(got.out.len, plain.len);
	assert_memory_equal(got.out.v, zeros, plain.len);
	assert_true(got.marks_len >= 1);
	check_marks(CODEC_GZIP, &in, &got, &plain, MIB);
	decoded_done(&got);
	bytes_done(&in);
	free(zeros);
}

/* A caller with exactly enough room still learns that it is the end. */
static void ends_without_room(void **state)
{
	struct bytes plain = sample(80000, 8), in = {.v = NULL};
	uint8_t *out = malloc(plain.len);
	struct decoder *d;
	struct decoder_io io = {.out = out, .out_len = plain.len};
	int r;

	assert_non_null(out);
	member(&in, plain.v, plain.len, 6, 0, NULL);
	assert_int_equal(decoder_new(CODEC_GZIP, 0, &d), 0);
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

/* A page that must not be touched behind `len` bytes. */
static uint8_t *fenced(size_t len, uint8_t **ret_map, size_t *ret_map_len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n = (len + page - 1) / page * page;
	uint8_t *m = mmap(NULL, n + page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(m != MAP_FAILED);
	assert_int_equal(mprotect(m + n, page, PROT_NONE), 0);
	*ret_map = m;
	*ret_map_len = n + page;
	return m + n - len;
}

/* ISA-L's assembly is out of sight for the sanitizers. */
static void touches_only_what_it_was_given(void **state)
{
	static const size_t rooms[] = {1, 3, 17, 100, 4096, 70000};
	struct bytes plain = sample(150000, 12), gz = {.v = NULL};
	uint8_t *in, *out, *in_map, *out_map;
	size_t in_map_len, out_map_len;

	member(&gz, plain.v, plain.len, 6, 0, NULL);
	in = fenced(gz.len, &in_map, &in_map_len);
	memcpy(in, gz.v, gz.len);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		struct decoder_io io = {.in = in, .in_len = gz.len};
		struct decoder *d;
		size_t at = 0;
		int r;

		out = fenced(rooms[i], &out_map, &out_map_len);
		io.in_last = true;
		assert_int_equal(decoder_new(CODEC_GZIP, 0, &d), 0);
		do {
			io.out = out;
			io.out_len = rooms[i];
			r = decoder_run(d, &io);
			assert_memory_equal(out, plain.v + at,
					    rooms[i] - io.out_len);
			at += rooms[i] - io.out_len;
		} while (r == DECODER_MORE);
		assert_int_equal(r, DECODER_END);
		assert_int_equal(at, plain.len);
		decoder_free(d);
		munmap(out_map, out_map_len);
	}
	munmap(in_map, in_map_len);
	bytes_done(&gz);
	bytes_done(&plain);
}

static void refuses_nonsense_points(void **state)
{
	static uint8_t window[CODEC_WINDOW_MAX + 1];
	struct decoder *d = NULL;
	struct codec_point p = {.in_off = 100, .out_off = 200, .bits = 8};

	assert_int_equal(decoder_resume(CODEC_GZIP, &p, window, 10, &d),
			 -EINVAL);
	p.bits = 3;
	assert_int_equal(decoder_resume(CODEC_GZIP, &p, NULL, 0, &d), -EINVAL);
	assert_int_equal(
		decoder_resume(CODEC_GZIP, &p, window, sizeof(window), &d),
		-EINVAL);
	assert_null(d);
	assert_int_equal(decoder_resume(CODEC_GZIP, &p, window, 1, &d), 0);
	decoder_free(d);
	decoder_free(NULL);
}

/* A wrong sum of a later member is found by a resumed decoder too. */
static void resumed_checks_later_members(void **state)
{
	struct bytes plain = sample(100000, 13), in = {.v = NULL};
	struct decoded got, rest;
	struct decoder *d;
	size_t first;

	member(&in, plain.v, plain.len, 6, 0, NULL);
	first = in.len;
	member(&in, plain.v, 1000, 6, 0, NULL);
	decode(CODEC_GZIP, &in, MIB, MIB, 30000, &got);
	assert_true(got.marks_len > 0 && got.marks[0].p.in_off < first);
	in.v[in.len - 6] ^= 1;
	assert_int_equal(decoder_resume(CODEC_GZIP, &got.marks[0].p,
					got.marks[0].window,
					got.marks[0].window_len, &d),
			 0);
	drain(d, in.v + got.marks[0].p.in_off,
	      in.len - (size_t)got.marks[0].p.in_off, MIB, MIB, &rest);
	assert_int_equal(rest.r, -EBADMSG);
	assert_non_null(strstr(decoder_error(d), "checksum"));
	decoder_free(d);
	decoded_done(&rest);
	decoded_done(&got);
	bytes_done(&in);
	bytes_done(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_what_zlib_makes),
		cmocka_unit_test(points_at_every_flush),
		cmocka_unit_test(decodes_many_members),
		cmocka_unit_test(member_starts_need_no_window),
		cmocka_unit_test(window_ends_at_the_member),
		cmocka_unit_test(refuses_truncation_everywhere),
		cmocka_unit_test(refuses_flipped_bits),
		cmocka_unit_test(refuses_wrong_sums),
		cmocka_unit_test(refuses_bad_headers),
		cmocka_unit_test(stays_failed),
		cmocka_unit_test(bombs_stream_by),
		cmocka_unit_test(ends_without_room),
		cmocka_unit_test(touches_only_what_it_was_given),
		cmocka_unit_test(refuses_nonsense_points),
		cmocka_unit_test(resumed_checks_later_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
