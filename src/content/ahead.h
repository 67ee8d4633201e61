/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Read-ahead: pure policy, one per open file.  The first read fetches what it
 * needs, unless it asks for much from the very beginning and whoever does that
 * wants all (`bold`); from the second sequential one on the window is four
 * times what was read in one go so far, at least 1 MiB and up to a limit; a
 * seek starts anew. So what is fetched in vain is bounded by what was read.
 * Linux reads ahead out of order, so half a MiB of disorder still counts as
 * sequential.  A reader that knows where it ends fetches nothing beyond.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AHEAD_FIRST_BYTES ((uint64_t)1 << 20)
#define AHEAD_FACTOR 4
#define AHEAD_BOLD_BYTES ((uint64_t)256 << 10)
#define AHEAD_SLACK_BYTES ((uint64_t)512 << 10)

struct ahead {
	pthread_mutex_t lock;
	uint64_t next_off; /* one past the farthest byte read; protected by lock
			    */
	uint64_t start_off; /* where the sequential run began; likewise */
	uint64_t limit_bytes;
	bool bold;
	uint64_t end_off; /* nothing from here on is wanted; 0: not known;
			     likewise */
};

void ahead_init(struct ahead *a, uint64_t limit_bytes, bool bold);
void ahead_done(struct ahead *a);
/* Tells of a read [off, off+len); returns the bytes wanted beyond its end. */
uint64_t ahead_window(struct ahead *a, uint64_t off, size_t len);
/* Bytes from `off` on will never be wanted. */
void ahead_ends(struct ahead *a, uint64_t off);
/* True if a read that far gets all that is wanted. */
bool ahead_at_end(struct ahead *a, uint64_t off);
