/* SPDX-License-Identifier: Apache-2.0 */
/* What who started it gets to know, and what systemd does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/daemon.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* --- the fork --- */

static int told[2]; /* a pipe from the one in the background */

static void tell(char c)
{
	if (write(told[1], &c, 1) != 1)
		_exit(99);
}

static void is_well(int fd)
{
	struct stat null, st;
	bool gone = true;

	tell(getsid(0) == getpid() ? 's' : '?');
	daemon_report(fd, 0);
	stat("/dev/null", &null);
	for (int i = 0; i <= 2; i++)
		gone &= fstat(i, &st) == 0 && st.st_rdev == null.st_rdev;
	tell(gone ? 'n' : '?');
}

static void cannot(int fd)
{
	struct stat before, after;

	fstat(2, &before);
	daemon_report(fd, 32);
	fstat(2, &after);
	tell(before.st_ino == after.st_ino ? 'k' : '?');
}

static void dies(int fd)
{
	(void)fd;
	tell('d');
}

/* The status that the caller sees. */
static int start(void (*background)(int fd), char said[8])
{
	int status, fd = -1;
	size_t n = 0;
	pid_t pid;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(told[0]);
		if (daemon_fork(&fd) < 0)
			_exit(98);
		background(fd);
		exit(0);
	}
	close(told[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	/* To its end: nobody is left behind. */
	while (n < 7 && read(told[0], said + n, 1) == 1)
		n++;
	said[n] = '\0';
	close(told[0]);
	return WEXITSTATUS(status);
}

static void background(void **state)
{
	static const struct {
		void (*what)(int fd);
		int status;
		const char *said;
	} t[] = {
		{is_well, 0, "sn"},
		{cannot, 32, "k"},
		{dies, 2, "d"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		char said[8];

		assert_int_equal(start(t[i].what, said), t[i].status);
		assert_string_equal(said, t[i].said);
	}
}

/* In the foreground nobody waits, and the streams stay. */
static void foreground(void **state)
{
	struct stat before, after;

	(void)state;
	assert_int_equal(fstat(1, &before), 0);
	daemon_report(-1, 0);
	assert_int_equal(fstat(1, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

/* --- systemd --- */

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(a.sun_path, path, len);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&a,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	return fd;
}

static void notifies(void **state)
{
	char dir[] = "/tmp/registryfs-test-XXXXXX", path[64], abstract[64];
	const char *places[] = {path, abstract};

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(abstract, sizeof(abstract), "@%s", dir);
	for (size_t i = 0; i < COUNT(places); i++) {
		int fd = listen_at(places[i]);
		char got[32] = "";

		setenv("NOTIFY_SOCKET", places[i], 1);
		notify_send("READY=1");
		assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), 7);
		assert_string_equal(got, "READY=1");
		close(fd);
	}
	unlink(path);
	rmdir(dir);
	unsetenv("NOTIFY_SOCKET");
}

/* Nobody listens, or it cannot be an address: nothing happens. */
static void nobody_to_notify(void **state)
{
	char longest[200];
	const char *places[] = {"/nowhere/at/all", "relative", "", longest};

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	for (size_t i = 0; i < COUNT(places); i++) {
		setenv("NOTIFY_SOCKET", places[i], 1);
		notify_send("READY=1");
	}
	unsetenv("NOTIFY_SOCKET");
}

static void watchdog(void **state)
{
	char mine[16];
	const struct {
		const char *usec, *pid;
		unsigned ms;
	} t[] = {
		{NULL, NULL, 0},
		{"60000000", NULL, 30000},
		{"60000000", mine, 30000},
		{"60000000", "1", 0},
		{"60000000", "x", 0},
		{"x", NULL, 0},
		{"-1", NULL, 0},
		{"", NULL, 0},
		{"99999999999999", NULL, 0},
		{NULL, mine, 0},
	};

	(void)state;
	snprintf(mine, sizeof(mine), "%d", (int)getpid());
	for (size_t i = 0; i < COUNT(t); i++) {
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (t[i].usec)
			setenv("WATCHDOG_USEC", t[i].usec, 1);
		if (t[i].pid)
			setenv("WATCHDOG_PID", t[i].pid, 1);
		if (notify_watchdog_ms() != t[i].ms)
			fail_msg("%zu: %u", i, notify_watchdog_ms());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(background),
		cmocka_unit_test(foreground),
		cmocka_unit_test(notifies),
		cmocka_unit_test(watchdog),
		cmocka_unit_test(nobody_to_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
