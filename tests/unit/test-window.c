/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>

#include "codec-fixture.h"

static void packs_and_unpacks(void **state)
{
	static const size_t sizes[] = {1, 2, 100, 4096, 32767, 32768};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct bytes w = sample(sizes[i], (uint32_t)i);
		uint8_t back[CODEC_WINDOW_MAX];
		uint8_t *packed = NULL;
		size_t packed_len, len;

		assert_int_equal(window_pack(w.v, w.len, &packed, &packed_len),
				 0);
		assert_int_equal(window_unpack(packed, packed_len, back, &len),
				 0);
		assert_int_equal(len, w.len);
		assert_memory_equal(back, w.v, len);
		free(packed);
		bytes_done(&w);
	}
}

static void packs_nothing_into_nothing(void **state)
{
	uint8_t back[CODEC_WINDOW_MAX];
	uint8_t *packed = back;
	size_t packed_len = 1, len = 1;

	assert_int_equal(window_pack(NULL, 0, &packed, &packed_len), 0);
	assert_null(packed);
	assert_int_equal(packed_len, 0);
	assert_int_equal(window_unpack(NULL, 0, back, &len), 0);
	assert_int_equal(len, 0);
}

static void packs_zeros_well(void **state)
{
	static uint8_t zeros[CODEC_WINDOW_MAX];
	uint8_t *packed;
	size_t len;

	assert_int_equal(window_pack(zeros, sizeof(zeros), &packed, &len), 0);
	assert_true(len < 32);
	free(packed);
}

/* The row may have been damaged on disk, or be somebody's bomb. */
static void refuses_damage(void **state)
{
	static uint8_t big[CODEC_WINDOW_MAX + 1];
	struct bytes w = sample(20000, 3);
	uint8_t back[CODEC_WINDOW_MAX];
	uint8_t *packed = NULL;
	size_t n, len = 77, fine = 0;

	assert_int_equal(window_pack(big, sizeof(big), &packed, &n), -EINVAL);
	assert_null(packed);
	assert_int_equal(window_pack(w.v, w.len, &packed, &n), 0);
	for (size_t cut = 1; cut < n; cut += 97)
		assert_int_equal(window_unpack(packed, cut, back, &len),
				 -EBADMSG);
	assert_int_equal(len, 77);
	/* A few bits mean nothing. */
	for (size_t at = 0; at < n; at += 5) {
		int r;

		packed[at] ^= 0x40;
		r = window_unpack(packed, n, back, &len);
		packed[at] ^= 0x40;
		if (r == 0) {
			fine++;
			assert_int_equal(len, w.len);
			assert_memory_equal(back, w.v, len);
		} else {
			assert_int_equal(r, -EBADMSG);
		}
	}
	assert_true(fine < 5);
	assert_int_equal(window_unpack("hello", 5, back, &len), -EBADMSG);
	/* A frame of nothing. */
	assert_int_equal(
		window_unpack("\x28\xb5\x2f\xfd\x20\0\1\0\0", 9, back, &len),
		-EBADMSG);
	free(packed);
	bytes_done(&w);
}

static struct bytes gzipped(const struct bytes *plain, int level, int strategy)
{
	z_stream z = {.next_in = plain->v, .avail_in = (uInt)plain->len};
	struct bytes b = {.v = malloc(plain->len + 70000)};

	assert_non_null(b.v);
	b.cap = plain->len + 70000;
	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 8, strategy),
			 Z_OK);
	z.next_out = b.v;
	z.avail_out = (uInt)b.cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	b.len = z.total_out;
	deflateEnd(&z);
	return b;
}

static size_t zeros(const uint8_t *v, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += v[i] == 0;
	return n;
}

