/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a name in a registry means is changed by one thread at a time: whether
 * it is to be changed is decided, and the change made, within its turn.  For
 * this folder only.
 *
 * Who is inside waits for the registry and for the journal, and for nothing
 * else: above all it tells the mount nothing (outbox_changed), for whoever
 * holds a directory in the kernel may be waiting to come in.  Nobody enters a
 * second turn but by turn_take_two.
 */
#include "push/outbox_private.h"
#include "util/wait.h"

struct turn;

int turns_new(struct turns **ret);
void turns_free(struct turns *g); /* nobody is inside; NULL is fine */

/* 0: inside.  -ETIMEDOUT, -EINTR by the wait. */
int turn_take(struct outbox *o, const char *host, const char *repository,
	      const char *name, struct wait *w, struct turn **ret);
/* Whoever was inside has left; or commit_budget is over. */
void turn_pass(struct outbox *o, const char *host, const char *repository,
	       const char *name);
void turn_leave(struct turn *g); /* NULL is fine */
/* Both of two different names, in an order that all keep to. */
int turn_take_two(struct outbox *o, struct repo *r, const char *a,
		  const char *b, struct wait *w, struct turn *ret[2]);
