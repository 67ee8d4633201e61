/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An image directory: an OCI image layout with views for people.  Named by
 * digest, or by a tag: then it is pinned to the digest that the tag had when
 * the directory was first looked into.  What is being written under this name
 * is shown in addition (fs/overlay.h).
 */
#include "content/image.h"
#include "fs/node.h"

struct draft;

/* `up` is the way from inside the directory to its repository's: "../..", or
 * "../app" for app:1.4.  Either `tag` or `digest` must be there. */
struct dir_image_spec {
	struct repo *repo;
	const char *tag;	     /* or NULL */
	const struct digest *digest; /* NULL: resolved when looked into */
	const char *up;
	struct draft *draft; /* nothing is published under this name: what is
				there is being written.  Gets a reference. */
	pid_t maker;	     /* a thread of whoever began it; 0 */
};
int dir_image_new(struct node *parent, const char *name,
		  const struct dir_image_spec *spec, struct node **ret);
/* mkdir: begins to write an image of this name. */
int dir_image_begin(struct node *parent, const char *name,
		    struct dir_image_spec *spec, struct node **ret);
/* Is this known node an image directory that is pinned to this digest?  With
 * NULL: one that is not pinned yet. */
bool dir_image_is(struct node *n, const struct digest *d);
/* One that is not pinned is pinned to it.  Is it now? */
bool dir_image_adopt(struct node *n, const struct digest *d);
/* Is it an image directory of which nothing is published? */
bool dir_image_is_unborn(struct node *n);
/* Has the registry not been asked about an unborn one for so long?  Then who
 * calls is to ask it. */
bool dir_image_is_due(struct node *n, uint64_t after_ms);

/* --- for what is beneath --- */

bool dir_image_is_one(const struct node *n);
/* The image directory that n is or is in; NULL: none. */
struct node *dir_image_above(struct node *n);
struct repo *dir_image_repo(struct node *n);
pid_t dir_image_maker(struct node *n);	    /* the process; 0: nobody */
const char *dir_image_name(struct node *n); /* the tag, or the digest's text */
/* Do both mean the same name of the same repository? */
bool dir_image_same(struct node *a, struct node *b);
/* -ENOENT: nothing is published.  The image lives as long as the node. */
int dir_image_get(struct node *n, struct wait *w, struct image **ret);
/* The image, if it is pinned; NULL. */
struct image *dir_image_peek(struct node *n);
