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

#include "content/blob.h"
#include "content/resolve.h"
#include "fs/dir_views.h"
#include "fs/file_text.h"
#include "fs/snapshot.h"
#include "oci/layout.h"
#include "util/auto.h"

#define ANNOTATION_PREFIX "user.oci.annotation."
#define XATTR_NAME_MAX 255

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

static int image_getattr(struct node *n, struct wait *w, struct stat *st)
{
	struct image *i = dir_image_pinned((struct dir_image *)n);

	(void)w;
	st->st_mode |= NODE_DIR_MODE;
	if (i)
		image_time_known(i, &st->st_mtim);
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
	{"layers", S_IFDIR, NODE_RANK_PLAIN, make_layers},
	{"platforms", S_IFDIR, NODE_RANK_PLAIN, make_platforms},
	{"referrers", S_IFDIR, NODE_RANK_PLAIN, make_referrers},
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
	if (m->make == make_layers)
		return platform != NULL;
	return true;
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
			r = snapshot_add(s, members[k].name, members[k].type,
					 members[k].rank);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

/* --- attributes --- */

static int add_annotations(const struct manifest *m, struct str *names)
{
	int r = 0;

	for (size_t k = 0; k < m->annotations_len && r == 0; k++) {
		autofree char *name = str_printf(ANNOTATION_PREFIX "%s",
						 m->annotations[k].key);

		if (!name)
			return -ENOMEM;
		if (strlen(name) <= XATTR_NAME_MAX)
			r = xattr_name(names, name);
	}
	return r;
}

static int image_listxattr(struct node *n, struct wait *w, struct str *names)
{
	static const char *const fixed[] = {
		"user.oci.digest", "user.oci.mediatype",
		"user.registryfs.cached", "user.registryfs.verified"};
	const struct manifest *m;
	struct image *i;
	int r;

	r = dir_image_pin((struct dir_image *)n, w, &i);
	if (r == 0)
		r = image_root(i, w, &m);
	for (size_t k = 0; k < sizeof(fixed) / sizeof(fixed[0]) && r == 0; k++)
		r = xattr_name(names, fixed[k]);
	return r < 0 ? r : add_annotations(m, names);
}

struct cached {
	double bytes, total;
	bool verified;
};

static int count_cached(struct repo *repo, const struct descriptor *d,
			struct cached *sum)
{
	autoptr(blob) b = NULL;
	int r;

	if (d->size_bytes == DESCRIPTOR_SIZE_UNKNOWN)
		return 0;
	r = blob_open(repo, &d->digest, d->size_bytes, &b);
	if (r < 0)
		return r;
	sum->total += (double)d->size_bytes;
	sum->bytes += (double)d->size_bytes * blob_cached_percent(b) / 100;
	sum->verified = sum->verified && blob_verified(b);
	return 0;
}

/* How much of the chosen platform's configuration and layers is here. */
static int image_cached(struct image *i, struct wait *w, struct cached *ret)
{
	const struct manifest *m;
	int r;

	*ret = (struct cached){.verified = true};
	r = image_platform(i, w, &m);
	if (r == 0 && m->class == MEDIATYPE_MANIFEST)
		r = count_cached(image_repo(i), &m->config, ret);
	for (size_t k = 0; r == 0 && k < m->children_len; k++)
		r = count_cached(image_repo(i), &m->children[k], ret);
	return r == -ENOENT ? -ENODATA : r;
}

static int image_cache_xattr(struct image *i, struct wait *w, const char *name,
			     struct str *value)
{
	struct cached sum;
	int r;

	if (strcmp(name, "user.registryfs.error") == 0)
		return content_last_error(repo_content(image_repo(i)),
					  repo_host(image_repo(i)),
					  repo_name(image_repo(i)), value) < 0
			       ? -ENODATA
			       : 0;
	r = image_cached(i, w, &sum);
	if (r < 0)
		return r;
	if (strcmp(name, "user.registryfs.cached") == 0)
		return str_addf(
			value, "%u",
			sum.total > 0 ? (unsigned)(100 * sum.bytes / sum.total)
				      : 100);
	if (strcmp(name, "user.registryfs.verified") == 0)
		return str_add(value, sum.verified ? "yes" : "no");
	return -ENODATA;
}

static int image_getxattr(struct node *n, struct wait *w, const char *name,
			  struct str *value)
{
	const size_t prefix = strlen(ANNOTATION_PREFIX);
	char digest[DIGEST_TEXT_MAX];
	const struct manifest *m;
	const char *annotation;
	struct image *i;
	int r;

	/* ls asks for security and access lists of everything it lists. */
	if (strncmp(name, "user.", 5) != 0)
		return -ENODATA;
	r = dir_image_pin((struct dir_image *)n, w, &i);
	if (r < 0)
		return r;
	if (strcmp(name, "user.oci.digest") == 0) {
		digest_format(image_digest(i), digest);
		return str_add(value, digest);
	}
	if (strncmp(name, "user.registryfs.", 16) == 0)
		return image_cache_xattr(i, w, name, value);
	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	if (strcmp(name, "user.oci.mediatype") == 0)
		return str_add(value, m->mediatype);
	if (strncmp(name, ANNOTATION_PREFIX, prefix) != 0)
		return -ENODATA;
	annotation = manifest_annotation(m, name + prefix);
	return annotation ? str_add(value, annotation) : -ENODATA;
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
