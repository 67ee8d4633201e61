/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's tree, entry by entry.  Unpacking walks the directories of each path
 * on a disk; here the walk is through a cache, so that most entries cost their
 * own two rows and nothing else.
 *
 * Invariants of the cache: what is in it is a directory of the tree; and with a
 * directory, those above it are in it.  So what is not in it has nothing
 * beneath in it, and where one of it is removed, all of it is dropped: inode
 * numbers may be used again.  It is emptied for its size only between entries.
 */
#include "content/treebuild.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "content/dircache.h"
#include "content/treepath.h"
#include "content/whiteout.h"
#include "content/xattrpack.h"
#include "util/auto.h"

#define DIRS_MAX 65536
#define IMPLIED_MODE (S_IFDIR | 0755)

struct treebuild {
	struct tree *tree;
	uint64_t entries_max;
	uint64_t implied; /* directories nobody asked for; bounded likewise */
	struct treebuild_counts counts;
	struct dircache *dirs;
	struct treepath path, target;
	struct str xattrs, link;
};

AUTOPTR_DEFINE(treebuild, treebuild_free)

int treebuild_new(struct tree *t, uint64_t entries_max, struct treebuild **ret)
{
	struct tree_inode root = {.mode = IMPLIED_MODE, .flags = TREE_IMPLIED};
	autoptr(treebuild) b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->tree = t;
	b->entries_max = entries_max;
	r = dircache_new(&b->dirs);
	if (r == 0)
		r = tree_set_inode(t, TREE_ROOT, &root,
				   &(struct tree_extra){0});
	if (r < 0)
		return r;
	*ret = steal(&b);
	return 0;
}

void treebuild_free(struct treebuild *b)
{
	if (!b)
		return;
	dircache_free(b->dirs);
	str_done(&b->xattrs);
	str_done(&b->link);
	free(b);
}

void treebuild_counts(const struct treebuild *b, struct treebuild_counts *ret)
{
	*ret = b->counts;
}

/* What has this name goes, with all beneath.  -ENOENT. */
static int evict(struct treebuild *b, uint64_t dir, const char *name)
{
	if (dircache_find(b->dirs, dir, name)) {
		int r = dircache_clear(b->dirs);

		if (r < 0)
			return r;
	}
	return tree_remove(b->tree, dir, name);
}

/* Names an inode; whatever had the name is gone. */
static int put_name(struct treebuild *b, uint64_t dir,
		    const struct treepath_part *part, uint64_t ino,
		    uint32_t mode)
{
	int r = tree_add_name(b->tree, dir, part->name, ino, mode);

	if (r == -EEXIST) {
		r = evict(b, dir, part->name);
		if (r == 0)
			r = tree_add_name(b->tree, dir, part->name, ino, mode);
	}
	if (r == 0 && part->raw)
		b->counts.escaped++;
	return r;
}

static void note_raw_name(const struct treepath_part *part,
			  struct tree_inode *i, struct tree_extra *x)
{
	if (!part->raw)
		return;
	i->flags |= TREE_RAW_NAME;
	x->raw_name = part->raw;
	x->raw_name_len = part->raw_len;
}

static int imply_dir(struct treebuild *b, uint64_t dir,
		     const struct treepath_part *part, uint64_t *ret_ino)
{
	struct tree_inode i = {.mode = IMPLIED_MODE, .flags = TREE_IMPLIED};
	struct tree_inode old;
	struct tree_extra x = {0};
	uint64_t ino;
	int r;

	if (b->counts.entries + b->implied >= b->entries_max)
		return -EFBIG;
	b->implied++;
	/* In the place of a whiteout it remains that one. */
	if (whiteout_is(part->name)) {
		r = tree_find(b->tree, dir, part->name, &old);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0)
			i.flags = old.flags & TREE_IMPLIED;
	}
	note_raw_name(part, &i, &x);
	r = tree_add_inode(b->tree, &i, &x, &ino);
	if (r == 0)
		r = put_name(b, dir, part, ino, i.mode);
	if (r == 0)
		*ret_ino = ino;
	return r;
}

