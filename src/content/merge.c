/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer after the other onto the tree of those below it, each by a walk of
 * its directories with a stack of its own: in a directory first what whiteouts
 * take away, then the layer's names.  So whatever is taken away or replaced is
 * of a lower layer, as the image-spec wants it.
 *
 * A hard link to a file of a lower layer needs that file to live until the link
 * is met, though its own name may be whited out before: such files get a second
 * name ("pin") in a directory that itself has no name, and thus is seen by
 * nobody, until the layer is merged.
 */
#include "content/merge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "content/dircache.h"
#include "content/treepath.h"
#include "content/whiteout.h"
#include "util/auto.h"
#include "util/map.h"
#include "util/vec.h"

#define DEPTH_MAX 4096 /* deeper than any path of an entry */
#define DEPTH_USUAL 64 /* from there on, pages are small */
#define PAGE_NAMES 256
#define PAGE_NAMES_DEEP 16
#define CHECK_EVERY 256
#define DIRS_MAX 65536

/* A directory being merged: its page of the layer's names, and where we are. */
struct frame {
	uint64_t from, to;
	bool fresh; /* no lower layer has it: nothing to be found in `to` */
	bool last;  /* no page follows */
	struct tree_name *names;
	size_t len, at;
};

struct merge {
	struct tree *out;
	struct tree *layer;
	uint32_t number;
	uint64_t names, names_max, steps;
	struct wait *wait;
	struct map *links; /* layer's inode with several names -> merged one */
	struct dircache *dirs; /* of `out`, while links are looked for */
	uint64_t pins;	       /* the directory without a name; 0: none yet */
	VEC(struct frame) stack;
	struct treepath path;
	struct str link, xattrs, raw;
};

static int step(struct merge *m)
{
	return ++m->steps % CHECK_EVERY == 0 ? wait_check(m->wait) : 0;
}

static int count_name(struct merge *m)
{
	return ++m->names > m->names_max ? -EFBIG : 0;
}

/* Of what is optional, none is not an error. */
static int optional(int r)
{
	return r == -ENODATA ? 0 : r;
}

/* The layer's inode as it will be in the merged tree. */
static int load(struct merge *m, struct tree_inode *i, struct tree_extra *ret)
{
	int r = 0;

	str_clear(&m->link);
	str_clear(&m->xattrs);
	str_clear(&m->raw);
	if (S_ISLNK(i->mode) || (i->flags & TREE_DANGLING))
		r = optional(tree_get_link(m->layer, i->ino, &m->link));
	if (r == 0)
		r = optional(tree_get_xattrs(m->layer, i->ino, &m->xattrs));
	if (r == 0 && (i->flags & TREE_RAW_NAME))
		r = optional(tree_get_raw_name(m->layer, i->ino, &m->raw));
	if (r < 0)
		return r;
	*ret = (struct tree_extra){0};
	if (m->link.len > 0) {
		ret->link = m->link.buf;
		ret->link_len = m->link.len;
	}
	if (m->xattrs.len > 0) {
		ret->xattrs = m->xattrs.buf;
		ret->xattrs_len = m->xattrs.len;
	}
	if (m->raw.len > 0) {
		ret->raw_name = m->raw.buf;
		ret->raw_name_len = m->raw.len;
	}
	i->layer = m->number;
	i->src_ino = i->ino;
	return 0;
}

static int add_inode(struct merge *m, struct tree_inode *i, uint64_t *ret_ino)
{
	struct tree_extra x;
	int r = load(m, i, &x);

	return r < 0 ? r : tree_add_inode(m->out, i, &x, ret_ino);
}

/* Names a merged inode; whatever had the name is gone. */
static int put_name(struct merge *m, uint64_t dir, const char *name,
		    uint64_t ino, uint32_t mode)
{
	int r = tree_add_name(m->out, dir, name, ino, mode);

	if (r == -EEXIST) {
		r = tree_remove(m->out, dir, name);
		if (r == 0)
			r = tree_add_name(m->out, dir, name, ino, mode);
	}
	return r == 0 ? count_name(m) : r;
}

/* --- hard links into lower layers --- */

static int pin(struct merge *m, uint64_t ino, uint32_t mode)
{
	struct tree_inode dir = {.mode = S_IFDIR | 0700};
	char name[32];
	int r;

	if (m->pins == 0) {
		r = tree_add_inode(m->out, &dir, &(struct tree_extra){0},
				   &m->pins);
		if (r < 0)
			return r;
	}
	snprintf(name, sizeof(name), "%" PRIu64, ino);
	r = tree_add_name(m->out, m->pins, name, ino, mode);
	return r == -EEXIST ? 0 : r;
}

