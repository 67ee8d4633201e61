/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page after page, whoever lists.  A registry decides what the next page is,
 * so each cursor is followed once only, a page that repeats the one before is
 * the end, and pages and names are counted (faults.md A9).
 */
#include "registry/pager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/reference.h"
#include "registry/catalog.h"
#include "registry/host.h"
#include "registry/object.h"
#include "registry/page.h"
#include "registry/there.h"
#include "util/auto.h"
#include "util/map.h"
#include "util/metric.h"

/* Of what is listed only what is beneath the prefix is wanted. */
struct part {
	bool is;
	const char *prefix; /* or NULL */
	size_t top;	    /* its length without a host's name */
};

struct pager {
	struct registry *r;
	char *repository;		     /* NULL: the host's catalogue */
	const struct catalog_lister *lister; /* of a catalogue */
	char *area;			     /* likewise; as it is there */
	struct part part;		     /* likewise */
	struct object o;		     /* of tags */
	char *cursor;			     /* NULL: the first page */
	bool ended;
	struct map *seen;   /* cursors */
	char *first, *last; /* names of the page before */
	size_t pages, names;
};

static int pager_new(struct registry *r, struct pager **ret)
{
	struct pager *p = calloc(1, sizeof(*p));
	int e;

	if (!p)
		return -ENOMEM;
	p->r = r;
	e = map_new(&p->seen);
	if (e < 0)
		free(p);
	else
		*ret = p;
	return e;
}

void pager_close(struct pager *p)
{
	if (!p)
		return;
	map_free(p->seen, NULL);
	object_done(&p->o);
	free(p->repository);
	free(p->area);
	free(p->cursor);
	free(p->first);
	free(p->last);
	free(p);
}

int pager_open_tags(struct registry *r, const char *repository,
		    struct pager **ret)
{
	struct pager *p;
	int e = pager_new(r, &p);

	if (e < 0)
		return e;
	e = object_init_tags(&p->o, repository);
	if (e == 0) {
		p->repository = strdup(repository);
		e = p->repository ? 0 : -ENOMEM;
	}
	if (e < 0)
		pager_close(p);
	else
		*ret = p;
	return e;
}

/* With a mirror for everything that registry lists, and what is beneath the
 * prefix is ours. */
static struct registry *lister_of(struct registry *r)
{
	return r->top ? r->top : r;
}

static unsigned depth(const char *path)
{
	unsigned n = path && *path ? 1 : 0;

	for (; path && *path; path++)
		n += *path == '/';
	return n;
}

/* Lists a path that is one of the vendor's own (a group, a project) with all
 * beneath, and knows none beneath that: it is asked for what the hosts are in.
 */
static bool is_by_top(const struct catalog_lister *l)
{
	return l->recursive && l->area == CATALOG_WHOLE_PATH;
}

void pager_areas(struct registry *r, struct pager_areas *ret)
{
	const struct catalog_lister *l = catalog_find(lister_of(r));
	unsigned in = depth(r->prefix);

	*ret = (struct pager_areas){.components = l->area,
				    .recursive = l->recursive,
				    .shallowest = l->shallowest,
				    .deepest = l->deepest};
	if (in == 0)
		return;
	if (is_by_top(l))
		ret->components = 0;
	else if (l->area != CATALOG_WHOLE_PATH)
		ret->components = l->area > in ? l->area - in : 0;
	ret->shallowest = l->shallowest > in ? l->shallowest - in : 0;
	if (l->deepest)
		ret->deepest = l->deepest > in ? l->deepest - in : 1;
}

/* What the lister calls this area: as many components as make one. */
static int area_there(const struct catalog_lister *l, const struct part *part,
		      const char *area, char **ret)
{
	const char *prefix = part->prefix ? part->prefix : "";
	char *path =
		str_printf("%s%s%s", prefix, *prefix && *area ? "/" : "", area);
	char *end = path;

	if (!path)
		return -ENOMEM;
	for (unsigned n = 0; n < l->area && *end; n++)
		end += strcspn(end + (n > 0), "/") + (n > 0);
	*end = '\0';
	if (part->is && is_by_top(l))
		path[part->top] = '\0';
	*ret = path;
	return 0;
}

static int open_area(struct registry *r, const struct part *part,
		     const char *area, struct pager **ret)
{
	const struct catalog_lister *lister = catalog_find(r);
	struct pager *p;
	int e;

	if (lister == &catalog_v2 && registry_catalog(r) == SUPPORT_NO)
		return -EOPNOTSUPP;
	e = pager_new(r, &p);
	if (e < 0)
		return e;
	p->lister = lister;
	p->part = *part;
	e = area_there(lister, part, area, &p->area);
	if (e < 0)
		pager_close(p);
	else
		*ret = p;
	return e;
}

int pager_open_area(struct registry *r, const char *area, struct pager **ret)
{
	const char *cut = r->prefix ? strrchr(r->prefix, '/') : NULL;
	const struct part part = {.is = r->prefix,
				  .prefix = r->prefix,
				  .top = cut ? (size_t)(cut - r->prefix) : 0};

	return open_area(lister_of(r), &part, area, ret);
}

int pager_open_hosts(struct registry *r, const char *prefix, struct pager **ret)
{
	const struct part part = {.is = true,
				  .prefix = *prefix ? prefix : NULL,
				  .top = strlen(prefix)};

	return open_area(r, &part, "", ret);
}

int pager_open_catalog(struct registry *r, struct pager **ret)
{
	return pager_open_area(r, "", ret);
}

