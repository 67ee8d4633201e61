/* SPDX-License-Identifier: Apache-2.0 */
/* What is opened is shared while it is in use; each question is a look. */
#include "content/unpacked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/image.h"
#include "content/rootfs.h"
#include "content/unpacked_private.h"
#include "content/xattrpack.h"
#include "util/auto.h"

#define XATTRS_MAX ((size_t)128 << 10)

/* --- life --- */

static void unpacked_free(struct unpacked *u)
{
	layerindex_unref(u->index);
	rootfs_unref(u->rootfs);
	image_unref(u->image);
	layernote_done(&u->note);
	pthread_mutex_destroy(&u->lock);
	repo_unref(u->repo);
	free(u->key);
	free(u);
}

static char *unpacked_key(const struct repo *r, const char *kind,
			  const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return str_printf("%s %s/%s@%s", kind, r->host, r->name, text);
}

static int unpacked_new(struct repo *r, char *key, const struct digest *d,
			struct unpacked **ret)
{
	struct unpacked *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->key = strdup(key);
	if (!u->key) {
		free(u);
		return -ENOMEM;
	}
	pthread_mutex_init(&u->lock, NULL);
	u->refs = 1;
	u->repo = repo_ref(r);
	u->digest = *d;
	*ret = u;
	return 0;
}

static struct unpacked *unpacked_find_open(struct content *c, const char *key)
{
	struct unpacked *u;

	autolock(&c->layers_lock);
	u = map_find(c->images, key);
	if (u)
		u->refs++;
	return u;
}

/* Enters it in the table; or takes the one that was faster. */
static int unpacked_enter(struct unpacked *u, struct unpacked **ret)
{
	struct content *c = u->repo->content;
	struct unpacked *other;
	int r = 0;

	{
		autolock(&c->layers_lock);
		other = map_find(c->images, u->key);
		if (other)
			other->refs++;
		else
			r = map_put(c->images, u->key, u, NULL);
		u->listed = !other && r == 0;
	}
	if (other || r < 0)
		unpacked_free(u);
	if (r == 0)
		*ret = other ? other : u;
	return r;
}

struct unpacked *unpacked_ref(struct unpacked *u)
{
	autolock(&u->repo->content->layers_lock);
	u->refs++;
	return u;
}

void unpacked_unref(struct unpacked *u)
{
	if (!u)
		return;
	{
		autolock(&u->repo->content->layers_lock);
		if (--u->refs > 0)
			return;
		if (u->listed)
			map_remove(u->repo->content->images, u->key);
	}
	unpacked_free(u);
}

int unpacked_open_layer(struct repo *r, const struct digest *d, struct wait *w,
			struct unpacked **ret)
{
	autofree char *key = unpacked_key(r, "layer", d);
	struct unpacked *u;
	uint64_t size;
	int e;

	if (!key)
		return -ENOMEM;
	e = blob_find(r, d, w, &size);
	if (e < 0)
		return e;
	u = unpacked_find_open(r->content, key);
	if (u) {
		*ret = u;
		return 0;
	}
	e = unpacked_new(r, key, d, &u);
	if (e < 0)
		return e;
	u->size_bytes = size;
	e = layernote_load(r, d, &u->note);
	if (e < 0) {
		unpacked_free(u);
		return e;
	}
	return unpacked_enter(u, ret);
}

int unpacked_open_rootfs(struct repo *r, const struct digest *manifest,
			 struct wait *w, struct unpacked **ret)
{
	autofree char *key = unpacked_key(r, "rootfs", manifest);
	const struct manifest *m;
	struct unpacked *u;
	int e;

	if (!key)
		return -ENOMEM;
	u = unpacked_find_open(r->content, key);
	if (u) {
		*ret = u;
		return 0;
	}
	e = unpacked_new(r, key, manifest, &u);
	if (e < 0)
		return e;
	e = image_open(r, manifest, NULL, &u->image);
	if (e == 0)
		e = image_platform(u->image, w, &m);
	if (e == 0)
		e = rootfs_new(r, m, &u->rootfs);
	if (e < 0) {
		unpacked_free(u);
		return e;
	}
	return unpacked_enter(u, ret);
}

/* --- questions --- */

static int find_name(struct unpacked *u, uint64_t dir, const char *name,
		     struct wait *w, struct look *l, struct tree_inode *ret)
{
	int r = unpacked_look(u, false, w, l);

	while (r == 0) {
		r = tree_find(l->tree, dir, name, ret);
		if (r != -ENOENT || l->final)
			break;
		/* Not seen yet. */
		r = look_on(u, l, w);
	}
	return r;
}

