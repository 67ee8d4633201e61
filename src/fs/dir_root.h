/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The root: all hosts, or SOURCE's part of one. */
#include "fs/node.h"

int dir_root_new(struct fs *fs, struct node **ret);
