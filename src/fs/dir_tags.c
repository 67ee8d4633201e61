/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups never list.  A tag that a fresh and complete listing names is
 * answered from that, and resolved when somebody looks into it: listing a
 * repository with attributes must not cost a request a tag.
 */
#include "fs/dir_tags.h"

#include <errno.h>

#include "content/listing.h"
#include "content/resolve.h"
#include "fs/dir_image.h"
#include "oci/reference.h"

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

int dir_tags_find(struct node *dir, const char *name, struct repo *repo,
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

/* --- the directory --- */

static int tags_lookup(struct node *dir, const char *name, struct node *known,
		       struct wait *w, struct node **ret, double *ttl_s)
{
	if (!reference_is_tag(name))
		return -ENOENT;
	return dir_tags_find(dir, name, ((struct dir_refs *)dir)->repo, name,
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

const struct node_ops dir_tags_ops = {
	.type = S_IFDIR,
	.getattr = dir_refs_getattr,
	.done = dir_refs_done,
	.lookup = tags_lookup,
	.opendir = tags_opendir,
	.readdir = tags_readdir,
	.closedir = tags_closedir,
	.volatile_list = true,
};
