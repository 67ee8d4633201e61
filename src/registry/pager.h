/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Listings page by page: tags of a repository, repositories of a host.
 * Follows Link on the same origin only, stops on repeated pages, at most
 * PAGER_PAGES_MAX pages and PAGER_NAMES_MAX names.  Names that are no valid
 * grammar are dropped and counted (METRIC_NAMES_HIDDEN), doubles are dropped
 * within a page.  One thread at a time per pager.
 */
#include <stdbool.h>

#include "config/dockerauth.h"
#include "registry/registry.h"

#define PAGER_PAGES_MAX 10000
#define PAGER_NAMES_MAX 1000000

struct pager;

/* No I/O yet. */
int pager_open_tags(struct registry *r, const char *repository,
		    struct pager **ret);
/* -EOPNOTSUPP: nobody knows how to list this host (remembered from a refusal
 * of its catalogue, with its reason recorded); otherwise no I/O yet. */
int pager_open_catalog(struct registry *r, struct pager **ret);
/*
 * How this host's names are listed, by what is known of it now.  A path's area
 * is its first `components` components ("": the whole host) and is listed by
 * itself; the area "" of such a host is never complete.
 */
struct pager_areas {
	unsigned components; /* 0: only as a whole */
	bool recursive;	     /* an area holds all that is beneath it */
	unsigned shallowest; /* no name has fewer components */
	unsigned deepest;    /* nor more; 0: any number */
};
void pager_areas(struct registry *r, struct pager_areas *ret);
/* As pager_open_catalog.  Names that end in '/' are ways to repositories, and
 * perhaps none themselves; all lie beneath the area. */
int pager_open_area(struct registry *r, const char *area, struct pager **ret);
/* All that is beneath `prefix` ("": all there is), without that. */
int pager_open_hosts(struct registry *r, const char *prefix,
		     struct pager **ret);
/*
 * The next page is added to `names`; *ret_more false: that was the last.
 * -ENOENT: no such repository; -EOPNOTSUPP: the host does not list; others:
 * could not ask (what came before stays valid, calling again asks again).
 */
int pager_next(struct pager *p, struct wait *w, struct string_list *names,
	       bool *ret_more);
void pager_close(struct pager *p);
