/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a file of a draft, and waiting for all of them. */
#include <errno.h>

#include "content/resolve.h"
#include "push/draft_image.h"
#include "push/outbox_private.h"
#include "push/pending.h"
#include "util/clock.h"

static int check_name(const char *path)
{
	struct digest ignored;
	enum draft_name name;
	int r;

	r = draft_name_parse(path, &name, &ignored);
	if (r < 0)
		return r;
	return name == DRAFT_NAME_TOP || name == DRAFT_NAME_BLOBS ? -EISDIR : 0;
}

/* References and counts the entry for a writer. */
static int open_entry(struct draft *d, const char *path, bool truncate,
		      struct draft_entry **ret)
{
	struct draft_entry *e;
	int r = 0;

	autolock(&d->lock);
	e = draft_entry_find(d, path);
	if (e && S_ISDIR(e->type))
		return -EISDIR;
	if (e && !S_ISREG(e->type))
		return -ELOOP;
	if (e && e->busy)
		return -EBUSY;
	if (!e)
		r = truncate ? draft_entry_add(d, path, S_IFREG, &e) : -ENOENT;
	if (r < 0)
		return r;
	e->refs++;
	e->writers++;
	d->writers++;
	*ret = e;
	return 0;
}

static void close_entry(struct draft *d, struct draft_entry *e)
{
	autolock(&d->lock);
	draft_entry_leave(d, e);
	draft_entry_put(d, e);
	d->writers--;
}

int draft_write(struct draft *d, const char *path, bool truncate, pid_t tid,
		struct writer **ret)
{
	struct draft_entry *e = NULL;
	int r;

	r = check_name(path);
	if (r == 0)
		r = outbox_writable(d->o, d->repo);
	if (r == 0)
		r = draft_attach(d);
	if (r == 0)
		r = open_entry(d, path, truncate, &e);
	if (r < 0)
		return r;
	r = writer_new(d, e, truncate, tid, ret);
	if (r < 0)
		close_entry(d, e);
	return r;
}

/* --- the barrier --- */

/* How the last image written here was refused, when nobody is at it (any
 * more). */
static int last_root(struct draft *d, struct wait *w)
{
	int r = 0;

	autolock(&d->lock);
	while (d->publishing && r == 0)
		r = wait_cond(w, &d->idle, &d->lock);
	return r < 0 ? r : d->failed;
}

/* Are these bytes part of the image that the name means? */
static bool is_published(const struct draft_entry *e, const struct map *closure)
{
	struct digest ignored;
	enum draft_name name;

	if (!S_ISREG(e->type) || draft_name_parse(e->path, &name, &ignored) < 0)
		return true;
	switch (name) {
	case DRAFT_NAME_BLOB:
		return e->committed && closure && map_find(closure, e->path);
	case DRAFT_NAME_INDEX:
	case DRAFT_NAME_MANIFEST:
	case DRAFT_NAME_OWN:
		return false;
	case DRAFT_NAME_TOP:
	case DRAFT_NAME_BLOBS:
	case DRAFT_NAME_MARKER:
	case DRAFT_NAME_VIEW:
		break; /* mean nothing */
	}
	return true;
}

/* One that is not; NULL: none, or (*ret_r) no memory. */
static char *find_unpublished(struct draft *d, const struct map *closure,
			      int *ret_r)
{
	const struct draft_entry *e;
	char *path = NULL;
	size_t pos = 0;

	autolock(&d->lock);
	while ((e = map_next(d->entries, &pos, NULL))) {
		if (is_published(e, closure))
			continue;
		path = draft_object(d, e->path);
		*ret_r = path ? 0 : -ENOMEM;
		return path;
	}
	return NULL;
}

/* The image that the name means; -ENOENT: none. */
static int published_root(struct draft *d, struct wait *w, struct digest *ret)
{
	struct resolved res;
	int r;

	if (digest_parse(d->name, ret) == 0)
		return 0;
	r = resolve_tag(d->repo, d->name, w, &res);
	if (r == 0)
		*ret = res.digest;
	return r;
}

static int published_closure(struct draft *d, struct wait *w,
			     struct map *closure)
{
	struct draft_image c = {.d = d};
	int r;

	r = published_root(d, w, &c.digest);
	if (r == 0)
		r = draft_image_closure(&c, w, closure);
	return r == -ENOENT ? 0 : r;
}

/* Is all that was written here published? */
static int check_entries(struct draft *d, struct wait *w, struct map *closure)
{
	autofree char *first = NULL, *object = NULL;
	int r = 0;

	first = find_unpublished(d, NULL, &r);
	if (!first || r < 0)
		return r;
	r = published_closure(d, w, closure);
	if (r == 0)
		object = find_unpublished(d, closure, &r);
	if (!object || r < 0)
		return r;
	return outbox_fault(d->o, d->repo, object, -EIO,
			    "it is not part of what the name means");
}

int draft_sync(struct draft *d, struct wait *w)
{
	struct map *closure;
	int r;

	r = last_root(d, w);
	if (r == 0)
		r = pending_sync(d->o, d->repo, d->name, w);
	if (r < 0)
		return r;
	r = map_new(&closure);
	if (r < 0)
		return r;
	r = check_entries(d, w, closure);
	map_free(closure, NULL);
	return r;
}
