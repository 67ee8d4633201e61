/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a draft: one map from paths to entries, in which directories are
 * entries too.  An entry is found (linked) as long as it was committed or
 * somebody may still commit it; whoever writes it keeps it alive after that.
 *
 *   linked --published--> unlinked: found in the image; its writers go on, and
 *            what they commit is linked again
 *   linked --removed, or another was renamed to its name-->
 *            of a name that a close commits, the same: each writer has bytes of
 *            its own, and a close that is 0 says that the registry has them;
 *            of others removed: what its writers commit goes nowhere
 *   linked --the draft was discarded--> removed: a close that should commit
 *            fails
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/draft_private.h"
#include "push/outbox_private.h"
#include "util/clock.h"

static void entry_free(struct draft_entry *e)
{
	feed_unref(e->feed);
	free(e->target);
	free(e->path);
	free(e);
}

void draft_entry_put(struct draft *d, struct draft_entry *e)
{
	(void)d;
	if (--e->refs == 0)
		entry_free(e);
}

struct draft_entry *draft_entry_find(struct draft *d, const char *path)
{
	return map_find(d->entries, path);
}

static bool is_committed_by_close(const struct draft_entry *e)
{
	struct digest ignored;
	enum draft_name name;

	return S_ISREG(e->type) &&
	       draft_name_parse(e->path, &name, &ignored) == 0 &&
	       draft_name_commits(name);
}

void draft_entry_unlink(struct draft *d, struct draft_entry *e, bool removed)
{
	e->removed |= removed && !is_committed_by_close(e);
	if (!e->linked)
		return;
	e->linked = false;
	(void)map_remove(d->entries, e->path);
	clock_gettime(CLOCK_REALTIME, &d->mtime);
	draft_entry_put(d, e);
}

void draft_clear(struct draft *d)
{
	struct draft_entry *e = NULL;
	size_t pos = 0;

	while (d->entries && (e = map_next(d->entries, &pos, NULL))) {
		e->removed = true;
		draft_entry_unlink(d, e, true);
	}
}

bool draft_is_beneath(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return n == 0 || (strncmp(path, dir, n) == 0 && path[n] == '/');
}

bool draft_has_beneath(struct draft *d, const char *path)
{
	const struct draft_entry *e;
	size_t pos = 0;

	while ((e = map_next(d->entries, &pos, NULL))) {
		if (draft_is_beneath(e->path, path))
			return true;
	}
	return false;
}

void draft_entry_leave(struct draft *d, struct draft_entry *e)
{
	if (--e->writers == 0 && !e->committed && !e->busy)
		draft_entry_unlink(d, e, false);
}

/* The directory that the path is in; those of a layout are there for whoever
 * sees them in the published image. */
static int need_parent(struct draft *d, const char *path)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = NULL;
	const struct draft_entry *e;
	struct draft_entry *made;
	struct digest ignored;
	enum draft_name name;

	if (!slash)
		return 0;
	parent = strndup(path, (size_t)(slash - path));
	if (!parent)
		return -ENOMEM;
	e = draft_entry_find(d, parent);
	if (e)
		return S_ISDIR(e->type) ? 0 : -ENOTDIR;
	if (draft_name_parse(parent, &name, &ignored) < 0)
		return -EINVAL;
	if (name != DRAFT_NAME_BLOBS &&
	    (name != DRAFT_NAME_VIEW || !draft_name_is_directory(parent)))
		return -ENOENT;
	return draft_entry_add(d, parent, S_IFDIR, &made);
}

static int entry_new(struct draft *d, const char *path, mode_t type,
		     struct draft_entry **ret)
{
	struct draft_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->path = strdup(path);
	if (!e->path) {
		free(e);
		return -ENOMEM;
	}
	e->type = type;
	e->refs = 1;
	e->number = draft_next_number(d);
	e->committed = !S_ISREG(type);
	clock_gettime(CLOCK_REALTIME, &e->mtime);
	*ret = e;
	return 0;
}

static int report_full(struct draft *d)
{
	autofree char *object = draft_object(d, "");

	return object ? outbox_fault(d->o, d->repo, object, -ENOSPC,
				     "more than %d files for one image",
				     DRAFT_ENTRIES_MAX)
		      : -ENOMEM;
}

/* It comes (back) to its path. */
static int entry_link(struct draft *d, struct draft_entry *e)
{
	int r;

	if (map_len(d->entries) >= DRAFT_ENTRIES_MAX)
		return report_full(d);
	r = need_parent(d, e->path);
	if (r < 0)
		return r;
	r = map_put(d->entries, e->path, e, NULL);
	if (r < 0)
		return r;
	e->linked = true;
	e->refs++;
	clock_gettime(CLOCK_REALTIME, &d->mtime);
	return 0;
}

int draft_entry_add(struct draft *d, const char *path, mode_t type,
		    struct draft_entry **ret)
{
	struct draft_entry *e = NULL;
	int r;

	r = entry_new(d, path, type, &e);
	if (r < 0)
		return r;
	r = entry_link(d, e);
	draft_entry_put(d, e);
	if (r == 0)
		*ret = e;
	return r;
}

int draft_entry_move(struct draft *d, struct draft_entry *e, const char *to)
{
	struct draft_entry *there = draft_entry_find(d, to);
	autofree char *path = strdup(to);
	int r;

	if (!path)
		return -ENOMEM;
	if (there == e)
		return 0;
	r = need_parent(d, to);
	if (r < 0)
		return r;
	if (there)
		draft_entry_unlink(d, there, true);
	r = map_put(d->entries, to, e, NULL);
	if (r < 0)
		return r;
	if (e->linked)
		(void)map_remove(d->entries, e->path);
	else
		e->refs++;
	e->linked = true;
	free(e->path);
	e->path = steal(&path);
	clock_gettime(CLOCK_REALTIME, &d->mtime);
	return 0;
}

/* An entry that left because it was published has come back otherwise. */
static int entry_relink(struct draft *d, struct draft_entry *e)
{
	struct draft_entry *there;

	if (e->linked || e->removed)
		return 0;
	there = draft_entry_find(d, e->path);
	if (there && !S_ISREG(there->type))
		return -EEXIST;
	if (there)
		draft_entry_unlink(d, there, false);
	return entry_link(d, e);
}

int draft_entry_commit(struct draft *d, struct draft_entry *e,
		       const struct draft_outcome *out)
{
	struct feed *old;
	int r;

	pthread_mutex_lock(&d->lock);
	if (out->only_new && e->committed) {
		pthread_mutex_unlock(&d->lock);
		return 0;
	}
	r = entry_relink(d, e);
	old = r == 0 ? e->feed : NULL;
	if (r == 0) {
		e->feed = out->feed ? feed_ref(out->feed) : NULL;
		e->size_bytes = out->size_bytes;
		e->confirmed = out->confirmed;
		e->document = out->document;
		e->held = out->held;
		e->committed = true;
		e->committed_ms = clock_ms();
		clock_gettime(CLOCK_REALTIME, &e->mtime);
		d->used_ms = clock_ms();
	}
	pthread_mutex_unlock(&d->lock);
	feed_unref(old);
	return r;
}
