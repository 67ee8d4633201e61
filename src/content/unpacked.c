/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything asks for a look at the tree: one that is final once the build is
 * READY, or, of a layer in verify=lazy, at what its pass has found so far.  A
 * build that failed is replaced by a new one at the next look.
 */
#include "content/unpacked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/image.h"
#include "content/rootfs.h"
#include "content/unpacked_private.h"
#include "content/xattrpack.h"
#include "util/auto.h"
#include "util/clock.h"

#define ATTEMPTS 2
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

/* --- looks --- */

/* The layer's index as it is now; a reference. */
static int current_index(struct unpacked *u, bool anew, struct layerindex **ret)
{
	struct layerindex *x;
	int r;

	autolock(&u->lock);
	if (u->index && (anew || build_spent(&u->index->build))) {
		layerindex_unref(u->index);
		u->index = NULL;
	}
	if (!u->index) {
		r = layerindex_open(u->repo, &u->digest, u->size_bytes,
				    &u->note, &x);
		if (r < 0)
			return r;
		u->index = x;
	}
	*ret = layerindex_ref(u->index);
	return 0;
}

static int current_rootfs(struct unpacked *u, struct wait *w,
			  struct rootfs **ret)
{
	const struct manifest *m;
	struct rootfs *f;
	int r;

	/* The document is at hand. */
	r = image_platform(u->image, w, &m);
	if (r < 0)
		return r;
	autolock(&u->lock);
	if (build_spent(&u->rootfs->build)) {
		r = rootfs_new(u->repo, m, &f);
		if (r < 0)
			return r;
		rootfs_unref(u->rootfs);
		u->rootfs = f;
	}
	*ret = rootfs_ref(u->rootfs);
	return 0;
}

void look_done(struct look *l)
{
	layerindex_unref(l->index);
	rootfs_unref(l->rootfs);
	*l = (struct look){0};
}

static int look_begin(struct unpacked *u, bool anew, struct wait *w,
		      struct look *l)
{
	int r;

	if (u->image) {
		r = current_rootfs(u, w, &l->rootfs);
		if (r < 0)
			return r;
		l->build = &l->rootfs->build;
		return rootfs_start(l->rootfs);
	}
	r = current_index(u, anew, &l->index);
	if (r < 0)
		return r;
	l->build = &l->index->build;
	return layerindex_start(l->index, u->repo);
}

/* What can be seen now; l->tree is NULL if nothing can. */
static void look_take(struct look *l)
{
	autolock(&l->build->lock);
	l->final = l->build->state == BUILD_READY;
	l->failed = l->build->state == BUILD_FAILED;
	l->tree = NULL;
	if (l->rootfs && l->final)
		l->tree = l->rootfs->tree;
	if (!l->index || (!l->final && (!l->index->live || l->failed)))
		return;
	l->tree = l->index->tree;
	l->stream = l->index->stream;
	l->damaged = l->final && l->index->damaged;
}

static int look_wait(struct unpacked *u, struct look *l, bool to_the_end,
		     struct wait *w)
{
	struct gate *gate = &u->repo->content->gate;
	int r;

	r = gate_enter(gate, u->repo->host);
	if (r < 0)
		return r;
	r = to_the_end ? build_wait(l->build, w)
		       : build_wait_progress(l->build, &l->seen, w);
	gate_leave(gate, u->repo->host);
	/* What passes between two waits is not the caller's loss. */
	if (r == 0)
		w->deadline_ms = clock_ms() + l->budget_ms;
	return r;
}

/* Another repository's attempt that failed is not ours: once more. */
static bool look_again(const struct unpacked *u, const struct look *l,
		       int attempt, struct wait *w)
{
	return l->index && l->failed && l->index->repo != u->repo &&
	       attempt + 1 < ATTEMPTS && wait_check(w) == 0;
}

/* Of a tree, what its inode numbers depend on. */
static uint64_t look_shape(const struct look *l)
{
	uint64_t shape = 1;

	if (l->index)
		return 1 + (uint64_t)l->index->form;
	for (size_t i = 0; i < l->rootfs->layers_len; i++)
		shape = shape * 31 + 1 + (uint64_t)l->rootfs->layers[i].form;
	return shape ? shape : 1;
}

/* Who has got numbers from a tree must not use them with another one. */
static int look_check(struct unpacked *u, const struct look *l)
{
	uint64_t shape = look_shape(l);

	autolock(&u->lock);
	if (!u->shape)
		u->shape = shape;
	return u->shape == shape ? 0 : -ESTALE;
}

/* Until there is a tree to look at, or, `whole`, until it is final. */
static int look_until(struct unpacked *u, struct look *l, bool whole,
		      struct wait *w)
{
	int r = 0;

	look_take(l);
	while (!l->failed && !l->final && (whole || !l->tree) && r == 0) {
		r = look_wait(u, l, whole, w);
		look_take(l);
	}
	if (r == 0 && l->failed)
		r = l->build->error;
	return r == 0 ? look_check(u, l) : r;
}

int unpacked_look(struct unpacked *u, bool whole, struct wait *w,
		  struct look *ret)
{
	uint64_t budget_ms = wait_left_ms(w);
	struct look l = {0};
	int r = 0;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		r = look_begin(u, attempt > 0, w, &l);
		if (!l.build)
			return r;
		l.budget_ms = budget_ms;
		r = look_until(u, &l, whole, w);
		if (r == 0) {
			*ret = l;
			return 0;
		}
		if (!look_again(u, &l, attempt, w))
			break;
		look_done(&l);
	}
	look_done(&l);
	/* That the blob is gone says nothing about what is asked for in it. */
	return r == -ENOENT ? -EIO : r;
}

