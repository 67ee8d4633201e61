/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `.registryfs/pending`: a file for each image that was acknowledged and is not
 * complete yet.  Removing it gives that image up. */
#include "fs/node.h"

int dir_pending_new(struct node *parent, const char *name, struct node **ret);
