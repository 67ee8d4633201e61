/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes beneath an image directory do not know what is written there; each
 * operation finds the draft by the name of the image directory, and the way to
 * the file by the names of the directories between.
 */
#include "fs/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dir_blobs.h"
#include "fs/dir_blobtree.h"
#include "fs/dir_draft.h"
#include "fs/dir_image.h"
#include "fs/file_draft.h"
#include "fs/fs_private.h"
#include "fs/giveway.h"
#include "fs/image_members.h"
#include "fs/snapshot.h"
#include "push/pending.h"
#include "push/writer.h"
#include "util/auto.h"
#include "util/clock.h"

/* --- where --- */

/* The names from below `top` down to n. */
static int add_path(const struct node *top, const struct node *n,
		    struct str *path)
{
	int r;

	if (n == top)
		return 0;
	r = add_path(top, n->parent, path);
	if (r == 0 && path->len > 0)
		r = str_addc(path, '/');
	return r < 0 ? r : str_add(path, n->name);
}

/* -EPERM: not in an image directory. */
static int locate(struct node *n, const char *name, struct str *path,
		  struct node **ret_top)
{
	struct node *top = dir_image_above(n);
	int r;

	if (!top)
		return -EPERM;
	path->max = DRAFT_PATH_MAX;
	r = add_path(top, n, path);
	if (r == 0 && name && path->len > 0)
		r = str_addc(path, '/');
	if (r == 0)
		r = str_add(path, name ? name : "");
	if (r < 0)
		return r == -EFBIG ? -ENAMETOOLONG : r;
	*ret_top = top;
	return 0;
}

int overlay_find(struct node *n, struct repo *r, const char *name,
		 struct draft **ret)
{
	struct outbox *o = node_outbox(n);

	if (!o || node_options(n)->read_only)
		return -ENOENT;
	return draft_find(o, r, name, ret);
}

/* Whose draft; `_blobs` has one for all its temporary files. */
static int find_place(struct node *n, const char *name, struct str *path,
		      struct repo **ret_repo, const char **ret_draft)
{
	struct repo *blobs = dir_blobs_repo(n);
	struct node *top;
	int r;

	if (blobs) {
		*ret_repo = blobs;
		*ret_draft = DRAFT_BLOBS;
		if (!name)
			name = dir_blobs_is(n) ? "" : n->name;
		return str_add(path, name);
	}
	r = locate(n, name, path, &top);
	if (r < 0)
		return r;
	*ret_repo = dir_image_repo(top);
	*ret_draft = dir_image_name(top);
	return 0;
}

int overlay_draft(struct node *n, const char *name, struct str *path,
		  struct draft **ret)
{
	const char *draft;
	struct repo *repo;
	int r;

	r = find_place(n, name, path, &repo, &draft);
	if (r < 0)
		return r == -EPERM ? -ENOENT : r;
	return overlay_find(n, repo, draft, ret);
}

/* The same, and one is begun if there is none. */
static int begin_draft(struct node *n, const char *name, struct str *path,
		       struct draft **ret)
{
	struct outbox *o = node_outbox(n);
	const char *draft;
	struct repo *repo;
	int r;

	if (!o)
		return -EROFS;
	r = find_place(n, name, path, &repo, &draft);
	return r < 0 ? r : draft_open(o, repo, draft, ret);
}

/* --- looking --- */

static void unhide(struct node *dir, const char *name)
{
	hidden_remove(&dir->fs->hidden, dir->id, name);
}

static bool is_known(struct node *known, const struct draft_stat *st)
{
	if (!known || known->ops->type != st->type)
		return false;
	/* One that was there before the draft's is not it. */
	if (st->type == S_IFDIR)
		return dir_draft_is(known) || dir_blobtree_is(known);
	return file_draft_matches(known, st->number);
}

static int make_link(struct node *dir, const char *name, struct draft *d,
		     const char *path, uint64_t number, struct node **ret)
{
	autostr target = {.max = PATH_MAX};
	int r;

	r = draft_readlink(d, path, &target);
	if (r == 0)
		r = link_draft_new(dir, name, target.buf ? target.buf : "",
				   number, ret);
	return r;
}

static int make_node(struct node *dir, const char *name, struct draft *d,
		     const char *path, const struct draft_stat *st,
		     struct node **ret)
{
	if (st->type == S_IFLNK)
		return make_link(dir, name, d, path, st->number, ret);
	if (st->type == S_IFREG)
		return file_draft_new(dir, name, st->number, ret);
	if (dir_blobtree_means(dir, name))
		return dir_blobtree_new(dir, name, ret);
	return dir_draft_new(dir, name, ret);
}

