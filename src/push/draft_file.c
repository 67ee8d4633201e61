/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a file of a draft, and waiting for all of them. */
#include <errno.h>

#include "push/draft_private.h"
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

/* Files that no index.json has made an image of. */
static bool is_unfounded(struct draft *d)
{
	const struct draft_entry *e;
	size_t pos = 0;

	autolock(&d->lock);
	if (d->acknowledged || !d->made)
		return false;
	while ((e = map_next(d->entries, &pos, NULL))) {
		if (S_ISREG(e->type))
			return true;
	}
	return false;
}

int draft_sync(struct draft *d, struct wait *w)
{
	autofree char *object = NULL;
	int r;

	r = pending_sync(d->o, d->repo, d->name, w);
	if (r < 0 || !is_unfounded(d))
		return r;
	object = draft_object(d, "");
	if (!object)
		return -ENOMEM;
	return outbox_fault(d->o, d->repo, object, -EIO,
			    "no index.json says which image it is");
}
