/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who can list a host's repositories, as a const table.  A row is chosen by
 * the host's name or by what the registry has shown of itself; catalog_v2
 * (GET /v2/_catalog) is the last one and takes all that is left.  A vendor's
 * own API is one more file and one more row.
 */
#include <stdbool.h>

#include "config/dockerauth.h"
#include "registry/registry.h"

#define CATALOG_WHOLE_PATH 0xffff

struct catalog_lister {
	const char *name;	  /* "v2" */
	const char *const *hosts; /* fnmatch(3), ended by NULL; or NULL */
	/* What its challenge shows, or NULL: service, fnmatch(3), and how the
	 * realm's path ends.  The API is where the realm is, but for `hosts`,
	 * where it is at `api` if that is not NULL. */
	const char *service, *realm_end, *api;
	bool (*shows)(struct registry *r); /* something else; or NULL */
	/* How many components of a path make an area, which is listed by
	 * itself; 0: the host is listed as a whole.  Else the area "" is
	 * whatever the API or the credential tells without being asked for a
	 * name; it is never complete. */
	unsigned area;
	bool recursive;	     /* an area's list holds all that is beneath */
	unsigned shallowest; /* no name has fewer components */
	unsigned deepest;    /* nor more; 0: any number */
	/*
	 * One page: `cursor` is NULL at first, then what it was set to (owned
	 * by the caller, freed with free); set to NULL at the end.  A name
	 * that ends in '/' is the way to repositories, perhaps none itself.
	 * -EOPNOTSUPP: nobody tells us.
	 */
	int (*page)(struct registry *r, const char *area, char **cursor,
		    struct wait *w, struct string_list *names);
};
/* By what is known of the host now; never NULL. */
const struct catalog_lister *catalog_find(struct registry *r);
extern const struct catalog_lister catalog_acr, catalog_gcr, catalog_ghcr,
	catalog_gitlab, catalog_harbor, catalog_hub, catalog_quay, catalog_v2;
