/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From the elements of a table of contents, in their order, to the entries of
 * a layer: a `reg` and the `chunk`s behind it become one file with its pieces.
 * Where a piece ends in the blob is where the next one of any file starts, so
 * all starts must be known before.  (If one were missed, the piece before would
 * be fetched with more behind it, no more than that.)
 */
#include "layer/entry.h"
#include "layer/tocentry.h"
#include "util/json.h"
#include "util/vec.h"

#define TOC_STARTS_MAX ((size_t)4 << 20)

/* Where pieces start in the blob. */
struct tocstarts {
	VEC(uint64_t) offs;
};

void tocstarts_done(struct tocstarts *s);
/* From an element's text.  -EBADMSG: more than TOC_STARTS_MAX. */
int tocstarts_add(struct tocstarts *s, const char *element, size_t len,
		  struct json_error *err);
void tocstarts_sort(struct tocstarts *s); /* no more will come */

struct tocfiles {
	const struct tocstarts *starts;
	uint64_t src_limit; /* pieces end there at the latest */
	layer_entry_fn fn;
	void *arg;
	/* results */
	uint64_t entries;
	uint64_t prefetch_end; /* the prefetch landmark's place, or 0 */
	/* private */
	bool has_file; /* `file` is a file of which chunks may follow ... */
	struct tocentry file;
	struct tocchunk last;		/* ... this one is the last */
	VEC(struct layer_piece) pieces; /* of those before */
};

void tocfiles_done(struct tocfiles *f);
/* -EBADMSG, or what fn said. */
int tocfiles_add(struct tocfiles *f, const char *element, size_t len,
		 struct json_error *err);
int tocfiles_end(struct tocfiles *f, struct json_error *err);
