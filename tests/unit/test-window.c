/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packs_and_unpacks),
		cmocka_unit_test(packs_nothing_into_nothing),
		cmocka_unit_test(packs_zeros_well),
		cmocka_unit_test(refuses_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
