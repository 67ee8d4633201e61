/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/digest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ABC256                                                                 \
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC512                                                                 \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"     \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define HEX63 "a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const struct {
	const char *text;
	int r;
} parse_rows[] = {
	{"sha256:" ABC256, 0},
	{"sha512:" ABC512, 0},
	{"", -EINVAL},
	{":", -EINVAL},
	{"sha256", -EINVAL},
	{"sha256:", -EINVAL},
	{":" ABC256, -EINVAL},
	{ABC256, -EINVAL},
	{"sha256:" HEX63, -EINVAL},
	{"sha256:" ABC256 "0", -EINVAL},
	{"sha256:" ABC256 "00", -EINVAL},
	{"sha256:" ABC256 "\n", -EINVAL},
	{"sha256:" HEX63 "B", -EINVAL},
	{"sha256:" HEX63 "g", -EINVAL},
	{"sha256: " HEX63, -EINVAL},
	{"sha256:../../../../../../../../../../../../../../../../../../../../a",
	 -EINVAL},
	{"sha256+" ABC256, -EINVAL},
	{"sha256::" HEX63, -EINVAL},
	{"SHA256:" ABC256, -EINVAL},
	{" sha256:" ABC256, -EINVAL},
	{"sha25:" ABC256, -EINVAL},
	{"sha2566:" ABC256, -EINVAL},
	{"sha512:" ABC256, -EINVAL},
	{"sha256:" ABC512, -EINVAL},
	{"sha384:" ABC256, -EINVAL},
	{"md5:900150983cd24fb0d6963f7d28e17f72", -EINVAL},
	{"blake3:" ABC256, -EINVAL},
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(parse_rows) / sizeof(*parse_rows); i++) {
		const char *s = parse_rows[i].text;
		struct digest d, before;
		char text[DIGEST_TEXT_MAX];

		memset(&d, 0x5a, sizeof(d));
		before = d;
		if (digest_parse(s, &d) != parse_rows[i].r)
			fail_msg("row %zu: \"%s\"", i, s);
		if (parse_rows[i].r < 0) {
			assert_memory_equal(&d, &before, sizeof(d));
			continue;
		}
		digest_format(&d, text);
		assert_string_equal(text, s);
	}
}

static void test_parsen(void **state)
{
	const char *s = "sha256:" ABC256 "/trailing";
	char nul[] = "sha256:" ABC256;
	struct digest d;

	assert_int_equal(digest_parsen(s, 71, &d), 0);
	assert_int_equal(digest_parsen(s, 70, &d), -EINVAL);
	assert_int_equal(digest_parsen(s, 72, &d), -EINVAL);
	assert_int_equal(digest_parsen(s, 6, &d), -EINVAL);
	assert_int_equal(digest_parsen(NULL, 0, &d), -EINVAL);
	nul[20] = '\0';
	assert_int_equal(digest_parsen(nul, 71, &d), -EINVAL);
}

static void test_parts(void **state)
{
	struct digest a, b;
	char hex[129];

	assert_int_equal(digest_parse("sha512:" ABC512, &a), 0);
	assert_int_equal(digest_parse_parts("sha512", ABC512, &b), 0);
	assert_true(digest_equal(&a, &b));
	assert_string_equal(digest_alg_name(&b), "sha512");
	digest_hex(&b, hex);
	assert_string_equal(hex, ABC512);
	assert_int_equal(digest_parse_parts("sha256", ABC512, &b), -EINVAL);
	assert_int_equal(digest_parse_parts("", ABC256, &b), -EINVAL);
	assert_int_equal(digest_parse_parts("sha256", "", &b), -EINVAL);
	assert_int_equal(digest_parse_parts("..", ABC256, &b), -EINVAL);
}

static void test_of(void **state)
{
	static const struct {
		enum hash_alg alg;
		const char *bytes, *digest;
	} rows[] = {
		{HASH_SHA256, "abc", "sha256:" ABC256},
		{HASH_SHA512, "abc", "sha512:" ABC512},
		{HASH_SHA256, "{}",
		 "sha256:44136fa355b3678a1146ad16f7e8649e"
		 "94fb4fc21fe77e8310c060f61caaff8a"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[DIGEST_TEXT_MAX];
		struct digest d;

		memset(&d, 0x5a, sizeof(d));
		digest_of(rows[i].alg, rows[i].bytes, strlen(rows[i].bytes),
			  &d);
		digest_format(&d, text);
		assert_string_equal(text, rows[i].digest);
		for (size_t j = hash_size(d.alg); j < HASH_MAX; j++)
			assert_int_equal(d.raw[j], 0);
	}
}

static void test_equal(void **state)
{
	struct digest a, b;

	digest_of(HASH_SHA256, "a", 1, &a);
	digest_of(HASH_SHA256, "b", 1, &b);
	assert_false(digest_equal(&a, &b));
	b = a;
	assert_true(digest_equal(&a, &b));
	b.raw[31] ^= 1;
	assert_false(digest_equal(&a, &b));
	b = a;
	b.alg = HASH_SHA512;
	assert_false(digest_equal(&a, &b));
}

static void test_short(void **state)
{
	struct digest d;
	char text[24];

	digest_of(HASH_SHA256, "abc", 3, &d);
	digest_short(&d, text);
	assert_string_equal(text, "sha256:ba7816bf8f01");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_parsen),
		cmocka_unit_test(test_parts), cmocka_unit_test(test_of),
		cmocka_unit_test(test_equal), cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
