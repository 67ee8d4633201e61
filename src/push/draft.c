/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of drafts: one for each (host, repository, name), and when one of
 * them comes to its end.
 *
 *   listed --published, nobody writes--> gone
 *   listed --nobody used it for DRAFT_IDLE_MS--> gone, what is in it too
 *   gone --somebody who still holds it writes again--> listed
 *
 * The table holds a reference of its own.  `refs` and `listed` of all drafts
 * are protected by the table's lock, which is taken before a draft's.
 */
#include "push/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/resolve.h"
#include "push/draft_private.h"
#include "push/outbox_private.h"
#include "push/pending.h"
#include "util/clock.h"
#include "util/log.h"

#define DRAFTS_MAX 4096
/* What was left unfinished is kept so long for whoever comes back to it. */
#define DRAFT_IDLE_MS ((int64_t)24 * 3600 * 1000)
#define SWEEP_MAX 16 /* in one go */

struct drafts {
	struct outbox *o;
	pthread_mutex_t lock;
	struct map *by_key; /* protected by lock */
	_Atomic uint64_t last_number;
};

int drafts_new(struct outbox *o, struct drafts **ret)
{
	struct drafts *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = map_new(&t->by_key);
	if (r < 0) {
		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->o = o;
	*ret = t;
	return 0;
}

static void draft_free(struct draft *d)
{
	if (!d)
		return;
	draft_clear(d);
	map_free(d->entries, NULL);
	repo_unref(d->from);
	repo_unref(d->repo);
	pthread_cond_destroy(&d->idle);
	pthread_mutex_destroy(&d->lock);
	free(d->name);
	free(d->key);
	free(d);
}

void drafts_free(struct drafts *t)
{
	struct draft *d;
	size_t pos = 0;

	if (!t)
		return;
	while ((d = map_next(t->by_key, &pos, NULL)))
		draft_unref(d);
	map_free(t->by_key, NULL);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static char *draft_key(struct repo *r, const char *name)
{
	return str_printf("%s\n%s\n%s", repo_host(r), repo_name(r), name);
}

char *draft_object(const struct draft *d, const char *path)
{
	if (strcmp(d->name, DRAFT_BLOBS) == 0)
		return str_printf("%s/%s/%s", repo_name(d->repo), d->name,
				  path);
	return str_printf("%s/%s/%s%s%s", repo_name(d->repo),
			  strchr(d->name, ':') ? "_manifests" : "_tags",
			  d->name, path[0] ? "/" : "", path);
}

uint64_t draft_next_number(struct draft *d)
{
	return ++d->o->drafts->last_number;
}

/* --- life and end --- */

/* The table's lock is held.  The table's reference is the caller's then. */
static void draft_unlist(struct drafts *t, struct draft *d)
{
	(void)map_remove(t->by_key, d->key);
	d->listed = false;
}

/* Both locks are held. */
static bool draft_is_over(const struct draft *d)
{
	return d->writers == 0 && !d->made && !d->failed &&
	       map_len(d->entries) == 0;
}

static bool draft_lock_is_over(struct draft *d)
{
	autolock(&d->lock);
	return draft_is_over(d);
}

void draft_settle(struct draft *d)
{
	struct drafts *t = d->o->drafts;
	bool over;

	pthread_mutex_lock(&t->lock);
	over = d->listed && draft_lock_is_over(d);
	if (over)
		draft_unlist(t, d);
	pthread_mutex_unlock(&t->lock);
	if (over)
		draft_unref(d);
}

struct draft *draft_ref(struct draft *d)
{
	autolock(&d->o->drafts->lock);
	d->refs++;
	return d;
}

void draft_unref(struct draft *d)
{
	struct drafts *t;
	bool last;

	if (!d)
		return;
	t = d->o->drafts;
	pthread_mutex_lock(&t->lock);
	if (d->refs == 2 && d->listed && draft_lock_is_over(d)) {
		draft_unlist(t, d);
		d->refs--;
	}
	last = --d->refs == 0;
	pthread_mutex_unlock(&t->lock);
	if (last)
		draft_free(d);
}

/* Has it only what the registry shows or will show anyway?  There is nothing to
 * come back to then, but cp -a sets times after the close. */
static bool draft_is_rest(struct draft *d)
{
	const struct draft_entry *e;
	size_t pos = 0;

	if (d->made || d->failed)
		return false;
	while ((e = map_next(d->entries, &pos, NULL))) {
		struct digest ignored;
		enum draft_name name = DRAFT_NAME_OWN;

		(void)draft_name_parse(e->path, &name, &ignored);
		if (name == DRAFT_NAME_OWN || name == DRAFT_NAME_INDEX ||
		    (e->document && !e->held))
			return false;
	}
	return true;
}

static bool draft_is_idle(struct draft *d, uint64_t now)
{
	int64_t idle;

	autolock(&d->lock);
	idle = (int64_t)(now - d->used_ms);
	if (d->writers > 0 || d->publishing || idle < DRAFT_REST_MS)
		return false;
	return idle >= DRAFT_IDLE_MS || draft_is_rest(d);
}

static void draft_expire(struct draft *d)
{
	bool loses;

	pthread_mutex_lock(&d->lock);
	loses = !draft_is_rest(d) && map_len(d->entries) > 0;
	draft_clear(d);
	pthread_mutex_unlock(&d->lock);
	if (loses)
		log_warning("%s/%s: %s: unfinished for a day, given up",
			    repo_host(d->repo), repo_name(d->repo), d->name);
	draft_unref(d);
}

static void drafts_sweep(struct drafts *t)
{
	struct draft *over[SWEEP_MAX];
	uint64_t now = clock_ms();
	struct draft *d;
	size_t pos = 0, n = 0;

	pthread_mutex_lock(&t->lock);
	while (n < SWEEP_MAX && (d = map_next(t->by_key, &pos, NULL))) {
		if (!draft_is_idle(d, now))
			continue;
		draft_unlist(t, d);
		over[n++] = d;
	}
	pthread_mutex_unlock(&t->lock);
	for (size_t i = 0; i < n; i++)
		draft_expire(over[i]);
}

/* --- the table --- */

static int draft_new(struct outbox *o, struct repo *repo, const char *name,
		     bool made, struct draft **ret)
{
	struct draft *d = calloc(1, sizeof(*d));
	int r = -ENOMEM;

	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->lock, NULL);
	wait_cond_init(&d->idle);
	d->o = o;
	d->repo = repo_ref(repo);
	d->refs = 1;
	d->made = made;
	d->used_ms = clock_ms();
	clock_gettime(CLOCK_REALTIME, &d->mtime);
	d->name = strdup(name);
	d->key = draft_key(repo, name);
	if (d->name && d->key)
		r = map_new(&d->entries);
	if (r < 0) {
		draft_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

/* The table's lock is held. */
static int drafts_add(struct drafts *t, struct draft *d)
{
	int r;

	if (map_len(t->by_key) >= DRAFTS_MAX)
		return -ENOSPC;
	r = map_put(t->by_key, d->key, d, NULL);
	if (r < 0)
		return r;
	d->listed = true;
	d->refs++;
	return 0;
}

/* The one that is there, or `mine`. */
static int drafts_enter(struct drafts *t, struct draft *mine,
			struct draft **ret)
{
	struct draft *d;
	int r = 0;

	autolock(&t->lock);
	d = map_find(t->by_key, mine->key);
	if (!d) {
		d = mine;
		r = drafts_add(t, mine);
	}
	if (r < 0)
		return r;
	d->refs++;
	*ret = d;
	return 0;
}

int draft_attach(struct draft *d)
{
	struct drafts *t = d->o->drafts;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (!d->listed)
		r = map_find(t->by_key, d->key) ? -ESTALE : drafts_add(t, d);
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		return r;
	autolock(&d->lock);
	d->used_ms = clock_ms();
	return 0;
}

int draft_open(struct outbox *o, struct repo *repo, const char *name,
	       struct draft **ret)
{
	autoptr(draft) d = NULL;
	struct resolved res;
	bool made;
	int r;

	r = outbox_writable(o, repo);
	if (r < 0)
		return r;
	r = draft_find(o, repo, name, ret);
	if (r != -ENOENT)
		return r;
	made = strcmp(name, DRAFT_BLOBS) != 0 &&
	       (strchr(name, ':') || resolve_peek(repo, name, &res) < 0);
	r = draft_new(o, repo, name, made, &d);
	if (r < 0 || !d)
		return r;
	return drafts_enter(o->drafts, d, ret);
}

int draft_find(struct outbox *o, struct repo *repo, const char *name,
	       struct draft **ret)
{
	autofree char *key = draft_key(repo, name);
	struct draft *d;

	if (!key)
		return -ENOMEM;
	drafts_sweep(o->drafts);
	autolock(&o->drafts->lock);
	d = map_find(o->drafts->by_key, key);
	if (!d)
		return -ENOENT;
	d->refs++;
	*ret = d;
	return 0;
}

static int collect_names(struct drafts *t, struct repo *repo,
			 struct string_list *ret)
{
	const struct draft *d;
	size_t pos = 0;
	int r = 0;

	autolock(&t->lock);
	while (r == 0 && (d = map_next(t->by_key, &pos, NULL))) {
		if (strcmp(repo_host(d->repo), repo_host(repo)) == 0 &&
		    strcmp(repo_name(d->repo), repo_name(repo)) == 0 &&
		    strcmp(d->name, DRAFT_BLOBS) != 0)
			r = string_list_add(ret, d->name);
	}
	return r;
}

int draft_names(struct outbox *o, struct repo *repo, draft_each_name each,
		void *arg)
{
	autostrings names = {0};
	int r;

	drafts_sweep(o->drafts);
	r = collect_names(o->drafts, repo, &names);
	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = each(arg, names.v[i], S_IFDIR);
	return r;
}

void draft_discard(struct draft *d)
{
	struct drafts *t = d->o->drafts;
	bool listed;

	pending_forget(d->o, d->repo, d->name);
	pthread_mutex_lock(&d->lock);
	draft_clear(d);
	d->pending = d->acknowledged = false;
	d->made = false;
	d->failed = 0;
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_lock(&t->lock);
	listed = d->listed;
	if (listed)
		draft_unlist(t, d);
	pthread_mutex_unlock(&t->lock);
	if (listed)
		draft_unref(d);
}
