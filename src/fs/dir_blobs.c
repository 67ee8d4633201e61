/* SPDX-License-Identifier: Apache-2.0 */
/* `_blobs`: any blob as one file, by digest. */
#include <errno.h>

#include "content/blob.h"
#include "fs/dir_refs.h"
#include "fs/file_blob.h"
#include "fs/file_draft.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "push/tagging.h"
#include "push/writer.h"

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
	if (known && !node_is_draft(known)) {
		*ret = known;
		return 0;
	}
	*ttl_s = NODE_TTL_NEGATIVE;
	r = blob_find(repo, &d, w, &size);
	if (r == -ENOENT && known && file_draft_written(known)) {
		*ttl_s = 0;
		*ret = known; /* on its way */
		return 0;
	}
	if (r < 0)
		return r;
	*ttl_s = NODE_TTL_FOREVER;
	return file_blob_new(dir, name, NODE_RANK_PLAIN, repo, NULL, &d, size,
			     NULL, ret);
}

/* --- writing --- */

static int blobs_create(struct node *dir, const char *name,
			const struct opening *o, struct node **ret,
			struct writer **ret_writer)
{
	struct repo *repo = ((struct dir_refs *)dir)->repo;
	struct outbox *outbox = node_outbox(dir);
	struct writer *w;
	struct digest d;
	int r;

	if (reference_parse_digest_name(name, &d) < 0)
		return -EINVAL;
	if (!outbox)
		return -EROFS;
	r = writer_new_blob(outbox, repo, &d, o->tid, &w);
	if (r < 0)
		return r;
	r = file_draft_new(dir, name, 0, ret);
	if (r < 0) {
		writer_close(w);
		return r;
	}
	*ret_writer = w;
	return 0;
}

static int blobs_unlink(struct node *dir, const char *name, struct wait *w)
{
	struct repo *repo = ((struct dir_refs *)dir)->repo;
	struct outbox *o = node_outbox(dir);
	struct digest d;

	if (reference_parse_digest_name(name, &d) < 0)
		return -ENOENT;
	return o ? tagging_remove_blob(o, repo, &d, w) : -EROFS;
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
	.settable = true,
	.create = blobs_create,
	.unlink = blobs_unlink,
};
