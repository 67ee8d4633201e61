/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The repositories of a host as a tree, filled from its catalogue page by page
 * and shared like a listing.  A host that does not list shows what was named,
 * seen or configured.  Counted.
 */
#include "content/content.h"

struct catalogue;

int catalogue_open(struct content *c, const char *host, struct catalogue **ret);
struct catalogue *catalogue_ref(struct catalogue *t);
void catalogue_unref(struct catalogue *t);
/*
 * Child number i beneath `path` ("" is the host): one path component, valid as
 * long as the catalogue.  -ENODATA: complete, no more.
 */
int catalogue_child(struct catalogue *t, const char *path, size_t i,
		    struct wait *w, const char **ret);
/* Too short for a repository of this host.  Never asks. */
bool catalogue_is_way(struct catalogue *t, const char *path);
/* What the pages so far say of `path`; reads on until they say something. */
enum catalogue_answer {
	CATALOGUE_ABSENT,  /* complete and not in it */
	CATALOGUE_UNKNOWN, /* this host does not list */
	CATALOGUE_PREFIX,  /* only the way to repositories */
	CATALOGUE_REPOSITORY,
};
int catalogue_find(struct catalogue *t, const char *path, struct wait *w,
		   enum catalogue_answer *ret);
