/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `history` of an image directory: which step made which layer. */
#include "content/image.h"
#include "fs/node.h"

int file_history_new(struct node *parent, const char *name, struct image *image,
		     struct node **ret);
