/* SPDX-License-Identifier: Apache-2.0 */
/* The user's directories: by variables, and without any. */
#include "fixture.h"

#include <pwd.h>

#include "config/userdirs.h"
#include "util/auto.h"

static void set(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void by_variables(void **state)
{
	static const struct {
		int (*ask)(char **ret);
		const char *variable, *value, *home, *expected;
	} t[] = {
		{userdirs_home, "X", NULL, "/h", "/h"},
		{userdirs_config, "XDG_CONFIG_HOME", NULL, "/h", "/h/.config"},
		{userdirs_config, "XDG_CONFIG_HOME", "/c", "/h", "/c"},
		{userdirs_config, "XDG_CONFIG_HOME", "c", "/h", "/h/.config"},
		{userdirs_config, "XDG_CONFIG_HOME", "", "/h", "/h/.config"},
		{userdirs_cache, "XDG_CACHE_HOME", NULL, "/h", "/h/.cache"},
		{userdirs_cache, "XDG_CACHE_HOME", "/c", "/h", "/c"},
		{userdirs_runtime, "XDG_RUNTIME_DIR", "/r", "/h", "/r"},
		{userdirs_runtime, "XDG_RUNTIME_DIR", NULL, "/h", NULL},
		{userdirs_runtime, "XDG_RUNTIME_DIR", "r", "/h", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		autofree char *got = NULL;
		int r;

		set("HOME", t[i].home);
		set(t[i].variable, t[i].value);
		r = t[i].ask(&got);
		set(t[i].variable, NULL);
		assert_int_equal(r, t[i].expected ? 0 : -ENOENT);
		if (t[i].expected)
			assert_string_equal(got, t[i].expected);
		else
			assert_null(got);
	}
}

/* mount(8) and systemd start us without HOME. */
static void by_database(void **state)
{
	static const char *const homes[] = {NULL, "", "relative"};
	const struct passwd *me = getpwuid(geteuid());

	(void)state;
	for (size_t i = 0; i < COUNT(homes); i++) {
		autofree char *home = NULL;
		autofree char *config = NULL;
		char expected[512];

		set("HOME", homes[i]);
		if (!me || me->pw_dir[0] != '/') {
			assert_int_equal(userdirs_home(&home), -ENOENT);
			assert_int_equal(userdirs_config(&config), -ENOENT);
			continue;
		}
		assert_int_equal(userdirs_home(&home), 0);
		assert_string_equal(home, me->pw_dir);
		snprintf(expected, sizeof(expected), "%s/.config", me->pw_dir);
		assert_int_equal(userdirs_config(&config), 0);
		assert_string_equal(config, expected);
	}
}

static void absolute(void **state)
{
	autofree char *home = NULL;
	autofree char *as_it_is = NULL;
	autofree char *beneath = NULL;
	autofree char *gone = NULL;
	char expected[512], before[512];

	(void)state;
	set("HOME", "/h");
	assert_int_equal(userdirs_absolute("~/a/b", &home), 0);
	assert_string_equal(home, "/h/a/b");
	assert_int_equal(userdirs_absolute("/a/~/b", &as_it_is), 0);
	assert_string_equal(as_it_is, "/a/~/b");

	assert_non_null(getcwd(before, sizeof(before)));
	make_dir("here");
	assert_int_equal(chdir(at("here")), 0);
	snprintf(expected, sizeof(expected), "%s/~x", at("here"));
	assert_int_equal(userdirs_absolute("~x", &beneath), 0);
	assert_string_equal(beneath, expected);
	/* A directory that is no more has no name. */
	assert_int_equal(rmdir(at("here")), 0);
	assert_int_equal(userdirs_absolute("x", &gone), -ENOENT);
	assert_null(gone);
	assert_int_equal(chdir(before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_variables),
		cmocka_unit_test(by_database),
		cmocka_unit_test(absolute),
	};
	int failed;

	fixture_start();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return failed;
}
