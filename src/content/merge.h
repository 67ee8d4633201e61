/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Merges layers' trees into one, as the image-spec has it: whiteouts and opaque
 * directories act on lower layers only (wherever in the archive they are),
 * attributes of a directory are replaced by an explicit entry and not by an
 * implied one, anything else replaces what was there, hard links that dangle in
 * their layer are looked for in the lower ones (as they were before this
 * layer's whiteouts).  Names that begin with `.wh.` are not shown.  Memory does
 * not grow with the layers.  Pure: no network.
 */
#include "store/tree.h"
#include "util/wait.h"

/* layers: sealed, base first.  `out`: new; each inode says its layer and its
 * inode there.  -EFBIG: more than entries_max names; -EINTR, -ETIMEDOUT. */
int merge_trees(struct tree *const *layers, size_t layers_len,
		uint64_t entries_max, struct wait *w, struct tree *out);
