/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Directories of symbolic links beneath an image directory: layers/,
 * platforms/, referrers/. */
#include "content/image.h"
#include "fs/node.h"

enum dir_view { VIEW_LAYERS, VIEW_PLATFORMS, VIEW_REFERRERS };

/* `up`: from the image directory to the repository's. */
int dir_view_new(struct node *parent, const char *name, enum dir_view view,
		 struct image *image, const char *up, struct node **ret);
