/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A hash map from byte strings to pointers, which are never NULL: that means
 * absent.  Keys are copied, values belong to the caller.  Hashing is seeded
 * per process (names come from strangers).  Not thread safe.  Iteration order
 * is unspecified.
 */
#include <stddef.h>
#include <stdint.h>

struct map;

int map_new(struct map **ret);
/* Calls free_value (may be NULL) on each value.  NULL map is fine. */
void map_free(struct map *m, void (*free_value)(void *));
size_t map_len(const struct map *m);
void *map_find(const struct map *m, const char *key);
void *map_findn(const struct map *m, const void *key, size_t n);
/* Sets or replaces; *ret_old (may be NULL pointer) gets what was there. */
int map_put(struct map *m, const char *key, void *value, void **ret_old);
int map_putn(struct map *m, const void *key, size_t n, void *value,
	     void **ret_old);
void *map_remove(struct map *m, const char *key);
void *map_removen(struct map *m, const void *key, size_t n);
/* Start with *pos = 0; NULL at the end.  No insertion meanwhile, removal is
 * fine.  *ret_key (may be NULL pointer) is valid until the removal. */
void *map_next(const struct map *m, size_t *pos, const char **ret_key);
/* The seeded hash itself, for tables keyed by numbers or built elsewhere. */
uint64_t map_hash(const void *bytes, size_t n);
