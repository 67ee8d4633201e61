/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a token server (registries.md C.2, C.3): GET for everybody and for
 * passwords, POST for identity tokens, redirects on its own origin only.  One
 * that answers 404 is asked once more: GitLab's does so under load.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"
#include "registry/login/token.h"
#include "registry/wire/lines.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/metric.h"

#define CLIENT_ID "registryfs"
#define HOPS_MAX 3 /* on the token server's own origin */
#define MISSED_PAUSE_MS 200

/* POST, OAuth2: the only form that takes an identity token. */
static int build_form(const struct token_want *want, struct str *form)
{
	int r = form_add(form, "grant_type", "refresh_token");

	if (r == 0 && want->service)
		r = form_add(form, "service", want->service);
	if (r == 0)
		r = form_add(form, "client_id", CLIENT_ID);
	if (r == 0 && *want->scope)
		r = form_add(form, "scope", want->scope);
	if (r == 0)
		r = form_add(form, "refresh_token", want->credential->secret);
	return r;
}

/* GET: one scope= per scope. */
static int build_query(const struct token_want *want, char **url)
{
	const struct credential *c = want->credential;
	autofree char *scopes = strdup(want->scope);
	char *rest = scopes;
	int r = scopes ? 0 : -ENOMEM;

	if (r == 0 && c->kind == CREDENTIAL_BASIC && c->user)
		r = url_add_query(url, "account", c->user);
	if (r == 0)
		r = url_add_query(url, "client_id", CLIENT_ID);
	if (r == 0 && want->service)
		r = url_add_query(url, "service", want->service);
	if (r < 0)
		return r;
	while (rest && *rest && r == 0)
		r = url_add_query(url, "scope", strsep(&rest, " "));
	return r;
}

/* Azure's users have theirs as the password of nobody (registries.md D.5). */
static bool is_identity_token(const struct credential *c)
{
	static const char nobody[] = "00000000-0000-0000-0000-000000000000";

	return c->kind == CREDENTIAL_IDENTITY_TOKEN ||
	       (c->kind == CREDENTIAL_BASIC && c->user &&
		strcmp(c->user, nobody) == 0);
}

struct asking {
	const struct token_want *want;
	bool missed; /* it has answered 404 */
	char *url;
	struct str form;    /* secret */
	struct lines lines; /* secret */
};

static void asking_done(struct asking *a)
{
	if (a->form.buf)
		explicit_bzero(a->form.buf, a->form.len);
	str_done(&a->form);
	lines_done(&a->lines);
	free(a->url);
}

static int prepare(struct asking *a)
{
	const struct credential *c = a->want->credential;
	int r;

	a->url = strdup(a->want->realm);
	if (!a->url)
		return -ENOMEM;
	r = lines_add(&a->lines, "Accept", "application/json");
	if (r < 0)
		return r;
	if (is_identity_token(c)) {
		r = build_form(a->want, &a->form);
		if (r == 0)
			r = lines_add(&a->lines, "Content-Type",
				      "application/x-www-form-urlencoded");
		return r;
	}
	r = build_query(a->want, &a->url);
	if (r == 0 && c->kind == CREDENTIAL_BASIC)
		r = lines_add_basic(&a->lines, c);
	return r;
}

/* A password goes over plain http only to hosts where that was asked for. */
static int check_transport(struct wire *wire, const struct asking *a,
			   struct outcome *out)
{
	if (a->want->credential->kind == CREDENTIAL_NONE)
		return 0;
	return exchange_guard(wire, a->want->realm, out);
}

/* Redirects: on the same origin only, where the password already is. */
static int follow(struct asking *a, const struct exchange *x,
		  struct outcome *out)
{
	const char *location = http_header(x->head, "location");
	struct url from = {.host = NULL}, to = {.host = NULL};
	autofree char *next = NULL;
	bool same;
	int r;

	r = location ? url_resolve(a->url, location, &next) : -EINVAL;
	if (r == 0)
		r = url_parse(a->url, &from);
	if (r == 0)
		r = url_parse(next, &to);
	same = r == 0 && url_same_origin(&from, &to);
	url_done(&from);
	url_done(&to);
	if (!same)
		return outcome_set(out, r == -ENOMEM ? r : -EIO,
				   "%s: token server redirects elsewhere",
				   origin_name(x->origin));
	free(a->url);
	a->url = steal(&next);
	return 0;
}

