/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void adds(void **state)
{
	autostr s = {0};

	assert_null(s.buf);
	assert_int_equal(str_add(&s, ""), 0);
	assert_string_equal(s.buf, "");
	assert_int_equal(str_add(&s, "abc"), 0);
	assert_int_equal(str_addn(&s, "d\0e", 3), 0);
	assert_int_equal(str_addc(&s, 'f'), 0);
	assert_int_equal(str_addf(&s, "<%d %s>", 42, "x"), 0);
	assert_int_equal(s.len, 13);
	assert_memory_equal(s.buf, "abcd\0ef<42 x>", 14);
}

static void grows(void **state)
{
	autostr s = {0};

	for (int i = 0; i < 10000; i++)
		assert_int_equal(str_addf(&s, "%04d", i), 0);
	assert_int_equal(s.len, 40000);
	assert_int_equal(strlen(s.buf), 40000);
	assert_memory_equal(s.buf + 4 * 7531, "7531", 4);
}

static void keeps_to_max(void **state)
{
	autostr s = {.max = 5};

	assert_int_equal(str_add(&s, "abcdef"), -EFBIG);
	assert_int_equal(s.len, 0);
	assert_int_equal(str_add(&s, "abcd"), 0);
	assert_int_equal(str_add(&s, "ef"), -EFBIG);
	assert_int_equal(str_addf(&s, "%s", "ef"), -EFBIG);
	assert_int_equal(str_addn(&s, "", SIZE_MAX), -EFBIG);
	assert_string_equal(s.buf, "abcd");
	assert_int_equal(str_addc(&s, 'e'), 0);
	assert_int_equal(str_addc(&s, 'f'), -EFBIG);
	assert_string_equal(s.buf, "abcde");
}

static void default_max(void **state)
{
	autostr s = {0};

	assert_int_equal(str_reserve(&s, STR_MAX_DEFAULT + 1), -EFBIG);
	assert_int_equal(str_reserve(&s, STR_MAX_DEFAULT), 0);
	str_done(&s);
	s.max = SIZE_MAX;
	assert_int_equal(str_reserve(&s, SIZE_MAX), -EFBIG);
}

static void clears_and_truncates(void **state)
{
	autostr s = {0};

	str_clear(&s);
	str_truncate(&s, 3);
	assert_null(s.buf);
	assert_int_equal(str_add(&s, "abcdef"), 0);
	str_truncate(&s, 7);
	assert_string_equal(s.buf, "abcdef");
	str_truncate(&s, 2);
	assert_string_equal(s.buf, "ab");
	assert_int_equal(s.len, 2);
	str_clear(&s);
	assert_string_equal(s.buf, "");
	assert_int_equal(s.len, 0);
}

static void steals(void **state)
{
	autostr s = {.max = 10};
	autofree char *empty = str_steal(&s);
	autofree char *full = NULL;

	assert_non_null(empty);
	assert_string_equal(empty, "");
	assert_int_equal(str_add(&s, "abc"), 0);
	full = str_steal(&s);
	assert_string_equal(full, "abc");
	assert_null(s.buf);
	assert_int_equal(s.len, 0);
	assert_int_equal(s.max, 10);
	assert_int_equal(str_add(&s, "de"), 0);
	assert_string_equal(s.buf, "de");
}

static void helpers(void **state)
{
	autofree char *p = str_printf("%s-%d", "a", 7);

	assert_string_equal(p, "a-7");
	assert_true(str_prefix("abc", "ab"));
	assert_true(str_prefix("abc", ""));
	assert_false(str_prefix("ab", "abc"));
	assert_false(str_prefix("xab", "ab"));
	assert_true(str_suffix("abc", "bc"));
	assert_true(str_suffix("abc", ""));
	assert_false(str_suffix("bc", "abc"));
	assert_false(str_suffix("abcx", "bc"));
}

static void numbers(void **state)
{
	static const struct {
		const char *s;
		unsigned long long max;
		int r;
		unsigned long long v;
	} t[] = {
		{"0", 0, 0, 0},
		{"00", 0, 0, 0},
		{"1", 0, -ERANGE, 0},
		{"9", 8, -ERANGE, 0},
		{"10", 10, 0, 10},
		{"11", 10, -ERANGE, 0},
		{"42", 100, 0, 42},
		{"0042", 42, 0, 42},
		{"18446744073709551615", ~0ULL, 0, ~0ULL},
		{"18446744073709551616", ~0ULL, -ERANGE, 0},
		{"99999999999999999999999", ~0ULL, -ERANGE, 0},
		{"", 9, -EINVAL, 0},
		{"-1", 9, -EINVAL, 0},
		{"+1", 9, -EINVAL, 0},
		{" 1", 9, -EINVAL, 0},
		{"1 ", 9, -EINVAL, 0},
		{"0x1", 9, -EINVAL, 0},
		{"99x", 9, -EINVAL, 0},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		unsigned long long v = 77;

		assert_int_equal(str_to_u64(t[i].s, t[i].max, &v), t[i].r);
		assert_int_equal(v, t[i].r ? 77 : t[i].v);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *s;
		int r;
		unsigned long long v;
	} t[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"3K", 0, 3072},
		{"2M", 0, 2097152},
		{"5G", 0, 5368709120},
		{"1T", 0, 1099511627776},
		{"16777215T", 0, 16777215ULL << 40},
		{"16777216T", -ERANGE, 0},
		{"18446744073709551615", 0, ~0ULL},
		{"18446744073709551616", -ERANGE, 0},
		{"111111111111111111111111111111", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"K", -EINVAL, 0},
		{"1k", -EINVAL, 0},
		{"1KB", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"1 K", -EINVAL, 0},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		unsigned long long v = 77;

		assert_int_equal(str_to_size(t[i].s, &v), t[i].r);
		assert_int_equal(v, t[i].r ? 77 : t[i].v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds),
		cmocka_unit_test(grows),
		cmocka_unit_test(keeps_to_max),
		cmocka_unit_test(default_max),
		cmocka_unit_test(clears_and_truncates),
		cmocka_unit_test(steals),
		cmocka_unit_test(helpers),
		cmocka_unit_test(numbers),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
