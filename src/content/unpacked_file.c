/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file inside a layer: its bytes come from the decoded stream, from the
 * pieces of a table of contents, or (no archive) are the blob itself.
 *
 * What else is fetched follows use: what an eStargz marks as wanted early with
 * the first read; and once so much of a layer was fetched in small pieces that
 * more will follow, the rest of it in one go, so that reading all of an image
 * costs what pulling it would.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/piece.h"
#include "content/unpacked_private.h"
#include "util/auto.h"

/* Fetched in small pieces, before the rest is: this share, at least so much. */
#define REST_SHARE 8
#define REST_MIN_BYTES ((uint64_t)1 << 20)
/* The whole of a file that is so large in the blob comes with its first read.
 */
#define AT_ONCE_BYTES ((uint64_t)1 << 20)
/* What is made anew is not lost again. */
#define FIND_TRIES 2

struct unpacked_file {
	struct unpacked *unpacked;
	uint64_t ino; /* there */
	pthread_mutex_t lock;
	/* Found anew, as the tree was lost; set once, protected by lock. */
	struct unpacked_file *next;

	struct look look; /* keeps the tree, and rootfs layers, alive */
	struct layerindex *index;
	struct tree *tree; /* the layer's */
	struct stream *stream;
	struct blob *blob;
	struct tree_inode inode; /* in that tree */
	struct ahead ahead;
	atomic_bool placed; /* where it ends in the blob was looked up */
};

/* Lets go of where it was found. */
static void file_leave(struct unpacked_file *f)
{
	if (f->index != f->look.index)
		layerindex_unref(f->index);
	f->index = NULL;
	look_done(&f->look);
}

static void file_free(struct unpacked_file *f)
{
	blob_unref(f->blob);
	file_leave(f);
	ahead_done(&f->ahead);
	pthread_mutex_destroy(&f->lock);
	unpacked_unref(f->unpacked);
	free(f);
}

void unpacked_close_file(struct unpacked_file *f)
{
	struct unpacked_file *next;

	for (; f; f = next) {
		next = f->next;
		file_free(f);
	}
}

static int file_index_layer(struct unpacked *u, struct unpacked_file *f,
			    struct wait *w)
{
	struct gate *gate = &u->repo->content->gate;
	struct build *b;
	int r;

	r = rootfs_layer_open(f->look.rootfs, f->inode.layer, &f->index);
	if (r < 0)
		return r;
	b = &f->index->build;
	r = layerindex_start(f->index, u->repo);
	if (r < 0 || build_state(b) != BUILD_RUNNING)
		return r < 0 ? r : build_wait(b, w);
	r = gate_enter(gate, u->repo->host);
	if (r < 0)
		return r;
	r = build_wait(b, w);
	gate_leave(gate, u->repo->host);
	return r;
}

/* Of a root file system: the layer that holds the bytes, indexed again if its
 * tree was not kept.  1: what was found is of no use and is made anew. */
static int file_find_layer(struct unpacked *u, struct unpacked_file *f,
			   struct wait *w)
{
	struct rootfs *rootfs = f->look.rootfs;
	uint32_t layer = f->inode.layer;
	int r;

	if (layer >= rootfs->layers_len)
		return -EBADMSG;
	r = file_index_layer(u, f, w);
	/* Another repository's attempt that failed is not ours: once more. */
	if (r < 0 && f->index && f->index->repo != u->repo &&
	    build_state(&f->index->build) == BUILD_FAILED) {
		layerindex_unref(steal(&f->index));
		r = file_index_layer(u, f, w);
	}
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	f->tree = f->index->tree;
	f->stream = f->index->stream;
	/* Inodes are numbered as the layer was read. */
	r = -EBADMSG;
	if (f->index->form == rootfs->layers[layer].form)
		r = tree_get(f->tree, f->inode.src_ino, &f->inode);
	if (r != -EBADMSG && r != -ENOENT)
		return r;
	if (tree_lost(f->tree))
		build_renew(&f->index->build);
	else
		rootfs_layer_renew(rootfs, layer, f->index);
	return 1;
}

static int file_find_once(struct unpacked_file *f, struct wait *w)
{
	struct unpacked *u = f->unpacked;
	int r;

	r = unpacked_look_inode(u, f->ino, w, &f->look, &f->inode);
	if (r < 0)
		return r;
	if (f->inode.flags & TREE_DANGLING)
		return -ENOENT;
	if (f->look.rootfs)
		return file_find_layer(u, f, w);
	f->index = f->look.index;
	f->tree = f->look.tree;
	f->stream = f->look.stream;
	return 0;
}

