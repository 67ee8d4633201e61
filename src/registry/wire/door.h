/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a host outside can bear, whoever of us asks it: several registries of
 * the tree may be at one (mirrors, `mirror`, token servers).  An origin has a
 * gate that everybody passes before a request and reports to afterwards:
 *
 *   open --429--> paused (all wait) --time is up--> one probe goes, rest wait
 *   probe: answered -> open; 429 again -> paused; nothing -> the next probes
 *
 *   3 connections fail in a row -> broken: all fail at once, until the time is
 *   up; then one probe goes, the rest still fail; any answer -> whole
 *
 * A registry's host has slots, see slots.h.  Any thread.
 */
#include "http/http.h"
#include "registry/wire/slots.h"
#include "util/str.h"
#include "util/wait.h"

#define DOOR_PAUSE_MAX_MS 30000 /* then one may ask again in any case */
#define DOOR_FAILURES 3

struct doors;
/* How long a broken one is left alone; slots of each host (0: the default). */
int doors_new(unsigned broken_ms, unsigned slots, struct doors **ret);
void doors_free(struct doors *all); /* NULL is fine */

struct door;
/* Of "https://h:5000": found or made; lives as long as `all`. */
int doors_get(struct doors *all, const char *origin, struct door **ret);

struct lanes {
	struct slots fetches, sends;
};
/* Of "h:5000", likewise. */
int doors_lanes(struct doors *all, const char *host, struct lanes **ret);

/* What a passage was good for, told by door_leave. */
enum door_end {
	DOOR_ANSWERED,
	DOOR_THROTTLED, /* 429 */
	DOOR_UNREACHED, /* no connection came about */
	DOOR_ABANDONED, /* nobody knows: given up, or failed later */
};
struct door_turn {
	bool probes_pause, probes_broken;
};
/*
 * 0: go.  -ETIMEDOUT: the pause is longer than the caller's patience (then
 * *ret_fail is NONE), or the wait ended; -EINTR; -EHOSTDOWN: broken, *ret_fail
 * is how it failed last.
 */
int door_enter(struct door *d, struct wait *w, struct door_turn *ret,
	       enum http_fail *ret_fail);
void door_leave(struct door *d, const struct door_turn *turn, enum door_end end,
		enum http_fail fail, uint64_t pause_ms);
/* Adds ", paused for 3 s" and the like. */
int door_print(struct door *d, struct str *out);