int unpacked_find(struct unpacked *u, uint64_t dir, const char *name,
		  struct wait *w, struct tree_inode *ret, bool *ret_final)
{
	struct look l = {0};
	unsigned tries = 0;
	int r;

	do {
		look_done(&l);
		r = find_name(u, dir, name, w, &l, ret);
	} while (look_renew(&l, &r, &tries));
	if (r == -ENOENT && l.damaged)
		r = -EBADMSG;
	if (r == 0 && ret_final)
		*ret_final = l.final;
	look_done(&l);
	return r;
}

int unpacked_get(struct unpacked *u, uint64_t ino, struct wait *w,
		 struct tree_inode *ret, bool *ret_final)
{
	struct look l;
	int r;

	r = unpacked_look_inode(u, ino, w, &l, ret);
	if (r < 0)
		return r;
	if (ret_final)
		*ret_final = l.final;
	look_done(&l);
	return 0;
}

struct list_want {
	uint64_t dir, skip;
	const char *after;
	size_t max;
	bool inodes;
};

struct list_found {
	struct tree_name *names;
	struct tree_inode *inodes;
	size_t len;
};

static int list_ask(struct tree *t, const struct list_want *q,
		    struct list_found *f)
{
	if (q->inodes)
		return tree_list_inodes(t, q->dir, q->after, q->max, &f->names,
					&f->inodes, &f->len);
	if (q->after)
		return tree_list(t, q->dir, q->after, q->max, &f->names,
				 &f->len);
	return tree_list_from(t, q->dir, q->skip, q->max, &f->names, &f->len);
}

static int list_names(struct unpacked *u, const struct list_want *q,
		      struct wait *w, struct list_found *ret)
{
	struct list_found f = {0};
	struct look l = {0};
	unsigned tries = 0;
	int r;

	do {
		look_done(&l);
		r = unpacked_look(u, true, w, &l);
		if (r < 0)
			return r;
		r = list_ask(l.tree, q, &f);
	} while (look_renew(&l, &r, &tries));
	if (r == 0 && f.len == 0 && l.damaged) {
		tree_names_free(f.names, f.len);
		free(f.inodes);
		r = -EBADMSG;
	}
	look_done(&l);
	if (r == 0)
		*ret = f;
	return r;
}

int unpacked_list(struct unpacked *u, uint64_t dir, const char *after,
		  uint64_t skip, size_t max, struct wait *w,
		  struct tree_name **ret, size_t *ret_len)
{
	const struct list_want want = {
		.dir = dir, .skip = skip, .after = after, .max = max};
	struct list_found found;
	int r = list_names(u, &want, w, &found);

	if (r < 0)
		return r;
	*ret = found.names;
	*ret_len = found.len;
	return 0;
}

int unpacked_list_inodes(struct unpacked *u, uint64_t dir, const char *after,
			 size_t max, struct wait *w, struct tree_name **ret,
			 struct tree_inode **ret_inodes, size_t *ret_len)
{
	const struct list_want want = {
		.dir = dir, .after = after, .max = max, .inodes = true};
	struct list_found found;
	int r = list_names(u, &want, w, &found);

	if (r < 0)
		return r;
	*ret = found.names;
	*ret_inodes = found.inodes;
	*ret_len = found.len;
	return 0;
}

/* One of the texts that a tree keeps with an inode; -ENODATA: has none. */
static int inode_text(struct unpacked *u, uint64_t ino, struct wait *w,
		      int (*get)(struct tree *t, uint64_t ino, struct str *out),
		      struct str *out)
{
	struct look l = {0};
	unsigned tries = 0;
	struct tree_inode i;
	int r;

	do {
		look_done(&l);
		r = unpacked_look_inode(u, ino, w, &l, &i);
		if (r < 0)
			return r;
		r = get(l.tree, ino, out);
	} while (look_renew(&l, &r, &tries));
	look_done(&l);
	return r;
}

int unpacked_readlink(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out)
{
	int r = inode_text(u, ino, w, tree_get_link, out);

	return r == -ENODATA ? -EINVAL : r;
}

int unpacked_getxattr(struct unpacked *u, uint64_t ino, const char *name,
		      struct wait *w, struct str *out)
{
	autostr packed = {.max = XATTRS_MAX};
	int r;

	r = inode_text(u, ino, w, tree_get_xattrs, &packed);
	return r < 0 ? r : xattrs_find(packed.buf, packed.len, name, out);
}

