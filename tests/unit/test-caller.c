/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/caller.h"

static enum caller_intent parse(long number, int flags)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "%ld 0xffffff9c 0x7ffd9ecc9d8 0x%x 0x1b6 0x0 0x0 "
		 "0x7ffcd9ecc9d8 0x7ff4bc5162ad\n",
		 number, (unsigned)flags);
	return caller_parse(text);
}

static void test_open(void **state)
{
	(void)state;
	assert_int_equal(parse(SYS_openat, O_RDONLY), CALLER_LOOKS);
	assert_int_equal(parse(SYS_openat, O_WRONLY | O_TRUNC), CALLER_LOOKS);
	assert_int_equal(parse(SYS_openat, O_WRONLY | O_CREAT), CALLER_OTHER);
	assert_int_equal(parse(SYS_openat, O_WRONLY | O_CREAT | O_EXCL),
			 CALLER_MAKES);
#ifdef SYS_open
	assert_int_equal(caller_parse("2 0x1 0xc1 0x1b6 0x0 0x0 0x0 0x1 0x2"),
			 CALLER_MAKES);
	assert_int_equal(caller_parse("2 0x1 0x0 0xc1 0x0 0x0 0x0 0x1 0x2"),
			 CALLER_LOOKS);
#endif
}

static void test_others(void **state)
{
	(void)state;
	assert_int_equal(parse(SYS_newfstatat, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_statx, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_llistxattr, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_getxattr, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_utimensat, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_fchmodat, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_fchownat, 0), CALLER_LOOKS);
	assert_int_equal(parse(SYS_mkdirat, 0), CALLER_MAKES_DIRECTORY);
	assert_int_equal(parse(SYS_symlinkat, 0), CALLER_MAKES);
	assert_int_equal(parse(SYS_linkat, 0), CALLER_OTHER);
	assert_int_equal(parse(SYS_renameat2, 0), CALLER_OTHER);
	assert_int_equal(parse(SYS_unlinkat, 0), CALLER_OTHER);
}

static void test_unreadable(void **state)
{
	(void)state;
	assert_int_equal(caller_parse(""), CALLER_UNKNOWN);
	assert_int_equal(caller_parse("running\n"), CALLER_UNKNOWN);
	assert_int_equal(caller_intent(0), CALLER_UNKNOWN);
	assert_int_equal(caller_intent(-1), CALLER_UNKNOWN);
}

static void test_last(void **state)
{
	char path[] = "/tmp/test-caller-XXXXXX";
	int ends[2], fd = mkstemp(path), other;
	struct stat st;
	pid_t child;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_false(caller_is_last(getpid(), st.st_ino));
	other = dup(fd);
	assert_int_equal(close(fd), 0);
	assert_false(caller_is_last(getpid(), st.st_ino));
	/* A child holds it till the pipe is closed. */
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[1]);
		_exit(read(ends[0], path, 1) != 0);
	}
	assert_int_equal(close(other), 0);
	assert_false(caller_is_last(getpid(), st.st_ino));
	assert_int_equal(close(ends[1]), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(close(ends[0]), 0);
	assert_true(caller_is_last(getpid(), st.st_ino));
	assert_false(caller_is_last(0, st.st_ino));
	assert_false(caller_is_last(-1, st.st_ino));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
