/* SPDX-License-Identifier: Apache-2.0 */
/* Azure (registries.md D.5): its own list of the same form, which knows roles
 * that Docker's does not; where it is not offered, Docker's. */
#include <errno.h>

#include "registry/catalog.h"
#include "registry/page.h"

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	static const struct page own = {
		.path = "/acr/v1/_catalog",
		.member = "repositories",
		.repository = "",
		.scope = "registry:catalog:*",
		.object = "catalogue",
		.optional = true,
	};
	bool first = !*cursor; /* it names the list that it came from */
	int e = page_fetch(r, &own, cursor, w, names);

	return first && e == -EOPNOTSUPP
		       ? catalog_v2.page(r, area, cursor, w, names)
		       : e;
}

static const char *const hosts[] = {"*.azurecr.io", "*.azurecr.cn",
				    "*.azurecr.us", NULL};

const struct catalog_lister catalog_acr = {
	.name = "acr",
	.hosts = hosts,
	.service = "*.azurecr.*",
	.realm_end = "/oauth2/token",
	.page = page,
};