int overlay_lookup(struct node *dir, const char *name, struct node *known,
		   struct wait *w, struct node **ret, double *ttl_s)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct draft_stat st;
	int r;

	r = overlay_draft(dir, name, &path, &d);
	if (r == 0)
		r = draft_stat(d, path.buf, &st);
	if (r < 0) {
		if (r != -ENOENT || !known || !file_draft_written(known))
			return r;
		*ttl_s = 0;
		*ret = known; /* made, and nothing is in it yet */
		return 0;
	}
	*ttl_s = 0;
	if (st.type != S_IFLNK && give_way_alongside(dir, name, st.type, w))
		return -ENOENT;
	if (st.type == S_IFDIR)
		give_way_tell(dir, name, w);
	if (is_known(known, &st)) {
		*ret = known;
		return 0;
	}
	return make_node(dir, name, d, path.buf, &st, ret);
}

static bool is_listed(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->entries.len; i++)
		if (strcmp(s->entries.v[i].name, name) == 0)
			return true;
	return false;
}

static int list_one(void *arg, const char *name, mode_t type)
{
	struct snapshot *s = arg;

	int r;

	if (is_listed(s, name))
		return 0;
	r = snapshot_add(s, name, type, NODE_RANK_PLAIN);
	if (r == 0)
		s->entries.v[s->entries.len - 1].drafted = true;
	return r;
}

/* Files of a draft are numbered by it. */
static void number_entries(struct node *dir, struct draft *d, struct str *path,
			   struct snapshot *s)
{
	struct node *top = dir_image_above(dir);
	size_t len = path->len;
	struct draft_stat st;

	for (size_t i = 0; i < s->entries.len; i++) {
		struct snapshot_entry *e = &s->entries.v[i];

		str_truncate(path, len);
		if (!e->drafted || e->type == S_IFDIR)
			continue;
		if ((len && str_addc(path, '/') < 0) ||
		    str_add(path, e->name) < 0 ||
		    draft_stat(d, path->buf, &st) < 0)
			continue;
		e->ino = node_numbered_ino(top, st.number);
	}
}

int overlay_list(struct node *dir, struct snapshot *s)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	int r;

	r = overlay_draft(dir, NULL, &path, &d);
	if (r == 0)
		r = draft_list(d, path.buf, list_one, s);
	if (r == 0 && dir_image_above(dir))
		number_entries(dir, d, &path, s);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

bool overlay_keep(struct node *dir, void *handle)
{
	struct node *top = dir_image_above(dir);
	autoptr(draft) d = NULL;

	(void)handle;
	if (!top || !dir_image_peek(top))
		return false;
	return overlay_find(dir, dir_image_repo(top), dir_image_name(top), &d) <
	       0;
}

/* --- files --- */

/* Opened, but not emptied: only what the draft itself has can be changed in
 * parts.  What is published cannot; to touch it is fine. */
static int open_as_it_is(struct node *n, const struct opening *o,
			 struct writer **ret)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	int r;

	r = overlay_draft(n, NULL, &path, &d);
	if (r == 0)
		r = draft_write(d, path.buf, false, o->tid, ret);
	if (r != -ENOENT)
		return r;
	if (d && file_draft_written(n))
		return draft_write(d, path.buf, true, o->tid, ret);
	*ret = NULL;
	return 0;
}

int overlay_write_open(struct node *n, const struct opening *o,
		       struct writer **ret)
{
	struct outbox *outbox = node_outbox(n);
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct digest blob;
	int r;

	if (outbox && dir_blobs_names(n, &blob))
		return writer_new_blob(outbox, dir_blobs_repo(n), &blob, o->tid,
				       ret);
	if (!(o->flags & O_TRUNC))
		return open_as_it_is(n, o, ret);
	r = begin_draft(n, NULL, &path, &d);
	return r < 0 ? r : draft_write(d, path.buf, true, o->tid, ret);
}

int overlay_create(struct node *dir, const char *name, const struct opening *o,
		   struct node **ret, struct writer **ret_writer)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct draft_stat st;
	struct writer *w;
	int r;

	r = begin_draft(dir, name, &path, &d);
	if (r < 0)
		return r;
	r = draft_write(d, path.buf, true, o->tid, &w);
	if (r < 0)
		return r;
	if (draft_stat(d, path.buf, &st) < 0)
		st.number = 0; /* nothing is kept of it yet */
	r = file_draft_new(dir, name, st.number, ret);
	if (r < 0) {
		writer_close(w);
		return r;
	}
	unhide(dir, name);
	*ret_writer = w;
	return 0;
}

int overlay_link(struct node *dir, const char *name, struct node *from,
		 struct wait *w, struct node **ret)
{
	autoptr(draft) d = NULL;
	autostr old_path = {0}, path = {0};
	struct draft_stat st;
	int r;

	if (dir_image_above(dir) != dir_image_above(from))
		return -EXDEV;
	r = overlay_draft(dir, name, &path, &d);
	if (r == 0)
		r = locate(from, NULL, &old_path, &(struct node *){NULL});
	if (r == 0)
		r = draft_link(d, old_path.buf, path.buf, w);
	if (r == 0)
		r = draft_stat(d, path.buf, &st);
	if (r < 0)
		return r == -ENOENT ? -EPERM : r;
	return make_node(dir, name, d, path.buf, &st, ret);
}

