/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names in an image directory that are there, but not for whoever is about to
 * make them. */
#include "fs/node.h"

/*
 * Published names do not stand in the way of whoever writes an image in an
 * order of his own: its index.json may come first and publish it, and the rest
 * still has to be made.  Does this caller want to make something?
 */
bool give_way(struct node *dir, const char *name, mode_t type, struct wait *w);
/* The caller was shown this directory. */
void give_way_tell(struct node *dir, const char *name, const struct wait *w);
/* Likewise, or was it removed a moment ago (fs/hidden.h)? */
bool give_way_hidden(struct node *dir, const char *name, mode_t type,
		     struct wait *w);
/*
 * Two who write one image at once do not hinder each other: what one of them
 * has made the other makes as well.  Names of a writer's own are not shared.
 */
bool give_way_alongside(struct node *dir, const char *name, mode_t type,
			struct wait *w);
