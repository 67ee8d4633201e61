/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view is one row: how its list is made, and what a name in it means.  All
 * names of a pinned image are fixed for ever.
 */
#include "fs/dir_views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file_draft.h"
#include "fs/file_text.h"
#include "fs/giveway.h"
#include "fs/overlay.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/map.h"

struct dir_view_node;

struct view {
	int (*fill)(struct dir_view_node *v, struct wait *w,
		    struct snapshot *s);
	/* -ENOENT: no such name. */
	int (*make)(struct dir_view_node *v, const char *name, struct wait *w,
		    struct node **ret);
};

struct dir_view_node {
	struct node node;
	const struct view *view;
	struct image *image;
	char *up;
};

/* --- links --- */

/* To what a digest names beneath the repository's directory `refs`. */
static int make_digest_link(struct dir_view_node *v, const char *name,
			    const char *refs, const struct digest *d,
			    struct node **ret)
{
	char text[DIGEST_TEXT_MAX];
	autofree char *target = NULL;

	digest_format(d, text);
	name_spell(node_options(&v->node), text);
	target = str_printf("../%s/%s/%s", v->up, refs, text);
	return target ? link_new(&v->node, name, target, v->image, ret)
		      : -ENOMEM;
}

/* --- layers: 00 … NN, base first --- */

#define LAYER_NAME_MAX 24

static void layer_name(size_t i, char out[LAYER_NAME_MAX])
{
	snprintf(out, LAYER_NAME_MAX, "%02zu", i);
}

static int layers_fill(struct dir_view_node *v, struct wait *w,
		       struct snapshot *s)
{
	const struct manifest *m;
	char name[LAYER_NAME_MAX];
	int r;

	r = image_platform(v->image, w, &m);
	for (size_t i = 0; r == 0 && i < m->children_len; i++) {
		layer_name(i, name);
		r = snapshot_add(s, name, S_IFLNK, NODE_RANK_PLAIN);
	}
	return r;
}

static int layers_make(struct dir_view_node *v, const char *name,
		       struct wait *w, struct node **ret)
{
	const struct manifest *m;
	unsigned long long i;
	char want[LAYER_NAME_MAX];
	int r;

	if (str_to_u64(name, MANIFEST_LAYERS_MAX, &i) < 0)
		return -ENOENT;
	layer_name((size_t)i, want);
	r = image_platform(v->image, w, &m);
	if (r < 0)
		return r;
	if (i >= m->children_len || strcmp(name, want) != 0)
		return -ENOENT;
	/* As for rootfs (dir_image.c). */
	r = image_learn_time(v->image, w);
	return r < 0 ? r
		     : make_digest_link(v, name, "_layers",
					&m->children[i].digest, ret);
}

/* --- platforms --- */

#define PLATFORM_NAME_MAX (4 * PLATFORM_PART_MAX)

/* The name of a child: os-arch[-variant], with -os.version where an earlier
 * child has that name (Windows); "" for one that is shown nowhere.  `seen` has
 * the earlier ones' names: a stranger says how many there are. */
static int platform_child_name(struct map *seen, const struct descriptor *d,
			       char out[PLATFORM_NAME_MAX])
{
	char mine[3 * PLATFORM_PART_MAX];
	bool again;
	size_t len;

	out[0] = '\0';
	if (!d->has_platform)
		return 0;
	platform_name(&d->platform, mine);
	again = map_find(seen, mine);
	if (!platform_is_unknown(&d->platform) &&
	    mediatype_is_document(mediatype_class(d->mediatype))) {
		snprintf(out, PLATFORM_NAME_MAX, "%s", mine);
		len = strlen(out);
		if (again)
			snprintf(out + len, PLATFORM_NAME_MAX - len, "-%.60s",
				 d->platform.os_version);
		for (char *p = out + len; *p; p++)
			if (*p == '/')
				*p = '_';
	}
	return again ? 0 : map_put(seen, mine, seen, NULL);
}

static bool platform_listed(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->entries.len; i++)
		if (strcmp(s->entries.v[i].name, name) == 0)
			return true;
	return false;
}

static int platforms_fill(struct dir_view_node *v, struct wait *w,
			  struct snapshot *s)
{
	char name[PLATFORM_NAME_MAX];
	const struct manifest *m;
	struct map *seen = NULL;
	int r;

