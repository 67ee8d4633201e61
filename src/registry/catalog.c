/* SPDX-License-Identifier: Apache-2.0 */
/* The table of listers; the first row whose pattern matches is taken. */
#include "registry/catalog.h"

#include <fnmatch.h>

static const struct catalog_lister *const listers[] = {
	&catalog_v2,
};

const struct catalog_lister *catalog_find(const char *host)
{
	for (size_t i = 0; i < sizeof(listers) / sizeof(*listers); i++) {
		if (fnmatch(listers[i]->host_pattern, host, 0) == 0)
			return listers[i];
	}
	return NULL;
}
