/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The extended attributes of an image directory. */
#include "content/image.h"

int image_xattr_list(struct image *i, struct wait *w, struct str *names);
/* -ENODATA: no such attribute. */
int image_xattr_get(struct image *i, struct wait *w, const char *name,
		    struct str *value);