	r = image_root(v->image, w, &m);
	if (r == 0)
		r = map_new(&seen);
	for (size_t i = 0; r == 0 && i < m->children_len; i++) {
		r = platform_child_name(seen, &m->children[i], name);
		if (r == 0 && name[0] && !platform_listed(s, name))
			r = snapshot_add(s, name, S_IFLNK, NODE_RANK_PLAIN);
	}
	map_free(seen, NULL);
	return r;
}

static int platforms_make(struct dir_view_node *v, const char *name,
			  struct wait *w, struct node **ret)
{
	char child[PLATFORM_NAME_MAX] = "";
	const struct manifest *m;
	struct map *seen = NULL;
	size_t i = 0;
	int r;

	r = image_root(v->image, w, &m);
	if (r == 0)
		r = map_new(&seen);
	for (; r == 0 && i < m->children_len; i++) {
		r = platform_child_name(seen, &m->children[i], child);
		if (strcmp(child, name) == 0)
			break;
	}
	map_free(seen, NULL);
	if (r < 0)
		return r;
	return i < m->children_len
		       ? make_digest_link(v, name, "_manifests",
					  &m->children[i].digest, ret)
		       : -ENOENT;
}

/* --- referrers, by digest --- */

static int referrers_fill(struct dir_view_node *v, struct wait *w,
			  struct snapshot *s)
{
	const struct descriptor *d;
	char name[DIGEST_TEXT_MAX];
	size_t len;
	int r;

	r = image_referrers(v->image, w, &d, &len);
	for (size_t i = 0; r == 0 && i < len; i++) {
		digest_format(&d[i].digest, name);
		name_spell(node_options(&v->node), name);
		r = snapshot_add(s, name, S_IFLNK, NODE_RANK_PLAIN);
	}
	return r;
}

static int referrers_make(struct dir_view_node *v, const char *name,
			  struct wait *w, struct node **ret)
{
	struct digest want;
	int r;

	if (reference_parse_digest_name(name, &want) < 0)
		return -ENOENT;
	r = image_find_referrer(v->image, &want, w);
	return r < 0 ? r : make_digest_link(v, name, "_manifests", &want, ret);
}

static const struct view views[] = {
	[VIEW_LAYERS] = {layers_fill, layers_make},
	[VIEW_PLATFORMS] = {platforms_fill, platforms_make},
	[VIEW_REFERRERS] = {referrers_fill, referrers_make},
};

/* --- the kind --- */

static int view_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	image_time_known(((struct dir_view_node *)n)->image, &a->st.st_mtim);
	return 0;
}

static void view_done(struct node *n)
{
	struct dir_view_node *v = (struct dir_view_node *)n;

	image_unref(v->image);
	free(v->up);
}

static int view_lookup(struct node *dir, const char *name, struct node *known,
		       struct wait *w, struct node **ret, double *ttl_s)
{
	struct dir_view_node *v = (struct dir_view_node *)dir;
	int r;

	*ttl_s = 0;
	if (give_way_hidden(dir, name, S_IFLNK, w))
		return overlay_lookup(dir, name, known, w, ret, ttl_s);
	if (known && !node_is_draft(known)) {
		*ret = known;
		return 0;
	}
	*ttl_s = NODE_TTL_NEGATIVE; /* a missing child may yet be pushed */
	r = v->view->make(v, name, w, ret);
	if (r == 0)
		*ttl_s = NODE_TTL_FOREVER;
	return r == -ENOENT ? overlay_lookup(dir, name, known, w, ret, ttl_s)
			    : r;
}

static int view_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct dir_view_node *v = (struct dir_view_node *)dir;
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = v->view->fill(v, w, s);
	if (r == 0)
		r = image_learn_time(v->image, w);
	if (r == 0)
		r = overlay_list(dir, s);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static const struct node_ops view_ops = {
	.type = S_IFDIR,
	.getattr = view_getattr,
	.done = view_done,
	.lookup = view_lookup,
	.opendir = view_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	OVERLAY_DIR_OPS,
};

int dir_view_new(struct node *parent, const char *name, enum dir_view view,
		 struct image *image, const char *up, struct node **ret)
{
	autofree char *copy = strdup(up);
	struct dir_view_node *v;
	struct node *n;
	int r;

	if (!copy)
		return -ENOMEM;
	r = node_new(&view_ops, sizeof(*v), parent, name, NODE_RANK_PLAIN, &n);
	if (r < 0)
		return r;
	v = (struct dir_view_node *)n;
	v->view = &views[view];
	v->image = image_ref(image);
	v->up = steal(&copy);
	*ret = n;
	return 0;
}
