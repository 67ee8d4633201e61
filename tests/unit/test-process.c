/* SPDX-License-Identifier: Apache-2.0 */
/* Who is dying: from texts, and from real processes that are. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/process.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* A line of /proc/TID/stat with this name, these flags, this exit code. */
static const char *stat_text(const char *name, const char *flags,
			     const char *code)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		 "4242 (%s) S 1 4242 4242 0 -1 %s 100 0 0 0 1 2 0 0 20 0 1 0 "
		 "12345 1000000 200 18446744073709551615 1 1 0 0 0 0 0 4096 "
		 "1088 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 %s\n",
		 name, flags, code);
	return text;
}

static void parse_stat(void **state)
{
	static const struct {
		const char *name, *flags, *code;
		enum process_state visible, hidden;
	} t[] = {
		{"cp", "4194304", "0", PROCESS_ALIVE, PROCESS_ALIVE},
		{"cp", "0", "0", PROCESS_ALIVE, PROCESS_ALIVE},
		/* an old code of a process that lives says nothing */
		{"cp", "4194304", "9", PROCESS_ALIVE, PROCESS_ALIVE},
		{"cp", "4194308", "0", PROCESS_EXITED, PROCESS_UNKNOWN},
		{"cp", "4194308", "256", PROCESS_DYING, PROCESS_UNKNOWN},
		{"cp", "4195332", "9", PROCESS_DYING, PROCESS_DYING},
		{"cp", "1028", "15", PROCESS_DYING, PROCESS_DYING},
		/* a thread of one that called exit(0) */
		{"skopeo", "1028", "0", PROCESS_EXITED, PROCESS_DYING},
		/* a signal to a process that has not begun to exit */
		{"cp", "1024", "0", PROCESS_ALIVE, PROCESS_ALIVE},
		/* names */
		{"a b", "4", "256", PROCESS_DYING, PROCESS_UNKNOWN},
		{"a) S 1 2", "4", "256", PROCESS_DYING, PROCESS_UNKNOWN},
		{") (", "4", "0", PROCESS_EXITED, PROCESS_UNKNOWN},
		{"x\n(y)\n", "4", "0", PROCESS_EXITED, PROCESS_UNKNOWN},
		{"", "4", "1", PROCESS_DYING, PROCESS_UNKNOWN},
		/* what is no such line */
		{"cp", "-1", "0", PROCESS_UNKNOWN, PROCESS_UNKNOWN},
		{"cp", "x", "0", PROCESS_UNKNOWN, PROCESS_UNKNOWN},
		{"cp", "4x", "0", PROCESS_UNKNOWN, PROCESS_UNKNOWN},
		{"cp", "4", "", PROCESS_UNKNOWN, PROCESS_UNKNOWN},
		{"cp", "4", "-", PROCESS_UNKNOWN, PROCESS_UNKNOWN},
	};
	static const char *const bad[] = {
		"",
		")",
		") ",
		"1 (cp) S 1",
		"1 (cp)S",
		"1 cp S 1",
		"1 (cp) S 1 2 3 4 5 4",
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		const char *text = stat_text(t[i].name, t[i].flags, t[i].code);

		if (process_parse_stat(text, true) != t[i].visible ||
		    process_parse_stat(text, false) != t[i].hidden)
			fail_msg("%s: %d, %d", text,
				 process_parse_stat(text, true),
				 process_parse_stat(text, false));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(process_parse_stat(bad[i], true),
				 PROCESS_UNKNOWN);
}

static void parse_status(void **state)
{
	static const struct {
		const char *text;
		pid_t expected;
	} t[] = {
		{"Name:\tcp\nUmask:\t0022\nState:\tR\nTgid:\t77\nPid:\t78\n",
		 77},
		{"Name:\tTgid:\t5\nTgid:\t6\n", 6},
		{"Name:\tx\\nTgid:\t5\nTgid:\t6\n", 6},
		{"Name:\tx\nTgid:\t0\n", 0},
		{"Name:\tx\nTgid:\t\nPid:\t9\n", 0},
		{"Name:\tx\nTgid:\t99999999999\n", 0},
		{"Name:\tx\n", 0},
		{"", 0},
	};

	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(process_parse_status(t[i].text),
				 t[i].expected);
}

static _Atomic pid_t sleeper_tid;

static void *sleeper(void *arg)
{
	sleeper_tid = (pid_t)syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static void alive(void **state)
{
	pthread_t thread;
	pid_t pid = -1;

	assert_int_equal(process_look(getpid(), &pid), PROCESS_ALIVE);
	assert_int_equal(pid, getpid());
	assert_int_equal(process_look(getpid(), NULL), PROCESS_ALIVE);
	assert_int_equal(pthread_create(&thread, NULL, sleeper, NULL), 0);
	while (!sleeper_tid)
		usleep(1000);
	assert_int_not_equal(sleeper_tid, getpid());
	assert_int_equal(process_look(sleeper_tid, &pid), PROCESS_ALIVE);
	assert_int_equal(pid, getpid());
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

static void nobody(void **state)
{
	pid_t pid = 5, gone;

	assert_int_equal(process_look(0, &pid), PROCESS_UNKNOWN);
	assert_int_equal(pid, 0);
	pid = 5;
	assert_int_equal(process_look(-1, &pid), PROCESS_UNKNOWN);
	assert_int_equal(pid, 0);
	gone = fork();
	if (gone == 0)
		_exit(0);
	waitpid(gone, NULL, 0);
	pid = 5;
	assert_int_equal(process_look(gone, &pid), PROCESS_UNKNOWN);
	assert_int_equal(pid, 0);
}

/* What a child is that ended so, while nobody has waited for it. */
static enum process_state look_at(int status, int signal, bool threads)
{
	enum process_state state;
	siginfo_t info;
	pthread_t thread;
	pid_t child = fork(), pid = 0;

	if (child == 0) {
		if (threads &&
		    pthread_create(&thread, NULL, sleeper, NULL) != 0)
			_exit(99);
		if (signal)
			kill(getpid(), signal);
		_exit(status);
	}
	assert_true(child > 0);
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT),
			 0);
	state = process_look(child, &pid);
	assert_int_equal(pid, child);
	waitpid(child, NULL, 0);
	return state;
}

static void dead(void **state)
{
	assert_int_equal(look_at(0, 0, false), PROCESS_EXITED);
	assert_int_equal(look_at(1, 0, false), PROCESS_DYING);
	assert_int_equal(look_at(255, 0, false), PROCESS_DYING);
	assert_int_equal(look_at(0, SIGKILL, false), PROCESS_DYING);
	assert_int_equal(look_at(0, SIGTERM, false), PROCESS_DYING);
	assert_int_equal(look_at(0, 0, true), PROCESS_EXITED);
	assert_int_equal(look_at(3, 0, true), PROCESS_DYING);
	assert_int_equal(look_at(0, SIGKILL, true), PROCESS_DYING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_stat), cmocka_unit_test(parse_status),
		cmocka_unit_test(alive),      cmocka_unit_test(nobody),
		cmocka_unit_test(dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
