/* SPDX-License-Identifier: Apache-2.0 */
/* `_blobs`: any blob as one file, by digest. */
#include <errno.h>

#include "content/blob.h"
#include "fs/dir_refs.h"
#include "fs/file_blob.h"
#include "fs/snapshot.h"
#include "oci/reference.h"

static int blobs_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct string_list names = {0};
	int r;

	(void)w;
	r = repo_digests(((struct dir_refs *)dir)->repo, false, &names);
	return r < 0 ? r : dir_refs_snapshot(dir, &names, S_IFREG, ret_handle);
}

static int blobs_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	struct repo *repo = ((struct dir_refs *)dir)->repo;
	struct digest d;
	uint64_t size;
	int r;

	if (reference_parse_digest_name(name, &d) < 0)
		return -ENOENT;
	if (known) {
		*ret = known;
		return 0;
	}
	*ttl_s = NODE_TTL_NEGATIVE;
	r = blob_find(repo, &d, w, &size);
	if (r < 0)
		return r;
	*ttl_s = NODE_TTL_FOREVER;
	return file_blob_new(dir, name, NODE_RANK_PLAIN, repo, NULL, &d, size,
			     NULL, ret);
}

const struct node_ops dir_blobs_ops = {
	.type = S_IFDIR,
	.getattr = dir_refs_getattr,
	.done = dir_refs_done,
	.lookup = blobs_lookup,
	.opendir = blobs_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
};
