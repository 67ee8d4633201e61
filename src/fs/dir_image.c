/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States: unpinned (a tag that a listing named; nothing was asked) -> pinned.
 * A pinned directory never changes; when the tag moves, its name gets another
 * node.  Its own time is known once something inside was looked at.
 */
#include "fs/dir_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/resolve.h"
#include "fs/dir_views.h"
#include "fs/file_history.h"
#include "fs/file_text.h"
#include "fs/image_xattr.h"
#include "fs/snapshot.h"
#include "oci/layout.h"
#include "util/auto.h"

struct dir_image {
	struct node node;
	struct repo *repo;
	char *tag, *up;
	pthread_mutex_t lock;
	struct image *image; /* set once; protected by lock */
};

static struct image *dir_image_pinned(struct dir_image *d)
{
	autolock(&d->lock);
	return d->image;
}

static struct image *dir_image_pin_to(struct dir_image *d, struct image *i)
{
	autolock(&d->lock);
	if (d->image)
		image_unref(i);
	else
		d->image = i;
	return d->image;
}

/* The image, resolving the tag if that was not done yet. */
static int dir_image_pin(struct dir_image *d, struct wait *w,
			 struct image **ret)
{
	struct image *i = dir_image_pinned(d);
	struct resolved res;
	int r;

	if (!i) {
		r = resolve_tag(d->repo, d->tag, w, &res);
		if (r < 0)
			return r;
		r = image_open(d->repo, &res.digest, d->tag, &i);
		if (r < 0)
			return r;
		i = dir_image_pin_to(d, i);
	}
	*ret = i;
	return 0;
}

static int image_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	struct image *i = dir_image_pinned((struct dir_image *)n);

	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	if (i)
		image_time_known(i, &a->st.st_mtim);
	return 0;
}

static void image_done(struct node *n)
{
	struct dir_image *d = (struct dir_image *)n;

	image_unref(d->image);
	repo_unref(d->repo);
	pthread_mutex_destroy(&d->lock);
	free(d->tag);
	free(d->up);
}

/* --- the entries --- */

static int make_marker(struct dir_image *d, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	char *text = strdup(layout_marker());

	(void)w;
	if (!text)
		return -ENOMEM;
	return file_text_new(&d->node, name, NODE_RANK_PLAIN, text, i, ret);
}

static int make_index(struct dir_image *d, struct image *i, const char *name,
		      struct wait *w, struct node **ret)
{
	struct descriptor desc = {0};
	const struct manifest *m;
	autostr text = {0};
	int r;

	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	desc.mediatype = m->mediatype;
	desc.artifact_type = m->artifact_type;
	desc.digest = m->digest;
	desc.size_bytes = m->size_bytes;
	r = layout_index(&desc, image_tag(i), &text);
	if (r < 0)
		return r;
	return file_text_new(&d->node, name, NODE_RANK_LAST, str_steal(&text),
			     i, ret);
}

static int make_blob_link(struct dir_image *d, struct image *i,
			  const char *name, const struct digest *to,
			  struct node **ret)
{
	char hex[129], target[160];

	digest_hex(to, hex);
	snprintf(target, sizeof(target), "blobs/%s/%s", digest_alg_name(to),
		 hex);
	return link_new(&d->node, name, target, i, ret);
}

static int make_manifest(struct dir_image *d, struct image *i, const char *name,
			 struct wait *w, struct node **ret)
{
	(void)w;
	return make_blob_link(d, i, name, image_digest(i), ret);
}

/* Of the chosen platform; not there if that has none, as schema 1. */
static int make_config(struct dir_image *d, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	if (r < 0)
		return r;
	if (m->class != MEDIATYPE_MANIFEST)
		return -ENOENT;
	return make_blob_link(d, i, name, &m->config.digest, ret);
}

static int make_view(struct dir_image *d, struct image *i, const char *name,
		     enum dir_view view, struct node **ret)
{
	return dir_view_new(&d->node, name, view, i, d->up, ret);
}

