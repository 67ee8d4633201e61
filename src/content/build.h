/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Something that is made once, in a thread of its own, however many want it:
 *
 *   IDLE --first want--> RUNNING --> READY
 *                           |
 *                           +------> FAILED (error)
 *
 * Who wants it waits as long as it makes progress: a layer of many gigabytes
 * takes its time, a registry that says nothing is told apart by the deadline.
 * One that has no place yet makes progress while the others do.
 * What was begun goes on when its last waiter leaves (the next one will want
 * it), but not when the content goes.  Any thread.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"
#include "util/wait.h"

struct content;
struct builds;

enum build_state { BUILD_IDLE, BUILD_RUNNING, BUILD_READY, BUILD_FAILED };
/* How many of the light kind wait for others and do little themselves. */
enum build_weight { BUILD_HEAVY, BUILD_LIGHT };

/* Embedded in what is made. */
struct build {
	struct list_node all; /* while queued or running */
	const char *host;     /* whose share of the places it takes, or NULL;
				 constant from the start on */
	atomic_bool queued;   /* has no place yet */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum build_state state; /* protected by lock, like all below */
	int error;		/* FAILED: why */
	uint64_t failed_ms;
	bool renewed; /* FAILED: it is of no use, but the next one will be */
	uint64_t progress; /* grows */
	bool local;	   /* works without waiting for anybody */
	struct builds *builds;
	enum build_weight weight;
	struct wait wait; /* of the thread */
	/* Makes it; its result decides. */
	int (*run)(struct build *b, struct wait *w);
	/* Counting references, so that it stays while its thread runs. */
	void (*ref)(struct build *b);
	void (*unref)(struct build *b);
};

int builds_new(struct content *c, struct builds **ret);
/* Cancels and joins all. */
void builds_free(struct builds *bs);

void build_init(struct build *b);
void build_done(struct build *b);
/* Starts it unless it was started. */
int build_start(struct builds *bs, struct build *b, enum build_weight weight);
enum build_state build_state(struct build *b);
/* FAILED, and so long ago that it may be tried again: what is damaged or too
 * large stays so for a while. */
bool build_spent(struct build *b);
/* READY, and then found to be of no use: who wants it makes it anew; at once,
 * or, where that was tried, after a while. */
void build_renew(struct build *b);
void build_spoil(struct build *b, int error);
/* From its thread: this much more was done; wakes who looks. */
void build_progress(struct build *b, uint64_t n);
/* From its thread: from here on it does not wait for a network (or does so
 * again): nobody's patience ends meanwhile. */
void build_local(struct build *b, bool on);
/* Waits for the end: 0, why it failed, -ETIMEDOUT, -EINTR.  The wait is
 * extended by its own first budget whenever there is progress. */
int build_wait(struct build *b, struct wait *w);
/* The same, but returns at every progress beyond *seen too (0). */
int build_wait_progress(struct build *b, uint64_t *seen, struct wait *w);
