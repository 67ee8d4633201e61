/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How many FUSE requests may wait for a network at once, in all and for one
 * host.  The rest of the thread pool stays free to answer from the cache, and
 * other hosts keep a share, whatever is dead outside.  Hosts are told apart by
 * a hash: two that meet in it share one share.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "util/map.h"
#include "util/metric.h"
#include "util/wait.h"

#define GATE_HOSTS 256

struct gate {
	unsigned max, host_max;
	atomic_uint waiting;
	atomic_uint host_waiting[GATE_HOSTS];
};

static inline void gate_init(struct gate *g, unsigned max)
{
	g->max = max;
	g->host_max = max - max / 4;
}

static inline atomic_uint *gate_host_(struct gate *g, const char *host)
{
	return &g->host_waiting[map_hash(host, strlen(host)) % GATE_HOSTS];
}

static inline int gate_count_(atomic_uint *n, unsigned max)
{
	if (atomic_fetch_add(n, 1) < max)
		return 0;
	atomic_fetch_sub(n, 1);
	return -EBUSY;
}

/* -EBUSY: too many wait already. */
static inline int gate_enter(struct gate *g, const char *host)
{
	if (gate_count_(gate_host_(g, host), g->host_max) < 0)
		return -EBUSY;
	if (gate_count_(&g->waiting, g->max) < 0) {
		atomic_fetch_sub(gate_host_(g, host), 1);
		return -EBUSY;
	}
	metric_add(METRIC_REQUESTS_WAITING, 1);
	return 0;
}

static inline void gate_leave(struct gate *g, const char *host)
{
	atomic_fetch_sub(&g->waiting, 1);
	atomic_fetch_sub(gate_host_(g, host), 1);
	metric_add(METRIC_REQUESTS_WAITING, -1);
}

/* The same for whoever waits with w: a thread of ours takes no place, or the
 * requests that wait for it could keep it from ever getting one. */
static inline int gate_enter_as(struct gate *g, const char *host,
				const struct wait *w)
{
	return w->tid == WAIT_CANCELLABLE ? 0 : gate_enter(g, host);
}

static inline void gate_leave_as(struct gate *g, const char *host,
				 const struct wait *w)
{
	if (w->tid != WAIT_CANCELLABLE)
		gate_leave(g, host);
}
