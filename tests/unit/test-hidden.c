/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "fs/hidden.h"

static void test_for_a_moment(void **state)
{
	struct hidden h;

	(void)state;
	hidden_init(&h);
	assert_false(hidden_has(&h, 7, "rootfs", 1000));
	hidden_add(&h, 7, "rootfs", 1000 + HIDDEN_MS);
	assert_true(hidden_has(&h, 7, "rootfs", 1000));
	assert_true(hidden_has(&h, 7, "rootfs", 1000 + HIDDEN_MS - 1));
	assert_false(hidden_has(&h, 7, "rootfs", 1000 + HIDDEN_MS));
	assert_false(hidden_has(&h, 8, "rootfs", 1000));
	assert_false(hidden_has(&h, 7, "config.json", 1000));
	hidden_done(&h);
}

static void test_made_anew(void **state)
{
	struct hidden h;

	(void)state;
	hidden_init(&h);
	hidden_add(&h, 7, "00", 1000 + HIDDEN_MS);
	hidden_add(&h, 7, "01", 1000 + HIDDEN_MS);
	hidden_add(&h, 7, "00", 1001 + HIDDEN_MS);
	hidden_remove(&h, 7, "00");
	assert_false(hidden_has(&h, 7, "00", 1001));
	assert_true(hidden_has(&h, 7, "01", 1001));
	hidden_done(&h);
}

static void test_the_oldest_goes(void **state)
{
	struct hidden h;
	char name[16];

	(void)state;
	hidden_init(&h);
	for (int i = 0; i <= HIDDEN_NAMES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		hidden_add(&h, 7, name, 1000 + HIDDEN_MS);
	}
	assert_false(hidden_has(&h, 7, "0", 1000));
	assert_true(hidden_has(&h, 7, "1", 1000));
	assert_true(hidden_has(&h, 7, name, 1000));
	hidden_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_for_a_moment),
		cmocka_unit_test(test_made_anew),
		cmocka_unit_test(test_the_oldest_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
