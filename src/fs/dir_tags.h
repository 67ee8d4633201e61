/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `_tags`: the images of a repository by tag. */
#include "fs/dir_refs.h"

/* Looks up an image by tag for any directory: `known` as in node_ops. */
int dir_tags_find(struct node *dir, const char *name, struct repo *repo,
		  const char *tag, const char *up, struct node *known,
		  struct wait *w, struct node **ret, double *ttl_s);
/* mkdir of one: begins to write it. */
int dir_tags_begin(struct node *dir, const char *name, struct repo *repo,
		   const char *tag, const char *up, pid_t tid,
		   struct node **ret);
