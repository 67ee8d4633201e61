/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An image that a draft's index.json or manifest.json has begun: which it is,
 * what of it is at hand, and what leaves the draft with it. */
#include "push/draft_private.h"

struct draft_image {
	struct draft *d;
	enum draft_name kind;
	struct feed *feed; /* of the file */
	char *bytes;	   /* the same, whole */
	size_t len;
	/* Once it was chosen. */
	struct digest digest;
	char *mediatype;
	bool itself; /* the file is the document */
};
void draft_image_done(struct draft_image *i);
/* -ENODATA: it lists nothing; -EINVAL: recorded. */
int draft_image_choose(struct draft_image *i, struct wait *w);
/* As publication.find: committed documents, and the file itself. */
int draft_image_find(void *arg, const struct digest *d, struct feed **ret);
/*
 * All that this document references, and it itself, as paths.  With a wait the
 * registry is asked for documents that are not at hand.
 */
int draft_image_closure(struct draft_image *i, struct wait *w,
			struct map *closure);
/* It was published.  `index`: and nothing that was written to index.json later
 * is waiting. */
int draft_image_leave(struct draft_image *i, bool index);
/* By him who has published it: manifests of tries that have failed. */
void draft_image_forget(struct draft_image *i);
