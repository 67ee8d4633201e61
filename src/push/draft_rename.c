/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that comes to its real name under another one first: rsync's
 * .HEX.a1B2c3, oci-put-blob123, .umoci-1/x.  Giving it the real name is what
 * commits it.  While that goes on the entry is busy: found under its old name,
 * where it stays if it cannot be committed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/draft_private.h"
#include "push/outbox_private.h"
#include "util/vec.h"

struct change {
	struct draft *d;
	const char *from, *to;
	enum draft_name from_name, to_name;
	struct digest digest; /* of `to`, if that is a blob */
	bool keep;	      /* what is there */
	bool link;	      /* `from` stays */
};

static int parse_names(struct change *c)
{
	struct digest ignored;
	int r;

	r = draft_name_parse(c->from, &c->from_name, &ignored);
	return r < 0 ? r : draft_name_parse(c->to, &c->to_name, &c->digest);
}

static bool link_is_allowed(enum draft_name name)
{
	return name == DRAFT_NAME_VIEW || name == DRAFT_NAME_OWN ||
	       name == DRAFT_NAME_MANIFEST;
}

/* May this become that?  The lock is held. */
static int check_change(const struct change *c, const struct draft_entry *e)
{
	const struct draft_entry *there = draft_entry_find(c->d, c->to);

	if (c->to_name == DRAFT_NAME_TOP || c->from_name == DRAFT_NAME_TOP)
		return -EBUSY;
	if (e->busy || (there && there->busy))
		return -EBUSY;
	if (there && (c->keep || c->link))
		return -EEXIST;
	if (there && S_ISDIR(there->type) && !S_ISDIR(e->type))
		return -EISDIR;
	if (there && !S_ISDIR(there->type) && S_ISDIR(e->type))
		return -ENOTDIR;
	if (S_ISLNK(e->type))
		return link_is_allowed(c->to_name) ? 0 : -EPERM;
	if (S_ISDIR(e->type))
		return 0;
	if (c->to_name == DRAFT_NAME_BLOBS)
		return -EISDIR;
	/* The registry has its bytes, under the name that they have. */
	return e->confirmed ? -EPERM : 0;
}

/* --- directories --- */

static int move_all(struct draft *d, struct draft_entry **v, size_t n,
		    size_t skip, const char *to)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		autofree char *path = str_printf("%s%s", to, v[i]->path + skip);

		r = path ? draft_entry_move(d, v[i], path) : -ENOMEM;
	}
	return r;
}

static int by_length(const void *a, const void *b)
{
	size_t la = strlen((*(struct draft_entry *const *)a)->path);
	size_t lb = strlen((*(struct draft_entry *const *)b)->path);

	return (la > lb) - (la < lb);
}

/* Only of the writer's own: what is in the others has its place. */
static int move_directory(struct change *c, struct draft_entry *dir)
{
	VEC(struct draft_entry *) beneath = {0};
	size_t len = strlen(c->from), pos = 0;
	struct draft_entry *e = NULL;
	int r;

	if (c->from_name != DRAFT_NAME_OWN || c->to_name != DRAFT_NAME_OWN ||
	    !draft_name_is_directory(c->to))
		return -EPERM;
	if (strncmp(c->to, c->from, len) == 0 && c->to[len] == '/')
		return -EINVAL;
	if (draft_has_beneath(c->d, c->to))
		return -ENOTEMPTY;
	r = vec_push(&beneath, dir);
	while (r == 0 && (e = map_next(c->d->entries, &pos, NULL))) {
		if (e->busy)
			r = -EBUSY;
		else if (strncmp(e->path, c->from, len) == 0 &&
			 e->path[len] == '/')
			r = vec_push(&beneath, e);
	}
	/* Directories come before what is in them, and needs a parent. */
	if (r == 0) {
		qsort(beneath.v, beneath.len, sizeof(*beneath.v), by_length);
		r = move_all(c->d, beneath.v, beneath.len, len, c->to);
	}
	vec_done(&beneath);
	return r;
}

/* --- files --- */

static int commit_as(const struct change *c, struct feed *f, struct wait *w,
		     struct draft_outcome *out, enum draft_root *ret_root)
{
	autofree char *object = NULL;
	struct draft_blob b = {.outbox = c->d->o,
			       .repo = c->d->repo,
			       .digest = &c->digest,
			       .feed = f,
			       .documents = true};
	struct upload *u = NULL;

	*out = (struct draft_outcome){.feed = f, .size_bytes = feed_size(f)};
	if (c->to_name != DRAFT_NAME_BLOB)
		return draft_commit_root(c->d, c->to_name, f, w, ret_root);
	object = draft_object(c->d, c->to);
	if (!object)
		return -ENOMEM;
	b.object = object;
	return draft_commit_blob(&b, &u, w, out);
}

/* It is at its new name, or published. */
static int settle_file(struct change *c, struct draft_entry *e, bool published)
{
	autolock(&c->d->lock);
	e->busy = false;
	if (published && !c->link)
		draft_entry_unlink(c->d, e, true);
	if (published || e->removed)
		return 0;
	return c->link ? 0 : draft_entry_move(c->d, e, c->to);
}

/* The other name of a hard link; the lock is held. */
static int add_name(struct change *c, const struct draft_entry *e,
		    struct draft_entry **ret)
{
	struct draft_entry *other;
	int r;

	r = draft_entry_add(c->d, c->to, S_IFREG, &other);
	if (r < 0)
		return r;
	other->feed = e->feed ? feed_ref(e->feed) : NULL;
	other->committed = true;
	other->refs++;
	*ret = other;
	return 0;
}