/* They go as all directories go: by a name, one that no other can have. */
static int drop_pins(struct merge *m)
{
	static const char name[] = WHITEOUT_PREFIX "pins";
	int r;

	if (m->pins == 0)
		return 0;
	r = tree_add_name(m->out, TREE_ROOT, name, m->pins, S_IFDIR | 0700);
	m->pins = 0;
	return r < 0 ? r : tree_remove(m->out, TREE_ROOT, name);
}

static int find_dir(struct merge *m, uint64_t dir, const char *name,
		    uint64_t *ret_ino)
{
	uint64_t ino = dircache_find(m->dirs, dir, name);
	struct tree_inode i;
	int r;

	if (ino == 0) {
		r = tree_find(m->out, dir, name, &i);
		if (r == 0 && !S_ISDIR(i.mode))
			r = -ENOENT;
		if (r == 0)
			r = dircache_put(m->dirs, dir, name, i.ino);
		if (r < 0)
			return r;
		ino = i.ino;
	}
	*ret_ino = ino;
	return 0;
}

/* What the path names below this layer; -ENOENT: nothing, or a directory. */
static int look_below(struct merge *m, const struct treepath *p,
		      struct tree_inode *ret)
{
	uint64_t dir = TREE_ROOT;
	struct tree_inode i;
	int r;

	if (p->len == 0)
		return -ENOENT;
	for (size_t n = 0; n + 1 < p->len; n++) {
		r = find_dir(m, dir, p->parts[n].name, &dir);
		if (r < 0)
			return r;
	}
	r = tree_find(m->out, dir, p->parts[p->len - 1].name, &i);
	if (r == 0 && S_ISDIR(i.mode))
		r = -ENOENT;
	if (r == 0)
		*ret = i;
	return r;
}

static int resolve_link(struct merge *m, uint64_t ino)
{
	struct tree_inode target = {0};
	int r;

	str_clear(&m->link);
	r = optional(tree_get_link(m->layer, ino, &m->link));
	if (r < 0)
		return r;
	if (m->link.len == 0 ||
	    treepath_parse(m->link.buf, m->link.len, &m->path) < 0)
		return 0;
	r = look_below(m, &m->path, &target);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = pin(m, target.ino, target.mode);
	if (r < 0)
		return r;
	return map_putn(m->links, &ino, sizeof(ino),
			(void *)(uintptr_t)target.ino, NULL);
}

static int resolve_page(struct merge *m, uint64_t *after, bool *ret_last)
{
	uint64_t inos[PAGE_NAMES];
	size_t len = 0;
	int r = tree_flagged(m->layer, TREE_DANGLING, *after, PAGE_NAMES, inos,
			     &len);

	if (r == 0 && dircache_len(m->dirs) > DIRS_MAX)
		r = dircache_clear(m->dirs);
	for (size_t i = 0; r == 0 && i < len; i++) {
		r = step(m);
		if (r == 0)
			r = resolve_link(m, inos[i]);
	}
	*ret_last = len < PAGE_NAMES;
	if (len > 0)
		*after = inos[len - 1];
	return r;
}

/* Nothing below changes meanwhile, so directories need looking up once. */
static int resolve_links(struct merge *m)
{
	uint64_t after = 0;
	bool last = false;
	int r = dircache_new(&m->dirs);

	while (r == 0 && !last)
		r = resolve_page(m, &after, &last);
	dircache_free(m->dirs);
	m->dirs = NULL;
	return r;
}

/* --- names --- */

/* The directory is entered: its names come next. */
static int enter(struct merge *m, uint64_t from, uint64_t to, bool fresh)
{
	struct frame f = {.from = from, .to = to, .fresh = fresh};
	int r;

	if (m->stack.len >= DEPTH_MAX)
		return -EBADMSG;
	r = fresh ? 0 : whiteout_apply(m->layer, from, m->out, to, m->wait);
	return r < 0 ? r : vec_push(&m->stack, f);
}

/* What only follows from the paths beneath it, says nothing of a directory. */
static int replace_dir(struct merge *m, uint64_t to, struct tree_inode *i)
{
	struct tree_extra x;
	int r;

	if (i->flags & TREE_IMPLIED)
		return 0;
	r = load(m, i, &x);
	return r < 0 ? r : tree_set_inode(m->out, to, i, &x);
}

static int merge_dir(struct merge *m, const struct frame *f, const char *name,
		     struct tree_inode *i)
{
	struct tree_inode below;
	uint64_t from = i->ino, to = 0;
	int r = f->fresh ? -ENOENT : tree_find(m->out, f->to, name, &below);