static int refusal(const struct asking *a, struct exchange *x, struct wait *w,
		   struct outcome *out)
{
	enum credential_kind kind = a->want->credential->kind;
	char said[sizeof(out->text)];
	bool is_oci;

	exchange_refusal(x, w, out, &is_oci);
	memcpy(said, out->text, sizeof(said));
	outcome_set(out, out->error, "token server %s: %.400s",
		    origin_name(x->origin), said);
	switch (is_oci && out->status == 404 ? 403 : out->status) {
	case 400: /* invalid_grant */
	case 401:
	case 403:
		out->error = -EACCES;
		out->refused = kind != CREDENTIAL_NONE;
		break;
	default:
		out->error = out->status == 408 || out->status == 429
				     ? -ETIMEDOUT
				     : -EIO;
		out->may_retry = true;
		break;
	}
	return out->error;
}

static int read_answer(struct exchange *x, struct wait *w, char **ret,
		       uint64_t *ret_life_s, struct outcome *out)
{
	char *body = NULL;
	size_t len = 0;
	int r;

	r = exchange_read_all(x, TOKEN_ANSWER_MAX, w, &body, &len, out);
	if (r == -EFBIG) {
		out->may_retry = false;
		return outcome_set(out, -EIO,
				   "token server %s: answer too long",
				   origin_name(x->origin));
	}
	if (r < 0)
		return r;
	r = token_parse(body, len, ret, ret_life_s);
	explicit_bzero(body, len);
	free(body);
	if (r < 0)
		return outcome_set(out, r == -ENOMEM ? r : -EIO,
				   "token server %s: no token in the answer",
				   origin_name(x->origin));
	metric_add(METRIC_TOKENS_FETCHED, 1);
	return 0;
}

static int miss(struct asking *a, struct wait *w, struct outcome *out)
{
	int r = wait_sleep(w, MISSED_PAUSE_MS);

	a->missed = true;
	return r < 0 ? outcome_set(out, r, "no token in time") : 1;
}

/* 1: redirected, or to be asked once more. */
static int ask_once(struct wire *wire, struct asking *a, struct wait *w,
		    char **ret, uint64_t *ret_life_s, struct outcome *out)
{
	bool post = a->form.len > 0;
	const struct exchange_spec spec = {
		.method = post ? "POST" : "GET",
		.url = a->url,
		.headers = lines_list(&a->lines),
		.body = post ? a->form.buf : NULL,
		.body_bytes = a->form.len,
		.max_body_bytes = TOKEN_ANSWER_MAX,
		.peer = a->want->peer,
	};
	struct exchange x;
	int r, status;

	r = exchange_open(wire, &spec, w, &x, out);
	if (r < 0)
		return r;
	status = x.head->status;
	if (status == 200)
		r = read_answer(&x, w, ret, ret_life_s, out);
	else if (status == 307 || status == 308 ||
		 (!post && (status == 301 || status == 302 || status == 303)))
		r = follow(a, &x, out) < 0 ? out->error : 1;
	else if (status == 404 && !a->missed)
		r = miss(a, w, out);
	else
		r = refusal(a, &x, w, out);
	exchange_close(&x);
	return r;
}

int token_ask(struct wire *wire, const struct token_want *want, struct wait *w,
	      char **ret, uint64_t *ret_life_s, struct outcome *out)
{
	struct asking a = {.want = want};
	int r;

	memset(out, 0, sizeof(*out));
	r = check_transport(wire, &a, out);
	if (r < 0)
		return r;
	r = prepare(&a);
	if (r < 0)
		outcome_set(out, r, "cannot ask for a token: %s", strerror(-r));
	else
		r = 1;
	for (int hops = 0; r == 1 && hops <= HOPS_MAX; hops++)
		r = ask_once(wire, &a, w, ret, ret_life_s, out);
	if (r == 1)
		r = outcome_set(out, -EIO, "token server redirects in a ring");
	asking_done(&a);
	return r;
}
