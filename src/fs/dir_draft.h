/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A directory that only a draft has: a writer's own (".tmp"), or a view's name
 * in an image directory that has no image yet. */
#include "fs/node.h"

int dir_draft_new(struct node *parent, const char *name, struct node **ret);
bool dir_draft_is(const struct node *n);
