/* SPDX-License-Identifier: Apache-2.0 */
/* Window growth for sequential readers; see the header. */
#include "content/ahead.h"

#include "util/auto.h"

void ahead_init(struct ahead *a, uint64_t limit_bytes, bool bold)
{
	*a = (struct ahead){.limit_bytes = limit_bytes, .bold = bold};
	pthread_mutex_init(&a->lock, NULL);
}

void ahead_done(struct ahead *a)
{
	pthread_mutex_destroy(&a->lock);
}

static uint64_t distance(uint64_t x, uint64_t y)
{
	return x > y ? x - y : y - x;
}

uint64_t ahead_window(struct ahead *a, uint64_t off, size_t len)
{
	autolock(&a->lock);
	uint64_t end = off + len, window;

	bool large = a->bold && off == 0 && len >= AHEAD_BOLD_BYTES;

	/* A first read is no stream yet, but for a large one of the beginning:
	 * the kernel asks for so much if somebody reads in large pieces. */
	if ((a->next_off == 0 && !large) ||
	    distance(off, a->next_off) > AHEAD_SLACK_BYTES) {
		a->start_off = off;
		a->next_off = end;
		return 0;
	}
	if (end > a->next_off)
		a->next_off = end;
	if (off < a->start_off)
		a->start_off = off;
	window = (a->next_off - a->start_off) * AHEAD_FACTOR;
	if (window < AHEAD_FIRST_BYTES)
		window = AHEAD_FIRST_BYTES;
	if (window > a->limit_bytes)
		window = a->limit_bytes;
	if (a->end_off == 0)
		return window;
	if (end >= a->end_off)
		return 0;
	return window < a->end_off - end ? window : a->end_off - end;
}

void ahead_ends(struct ahead *a, uint64_t off)
{
	autolock(&a->lock);
	a->end_off = off;
}

bool ahead_at_end(struct ahead *a, uint64_t off)
{
	autolock(&a->lock);
	return a->end_off > 0 && off >= a->end_off;
}
