/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate is drawn in door.h.  Invariants: pause_probe only while paused,
 * broken_probe only while broken; at most one of each is under way, and whoever
 * has it gives it back by door_leave whatever happens.
 */
#include "registry/wire/door.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/map.h"

struct door {
	unsigned broken_ms;

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t changed;
	bool paused, pause_probe;
	uint64_t pause_until_ms;
	bool broken, broken_probe;
	uint64_t broken_until_ms;
	unsigned failures; /* connections in a row */
	enum http_fail fail;
};

struct doors {
	unsigned broken_ms, slots;
	pthread_mutex_t lock; /* protects below */
	struct map *doors;    /* origin -> struct door */
	struct map *lanes;    /* host -> struct lanes */
};

static void door_free(void *p)
{
	struct door *d = p;

	if (!d)
		return;
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void lanes_free(void *p)
{
	struct lanes *l = p;

	if (!l)
		return;
	slots_done(&l->fetches);
	slots_done(&l->sends);
	free(l);
}

int doors_new(unsigned broken_ms, unsigned slots, struct doors **ret)
{
	struct doors *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return -ENOMEM;
	pthread_mutex_init(&all->lock, NULL);
	all->broken_ms = broken_ms;
	all->slots = slots;
	r = map_new(&all->doors);
	if (r == 0)
		r = map_new(&all->lanes);
	if (r < 0)
		doors_free(all);
	else
		*ret = all;
	return r;
}

void doors_free(struct doors *all)
{
	if (!all)
		return;
	map_free(all->doors, door_free);
	map_free(all->lanes, lanes_free);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

static int door_new(unsigned broken_ms, struct door **ret)
{
	struct door *d = calloc(1, sizeof(*d));
	int r = d ? wait_cond_init(&d->changed) : -ENOMEM;

	if (r < 0) {
		free(d);
		return r;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->broken_ms = broken_ms;
	*ret = d;
	return 0;
}

int doors_get(struct doors *all, const char *origin, struct door **ret)
{
	struct door *d;
	int r = 0;

	autolock(&all->lock);
	d = map_find(all->doors, origin);
	if (!d) {
		r = door_new(all->broken_ms, &d);
		if (r < 0)
			return r;
		r = map_put(all->doors, origin, d, NULL);
	}
	if (r < 0)
		door_free(d);
	else
		*ret = d;
	return r;
}

static int lanes_new(unsigned slots, struct lanes **ret)
{
	struct lanes *l = calloc(1, sizeof(*l));
	int r = l ? slots_init(&l->fetches, slots) : -ENOMEM;

	if (r == 0) {
		r = slots_init(&l->sends, SLOTS_SENDS);
		if (r < 0)
			slots_done(&l->fetches);
	}
	if (r < 0)
		free(l);
	else
		*ret = l;
	return r;
}

int doors_lanes(struct doors *all, const char *host, struct lanes **ret)
{
	struct lanes *l;
	int r = 0;

	autolock(&all->lock);
	l = map_find(all->lanes, host);
	if (!l) {
		r = lanes_new(all->slots, &l);
		if (r < 0)
			return r;
		r = map_put(all->lanes, host, l, NULL);
	}
	if (r < 0)
		lanes_free(l);
	else
		*ret = l;
	return r;
}

/* 1: passed; 0: look again after a wait. */
static int pass(struct door *d, uint64_t now, const struct wait *w,
		struct door_turn *turn, enum http_fail *ret_fail)
{
	if (d->broken && (now < d->broken_until_ms || d->broken_probe)) {
		*ret_fail = d->fail;
		return -EHOSTDOWN;
	}
	if (d->paused && now < d->pause_until_ms) {
		*ret_fail = HTTP_FAIL_NONE;
		return d->pause_until_ms > w->deadline_ms ? -ETIMEDOUT : 0;
	}
	if (d->paused && d->pause_probe)
		return 0;
	turn->probes_pause = d->pause_probe = d->paused;
	turn->probes_broken = d->broken_probe = d->broken;
	return 1;
}

/* Until somebody reports, or the pause is over. */
static int wait_pause(struct door *d, uint64_t now, struct wait *w)
{
	struct wait nap;
	int r;

	if (now >= d->pause_until_ms)
		return wait_cond(w, &d->changed, &d->lock);
	/* Sleeping on a copy with an earlier deadline wakes in time; the copy
	 * knows of interrupts only by what is handed over here and back. */
	nap.deadline_ms = d->pause_until_ms < w->deadline_ms ? d->pause_until_ms
							     : w->deadline_ms;
	if (nap.deadline_ms > now + 100)
		nap.deadline_ms = now + 100;
	nap.tid = w->tid;
	atomic_init(&nap.interrupted_ms, atomic_load(&w->interrupted_ms));
	r = wait_cond(&nap, &d->changed, &d->lock);
	if (r == -ETIMEDOUT)
		r = wait_check(w);
	return r;
}

int door_enter(struct door *d, struct wait *w, struct door_turn *ret,
	       enum http_fail *ret_fail)
{
	struct door_turn turn = {false, false};
	int r = wait_check(w);

	autolock(&d->lock);
	while (r == 0) {
		uint64_t now = clock_ms();

		r = pass(d, now, w, &turn, ret_fail);
		if (r == 1) {
			*ret = turn;
			return 0;
		}
		if (r == 0)
			r = wait_pause(d, now, w);
	}
	return r;
}

static void note_failure(struct door *d, enum http_fail fail)
{
	if (d->failures < DOOR_FAILURES)
		d->failures++;
	d->fail = fail;
	if (d->failures >= DOOR_FAILURES) {
		d->broken = true;
		d->broken_until_ms = clock_ms() + d->broken_ms;
	}
}

void door_leave(struct door *d, const struct door_turn *turn, enum door_end end,
		enum http_fail fail, uint64_t pause_ms)
{
	autolock(&d->lock);
	if (turn->probes_pause)
		d->pause_probe = false;
	if (turn->probes_broken)
		d->broken_probe = false;
	switch (end) {
	case DOOR_THROTTLED:
		d->paused = true;
		if (pause_ms > DOOR_PAUSE_MAX_MS)
			pause_ms = DOOR_PAUSE_MAX_MS;
		if (clock_ms() + pause_ms > d->pause_until_ms)
			d->pause_until_ms = clock_ms() + pause_ms;
		d->broken = false;
		d->failures = 0;
		break;
	case DOOR_ANSWERED:
		/* What was asked before the pause says nothing about it. */
		if (turn->probes_pause)
			d->paused = false;
		d->broken = false;
		d->failures = 0;
		break;
	case DOOR_UNREACHED:
		note_failure(d, fail);
		break;
	case DOOR_ABANDONED:
		break;
	}
	pthread_cond_broadcast(&d->changed);
}

int door_print(struct door *d, struct str *out)
{
	uint64_t now = clock_ms();
	int r = 0;

	autolock(&d->lock);
	if (d->paused && d->pause_until_ms > now)
		r = str_addf(out, ", told to wait %" PRIu64 " s more",
			     (d->pause_until_ms - now + 999) / 1000);
	else if (d->paused)
		r = str_add(out, ", was told to wait");
	if (r == 0 && d->broken)
		r = str_addf(out, ", unreachable (%s)",
			     http_fail_name(d->fail));
	return r;
}
