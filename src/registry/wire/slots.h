/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How many requests may be under way at one registry.  Bulk (blob streams)
 * gets one slot less than there are, so that a look-up never queues behind
 * downloads.  Uploads have slots of their own: they may wait for a source that
 * is itself a download.  Any thread.
 */
#include <pthread.h>
#include <stdbool.h>

#include "util/wait.h"

#define SLOTS_DEFAULT 8
#define SLOTS_SENDS 16

struct slots {
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t freed;
	unsigned max, used, bulk;
};

int slots_init(struct slots *s, unsigned max); /* 0: SLOTS_DEFAULT */
void slots_done(struct slots *s);
/* 0, -ETIMEDOUT or -EINTR. */
int slots_take(struct slots *s, bool bulk, struct wait *w);
void slots_give(struct slots *s, bool bulk);
unsigned slots_used(struct slots *s);
