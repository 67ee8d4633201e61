/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v2/_catalog: Docker's, never in the specification, often only for
 * administrators.  Its refusal is remembered by whoever opens a listing. */
#include "registry/catalog.h"
#include "registry/page.h"

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	static const struct page catalogue = {
		.path = "/v2/_catalog",
		.member = "repositories",
		.repository = "",
		.scope = "registry:catalog:*",
		.object = "catalogue",
		.optional = true,
	};

	(void)area;
	return page_fetch(r, &catalogue, cursor, w, names);
}

static const char *const hosts[] = {"*", NULL};

const struct catalog_lister catalog_v2 = {
	.name = "v2",
	.hosts = hosts,
	.page = page,
};
