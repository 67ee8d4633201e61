/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whiteouts of the image-spec (layer.md), as aufs had them: `.wh.NAME` hides
 * NAME of lower layers, `.wh..wh..opq` all that lower layers have in the
 * directory.  Other names that begin with `.wh..wh.` are aufs's own affairs and
 * hide nothing.  By their names, whatever their type; but there must be an
 * entry of that name: `.wh.a/b` alone hides no `a`.
 */
#include <stdbool.h>

#include "store/tree.h"
#include "util/wait.h"

#define WHITEOUT_PREFIX ".wh."

bool whiteout_is(const char *name);
/* Takes out of the directory `to` of `below` what the whiteouts in `from` of
 * the sealed layer hide.  -EINTR, -ETIMEDOUT. */
int whiteout_apply(struct tree *layer, uint64_t from, struct tree *below,
		   uint64_t to, struct wait *w);
