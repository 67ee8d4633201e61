/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/auth.h"

#include "scripted.h"

#include <errno.h>

#include "registry/call.h"
#include "registry/fetch.h"
#include "registry/host.h"
#include "util/json.h"

#define OTHER_BASIC "eDp5"   /* x:y */
#define BASIC "am86c2VjcmV0" /* jo:secret */
#define DIGEST                                                                 \
	"sha256:"                                                              \
	"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
#define BLOB "/v2/a/b/blobs/" DIGEST

enum mode {
	OPEN,
	BASIC_ONLY,
	BEARER,
	BARE_401, /* names its challenge at /v2/ only */
	GITEA,	  /* two headers, the second without realm */
	EVIL_REALM,
	HUB_EMPTY, /* grants a token that is good for nothing */
	NEW_SCOPE, /* wants more than one would think */
	GHCR,	   /* 403 without a challenge for a bad credential */
	HARBOR,	   /* Basic for the catalogue, Bearer for all else */
};
static enum mode mode;
static unsigned token_number; /* of the valid one; raised to expire it */
static bool token_403;	      /* the token server refuses passwords */
static bool token_gone;	      /* challenges lead to where nobody listens */

static void ask_for_token(struct scripted *s, struct reply *p,
			  const char *scope)
{
	add_head(p,
		 "WWW-Authenticate: Bearer realm=\"%s/token\","
		 "service=\"reg.test\"%s%s%s",
		 token_gone ? "http://127.0.0.1:1" : s->origin,
		 *scope ? ",scope=\"" : "", scope, *scope ? "\"" : "");
	refuse(p, 401, "UNAUTHORIZED");
}

static void answer_token(struct scripted *s, const struct request *q,
			 struct reply *p)
{
	bool named = !head_is(q, "Authorization", NULL);

	if (token_403 && named) {
		refuse(p, 403, "DENIED");
		return;
	}
	say_made(p, 200, "{\"token\":\"tok%u%s%s\",\"expires_in\":300}",
		 token_number, named ? "-named" : "",
		 strstr(q->target, "extra") ? "-extra" : "");
}

static bool has_token(const struct request *q, const char *suffix)
{
	char want[64];

	snprintf(want, sizeof(want), "Bearer tok%u%s", token_number, suffix);
	return head_is(q, "Authorization", want);
}

/* Basic for the catalogue, a token for all else. */
static bool let_in_harbor(struct scripted *s, const struct request *q,
			  struct reply *p, bool v2)
{
	if (strncmp(q->target, "/v2/_catalog", 12) != 0) {
		if (has_token(q, "-named"))
			return true;
		ask_for_token(s, p, v2 ? "" : "repository:a/b:pull");
		return false;
	}
	if (head_is(q, "Authorization", "Basic " BASIC))
		return true;
	add_head(p, "WWW-Authenticate: Basic realm=\"harbor\"");
	refuse(p, 401, "UNAUTHORIZED");
	return false;
}

static bool refuse_scope(struct scripted *s, struct reply *p)
{
	add_head(p,
		 "WWW-Authenticate: Bearer realm=\"%s/token\","
		 "scope=\"repository:a/b:pull\","
		 "error=\"insufficient_scope\"",
		 s->origin);
	refuse(p, 401, "UNAUTHORIZED");
	return false;
}

/* True: let in. */
static bool let_in(struct scripted *s, const struct request *q, struct reply *p)
{
	bool v2 = strcmp(q->target, "/v2/") == 0;

	switch (mode) {
	case OPEN:
		return true;
	case BASIC_ONLY:
		if (head_is(q, "Authorization", "Basic " BASIC))
			return true;
		add_head(p, "WWW-Authenticate: BASIC realm=\"x\"");
		refuse(p, 401, "UNAUTHORIZED");
		return false;
	case BEARER:
		if (has_token(q, "") || has_token(q, "-named"))
			return true;
		ask_for_token(s, p, v2 ? "" : "repository:a/b:pull");
		return false;
	case BARE_401:
		if (has_token(q, ""))
			return true;
		if (v2)
			ask_for_token(s, p, "");
		else
			refuse(p, 401, "UNAUTHORIZED");
		return false;
	case GITEA:
		if (has_token(q, ""))
			return true;
		add_head(p, "WWW-Authenticate: Basic");
		ask_for_token(s, p, "*");
		return false;
	case EVIL_REALM:
		add_head(p, "WWW-Authenticate: Bearer "
			    "realm=\"http://evil.example/token\"");
		refuse(p, 401, "UNAUTHORIZED");
		return false;
	case HUB_EMPTY:
		return refuse_scope(s, p);
	case NEW_SCOPE:
		if (has_token(q, "-extra"))
			return true;
		ask_for_token(s, p, v2 ? "" : "extra:b:pull");
		return false;
	case GHCR:
		if (has_token(q, ""))
			return true;
		if (head_is(q, "Authorization", NULL))
			ask_for_token(s, p, v2 ? "" : "repository:a/b:pull");
		else
			refuse(p, 403, "DENIED");
		return false;
	case HARBOR:
		return let_in_harbor(s, q, p, v2);
	}
	return false;
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	if (strncmp(q->target, "/token", 6) == 0) {
		answer_token(s, q, p);
		return;
	}
	add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (!let_in(s, q, p))
		return;
	if (strcmp(q->target, "/v2/") == 0 ||
	    strncmp(q->target, "/v2/_catalog", 12) == 0) {
		say(p, 200, "{}");
	} else if (strcmp(q->target, BLOB) == 0) {
		add_head(p, "ratelimit-limit: 100;w=21600");
		add_head(p, "ratelimit-remaining: 76;w=21600");
		say(p, 200, "hello world");
	} else {
		refuse(p, 404, "BLOB_UNKNOWN");
	}
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	mode = OPEN;
	token_number = 1;
	token_403 = token_gone = false;
	client_start(c, answer, answer);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	return 0;
}

