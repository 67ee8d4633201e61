/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node per path that was heard of: "team", "team/app".  A node is a
 * repository, the way to some, or both.  Children are appended in the order of
 * arrival, so that their index is a directory offset.  Where the nodes come
 * from, and what is still to be asked, is known by catalogue_area.c.
 */
#include "content/catalogue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/catalogue_private.h"
#include "registry/pager.h"
#include "util/auto.h"
#include "util/clock.h"

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
	map_free(t->areas, area_free);
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

int catalogue_add(struct catalogue *t, const char *name)
{
	autofree char *path = strdup(name);
	struct catalogue_node *n;
	bool folder;
	int r;

	if (!path)
		return -ENOMEM;
	folder = str_suffix(path, "/");
	if (folder)
		path[strlen(path) - 1] = '\0';
	if (!content_may(t->content, t->host, path))
		return 0;
	r = node_make(t, path, strlen(path), &n);
	if (r == 0 && folder)
		n->folder = true;
	else if (r == 0)
		n->repository = true;
	return r;
}

static int catalogue_new(struct content *c, const char *host,
			 struct catalogue **ret)
{
	struct catalogue_node *top = calloc(1, sizeof(*top));
	struct catalogue *t = calloc(1, sizeof(*t));
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
		r = map_new(&t->areas);
	if (r == 0)
		r = map_putn(t->nodes, "", 0, top, NULL);
	if (r < 0)
		goto fail;
	top = NULL;
	r = registries_get(c->registries, host, &t->registry);
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
	return t->stale ? NULL : catalogue_ref(t);
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

/* --- questions --- */

static unsigned depth(const char *path)
{
	unsigned n = *path != '\0';

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* Can there be anything beneath? */
static bool is_leaf(struct catalogue *t, const char *path)
{
	struct pager_areas how;

	pager_areas(t->registry, &how);
	return how.deepest && depth(path) >= how.deepest;
}

bool catalogue_is_way(struct catalogue *t, const char *path)
{
	struct pager_areas how;

	pager_areas(t->registry, &how);
	return depth(path) < how.shallowest;
}

int catalogue_child(struct catalogue *t, const char *path, size_t i,
		    struct wait *w, const char **ret)
{
	struct catalogue_node *n;
	struct area *a;
	int r;

	autolock(&t->lock);
	for (;;) {
		r = area_at(t, path, &a);
		if (r < 0)
			return r;
		n = map_find(t->nodes, path);
		if (n && i < n->children.len)
			break;
		if (a->complete || is_leaf(t, path))
			return -ENODATA;
		r = area_step(t, a, w);
		if (r < 0)
			return r;
	}
	*ret = n->children.v[i];
	return 0;
}

/* Enough is known of it, or no more will be. */
static bool is_found(const struct catalogue_node *n, const struct area *a,
		     bool whole)
{
	if (n && n->repository)
		return true;
	/* A prefix may still turn out to be a repository as well, if a list
	 * of more than what is beneath it goes on. */
	return a->complete || (n && n->children.len > 0 && !whole);
}

int catalogue_find(struct catalogue *t, const char *path, struct wait *w,
		   enum catalogue_answer *ret)
{
	struct pager_areas how;
	struct catalogue_node *n;
	struct area *a;
	int r;

	autolock(&t->lock);
	for (;;) {
		r = area_at(t, path, &a);
		if (r < 0)
			return r;
		pager_areas(t->registry, &how);
		n = map_find(t->nodes, path);
		if (is_found(n, a, area_leading(path, how.components) == 0))
			break;
		r = area_step(t, a, w);
		if (r < 0)
			return r;
	}
	if (n && n->repository)
		*ret = CATALOGUE_REPOSITORY;
	else if (n && (n->folder || n->children.len > 0))
		*ret = CATALOGUE_PREFIX;
	else
		*ret = a->unlisted || a->partial ? CATALOGUE_UNKNOWN
						 : CATALOGUE_ABSENT;
	return 0;
}
