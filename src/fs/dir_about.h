/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `.registryfs` at the root: the mount about itself.  Reading it never touches
 * the network. */
#include "fs/node.h"

#define DIR_ABOUT_NAME ".registryfs"

/* Answers names that begin with a dot: -ENOENT for all but this one, and for
 * this one anywhere but at the root. */
int dir_about_lookup(struct node *parent, const char *name, struct node *known,
		     struct node **ret);
