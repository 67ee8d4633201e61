/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload identity (registries.md D.5): a token file that somebody keeps fresh
 *   -> Entra: client_credentials with it as an assertion: an access token
 *   -> the registry's /oauth2/exchange: a refresh token of its own (hours)
 * which is an identity token from then on.  Who we are is the application, not
 * the file, which changes all the time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/authenv.h"
#include "config/trustfile.h"
#include "registry/host.h"
#include "registry/login.h"
#include "registry/login/jwt.h"
#include "registry/wire/lines.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/json.h"
#include "util/str.h"

#define AUTHORITY "https://login.microsoftonline.com"
#define AUDIENCE "https://containerregistry.azure.net/.default"
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define ASSERTION_MAX ((size_t)64 << 10)
#define ANSWER_MAX ((size_t)256 << 10)
#define LIFE_DEFAULT_S 3600

AUTOPTR_DEFINE(json, json_free)

static const char *variable(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

static int have(const struct registry *r, struct credential *ret)
{
	const char *tenant = variable("AZURE_TENANT_ID");
	const char *client = variable("AZURE_CLIENT_ID");
	autocredential c = {.kind = CREDENTIAL_IDENTITY_TOKEN};

	(void)r;
	if (!tenant || !client || !variable("AZURE_FEDERATED_TOKEN_FILE"))
		return 0;
	c.user = strdup(client);
	c.secret = strdup(tenant);
	if (!c.user || !c.secret)
		return -ENOMEM;
	*ret = c;
	c = (struct credential){.kind = CREDENTIAL_NONE};
	return 0;
}

static void wipe(struct str *s)
{
	if (s->buf)
		explicit_bzero(s->buf, s->len);
	str_done(s);
}

/* {"NAME": secret}; the answer is wiped. */
static int read_secret(struct exchange *x, const char *name, struct wait *w,
		       char **ret, struct outcome *out)
{
	autoptr(json) doc = NULL;
	char *body = NULL;
	const char *s;
	size_t len = 0;
	int e = exchange_read_all(x, ANSWER_MAX, w, &body, &len, out);

	if (e < 0)
		return e == -EFBIG ? outcome_set(out, -EIO, "answer too long")
				   : e;
	e = json_parse_lenient(body, len, ANSWER_MAX, &doc, NULL);
	explicit_bzero(body, len);
	free(body);
	s = e == 0 ? json_text(json_find(doc, name)) : NULL;
	if (e == -ENOMEM || !s || !*s)
		return outcome_set(out, e == -ENOMEM ? e : -EIO,
				   "%s: no %s in the answer",
				   origin_name(x->origin), name);
	*ret = strdup(s);
	return *ret ? 0 : outcome_set(out, -ENOMEM, "out of memory");
}

static int refusal(struct exchange *x, struct wait *w, struct outcome *out)
{
	char said[sizeof(out->text)];
	bool is_oci;

	exchange_refusal(x, w, out, &is_oci);
	memcpy(said, out->text, sizeof(said));
	out->refused = out->status >= 400 && out->status <= 404;
	out->may_retry = !out->refused;
	return outcome_set(out, out->refused ? -EACCES : -EIO, "%s: %.400s",
			   origin_name(x->origin), said);
}

/* POST of a form to a place that the user, or Azure, chose; no redirects. */
static int post(struct registry *r, const char *url, const struct str *form,
		const char *name, struct wait *w, char **ret,
		struct outcome *out)
{
	struct lines lines = {.len = 0};
	struct exchange x;
	int e = lines_add(&lines, "Accept", "application/json");

	if (e == 0)
		e = lines_add(&lines, "Content-Type",
			      "application/x-www-form-urlencoded");
	if (e < 0)
		outcome_set(out, e, "out of memory");
	else
		e = exchange_guard(&r->wire, url, out);
	if (e == 0) {
		const struct exchange_spec spec = {
			.method = "POST",
			.url = url,
			.headers = lines_list(&lines),
			.body = form->buf,
			.body_bytes = form->len,
			.max_body_bytes = ANSWER_MAX,
		};

		e = exchange_open(&r->wire, &spec, w, &x, out);
	}
	lines_done(&lines);
	if (e < 0)
		return e;
	e = x.head->status == 200 ? read_secret(&x, name, w, ret, out)
				  : refusal(&x, w, out);
	exchange_close(&x);
	return e;
}

static int read_assertion(char **ret, struct outcome *out)
{
	const char *path = variable("AZURE_FEDERATED_TOKEN_FILE");
	struct trustfile_id id;
	const char *reason =
		path && *path != '/' ? "is no absolute path" : "is gone";
	size_t len;
	int e = path && *path == '/' ? trustfile_read(path, ASSERTION_MAX, ret,
						      &len, &id, &reason)
				     : -ENOENT;

	if (e < 0) {
		out->refused = e != -ENOMEM;
		return outcome_set(out, e == -ENOMEM ? e : -EACCES, "%s %s",
				   path ? path : "the token file", reason);
	}
	(*ret)[strcspn(*ret, " \t\r\n")] = '\0';
	return 0;
}

static int ask_entra(struct registry *r, const struct credential *who,
		     struct wait *w, char **ret, struct outcome *out)
{
	const char *authority = variable("AZURE_AUTHORITY_HOST");
	autostr url = {.len = 0};
	struct str form = {.max = 4 * ASSERTION_MAX};
	char *assertion = NULL;
	size_t n;
	int e = read_assertion(&assertion, out);

	if (e < 0)
		return e;
	authority = authority ? authority : AUTHORITY;
	n = strlen(authority);
	e = str_reserve(&form, 3 * ASSERTION_MAX + 4096);
	if (e == 0)
		e = str_addf(&url, "%.*s/",
			     (int)(n && authority[n - 1] == '/' ? n - 1 : n),
			     authority);
	if (e == 0)
		e = percent_encode(who->secret, "", &url);
	if (e == 0)
		e = str_add(&url, "/oauth2/v2.0/token");
	if (e == 0)
		e = form_add(&form, "grant_type", "client_credentials");
	if (e == 0)
		e = form_add(&form, "client_id", who->user);
	if (e == 0)
		e = form_add(&form, "scope", AUDIENCE);
	if (e == 0)
		e = form_add(&form, "client_assertion_type", ASSERTION_TYPE);
	if (e == 0)
		e = form_add(&form, "client_assertion", assertion);
	credential_wipe(assertion);
	e = e < 0 ? outcome_set(out, e, "cannot ask: %s", strerror(-e))
		  : post(r, url.buf, &form, "access_token", w, ret, out);
	wipe(&form);
	return e;
}

static int exchange(struct registry *r, const char *tenant, const char *token,
		    struct wait *w, char **ret, struct outcome *out)
{
	struct str form = {.max = 4 * ANSWER_MAX};
	autofree char *base = NULL;
	autofree char *url = NULL;
	int e = registry_base(r, &base);

	if (e == 0) {
		url = str_printf("%s/oauth2/exchange", base);
		e = url ? str_reserve(&form, 3 * strlen(token) + 4096)
			: -ENOMEM;
	}
	if (e == 0)
		e = form_add(&form, "grant_type", "access_token");
	if (e == 0)
		e = form_add(&form, "service", r->host);
	if (e == 0)
		e = form_add(&form, "tenant", tenant);
	if (e == 0)
		e = form_add(&form, "access_token", token);
	e = e < 0 ? outcome_set(out, e, "cannot ask: %s", strerror(-e))
		  : post(r, url, &form, "refresh_token", w, ret, out);
	wipe(&form);
	return e;
}

static int ask(struct registry *r, const struct credential *who, struct wait *w,
	       struct credential *ret, uint64_t *ret_life_s,
	       struct outcome *out)
{
	char *token = NULL, *refresh = NULL;
	int e = ask_entra(r, who, w, &token, out);

	if (e == 0)
		e = exchange(r, who->secret, token, w, &refresh, out);
	credential_wipe(token);
	if (e < 0)
		return e;
	*ret_life_s = jwt_life_s(refresh);
	if (*ret_life_s == 0)
		*ret_life_s = LIFE_DEFAULT_S;
	*ret = (struct credential){.kind = CREDENTIAL_IDENTITY_TOKEN,
				   .secret = refresh};
	return 0;
}

const struct login_row login_azure = {
	.name = "workload identity",
	.hosts = authenv_azure_hosts,
	.have = have,
	.ask = ask,
};