static int ask_tags(struct pager *p, char **cursor, struct wait *w,
		    struct string_list *page)
{
	const struct page tags = {.path = p->o.path,
				  .member = "tags",
				  .repository = p->repository,
				  .scope = p->o.scope,
				  .object = p->o.name,
				  .children = true};
	int e = page_fetch(p->r, &tags, cursor, w, page);

	/* 405: this one tells nobody. */
	return e == -EROFS ? -EOPNOTSUPP : e;
}

/* The refusal may have shown what kind of registry it is.  Others than the one
 * that lists names of its own cannot find that out by looking for an area. */
static bool take_turn(struct pager *p)
{
	const struct catalog_lister *l = catalog_find(p->r);
	char *area;

	if (!p->part.is || l == p->lister ||
	    area_there(l, &p->part, "", &area) < 0)
		return false;
	free(p->area);
	p->area = area;
	p->lister = l;
	return true;
}

/* 1: ask again. */
static int ask_catalog(struct pager *p, char **cursor, struct wait *w,
		       struct string_list *page)
{
	int e = p->lister->page(p->r, p->area, cursor, w, page);

	if (p->lister != &catalog_v2)
		return e;
	if (e == 0)
		registry_set_catalog(p->r, SUPPORT_YES);
	else if (e == -EOPNOTSUPP)
		registry_set_catalog(p->r, SUPPORT_NO);
	return e == -EOPNOTSUPP && take_turn(p) ? 1 : e;
}

/* The same first and last name as the page before: it goes in a ring. */
static bool is_repeat(struct pager *p, const struct string_list *page)
{
	return page->len && p->first && strcmp(p->first, page->v[0]) == 0 &&
	       strcmp(p->last, page->v[page->len - 1]) == 0;
}

static int remember_page(struct pager *p, const struct string_list *page)
{
	char *first, *last;

	if (page->len == 0)
		return 0;
	first = strdup(page->v[0]);
	last = strdup(page->v[page->len - 1]);
	if (!first || !last) {
		free(first);
		free(last);
		return -ENOMEM;
	}
	free(p->first);
	free(p->last);
	p->first = first;
	p->last = last;
	return 0;
}

static int too_much(struct pager *p)
{
	struct outcome out = {.status = 0};

	outcome_set(&out, -EFBIG, "more than %d pages or %d names",
		    PAGER_PAGES_MAX, PAGER_NAMES_MAX);
	registry_fault(p->r, p->repository ? p->o.name : "catalogue", &out);
	return -EFBIG;
}

/* Of this area?  The slash of a folder is no part of its name. */
static bool is_repository(const struct pager *p, const char *s)
{
	char name[REFERENCE_NAME_MAX + 1];
	size_t n = strlen(s), in = strlen(p->area);

	if (n && s[n - 1] == '/' && p->lister->area) {
		n--;
		if (n == in) /* nameless beneath the area, or the area */
			return false;
	}
	if (n > REFERENCE_NAME_MAX)
		return false;
	memcpy(name, s, n);
	name[n] = '\0';
	if (in && (strncmp(name, p->area, in) != 0 ||
		   (name[in] != '/' && name[in] != '\0')))
		return false;
	return reference_is_repository(name);
}

/* Adds what is a name, once each. */
static int filter(struct pager *p, const struct string_list *page,
		  struct string_list *names)
{
	struct map *once;
	int e = map_new(&once);

	if (e < 0)
		return e;
	for (size_t i = 0; e == 0 && i < page->len; i++) {
		const char *s = page->v[i];

		if (p->repository ? !reference_is_tag(s) : !is_repository(p, s))
			metric_add(METRIC_NAMES_HIDDEN, 1);
		else if (!p->repository && !(s = here_name(p->part.prefix, s)))
			continue;
		else if (map_find(once, s))
			continue;
		else if (p->names >= PAGER_NAMES_MAX)
			e = too_much(p);
		else {
			e = map_put(once, s, p, NULL);
			if (e == 0)
				e = string_list_add(names, s);
			p->names += e == 0;
		}
	}
	map_free(once, NULL);
	return e;
}

/* Takes the next cursor over, unless it was there before. */
static int advance(struct pager *p, char *next)
{
	int e = 0;

	if (!next || map_find(p->seen, next)) {
		free(next);
		next = NULL;
		p->ended = true;
	} else {
		e = map_put(p->seen, next, p, NULL);
	}
	free(p->cursor);
	p->cursor = next;
	return e;
}

int pager_next(struct pager *p, struct wait *w, struct string_list *names,
	       bool *ret_more)
{
	struct string_list page = {.v = NULL};
	char *cursor = NULL;
	int e = 0;

	if (p->ended) {
		*ret_more = false;
		return 0;
	}
	if (p->pages >= PAGER_PAGES_MAX)
		return too_much(p);
	if (p->cursor) {
		cursor = strdup(p->cursor);
		e = cursor ? 0 : -ENOMEM;
	}
	if (e == 0)
		e = p->repository ? ask_tags(p, &cursor, w, &page)
				  : ask_catalog(p, &cursor, w, &page);
	if (e == 1)
		e = ask_catalog(p, &cursor, w, &page);
	if (e == 0 && is_repeat(p, &page)) {
		p->ended = true;
	} else if (e == 0) {
		e = filter(p, &page, names);
		if (e == 0)
			e = remember_page(p, &page);
		if (e == 0)
			e = advance(p, steal(&cursor));
		p->pages++;
	}
	free(cursor);
	string_list_done(&page);
	if (e == 0)
		*ret_more = !p->ended;
	return e;
}