static int make_blobs(struct dir_image *d, struct image *i, const char *name,
		      struct wait *w, struct node **ret)
{
	(void)w;
	return make_view(d, i, name, VIEW_BLOBS, ret);
}

static int make_layers(struct dir_image *d, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	return r < 0 ? r : make_view(d, i, name, VIEW_LAYERS, ret);
}

static int make_platforms(struct dir_image *d, struct image *i,
			  const char *name, struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	if (m->class != MEDIATYPE_INDEX)
		return -ENOENT;
	return make_view(d, i, name, VIEW_PLATFORMS, ret);
}

static int make_referrers(struct dir_image *d, struct image *i,
			  const char *name, struct wait *w, struct node **ret)
{
	(void)w;
	return make_view(d, i, name, VIEW_REFERRERS, ret);
}

/* Is it an image, as runtimes know it?  Artifacts have other configurations,
 * and those before schema 2 none. */
static bool has_history(const struct manifest *m)
{
	return m->class == MEDIATYPE_MANIFEST &&
	       mediatype_class(m->config.mediatype) == MEDIATYPE_CONFIG;
}

static int make_history(struct dir_image *d, struct image *i, const char *name,
			struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	if (r < 0)
		return r;
	return has_history(m) ? file_history_new(&d->node, name, i, ret)
			      : -ENOENT;
}

static int make_rootfs(struct dir_image *d, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	char text[DIGEST_TEXT_MAX];
	const struct manifest *m;
	autofree char *target = NULL;
	int r;

	r = image_platform(i, w, &m);
	if (r < 0)
		return r;
	if (m->children_len == 0)
		return -ENOENT;
	/* Whoever goes through here often should not have the directories'
	 * attributes asked for each time; and the configuration that says the
	 * time is needed inside. */
	r = image_learn_time(i, w);
	if (r < 0)
		return r;
	digest_format(&m->digest, text);
	name_spell(node_options(&d->node), text);
	target = str_printf("%s/_rootfs/%s", d->up, text);
	return target ? link_new(&d->node, name, target, i, ret) : -ENOMEM;
}

/* In the order of a listing: blobs first, index.json last (design: whoever
 * copies in readdir order publishes only what is complete). */
static const struct image_member {
	const char *name;
	mode_t type;
	enum node_rank rank;
	int (*make)(struct dir_image *d, struct image *i, const char *name,
		    struct wait *w, struct node **ret);
} members[] = {
	{"blobs", S_IFDIR, NODE_RANK_FIRST, make_blobs},
	{"oci-layout", S_IFREG, NODE_RANK_PLAIN, make_marker},
	{"manifest.json", S_IFLNK, NODE_RANK_PLAIN, make_manifest},
	{"config.json", S_IFLNK, NODE_RANK_PLAIN, make_config},
	{"history", S_IFREG, NODE_RANK_PLAIN, make_history},
	{"layers", S_IFDIR, NODE_RANK_PLAIN, make_layers},
	{"platforms", S_IFDIR, NODE_RANK_PLAIN, make_platforms},
	{"referrers", S_IFDIR, NODE_RANK_PLAIN, make_referrers},
	{"rootfs", S_IFLNK, NODE_RANK_PLAIN, make_rootfs},
	{"index.json", S_IFREG, NODE_RANK_LAST, make_index},
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static int image_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	struct dir_image *d = (struct dir_image *)dir;
	struct image *i;
	int r;

	for (size_t k = 0; k < MEMBERS; k++) {
		if (strcmp(name, members[k].name) != 0)
			continue;
		if (known) {
			*ret = known;
			return 0;
		}
		r = dir_image_pin(d, w, &i);
		if (r == 0)
			r = members[k].make(d, i, name, w, ret);
		if (r < 0)
			*ttl_s = NODE_TTL_NEGATIVE; /* may yet be pushed */
		return r;
	}
	return -ENOENT;
}

