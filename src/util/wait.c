/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of a wait:
 *
 *   patient --wait_interrupt--> interrupted --caller is dying--> -EINTR
 *      |                             |
 *      +---------deadline------------+--> -ETIMEDOUT
 *
 * An interrupted wait cannot be told of a later SIGKILL (the kernel sends one
 * INTERRUPT per request), hence the slices: each ends with a look at /proc.
 */
#include "util/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/fd.h"

#define WAIT_SLICE_MS 200
#define WAIT_HANDLED_MS 1000
#define WAIT_BLIND_MS 5000
#define WAIT_STATUS_MAX (1 << 20) /* it lists up to 65536 groups */

#define SIGNAL_BIT(sig) ((uint64_t)1 << ((sig)-1))
#define QUITTING                                                               \
	(SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGINT) | SIGNAL_BIT(SIGQUIT) |       \
	 SIGNAL_BIT(SIGTERM))

static atomic_bool quitting;

void wait_init(struct wait *w, uint64_t budget_ms, pid_t tid)
{
	uint64_t now = clock_ms();

	w->deadline_ms =
		budget_ms > UINT64_MAX - now ? UINT64_MAX : now + budget_ms;
	w->tid = tid;
	atomic_init(&w->interrupted_ms, 0);
}

void wait_interrupt(struct wait *w)
{
	uint64_t now = clock_ms(), never = 0;

	/* The first interrupt is the one that counts. */
	atomic_compare_exchange_strong(&w->interrupted_ms, &never,
				       now ? now : 1);
}

uint64_t wait_left_ms(const struct wait *w)
{
	uint64_t now = clock_ms();

	return now < w->deadline_ms ? w->deadline_ms - now : 0;
}

/* The set in a line like "SigPnd:\t0000000000000100". */
static bool status_field(const char *status, const char *name, uint64_t *ret)
{
	const char *line = strstr(status, name);
	char *end;
	uint64_t set;

	if (!line)
		return false;
	line += strlen(name);
	set = strtoull(line, &end, 16);
	if (end == line || *end != '\n')
		return false;
	*ret = set;
	return true;
}

struct signals {
	uint64_t pending; /* of the thread or its process */
	uint64_t blocked;
};

static bool read_signals(pid_t tid, struct signals *ret)
{
	uint64_t thread, process, blocked;
	autofree char *status = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (fd_read_file(AT_FDCWD, path, WAIT_STATUS_MAX, &status, NULL) < 0)
		return false;
	if (!status_field(status, "\nSigPnd:\t", &thread) ||
	    !status_field(status, "\nShdPnd:\t", &process) ||
	    !status_field(status, "\nSigBlk:\t", &blocked))
		return false;
	ret->pending = thread | process;
	ret->blocked = blocked;
	return true;
}

static bool is_dying(const struct wait *w, uint64_t interrupted_ms)
{
	uint64_t since = clock_ms() - interrupted_ms;
	struct signals s;

	if (w->tid <= 0)
		return w->tid == WAIT_CANCELLABLE;
	if (!read_signals(w->tid, &s))
		return since >= WAIT_BLIND_MS;
	if (s.pending & SIGNAL_BIT(SIGKILL))
		return true;
	/* A blocked one waits for its sigwait and interrupts nothing. */
	return (s.pending & ~s.blocked & QUITTING) && since >= WAIT_HANDLED_MS;
}

void wait_quit(void)
{
	atomic_store(&quitting, true);
}

bool wait_quitting(void)
{
	return atomic_load(&quitting);
}

int wait_check(struct wait *w)
{
	uint64_t interrupted_ms = atomic_load(&w->interrupted_ms);

	if (wait_quitting())
		return -EINTR;
	if (interrupted_ms && is_dying(w, interrupted_ms))
		return -EINTR;
	return wait_left_ms(w) ? 0 : -ETIMEDOUT;
}

static uint64_t slice_ms(const struct wait *w)
{
	uint64_t left = wait_left_ms(w);

	return left < WAIT_SLICE_MS ? left : WAIT_SLICE_MS;
}

/*
 * 0 also at the end of a slice: the caller looks at its condition first, so
 * what was ready at the deadline is not lost.
 */
int wait_cond(struct wait *w, pthread_cond_t *c, pthread_mutex_t *m)
{
	struct timespec until;
	uint64_t nsec;
	int r;

	r = wait_check(w);
	if (r < 0)
		return r;
	clock_gettime(CLOCK_MONOTONIC, &until);
	nsec = (uint64_t)until.tv_nsec + slice_ms(w) * 1000000;
	until.tv_sec += (time_t)(nsec / 1000000000);
	until.tv_nsec = (long)(nsec % 1000000000);
	pthread_cond_timedwait(c, m, &until);
	return 0;
}

int wait_sleep(struct wait *w, uint64_t ms)
{
	uint64_t start = clock_ms(), slept, slice;
	int r;

	while ((slept = clock_ms() - start) < ms) {
		struct timespec t;

		r = wait_check(w);
		if (r < 0)
			return r;
		slice = slice_ms(w);
		if (slice > ms - slept)
			slice = ms - slept;
		t = (struct timespec){0, (long)slice * 1000000};
		nanosleep(&t, NULL);
	}
	return 0;
}

int wait_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	int r;

	r = pthread_condattr_init(&attr);
	if (r)
		return -r;
	r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
	return -r;
}
