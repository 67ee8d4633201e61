/* SPDX-License-Identifier: Apache-2.0 */
/* `_blobs`: any blob as one file, by digest. */
#include "fs/dir_blobs.h"

#include <errno.h>
#include <string.h>

#include "content/blob.h"
#include "fs/dir_refs.h"
#include "fs/file_blob.h"
#include "fs/file_draft.h"
#include "fs/overlay.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "push/tagging.h"
#include "push/writer.h"

bool dir_blobs_is(const struct node *n)
{
	return n->ops == &dir_blobs_ops;
}

struct repo *dir_blobs_repo(struct node *n)
{
	if (!dir_blobs_is(n))
		n = n->parent;
	return n && dir_blobs_is(n) ? ((struct dir_refs *)n)->repo : NULL;
}

bool dir_blobs_names(struct node *n, struct digest *ret)
{
	return !dir_blobs_is(n) && dir_blobs_repo(n) &&
	       reference_parse_digest_name(n->name, ret) == 0;
}

/* .DIGEST.a1B2c3 of rsync, DIGEST.part, DIGEST~ */
static bool is_temporary(const char *name)
{
	char copy[DIGEST_TEXT_MAX];
	struct digest d;
	size_t n = strcspn(name, ":+");

	if (name[0] == '.')
		return true;
	if (name[n])
		n += 1 + strspn(name + n + 1, "0123456789abcdef");
	if (n >= sizeof(copy) || !name[n])
		return false;
	memcpy(copy, name, n);
	copy[n] = '\0';
	return reference_parse_digest_name(copy, &d) == 0;
}

static int blobs_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct string_list names = {0};
	void *handle = NULL;
	int r;

	(void)w;
	r = repo_digests(((struct dir_refs *)dir)->repo, false, &names);
	if (r == 0)
		r = dir_refs_snapshot(dir, &names, S_IFREG, &handle);
	if (r == 0)
		r = overlay_list(dir, handle);
	if (r < 0)
		snapshot_free(handle);
	else
		*ret_handle = handle;
	return r;
}

static int blobs_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	struct repo *repo = ((struct dir_refs *)dir)->repo;
	struct digest d;
	uint64_t size;
	int r;

	if (reference_parse_digest_name(name, &d) < 0)
		return is_temporary(name)
			       ? overlay_lookup(dir, name, known, w, ret, ttl_s)
			       : -ENOENT;
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
		return is_temporary(name)
			       ? overlay_create(dir, name, o, ret, ret_writer)
			       : -EINVAL;
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
		return overlay_unlink(dir, name, w);
	return o ? tagging_remove_blob(o, repo, &d, w) : -EROFS;
}

/* What is a blob already is named by what it is. */
static int blobs_rename(struct node *dir, const char *name, struct node *to,
			const char *new_name, bool keep, struct wait *w)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct draft_stat st;
	struct digest digest;
	int r;

	if (reference_parse_digest_name(name, &digest) == 0)
		return -EPERM;
	r = overlay_draft(dir, name, &path, &d);
	if (r == 0)
		r = draft_stat(d, path.buf, &st);
	if (r < 0)
		return r;
	/* mv copies it, then. */
	if (dir_blobs_repo(to) != dir_blobs_repo(dir))
		return -EXDEV;
	if (reference_parse_digest_name(new_name, &digest) == 0)
		return draft_push(d, path.buf, &digest, w);
	return is_temporary(new_name)
		       ? draft_rename(d, path.buf, new_name, keep, w)
		       : -EINVAL;
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
	.rename = blobs_rename,
};
