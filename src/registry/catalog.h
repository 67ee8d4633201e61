/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who can list a host's repositories, as a const table: host pattern ->
 * lister.  catalog_v2 (GET /v2/_catalog) is the row that matches all; a
 * vendor's own API is one more file and one more row above it.
 */
#include <stdbool.h>

#include "config/dockerauth.h"
#include "registry/registry.h"

struct catalog_lister {
	const char *name;	  /* "v2" */
	const char *host_pattern; /* fnmatch(3) */
	/* One page: `cursor` is NULL at first, then what it was set to (owned
	 * by the caller, freed with free); set to NULL at the end. */
	int (*page)(struct registry *r, char **cursor, struct wait *w,
		    struct string_list *names);
};
const struct catalog_lister *catalog_find(const char *host);
extern const struct catalog_lister catalog_v2;
