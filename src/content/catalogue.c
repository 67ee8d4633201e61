/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node per path that was heard of: "team", "team/app".  A node is a
 * repository, the way to some, or both.  Children are appended in the order of
 * arrival, so that their index is a directory offset.  Ends like a listing.
 */
#include "content/catalogue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "registry/pager.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/clock.h"

struct catalogue_node {
	bool repository;
	struct string_list children;
};

struct catalogue {
	atomic_uint refs;
	struct content *content;
	char *host;
	struct pager *pager; /* NULL: the host does not list */
	uint64_t started_ms;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct map *nodes; /* path -> catalogue_node; protected by lock */
	bool fetching;	   /* protected by lock */
	bool complete;	   /* protected by lock */
	int broken;	   /* -errno: names were lost; protected by lock */
	bool unlisted;	   /* filled from what was seen; protected by lock */
};

static void node_free(void *p)
{
	struct catalogue_node *n = p;

	string_list_done(&n->children);
	free(n);
}

struct catalogue *catalogue_ref(struct catalogue *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void catalogue_unref(struct catalogue *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	pager_close(t->pager);
	map_free(t->nodes, node_free);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t->host);
	free(t);
}

void catalogue_forget_all(struct content *c)
{
	const char *host;
	struct catalogue *t;
	size_t pos = 0;

	autolock(&c->lock);
	while ((t = map_next(c->catalogues, &pos, &host)))
		catalogue_unref(t);
	map_free(c->catalogues, NULL);
	c->catalogues = NULL;
}

/* The node of a path; a new one is told to its parent.  Lock held. */
static int node_make(struct catalogue *t, const char *path, size_t len,
		     struct catalogue_node **ret)
{
	struct catalogue_node *n = map_findn(t->nodes, path, len);
	struct catalogue_node *parent;
	autofree char *name = NULL;
	size_t cut = len;
	int r;

	if (n) {
		*ret = n;
		return 0;
	}
	while (cut > 0 && path[cut - 1] != '/')
		cut--;
	name = strndup(path + cut, len - cut);
	if (!name)
		return -ENOMEM;
	/* At most 128 components: the grammar bounds a path to 255 bytes. */
	r = node_make(t, path, cut ? cut - 1 : 0, &parent);
	if (r < 0)
		return r;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	r = map_putn(t->nodes, path, len, n, NULL);
	if (r < 0) {
		free(n);
		return r;
	}
	r = string_list_add(&parent->children, name);
	if (r < 0) {
		free(map_removen(t->nodes, path, len));
		return r;
	}
	*ret = n;
	return 0;
}

static int catalogue_add(struct catalogue *t, const char *path)
{
	struct catalogue_node *n;
	int r;

	if (content_allowed(t->content, t->host, path) < 0)
		return 0;
	r = node_make(t, path, strlen(path), &n);
	if (r == 0)
		n->repository = true;
	return r;
}

static int catalogue_add_row(void *arg, const char *name)
{
	return catalogue_add(arg, name);
}

/* Lock held, or not yet shared. */
static int catalogue_fill_seen(struct catalogue *t)
{
	int r = repository_each(t->content->store, t->host, catalogue_add_row,
				t);

	t->unlisted = true;
	t->complete = true;
	return r;
}

static int catalogue_new(struct content *c, const char *host,
			 struct catalogue **ret)
{
	struct catalogue_node *top = calloc(1, sizeof(*top));
	struct catalogue *t = calloc(1, sizeof(*t));
	struct registry *registry;
	int r = -ENOMEM;

	if (!t || !top)
		goto fail;
	atomic_init(&t->refs, 1);
	t->content = c;
	t->started_ms = clock_ms();
	pthread_mutex_init(&t->lock, NULL);
	wait_cond_init(&t->changed);
	t->host = strdup(host);
	if (!t->host)
		goto fail;
	r = map_new(&t->nodes);
	if (r == 0)
		r = map_putn(t->nodes, "", 0, top, NULL);
	if (r < 0)
		goto fail;
	top = NULL;
	r = registries_get(c->registries, host, &registry);
	if (r < 0)
		goto fail;
	if (c->options->offline || c->options->nolist)
		r = catalogue_fill_seen(t);
	else
		r = pager_open_catalog(registry, &t->pager);
	if (r == -EOPNOTSUPP)
		r = catalogue_fill_seen(t);
	if (r < 0)
		goto fail;
	*ret = t;
	return 0;
fail:
	free(top);
	if (t && t->content)
		catalogue_unref(t);
	else
		free(t);
	return r;
}

