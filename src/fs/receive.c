/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the next request.  To be put to sleep and woken costs more than
 * most answers: who asks one thing after another (find, open and read and
 * close) waits longer for that than for us.  So a thread that has just answered
 * looks for the next request for a moment before it sleeps, but only
 *
 *   - one at a time: the others sleep in the kernel, and are woken as ever;
 *   - while it has lately been right: requests came that soon.  On a machine
 *     with more work than processors they do not, nor when nobody asks.
 */
#include "fs/receive.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 50000
#define SOON_NS 150000 /* what sleeping makes of that */
#define TRUST_MAX 16
#define TRUST_ENOUGH 8
#define TRUST_LOST 2 /* by one that was late; one that was soon gives 1 */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void look(int fd, uint64_t until_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, 0) == 0 && now_ns() < until_ns)
		;
}

/* Two threads may overwrite each other's: it is a guess anyway. */
static void learn(struct receiver *rc, bool soon)
{
	int t = atomic_load_explicit(&rc->trust, memory_order_relaxed);
	int next = soon ? t + 1 : t - TRUST_LOST;

	if (next > TRUST_MAX)
		next = TRUST_MAX;
	if (next < 0)
		next = 0;
	if (next != t)
		atomic_store_explicit(&rc->trust, next, memory_order_relaxed);
}

ssize_t receive(struct receiver *rc, int fd, void *buf, size_t len)
{
	uint64_t from = now_ns();
	ssize_t n;
	int e;

	if (atomic_load_explicit(&rc->trust, memory_order_relaxed) >=
		    TRUST_ENOUGH &&
	    !atomic_exchange(&rc->looking, true)) {
		look(fd, from + LOOK_NS);
		atomic_store(&rc->looking, false);
	}
	n = read(fd, buf, len);
	e = errno;
	learn(rc, now_ns() - from < SOON_NS);
	errno = e;
	return n;
}
