/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a name in a registry means is changed by one thread at a time: whether
 * it is to be changed is decided, and the change made, within its gate.  For
 * this folder only.
 *
 * Who is inside waits for the registry and for the journal, and for nothing
 * else: above all it tells the mount nothing (outbox_changed), for whoever
 * holds a directory in the kernel may be waiting to come in.  Nobody enters a
 * second gate but by gate_enter_two.
 */
#include "push/outbox_private.h"
#include "util/wait.h"

struct gate;

int gates_new(struct gates **ret);
void gates_free(struct gates *g); /* nobody is inside; NULL is fine */

/* 0: inside.  -ETIMEDOUT, -EINTR by the wait. */
int gate_enter(struct outbox *o, const char *host, const char *repository,
	       const char *name, struct wait *w, struct gate **ret);
/* Whoever was inside has left; or commit_budget is over. */
void gate_pass(struct outbox *o, const char *host, const char *repository,
	       const char *name);
void gate_leave(struct gate *g); /* NULL is fine */
/* Both of two different names, in an order that all keep to. */
int gate_enter_two(struct outbox *o, struct repo *r, const char *a,
		   const char *b, struct wait *w, struct gate *ret[2]);
