/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google (registries.md D.2, D.3): the tags of any path, even of one that is
 * only a folder, come with its children.  There is no list of projects; what
 * _catalog tells, if anything, is a beginning.
 */
#include <errno.h>
#include <stdlib.h>

#include "registry/catalog.h"
#include "registry/host.h"
#include "registry/object.h"
#include "registry/page.h"
#include "util/auto.h"

static int children(struct registry *r, const char *area, char **cursor,
		    struct wait *w, struct string_list *ret)
{
	struct object o;
	int e = object_init_tags(&o, area);

	if (e < 0)
		return e;
	const struct page folder = {.path = o.path,
				    .member = "child",
				    .repository = area,
				    .scope = o.scope,
				    .object = o.name,
				    .optional = true,
				    .whole = true,
				    .absent_is_empty = true};

	e = page_fetch(r, &folder, cursor, w, ret);
	object_done(&o);
	/* What is above all that may be touched cannot be asked. */
	return e == -EPERM ? -EOPNOTSUPP : e;
}

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	struct string_list list = {.v = NULL};
	int e;

	if (!*area)
		return catalog_v2.page(r, area, cursor, w, names);
	e = children(r, area, cursor, w, &list);
	for (size_t i = 0; e == 0 && i < list.len; i++) {
		autofree char *name = str_printf("%s/%s/", area, list.v[i]);

		e = name ? string_list_add(names, name) : -ENOMEM;
	}
	string_list_done(&list);
	return e;
}

static bool shows(struct registry *r)
{
	autolock(&r->lock);
	return r->shows_children;
}

static const char *const hosts[] = {"gcr.io", "*.gcr.io", "*-docker.pkg.dev",
				    NULL};

const struct catalog_lister catalog_gcr = {
	.name = "gcr",
	.hosts = hosts,
	.shows = shows,
	.area = CATALOG_WHOLE_PATH,
	.shallowest = 2,
	.page = page,
};
