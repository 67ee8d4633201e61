/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes come from areas (pager.h), each with a pager of its own, opened
 * when somebody asks for what lies in it.  An area ends like a listing; one
 * whose host does not list ends with what was seen:
 *
 *   listed -> complete          the registry has told all
 *   listed -> unlisted          it refused: complete, with what was seen
 *   area "" of a host with others: `partial`, nobody tells all
 *
 * What kind of host it is may turn out at the first refusal; so an area is
 * looked for anew at each step.  The lock is held throughout, except while a
 * page is under way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/catalogue_private.h"
#include "registry/pager.h"
#include "store/rows.h"
#include "util/auto.h"

void area_free(void *p)
{
	struct area *a = p;

	pager_close(a->pager);
	free(a);
}

static int catalogue_add_row(void *arg, const char *name)
{
	return catalogue_add(arg, name);
}

static int catalogue_fill_seen(struct catalogue *t)
{
	return repository_each(t->content->store, t->host, catalogue_add_row,
			       t);
}

/* The first `components` components of a path. */
size_t area_leading(const char *path, unsigned components)
{
	const char *p = path;

	while (components-- && *p) {
		p += strcspn(p, "/");
		if (components && *p)
			p++;
	}
	return (size_t)(p - path);
}

static int area_unlisted(struct catalogue *t, struct area *a)
{
	int r = catalogue_fill_seen(t);

	if (r == 0) {
		a->unlisted = true;
		a->complete = true;
	}
	return r;
}

/* Opens, or opens anew as what the host has turned out to be. */
static int area_open(struct catalogue *t, const char *path, struct area *a)
{
	const struct options *o = t->content->options;
	struct pager_areas how;
	int r = -EOPNOTSUPP;

	pager_areas(t->registry, &how);
	if (!o->offline && !o->nolist)
		r = pager_open_area(t->registry, path, &a->pager);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	if (*path == '\0' && how.components) {
		/* Never complete: what was seen belongs to it. */
		a->partial = true;
		if (r == 0)
			return catalogue_fill_seen(t);
	}
	if (r == 0)
		return 0;
	/* What is seen from now on is to be shown, too. */
	t->stale |= *path == '\0' || o->offline || o->nolist;
	return area_unlisted(t, a);
}

static int area_make(struct catalogue *t, const char *path, size_t len,
		     struct area **ret)
{
	struct area *a = calloc(1, sizeof(*a));
	autofree char *name = strndup(path, len);
	int r = a && name ? 0 : -ENOMEM;

	if (r == 0)
		r = area_open(t, name, a);
	if (r == 0)
		r = map_put(t->areas, name, a, NULL);
	if (r < 0) {
		if (a)
			area_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

/* The length of the longest part of a path that is said to be a folder, of
 * which an area above it told no more; 1 at least. */
static size_t folder_on_way(struct catalogue *t, const char *path, size_t len)
{
	const struct catalogue_node *n;
	size_t ret = 1;

	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && i != len)
			continue;
		n = map_findn(t->nodes, path, i);
		if (n && n->folder)
			ret = i;
	}
	return ret;
}

/* What is to be read to know what lies beneath a path. */
int area_at(struct catalogue *t, const char *path, struct area **ret)
{
	struct pager_areas how;
	struct area *a;
	size_t len;

	pager_areas(t->registry, &how);
	len = area_leading(path, how.components);
	for (size_t n = how.recursive ? folder_on_way(t, path, len) : len;
	     n < len; n++) {
		a = path[n] == '/' ? map_findn(t->areas, path, n) : NULL;
		if (a && !a->unlisted) {
			*ret = a;
			return 0;
		}
	}
	a = map_findn(t->areas, path, len);
	if (!a)
		return area_make(t, path, len, ret);
	*ret = a;
	return 0;
}

static int area_add_page(struct catalogue *t, struct area *a,
			 const struct string_list *page, bool more)
{
	int r = 0;

	for (size_t i = 0; i < page->len && r == 0; i++)
		r = catalogue_add(t, page->v[i]);
	/* The pager does not give a page twice. */
	if (r < 0) {
		a->broken = r;
		t->stale = true;
	} else if (!more) {
		a->complete = true;
	}
	return r;
}

/* Refused.  That of the whole host may have shown what kind of host it is; then
 * it is asked again in that one's way. */
static int area_refused(struct catalogue *t, struct area *a)
{
	struct pager_areas how;

	pager_close(a->pager);
	a->pager = NULL;
	pager_areas(t->registry, &how);
	if (a == map_findn(t->areas, "", 0) && !a->partial && how.components)
		return area_open(t, "", a);
	if (a == map_findn(t->areas, "", 0) && !how.components)
		t->stale = true;
	return area_unlisted(t, a);
}

/* Fetches a page; the lock is held on entry and on return. */
static int area_more(struct catalogue *t, struct area *a, struct wait *w)
{
	struct string_list page = {0};
	bool more = true;
	int r;

	a->fetching = true;
	pthread_mutex_unlock(&t->lock);
	r = pager_next(a->pager, w, &page, &more);
	pthread_mutex_lock(&t->lock);
	a->fetching = false;
	if (r == 0)
		r = area_add_page(t, a, &page, more);
	else if (r == -EOPNOTSUPP)
		r = area_refused(t, a);
	/* Neither asked nor filled. */
	if (r < 0 && !a->pager && !a->complete) {
		a->broken = r;
		t->stale = true;
	}
	string_list_done(&page);
	pthread_cond_broadcast(&t->changed);
	return r;
}

/* One step forward: waits for a page of another, or fetches one. */
int area_step(struct catalogue *t, struct area *a, struct wait *w)
{
	int r;

	if (a->broken)
		return a->broken;
	r = gate_enter(&t->content->gate, t->host);
	if (r < 0)
		return r;
	if (a->fetching)
		r = wait_cond(w, &t->changed, &t->lock);
	else if (!a->complete)
		r = area_more(t, a, w);
	gate_leave(&t->content->gate, t->host);
	return r;
}
