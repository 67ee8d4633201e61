/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything asks for a look at the tree: one that is final once the build is
 * READY, or, of a layer in verify=lazy, at what its pass has found so far.  A
 * build that failed is replaced by a new one at the next look.  A final tree
 * that cannot be read is our loss, not the image's: it is made anew at once,
 * and the question asked again.
 */
#include <errno.h>

#include "content/unpacked_private.h"
#include "util/auto.h"
#include "util/clock.h"

#define ATTEMPTS 2

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

/* What is waited for may still come, and then nobody would tell of it. */
static void report_timeout(const struct unpacked *u)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(&u->digest, digest);
	object = str_printf("%s/%s/%s", u->repo->name,
			    u->image ? "_rootfs" : "_layers", digest);
	content_fault(u->repo->content, u->repo->host, object ? object : digest,
		      ETIMEDOUT, "not there within the caller's patience");
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
	if (r == -ETIMEDOUT && build_state(l->build) == BUILD_RUNNING)
		report_timeout(u);
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

int look_on(struct unpacked *u, struct look *l, struct wait *w)
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

static int get_inode(struct unpacked *u, uint64_t ino, struct wait *w,
		     struct look *l, struct tree_inode *ret)
{
	int r = unpacked_look(u, false, w, l);

	while (r == 0) {
		r = tree_get(l->tree, ino, ret);
		if (r != -ENOENT || l->final)
			break;
		r = look_on(u, l, w);
	}
	return r;
}

int unpacked_look_inode(struct unpacked *u, uint64_t ino, struct wait *w,
			struct look *ret, struct tree_inode *ret_inode)
{
	struct look l = {0};
	unsigned tries = 0;
	int r;

	do {
		look_done(&l);
		r = get_inode(u, ino, w, &l, ret_inode);
	} while (look_renew(&l, &r, &tries));
	if (r == 0) {
		*ret = l;
		return 0;
	}
	look_done(&l);
	return r == -ENOENT ? -ESTALE : r;
}

bool look_regain(struct look *l, bool *tried)
{
	if (*tried || !(tree_evicted(l->tree) || tree_lost(l->tree)))
		return false;
	*tried = true;
	build_renew(l->build);
	return true;
}

bool look_renew(struct look *l, int *r, unsigned *tries)
{
	if (*r != -EBADMSG || !l->final || !tree_lost(l->tree))
		return false;
	if (++*tries < ATTEMPTS) {
		build_renew(l->build);
		return true;
	}
	build_spoil(l->build, -EIO);
	*r = -EIO;
	return false;
}
