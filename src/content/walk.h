/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* All that is reachable from an image's root; see image_entries. */
#include "content/image.h"
#include "util/vec.h"

struct doc;

struct image_parts {
	VEC(struct image_entry) entries; /* sorted by part, then digest */
	VEC(struct doc *) docs;		 /* kept for the strings of entries */
};

/* The root must outlive the parts.  -ELOOP: nested too deep; -EFBIG. */
int walk_image(struct repo *repo, const struct manifest *root, struct wait *w,
	       struct image_parts *ret);
void image_parts_done(struct image_parts *p);
