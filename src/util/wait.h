/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A wait is one caller's patience: a deadline, and an interrupt that is only
 * heeded when the caller is really going to die.  A FUSE INTERRUPT also comes
 * for harmless handled signals (Go preempts itself with SIGURG), and only once
 * per request; so an interrupted wait looks at the caller's pending signals
 * (/proc/TID/status) again and again: a fatal one (SIGKILL pending) ends it at
 * once, a handled (and not blocked) INT, TERM, HUP or QUIT after 1 s, an
 * unreadable /proc after 5 s, any other never before the deadline.
 *
 * Wait functions return 0 (woken, or spuriously: look again), -ETIMEDOUT, or
 * -EINTR.  Conditions must be made by wait_cond_init.  One thread waits with a
 * wait at a time; wait_interrupt may be called from any.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* As tid: there is no caller, wait_interrupt means -EINTR at once. */
#define WAIT_CANCELLABLE (-1)

struct wait {
	uint64_t deadline_ms; /* clock_ms() */
	pid_t tid;	      /* caller; 0: nobody to look at, never EINTR */
	_Atomic uint64_t interrupted_ms; /* 0: not (yet) */
};

void wait_init(struct wait *w, uint64_t budget_ms, pid_t tid);
void wait_interrupt(struct wait *w);
uint64_t wait_left_ms(const struct wait *w);
/* 0, -ETIMEDOUT or -EINTR as things stand now. */
int wait_check(struct wait *w);
/* Sleeps on c, m being held; slices of 200 ms, so an interrupt is seen soon. */
int wait_cond(struct wait *w, pthread_cond_t *c, pthread_mutex_t *m);
/* Sleeps ms, or fails earlier. */
int wait_sleep(struct wait *w, uint64_t ms);
int wait_cond_init(pthread_cond_t *c); /* CLOCK_MONOTONIC */

/*
 * The quit flag: from now on every wait of the process ends with -EINTR (within
 * a slice).  Async-signal-safe.
 */
void wait_quit(void);
bool wait_quitting(void);

/* What pthread_create() returned, as -errno: a reader that is told EAGAIN takes
 * it for the end of the file. */
static inline int wait_thread_error(int e)
{
	return e == EAGAIN ? -ENOMEM : -e;
}
