/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GitLab (registries.md D.6): _catalog is for administrators, the REST API for
 * everybody.  What a path is, only the API knows, so it is asked for as a
 * group, then as a project, then as a user:
 *
 *   group    -> all repositories of its projects and subgroups
 *   project  -> its repositories
 *   user     -> projects, as folders
 *   ""       -> the projects one is a member of, as folders
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/host.h"
#include "registry/vendor.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/json.h"

static int add_lower(const char *path, const char *end,
		     struct string_list *names)
{
	autofree char *name = str_printf("%s%s", path, end);

	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return string_list_add(names, name);
}

static int add_repository(const struct json *one, const char *area,
			  struct string_list *names)
{
	const char *path = json_string(json_find(one, "path"));

	(void)area;
	return path ? string_list_add(names, path) : 0;
}

static int add_project(const struct json *one, const char *area,
		       struct string_list *names)
{
	const char *path = json_string(json_find(one, "path_with_namespace"));

	(void)area;
	return path ? add_lower(path, "/", names) : 0;
}

/* What a path may be; it stands, percent-encoded, between the two. */
static const struct kind {
	const char *before, *after;
	struct vendor_list list;
	bool needs_slash, needs_none;
} kinds[] = {
	{.before = "/api/v4/groups/",
	 .after = "/registry/repositories?per_page=100",
	 .list = {.add = add_repository}},
	{.before = "/api/v4/projects/",
	 .after = "/registry/repositories?per_page=100",
	 .list = {.add = add_repository},
	 .needs_slash = true},
	{.before = "/api/v4/users/",
	 .after = "/projects?simple=true&per_page=100",
	 .list = {.add = add_project},
	 .needs_none = true},
};
static const struct kind membership = {
	.before = "/api/v4/projects?membership=true&simple=true&per_page=100",
	.after = "",
	.list = {.add = add_project},
};

/* Passwords of jobs have a header of their own; those of deploy tokens are
 * for the registry only. */
static const char *header_for(const struct credential *c)
{
	if (c->kind != CREDENTIAL_BASIC || !c->user)
		return NULL;
	if (strcmp(c->user, "gitlab-ci-token") == 0)
		return "JOB-TOKEN";
	return str_prefix(c->user, "gitlab+deploy-token") ? NULL
							  : "PRIVATE-TOKEN";
}

static int ask_page(struct registry *r, const char *area, const char *url,
		    struct wait *w, struct vendor_answer *a)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	struct vendor_ask ask = {.url = url,
				 .object = *area ? area : "catalogue"};
	int e = vendor_credential(r, area, &c);

	if (e < 0)
		return e;
	ask.name = header_for(&c);
	ask.value = ask.name ? c.secret : NULL;
	/* Nobody is a member of everything that is public. */
	if (!ask.value && !*area)
		return -EOPNOTSUPP;
	e = vendor_ask(r, &ask, w, a);
	/* It may be good for the registry and not for this. */
	if (e == 0 && ask.value && *area &&
	    (a->status == 401 || a->status == 403)) {
		vendor_answer_done(a);
		ask.value = NULL;
		e = vendor_ask(r, &ask, w, a);
	}
	return e;
}

static int write_url(const char *base, const struct kind *k, const char *area,
		     char **ret)
{
	autostr url = {.max = VENDOR_URL_MAX};
	int e = str_addf(&url, "%s%s", base, k->before);

	if (e == 0)
		e = percent_encode(area, "", &url);
	if (e == 0)
		e = str_add(&url, k->after);
	if (e < 0)
		return e;
	*ret = str_steal(&url);
	return *ret ? 0 : -ENOMEM;
}

/* The first page of what the path turns out to be. */
static int find_kind(struct registry *r, const char *base, const char *area,
		     struct wait *w, const struct kind **ret_kind,
		     struct vendor_answer *ret)
{
	bool slash = strchr(area, '/') != NULL;
	struct vendor_answer a = {.status = 0};
	int e = 0;

	for (size_t i = 0; e == 0 && !a.doc; i++) {
		const struct kind *k = *area ? &kinds[i] : &membership;
		autofree char *url = NULL;

		if (i == sizeof(kinds) / sizeof(*kinds) || (i && !*area)) {
			/* Private or absent: both are 404. */
			e = a.status == 404 || !*area
				    ? -EOPNOTSUPP
				    : vendor_refused(r, area, &a);
			break;
		}
		if ((k->needs_slash && !slash) || (k->needs_none && slash))
			continue;
		vendor_answer_done(&a);
		e = write_url(base, k, area, &url);
		if (e == 0)
			e = ask_page(r, area, url, w, &a);
		*ret_kind = k;
	}
	if (e < 0)
		vendor_answer_done(&a);
	else
		*ret = a;
	return e;
}

/* A cursor is the number of the kind and the URL of the page. */
static const struct kind *kind_of(char *const *cursor, const char *area)
{
	return *area ? &kinds[**cursor - '0'] : &membership;
}

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	const char *object = *area ? area : "catalogue";
	struct vendor_answer a = {.status = 0};
	const struct kind *k = NULL;
	autofree char *base = NULL;
	char *next = NULL;
	int e = vendor_base(r, &catalog_gitlab, &base);

	if (e < 0)
		return e;
	if (!*cursor) {
		e = find_kind(r, base, area, w, &k, &a);
	} else {
		k = kind_of(cursor, area);
		e = ask_page(r, area, *cursor + 1, w, &a);
		if (e == 0 && !a.doc)
			e = vendor_refused(r, object, &a);
	}
	if (e == 0)
		e = vendor_add_names(r, &k->list, area, object, &a, names);
	if (e == 0 && a.next) {
		next = str_printf("%c%s",
				  k == &membership ? '0'
						   : (char)('0' + (k - kinds)),
				  a.next);
		e = next ? 0 : -ENOMEM;
	}
	if (e == 0) {
		free(*cursor);
		*cursor = next;
	}
	vendor_answer_done(&a);
	return e;
}

static const char *const hosts[] = {"registry.gitlab.com", NULL};

const struct catalog_lister catalog_gitlab = {
	.name = "gitlab",
	.hosts = hosts,
	.service = "container_registry",
	.realm_end = "/jwt/auth",
	.api = "https://gitlab.com",
	.area = CATALOG_WHOLE_PATH,
	.recursive = true,
	.shallowest = 2,
	.page = page,
};