/* The newest one, if it may still be shared.  The content's lock is held. */
static struct catalogue *catalogue_shared(struct content *c, const char *host)
{
	uint64_t ttl = (uint64_t)c->options->tag_ttl_s * 1000;
	struct catalogue *t = map_find(c->catalogues, host);

	if (!t || clock_ms() - t->started_ms >= ttl)
		return NULL;
	autolock(&t->lock);
	return t->unlisted || t->broken ? NULL : catalogue_ref(t);
}

int catalogue_open(struct content *c, const char *host, struct catalogue **ret)
{
	struct catalogue *shared, *made = NULL;
	void *old = NULL;
	int r;

	pthread_mutex_lock(&c->lock);
	shared = catalogue_shared(c, host);
	pthread_mutex_unlock(&c->lock);
	if (shared) {
		*ret = shared;
		return 0;
	}
	r = catalogue_new(c, host, &made);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	shared = catalogue_shared(c, host);
	if (!shared && map_put(c->catalogues, host, made, &old) == 0)
		catalogue_ref(made);
	pthread_mutex_unlock(&c->lock);
	catalogue_unref(old);
	if (shared) /* somebody else was faster */
		catalogue_unref(made);
	*ret = shared ? shared : made;
	return 0;
}

void catalogue_learn(struct content *c, const char *host, const char *path)
{
	struct catalogue *t;

	pthread_mutex_lock(&c->lock);
	t = map_find(c->catalogues, host);
	if (t)
		catalogue_ref(t);
	pthread_mutex_unlock(&c->lock);
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	/* Names are only ever added; without memory it is seen later. */
	(void)catalogue_add(t, path);
	pthread_mutex_unlock(&t->lock);
	catalogue_unref(t);
}

static int catalogue_add_page(struct catalogue *t,
			      const struct string_list *page, bool more)
{
	int r = 0;

	for (size_t i = 0; i < page->len && r == 0; i++)
		r = catalogue_add(t, page->v[i]);
	/* The pager does not give a page twice. */
	if (r < 0)
		t->broken = r;
	else if (!more)
		t->complete = true;
	return r;
}

/* Fetches a page; the lock is held on entry and on return. */
static int catalogue_more(struct catalogue *t, struct wait *w)
{
	struct string_list page = {0};
	bool more = true;
	int r;

	t->fetching = true;
	pthread_mutex_unlock(&t->lock);
	r = pager_next(t->pager, w, &page, &more);
	pthread_mutex_lock(&t->lock);
	t->fetching = false;
	if (r == 0)
		r = catalogue_add_page(t, &page, more);
	else if (r == -EOPNOTSUPP)
		r = catalogue_fill_seen(t);
	string_list_done(&page);
	pthread_cond_broadcast(&t->changed);
	return r;
}

/* One step forward: waits for a page of another, or fetches one. */
static int catalogue_step(struct catalogue *t, struct wait *w)
{
	int r;

	if (t->broken)
		return t->broken;
	r = gate_enter(&t->content->gate, t->host);
	if (r < 0)
		return r;
	if (t->fetching)
		r = wait_cond(w, &t->changed, &t->lock);
	else
		r = catalogue_more(t, w);
	gate_leave(&t->content->gate, t->host);
	return r;
}

int catalogue_child(struct catalogue *t, const char *path, size_t i,
		    struct wait *w, const char **ret)
{
	struct catalogue_node *n;
	int r;

	autolock(&t->lock);
	for (;;) {
		n = map_find(t->nodes, path);
		if (n && i < n->children.len)
			break;
		if (t->complete)
			return -ENODATA;
		r = catalogue_step(t, w);
		if (r < 0)
			return r;
	}
	*ret = n->children.v[i];
	return 0;
}

int catalogue_find(struct catalogue *t, const char *path, struct wait *w,
		   enum catalogue_answer *ret)
{
	struct catalogue_node *n;
	int r;

	autolock(&t->lock);
	/* A prefix may still turn out to be a repository as well. */
	while (!(n = map_find(t->nodes, path)) || !n->repository) {
		if (t->complete)
			break;
		r = catalogue_step(t, w);
		if (r < 0)
			return r;
	}
	if (n && n->repository)
		*ret = CATALOGUE_REPOSITORY;
	else if (n && n->children.len > 0)
		*ret = CATALOGUE_PREFIX;
	else
		*ret = t->unlisted ? CATALOGUE_UNKNOWN : CATALOGUE_ABSENT;
	return 0;
}
