/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "content/ahead.h"

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)

struct step {
	uint64_t off;
	size_t len;
	uint64_t window;
};

static void run_as(bool bold, const struct step *v, size_t n, uint64_t limit)
{
	struct ahead a;

	ahead_init(&a, limit, bold);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ahead_window(&a, v[i].off, v[i].len),
				 v[i].window);
	ahead_done(&a);
}

static void run(const struct step *v, size_t n, uint64_t limit)
{
	run_as(false, v, n, limit);
}

static void test_window_follows_what_was_read(void **state)
{
	static const struct step v[] = {
		{0, 128 * KIB, 0},
		{128 * KIB, 128 * KIB, 1 * MIB},
		{256 * KIB, 128 * KIB, 1536 * KIB},
		{384 * KIB, 128 * KIB, 2 * MIB},
		{512 * KIB, 1 * MIB, 6 * MIB},
		{1536 * KIB, 1 * MIB, 7 * MIB}, /* the limit */
	};

	run(v, 6, 7 * MIB);
}

/* Who asks for much of the beginning wants it all; but not in the middle. */
static void test_bold_beginning(void **state)
{
	static const struct step all[] = {
		{0, 256 * KIB, 1 * MIB},
		{256 * KIB, 512 * KIB, 3 * MIB},
	};
	static const struct step some[] = {{0, 256 * KIB - 1, 0}};
	static const struct step middle[] = {{4 * KIB, 1 * MIB, 0}};

	static const struct step timid[] = {{0, 1 * MIB, 0}};

	run_as(true, all, 2, 32 * MIB);
	run_as(true, some, 1, 32 * MIB);
	run_as(true, middle, 1, 32 * MIB);
	run(timid, 1, 32 * MIB);
}

static void test_seek_starts_anew(void **state)
{
	static const struct step v[] = {
		{0, 1 * MIB, 0},
		{1 * MIB, 1 * MIB, 8 * MIB},
		{100 * MIB, 4 * KIB, 0},
		{100 * MIB + 4 * KIB, 128 * KIB, 1 * MIB},
		{50 * MIB, 4 * KIB, 0},
		{10 * MIB, 4 * KIB, 0},
	};

	run(v, 6, 32 * MIB);
}

/* The kernel's own read-ahead arrives in disorder. */
static void test_disorder_is_sequential(void **state)
{
	static const struct step v[] = {
		{0, 128 * KIB, 0},
		{256 * KIB, 128 * KIB, 1536 * KIB},
		{128 * KIB, 128 * KIB, 1536 * KIB}, /* behind: not grown */
		{384 * KIB, 128 * KIB, 2 * MIB},
	};

	run(v, 4, 32 * MIB);
}

static void test_first_read_in_the_middle(void **state)
{
	static const struct step v[] = {
		{512 * MIB, 4 * KIB, 0},
		{512 * MIB + 4 * KIB, 4 * KIB, 1 * MIB},
	};

	run(v, 2, 32 * MIB);
}

static void test_no_read_ahead(void **state)
{
	static const struct step v[] = {
		{0, 128 * KIB, 0},
		{128 * KIB, 128 * KIB, 0},
		{256 * KIB, 128 * KIB, 0},
	};

	run(v, 3, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window_follows_what_was_read),
		cmocka_unit_test(test_bold_beginning),
		cmocka_unit_test(test_seek_starts_anew),
		cmocka_unit_test(test_disorder_is_sequential),
		cmocka_unit_test(test_first_read_in_the_middle),
		cmocka_unit_test(test_no_read_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