/* A tree that is not final does not have it: waits until it has more. */
static int look_on(struct unpacked *u, struct look *l, struct wait *w)
{
	int r;

	r = look_wait(u, l, false, w);
	look_take(l);
	if (r == 0 && !l->failed)
		r = look_until(u, l, false, w);
	if (!l->failed)
		return r;
	/* Perhaps it was another repository's attempt. */
	look_done(l);
	return unpacked_look(u, false, w, l);
}

int unpacked_look_inode(struct unpacked *u, uint64_t ino, struct wait *w,
			struct look *ret, struct tree_inode *ret_inode)
{
	struct look l = {0};
	int r;

	r = unpacked_look(u, false, w, &l);
	while (r == 0) {
		r = tree_get(l.tree, ino, ret_inode);
		if (r != -ENOENT || l.final)
			break;
		r = look_on(u, &l, w);
	}
	if (r == 0) {
		*ret = l;
		return 0;
	}
	r = look_result(&l, r);
	look_done(&l);
	return r == -ENOENT ? -ESTALE : r;
}

int look_result(struct look *l, int r)
{
	if (r == -EBADMSG && l->final)
		build_spoil(l->build, -EIO);
	return r;
}

/* --- questions --- */

int unpacked_find(struct unpacked *u, uint64_t dir, const char *name,
		  struct wait *w, struct tree_inode *ret, bool *ret_final)
{
	struct look l = {0};
	int r;

	r = unpacked_look(u, false, w, &l);
	while (r == 0) {
		r = look_result(&l, tree_find(l.tree, dir, name, ret));
		if (r != -ENOENT || l.final)
			break;
		/* Not seen yet. */
		r = look_on(u, &l, w);
	}
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

int unpacked_list(struct unpacked *u, uint64_t dir, const char *after,
		  uint64_t skip, size_t max, struct wait *w,
		  struct tree_name **ret, size_t *ret_len)
{
	struct tree_name *names;
	struct look l;
	size_t len;
	int r;

	r = unpacked_look(u, true, w, &l);
	if (r < 0)
		return r;
	r = after ? tree_list(l.tree, dir, after, max, &names, &len)
		  : tree_list_from(l.tree, dir, skip, max, &names, &len);
	r = look_result(&l, r);
	if (r == 0 && len == 0 && l.damaged) {
		tree_names_free(names, len);
		r = -EBADMSG;
	}
	look_done(&l);
	if (r < 0)
		return r;
	*ret = names;
	*ret_len = len;
	return 0;
}

int unpacked_readlink(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out)
{
	struct tree_inode i;
	struct look l;
	int r;

	r = unpacked_look_inode(u, ino, w, &l, &i);
	if (r < 0)
		return r;
	r = look_result(&l, tree_get_link(l.tree, ino, out));
	look_done(&l);
	return r == -ENODATA ? -EINVAL : r;
}

static int packed_xattrs(struct unpacked *u, uint64_t ino, struct wait *w,
			 struct str *out)
{
	struct tree_inode i;
	struct look l;
	int r;

	r = unpacked_look_inode(u, ino, w, &l, &i);
	if (r < 0)
		return r;
	r = look_result(&l, tree_get_xattrs(l.tree, ino, out));
	look_done(&l);
	return r;
}

int unpacked_getxattr(struct unpacked *u, uint64_t ino, const char *name,
		      struct wait *w, struct str *out)
{
	autostr packed = {.max = XATTRS_MAX};
	int r;

	r = packed_xattrs(u, ino, w, &packed);
	return r < 0 ? r : xattrs_find(packed.buf, packed.len, name, out);
}

int unpacked_listxattr(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct str *out)
{
	autostr packed = {.max = XATTRS_MAX};
	int r;

	r = packed_xattrs(u, ino, w, &packed);
	if (r == -ENODATA)
		return 0;
	return r < 0 ? r : xattrs_names(packed.buf, packed.len, out);
}

int unpacked_raw_name(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out)
{
	struct tree_inode i;
	struct look l;
	int r;

	r = unpacked_look_inode(u, ino, w, &l, &i);
	if (r < 0)
		return r;
	r = look_result(&l, tree_get_raw_name(l.tree, ino, out));
	look_done(&l);
	return r;
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

int unpacked_about(struct unpacked *u, struct wait *w, struct str *out)
{
	struct look l;
	int r;

	r = unpacked_look(u, true, w, &l);
	if (r < 0)
		return r;
	if (l.index)
		r = about_layer(&l, out);
	else
		r = str_addf(out, "layers: %zu\n", l.rootfs->layers_len);
	if (r == 0)
		r = str_addf(out, "index bytes: %llu\n",
			     (unsigned long long)tree_bytes(l.tree));
	look_done(&l);
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

bool unpacked_at_hand(struct unpacked *u)
{
	struct build *b = NULL;
	struct digest d = u->digest;

	{
		autolock(&u->lock);
		if (u->rootfs) {
			b = &u->rootfs->build;
			d = u->rootfs->digest;
		} else if (u->index) {
			b = &u->index->build;
		}
		if (b && build_state(b) != BUILD_IDLE)
			return true;
	}
	return u->image ? rootfs_kept(u->repo, &d) : layer_kept(u->repo, &d);
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
