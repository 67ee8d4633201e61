/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harbor (registries.md D.8): _catalog is for administrators, the REST API of
 * the same host shows everybody what they may see: projects, and in each its
 * repositories.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/host.h"
#include "registry/vendor.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/json.h"

static int add_project(const struct json *one, const char *area,
		       struct string_list *names)
{
	const char *s = json_string(json_find(one, "name"));
	autofree char *name = s ? str_printf("%s/", s) : NULL;

	(void)area;
	if (!s)
		return 0;
	return name ? string_list_add(names, name) : -ENOMEM;
}

/* "project/repository" */
static int add_repository(const struct json *one, const char *area,
			  struct string_list *names)
{
	const char *s = json_string(json_find(one, "name"));

	(void)area;
	return s ? string_list_add(names, s) : 0;
}

static const struct vendor_list projects = {.add = add_project};
static const struct vendor_list repositories = {.add = add_repository};

/* "Basic ...", or NULL. */
static int identify(struct registry *r, const char *area, char **ret)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	struct str pair = {.len = 0}, line = {.len = 0};
	int e = vendor_credential(r, area, &c);

	if (e < 0 || c.kind == CREDENTIAL_NONE)
		return e;
	e = str_addf(&pair, "%s:%s", c.user ? c.user : "", c.secret);
	if (e == 0)
		e = str_add(&line, "Basic ");
	if (e == 0)
		e = base64_encode(pair.buf, pair.len, &line);
	if (e == 0) {
		*ret = str_steal(&line);
		e = *ret ? 0 : -ENOMEM;
	}
	if (pair.buf)
		explicit_bzero(pair.buf, pair.len);
	str_done(&pair);
	str_done(&line);
	return e;
}

static int ask_page(struct registry *r, const char *area, const char *url,
		    struct wait *w, struct vendor_answer *a)
{
	struct vendor_ask ask = {.url = url,
				 .object = *area ? area : "catalogue",
				 .name = "Authorization"};
	char *basic = NULL;
	int e = identify(r, area, &basic);

	ask.value = basic;
	if (e == 0)
		e = vendor_ask(r, &ask, w, a);
	if (e == 0 && basic && (a->status == 401 || a->status == 403)) {
		vendor_answer_done(a);
		ask.value = NULL;
		e = vendor_ask(r, &ask, w, a);
	}
	credential_wipe(basic);
	return e;
}

static int first_url(struct registry *r, const char *area, char **ret)
{
	autofree char *base = NULL;
	int e = vendor_base(r, &catalog_harbor, &base);

	if (e < 0)
		return e;
	/* An area has one component: nothing to be encoded. */
	*ret = str_printf("%s/api/v2.0/projects%s%s%s?page=1&page_size=100",
			  base, *area ? "/" : "", area,
			  *area ? "/repositories" : "");
	return *ret ? 0 : -ENOMEM;
}

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	const char *object = *area ? area : "catalogue";
	struct vendor_answer a = {.status = 0};
	autofree char *url = *cursor ? strdup(*cursor) : NULL;
	int e = 0;

	if (!*cursor)
		e = first_url(r, area, &url);
	else if (!url)
		e = -ENOMEM;
	if (e == 0)
		e = ask_page(r, area, url, w, &a);
	if (e == 0)
		e = vendor_add_names(r, *area ? &repositories : &projects, area,
				     object, &a, names);
	if (e == 0) {
		free(*cursor);
		*cursor = steal(&a.next);
	}
	vendor_answer_done(&a);
	return e;
}

const struct catalog_lister catalog_harbor = {
	.name = "harbor",
	.service = "harbor-registry",
	.realm_end = "/service/token",
	.area = 1,
	.recursive = true,
	.shallowest = 2,
	.page = page,
};
