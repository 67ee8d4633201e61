/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/fd.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

struct place {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	static struct place p;
	char template[] = "/tmp/test-fd-XXXXXX";

	umask(022);
	if (!mkdtemp(template))
		return -1;
	snprintf(p.path, sizeof(p.path), "%s", template);
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &p;
	return p.fd < 0 ? -1 : 0;
}

static int remove_tree(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    unlinkat(fd, e->d_name, 0) < 0)
			remove_tree(fd, e->d_name);
	}
	if (d)
		closedir(d);
	return unlinkat(at, name, AT_REMOVEDIR);
}

static int teardown(void **state)
{
	struct place *p = *state;

	close(p->fd);
	return remove_tree(AT_FDCWD, p->path);
}

static void write_text(const struct place *p, const char *name,
		       const char *text)
{
	assert_int_equal(fd_replace_file(p->fd, name, text, strlen(text)), 0);
}

static int count_entries(const struct place *p)
{
	DIR *d = opendir(p->path);
	int n = -2; /* . and .. */

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void preads_and_pwrites(void **state)
{
	struct place *p = *state;
	autoclose int fd = fd_openat(p->fd, "f", O_RDWR | O_CREAT, 0600);
	char buf[16] = "";

	assert_true(fd >= 0);
	assert_int_equal(fd_pwrite_all(fd, "hello", 5, 3), 0);
	assert_int_equal(fd_pread_all(fd, buf, 16, 0), 8);
	assert_memory_equal(buf, "\0\0\0hello", 8);
	assert_int_equal(fd_pread_all(fd, buf, 3, 4), 3);
	assert_memory_equal(buf, "ell", 3);
	assert_int_equal(fd_pread_all(fd, buf, 3, 8), 0);
	assert_int_equal(fd_pread_all(fd, buf, 3, UINT64_MAX), -EINVAL);
	assert_int_equal(fd_pwrite_all(fd, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(fd_pread_all(-1, buf, 3, 0), -EBADF);
	assert_int_equal(fd_pwrite_all(-1, "x", 1, 0), -EBADF);
	assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

static void tick(int sig)
{
	(void)sig;
}

/* Writes 00010002..., often interrupted with the pipe full. */
static int write_numbers(int fd, const char *numbers, size_t n)
{
	struct sigaction action = {.sa_handler = tick};
	struct itimerval every = {{0, 2000}, {0, 2000}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	return fd_write_all(fd, numbers, n) ? 1 : 0;
}

static void writes_all_to_pipe(void **state)
{
	enum { NUMBERS = 75000, SIZE = 4 * NUMBERS };
	autofree char *data = malloc(SIZE + 2), *back = NULL;
	char path[32];
	int fds[2], status;
	size_t len;
	pid_t pid;

	for (unsigned int i = 0; i < NUMBERS; i++)
		snprintf(data + (size_t)4 * i, 5, "%04x", i & 0xffff);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		_exit(write_numbers(fds[1], data, SIZE));
	}
	close(fds[1]);
	usleep(20000);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	assert_int_equal(fd_read_file(AT_FDCWD, path, SIZE, &back, &len), 0);
	assert_int_equal(len, SIZE);
	assert_memory_equal(back, data, SIZE);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void reads_whole_files(void **state)
{
	static const size_t sizes[] = {0,    1,	   4094, 4095, 4096,
				       4097, 8191, 8192, 20000};
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t n = sizes[i], len = 0;
		autofree char *data = malloc(n + 1), *back = NULL;
		char *same = data;

		memset(data, 'a' + (int)i, n);
		assert_int_equal(fd_replace_file(p->fd, "f", data, n), 0);
		assert_int_equal(fd_read_file(p->fd, "f", n, &back, &len), 0);
		assert_int_equal(len, n);
		assert_memory_equal(back, data, n);
		assert_int_equal(back[n], 0);
		if (n == 0)
			continue;
		assert_int_equal(fd_read_file(p->fd, "f", n - 1, &same, &len),
				 -EFBIG);
		assert_ptr_equal(same, data);
		assert_int_equal(len, n);
	}
}

static void reports_unreadable(void **state)
{
	struct place *p = *state;
	char *ret = NULL;

	assert_int_equal(fd_read_file(p->fd, "none", 9, &ret, NULL), -ENOENT);
	assert_int_equal(fd_read_file(p->fd, ".", 9, &ret, NULL), -EISDIR);
	assert_null(ret);
}

static void opens_beneath(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *name;
		int r;
	} t[] = {
		{"a/f", 0},
		{"a", 0},
		{".", 0},
		{"a/none", -ENOENT},
		{"none/f", -ENOENT},
		{"a/f/x", -ENOTDIR},
		{"flink", -ELOOP},
		{"dlink/f", -ENOTDIR},
		{"a/../a/f", -EINVAL},
		{"..", -EINVAL},
		{"/etc", -EINVAL},
		{"", -EINVAL},
		{"a//f", -EINVAL},
		{"a/", -EINVAL},
	};
	char longname[400];

	assert_int_equal(mkdirat(p->fd, "a", 0700), 0);
	write_text(p, "f", "x");
	assert_int_equal(renameat(p->fd, "f", p->fd, "a/f"), 0);
	assert_int_equal(symlinkat("a/f", p->fd, "flink"), 0);
	assert_int_equal(symlinkat("a", p->fd, "dlink"), 0);
	for (size_t i = 0; i < COUNT(t); i++) {
		int r = fd_openat(p->fd, t[i].name, O_RDONLY, 0);

		assert_int_equal(r < 0 ? r : 0, t[i].r);
		if (r >= 0) {
			assert_int_equal(fcntl(r, F_GETFD), FD_CLOEXEC);
			close(r);
		}
	}
	memset(longname, 'x', sizeof(longname));
	longname[300] = 0;
	assert_int_equal(fd_openat(p->fd, longname, O_RDONLY, 0),
			 -ENAMETOOLONG);
}

static void replaces_files(void **state)
{
	struct place *p = *state;
	autofree char *text = NULL;
	struct stat before, after;

	write_text(p, "f", "old");
	assert_int_equal(fstatat(p->fd, "f", &before, 0), 0);
	assert_int_equal(before.st_mode, S_IFREG | 0600);
	write_text(p, "f", "new text");
	assert_int_equal(fstatat(p->fd, "f", &after, 0), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(fd_read_file(p->fd, "f", 99, &text, NULL), 0);
	assert_string_equal(text, "new text");
	assert_int_equal(count_entries(p), 1);
}

static void replace_leaves_nothing_behind(void **state)
{
	struct place *p = *state;

	assert_int_equal(mkdirat(p->fd, "d", 0700), 0);
	assert_int_equal(fd_replace_file(p->fd, "d", "x", 1), -EISDIR);
	assert_int_equal(fd_replace_file(p->fd, "", "x", 1), -EINVAL);
	assert_int_equal(fd_replace_file(p->fd, "d/x", "x", 1), -EINVAL);
	assert_int_equal(fd_replace_file(-1, "x", "x", 1), -EBADF);
	assert_int_equal(count_entries(p), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(preads_and_pwrites),
		TEST(writes_all_to_pipe),
		TEST(reads_whole_files),
		TEST(reports_unreadable),
		TEST(opens_beneath),
		TEST(replaces_files),
		TEST(replace_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
