/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a draft show, and the changes that commit nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/stringlist.h"
#include "push/draft_private.h"
#include "push/outbox_private.h"
#include "push/pending.h"
#include "util/process.h"
#include "util/vec.h"

/* --- looking --- */

static uint64_t entry_size(const struct draft_entry *e)
{
	if (S_ISLNK(e->type))
		return strlen(e->target);
	if (!e->committed)
		return e->growing;
	return e->feed ? feed_size(e->feed) : e->size_bytes;
}

int draft_stat(struct draft *d, const char *path, struct draft_stat *ret)
{
	const struct draft_entry *e;

	autolock(&d->lock);
	if (!*path) {
		*ret = (struct draft_stat){.type = S_IFDIR, .mtime = d->mtime};
		return 0;
	}
	e = draft_entry_find(d, path);
	if (!e)
		return -ENOENT;
	*ret = (struct draft_stat){.type = e->type,
				   .size_bytes = entry_size(e),
				   .mtime = e->mtime,
				   .number = e->number};
	return 0;
}

struct listed {
	char *name;
	mode_t type;
};

struct listing {
	VEC(struct listed) v;
};

static int listing_add(struct listing *l, const char *name, mode_t type)
{
	struct listed item = {.name = strdup(name), .type = type};
	int r;

	if (!item.name)
		return -ENOMEM;
	r = vec_push(&l->v, item);
	if (r < 0)
		free(item.name);
	return r;
}

static int collect(struct draft *d, const char *dir, struct listing *ret)
{
	size_t skip = *dir ? strlen(dir) + 1 : 0, pos = 0;
	const struct draft_entry *e;
	int r = 0;

	autolock(&d->lock);
	e = *dir ? draft_entry_find(d, dir) : NULL;
	if (*dir && !e)
		return -ENOENT;
	if (e && !S_ISDIR(e->type))
		return -ENOTDIR;
	while (r == 0 && (e = map_next(d->entries, &pos, NULL))) {
		if (draft_is_beneath(e->path, dir) &&
		    !strchr(e->path + skip, '/'))
			r = listing_add(ret, e->path + skip, e->type);
	}
	return r;
}

int draft_list(struct draft *d, const char *path, draft_each_name each,
	       void *arg)
{
	struct listing l = {0};
	int r;

	r = collect(d, path, &l);
	for (size_t i = 0; r == 0 && i < l.v.len; i++)
		r = each(arg, l.v.v[i].name, l.v.v[i].type);
	for (size_t i = 0; i < l.v.len; i++)
		free(l.v.v[i].name);
	vec_done(&l.v);
	return r;
}

int draft_readlink(struct draft *d, const char *path, struct str *out)
{
	const struct draft_entry *e;

	autolock(&d->lock);
	e = draft_entry_find(d, path);
	if (!e)
		return -ENOENT;
	return S_ISLNK(e->type) ? str_add(out, e->target) : -EINVAL;
}

static int read_entry(struct draft *d, const char *path, struct feed **ret)
{
	const struct draft_entry *e;

	autolock(&d->lock);
	e = draft_entry_find(d, path);
	if (!e)
		return -ENOENT;
	if (!S_ISREG(e->type))
		return S_ISDIR(e->type) ? -EISDIR : -EINVAL;
	if (e->confirmed)
		return -ENODATA;
	if (e->feed)
		*ret = feed_ref(e->feed);
	return 0;
}

int draft_read(struct draft *d, const char *path, struct feed **ret)
{
	struct feed *f = NULL;
	int r;

	r = read_entry(d, path, &f);
	if (r == 0 && !f) {
		/* Nothing was committed, or that it is empty. */
		r = feed_new(d->o->store, &f);
		if (r == 0)
			feed_end(f);
	}
	if (r == 0)
		*ret = f;
	return r;
}

/* --- changing --- */

int draft_mkdir(struct draft *d, const char *path, pid_t tid)
{
	struct draft_entry *e = NULL;
	pid_t pid = 0;
	int r;

	if (!*path)
		return -EEXIST;
	if (!draft_name_is_directory(path)) {
		struct digest ignored;
		enum draft_name name;

		r = draft_name_parse(path, &name, &ignored);
		return r < 0 ? r : -EPERM;
	}
	r = draft_attach(d);
	if (r < 0)
		return r;
	(void)process_look(tid, &pid);
	autolock(&d->lock);
	if (draft_entry_find(d, path))
		return -EEXIST;
	r = draft_entry_add(d, path, S_IFDIR, &e);
	if (r == 0 && pid > 0)
		d->maker = pid;
	return r;
}

int draft_symlink(struct draft *d, const char *path, const char *target)
{
	struct draft_entry *e = NULL;
	struct digest ignored;
	enum draft_name name;
	char *copy;
	int r;

	r = draft_name_parse(path, &name, &ignored);
	if (r < 0)
		return r;
	if (name != DRAFT_NAME_VIEW && name != DRAFT_NAME_OWN &&
	    name != DRAFT_NAME_MANIFEST)
		return name == DRAFT_NAME_TOP ? -EEXIST : -EPERM;
	if (strlen(target) > DRAFT_PATH_MAX)
		return -ENAMETOOLONG;
	r = draft_attach(d);
	if (r < 0)
		return r;
	autolock(&d->lock);
	if (draft_entry_find(d, path))
		return -EEXIST;
	copy = strdup(target);
	r = copy ? draft_entry_add(d, path, S_IFLNK, &e) : -ENOMEM;
	if (r == 0)
		e->target = steal(&copy);
	free(copy);
	return r;
}

static int unlink_entry(struct draft *d, const char *path, bool *ret_pending)
{
	struct draft_entry *e = NULL;
	struct digest ignored;
	enum draft_name name;
	int r;

	r = draft_name_parse(path, &name, &ignored);
	if (r < 0)
		return r;
	autolock(&d->lock);
	e = draft_entry_find(d, path);
	if (!e)
		return -ENOENT;
	if (S_ISDIR(e->type))
		return -EISDIR;
	if (e->busy)
		return -EBUSY;
	*ret_pending =
		d->pending && e->committed && S_ISREG(e->type) &&
		(name == DRAFT_NAME_INDEX || name == DRAFT_NAME_MANIFEST);
	if (*ret_pending)
		d->pending = false;
	draft_entry_unlink(d, e, true);
	return 0;
}

int draft_unlink(struct draft *d, const char *path)
{
	bool pending = false;
	int r;

	r = unlink_entry(d, path, &pending);
	if (pending)
		pending_forget(d->o, d->repo, d->name);
	if (r == 0)
		draft_settle(d);
	return r;
}

int draft_rmdir(struct draft *d, const char *path)
{
	struct draft_entry *e = NULL;

	{
		autolock(&d->lock);
		e = draft_entry_find(d, path);
		if (!e)
			return -ENOENT;
		if (!S_ISDIR(e->type))
			return -ENOTDIR;
		if (draft_has_beneath(d, path))
			return -ENOTEMPTY;
		draft_entry_unlink(d, e, true);
	}
	draft_settle(d);
	return 0;
}