static void test_probe(void **state)
{
	static const struct {
		enum mode mode;
		const char *login;
		int status;
		const char *auth;
		bool with;
	} rows[] = {
		{OPEN, NULL, 200, "none", false},
		{OPEN, BASIC, 200, "none", false},
		{BASIC_ONLY, NULL, 401, "basic", false},
		{BASIC_ONLY, BASIC, 200, "basic", true},
		{BEARER, NULL, 200, "bearer", false},
		{BEARER, BASIC, 200, "bearer", true},
		{GITEA, NULL, 200, "bearer", false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct registry_probe p;
		struct client *c;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		if (rows[i].login)
			client_login(c, rows[i].login);
		assert_int_equal(registry_probe(c->r, &c->w, &p), 0);
		assert_int_equal(p.status, rows[i].status);
		assert_string_equal(p.auth, rows[i].auth);
		assert_int_equal(p.with_credential, rows[i].with);
		assert_string_equal(p.api_version, "registry/2.0");
		assert_false(p.https || p.tls_verified);
		assert_int_equal(*p.realm != '\0',
				 strcmp(p.auth, "bearer") == 0);
		teardown(state);
	}
}

static void test_anonymous_bearer(void **state)
{
	struct client *c = *state;

	mode = BEARER;
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	/* 401, token, answer; then the token is known. */
	assert_int_equal(c->s.asked, 3);
	assert_int_equal(asked(&c->s, "GET /token?client_id=registryfs&service="
				      "reg.test&scope=repository%3Aa%2Fb%3A"
				      "pull HTTP"),
			 1);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(c->s.asked, 4);
	/* It ends before its time: one 401, one new token, no attempt lost. */
	token_number++;
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(c->s.asked, 7);
}

static void test_credential_first(void **state)
{
	struct client *c = *state;
	char id[17], nobody[17];

	assert_int_equal(registry_identity(c->r, "a/b", nobody), 0);
	assert_string_equal(nobody, "anonymous");
	mode = BEARER;
	client_login(c, BASIC);
	assert_int_equal(registry_identity(c->r, "a/b", id), 0);
	assert_string_not_equal(id, nobody);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	/* What is asked for is learned from /v2/, not with the password. */
	assert_int_equal(c->s.asked, 3);
	assert_int_equal(asked(&c->s, "GET /v2/ HTTP"), 1);
	assert_int_equal(asked(&c->s, "Basic " BASIC), 1);
	assert_non_null(strstr(last_asked(&c->s, "Basic "), "GET /token?"));
}

static void test_challenges(void **state)
{
	static const struct {
		enum mode mode;
		const char *login;
		int result;
		unsigned asked;
	} rows[] = {
		{BASIC_ONLY, BASIC, 11, 2},
		{BASIC_ONLY, NULL, -EACCES, 1},
		/* bare 401, /v2/, token, answer */
		{BARE_401, NULL, 11, 4},
		{GITEA, NULL, 11, 3},
		{EVIL_REALM, NULL, -EACCES, 1},
		/* 401, token, 401 */
		{HUB_EMPTY, NULL, -EACCES, 3},
		/* 401, token for both scopes, answer */
		{NEW_SCOPE, NULL, 11, 3},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		if (rows[i].login)
			client_login(c, rows[i].login);
		assert_int_equal(client_blob_size(c, DIGEST), rows[i].result);
		assert_int_equal(c->s.asked, rows[i].asked);
		assert_int_equal(c->other.asked, 0);
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		teardown(state);
	}
}

/* The scope that was asked for is remembered: no 401 the next time, even when
 * the token has to be renewed. */
static void test_scope_remembered(void **state)
{
	struct client *c = *state;

	mode = NEW_SCOPE;
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	tokens_drop(c->r->tokens, "tok1-extra");
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(c->s.asked, 5);
}

/* A good token that is not enough is not asked for again and again. */
static void test_not_enough(void **state)
{
	struct client *c = *state;

	mode = HUB_EMPTY;
	assert_int_equal(client_blob_size(c, DIGEST), -EACCES);
	assert_int_equal(client_blob_size(c, DIGEST), -EACCES);
	assert_int_equal(asked(&c->s, "GET /token"), 1);
	assert_int_equal(c->s.asked, 4);
}

/* A token server that cannot be reached may have moved: where, a challenge
 * says. */
static void test_moved_realm(void **state)
{
	struct client *c = *state;

	for (int named = 0; named < 2; named++) {
		mode = BEARER;
		token_number++; /* nobody has one any more */
		token_gone = true;
		assert_int_equal(client_blob_size(c, DIGEST), -ECONNREFUSED);
		token_gone = false;
		assert_int_equal(client_blob_size(c, DIGEST), 11);
		teardown(state);
		setup(state);
		c = *state;
		client_login(c, BASIC);
	}
}

static void test_evil_realm(void **state)
{
	struct client *c = *state;

	mode = EVIL_REALM;
	client_login(c, BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), -EACCES);
	assert_non_null(strstr(client_errors(c), "another site"));
	assert_int_equal(asked(&c->s, "Basic "), 0);
}

