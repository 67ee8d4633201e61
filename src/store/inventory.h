/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a cache holds, counted at one moment: in all, and for each repository.
 * What several repositories hold counts for each of them.  No network.
 */
#include <stddef.h>
#include <stdint.h>

#include "store/stage.h"
#include "store/store.h"
#include "util/str.h"

struct inventory_line {
	char *host, *repository;
	uint64_t blobs, blob_bytes; /* of which something is there */
	uint64_t trees, tree_bytes;
};

struct inventory {
	char *dir; /* NULL: in memory only */
	struct store_stats stats;
	struct stage_stats spool;
	uint64_t database_bytes; /* those set aside as damaged included */
	uint64_t min_free_bytes, room_bytes;
	struct inventory_line *lines; /* by host, then repository */
	size_t len;
};

int inventory_take(struct store *s, struct inventory *ret);
void inventory_done(struct inventory *v);

/* `pending`: images that were acknowledged and are not complete. */
int inventory_print(const struct inventory *v, size_t pending, struct str *out);
int inventory_print_json(const struct inventory *v, size_t pending,
			 struct str *out);

/* --- for the store itself --- */

uint64_t inventory_database_bytes(struct store *s);
void inventory_remove_set_aside(struct store *s);
