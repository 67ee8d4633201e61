/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An image directory: an OCI image layout with views for people.  Named by
 * digest, or by a tag: then it is pinned to the digest that the tag had when
 * the directory was first looked into.
 */
#include "content/image.h"
#include "fs/node.h"

/* `up` is the way from inside the directory to its repository's: "../..", or
 * "../app" for app:1.4.  `digest` NULL: to be resolved when looked into. */
struct dir_image_spec {
	struct repo *repo;
	const char *tag; /* or NULL */
	const struct digest *digest;
	const char *up;
};
int dir_image_new(struct node *parent, const char *name,
		  const struct dir_image_spec *spec, struct node **ret);
/* Is this known node an image directory that is pinned to this digest?  With
 * NULL: one that is not pinned yet. */
bool dir_image_is(struct node *n, const struct digest *d);
