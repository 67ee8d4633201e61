/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A blob as a file: reading fetches only what is read. */
#include "content/blob.h"
#include "content/image.h"
#include "fs/node.h"

/* `image` gives the times; NULL: none are known (_blobs).  `mediatype` may be
 * NULL and must live as long as the image. */
int file_blob_new(struct node *parent, const char *name, enum node_rank rank,
		  struct repo *repo, struct image *image,
		  const struct digest *d, uint64_t size_bytes,
		  const char *mediatype, struct node **ret);
/* Is the node one of these, and of this image (or, NULL, of none)? */
bool file_blob_of(const struct node *n, const struct image *i);
