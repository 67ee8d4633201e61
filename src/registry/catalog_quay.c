/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quay: _catalog is what the log-in itself can see, if anything; the REST API
 * of the same host tells everybody a namespace's public repositories, and all
 * of them to an OAuth token, whose user name in `docker login` is $oauthtoken.
 * Robots and passwords are nothing to the API.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"
#include "registry/host.h"
#include "registry/vendor.h"
#include "util/auto.h"
#include "util/json.h"

#define CURSOR_MAX 2048

static const struct vendor_list repositories = {.member = "repositories",
						.add = vendor_add_beneath};

static int page_url(struct registry *r, const char *area, const char *cursor,
		    char **ret)
{
	autofree char *base = NULL, *url = NULL;
	int e = vendor_base(r, &catalog_quay, &base);

	if (e < 0)
		return e;
	/* An area has one component: nothing to be encoded. */
	url = str_printf("%s/api/v1/repository?namespace=%s&public=true", base,
			 area);
	if (!url)
		return -ENOMEM;
	if (cursor)
		e = url_add_query(&url, "next_page", cursor);
	if (e == 0)
		*ret = steal(&url);
	return e;
}

static int ask_page(struct registry *r, const char *area, const char *url,
		    struct wait *w, struct vendor_answer *a)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	struct vendor_ask ask = {
		.url = url, .object = area, .name = "Authorization"};
	char *bearer = NULL;
	int e = vendor_credential(r, area, &c);

	if (e < 0)
		return e;
	if (c.kind == CREDENTIAL_BASIC && c.user &&
	    strcmp(c.user, "$oauthtoken") == 0) {
		bearer = str_printf("Bearer %s", c.secret);
		if (!bearer)
			return -ENOMEM;
	}
	ask.value = bearer;
	e = vendor_ask(r, &ask, w, a);
	credential_wipe(bearer);
	return e;
}

/* Says where to go on in the document itself. */
static int keep_cursor(struct registry *r, const char *area,
		       const struct json *doc, char **cursor)
{
	const char *next = json_string(json_find(doc, "next_page"));
	char *copy = NULL;

	if (next && *next) {
		if (strlen(next) > CURSOR_MAX)
			return vendor_broken(r, area, "its pages do not end");
		if (*cursor && strcmp(*cursor, next) == 0)
			return vendor_broken(r, area, "a page leads to itself");
		copy = strdup(next);
		if (!copy)
			return -ENOMEM;
	}
	free(*cursor);
	*cursor = copy;
	return 0;
}

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	struct vendor_answer a = {.status = 0};
	autofree char *url = NULL;
	int e;

	if (!*area)
		return catalog_v2.page(r, area, cursor, w, names);
	e = page_url(r, area, *cursor, &url);
	if (e == 0)
		e = ask_page(r, area, url, w, &a);
	if (e == 0)
		e = vendor_add_names(r, &repositories, area, area, &a, names);
	if (e == 0)
		e = keep_cursor(r, area, a.doc, cursor);
	vendor_answer_done(&a);
	return e;
}

static const char *const hosts[] = {"quay.io", NULL};

const struct catalog_lister catalog_quay = {
	.name = "quay",
	.hosts = hosts,
	.service = "*",
	.realm_end = "/v2/auth",
	.api = "https://quay.io",
	.area = 1,
	.recursive = true,
	.shallowest = 2,
	.page = page,
};
