/* SPDX-License-Identifier: Apache-2.0 */
/* A map whose keys are an inode number and a name behind it. */
#include "content/dircache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/tree.h"
#include "util/map.h"

struct dircache {
	struct map *map; /* struct key -> inode */
};

struct key {
	uint64_t parent;
	char name[TREE_NAME_MAX + 1];
};

/* Returns its length. */
static size_t make_key(uint64_t parent, const char *name, struct key *ret)
{
	size_t len = strnlen(name, TREE_NAME_MAX);

	ret->parent = parent;
	memcpy(ret->name, name, len);
	return offsetof(struct key, name) + len;
}

int dircache_new(struct dircache **ret)
{
	struct dircache *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = map_new(&c->map);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void dircache_free(struct dircache *c)
{
	if (!c)
		return;
	map_free(c->map, NULL);
	free(c);
}

size_t dircache_len(const struct dircache *c)
{
	return map_len(c->map);
}

uint64_t dircache_find(const struct dircache *c, uint64_t parent,
		       const char *name)
{
	struct key k;
	size_t len = make_key(parent, name, &k);

	return (uintptr_t)map_findn(c->map, &k, len);
}

int dircache_put(struct dircache *c, uint64_t parent, const char *name,
		 uint64_t ino)
{
	struct key k;
	size_t len = make_key(parent, name, &k);

	return map_putn(c->map, &k, len, (void *)(uintptr_t)ino, NULL);
}

int dircache_clear(struct dircache *c)
{
	struct map *empty = NULL;
	int r = map_new(&empty);

	if (r < 0)
		return r;
	map_free(c->map, NULL);
	c->map = empty;
	return 0;
}
