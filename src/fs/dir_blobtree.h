/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* blobs/ and blobs/ALG/ of an image directory: what is published, and what is
 * being written, also while there is no image yet. */
#include "fs/node.h"

/* Would `name` in this directory be one of them? */
bool dir_blobtree_means(const struct node *dir, const char *name);
bool dir_blobtree_is(const struct node *n);
int dir_blobtree_new(struct node *parent, const char *name, struct node **ret);
