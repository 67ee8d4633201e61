/* SPDX-License-Identifier: Apache-2.0 */
/* The table of listers; the first row that fits is taken.  What a registry
 * shows of itself decides only which of its own hosts is asked how: a lister
 * sends nothing to anybody who did not have the credential before. */
#include "registry/catalog.h"

#include <fnmatch.h>

#include "http/url.h"
#include "registry/host.h"
#include "util/auto.h"

static const struct catalog_lister *const listers[] = {
	&catalog_hub,	 &catalog_gcr, &catalog_gitlab, &catalog_ghcr,
	&catalog_harbor, &catalog_acr, &catalog_quay,	&catalog_v2,
};

static bool is_named(const struct catalog_lister *l, const char *host)
{
	for (size_t i = 0; l->hosts && l->hosts[i]; i++) {
		if (fnmatch(l->hosts[i], host, 0) == 0)
			return true;
	}
	return false;
}

static bool is_shown(const struct catalog_lister *l, struct registry *r)
{
	struct url u = {.host = NULL};
	bool ret;

	if (!l->service)
		return false;
	autolock(&r->lock);
	if (r->demand.scheme != CHALLENGE_BEARER || !r->demand.realm ||
	    !r->demand.service ||
	    fnmatch(l->service, r->demand.service, 0) != 0 ||
	    url_parse(r->demand.realm, &u) < 0)
		return false;
	ret = str_suffix(u.path, l->realm_end);
	url_done(&u);
	return ret;
}

const struct catalog_lister *catalog_find(struct registry *r)
{
	for (size_t i = 0; i < sizeof(listers) / sizeof(*listers); i++) {
		const struct catalog_lister *l = listers[i];

		if (is_named(l, r->host) || is_shown(l, r) ||
		    (l->shows && l->shows(r)))
			return l;
	}
	return &catalog_v2;
}
