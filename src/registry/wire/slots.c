/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A semaphore of two classes.  Invariants: bulk <= used <= max, bulk < max.
 */
#include "registry/wire/slots.h"

#include "util/auto.h"

int slots_init(struct slots *s, unsigned max)
{
	int r;

	if (max == 0)
		max = SLOTS_DEFAULT;
	*s = (struct slots){.max = max < 2 ? 2 : max};
	r = wait_cond_init(&s->freed);
	if (r < 0)
		return r;
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

void slots_done(struct slots *s)
{
	pthread_cond_destroy(&s->freed);
	pthread_mutex_destroy(&s->lock);
}

int slots_take(struct slots *s, bool bulk, struct wait *w)
{
	autolock(&s->lock);
	while (s->used >= s->max || (bulk && s->bulk >= s->max - 1)) {
		int r = wait_cond(w, &s->freed, &s->lock);

		if (r < 0)
			return r;
	}
	s->used++;
	s->bulk += bulk;
	return 0;
}

void slots_give(struct slots *s, bool bulk)
{
	autolock(&s->lock);
	s->used--;
	s->bulk -= bulk;
	/* All: who wakes may be of the class that still has to wait. */
	pthread_cond_broadcast(&s->freed);
}

unsigned slots_used(struct slots *s)
{
	autolock(&s->lock);
	return s->used;
}
