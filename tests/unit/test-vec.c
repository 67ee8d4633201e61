/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/vec.h"

struct pair {
	int a;
	char b[13];
};

static void pushes(void **state)
{
	VEC(struct pair) v = {0};

	for (int i = 0; i < 1000; i++) {
		struct pair p = {i, "x"};

		assert_int_equal(vec_push(&v, p), 0);
		assert_true(v.cap >= v.len);
	}
	assert_int_equal(v.len, 1000);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(v.v[i].a, i);
		assert_string_equal(v.v[i].b, "x");
	}
	vec_done(&v);
	assert_null(v.v);
	assert_int_equal(v.len + v.cap, 0);
}

static void reuses_space(void **state)
{
	VEC(char) v = {0};
	size_t cap;

	assert_int_equal(vec_push(&v, 'a'), 0);
	cap = v.cap;
	v.len = 0;
	assert_int_equal(vec_push(&v, 'b'), 0);
	assert_int_equal(v.cap, cap);
	assert_int_equal(v.v[0], 'b');
	vec_done(&v);
}

static void refuses_overflow(void **state)
{
	size_t cap = SIZE_MAX / 2 + 1;

	assert_null(vec_grow_(NULL, &cap, 1));
	cap = SIZE_MAX / 32;
	assert_null(vec_grow_(NULL, &cap, 64));
	assert_int_equal(cap, SIZE_MAX / 32);
}

static void reports_no_memory(void **state)
{
	/* Full and too large to double. */
	VEC(uint64_t) v = {.len = SIZE_MAX / 8, .cap = SIZE_MAX / 8};

	assert_int_equal(vec_push(&v, 1), -ENOMEM);
	assert_int_equal(v.len, SIZE_MAX / 8);
	assert_null(v.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes),
		cmocka_unit_test(reuses_space),
		cmocka_unit_test(refuses_overflow),
		cmocka_unit_test(reports_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
