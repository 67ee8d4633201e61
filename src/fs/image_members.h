/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an image directory shows of a published image: the files of a layout,
 * and the views for people. */
#include "content/image.h"
#include "fs/node.h"

struct image_member;
struct snapshot;

/* NULL: no such name. */
const struct image_member *image_member_find(const char *name);
mode_t image_member_type(const struct image_member *m);
/* `up` as of dir_image_spec.  -ENOENT: this image has none. */
int image_member_make(const struct image_member *m, struct node *dir,
		      struct image *i, const char *up, struct wait *w,
		      struct node **ret);
/* Those that this image has, in the order of a listing. */
int image_members_list(struct image *i, struct wait *w, struct snapshot *s);
