/* SPDX-License-Identifier: Apache-2.0 */
#include "util/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void feed(struct hasher *h, struct hash *plain, size_t len, uint8_t seed)
{
	uint8_t *buf = hasher_buffer(h);

	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(seed + i * 7);
	hash_update(plain, buf, len);
	hasher_give(h, len);
}

static void test_same_as_in_line(void **state)
{
	static const size_t lens[] = {0,
				      1,
				      63,
				      64,
				      65,
				      HASHER_BUFFER_BYTES,
				      HASHER_BUFFER_BYTES - 1,
				      4096};
	uint8_t want[HASH_MAX], got[HASH_MAX];
	struct hash plain;
	struct hasher *h;

	hash_init(&plain, HASH_SHA256);
	assert_int_equal(hasher_new(HASH_SHA256, &h), 0);
	/* More rounds than there are buffers. */
	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
			feed(h, &plain, lens[i], (uint8_t)(round + i));
	hash_final(&plain, want);
	hasher_final(h, got);
	assert_memory_equal(got, want, hash_size(HASH_SHA256));
	hasher_free(h);
}

static void test_left_alone(void **state)
{
	struct hasher *h;

	assert_int_equal(hasher_new(HASH_SHA512, &h), 0);
	memset(hasher_buffer(h), 1, 10);
	hasher_give(h, 10);
	hasher_free(h); /* without waiting for the end */
	hasher_free(NULL);
}

static void test_nothing(void **state)
{
	uint8_t want[HASH_MAX], got[HASH_MAX];
	struct hasher *h;

	assert_int_equal(hasher_new(HASH_SHA256, &h), 0);
	hasher_final(h, got);
	hash_once(HASH_SHA256, "", 0, want);
	assert_memory_equal(got, want, hash_size(HASH_SHA256));
	hasher_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_in_line),
		cmocka_unit_test(test_left_alone),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