static int file_find(struct unpacked_file *f, struct wait *w)
{
	int r = file_find_once(f, w);

	for (int n = 1; r == 1 && n < FIND_TRIES; n++) {
		file_leave(f);
		r = file_find_once(f, w);
	}
	return r == 1 ? -EIO : r;
}

int unpacked_open_file(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct unpacked_file **ret)
{
	struct unpacked_file *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->unpacked = unpacked_ref(u);
	f->ino = ino;
	pthread_mutex_init(&f->lock, NULL);
	ahead_init(&f->ahead, content_ahead_limit(u->repo->content), false);
	r = file_find(f, w);
	if (r == 0 && !f->stream && f->inode.size_bytes > 0 &&
	    !(f->inode.flags & (TREE_PIECES | TREE_BLOB)))
		r = -EBADMSG; /* a damaged tree */
	if (r == 0)
		r = blob_open(u->repo, &f->index->digest, f->index->size_bytes,
			      &f->blob);
	if (r < 0) {
		unpacked_close_file(f);
		return r;
	}
	if (f->index->form == LAYER_TOC)
		blob_reader_checks(f->blob);
	*ret = f;
	return 0;
}

bool unpacked_file_proven(struct unpacked_file *f)
{
	return f->look.final &&
	       (f->index->form == LAYER_TOC || blob_verified(f->blob));
}

/* --- fetching ahead --- */

static bool worth_the_rest(const struct unpacked_file *f, uint64_t cached)
{
	const struct layerindex *x = f->index;
	uint64_t least = x->size_bytes / REST_SHARE;

	if (least < REST_MIN_BYTES)
		least = REST_MIN_BYTES;
	return cached > x->base_bytes && cached - x->base_bytes >= least;
}

/* How far ahead may be fetched at all: it must still be there when read. */
static uint64_t room_ahead(const struct content *c, const struct layerindex *x)
{
	if (!store_has_disk(c->store) || c->options->prefetch == 0 ||
	    x->size_bytes > store_room(c->store) / 4)
		return 0;
	return x->size_bytes;
}

static int place_pieces(struct unpacked_file *f, uint64_t off, uint64_t len,
			uint64_t *ret_from, uint64_t *ret_to)
{
	struct tree_piece first, last;
	uint64_t to;
	int r;

	r = tree_find_piece(f->tree, f->inode.ino, off, &first);
	if (r == 0)
		r = tree_find_piece(f->tree, f->inode.ino, off + len - 1,
				    &last);
	if (r < 0)
		return r;
	if (f->index->form == LAYER_TOC) {
		*ret_from = first.src_off;
		*ret_to = last.src_end;
		return 0;
	}
	to = last.src_off + last.bytes;
	return to > first.src_off
		       ? stream_place(f->stream, first.src_off,
				      to - first.src_off, ret_from, ret_to)
		       : -EAGAIN;
}

/* Which bytes of the blob the content from `off` to the end is made of. */
static int file_place(struct unpacked_file *f, uint64_t off, uint64_t *ret_from,
		      uint64_t *ret_to)
{
	uint64_t len = f->inode.size_bytes - off;

	if (f->inode.flags & TREE_BLOB) {
		*ret_from = off;
		*ret_to = off + len;
		return 0;
	}
	if (f->inode.flags & TREE_PIECES)
		return place_pieces(f, off, len, ret_from, ret_to);
	return stream_place(f->stream, f->inode.data_off + off, len, ret_from,
			    ret_to);
}

/* A small file is one request, and no reader's window goes beyond its file. */
static void file_want(struct unpacked_file *f, uint64_t off)
{
	uint64_t from, to;

	if (atomic_load(&f->placed) || file_place(f, off, &from, &to) < 0 ||
	    from >= to || atomic_exchange(&f->placed, true))
		return;
	if (to > f->index->size_bytes)
		to = f->index->size_bytes;
	ahead_ends(&f->ahead, to);
	if (to > from && to - from <= AT_ONCE_BYTES)
		blob_want(f->blob, from, to - from);
}

/* What to fetch now, of the blob's first bytes. */
static uint64_t ahead_wanted(struct unpacked_file *f, uint64_t cached)
{
	struct layerindex *x = f->index;

	autolock(&x->build.lock);
	if (!x->ahead_begun) {
		x->ahead_begun = true;
		x->base_bytes = cached;
		return x->prefetch_end;
	}
	if (x->rest_wanted || !worth_the_rest(f, cached))
		return 0;
	x->rest_wanted = true;
	return x->size_bytes;
}

/* Keeps it open until so many others came: its reader may close it, and what is
 * fetched ahead shall come all the same. */
