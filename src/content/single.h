/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Single flight: of several threads that want the same thing, one goes for it
 * and the others wait for its result.  A leader that failed because its own
 * caller's patience was over hands the lead to a waiter.
 */
#include <stdbool.h>

#include "util/wait.h"

struct single;

int single_new(struct single **ret);
void single_free(struct single *s);
/* Runs fn(arg, w) as the leader for `key`, or waits for the one who does:
 * *ret_led tells which.  Returns what fn returned. */
int single_run(struct single *s, const char *key, struct wait *w,
	       int (*fn)(void *arg, struct wait *w), void *arg, bool *ret_led);