	if (r == 0 && S_ISDIR(below.mode)) {
		r = replace_dir(m, below.ino, i);
		return r < 0 ? r : enter(m, from, below.ino, false);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	r = add_inode(m, i, &to);
	if (r == 0)
		r = put_name(m, f->to, name, to, i->mode);
	return r < 0 ? r : enter(m, from, to, true);
}

static int merge_leaf(struct merge *m, const struct frame *f, const char *name,
		      struct tree_inode *i)
{
	uint64_t from = i->ino, to = 0;
	uintptr_t known = (uintptr_t)map_findn(m->links, &from, sizeof(from));
	int r = 0;

	to = known;
	if (known && (i->flags & TREE_DANGLING))
		r = tree_get(m->out, to, i); /* its target, of any type */
	else if (!known)
		r = add_inode(m, i, &to);
	if (r == 0 && !known && i->nlink > 1)
		r = map_putn(m->links, &from, sizeof(from),
			     (void *)(uintptr_t)to, NULL);
	return r < 0 ? r : put_name(m, f->to, name, to, i->mode);
}

static int merge_name(struct merge *m, const struct frame *f,
		      const struct tree_name *n)
{
	struct tree_inode i;
	int r = step(m);

	if (r < 0 || whiteout_is(n->name))
		return r;
	r = tree_get(m->layer, n->ino, &i);
	if (r < 0)
		return r;
	return S_ISDIR(i.mode) ? merge_dir(m, f, n->name, &i)
			       : merge_leaf(m, f, n->name, &i);
}

/* The next page of the directory on top; the old one says where it begins. */
static int turn_page(struct merge *m, struct frame *f)
{
	size_t max = m->stack.len < DEPTH_USUAL ? PAGE_NAMES : PAGE_NAMES_DEEP;
	struct tree_name *names = NULL;
	size_t len = 0;
	int r = tree_list(m->layer, f->from,
			  f->len > 0 ? f->names[f->len - 1].name : NULL, max,
			  &names, &len);

	if (r < 0)
		return r;
	tree_names_free(f->names, f->len);
	f->names = names;
	f->len = len;
	f->at = 0;
	f->last = len < max;
	return 0;
}

static void leave(struct merge *m)
{
	struct frame *f = &m->stack.v[--m->stack.len];

	tree_names_free(f->names, f->len);
}

static int walk(struct merge *m)
{
	while (m->stack.len > 0) {
		struct frame *f = &m->stack.v[m->stack.len - 1];
		int r;

		if (f->at < f->len) {
			/* the stack may move */
			struct frame now = *f;

			f->at++;
			r = merge_name(m, &now, &now.names[now.at]);
		} else if (!f->last) {
			r = turn_page(m, f);
		} else {
			leave(m);
			continue;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int merge_layer(struct merge *m)
{
	struct tree_inode root;
	int r = map_new(&m->links);

	if (r == 0 && m->number > 0)
		r = resolve_links(m);
	if (r == 0)
		r = tree_get(m->layer, TREE_ROOT, &root);
	if (r == 0)
		r = replace_dir(m, TREE_ROOT, &root);
	if (r == 0)
		r = enter(m, TREE_ROOT, TREE_ROOT, m->number == 0);
	if (r == 0)
		r = walk(m);
	if (r == 0)
		r = drop_pins(m);
	while (m->stack.len > 0)
		leave(m);
	map_free(m->links, NULL);
	m->links = NULL;
	return r;
}

static void merge_free(struct merge *m)
{
	if (!m)
		return;
	vec_done(&m->stack);
	str_done(&m->link);
	str_done(&m->xattrs);
	str_done(&m->raw);
	free(m);
}
AUTOPTR_DEFINE(merge, merge_free)

int merge_trees(struct tree *const *layers, size_t layers_len,
		uint64_t entries_max, struct wait *w, struct tree *out)
{
	struct tree_inode root = {.mode = S_IFDIR | 0755,
				  .flags = TREE_IMPLIED,
				  .src_ino = TREE_ROOT};
	autoptr(merge) m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->out = out;
	m->names_max = entries_max;
	m->wait = w;
	r = tree_set_inode(out, TREE_ROOT, &root, &(struct tree_extra){0});
	for (size_t i = 0; r == 0 && i < layers_len; i++) {
		r = wait_check(w);
		m->layer = layers[i];
		m->number = (uint32_t)i;
		if (r == 0)
			r = merge_layer(m);
	}
	return r;
}
