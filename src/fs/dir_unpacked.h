/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A directory inside a layer or a root filesystem, and its topmost one. */
#include "fs/node_unpacked.h"

/* The top; counts `u` itself.  `d` names the layer, or the image's manifest. */
int dir_unpacked_new(struct node *parent, const char *name, struct unpacked *u,
		     const struct digest *d, struct node **ret);
