/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links are handed out as they stand and never followed on this side; the
 * kernel resolves them, within whatever root the caller has.  Devices and
 * pipes are never opened here: the kernel does that, and the mount is nodev.
 */
#include "fs/file_unpacked.h"

#include <errno.h>
#include <limits.h>

/* --- regular files --- */

static int file_open(struct node *n, struct wait *w, void **ret_handle)
{
	const struct node_unpacked *u = (struct node_unpacked *)n;
	struct unpacked_file *f;
	int r;

	r = unpacked_open_file(u->unpacked, u->ino, w, &f);
	if (r == 0)
		*ret_handle = f;
	return r;
}

static ssize_t file_read(struct node *n, void *handle, void *buf, size_t len,
			 uint64_t off, struct wait *w)
{
	(void)n;
	return unpacked_read(handle, buf, len, off, w);
}

static void file_close(struct node *n, void *handle)
{
	(void)n;
	unpacked_close_file(handle);
}

/* What no digest has covered yet may turn out wrong: it is read anew. */
static bool file_keep(struct node *n, void *handle)
{
	(void)n;
	return unpacked_file_proven(handle);
}

/* --- symbolic links --- */

static int file_readlink(struct node *n, struct wait *w, struct str *out)
{
	const struct node_unpacked *u = (struct node_unpacked *)n;
	int r;

	r = unpacked_readlink(u->unpacked, u->ino, w, out);
	/* Longer than any system call can say. */
	if (r == -EFBIG || (r == 0 && out->len >= PATH_MAX))
		return -ENAMETOOLONG;
	return r;
}

/* --- the kinds --- */

#define COMMON                                                                 \
	.getattr = node_unpacked_getattr, .done = node_unpacked_done,          \
	.listxattr = node_unpacked_listxattr,                                  \
	.getxattr = node_unpacked_getxattr

static const struct node_ops kinds[] = {
	{.type = S_IFREG,
	 COMMON,
	 .open = file_open,
	 .read = file_read,
	 .close = file_close,
	 .keep = file_keep},
	{.type = S_IFLNK, COMMON, .readlink = file_readlink},
	{.type = S_IFCHR, COMMON},
	{.type = S_IFBLK, COMMON},
	{.type = S_IFIFO, COMMON},
	{.type = S_IFSOCK, COMMON},
};

const struct node_ops *file_unpacked_ops(uint32_t mode)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		if (kinds[k].type == (mode & S_IFMT))
			return &kinds[k];
	return NULL;
}
