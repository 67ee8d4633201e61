/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names given and taken away without moving a byte, in the directories where
 * images are found by name: `_tags`, and a repository's parent (app:1.4).
 */
#include "content/repo.h"
#include "fs/node.h"
#include "oci/digest.h"
#include "util/vec.h"

/*
 * ln -sf first makes a link of a name of its own, which would be a good tag:
 * such links are kept here, and become one when they are renamed.
 */
struct own_links {
	pthread_mutex_t lock;
	VEC(struct own_link) links; /* protected by lock */
};
struct own_link {
	char *name, *target;
};
void own_links_init(struct own_links *l);
void own_links_done(struct own_links *l);
bool own_link_name(const char *name);
/* The link's node, as node_ops' lookup; -ENOENT. */
int own_link_find(struct own_links *l, struct node *dir, const char *name,
		  struct node *known, struct node **ret);
int own_link_add(struct own_links *l, struct node *dir, const char *name,
		 const char *target, struct node **ret);
int own_link_remove(struct own_links *l, const char *name);
/* What it leads to, to be freed; -ENOENT. */
int own_link_target(struct own_links *l, const char *name, char **ret);

/* The tag means what a link in this directory with this target leads to.
 * -EXDEV: that is in another repository; -EPERM: it is no image. */
int naming_link(struct node *dir, struct repo *r, const char *tag,
		const char *target, struct wait *w);
/* What rmdir of an image's name does. */
int naming_remove_tag(struct node *dir, struct repo *r, const char *tag,
		      struct wait *w);
int naming_remove_digest(struct node *dir, struct repo *r,
			 const struct digest *d, struct wait *w);
int naming_rename(struct node *dir, struct repo *r, const char *from,
		  const char *to, struct wait *w);
