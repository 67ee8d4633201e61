/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One image, pinned to the digest it had when it was named: what an image
 * directory shows.  Parts are fetched when first asked for, once.  Counted.
 */
#include <time.h>

#include "content/repo.h"
#include "oci/imageconf.h"
#include "oci/manifest.h"

struct image;

/* In the order in which a copy should bring them: what is pointed at first. */
enum image_part {
	PART_LAYER,
	PART_CONFIG,
	PART_MANIFEST,
	PART_INDEX,
	PART_ROOT
};

struct image_entry {
	struct digest digest;
	uint64_t size_bytes;
	enum image_part part;
	const char *mediatype; /* lives as long as the image */
};

/* No request.  `tag` may be NULL (named by digest). */
int image_open(struct repo *r, const struct digest *d, const char *tag,
	       struct image **ret);
struct image *image_ref(struct image *i);
void image_unref(struct image *i);

struct repo *image_repo(const struct image *i);
const struct digest *image_digest(const struct image *i);
const char *image_tag(const struct image *i); /* or NULL */
/* The document itself. */
int image_root(struct image *i, struct wait *w, const struct manifest **ret);
/* The manifest of the chosen platform (the root itself if it is no index);
 * -ENOENT: there is none. */
int image_platform(struct image *i, struct wait *w,
		   const struct manifest **ret);
/* When it was made: annotation, else configuration; 1970 if neither says, and
 * not learned yet if it could not be asked.
 * Asked for when a directory of the image is listed, not by every look-up. */
int image_learn_time(struct image *i, struct wait *w);
/* *ret is left alone if it was not learned yet. */
void image_time_known(struct image *i, struct timespec *ret);
/* All that is reachable, sorted by part, then digest. */
int image_entries(struct image *i, struct wait *w,
		  const struct image_entry **ret, size_t *ret_len);
/* One of them, with as few requests as will do; -ENOENT. */
int image_find(struct image *i, const struct digest *d, struct wait *w,
	       struct image_entry *ret);
/* Manifests that point at this image. */
int image_referrers(struct image *i, struct wait *w,
		    const struct descriptor **ret, size_t *ret_len);
/* Is it one of them?  -ENOENT. */
int image_find_referrer(struct image *i, const struct digest *d,
			struct wait *w);