int unpacked_listxattr(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct str *out)
{
	autostr packed = {.max = XATTRS_MAX};
	int r;

	r = inode_text(u, ino, w, tree_get_xattrs, &packed);
	if (r == -ENODATA)
		return 0;
	return r < 0 ? r : xattrs_names(packed.buf, packed.len, out);
}

int unpacked_raw_name(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out)
{
	return inode_text(u, ino, w, tree_get_raw_name, out);
}

int unpacked_layer(struct unpacked *u, const struct tree_inode *i,
		   struct digest *ret)
{
	if (!u->image) {
		*ret = u->digest;
		return 0;
	}
	autolock(&u->lock);
	if (i->layer >= u->rootfs->layers_len)
		return -EBADMSG;
	*ret = u->rootfs->layers[i->layer].digest;
	return 0;
}

static int about_layer(const struct look *l, struct str *out)
{
	static const char *const forms[] = {[LAYER_ARCHIVE] = "archive",
					    [LAYER_TOC] = "table of contents",
					    [LAYER_RAW] = "no archive"};
	static const char *const counts[] = {"entries", "left_out", "escaped",
					     "dangling"};
	const struct layerindex *x = l->index;
	char diff_id[DIGEST_TEXT_MAX];
	int64_t n;
	int r;

	r = str_addf(out, "read by: %s\ncompression: %s\n", forms[x->form],
		     x->codec == CODEC_NONE ? "none" : codec_name(x->codec));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (r == 0 && tree_get_int(l->tree, counts[i], &n) == 0)
			r = str_addf(out, "%s: %lld\n", counts[i],
				     (long long)n);
	if (r == 0 && x->form == LAYER_ARCHIVE)
		r = str_addf(out, "decoded bytes: %llu\n",
			     (unsigned long long)x->decoded_bytes);
	if (r == 0 && x->form == LAYER_ARCHIVE && !x->damaged) {
		digest_format(&x->diff_id, diff_id);
		r = str_addf(out, "diff_id: %s\n", diff_id);
	}
	if (r == 0 && x->damaged)
		r = str_addf(out, "damaged: %s\n", x->reason);
	return r;
}

/* --- what is kept --- */

static bool layer_kept(struct repo *r, const struct digest *d)
{
	struct layernote note = {{0}, NULL};
	autofree char *key = NULL;

	if (layernote_load(r, d, &note) == 0)
		key = layerindex_key(d, &note.claim);
	layernote_done(&note);
	return key && tree_kept(r->content->store, key);
}

static bool rootfs_kept(struct repo *r, const struct digest *d)
{
	autofree char *key = rootfs_key(d);

	return key && tree_kept(r->content->store, key);
}

/* On disk: of a root file system, by the manifest of the platform. */
static bool is_kept(struct unpacked *u)
{
	struct digest d = u->digest;

	{
		autolock(&u->lock);
		if (u->rootfs)
			d = u->rootfs->digest;
	}
	return u->image ? rootfs_kept(u->repo, &d) : layer_kept(u->repo, &d);
}

int unpacked_about(struct unpacked *u, struct wait *w, struct str *out)
{
	struct look l = {0};
	bool tried = false;
	uint64_t bytes;
	int r;

	do {
		look_done(&l);
		r = unpacked_look(u, true, w, &l);
		if (r < 0)
			return r;
		bytes = tree_bytes(l.tree);
	} while (look_regain(&l, &tried));
	if (l.index)
		r = about_layer(&l, out);
	else
		r = str_addf(out, "layers: %zu\n", l.rootfs->layers_len);
	if (r == 0)
		r = str_addf(out, "index bytes: %llu\nkept: %s\n",
			     (unsigned long long)bytes,
			     is_kept(u) ? "yes" : "no");
	look_done(&l);
	return r;
}

bool unpacked_at_hand(struct unpacked *u)
{
	struct build *b = NULL;

	{
		autolock(&u->lock);
		if (u->rootfs)
			b = &u->rootfs->build;
		else if (u->index)
			b = &u->index->build;
		if (b && build_state(b) != BUILD_IDLE)
			return true;
	}
	return is_kept(u);
}

int unpacked_known(struct repo *r, bool rootfs, struct string_list *ret)
{
	struct string_list all = {0};
	struct digest d;
	int e;

	e = repo_digests(r, rootfs, &all);
	for (size_t i = 0; i < all.len && e == 0; i++)
		if (digest_parse(all.v[i], &d) == 0 &&
		    (rootfs ? rootfs_kept(r, &d) : layer_kept(r, &d)))
			e = string_list_add(ret, all.v[i]);
	string_list_done(&all);
	return e;
}