/* Refused: looked up again, then without, for reading. */
static void test_refused_credential(void **state)
{
	struct client *c = *state;

	mode = BEARER;
	token_403 = true;
	client_login(c, BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	/* /v2/, token refused, token for nobody, answer */
	assert_int_equal(c->s.asked, 4);
	/* And is not sent again for a while. */
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(c->s.asked, 5);
	assert_int_equal(asked(&c->s, "Basic "), 1);
}

static void test_newer_credential(void **state)
{
	struct client *c = *state;

	mode = BASIC_ONLY;
	client_login(c, OTHER_BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), -EACCES);
	/* As docker login would, behind our back. */
	c->r->refresh_after_ms = 0;
	client_auths(c, NULL);
	client_login(c, BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
}

static void test_forbidden(void **state)
{
	struct client *c = *state;

	mode = GHCR;
	client_login(c, BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	/* /v2/, token, 403, token for nobody, answer */
	assert_int_equal(c->s.asked, 5);
}

/* Two ways at one host do not push each other out. */
static void test_two_schemes(void **state)
{
	const struct call_spec catalogue = {.method = "GET",
					    .path = "/v2/_catalog",
					    .repository = "",
					    .scope = "registry:catalog:*",
					    .object = "catalogue",
					    .max_body_bytes = 1000,
					    .document = true};
	struct client *c = *state;
	struct call *call;

	mode = HARBOR;
	client_login(c, BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(call_run(c->r, &catalogue, &c->w, &call), 0);
	assert_int_equal(call_status(call), 200);
	call_close(call);
	unsigned n = c->s.asked;
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(c->s.asked, n + 1);
}

static void test_print(void **state)
{
	struct client *c = *state;
	struct str page = {.len = 0}, json = {.len = 0};
	struct json *doc;

	assert_int_equal(registry_print(c->r, &page), 0);
	assert_non_null(strstr(page.buf, "not asked yet"));
	str_clear(&page);
	mode = BEARER;
	client_login(c, BASIC);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(registry_print(c->r, &page), 0);
	assert_non_null(strstr(page.buf, "bearer"));
	assert_non_null(strstr(page.buf, "76 of 100 left"));
	assert_non_null(strstr(page.buf, "1, newest"));
	assert_null(strstr(page.buf, "tok1"));
	assert_int_equal(registry_print_json(c->r, &json), 0);
	assert_int_equal(json_parse(json.buf, json.len, 100000, &doc, NULL), 0);
	assert_string_equal(json_string(json_find(doc, "auth")), "bearer");
	assert_string_equal(json_string(json_find(doc, "transport")), "http");
	json_free(doc);
	str_done(&page);
	str_done(&json);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),
		WITH(test_anonymous_bearer),
		WITH(test_credential_first),
		cmocka_unit_test(test_challenges),
		WITH(test_scope_remembered),
		WITH(test_not_enough),
		WITH(test_moved_realm),
		WITH(test_evil_realm),
		WITH(test_refused_credential),
		WITH(test_newer_credential),
		WITH(test_forbidden),
		WITH(test_two_schemes),
		WITH(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
