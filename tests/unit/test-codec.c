/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec-fixture.h"

static void sniffs(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum codec expect;
	} rows[] = {
		{"\x1f\x8b\x08\x00", 4, CODEC_GZIP},
		{"\x1f\x8b\x08\x04", 4, CODEC_GZIP},
		{"\x1f\x8b", 2, CODEC_GZIP},
		{"\x28\xb5\x2f\xfd", 4, CODEC_ZSTD},
		{"\x50\x2a\x4d\x18", 4, CODEC_ZSTD},
		{"\x5f\x2a\x4d\x18", 4, CODEC_ZSTD},
		{"\x60\x2a\x4d\x18", 4, CODEC_NONE},
		{"\x28\xb5\x2f\xfc", 4, CODEC_NONE},
		{"\x28\xb5\x2f", 3, CODEC_NONE},
		{"\x1f\x9d\x90\x00", 4, CODEC_NONE},
		{"usr/", 4, CODEC_NONE},
		{"\0\0\0\0", 4, CODEC_NONE},
		{"\x1f", 1, CODEC_NONE},
		{"", 0, CODEC_NONE},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(codec_sniff((const uint8_t *)rows[i].bytes,
					     rows[i].len),
				 rows[i].expect);
}

static void has_names(void **state)
{
	assert_string_equal(codec_name(CODEC_NONE), "tar");
	assert_string_equal(codec_name(CODEC_GZIP), "gzip");
	assert_string_equal(codec_name(CODEC_ZSTD), "zstd");
}

static void none_copies(void **state)
{
	static const size_t sizes[] = {0, 1, 999, 1000, 1001, 50000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct bytes plain = sample(sizes[i], (uint32_t)i);
		size_t marks;

		expect_plain(CODEC_NONE, &plain, &plain, 1000, &marks);
		assert_int_equal(marks, plain.len ? (plain.len - 1) / 1000 : 0);
		expect_plain(CODEC_NONE, &plain, &plain, 0, &marks);
		assert_int_equal(marks, 0);
		bytes_done(&plain);
	}
}

/* The input and the points at which a huge spacing would be counted wrongly. */
static void spacing_may_be_huge(void **state)
{
	struct bytes plain = sample(5000, 1);
	size_t marks;

	expect_plain(CODEC_NONE, &plain, &plain, UINT64_MAX, &marks);
	assert_int_equal(marks, 0);
	bytes_done(&plain);
}

static void refuses_nonsense(void **state)
{
	struct codec_point p = {.in_off = 5, .out_off = 6};
	struct decoder *d = NULL;

	assert_int_equal(decoder_new((enum codec)CODECS, 0, &d), -EINVAL);
	assert_int_equal(decoder_new((enum codec) - 1, 0, &d), -EINVAL);
	assert_int_equal(decoder_resume(CODEC_NONE, &p, NULL, 0, &d), -EINVAL);
	p.out_off = 5;
	assert_int_equal(decoder_resume(CODEC_NONE, &p, "a", 1, &d), -EINVAL);
	assert_null(d);
	assert_int_equal(decoder_resume(CODEC_NONE, &p, NULL, 0, &d), 0);
	decoder_free(d);
	decoder_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sniffs),
		cmocka_unit_test(has_names),
		cmocka_unit_test(none_copies),
		cmocka_unit_test(spacing_may_be_huge),
		cmocka_unit_test(refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
