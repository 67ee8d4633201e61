/* SPDX-License-Identifier: Apache-2.0 */
/* One row for each name in a published image directory. */
#include "fs/image_members.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dir_blobtree.h"
#include "fs/dir_views.h"
#include "fs/file_history.h"
#include "fs/file_text.h"
#include "fs/snapshot.h"
#include "oci/layout.h"
#include "util/auto.h"

/* The directory that they are made in. */
struct place {
	struct node *dir;
	const char *up;
};

static int make_marker(const struct place *p, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	char *text = strdup(layout_marker());

	(void)w;
	if (!text)
		return -ENOMEM;
	return file_text_new(p->dir, name, NODE_RANK_PLAIN, text, i, ret);
}

static int make_index(const struct place *p, struct image *i, const char *name,
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
	return file_text_new(p->dir, name, NODE_RANK_LAST, str_steal(&text), i,
			     ret);
}

static int make_blob_link(const struct place *p, struct image *i,
			  const char *name, const struct digest *to,
			  struct node **ret)
{
	char hex[129], target[160];

	digest_hex(to, hex);
	snprintf(target, sizeof(target), "blobs/%s/%s", digest_alg_name(to),
		 hex);
	return link_new(p->dir, name, target, i, ret);
}

static int make_manifest(const struct place *p, struct image *i,
			 const char *name, struct wait *w, struct node **ret)
{
	(void)w;
	return make_blob_link(p, i, name, image_digest(i), ret);
}

/* Of the chosen platform; not there if that has none, as schema 1. */
static int make_config(const struct place *p, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	if (r < 0)
		return r;
	if (m->class != MEDIATYPE_MANIFEST)
		return -ENOENT;
	return make_blob_link(p, i, name, &m->config.digest, ret);
}

static int make_view(const struct place *p, struct image *i, const char *name,
		     enum dir_view view, struct node **ret)
{
	return dir_view_new(p->dir, name, view, i, p->up, ret);
}

static int make_blobs(const struct place *p, struct image *i, const char *name,
		      struct wait *w, struct node **ret)
{
	(void)w;
	(void)i;
	return dir_blobtree_new(p->dir, name, ret);
}

static int make_layers(const struct place *p, struct image *i, const char *name,
		       struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	return r < 0 ? r : make_view(p, i, name, VIEW_LAYERS, ret);
}

static int make_platforms(const struct place *p, struct image *i,
			  const char *name, struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	if (m->class != MEDIATYPE_INDEX)
		return -ENOENT;
	return make_view(p, i, name, VIEW_PLATFORMS, ret);
}

static int make_referrers(const struct place *p, struct image *i,
			  const char *name, struct wait *w, struct node **ret)
{
	(void)w;
	return make_view(p, i, name, VIEW_REFERRERS, ret);
}

/* Is it an image, as runtimes know it?  Artifacts have other configurations,
 * and those before schema 2 none. */
static bool has_history(const struct manifest *m)
{
	return m->class == MEDIATYPE_MANIFEST &&
	       mediatype_class(m->config.mediatype) == MEDIATYPE_CONFIG;
}

static int make_history(const struct place *p, struct image *i,
			const char *name, struct wait *w, struct node **ret)
{
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	if (r < 0)
		return r;
	return has_history(m) ? file_history_new(p->dir, name, i, ret)
			      : -ENOENT;
}

static int make_rootfs(const struct place *p, struct image *i, const char *name,
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
	name_spell(node_options(p->dir), text);
	target = str_printf("%s/_rootfs/%s", p->up, text);
	return target ? link_new(p->dir, name, target, i, ret) : -ENOMEM;
}

/* In the order of a listing: blobs first, index.json last (design: whoever
 * copies in readdir order publishes only what is complete). */
static const struct image_member {
	const char *name;
	mode_t type;
	enum node_rank rank;
	int (*make)(const struct place *p, struct image *i, const char *name,
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

const struct image_member *image_member_find(const char *name)
{
	for (size_t k = 0; k < MEMBERS; k++)
		if (strcmp(name, members[k].name) == 0)
			return &members[k];
	return NULL;
}

mode_t image_member_type(const struct image_member *m)
{
	return m->type;
}

int image_member_make(const struct image_member *m, struct node *dir,
		      struct image *i, const char *up, struct wait *w,
		      struct node **ret)
{
	const struct place p = {dir, up};

	return m->make(&p, i, m->name, w, ret);
}

/* --- listing --- */

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

int image_members_list(struct image *i, struct wait *w, struct snapshot *s)
{
	const struct manifest *root, *platform = NULL;
	int r;

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
	return r;
}
