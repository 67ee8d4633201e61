/* SPDX-License-Identifier: Apache-2.0 */
/* A ring: whoever removes more names than it holds sees some of them again, and
 * is told that they are there. */
#include "fs/hidden.h"

#include <string.h>

#include "util/auto.h"
#include "util/map.h"

void hidden_init(struct hidden *h)
{
	memset(h, 0, sizeof(*h));
	pthread_mutex_init(&h->lock, NULL);
}

void hidden_done(struct hidden *h)
{
	pthread_mutex_destroy(&h->lock);
}

static uint64_t hash_of(const char *name)
{
	return map_hash(name, strlen(name));
}

void hidden_add(struct hidden *h, uint64_t dir, const char *name,
		uint64_t until_ms)
{
	uint64_t hash = hash_of(name);
	size_t at;

	autolock(&h->lock);
	for (at = 0; at < HIDDEN_NAMES; at++)
		if (h->v[at].dir == dir && h->v[at].name == hash)
			break;
	if (at == HIDDEN_NAMES) {
		at = h->next;
		h->next = (h->next + 1) % HIDDEN_NAMES;
	}
	h->v[at].dir = dir;
	h->v[at].name = hash;
	h->v[at].until_ms = until_ms;
}

bool hidden_has(struct hidden *h, uint64_t dir, const char *name,
		uint64_t now_ms)
{
	uint64_t hash = hash_of(name);

	autolock(&h->lock);
	for (size_t i = 0; i < HIDDEN_NAMES; i++)
		if (h->v[i].until_ms > now_ms && h->v[i].dir == dir &&
		    h->v[i].name == hash)
			return true;
	return false;
}

void hidden_remove(struct hidden *h, uint64_t dir, const char *name)
{
	uint64_t hash = hash_of(name);

	autolock(&h->lock);
	for (size_t i = 0; i < HIDDEN_NAMES; i++)
		if (h->v[i].dir == dir && h->v[i].name == hash)
			h->v[i].until_ms = 0;
}
