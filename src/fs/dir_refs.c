/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups never list.  A tag that a fresh and complete listing names is
 * answered from that, and resolved when somebody looks into it: listing a
 * repository with attributes must not cost a request a tag.
 */
#include "fs/dir_refs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/listing.h"
#include "content/resolve.h"
#include "fs/dir_image.h"
#include "fs/file_blob.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "util/auto.h"

struct dir_refs {
	struct node node;
	struct repo *repo;
};

const char *const dir_refs_names[] = {"_tags", "_manifests", "_blobs", NULL};

/* --- images --- */

static int tag_unresolved(struct node *dir, const char *name,
			  struct dir_image_spec *spec, struct node *known,
			  struct node **ret)
{
	if (known && dir_image_is(known, NULL)) {
		*ret = known;
		return 0;
	}
	return dir_image_new(dir, name, spec, ret);
}

int dir_refs_tag(struct node *dir, const char *name, struct repo *repo,
		 const char *tag, const char *up, struct node *known,
		 struct wait *w, struct node **ret, double *ttl_s)
{
	struct dir_image_spec spec = {.repo = repo, .tag = tag, .up = up};
	struct resolved res;
	uint64_t fresh_ms;
	int r;

	r = resolve_peek(repo, tag, &res);
	if (r < 0 && listing_knows_tag(repo, tag, &fresh_ms)) {
		*ttl_s = (double)fresh_ms / 1000;
		return tag_unresolved(dir, name, &spec, known, ret);
	}
	if (r < 0)
		r = resolve_tag(repo, tag, w, &res);
	if (r < 0) {
		*ttl_s = node_options(dir)->tag_ttl_s > NODE_TTL_NEGATIVE
				 ? NODE_TTL_NEGATIVE
				 : node_options(dir)->tag_ttl_s;
		return r;
	}
	*ttl_s = (double)res.fresh_ms / 1000;
	if (known && dir_image_is(known, &res.digest)) {
		*ret = known;
		return 0;
	}
	spec.digest = &res.digest;
	return dir_image_new(dir, name, &spec, ret);
}

int dir_refs_digest(struct node *dir, const char *name, struct repo *repo,
		    const struct digest *d, const char *up, struct node *known,
		    struct wait *w, struct node **ret)
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

/* --- the kind, as far as all three share it --- */

static int refs_getattr(struct node *n, struct wait *w, struct stat *st)
{
	(void)w;
	st->st_mode |= NODE_DIR_MODE;
	node_mount_time(n, st);
	return 0;
}

static void refs_done(struct node *n)
{
	repo_unref(((struct dir_refs *)n)->repo);
}

/* --- _tags --- */

static int tags_lookup(struct node *dir, const char *name, struct node *known,
		       struct wait *w, struct node **ret, double *ttl_s)
{
	if (!reference_is_tag(name))
		return -ENOENT;
	return dir_refs_tag(dir, name, ((struct dir_refs *)dir)->repo, name,
			    "../..", known, w, ret, ttl_s);
}

static int tags_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct dir_refs *d = (struct dir_refs *)dir;
	struct listing *l;
	const char *first;
	int r;

	r = listing_open_tags(d->repo, &l);
	if (r < 0)
		return r;
	r = listing_at(l, 0, w, &first);
	if (r < 0 && r != -ENODATA) {
		listing_unref(l);
		return r;
	}
	*ret_handle = l;
	return 0;
}

static int tags_readdir(struct node *dir, void *handle, uint64_t off,
			struct wait *w, struct dir_sink *sink)
{
	const char *name;
	int r;

	if (!dir_add_dots(dir, &off, sink))
		return 0;
	for (uint64_t i = off - 2;; i++) {
		r = listing_at(handle, (size_t)i, w, &name);
		if (r < 0)
			return r == -ENODATA ? 0 : r;
		if (!sink->add(sink, name, S_IFDIR,
			       node_child_ino(dir, name, NODE_RANK_PLAIN),
			       i + 3))
			return 0;
	}
}

static void tags_closedir(struct node *dir, void *handle)
{
	(void)dir;
	listing_unref(handle);
}

static const struct node_ops tags_ops = {
	.type = S_IFDIR,
	.getattr = refs_getattr,
	.done = refs_done,
	.lookup = tags_lookup,
	.opendir = tags_opendir,
	.readdir = tags_readdir,
	.closedir = tags_closedir,
	.volatile_list = true,
};

/* --- _manifests and _blobs: by digest; what is known is listed --- */

static int digests_opendir(struct node *dir, bool manifests, mode_t type,
			   void **ret_handle)
{
	struct dir_refs *d = (struct dir_refs *)dir;
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct string_list names = {0};
	int r;

	if (!s)
		return -ENOMEM;
	r = repo_digests(d->repo, manifests, &names);
	for (size_t i = 0; i < names.len && r == 0; i++) {
		name_spell(node_options(dir), names.v[i]);
		r = snapshot_add(s, names.v[i], type, NODE_RANK_PLAIN);
	}
	string_list_done(&names);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static int manifests_opendir(struct node *dir, struct wait *w,
			     void **ret_handle)
{
	(void)w;
	return digests_opendir(dir, true, S_IFDIR, ret_handle);
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
	r = dir_refs_digest(dir, name, ((struct dir_refs *)dir)->repo, &d,
			    "../..", known, w, ret);
	if (r == 0)
		*ttl_s = NODE_TTL_FOREVER;
	return r;
}

static const struct node_ops manifests_ops = {
	.type = S_IFDIR,
	.getattr = refs_getattr,
	.done = refs_done,
	.lookup = manifests_lookup,
	.opendir = manifests_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
};

static int blobs_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	(void)w;
	return digests_opendir(dir, false, S_IFREG, ret_handle);
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

static const struct node_ops blobs_ops = {
	.type = S_IFDIR,
	.getattr = refs_getattr,
	.done = refs_done,
	.lookup = blobs_lookup,
	.opendir = blobs_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
};

int dir_refs_new(struct node *parent, const char *name, struct repo *repo,
		 struct node **ret)
{
	static const struct node_ops *const kinds[] = {
		&tags_ops, &manifests_ops, &blobs_ops};
	struct node *n;
	int r;

	for (size_t i = 0; dir_refs_names[i]; i++) {
		if (strcmp(name, dir_refs_names[i]) != 0)
			continue;
		r = node_new(kinds[i], sizeof(struct dir_refs), parent, name,
			     NODE_RANK_PLAIN, &n);
		if (r < 0)
			return r;
		((struct dir_refs *)n)->repo = repo_ref(repo);
		*ret = n;
		return 0;
	}
	return -ENOENT;
}
