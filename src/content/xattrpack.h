/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An entry's extended attributes as one string of bytes, which is how a tree
 * keeps them.  trusted.overlay.*, user.overlay.* and user.registryfs.* are left
 * out: they mean something to whoever mounts, not to the image; so are names
 * that no system call can ask for, the earlier of two of one name, and what
 * would not fit in LAYER_XATTR_MAX.  Pure.
 */
#include "layer/entry.h"
#include "util/str.h"

int xattrs_pack(const struct layer_xattr *x, size_t len, struct str *out);
/* Adds the value; -ENODATA; -EBADMSG: damaged. */
int xattrs_find(const void *packed, size_t len, const char *name,
		struct str *out);
/* Adds all names, NUL-terminated each.  -EBADMSG. */
int xattrs_names(const void *packed, size_t len, struct str *out);
