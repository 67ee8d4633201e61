/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure side of tokens: whom a registry may name as its token server
 * (faults.md A2: the wrong answer hands a password to a stranger), what its
 * answers hold, and sets of scopes.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/allow.h"
#include "http/url.h"
#include "registry/login/jwt.h"
#include "registry/login/token.h"
#include "registry/wire/redirect.h"
#include "util/auto.h"
#include "util/json.h"
#include "util/vec.h"

#define TOKEN_LIFE_MIN_S 60    /* also what is meant where nothing is said */
#define TOKEN_LIFE_MAX_S 86400 /* rubbish beyond that */
#define SCOPES_MAX 64

/* Names under which anybody gets a name: one label more makes a site. */
static const char *const shared_suffixes[] = {
	"ac.uk",	  "co.uk",	 "gov.uk",	  "org.uk",
	"com.au",	  "net.au",	 "org.au",	  "co.nz",
	"co.jp",	  "ne.jp",	 "or.jp",	  "com.cn",
	"net.cn",	  "org.cn",	 "com.br",	  "com.mx",
	"com.ar",	  "com.tr",	 "com.tw",	  "com.sg",
	"com.hk",	  "co.kr",	 "co.in",	  "co.za",
	"co.il",	  "com.ua",	 "com.pl",	  "github.io",
	"gitlab.io",	  "azurecr.io",	 "windows.net",	  "amazonaws.com",
	"cloudfront.net", "appspot.com", "herokuapp.com", "azurewebsites.net",
	"cloudapp.net",	  "fly.dev",	 "web.app",	  "run.app",
	"workers.dev",	  "pages.dev",	 "duckdns.org",
};

/* registry (fnmatch) -> token server, where domains do not tell. */
static const struct realm_pair {
	const char *registry, *realm;
} realm_pairs[] = {
	{"registry-1.docker.io", "auth.docker.io"},
	{"registry.gitlab.com", "gitlab.com"},
	{"*.pkg.dev", "*.pkg.dev"},
	{"*.gcr.io", "gcr.io"},
	{"lscr.io", "ghcr.io"},
};

/* The last n labels, NULL if there are fewer. */
static const char *tail(const char *host, unsigned n)
{
	const char *p = host + strlen(host);

	for (; p > host; p--) {
		if (p[-1] == '.' && --n == 0)
			return p;
	}
	return n == 1 ? host : NULL;
}

/* Two labels, or three beneath a shared suffix; NULL for single names. */
static const char *site(const char *host)
{
	const char *two = tail(host, 2);

	for (size_t i = 0;
	     two && i < sizeof(shared_suffixes) / sizeof(*shared_suffixes);
	     i++) {
		if (strcasecmp(two, shared_suffixes[i]) == 0)
			return tail(host, 3);
	}
	return two;
}

static bool is_same_site(const char *a, const char *b)
{
	const char *x = site(a), *y = site(b);

	return x && y && *x && *y && strcasecmp(x, y) == 0;
}

static bool is_pair(const char *registry, const char *realm)
{
	for (size_t i = 0; i < sizeof(realm_pairs) / sizeof(*realm_pairs);
	     i++) {
		if (fnmatch(realm_pairs[i].registry, registry, 0) == 0 &&
		    fnmatch(realm_pairs[i].realm, realm, 0) == 0)
			return true;
	}
	return false;
}

static bool is_allowed(const char *registry, const char *realm,
		       enum http_peer peer)
{
	enum http_peer from = redirect_host_class(registry);
	enum http_peer to = redirect_host_class(realm);

	if (strcasecmp(registry, realm) == 0)
		return true;
	if (from == HTTP_PEER_ANY)
		from = peer;
	if (to != HTTP_PEER_ANY)
		return to != HTTP_PEER_PUBLIC && to == from;
	/* An address has no site. */
	if (redirect_host_class(registry) != HTTP_PEER_ANY)
		return false;
	return is_same_site(registry, realm) || is_pair(registry, realm);
}

