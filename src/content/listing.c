/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States: OPEN (more pages may come) -> ended, with -ENODATA (complete),
 * -ENOENT (no such repository) or -ENOMEM (names were lost).  While a page is
 * under way `fetching` is set and belongs to one thread.  Names that come in
 * ascending order need no table; the first that does not builds one.
 */
#include "content/listing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "registry/pager.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/clock.h"

struct listing {
	atomic_uint refs;
	struct content *content;
	char *host, *name; /* of the repository */
	struct pager *pager;
	uint64_t started_ms;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Constant: what was changed through this mount. */
	struct string_list put, gone;
	struct string_list names; /* protected by lock, like all below */
	struct map *seen;	  /* of names, once they came out of order */
	bool fetching;
	bool recorded; /* the store knows it is there; the fetching thread's */
	int ended;     /* 0 or one of the above */
};

struct listing *listing_ref(struct listing *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void listing_unref(struct listing *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	pager_close(l->pager);
	free(l->host);
	free(l->name);
	string_list_done(&l->put);
	string_list_done(&l->gone);
	string_list_done(&l->names);
	map_free(l->seen, NULL);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* From the first disorder on, doubles are found by a table. */
static int listing_index(struct listing *l)
{
	int r;

	r = map_new(&l->seen);
	for (size_t i = 0; i < l->names.len && r == 0; i++)
		r = map_put(l->seen, l->names.v[i], l->names.v[i], NULL);
	return r;
}

static int listing_add(struct listing *l, const char *name)
{
	const char *last = l->names.len ? l->names.v[l->names.len - 1] : "";
	int r;

	if (!l->seen && strcmp(name, last) <= 0) {
		r = listing_index(l);
		if (r < 0)
			return r;
	}
	if (l->seen && map_find(l->seen, name))
		return 0;
	if (string_list_has(&l->gone, name))
		return 0;
	r = string_list_add(&l->names, name);
	if (r == 0 && l->seen) {
		char *kept = l->names.v[l->names.len - 1];

		r = map_put(l->seen, kept, kept, NULL);
	}
	return r;
}

static int listing_add_row(void *arg, const char *name)
{
	return listing_add(arg, name);
}

/* Offline, the tags are those that were resolved once. */
static int listing_fill_offline(struct listing *l, struct repo *repo)
{
	char identity[17];
	int r;

	r = repo_identity(repo, identity);
	if (r == 0)
		r = tag_each(repo->content->store, repo->host, repo->name,
			     identity, listing_add_row, l);
	/* None known is not none there. */
	l->ended = l->names.len ? -ENODATA : -ENETDOWN;
	return r;
}

static int listing_new(struct repo *r, struct listing **ret)
{
	struct listing *l = calloc(1, sizeof(*l));
	int e = -ENOMEM;

	if (!l)
		return -ENOMEM;
	atomic_init(&l->refs, 1);
	l->content = r->content;
	l->host = strdup(r->host);
	l->name = strdup(r->name);
	l->started_ms = clock_ms();
	pthread_mutex_init(&l->lock, NULL);
	wait_cond_init(&l->changed);
	if (l->host && l->name)
		e = repo_tag_changes(r, &l->put, &l->gone);
	if (e == 0)
		e = r->content->options->offline
			    ? listing_fill_offline(l, r)
			    : pager_open_tags(r->registry, r->name, &l->pager);
	if (e < 0) {
		listing_unref(l);
		return e;
	}
	*ret = l;
	return 0;
}

static uint64_t listing_fresh_ms(const struct listing *l)
{
	uint64_t ttl = (uint64_t)l->content->options->tag_ttl_s * 1000;
	uint64_t age = clock_ms() - l->started_ms;

	return age < ttl ? ttl - age : 0;
}

/* The newest one, if it may still be shared.  The repository's lock is held. */
static struct listing *listing_shared(struct repo *r)
{
	struct listing *l = r->tags;

	if (!l || listing_fresh_ms(l) == 0)
		return NULL;
	autolock(&l->lock);
	return l->ended == 0 || l->ended == -ENODATA ? listing_ref(l) : NULL;
}

/* A new one, to be shared from now on.  -EAGAIN: a tag was changed while it
 * was begun, and it may not know of that. */
static int listing_begin(struct repo *r, uint64_t epoch, struct listing **ret)
{
	struct listing *shared, *made = NULL, *old = NULL;
	int e;

	e = listing_new(r, &made);
	if (e < 0)
		return e;
	pthread_mutex_lock(&r->lock);
	shared = listing_shared(r);
	if (!shared && r->tag_epoch != epoch) {
		e = -EAGAIN;
	} else if (!shared) {
		old = r->tags;
		r->tags = listing_ref(made);
	}
	pthread_mutex_unlock(&r->lock);
	listing_unref(old);
	if (e < 0 || shared) /* somebody else was faster */
		listing_unref(made);
	if (e == 0)
		*ret = shared ? shared : made;
	return e;
}

int listing_open_tags(struct repo *r, struct listing **ret)
{
	struct listing *shared;
	uint64_t epoch;
	int e;

	do {
		pthread_mutex_lock(&r->lock);
		shared = listing_shared(r);
		epoch = r->tag_epoch;
		pthread_mutex_unlock(&r->lock);
		if (shared) {
			*ret = shared;
			return 0;
		}
		e = listing_begin(r, epoch, ret);
	} while (e == -EAGAIN);
	return e;
}

/* The registry has told all that it knows. */
static int listing_add_put(struct listing *l)
{
	int r = 0;

	for (size_t i = 0; i < l->put.len && r == 0; i++)
		r = listing_add(l, l->put.v[i]);
	return r;
}

static int listing_add_page(struct listing *l, const struct string_list *page,
			    bool more)
{
	int r = 0;

	for (size_t i = 0; i < page->len && r == 0; i++)
		r = listing_add(l, page->v[i]);
	if (r == 0 && !more)
		r = listing_add_put(l);
	/* The pager does not give a page twice. */
	if (r < 0)
		l->ended = r;
	else if (!more)
		l->ended = -ENODATA;
	return r;
}

/* Fetches a page; the lock is held on entry and on return. */
static int listing_more(struct listing *l, struct wait *w)
{
	struct string_list page = {0};
	bool more = true;
	int r;

	l->fetching = true;
	pthread_mutex_unlock(&l->lock);
	r = pager_next(l->pager, w, &page, &more);
	if (r == 0 && !l->recorded) {
		repository_seen(l->content->store, l->host, l->name);
		catalogue_learn(l->content, l->host, l->name);
		l->recorded = true;
	}
	pthread_mutex_lock(&l->lock);
	l->fetching = false;
	/* A repository that was just made may not be known yet. */
	if (r == -ENOENT && l->put.len > 0) {
		more = false;
		r = 0;
	}
	if (r == -ENOENT)
		l->ended = -ENOENT;
	else if (r == 0)
		r = listing_add_page(l, &page, more);
	string_list_done(&page);
	pthread_cond_broadcast(&l->changed);
	return r;
}

int listing_at(struct listing *l, size_t i, struct wait *w, const char **ret)
{
	int r = 0;

	autolock(&l->lock);
	while (i >= l->names.len) {
		if (l->ended)
			return l->ended;
		r = gate_enter(&l->content->gate, l->host);
		if (r < 0)
			return r;
		if (l->fetching)
			r = wait_cond(w, &l->changed, &l->lock);
		else
			r = listing_more(l, w);
		gate_leave(&l->content->gate, l->host);
		if (r < 0)
			return r;
	}
	*ret = l->names.v[i];
	return 0;
}

bool listing_pending(struct listing *l, size_t i)
{
	autolock(&l->lock);
	return i >= l->names.len && !l->ended;
}

static int name_cmp(const void *key, const void *elem)
{
	return strcmp(key, *(char *const *)elem);
}

static bool listing_has(struct listing *l, const char *name)
{
	autolock(&l->lock);
	if (l->ended != -ENODATA)
		return false;
	if (l->seen)
		return map_find(l->seen, name) != NULL;
	return l->names.len > 0 && bsearch(name, l->names.v, l->names.len,
					   sizeof(char *), name_cmp) != NULL;
}

bool listing_knows_tag(struct repo *r, const char *tag, uint64_t *ret_fresh_ms)
{
	struct listing *l = NULL;
	uint64_t fresh;
	bool has;

	{
		autolock(&r->lock);
		if (!r->tags)
			return false;
		fresh = listing_fresh_ms(r->tags);
		if (fresh == 0)
			return false;
		l = listing_ref(r->tags);
	}
	has = listing_has(l, tag);
	listing_unref(l);
	if (has)
		*ret_fresh_ms = fresh;
	return has;
}
