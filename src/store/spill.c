/* SPDX-License-Identifier: Apache-2.0 */
/* So few entries that looking at all of them is the fastest way. */
#include "store/spill.h"

#include <stdlib.h>

void spill_put(struct spill *s, struct chunks *owner, size_t i, void *bytes,
	       struct spill_entry *ret_victim)
{
	struct spill_entry *e = &s->entries[0];

	for (size_t k = 0; k < SPILL_CHUNKS && e->owner; k++) {
		if (!s->entries[k].owner || s->entries[k].used < e->used)
			e = &s->entries[k];
	}
	*ret_victim = *e;
	free(e->bytes);
	ret_victim->bytes = NULL;
	*e = (struct spill_entry){owner, i, ++s->tick, bytes};
}

static struct spill_entry *find(struct spill *s, const struct chunks *owner,
				size_t i)
{
	for (size_t k = 0; k < SPILL_CHUNKS; k++) {
		if (s->entries[k].owner == owner && s->entries[k].i == i)
			return &s->entries[k];
	}
	return NULL;
}

const void *spill_find(struct spill *s, const struct chunks *owner, size_t i)
{
	struct spill_entry *e = find(s, owner, i);

	if (!e)
		return NULL;
	e->used = ++s->tick;
	return e->bytes;
}

static void release(struct spill_entry *e)
{
	free(e->bytes);
	*e = (struct spill_entry){0};
}

void spill_remove(struct spill *s, const struct chunks *owner, size_t i)
{
	struct spill_entry *e = find(s, owner, i);

	if (e)
		release(e);
}

void spill_remove_all(struct spill *s, const struct chunks *owner)
{
	for (size_t k = 0; k < SPILL_CHUNKS; k++) {
		if (s->entries[k].owner == owner)
			release(&s->entries[k]);
	}
}
