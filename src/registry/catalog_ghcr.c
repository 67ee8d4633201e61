/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GitHub (registries.md D.8): the packages of an organisation, or of a user,
 * by the REST API, which tells nobody without a token, not even of public
 * ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/host.h"
#include "registry/vendor.h"
#include "util/auto.h"
#include "util/json.h"

static const char *const owners[] = {"orgs", "users"};

static const struct vendor_list packages = {.add = vendor_add_beneath};

static int ask_page(struct registry *r, const struct credential *c,
		    const char *area, const char *url, struct wait *w,
		    struct vendor_answer *a)
{
	autofree char *bearer = str_printf("Bearer %s", c->secret);
	const struct vendor_ask ask = {.url = url,
				       .object = area,
				       .accept = "application/vnd.github+json",
				       .name = "Authorization",
				       .value = bearer};
	int e;

	if (!bearer)
		return -ENOMEM;
	e = vendor_ask(r, &ask, w, a);
	explicit_bzero(bearer, strlen(bearer));
	return e;
}

/* An owner is an organisation or a user; 404 where it is the other. */
static int find_owner(struct registry *r, const struct credential *c,
		      const char *area, struct wait *w, struct vendor_answer *a)
{
	autofree char *base = NULL;
	int e = vendor_base(r, &catalog_ghcr, &base);

	for (size_t i = 0; e == 0 && i < 2; i++) {
		autofree char *url = str_printf(
			"%s/%s/%s/packages?package_type=container&per_page=100",
			base, owners[i], area);

		vendor_answer_done(a);
		e = url ? ask_page(r, c, area, url, w, a) : -ENOMEM;
		if (a->status != 404)
			break;
	}
	return e;
}

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	struct vendor_answer a = {.status = 0};
	int e = vendor_credential(r, area, &c);

	if (e < 0)
		return e;
	if (!*area)
		return vendor_own_namespace(&c, names);
	if (c.kind == CREDENTIAL_NONE)
		return -EOPNOTSUPP;
	e = *cursor ? ask_page(r, &c, area, *cursor, w, &a)
		    : find_owner(r, &c, area, w, &a);
	if (e == 0)
		e = vendor_add_names(r, &packages, area, area, &a, names);
	if (e == 0) {
		free(*cursor);
		*cursor = steal(&a.next);
	}
	vendor_answer_done(&a);
	return e;
}

static const char *const hosts[] = {"ghcr.io", NULL};

const struct catalog_lister catalog_ghcr = {
	.name = "ghcr",
	.hosts = hosts,
	.service = "ghcr.io",
	.realm_end = "/token",
	.api = "https://api.github.com",
	.area = 1,
	.recursive = true,
	.shallowest = 2,
	.page = page,
};