static bool is_trusted(const struct url *realm, struct allow *allow)
{
	autostr name = {.max = URL_MAX};

	return allow && url_place(realm, &name) == 0 &&
	       allow_spells(allow, name.buf);
}

int token_judge_realm(const char *registry_url, const char *realm,
		      enum http_peer peer, struct allow *allow, char **ret,
		      const char **ret_why)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	autofree char *absolute = NULL;
	int r;

	r = redirect_judge(registry_url, realm, peer, &absolute, ret_why);
	if (r < 0)
		return r;
	r = url_parse(registry_url, &a);
	if (r == 0)
		r = url_parse(absolute, &b);
	if (r == 0 && !is_allowed(a.host, b.host, peer) &&
	    !is_trusted(&b, allow)) {
		*ret_why = "is another site, which may be asked once its host "
			   "is on the allow list by name (allow=)";
		r = -EACCES;
	}
	url_done(&a);
	url_done(&b);
	if (r == 0)
		*ret = steal(&absolute);
	return r;
}

static int compare_scopes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Cuts `text` (which is changed) at blanks into v. */
static int split_scopes(char *text, char **v, size_t *len)
{
	size_t most = *len + SCOPES_MAX;
	char *s;

	while ((s = strsep(&text, " \t"))) {
		if (!*s)
			continue;
		if (*len == most)
			return -EFBIG;
		v[(*len)++] = s;
	}
	return 0;
}

int token_merge_scopes(const char *a, const char *b, char **ret)
{
	autofree char *x = strdup(a ? a : "");
	autofree char *y = strdup(b ? b : "");
	autostr out = {.max = TOKEN_SCOPE_MAX};
	char *v[2 * SCOPES_MAX];
	size_t len = 0, kept = 0;
	int r;

	if (!x || !y)
		return -ENOMEM;
	r = split_scopes(x, v, &len);
	if (r == 0)
		r = split_scopes(y, v, &len);
	if (r < 0)
		return r;
	qsort(v, len, sizeof(*v), compare_scopes);
	for (size_t i = 0; i < len && r == 0; i++) {
		if (i && strcmp(v[i], v[i - 1]) == 0)
			continue;
		r = kept++ == SCOPES_MAX
			    ? -EFBIG
			    : str_addf(&out, "%s%s", out.len ? " " : "", v[i]);
	}
	if (r == 0)
		r = str_add(&out, "");
	if (r < 0)
		return r;
	*ret = str_steal(&out);
	return *ret ? 0 : -ENOMEM;
}

/* What may stand in a header: visible ASCII, no blank. */
static bool is_token(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++) {
		if (s[n] <= ' ' || s[n] > '~')
			return false;
	}
	return n > 0 && n <= TOKEN_MAX;
}

/* issued_at is not looked at: with clocks apart, every token would seem to be
 * over at once.  The life is counted from now, on the clock that counts
 * suspend; a token that ends early is answered with 401, which is dealt with.
 */
int token_parse(const char *body, size_t len, char **ret, uint64_t *ret_life_s)
{
	struct json *doc = NULL;
	uint64_t life = TOKEN_LIFE_MIN_S;
	const char *s;
	int r;

	r = json_parse_lenient(body, len, TOKEN_ANSWER_MAX, &doc, NULL);
	if (r < 0)
		return r;
	s = json_string(json_find(doc, "token"));
	if (!s || !*s)
		s = json_string(json_find(doc, "access_token"));
	if (!s || !is_token(s)) {
		json_free(doc);
		return -EBADMSG;
	}
	if (!json_find(doc, "expires_in"))
		life = jwt_life_s(s);
	if (json_opt_u64(doc, "expires_in", UINT64_MAX, &life, NULL) < 0 ||
	    life < TOKEN_LIFE_MIN_S)
		life = TOKEN_LIFE_MIN_S;
	*ret = strdup(s);
	json_free(doc);
	if (!*ret)
		return -ENOMEM;
	*ret_life_s = life < TOKEN_LIFE_MAX_S ? life : TOKEN_LIFE_MAX_S;
	return 0;
}

void token_forget(char *secret)
{
	if (!secret)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}
