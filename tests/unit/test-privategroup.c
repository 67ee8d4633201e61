/* SPDX-License-Identifier: Apache-2.0 */
/* Whose group it is, by files made for it. */
#include "fixture.h"

#include "config/privategroup.h"

#define ROOT "root:x:0:0:root:/root:/bin/bash\n"
#define ANN "ann:x:1000:1000::/home/ann:/bin/sh\n"
#define BOB "bob:x:1001:1001::/home/bob:/bin/sh\n"

static const struct {
	const char *passwd, *group;
	uid_t uid;
	gid_t gid;
	bool is_private;
} cases[] = {
	{ROOT ANN BOB, "root:x:0:\nann:x:1000:\nbob:x:1001:\n", 1000, 1000,
	 true},
	{ROOT ANN BOB, "root:x:0:\nann:x:1000:\nbob:x:1001:\n", 0, 0, true},
	/* its own user as a member */
	{ANN, "ann:x:1000:ann\n", 1000, 1000, true},
	/* two names of one user */
	{ROOT "toor:x:0:0::/:/bin/sh\n", "root:x:0:root\n", 0, 0, true},
	/* another's group */
	{ROOT ANN BOB, "ann:x:1000:\nbob:x:1001:\n", 1000, 1001, false},
	{ROOT ANN, "root:x:0:\nann:x:1000:\n", 0, 1000, false},
	{ROOT ANN, "root:x:0:\nann:x:1000:\n", 1000, 0, false},
	/* members */
	{ANN BOB, "ann:x:1000:bob\n", 1000, 1000, false},
	{ANN BOB, "ann:x:1000:ann,bob\n", 1000, 1000, false},
	/* by another line of the same number */
	{ANN BOB, "ann:x:1000:\nann:x:1000:bob\n", 1000, 1000, false},
	{ANN, "ann:x:1000:\nstaff:x:1000:\n", 1000, 1000, false},
	/* the first group of someone else, who is no member of it */
	{ANN "eve:x:1002:1000::/:/bin/sh\n", "ann:x:1000:\n", 1000, 1000,
	 false},
	{"eve:x:1002:1000::/:/bin/sh\n" ANN, "ann:x:1000:\n", 1000, 1000,
	 false},
	/* a group for everybody, in which nobody else is as yet */
	{"ann:x:1000:100::/:/bin/sh\n", "users:x:100:\n", 1000, 100, false},
	/* nobody knows */
	{ROOT, "ann:x:1000:\n", 1000, 1000, false},
	{ANN, "root:x:0:\n", 1000, 1000, false},
	{"", "", 1000, 1000, false},
	{NULL, "ann:x:1000:\n", 1000, 1000, false},
	{ANN, NULL, 1000, 1000, false},
};

static void tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		unlink(at("passwd"));
		unlink(at("group"));
		if (cases[i].passwd)
			put("passwd", cases[i].passwd);
		if (cases[i].group)
			put("group", cases[i].group);
		if (privategroup_is(at("passwd"), at("group"), cases[i].uid,
				    cases[i].gid) != cases[i].is_private)
			fail_msg("case %zu", i);
	}
}

/* Many members are read, too many are a doubt; wherever the line is. */
static void long_lines(void **state)
{
	static const struct {
		size_t members;
		bool is_private;
	} t[] = {{10000, true}, {60000, false}};

	(void)state;
	put("passwd", ROOT ANN);
	for (size_t i = 0; i < COUNT(t); i++) {
		FILE *f = fopen(at("group"), "w");

		assert_non_null(f);
		fputs("ann:x:1000:\nusers:x:100:u", f);
		for (size_t n = 0; n < t[i].members; n++)
			fprintf(f, ",user%zu", n);
		fputs("\n", f);
		assert_int_equal(fclose(f), 0);
		assert_int_equal(
			privategroup_is(at("passwd"), at("group"), 1000, 1000),
			t[i].is_private);
	}
}

#define TEST(f) cmocka_unit_test_teardown(f, fixture_clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables),
		TEST(long_lines),
	};
	int r;

	fixture_start();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