/* Is it there in this image?  -ENOENT: no. */
static int member_there(const struct image_member *m,
			const struct manifest *root,
			const struct manifest *platform)
{
	if (m->make == make_platforms)
		return root->class == MEDIATYPE_INDEX;
	if (m->make == make_config)
		return platform && platform->class == MEDIATYPE_MANIFEST;
	if (m->make == make_history)
		return platform && has_history(platform);
	if (m->make == make_layers)
		return platform != NULL;
	if (m->make == make_rootfs)
		return platform && platform->children_len > 0;
	return true;
}

static int add_member(struct snapshot *s, const struct image_member *m)
{
	int r;

	r = snapshot_add(s, m->name, m->type, m->rank);
	/* Its size is that of a text made from the configuration. */
	if (r == 0 && m->make == make_history)
		s->entries.v[s->entries.len - 1].costly = true;
	return r;
}

static int image_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	const struct manifest *root, *platform = NULL;
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct image *i;
	int r;

	if (!s)
		return -ENOMEM;
	r = dir_image_pin((struct dir_image *)dir, w, &i);
	if (r == 0)
		r = image_root(i, w, &root);
	if (r == 0)
		r = image_platform(i, w, &platform);
	if (r == -ENOENT)
		r = 0; /* an index that has nothing for this platform */
	if (r == 0)
		r = image_learn_time(i, w);
	for (size_t k = 0; k < MEMBERS && r == 0; k++)
		if (member_there(&members[k], root, platform))
			r = add_member(s, &members[k]);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

/* --- attributes --- */

static int image_listxattr(struct node *n, struct wait *w, struct str *names)
{
	struct image *i;
	int r;

	r = dir_image_pin((struct dir_image *)n, w, &i);
	return r < 0 ? r : image_xattr_list(i, w, names);
}

static int image_getxattr(struct node *n, struct wait *w, const char *name,
			  struct str *value)
{
	struct image *i;
	int r;

	/* ls asks for security and access lists of everything it lists. */
	if (strncmp(name, "user.", 5) != 0)
		return -ENODATA;
	r = dir_image_pin((struct dir_image *)n, w, &i);
	return r < 0 ? r : image_xattr_get(i, w, name, value);
}

static const struct node_ops image_ops = {
	.type = S_IFDIR,
	.getattr = image_getattr,
	.done = image_done,
	.listxattr = image_listxattr,
	.getxattr = image_getxattr,
	.lookup = image_lookup,
	.opendir = image_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
};

bool dir_image_is(struct node *n, const struct digest *d)
{
	struct image *i;

	if (n->ops != &image_ops)
		return false;
	i = dir_image_pinned((struct dir_image *)n);
	if (!d)
		return i == NULL;
	return i && digest_equal(image_digest(i), d);
}

static uint64_t version_of(const struct digest *d)
{
	uint64_t v;

	memcpy(&v, d->raw, sizeof(v));
	return v;
}

int dir_image_new(struct node *parent, const char *name,
		  const struct dir_image_spec *spec, struct node **ret)
{
	autofree char *tag = spec->tag ? strdup(spec->tag) : NULL;
	autofree char *up = strdup(spec->up);
	struct image *i = NULL;
	struct dir_image *d;
	struct node *n;
	int r;

	if (!up || (spec->tag && !tag))
		return -ENOMEM;
	if (spec->digest) {
		r = image_open(spec->repo, spec->digest, spec->tag, &i);
		if (r < 0)
			return r;
	}
	r = node_new(&image_ops, sizeof(*d), parent, name, NODE_RANK_PLAIN, &n);
	if (r < 0) {
		image_unref(i);
		return r;
	}
	d = (struct dir_image *)n;
	pthread_mutex_init(&d->lock, NULL);
	d->repo = repo_ref(spec->repo);
	d->tag = steal(&tag);
	d->up = steal(&up);
	d->image = i;
	n->version = spec->digest ? version_of(spec->digest) : 0;
	*ret = n;
	return 0;
}