static int add_name_locking(struct change *c, const struct draft_entry *e,
			    struct draft_entry **ret)
{
	autolock(&c->d->lock);
	return add_name(c, e, ret);
}

static void put_locking(struct draft *d, struct draft_entry *e)
{
	autolock(&d->lock);
	draft_entry_put(d, e);
}

/* What the name means has happened: now the entry shows it. */
static int place(struct change *c, struct draft_entry *e,
		 const struct draft_outcome *out, enum draft_root root,
		 struct wait *w)
{
	bool published = root == DRAFT_ROOT_PUBLISHED;
	struct draft_entry *other = NULL;
	int r;

	r = settle_file(c, e, published);
	if (r == 0 && c->link && !published)
		r = add_name_locking(c, e, &other);
	if (r == 0)
		r = draft_keep_root(c->d, other ? other : e, out, root);
	if (other)
		put_locking(c->d, other);
	if (r == 0 && c->to_name == DRAFT_NAME_BLOB)
		r = draft_poke(c->d, &c->digest, out, w);
	return r;
}

static void unbusy(struct draft *d, struct draft_entry *e)
{
	autolock(&d->lock);
	e->busy = false;
}

/* The entry is busy, and ours by a reference. */
static int commit_change(struct change *c, struct draft_entry *e,
			 struct feed *f, struct wait *w)
{
	struct draft_outcome out = {0};
	enum draft_root root = DRAFT_ROOT_KEPT;
	int r;

	r = commit_as(c, f, w, &out, &root);
	if (r < 0) {
		unbusy(c->d, e);
		return r;
	}
	return place(c, e, &out, root, w);
}

/* 1: to be committed, *ret_e is busy and referenced, *ret_f too. */
static int begin_change(struct change *c, struct draft_entry **ret_e,
			struct feed **ret_f)
{
	struct draft_entry *e, *other;
	int r;

	autolock(&c->d->lock);
	e = draft_entry_find(c->d, c->from);
	if (!e)
		return -ENOENT;
	if (c->link && !S_ISREG(e->type))
		return -EPERM;
	if (strcmp(c->from, c->to) == 0)
		return c->keep || c->link ? -EEXIST : 0;
	r = check_change(c, e);
	if (r < 0)
		return r;
	if (S_ISDIR(e->type))
		return move_directory(c, e);
	if (draft_name_commits(c->to_name) && S_ISREG(e->type) &&
	    e->committed) {
		e->busy = true;
		e->refs++;
		*ret_e = e;
		*ret_f = e->feed ? feed_ref(e->feed) : NULL;
		return 1;
	}
	if (!c->link)
		return draft_entry_move(c->d, e, c->to);
	r = add_name(c, e, &other);
	if (r == 0)
		draft_entry_put(c->d, other);
	return r;
}

static int make_change(struct change *c, struct wait *w)
{
	autoptr(feed) f = NULL;
	struct draft_entry *e = NULL;
	int r;

	r = parse_names(c);
	if (r == 0)
		r = draft_attach(c->d);
	if (r == 0)
		r = begin_change(c, &e, &f);
	if (r <= 0)
		return r;
	r = f ? 0 : feed_new(c->d->o->store, &f);
	if (r == 0)
		r = commit_change(c, e, f, w);
	else
		unbusy(c->d, e);
	put_locking(c->d, e);
	draft_settle(c->d);
	return r;
}

int draft_rename(struct draft *d, const char *from, const char *to, bool keep,
		 struct wait *w)
{
	struct change c = {.d = d, .from = from, .to = to, .keep = keep};

	return make_change(&c, w);
}

int draft_link(struct draft *d, const char *from, const char *to,
	       struct wait *w)
{
	struct change c = {.d = d, .from = from, .to = to, .link = true};

	return make_change(&c, w);
}

/* --- into `_blobs` --- */

/* Busy and referenced from now on. */
static int begin_push(struct draft *d, const char *path,
		      struct draft_entry **ret_e, struct feed **ret_f)
{
	struct draft_entry *e;

	autolock(&d->lock);
	e = draft_entry_find(d, path);
	if (!e)
		return -ENOENT;
	if (!S_ISREG(e->type))
		return -EPERM;
	if (e->busy || !e->committed)
		return -EBUSY;
	e->busy = true;
	e->refs++;
	*ret_e = e;
	*ret_f = e->feed ? feed_ref(e->feed) : NULL;
	return 0;
}

static void end_push(struct draft *d, struct draft_entry *e, bool done)
{
	autolock(&d->lock);
	e->busy = false;
	if (done)
		draft_entry_unlink(d, e, true);
	draft_entry_put(d, e);
}

int draft_push(struct draft *d, const char *path, const struct digest *as,
	       struct wait *w)
{
	char text[DIGEST_TEXT_MAX];
	autofree char *object = NULL;
	autoptr(feed) f = NULL;
	struct draft_outcome out = {0};
	struct draft_entry *e = NULL;
	struct upload *u = NULL;
	struct draft_blob b = {.outbox = d->o, .repo = d->repo, .digest = as};
	int r;

	digest_format(as, text);
	b.object = object = draft_object(d, text);
	if (!object)
		return -ENOMEM;
	r = begin_push(d, path, &e, &f);
	if (r < 0)
		return r;
	r = f ? 0 : feed_new(d->o->store, &f);
	b.feed = f;
	if (r == 0)
		r = draft_commit_blob(&b, &u, w, &out);
	end_push(d, e, r == 0);
	if (r == 0)
		r = draft_poke(d, as, &out, w);
	draft_settle(d);
	return r;
}
