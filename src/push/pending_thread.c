/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that tries pending images which nobody comes for: each of an
 * earlier run once, what is to be removed and could not be, what was added to
 * while nobody could try it, and, ever less often, what failed for reasons that
 * pass.
 */
#include <time.h>

#include "push/pending_private.h"
#include "util/auto.h"
#include "util/clock.h"

/* Lock held.  The first that is due; else when one will be, 0: none. */
static struct pending *due_find(struct pendings *p, uint64_t *ret_when)
{
	uint64_t now = clock_ms(), when = 0;

	list_for(n, &p->list) {
		struct pending *e = container_of(n, struct pending, node);

		if (e->due_ms == 0 || e->busy)
			continue;
		if (e->due_ms <= now)
			return e;
		if (when == 0 || e->due_ms < when)
			when = e->due_ms;
	}
	*ret_when = when;
	return NULL;
}

static void sleep_until(struct pendings *p, uint64_t when)
{
	uint64_t now = clock_ms(), ms = when > now ? when - now : 1;
	struct timespec t;

	if (when == 0) {
		pthread_cond_wait(&p->changed, &p->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&p->changed, &p->lock, &t);
}

/* Lock held, but for the try itself. */
static void thread_try(struct pendings *p, struct pending *e)
{
	const unsigned budget = p->outbox->times.commit_budget;
	const bool superseded = e->superseded;

	e->refs++;
	e->busy = true;
	wait_init(&p->wait, budget, WAIT_CANCELLABLE);
	pthread_mutex_unlock(&p->lock);
	if (superseded)
		pending_remove(e);
	else
		pending_try(e, &p->wait, PENDING_DUE);
	pthread_mutex_lock(&p->lock);
	pending_release(e);
	pending_unref(e);
}

static void *thread_main(void *arg)
{
	struct pendings *p = arg;
	struct pending *e;
	uint64_t when;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		e = due_find(p, &when);
		if (e)
			thread_try(p, e);
		else
			sleep_until(p, when);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int pending_thread_start(struct pendings *p)
{
	int r;

	autolock(&p->lock);
	if (p->started)
		return 0;
	r = -pthread_create(&p->thread, NULL, thread_main, p);
	p->started = r == 0;
	return r;
}

void pending_thread_stop(struct pendings *p)
{
	{
		autolock(&p->lock);
		if (!p->started)
			return;
		p->stopping = true;
		wait_interrupt(&p->wait);
		pthread_cond_broadcast(&p->changed);
	}
	pthread_join(p->thread, NULL);
	p->started = false;
}
