/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups never list.  A tag that a fresh and complete listing names is
 * answered from that, and resolved when somebody looks into it: listing a
 * repository with attributes must not cost a request a tag.
 */
#include "fs/dir_tags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/stringlist.h"
#include "content/listing.h"
#include "content/resolve.h"
#include "fs/dir_image.h"
#include "fs/file_draft.h"
#include "fs/naming.h"
#include "fs/overlay.h"
#include "oci/reference.h"
#include "util/auto.h"

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

/* Resolved, or the registry has said that there is none. */
static int tag_answered(struct node *dir, const char *name,
			struct dir_image_spec *spec, const struct resolved *res,
			struct node *known, struct node **ret)
{
	if (known && dir_image_adopt(known, &res->digest)) {
		*ret = known;
		return 0;
	}
	spec->digest = &res->digest;
	return dir_image_new(dir, name, spec, ret);
}

/* Nothing is published; -ENOENT: and nothing is being written. */
static int tag_unborn(struct node *dir, const char *name,
		      struct dir_image_spec *spec, struct node *known,
		      struct node **ret)
{
	autoptr(draft) d = NULL;
	int r;

	r = overlay_find(dir, spec->repo, spec->tag, &d);
	if (r < 0)
		return r;
	if (known && dir_image_is_unborn(known)) {
		*ret = known;
		return 0;
	}
	spec->draft = d;
	return dir_image_new(dir, name, spec, ret);
}

/* Somebody else may publish it meanwhile.  A copy looks it up for every file.
 */
static uint64_t unborn_ms(unsigned tag_ttl_s)
{
	double s =
		tag_ttl_s > NODE_TTL_NEGATIVE ? tag_ttl_s : NODE_TTL_NEGATIVE;

	return (uint64_t)(s * 1000);
}

static int find_tag(struct node *dir, const char *name, struct repo *repo,
		    const char *tag, const char *up, struct node *known,
		    struct wait *w, struct node **ret, double *ttl_s)
{
	struct dir_image_spec spec = {.repo = repo, .tag = tag, .up = up};
	unsigned tag_ttl_s = node_options(dir)->tag_ttl_s;
	struct resolved res;
	uint64_t fresh_ms;
	int r;

	r = resolve_peek(repo, tag, &res);
	/* One that is being written here is not asked for again and again. */
	if (r < 0 && known && dir_image_is_unborn(known) &&
	    !dir_image_is_due(known, unborn_ms(tag_ttl_s)) &&
	    tag_unborn(dir, name, &spec, known, ret) == 0) {
		*ttl_s = 0;
		return 0;
	}
	if (r < 0 && listing_knows_tag(repo, tag, &fresh_ms)) {
		*ttl_s = (double)fresh_ms / 1000;
		return tag_unresolved(dir, name, &spec, known, ret);
	}
	/* Before a mkdir the kernel asks twice. */
	if (r < 0 && resolve_is_absent(repo, tag))
		r = -ENOENT;
	else if (r < 0)
		r = resolve_tag(repo, tag, w, &res);
	if (r == 0) {
		*ttl_s = (double)res.fresh_ms / 1000;
		return tag_answered(dir, name, &spec, &res, known, ret);
	}
	*ttl_s = tag_ttl_s > NODE_TTL_NEGATIVE ? NODE_TTL_NEGATIVE : tag_ttl_s;
	/* Also where the registry cannot be asked: writing goes on. */
	if (r == -ENOENT || (known && dir_image_is_unborn(known))) {
		int unborn = tag_unborn(dir, name, &spec, known, ret);

		if (unborn == 0 || r == -ENOENT)
			r = unborn;
		if (r == 0)
			*ttl_s = 0;
	}
	return r;
}

/* What is being written here will mean something else soon, and at once: the
 * kernel may act upon an answer later than upon the news that came after it. */
static bool is_being_written(struct node *dir, struct repo *repo,
			     const char *tag)
{
	autoptr(draft) d = NULL;

	return overlay_find(dir, repo, tag, &d) == 0;
}

int dir_tags_find(struct node *dir, const char *name, struct repo *repo,
		  const char *tag, const char *up, struct node *known,
		  struct wait *w, struct node **ret, double *ttl_s)
{
	int r;

	r = find_tag(dir, name, repo, tag, up, known, w, ret, ttl_s);
	if (r == 0 && *ttl_s > 0 && is_being_written(dir, repo, tag))
		*ttl_s = 0;
	return r;
}

int dir_tags_begin(struct node *dir, const char *name, struct repo *repo,
		   const char *tag, const char *up, pid_t tid,
		   struct node **ret)
{
	struct dir_image_spec spec = {
		.repo = repo, .tag = tag, .up = up, .maker = tid};

	return dir_image_begin(dir, name, &spec, ret);
}

/* --- the directory --- */

static struct dir_refs *refs(struct node *dir)
{
	return (struct dir_refs *)dir;
}

static int tags_lookup(struct node *dir, const char *name, struct node *known,
		       struct wait *w, struct node **ret, double *ttl_s)
{
	if (!reference_is_tag(name))
		return -ENOENT;
	return dir_tags_find(dir, name, refs(dir)->repo, name, "../..", known,
			     w, ret, ttl_s);
}