static void hold_ahead(struct content *c, struct blob *b)
{
	struct blob **place, *old;

	blob_ref(b);
	{
		autolock(&c->layers_lock);
		place = &c->ahead[c->ahead_next++ % CONTENT_AHEAD_BLOBS];
		old = *place;
		*place = b;
	}
	blob_unref(old);
}

static void file_fetch_ahead(struct unpacked_file *f)
{
	struct layerindex *x = f->index;
	uint64_t cached = blob_cached_bytes(f->blob);
	uint64_t want, room;

	/* A pass fetches all of it anyway. */
	if (!f->look.final || cached >= x->size_bytes)
		return;
	want = ahead_wanted(f, cached);
	room = room_ahead(x->content, x);
	if (want > room)
		want = room;
	if (want == 0)
		return;
	hold_ahead(x->content, f->blob);
	blob_prefetch(f->blob, 0, want);
}

/* --- reading --- */

static int read_piece(struct unpacked_file *f, const struct tree_piece *p,
		      char *buf, size_t len, uint64_t off, struct wait *w)
{
	struct content *c = f->index->content;

	if (f->index->form == LAYER_TOC)
		return piece_read(c->spans, c->store, f->blob, f->index->codec,
				  p, &f->ahead, buf, len, off, w);
	return stream_read(f->stream, f->blob, &f->ahead, buf, len,
			   p->src_off + off, w);
}

/* What lies between the pieces are zeros. */
static int read_pieces(struct unpacked_file *f, char *buf, size_t len,
		       uint64_t off, struct wait *w)
{
	struct tree_piece p;
	size_t n;
	int r = 0;

	while (len > 0 && r == 0) {
		r = tree_find_piece(f->tree, f->inode.ino, off, &p);
		if (r == -ENOENT) {
			memset(buf, 0, len);
			return 0;
		}
		if (r < 0)
			return r;
		n = len;
		if (p.off > off) {
			if (n > p.off - off)
				n = (size_t)(p.off - off);
			memset(buf, 0, n);
		} else {
			if (n > p.off + p.bytes - off)
				n = (size_t)(p.off + p.bytes - off);
			r = read_piece(f, &p, buf, n, off - p.off, w);
		}
		buf += n;
		off += n;
		len -= n;
	}
	return r;
}

static int file_read(struct unpacked_file *f, void *buf, size_t len,
		     uint64_t off, struct wait *w)
{
	ssize_t n;

	if (f->inode.flags & TREE_BLOB) {
		n = blob_read(f->blob, &f->ahead, buf, len, off, w);
		if (n < 0)
			return (int)n;
		return (size_t)n == len ? 0 : -EIO;
	}
	if (f->inode.flags & TREE_PIECES)
		return read_pieces(f, buf, len, off, w);
	return stream_read(f->stream, f->blob, &f->ahead, buf, len,
			   f->inode.data_off + off, w);
}

static ssize_t read_found(struct unpacked_file *f, void *buf, size_t len,
			  uint64_t off, struct wait *w)
{
	int r;

	if (off >= f->inode.size_bytes)
		return 0;
	if (len > f->inode.size_bytes - off)
		len = (size_t)(f->inode.size_bytes - off);
	file_want(f, off);
	r = file_read(f, buf, len, off, w);
	if (r < 0)
		return r;
	file_fetch_ahead(f);
	return (ssize_t)len;
}

/* The newest, beginning with f. */
static struct unpacked_file *file_newest(struct unpacked_file *f)
{
	struct unpacked_file *next;

	for (;; f = next) {
		autolock(&f->lock);
		next = f->next;
		if (!next)
			return f;
	}
}

/* The tree was lost: finds it once more.  Others may be reading this one. */
static int file_renew(struct unpacked_file *f, struct wait *w)
{
	struct unpacked_file *next;
	int r;

	build_renew(&f->index->build);
	r = unpacked_open_file(f->unpacked, f->ino, w, &next);
	if (r < 0)
		return r;
	{
		autolock(&f->lock);
		if (!f->next)
			f->next = steal(&next);
	}
	unpacked_close_file(next);
	return 0;
}

ssize_t unpacked_read(struct unpacked_file *f, void *buf, size_t len,
		      uint64_t off, struct wait *w)
{
	ssize_t n;
	int r;

	for (int i = 1;; i++) {
		f = file_newest(f);
		n = read_found(f, buf, len, off, w);
		if (n >= 0 || !tree_lost(f->tree))
			return n;
		if (i == FIND_TRIES)
			return -EIO;
		r = file_renew(f, w);
		if (r < 0)
			return r;
	}
}
