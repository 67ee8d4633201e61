/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Small files: a fixed text, a manifest, a text made anew at each open; and
 * symbolic links.  Those of an image have its time as far as that is known. */
#include "content/doc.h"
#include "content/image.h"
#include "fs/node.h"

/* Takes `text` over (also on failure). */
int file_text_new(struct node *parent, const char *name, enum node_rank rank,
		  char *text, struct image *image, struct node **ret);
/* A manifest as the file blobs/ALG/HEX; fetched when opened. */
int file_doc_new(struct node *parent, const char *name, enum node_rank rank,
		 const struct image_entry *entry, struct image *image,
		 struct node **ret);
/* Is the node such a manifest, of this image? */
bool file_doc_of(const struct node *n, const struct image *i);
/* Made by `fill` at each open and stat. */
typedef int (*file_made_fill)(struct node *n, const char *arg, struct str *out);
int file_made_new(struct node *parent, const char *name, file_made_fill fill,
		  const char *arg, struct node **ret);
/* What a read of such a text at `off` gets; an empty one may be NULL. */
ssize_t text_slice(const char *text, size_t text_len, void *buf, size_t len,
		   uint64_t off);
/* A symbolic link; of no image: NULL. */
int link_new(struct node *parent, const char *name, const char *target,
	     struct image *image, struct node **ret);
