/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names given and taken away without moving a byte, in the directories where
 * images are found by name: `_tags`, and a repository's parent (app:1.4).
 */
#include "content/repo.h"
#include "fs/node.h"
#include "oci/digest.h"

/* The tag means what a link in this directory with this target leads to.
 * -EXDEV: that is in another repository; -EPERM: it is no image, or the name
 * is one that ln -sf makes up. */
int naming_link(struct node *dir, struct repo *r, const char *tag,
		const char *target, struct wait *w);
/* What rmdir of an image's name does. */
int naming_remove_tag(struct node *dir, struct repo *r, const char *tag,
		      struct wait *w);
int naming_remove_digest(struct node *dir, struct repo *r,
			 const struct digest *d, struct wait *w);
int naming_rename(struct node *dir, struct repo *r, const char *from,
		  const char *to, struct wait *w);
