/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Does who lists a directory also want the attributes of the files in it?  To
 * give them along costs him and us more than the names; to be asked for each
 * costs more still.  So a thread that has asked for a file gets them from then
 * on (ls -l, tar, du), others get those of directories, which they go into
 * (find, glob).  A guess, without a lock: a wrong one only takes longer.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define HABITS_SLOTS 256

struct habits {
	_Atomic pid_t asked[HABITS_SLOTS]; /* by thread; 0: none */
};

static inline _Atomic pid_t *habits_slot(struct habits *h, pid_t tid)
{
	return &h->asked[(unsigned)tid % HABITS_SLOTS];
}

/* This thread has looked a file up. */
static inline void habits_note(struct habits *h, pid_t tid)
{
	atomic_store_explicit(habits_slot(h, tid), tid, memory_order_relaxed);
}

/* One that cannot be seen from here is 0, as everybody there. */
static inline bool habits_wants_files(struct habits *h, pid_t tid)
{
	return tid == 0 || atomic_load_explicit(habits_slot(h, tid),
						memory_order_relaxed) == tid;
}
