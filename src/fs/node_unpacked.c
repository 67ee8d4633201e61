/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modes, owners and times are the image's, set-uid bits and devices too: the
 * mount is nosuid and nodev, so they mean nothing here, and a copy has them.
 *
 * The attributes that we add are found by name and not listed, so that what
 * copies a tree with its attributes copies the image's own and no more.
 */
#include "fs/node_unpacked.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "util/auto.h"

#define XATTR_LAYER "user.registryfs.layer"
#define XATTR_NAME "user.registryfs.name"
#define NS_MAX 999999999
/* opendir(3) asks for so much at once, and for as much as st_blksize says, if
 * that is more. */
#define LIST_BYTES 32768
#define LIST_ENTRY_BYTES 256
#define LIST_BYTES_MAX (1 << 19)

int node_unpacked_new(const struct node_ops *ops, struct node *parent,
		      const char *name, uint64_t ino, struct node **ret)
{
	struct node_unpacked *u;
	int r;

	r = node_new_numbered(ops, sizeof(*u), parent, name, ino, ret);
	if (r < 0)
		return r;
	u = (struct node_unpacked *)*ret;
	u->unpacked = unpacked_ref(((struct node_unpacked *)parent)->unpacked);
	u->ino = ino;
	/* While a layer is being read, a name may be replaced. */
	u->node.version = ino;
	return 0;
}

void node_unpacked_done(struct node *n)
{
	unpacked_unref(((struct node_unpacked *)n)->unpacked);
}

/*
 * Only with the first answer to a lister does the kernel take the entries'
 * attributes along: directories in later ones would be looked up one by one.
 */
static blksize_t list_block(uint32_t nlink)
{
	uint64_t want = (uint64_t)nlink * LIST_ENTRY_BYTES;

	return want < LIST_BYTES_MAX ? (blksize_t)want : LIST_BYTES_MAX;
}

void node_unpacked_fill(struct node *n, const struct tree_inode *i, bool final,
			struct node_attr *a)
{
	struct stat *st = &a->st;

	st->st_mode = n->ops->type | (i->mode & 07777);
	st->st_uid = i->uid;
	st->st_gid = i->gid;
	st->st_nlink = i->nlink > 0 ? i->nlink : 1;
	if (S_ISDIR(n->ops->type) && list_block(i->nlink) > LIST_BYTES)
		st->st_blksize = list_block(i->nlink);
	st->st_size =
		i->size_bytes < INT64_MAX ? (off_t)i->size_bytes : INT64_MAX;
	st->st_mtim.tv_sec = i->mtime_s;
	st->st_mtim.tv_nsec = i->mtime_ns < NS_MAX ? i->mtime_ns : NS_MAX;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		st->st_rdev = makedev(i->major, i->minor);
	if (!final)
		a->ttl_s = 0;
}

int node_unpacked_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	const struct node_unpacked *u = (struct node_unpacked *)n;
	struct tree_inode i;
	bool final = true;
	int r;

	r = unpacked_get(u->unpacked, u->ino, w, &i, &final);
	if (r == 0)
		node_unpacked_fill(n, &i, final, a);
	return r;
}

static int layer_xattr(const struct node_unpacked *u, struct wait *w,
		       struct str *value)
{
	char text[DIGEST_TEXT_MAX];
	struct tree_inode i;
	struct digest d;
	int r;

	r = unpacked_get(u->unpacked, u->ino, w, &i, NULL);
	if (r == 0)
		r = unpacked_layer(u->unpacked, &i, &d);
	if (r < 0)
		return r == -ENOENT ? -ENODATA : r;
	digest_format(&d, text);
	return str_add(value, text);
}

int node_unpacked_listxattr(struct node *n, struct wait *w, struct str *names)
{
	const struct node_unpacked *u = (struct node_unpacked *)n;
	int r;

	r = unpacked_listxattr(u->unpacked, u->ino, w, names);
	return r == -ENODATA ? 0 : r;
}

int node_unpacked_getxattr(struct node *n, struct wait *w, const char *name,
			   struct str *value)
{
	const struct node_unpacked *u = (struct node_unpacked *)n;

	if (strcmp(name, XATTR_LAYER) == 0)
		return layer_xattr(u, w, value);
	if (strcmp(name, XATTR_NAME) == 0)
		return unpacked_raw_name(u->unpacked, u->ino, w, value);
	return unpacked_getxattr(u->unpacked, u->ino, name, w, value);
}
