/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/wait.h"

#define NOBODY 0x7ffffff0 /* beyond every pid_max */

/*
 * A thread that keeps its signals pending is wanted.  A dead leader of a
 * living process is one: it is never scheduled again, but has its /proc entry
 * until its parent reaps it.
 */
static void *stay_a_while(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	sleep(20);
	_exit(0);
	return arg;
}

static void handler(int sig)
{
	(void)sig;
}

/* The program of the helper process; `block` is a signal the leader blocks. */
static int be_dead_leader(const char *block)
{
	struct sigaction action = {.sa_handler = handler};
	sigset_t set;
	pthread_t thread;

	for (int sig = 1; sig <= SIGTERM; sig++)
		sigaction(sig, &action, NULL);
	if (pthread_create(&thread, NULL, stay_a_while, NULL))
		return 1;
	sigemptyset(&set);
	if (*block)
		sigaddset(&set, (int)strtol(block, NULL, 10));
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	syscall(SYS_exit, 0);
	return 1;
}

static bool is_zombie(pid_t pid)
{
	char path[64], line[256] = "";
	bool zombie = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "State:\tZ", 8) == 0)
			zombie = true;
	}
	if (f)
		fclose(f);
	return zombie;
}

static pid_t start_dead_leader(const char *block)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "test-wait", "--dead-leader", block,
		      (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	for (int i = 0; i < 1000 && !is_zombie(pid); i++)
		usleep(5000);
	assert_true(is_zombie(pid));
	return pid;
}

static void send_signal(pid_t pid, int sig)
{
	assert_int_equal(syscall(SYS_tgkill, pid, pid, sig), 0);
}

/* As if the interrupt had come `ago_ms` ago. */
static int check_after(pid_t tid, uint64_t ago_ms)
{
	struct wait w;

	wait_init(&w, 100000, tid);
	wait_interrupt(&w);
	atomic_store(&w.interrupted_ms, clock_ms() - ago_ms);
	return wait_check(&w);
}

static void budget(void **state)
{
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_in_range(wait_left_ms(&w), 9000, 10000);
	assert_int_equal(wait_check(&w), 0);
	wait_init(&w, UINT64_MAX, 0);
	assert_int_equal(wait_check(&w), 0);
	assert_true(wait_left_ms(&w) > 1ULL << 62);
	wait_init(&w, 0, 0);
	assert_int_equal(wait_left_ms(&w), 0);
	assert_int_equal(wait_check(&w), -ETIMEDOUT);
	w.deadline_ms = 1;
	assert_int_equal(wait_left_ms(&w), 0);
}

static void sleeps(void **state)
{
	struct wait w;
	uint64_t start = clock_ms();

	wait_init(&w, 10000, 0);
	assert_int_equal(wait_sleep(&w, 0), 0);
	assert_int_equal(wait_sleep(&w, 250), 0);
	assert_in_range(clock_ms() - start, 250, 10000);
	wait_init(&w, 50, 0);
	start = clock_ms();
	assert_int_equal(wait_sleep(&w, 60000), -ETIMEDOUT);
	assert_in_range(clock_ms() - start, 50, 10000);
	assert_int_equal(wait_sleep(&w, 0), 0);
}

struct shared {
	pthread_mutex_t m;
	pthread_cond_t c;
	bool ready;
};

static void *make_ready(void *arg)
{
	struct shared *s = arg;

	usleep(20000);
	pthread_mutex_lock(&s->m);
	s->ready = true;
	pthread_cond_broadcast(&s->c);
	pthread_mutex_unlock(&s->m);
	return NULL;
}

static int wait_ready(struct shared *s, struct wait *w)
{
	int r = 0, slices = 0;

	pthread_mutex_lock(&s->m);
	for (; !s->ready && r == 0; slices++)
		r = wait_cond(w, &s->c, &s->m);
	pthread_mutex_unlock(&s->m);
	assert_true(slices < 50); /* it sleeps */
	return r;
}

static void waits_for_condition(void **state)
{
	struct shared s = {.m = PTHREAD_MUTEX_INITIALIZER};
	uint64_t start = clock_ms();
	pthread_t thread;
	struct wait w;

	assert_int_equal(wait_cond_init(&s.c), 0);
	wait_init(&w, 300, 0);
	assert_int_equal(wait_ready(&s, &w), -ETIMEDOUT);
	assert_in_range(clock_ms() - start, 300, 10000);

	wait_init(&w, 10000, 0);
	start = clock_ms();
	assert_int_equal(pthread_create(&thread, NULL, make_ready, &s), 0);
	assert_int_equal(wait_ready(&s, &w), 0);
	assert_true(clock_ms() - start < 5000);
	pthread_join(thread, NULL);
	pthread_cond_destroy(&s.c);
}