/* The directory of this name; -ENOENT: there is none. */
static int find_dir(struct treebuild *b, uint64_t dir, const char *name,
		    uint64_t *ret_ino)
{
	uint64_t ino = dircache_find(b->dirs, dir, name);
	struct tree_inode i;
	int r;

	if (ino == 0) {
		r = tree_find(b->tree, dir, name, &i);
		if (r == 0 && !S_ISDIR(i.mode))
			r = -ENOENT;
		if (r == 0)
			r = dircache_put(b->dirs, dir, name, i.ino);
		if (r < 0)
			return r;
		ino = i.ino;
	}
	*ret_ino = ino;
	return 0;
}

/* The directory that holds the path's last part, implied if need be. */
static int make_parents(struct treebuild *b, const struct treepath *p,
			uint64_t *ret_dir)
{
	uint64_t dir = TREE_ROOT, next = 0;

	for (size_t i = 0; i + 1 < p->len; i++) {
		int r = find_dir(b, dir, p->parts[i].name, &next);

		if (r == -ENOENT) {
			r = imply_dir(b, dir, &p->parts[i], &next);
			if (r == 0)
				r = dircache_put(b->dirs, dir, p->parts[i].name,
						 next);
		}
		if (r < 0)
			return r;
		dir = next;
	}
	*ret_dir = dir;
	return 0;
}

/* -ENOENT: there is nothing of this path.  The root has none of its own. */
static int look_up(struct treebuild *b, const struct treepath *p,
		   struct tree_inode *ret)
{
	uint64_t dir = TREE_ROOT;

	if (p->len == 0)
		return tree_get(b->tree, TREE_ROOT, ret);
	for (size_t i = 0; i + 1 < p->len; i++) {
		int r = find_dir(b, dir, p->parts[i].name, &dir);

		if (r < 0)
			return r;
	}
	return tree_find(b->tree, dir, p->parts[p->len - 1].name, ret);
}

static void describe(const struct layer_entry *e, struct tree_inode *ret)
{
	static const uint32_t types[] = {
		[LAYER_FILE] = S_IFREG,	   [LAYER_DIR] = S_IFDIR,
		[LAYER_SYMLINK] = S_IFLNK, [LAYER_HARDLINK] = S_IFREG,
		[LAYER_CHAR] = S_IFCHR,	   [LAYER_BLOCK] = S_IFBLK,
		[LAYER_FIFO] = S_IFIFO,
	};

	*ret = (struct tree_inode){
		.mode = types[e->type] | (e->mode & 07777),
		.uid = e->uid,
		.gid = e->gid,
		.mtime_s = e->mtime_s,
		.mtime_ns = e->mtime_ns,
	};
	if (e->type == LAYER_FILE) {
		ret->size_bytes = e->size_bytes;
		ret->flags = e->in_pieces ? TREE_PIECES : 0;
		ret->data_off = e->in_pieces ? 0 : e->data_off;
	} else if (e->type == LAYER_SYMLINK) {
		/* as Linux has them, whatever the archive says */
		ret->mode = S_IFLNK | 0777;
		ret->size_bytes = e->link_len;
	} else if (e->type == LAYER_CHAR || e->type == LAYER_BLOCK) {
		ret->major = e->major;
		ret->minor = e->minor;
	}
}

static int add_pieces(struct treebuild *b, uint64_t ino,
		      const struct layer_entry *e)
{
	if (e->type != LAYER_FILE || !e->in_pieces)
		return 0;
	for (size_t i = 0; i < e->pieces_len; i++) {
		const struct layer_piece *from = &e->pieces[i];
		struct tree_piece p = {
			.off = from->off,
			.bytes = from->bytes,
			.src_off = from->src_off,
			.src_end = from->src_end,
			.inner_off = from->inner_off,
			.has_digest = from->has_digest,
		};
		int r;

		memcpy(p.digest, from->digest, sizeof(p.digest));
		r = tree_add_piece(b->tree, ino, &p);
		if (r < 0)
			return r;
	}
	return 0;
}

static int place_dir(struct treebuild *b, uint64_t dir,
		     const struct treepath_part *part,
		     const struct tree_inode *i, const struct tree_extra *x)
{
	uint64_t ino;
	int r = find_dir(b, dir, part->name, &ino);

	if (r == 0)
		return tree_set_inode(b->tree, ino, i, x);
	if (r != -ENOENT)
		return r;
	r = tree_add_inode(b->tree, i, x, &ino);
	if (r == 0)
		r = put_name(b, dir, part, ino, i->mode);
	if (r == 0)
		r = dircache_put(b->dirs, dir, part->name, ino);
	return r;
}