/* --- directories and symbolic links --- */

int overlay_mkdir(struct node *dir, const char *name, pid_t tid,
		  struct node **ret)
{
	const struct draft_stat st = {.type = S_IFDIR};
	autoptr(draft) d = NULL;
	autostr path = {0};
	int r;

	r = begin_draft(dir, name, &path, &d);
	if (r == 0)
		r = draft_mkdir(d, path.buf, tid);
	if (r == -EEXIST &&
	    (dir_blobtree_means(dir, name) ||
	     (dir_image_is_one(dir) && image_member_find(name))))
		r = 0; /* another's, too */
	if (r == 0) {
		const struct wait maker = {.tid = tid};

		give_way_tell(dir, name, &maker);
	}
	return r < 0 ? r : make_node(dir, name, d, path.buf, &st, ret);
}

/*
 * Directly in an image directory only the views' own names, and temporary ones,
 * are taken.  `ln -sf 1.5 stable` puts its link in here, where stable is a
 * directory, and should not seem to have moved the tag.
 */
static bool may_be_link(struct node *dir, const char *name)
{
	return !dir_image_is_one(dir) || name[0] == '.' ||
	       image_member_find(name);
}

int overlay_symlink(struct node *dir, const char *name, const char *target,
		    struct wait *w, struct node **ret)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct draft_stat st;
	int r;

	(void)w;
	if (!may_be_link(dir, name))
		return -EPERM;
	r = begin_draft(dir, name, &path, &d);
	if (r == 0)
		r = draft_symlink(d, path.buf, target);
	if (r < 0)
		return r;
	unhide(dir, name);
	if (draft_stat(d, path.buf, &st) < 0)
		st.number = 0;
	return link_draft_new(dir, name, target, st.number, ret);
}

/* --- removing --- */

/* What kind of published file has this name: the kernel has just looked. */
static mode_t published_type(struct node *dir, const char *name)
{
	struct node *n = inode_known(dir->fs->inodes, dir, name);
	mode_t type = 0;

	if (n && !node_is_draft(n))
		type = n->ops->type;
	inode_put(dir->fs->inodes, n);
	return type;
}

int overlay_unlink(struct node *dir, const char *name, struct wait *w)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	int r;

	(void)w;
	r = overlay_draft(dir, name, &path, &d);
	if (r == 0)
		r = draft_unlink(d, path.buf);
	if (r != -ENOENT)
		return r;
	switch (published_type(dir, name)) {
	case 0:
		return -ENOENT;
	case S_IFLNK:
		hidden_add(&dir->fs->hidden, dir->id, name,
			   clock_ms() + HIDDEN_MS);
		return 0;
	default:
		return -EPERM;
	}
}

int overlay_rmdir(struct node *dir, const char *name, struct wait *w)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	int r;

	(void)w;
	r = overlay_draft(dir, name, &path, &d);
	if (r == 0)
		r = draft_rmdir(d, path.buf);
	if (r == -ENOENT && published_type(dir, name))
		return -EPERM;
	return r;
}

/* --- renaming --- */

/* mv copies what cannot be renamed, and then removes it: only what is nothing
 * but the writer's own may be treated so. */
static int rename_away(struct draft *d, const char *path)
{
	struct draft_stat st;

	return draft_stat(d, path, &st) == 0 ? -EXDEV : -EPERM;
}

int overlay_rename(struct node *dir, const char *name, struct node *to,
		   const char *new_name, bool keep, struct wait *w)
{
	struct node *top = dir_image_above(dir);
	struct node *new_top = dir_image_above(to);
	autostr path = {0}, new_path = {0};
	autoptr(draft) d = NULL;
	int r;

	r = overlay_draft(dir, name, &path, &d);
	if (r < 0)
		return r == -ENOENT ? -EPERM : r;
	if (!new_top || !dir_image_same(top, new_top))
		return rename_away(d, path.buf);
	r = locate(to, new_name, &new_path, &new_top);
	if (r == 0)
		r = draft_rename(d, path.buf, new_path.buf, keep, w);
	if (r == 0)
		unhide(to, new_name);
	return r == -ENOENT && published_type(dir, name) ? -EPERM : r;
}

/* --- the barrier --- */

int overlay_sync(struct node *dir, struct wait *w)
{
	struct node *top = dir_image_above(dir);
	struct outbox *o = node_outbox(dir);
	autoptr(draft) d = NULL;
	int r;

	if (!top || !o || node_options(dir)->read_only)
		return 0;
	r = overlay_find(dir, dir_image_repo(top), dir_image_name(top), &d);
	return r == 0 ? draft_sync(d, w)
		      : pending_sync(o, dir_image_repo(top),
				     dir_image_name(top), w);
}