/* With pruned windows everything is decoded as with whole ones. */
static void prunes_exactly(void **state)
{
	static const struct {
		int level, strategy;
	} kinds[] = {{1, 0}, {6, 0}, {9, 0}, {6, Z_FIXED}, {6, Z_RLE}};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct bytes plain = sample(900000, (uint32_t)k + 40);
		struct bytes in =
			gzipped(&plain, kinds[k].level, kinds[k].strategy);
		size_t before = 0, after = 0;
		struct decoded got;

		decode(CODEC_GZIP, &in, MIB, MIB, 50000, &got);
		assert_true(got.marks_len > 3);
		for (size_t i = 0; i < got.marks_len; i++) {
			struct mark *m = &got.marks[i];

			before += zeros(m->window, m->window_len);
			assert_int_equal(
				window_prune(m->window, m->window_len,
					     in.v + m->p.in_off,
					     in.len - (size_t)m->p.in_off,
					     &m->p,
					     plain.len - (size_t)m->p.out_off),
				0);
			after += zeros(m->window, m->window_len);
		}
		check_marks(CODEC_GZIP, &in, &got, &plain, 50000);
		assert_true(after > before + got.marks_len * 1000);
		decoded_done(&got);
		bytes_done(&in);
		bytes_done(&plain);
	}
}

/* No byte stays that could be spared: each one kept changes the output. */
static void prunes_all_it_can(void **state)
{
	struct bytes plain = sample(300000, 50), in = gzipped(&plain, 6, 0);
	struct decoded got;
	size_t checked = 0;

	decode(CODEC_GZIP, &in, MIB, MIB, 100000, &got);
	assert_true(got.marks_len > 0);
	{
		struct mark *m = &got.marks[0];
		size_t rest = plain.len - (size_t)m->p.out_off;

		assert_int_equal(window_prune(m->window, m->window_len,
					      in.v + m->p.in_off,
					      in.len - (size_t)m->p.in_off,
					      &m->p, rest),
				 0);
		for (size_t i = 0; i < m->window_len; i += 11) {
			struct decoded other;
			struct decoder *d;

			if (m->window[i] == 0)
				continue;
			checked++;
			m->window[i] ^= 0xff;
			assert_int_equal(decoder_resume(CODEC_GZIP, &m->p,
							m->window,
							m->window_len, &d),
					 0);
			m->window[i] ^= 0xff;
			drain(d, in.v + m->p.in_off,
			      in.len - (size_t)m->p.in_off, MIB, MIB, &other);
			decoder_free(d);
			assert_int_equal(other.out.len, rest);
			assert_int_not_equal(memcmp(other.out.v,
						    plain.v + m->p.out_off,
						    rest),
					     0);
			decoded_done(&other);
		}
	}
	assert_true(checked > 20);
	decoded_done(&got);
	bytes_done(&in);
	bytes_done(&plain);
}

static void leaves_what_it_cannot_prune(void **state)
{
	struct bytes plain = sample(300000, 51), in = gzipped(&plain, 6, 0);
	uint8_t window[CODEC_WINDOW_MAX];
	struct decoded got;
	struct mark *m;

	decode(CODEC_GZIP, &in, MIB, MIB, 100000, &got);
	assert_true(got.marks_len > 0);
	m = &got.marks[0];
	memcpy(window, m->window, m->window_len);
	assert_int_equal(window_prune(window, m->window_len, in.v + m->p.in_off,
				      2000, &m->p, 100000),
			 -ENODATA);
	assert_memory_equal(window, m->window, m->window_len);
	/* There is no block of type 3. */
	memset(in.v + m->p.in_off, 0xff, 8);
	assert_int_equal(window_prune(window, m->window_len, in.v + m->p.in_off,
				      in.len - (size_t)m->p.in_off, &m->p,
				      100000),
			 -EBADMSG);
	assert_memory_equal(window, m->window, m->window_len);
	assert_int_equal(window_prune(window, 0, in.v, 0, &m->p, 0), 0);
	decoded_done(&got);
	bytes_done(&in);
	bytes_done(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packs_and_unpacks),
		cmocka_unit_test(packs_nothing_into_nothing),
		cmocka_unit_test(packs_zeros_well),
		cmocka_unit_test(refuses_damage),
		cmocka_unit_test(prunes_exactly),
		cmocka_unit_test(prunes_all_it_can),
		cmocka_unit_test(leaves_what_it_cannot_prune),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