static int place_leaf(struct treebuild *b, uint64_t dir,
		      const struct treepath_part *part,
		      const struct layer_entry *e, const struct tree_inode *i,
		      const struct tree_extra *x)
{
	uint64_t ino;
	int r = tree_add_inode(b->tree, i, x, &ino);

	if (r == 0)
		r = add_pieces(b, ino, e);
	if (r == 0)
		r = put_name(b, dir, part, ino, i->mode);
	return r;
}

/*
 * As link(2) after removing what has the name: the target is looked for then.
 * A whiteout whose name had to be shortened is kept for its raw name, which a
 * second name of another inode would not have.
 */
static int place_link(struct treebuild *b, uint64_t dir,
		      const struct treepath_part *part,
		      const struct layer_entry *e, struct tree_inode *i,
		      struct tree_extra *x)
{
	struct tree_inode target;
	int r = evict(b, dir, part->name);

	if (r < 0 && r != -ENOENT)
		return r;
	if (part->raw && str_prefix(part->name, ".wh."))
		return place_leaf(b, dir, part, e, i, x);
	r = look_up(b, &b->target, &target);
	if (r == 0 && !S_ISDIR(target.mode))
		return put_name(b, dir, part, target.ino, target.mode);
	if (r < 0 && r != -ENOENT)
		return r;
	str_clear(&b->link);
	r = treepath_format(&b->target, &b->link);
	if (r < 0)
		return r;
	i->flags |= TREE_DANGLING;
	x->link = b->link.buf;
	x->link_len = b->link.len;
	b->counts.dangling++;
	return place_leaf(b, dir, part, e, i, x);
}

static int place(struct treebuild *b, const struct layer_entry *e)
{
	const struct treepath_part *part = NULL;
	struct tree_inode i;
	struct tree_extra x = {0};
	uint64_t dir;
	int r;

	str_clear(&b->xattrs);
	r = xattrs_pack(e->xattrs, e->xattrs_len, &b->xattrs);
	if (r < 0)
		return r;
	describe(e, &i);
	if (b->xattrs.len > 0) {
		x.xattrs = b->xattrs.buf;
		x.xattrs_len = b->xattrs.len;
	}
	if (e->type == LAYER_SYMLINK) {
		x.link = e->link;
		x.link_len = e->link_len;
	}
	if (b->path.len == 0)
		return tree_set_inode(b->tree, TREE_ROOT, &i, &x);
	part = &b->path.parts[b->path.len - 1];
	note_raw_name(part, &i, &x);
	r = make_parents(b, &b->path, &dir);
	if (r < 0)
		return r;
	if (e->type == LAYER_DIR)
		return place_dir(b, dir, part, &i, &x);
	if (e->type == LAYER_HARDLINK)
		return place_link(b, dir, part, e, &i, &x);
	return place_leaf(b, dir, part, e, &i, &x);
}

/* A link to its own name changes nothing, if there is such a name. */
static int add_link(struct treebuild *b, const struct layer_entry *e)
{
	struct tree_inode i;
	int r;

	if (treepath_equal(&b->path, &b->target)) {
		r = look_up(b, &b->path, &i);
		if (r != -ENOENT)
			return r;
	}
	return place(b, e);
}

int treebuild_add(struct treebuild *b, const struct layer_entry *e)
{
	int r;

	if (b->counts.entries + b->implied >= b->entries_max)
		return -EFBIG;
	b->counts.entries++;
	if (dircache_len(b->dirs) >= DIRS_MAX) {
		r = dircache_clear(b->dirs);
		if (r < 0)
			return r;
	}
	if (treepath_parse(e->path, e->path_len, &b->path) < 0 ||
	    (b->path.len == 0 && e->type != LAYER_DIR)) {
		b->counts.left_out++;
		return 0;
	}
	if (e->type != LAYER_HARDLINK)
		return place(b, e);
	if (treepath_parse(e->link ? e->link : "", e->link_len, &b->target) <
	    0) {
		b->counts.left_out++;
		return 0;
	}
	return add_link(b, e);
}
