/* SPDX-License-Identifier: Apache-2.0 */
/* Whose directory it is, and by which way; links of strangers need two users,
 * which tests/system has. */
#include "fixture.h"

#include "util/auto.h"
#include "util/privatedir.h"

/* 0, or what was refused and why. */
static int open_one(const char *path, char why[256])
{
	autofree char *reason = NULL;
	int fd = -7, r;

	r = privatedir_open(path, &reason, &fd);
	snprintf(why, 256, "%s", reason ? reason : "");
	if (r == 0) {
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		close(fd);
	} else {
		assert_int_equal(fd, -7);
	}
	return r;
}

static void makes_it(void **state)
{
	static const char *const paths[] = {"a/b", "a//b/", "x/./y//", "a/../z",
					    "."};
	char why[256];
	struct stat st;

	for (size_t i = 0; i < COUNT(paths); i++) {
		assert_int_equal(open_one(at(paths[i]), why), 0);
		assert_int_equal(open_one(at(paths[i]), why), 0);
	}
	assert_int_equal(stat(at("a"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(stat(at("x/y"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(chdir(at(".")), 0);
	assert_int_equal(open_one("relative/one", why), 0);
	assert_int_equal(stat(at("relative/one"), &st), 0);
}

static void modes(void **state)
{
	static const struct {
		mode_t mode;
		int r;
	} t[] = {{0700, 0}, {0755, 0}, {0770, -EPERM}, {0702, -EPERM}};
	char why[256];

	make_dir("d");
	for (size_t i = 0; i < COUNT(t); i++) {
		assert_int_equal(chmod(at("d"), t[i].mode), 0);
		assert_int_equal(open_one(at("d"), why), t[i].r);
		if (t[i].r < 0)
			assert_says(why, "chmod go-w");
	}
}

static void links(void **state)
{
	char why[256], path[256];

	make_dir("d/e");
	assert_int_equal(symlink("d", at("link")), 0);
	assert_int_equal(symlink("e", at("d/final")), 0);
	assert_int_equal(symlink("round", at("round")), 0);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	snprintf(path, sizeof(path), "%s/../%s", fixture_dir,
		 strrchr(fixture_dir, '/') + 1);
	assert_int_equal(symlink(path, at("d/top")), 0);

	assert_int_equal(open_one(at("link"), why), -ELOOP);
	assert_says(why, "name the directory");
	assert_int_equal(open_one(at("link//"), why), -ELOOP);
	assert_int_equal(open_one(at("link/final"), why), -ELOOP);
	assert_int_equal(open_one(at("dangling"), why), -ELOOP);
	assert_int_equal(open_one(at("round/x"), why), -ELOOP);
	/* ours, on the way: relative, and absolute */
	assert_int_equal(open_one(at("link/new"), why), 0);
	assert_int_equal(access(at("d/new"), F_OK), 0);
	assert_int_equal(open_one(at("link/top/d/top/other"), why), 0);
	assert_int_equal(access(at("other"), F_OK), 0);
	assert_int_equal(open_one(at("dangling/x"), why), 0);
	assert_int_equal(access(at("nowhere/x"), F_OK), 0);
}

static void refuses(void **state)
{
	char why[256], name[600];

	put("f", "");
	assert_int_equal(open_one(at("f"), why), -ENOTDIR);
	assert_says(why, "f is not a directory");
	assert_int_equal(open_one(at("f/g"), why), -ENOTDIR);
	assert_int_equal(open_one("", why), -ENOENT);
	assert_int_equal(open_one("/proc/registryfs", why), -ENOENT);
	if (geteuid() != 0) {
		assert_int_equal(open_one("/", why), -EPERM);
		assert_says(why, "belongs to user 0");
	}
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[300] = 0;
	assert_int_equal(open_one(name, why), -ENAMETOOLONG);
}

#define TEST(f) cmocka_unit_test_teardown(f, fixture_clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(makes_it),
		TEST(modes),
		TEST(links),
		TEST(refuses),
	};
	int r;

	fixture_start();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
