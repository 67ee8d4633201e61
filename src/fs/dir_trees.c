/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `_layers` and `_rootfs`: what is inside, by digest of the layer or of the
 * image's manifest.  Listed is what was looked into before, so that to walk the
 * tree is not to fetch every layer.
 */
#include <errno.h>

#include "content/unpacked.h"
#include "fs/dir_refs.h"
#include "fs/dir_unpacked.h"
#include "fs/snapshot.h"
#include "oci/reference.h"

typedef int (*trees_open)(struct repo *r, const struct digest *d,
			  struct wait *w, struct unpacked **ret);

static int trees_find(struct node *dir, const char *name, struct wait *w,
		      trees_open open_tree, struct node **ret)
{
	autoptr(unpacked) u = NULL;
	struct digest d;
	int r;

	if (reference_parse_digest_name(name, &d) < 0)
		return -ENOENT;
	r = open_tree(((struct dir_refs *)dir)->repo, &d, w, &u);
	return r < 0 ? r : dir_unpacked_new(dir, name, u, &d, ret);
}

/* What a digest names is not there, or is for ever. */
static int trees_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	trees_open open_tree = dir->ops == &dir_rootfs_ops
				       ? unpacked_open_rootfs
				       : unpacked_open_layer;
	int r;

	if (known) {
		*ret = known;
		return 0;
	}
	*ttl_s = NODE_TTL_NEGATIVE;
	r = trees_find(dir, name, w, open_tree, ret);
	if (r == 0)
		*ttl_s = NODE_TTL_FOREVER;
	return r;
}

static int trees_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct string_list names = {0};
	int r;

	(void)w;
	r = unpacked_known(((struct dir_refs *)dir)->repo,
			   dir->ops == &dir_rootfs_ops, &names);
	return r < 0 ? r : dir_refs_snapshot(dir, &names, S_IFDIR, ret_handle);
}

#define COMMON                                                                 \
	.type = S_IFDIR, .getattr = dir_refs_getattr, .done = dir_refs_done,   \
	.lookup = trees_lookup, .opendir = trees_opendir,                      \
	.readdir = snapshot_readdir, .closedir = snapshot_closedir,            \
	.volatile_list = true

const struct node_ops dir_layers_ops = {COMMON};
const struct node_ops dir_rootfs_ops = {COMMON};