/* --- listing: the registry's tags, then those that are only being written ---
 */

struct tags_handle {
	struct listing *listing; /* NULL: the registry knows no such place */
	struct string_list drafts;
};

static void tags_handle_free(struct tags_handle *h)
{
	if (h->listing)
		listing_unref(h->listing);
	string_list_done(&h->drafts);
	free(h);
}

static int add_draft(void *arg, const char *name, mode_t type)
{
	(void)type;
	return reference_is_tag(name) ? string_list_add(arg, name) : 0;
}

static int open_listing(struct dir_refs *d, struct tags_handle *h,
			struct wait *w)
{
	const char *first;
	int r;

	r = listing_open_tags(d->repo, &h->listing);
	if (r < 0)
		return r;
	r = listing_at(h->listing, 0, w, &first);
	if (r == 0 || r == -ENODATA)
		return 0;
	listing_unref(steal(&h->listing));
	return r == -ENOENT && h->drafts.len > 0 ? 0 : r;
}

static int tags_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct tags_handle *h = calloc(1, sizeof(*h));
	struct outbox *o = node_outbox(dir);
	int r = 0;

	if (!h)
		return -ENOMEM;
	if (o && !node_options(dir)->read_only)
		r = draft_names(o, refs(dir)->repo, add_draft, &h->drafts);
	if (r == 0)
		r = open_listing(refs(dir), h, w);
	if (r < 0) {
		tags_handle_free(h);
		return r;
	}
	*ret_handle = h;
	return 0;
}

/* Is it among the first n of the listing? */
static bool is_listed(struct listing *l, size_t n, const char *name,
		      struct wait *w)
{
	const char *at;

	for (size_t i = 0; i < n; i++)
		if (listing_at(l, i, w, &at) == 0 && strcmp(at, name) == 0)
			return true;
	return false;
}

static bool add_tag(struct node *dir, const char *name, uint64_t next,
		    struct dir_sink *sink)
{
	return sink->add(sink, name, S_IFDIR,
			 node_child_ino(dir, name, NODE_RANK_PLAIN), next);
}

/* Their offsets count on from `listed`, which is final when it is asked for. */
static int add_drafts(struct node *dir, const struct tags_handle *h,
		      uint64_t listed, uint64_t at, struct wait *w,
		      struct dir_sink *sink)
{
	for (uint64_t i = at - listed; i < h->drafts.len; i++) {
		const char *name = h->drafts.v[i];

		if (is_listed(h->listing, listed, name, w))
			continue;
		if (!add_tag(dir, name, listed + i + 3, sink))
			return 0;
	}
	return 0;
}

/* The length of a complete list, of which `at` is past the end. */
static uint64_t list_end(struct listing *l, uint64_t at, struct wait *w)
{
	const char *name;

	while (at > 0 && (!l || listing_at(l, at - 1, w, &name) < 0))
		at--;
	return at;
}

static int tags_readdir(struct node *dir, void *handle, uint64_t off,
			struct wait *w, struct dir_sink *sink)
{
	const struct tags_handle *h = handle;
	const char *name;
	int r;

	if (!dir_add_dots(dir, &off, sink))
		return 0;
	for (uint64_t i = off - 2;; i++) {
		/* Who has some reads them while the next page comes. */
		if (i > off - 2 && h->listing &&
		    listing_pending(h->listing, (size_t)i))
			return 0;
		r = h->listing ? listing_at(h->listing, (size_t)i, w, &name)
			       : -ENODATA;
		if (r == -ENODATA)
			return add_drafts(dir, h, list_end(h->listing, i, w), i,
					  w, sink);
		if (r < 0)
			return r;
		if (!add_tag(dir, name, i + 3, sink))
			return 0;
	}
}

static void tags_closedir(struct node *dir, void *handle)
{
	(void)dir;
	tags_handle_free(handle);
}

/* --- writing --- */

static int tags_mkdir(struct node *dir, const char *name, pid_t tid,
		      struct node **ret)
{
	if (!reference_is_tag(name))
		return -EINVAL;
	return dir_tags_begin(dir, name, refs(dir)->repo, name, "../..", tid,
			      ret);
}

static int tags_symlink(struct node *dir, const char *name, const char *target,
			struct wait *w, struct node **ret)
{
	int r;

	if (!reference_is_tag(name))
		return -EINVAL;
	r = naming_link(dir, refs(dir)->repo, name, target, w);
	return r < 0 ? r : link_draft_new(dir, name, target, 0, ret);
}

static int tags_rmdir(struct node *dir, const char *name, struct wait *w)
{
	return naming_remove_tag(dir, refs(dir)->repo, name, w);
}

static int tags_rename(struct node *dir, const char *name, struct node *to,
		       const char *new_name, bool keep, struct wait *w)
{
	struct dir_refs *d = refs(dir);

	(void)keep; /* the kernel has looked */
	if (to->ops != dir->ops || refs(to)->repo != d->repo)
		return -EPERM;
	if (!reference_is_tag(new_name))
		return -EINVAL;
	return naming_rename(dir, d->repo, name, new_name, w);
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
	.settable = true,
	.mkdir = tags_mkdir,
	.symlink = tags_symlink,
	.rmdir = tags_rmdir,
	.rename = tags_rename,
};
