/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest is fetched to see whether it is there; it would be needed next. */
#include "fs/dir_manifests.h"

#include <errno.h>

#include "fs/dir_image.h"
#include "fs/snapshot.h"
#include "oci/reference.h"

int dir_manifests_find(struct node *dir, const char *name, struct repo *repo,
		       const struct digest *d, const char *up,
		       struct node *known, struct wait *w, struct node **ret)
{
	struct dir_image_spec spec = {.repo = repo, .digest = d, .up = up};
	struct image *i;
	const struct manifest *m;
	int r;

	if (known) {
		*ret = known;
		return 0;
	}
	r = image_open(repo, d, NULL, &i);
	if (r < 0)
		return r;
	r = image_root(i, w, &m);
	image_unref(i);
	return r < 0 ? r : dir_image_new(dir, name, &spec, ret);
}

static int manifests_opendir(struct node *dir, struct wait *w,
			     void **ret_handle)
{
	struct string_list names = {0};
	int r;

	(void)w;
	r = repo_digests(((struct dir_refs *)dir)->repo, true, &names);
	return r < 0 ? r : dir_refs_snapshot(dir, &names, S_IFDIR, ret_handle);
}

static int manifests_lookup(struct node *dir, const char *name,
			    struct node *known, struct wait *w,
			    struct node **ret, double *ttl_s)
{
	struct digest d;
	int r;

	if (reference_parse_digest_name(name, &d) < 0)
		return -ENOENT;
	*ttl_s = NODE_TTL_NEGATIVE;
	r = dir_manifests_find(dir, name, ((struct dir_refs *)dir)->repo, &d,
			       "../..", known, w, ret);
	if (r == 0)
		*ttl_s = NODE_TTL_FOREVER;
	return r;
}

const struct node_ops dir_manifests_ops = {
	.type = S_IFDIR,
	.getattr = dir_refs_getattr,
	.done = dir_refs_done,
	.lookup = manifests_lookup,
	.opendir = manifests_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
};