static void wakes_before_the_slice(void **state)
{
	struct shared s = {.m = PTHREAD_MUTEX_INITIALIZER};
	uint64_t best = UINT64_MAX, start, took;
	pthread_t thread;
	struct wait w;

	/* The best of some, as the machine may be busy. */
	assert_int_equal(wait_cond_init(&s.c), 0);
	for (int i = 0; i < 5 && best >= 150; i++) {
		s.ready = false;
		wait_init(&w, 10000, 0);
		start = clock_ms();
		assert_int_equal(pthread_create(&thread, NULL, make_ready, &s),
				 0);
		assert_int_equal(wait_ready(&s, &w), 0);
		took = clock_ms() - start;
		best = took < best ? took : best;
		pthread_join(thread, NULL);
	}
	assert_true(best < 150);
	pthread_cond_destroy(&s.c);
}

static void nobody_is_never_interrupted(void **state)
{
	struct wait w;

	assert_int_equal(check_after(0, 90000), 0);
	wait_init(&w, 30, 0);
	wait_interrupt(&w);
	assert_int_equal(wait_sleep(&w, 1000), -ETIMEDOUT);
}

static void cancellable_ends_at_once(void **state)
{
	struct wait w;

	wait_init(&w, 10000, WAIT_CANCELLABLE);
	assert_int_equal(wait_check(&w), 0);
	wait_interrupt(&w);
	assert_int_equal(wait_check(&w), -EINTR);
}

/* The last test: nothing takes it back. */
static void quitting_ends_all(void **state)
{
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_false(wait_quitting());
	assert_int_equal(wait_check(&w), 0);
	wait_quit();
	assert_true(wait_quitting());
	assert_int_equal(wait_check(&w), -EINTR);
	assert_int_equal(wait_sleep(&w, 60000), -EINTR);
	assert_true(wait_left_ms(&w) > 5000);
}

static void blind_after_five_seconds(void **state)
{
	assert_int_equal(check_after(NOBODY, 0), 0);
	assert_int_equal(check_after(NOBODY, 2000), 0);
	assert_int_equal(check_after(NOBODY, 5000), -EINTR);
}

static void harmless_goes_on(void **state)
{
	/* Ourselves, with nothing pending. */
	assert_int_equal(check_after(getpid(), 90000), 0);
}

static void first_interrupt_counts(void **state)
{
	struct wait w;

	wait_init(&w, 10000, NOBODY);
	wait_interrupt(&w);
	assert_true(atomic_load(&w.interrupted_ms) > 0);
	atomic_store(&w.interrupted_ms, 1);
	wait_interrupt(&w);
	assert_int_equal(atomic_load(&w.interrupted_ms), 1);
}

static void looks_at_pending_signals(void **state)
{
	pid_t pid = start_dead_leader("");
	struct wait w;

	send_signal(pid, SIGUSR1);
	assert_int_equal(check_after(pid, 90000), 0);
	send_signal(pid, SIGINT);
	assert_int_equal(check_after(pid, 0), 0);
	assert_int_equal(check_after(pid, 1000), -EINTR);
	/* Death comes after the one interrupt and is seen all the same. */
	wait_init(&w, 100000, pid);
	wait_interrupt(&w);
	assert_int_equal(wait_check(&w), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(wait_sleep(&w, 60000), -EINTR);
	assert_true(wait_left_ms(&w) > 50000);
	/* Without an interrupt nobody looks. */
	wait_init(&w, 100000, pid);
	assert_int_equal(wait_check(&w), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void all_that_quit(void **state)
{
	static const int signals[] = {SIGHUP, SIGQUIT, SIGTERM};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		pid_t pid = start_dead_leader("");

		send_signal(pid, signals[i]);
		assert_int_equal(check_after(pid, 0), 0);
		assert_int_equal(check_after(pid, 1000), -EINTR);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
}

static void blocked_does_not_count(void **state)
{
	char number[16];
	pid_t pid;

	snprintf(number, sizeof(number), "%d", SIGTERM);
	pid = start_dead_leader(number);
	send_signal(pid, SIGTERM);
	assert_int_equal(check_after(pid, 90000), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(check_after(pid, 0), -EINTR);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget),
		cmocka_unit_test(sleeps),
		cmocka_unit_test(waits_for_condition),
		cmocka_unit_test(wakes_before_the_slice),
		cmocka_unit_test(nobody_is_never_interrupted),
		cmocka_unit_test(cancellable_ends_at_once),
		cmocka_unit_test(blind_after_five_seconds),
		cmocka_unit_test(harmless_goes_on),
		cmocka_unit_test(first_interrupt_counts),
		cmocka_unit_test(looks_at_pending_signals),
		cmocka_unit_test(all_that_quit),
		cmocka_unit_test(blocked_does_not_count),
		cmocka_unit_test(quitting_ends_all),
	};

	if (argc == 3 && strcmp(argv[1], "--dead-leader") == 0)
		return be_dead_leader(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
