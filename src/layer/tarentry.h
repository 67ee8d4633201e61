/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * All that the headers of an archive say about its next entry, and which of
 * them rules: x, then L and K, then g, then the entry's own.  Not thread safe.
 */
#include <stdbool.h>
#include <stdint.h>

#include "layer/entry.h"
#include "layer/pax.h"
#include "layer/sparse.h"
#include "layer/tarheader.h"
#include "util/str.h"
#include "util/vec.h"

struct tarentry {
	/* Of the next entry only. */
	bool has_pax, has_name, has_link;
	struct pax pax;
	struct str name, link; /* L, K */
	struct tarheader header;
	struct sparse map;
	/* Of all that follow. */
	struct pax global;
	/* Lent with the entry. */
	VEC(struct layer_xattr) xattrs;
};

void tarentry_init(struct tarentry *e);
void tarentry_done(struct tarentry *e);
/* Keeps what `g` headers said. */
void tarentry_forget(struct tarentry *e);
/* A header was about an entry that did not come yet. */
bool tarentry_waits(const struct tarentry *e);
/* The body of a header of that type (x, X, g, L, K).  -EBADMSG, and why. */
int tarentry_tell(struct tarentry *e, char type, const struct str *body,
		  const char **ret_why);

/* With its own header: what it is, and how many bytes of data follow. */
enum layer_type tarentry_type(const struct tarentry *e);
uint64_t tarentry_stored_bytes(const struct tarentry *e);
/* All but size, place and pieces. */
int tarentry_fill(struct tarentry *e, struct layer_entry *ret);
