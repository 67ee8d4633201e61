/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Lists that stream page by page and are shared by all who read them at the
 * time: names are only ever added, so an index into a listing is a stable
 * directory offset.  Whoever needs more than has come fetches the next page;
 * the others wait for it.  Counted.
 */
#include "content/repo.h"

struct listing;

/* The tags of a repository; a listing younger than tag_ttl is shared. */
int listing_open_tags(struct repo *r, struct listing **ret);
struct listing *listing_ref(struct listing *l);
void listing_unref(struct listing *l);
/* Name number i.  -ENODATA: the list is complete and has no more; -ENOENT: no
 * such repository; other errors: could not ask. */
int listing_at(struct listing *l, size_t i, struct wait *w, const char **ret);
/* Would listing_at wait for this one? */
bool listing_pending(struct listing *l, size_t i);
/* Does a tags listing that is complete and fresh hold this tag?  Never asks. */
bool listing_knows_tag(struct repo *r, const char *tag, uint64_t *ret_fresh_ms);
