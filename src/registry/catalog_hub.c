/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker Hub (registries.md D.1): namespaces by the web API, which wants a
 * token of its own for what is private.  Nobody lists namespaces: `library`
 * and the user's own are known.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/host.h"
#include "registry/login/token.h"
#include "registry/vendor.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/json.h"

#define LOGIN_MS 300000	 /* a token is asked for anew */
#define REFUSED_MS 60000 /* nor is a password sent again so soon */

/* The newer form first. */
static const struct login_form {
	const char *path, *user, *secret, *token;
} login_forms[] = {
	{"/v2/auth/token", "identifier", "secret", "access_token"},
	{"/v2/users/login", "username", "password", "token"},
};

/* --- identification --- */

static int write_login(const struct login_form *f, const struct credential *c,
		       struct str *body)
{
	int e = str_addf(body, "{\"%s\":", f->user);

	if (e == 0)
		e = json_add_string(body, c->user ? c->user : "");
	if (e == 0)
		e = str_addf(body, ",\"%s\":", f->secret);
	if (e == 0)
		e = json_add_string(body, c->secret);
	return e < 0 ? e : str_add(body, "}");
}

/* *ret stays NULL if it is refused. */
static int log_in(struct registry *r, const char *base,
		  const struct credential *c, struct wait *w, char **ret)
{
	const size_t count = sizeof(login_forms) / sizeof(*login_forms);
	int e = 0;

	for (size_t i = 0; e == 0 && i < count; i++) {
		const struct login_form *f = &login_forms[i];
		struct vendor_answer a = {.status = 0};
		autofree char *url = str_printf("%s%s", base, f->path);
		struct str body = {.len = 0};
		const char *token = NULL;

		e = url ? write_login(f, c, &body) : -ENOMEM;
		if (e == 0) {
			const struct vendor_ask ask = {.url = url,
						       .object = "login",
						       .body = body.buf};
			e = vendor_ask(r, &ask, w, &a);
		}
		if (body.buf)
			explicit_bzero(body.buf, body.len);
		str_done(&body);
		if (e == 0 && a.doc)
			token = json_string(json_find(a.doc, f->token));
		if (token && strlen(token) <= TOKEN_MAX) {
			*ret = strdup(token);
			e = *ret ? 0 : -ENOMEM;
		}
		i += e == 0 && a.status != 404 && a.status != 405 ? count : 0;
		vendor_answer_done(&a);
	}
	return e;
}

/* True: known; a copy of the token, or NULL. */
static bool find_login(struct registry *r, const char *identity, char **ret)
{
	autolock(&r->lock);
	if (strcmp(r->login.identity, identity) != 0 ||
	    clock_ms() >= r->login.until_ms)
		return false;
	*ret = r->login.token ? strdup(r->login.token) : NULL;
	return true;
}

static void keep_login(struct registry *r, const char *identity,
		       const char *token)
{
	autolock(&r->lock);
	token_forget(r->login.token);
	r->login.token = token ? strdup(token) : NULL;
	memcpy(r->login.identity, identity, sizeof(r->login.identity));
	r->login.until_ms = clock_ms() + (token ? LOGIN_MS : REFUSED_MS);
}

/* *ret: "Bearer ...", or NULL: as nobody. */
static int identify(struct registry *r, const char *base, const char *area,
		    struct wait *w, char **ret)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	char identity[17];
	char *token = NULL;
	int e = vendor_credential(r, area, &c);

	if (e < 0 || c.kind == CREDENTIAL_NONE)
		return e;
	credential_identity(&c, identity);
	if (!find_login(r, identity, &token)) {
		e = log_in(r, base, &c, w, &token);
		if (e < 0)
			return e;
		keep_login(r, identity, token);
	}
	if (token) {
		*ret = str_printf("Bearer %s", token);
		e = *ret ? 0 : -ENOMEM;
	}
	token_forget(token);
	return e;
}

/* --- listing --- */

static const struct vendor_list repositories = {.member = "results",
						.add = vendor_add_beneath};

static int top(struct registry *r, struct string_list *names)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	int e = vendor_credential(r, "", &c);

	if (e == 0)
		e = string_list_add(names, "library/");
	return e < 0 ? e : vendor_own_namespace(&c, names);
}

static int ask_page(struct registry *r, const char *base, const char *area,
		    const char *url, struct wait *w, struct vendor_answer *a)
{
	struct vendor_ask ask = {
		.url = url, .object = area, .name = "Authorization"};
	char *bearer = NULL;
	int e = identify(r, base, area, w, &bearer);

	ask.value = bearer;
	if (e == 0)
		e = vendor_ask(r, &ask, w, a);
	if (e == 0 && bearer && (a->status == 401 || a->status == 403)) {
		/* It has ended, or is not liked: as nobody, and next time by a
		 * new one. */
		pthread_mutex_lock(&r->lock);
		r->login.until_ms = 0;
		pthread_mutex_unlock(&r->lock);
		vendor_answer_done(a);
		ask.value = NULL;
		e = vendor_ask(r, &ask, w, a);
	}
	token_forget(bearer);
	return e;
}

static int find_next(struct registry *r, const char *area, const char *url,
		     const struct vendor_answer *a, char **ret)
{
	const char *next = json_string(json_find(a->doc, "next"));
	int e = next && *next ? vendor_next(url, next, ret) : 0;

	return e < 0 && e != -ENOMEM
		       ? vendor_broken(r, area, "its next page is elsewhere")
		       : e;
}

static int page(struct registry *r, const char *area, char **cursor,
		struct wait *w, struct string_list *names)
{
	struct vendor_answer a = {.status = 0};
	autofree char *base = NULL;
	autofree char *url = NULL;
	autofree char *next = NULL;
	int e;

	if (!*area)
		return top(r, names);
	e = vendor_base(r, &catalog_hub, &base);
	if (e < 0)
		return e;
	url = *cursor ? strdup(*cursor)
		      : str_printf("%s/v2/namespaces/%s/repositories"
				   "?page=1&page_size=100",
				   base, area);
	e = url ? ask_page(r, base, area, url, w, &a) : -ENOMEM;
	if (e == 0)
		e = vendor_add_names(r, &repositories, area, area, &a, names);
	if (e == 0)
		e = find_next(r, area, url, &a, &next);
	if (e == 0) {
		free(*cursor);
		*cursor = steal(&next);
	}
	vendor_answer_done(&a);
	return e;
}

static const char *const hosts[] = {"docker.io", "index.docker.io",
				    "registry-1.docker.io", NULL};

const struct catalog_lister catalog_hub = {
	.name = "hub",
	.hosts = hosts,
	.service = "registry.docker.io",
	.realm_end = "/token",
	.api = "https://hub.docker.com",
	.area = 1,
	.recursive = true,
	.deepest = 2,
	.shallowest = 2,
	.page = page,
};
