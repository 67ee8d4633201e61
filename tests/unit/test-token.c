/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/login/token.h"

#include "scripted.h"

#include <errno.h>
#include <stdatomic.h>

#include "util/clock.h"

static const struct {
	const char *registry, *realm;
	enum http_peer peer;
	const char *result; /* NULL: refused */
} realm_rows[] = {
	{"https://reg.test/v2/", "https://reg.test/token", HTTP_PEER_PUBLIC,
	 "https://reg.test/token"},
	{"https://reg.test/v2/", "https://reg.test:8443/token?a=b",
	 HTTP_PEER_PUBLIC, "https://reg.test:8443/token?a=b"},
	{"https://reg.good.com/v2/", "https://auth.good.com/token",
	 HTTP_PEER_PUBLIC, "https://auth.good.com/token"},
	{"https://reg.good.com/v2/", "/auth/token", HTTP_PEER_PUBLIC,
	 "https://reg.good.com/auth/token"},
	{"https://registry-1.docker.io/v2/", "https://auth.docker.io/token",
	 HTTP_PEER_PUBLIC, "https://auth.docker.io/token"},
	{"https://registry.gitlab.com/v2/", "https://gitlab.com/jwt/auth",
	 HTTP_PEER_PUBLIC, "https://gitlab.com/jwt/auth"},
	{"https://us-docker.pkg.dev/v2/",
	 "https://europe-docker.pkg.dev/v2/token", HTTP_PEER_PUBLIC,
	 "https://europe-docker.pkg.dev/v2/token"},
	{"https://lscr.io/v2/", "https://ghcr.io/token", HTTP_PEER_PUBLIC,
	 "https://ghcr.io/token"},
	{"https://eu.gcr.io/v2/", "https://gcr.io/v2/token", HTTP_PEER_PUBLIC,
	 "https://gcr.io/v2/token"},
	/* Somebody else's. */
	{"https://reg.good.com/v2/", "https://evil.com/token", HTTP_PEER_PUBLIC,
	 NULL},
	{"https://good.com/v2/", "https://good.com.evil/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://good.com/v2/", "https://evilgood.com/token", HTTP_PEER_PUBLIC,
	 NULL},
	{"https://good.com/v2/", "https://auth.good.com./token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://a.co.uk/v2/", "https://b.co.uk/token", HTTP_PEER_PUBLIC,
	 NULL},
	{"https://x.a.co.uk/v2/", "https://y.a.co.uk/token", HTTP_PEER_PUBLIC,
	 "https://y.a.co.uk/token"},
	{"https://a.azurecr.io/v2/", "https://b.azurecr.io/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://xn--gd-fka.com/v2/", "https://god.com/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "http://reg.good.com/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "https://127.0.0.1/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "https://[::1]/token", HTTP_PEER_PUBLIC,
	 NULL},
	{"https://reg.good.com/v2/", "https://169.254.169.254/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "https://93.184.216.34/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "https://u:p@reg.good.com/token",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "https://reg.good.com/\r\nX: y",
	 HTTP_PEER_PUBLIC, NULL},
	{"https://reg.good.com/v2/", "ftp://reg.good.com/", HTTP_PEER_PUBLIC,
	 NULL},
	{"https://reg.good.com/v2/", "https://10.0.0.1/token",
	 HTTP_PEER_PRIVATE, "https://10.0.0.1/token"},
	{"https://reg.good.com/v2/", "https://127.0.0.1/token",
	 HTTP_PEER_PRIVATE, NULL},
	{"http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/token",
	 HTTP_PEER_LOOPBACK, "http://127.0.0.1:5001/token"},
	{"http://127.0.0.1:5000/v2/", "http://localhost:5001/token",
	 HTTP_PEER_LOOPBACK, "http://localhost:5001/token"},
	{"http://127.0.0.1:5000/v2/", "http://10.0.0.1/token",
	 HTTP_PEER_LOOPBACK, NULL},
	{"http://127.0.0.1:5000/v2/", "https://auth.evil.com/token",
	 HTTP_PEER_LOOPBACK, NULL},
	{"https://reg/v2/", "https://auth/token", HTTP_PEER_PRIVATE, NULL},
};

static void test_realm(void **state)
{
	static char long_realm[70000];

	for (size_t i = 0; i < COUNT(realm_rows); i++) {
		const char *why = NULL;
		char *url = NULL;
		int r = token_judge_realm(realm_rows[i].registry,
					  realm_rows[i].realm,
					  realm_rows[i].peer, NULL, &url, &why);

		if (realm_rows[i].result) {
			assert_int_equal(r, 0);
			assert_string_equal(url, realm_rows[i].result);
		} else {
			if (r != -EACCES)
				print_error("%s\n", realm_rows[i].realm);
			assert_int_equal(r, -EACCES);
			assert_non_null(why);
		}
		free(url);
	}
	memset(long_realm, 'a', sizeof(long_realm) - 1);
	memcpy(long_realm, "https://reg.test/", 17);
	const char *why = NULL;
	char *url = NULL;
	assert_int_equal(token_judge_realm("https://reg.test/v2/", long_realm,
					   HTTP_PEER_PUBLIC, NULL, &url, &why),
			 -EACCES);
}

/* A host that the user has named, and not by a pattern that fits it. */
static void test_trusted_realm(void **state)
{
	static const struct {
		const char *list;
		bool trusted;
	} rows[] = {
		{"reg.good.com auth.else.org", true},
		{"reg.good.com *.else.org", false},
		{"reg.good.com *", false},
		{"reg.good.com auth.else.org/team", false},
		{"reg.good.com auth.else.org:8443", false},
		{"reg.good.com else.org", false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct options o = {.source = NULL};
		struct dockerauth *auth;
		struct allow *allow;
		const char *why = "";
		char *list = strdup(rows[i].list), *rest = list, *url = NULL;
		int r;

		while (rest)
			string_list_add(&o.allow, strsep(&rest, " "));
		assert_int_equal(dockerauth_new(NULL, &auth), 0);
		assert_int_equal(allow_new(&o, auth, &allow), 0);
		r = token_judge_realm("https://reg.good.com/v2/",
				      "https://auth.else.org/token",
				      HTTP_PEER_PUBLIC, allow, &url, &why);
		assert_int_equal(r, rows[i].trusted ? 0 : -EACCES);
		if (r < 0)
			assert_non_null(strstr(why, "allow="));
		/* It is never a way to a nearer network, or out of TLS. */
		assert_int_equal(token_judge_realm("https://reg.good.com/v2/",
						   "http://auth.else.org/token",
						   HTTP_PEER_PUBLIC, allow,
						   &url, &why),
				 -EACCES);
		free(url);
		free(list);
		string_list_done(&o.allow);
		allow_free(allow);
		dockerauth_free(auth);
	}
}

static void test_scopes(void **state)
{
	static const struct {
		const char *a, *b, *merged;
	} rows[] = {
		{NULL, NULL, ""},
		{"", "", ""},
		{"repository:a:pull", NULL, "repository:a:pull"},
		{"repository:a:pull", "repository:a:pull", "repository:a:pull"},
		{"b a", "c  a", "a b c"},
		{NULL, " x ", "x"},
	};
	static char wide[5000];
	char *s;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(token_merge_scopes(rows[i].a, rows[i].b, &s),
				 0);
		assert_string_equal(s, rows[i].merged);
		free(s);
	}
	memset(wide, 'a', sizeof(wide) - 1);
	assert_int_equal(token_merge_scopes(wide, NULL, &s), -EFBIG);
	for (size_t i = 0; i < sizeof(wide) - 1; i += 2)
		wide[i] = ' ';
	assert_int_equal(token_merge_scopes(wide, NULL, &s), -EFBIG);
}

/* Claims of tokens: iat or nbf 1000, exp 5500; exp only; and absurd ones. */
#define BY_IAT "eyJh.eyJpYXQiOiAxMDAwLCAiZXhwIjogNTUwMH0.sig"
#define BY_NBF "eyJh.eyJuYmYiOiAxMDAwLCAiZXhwIjogNTUwMH0.sig"
#define NO_START "eyJh.eyJleHAiOiA1NTAwfQ.sig"
#define BACKWARDS "eyJh.eyJpYXQiOiA1NTAwLCAiZXhwIjogMTAwMH0.sig"
#define FOR_AGES "eyJh.eyJpYXQiOiAxLCAiZXhwIjogNTQ5NzU1ODEzODg4fQ.sig"

static void test_parse(void **state)
{
	static const struct {
		const char *body, *token; /* NULL: refused */
		uint64_t life;
	} rows[] = {
		{"{\"token\":\"a.b-c\"}", "a.b-c", 60},
		{"{\"access_token\":\"x\",\"expires_in\":300}", "x", 300},
		{"{\"token\":\"\",\"access_token\":\"x\"}", "x", 60},
		{"{\"token\":\"t\",\"access_token\":\"x\",\"expires_in\":5}",
		 "t", 60},
		{"{\"token\":\"t\",\"expires_in\":null}", "t", 60},
		{"{\"token\":\"t\",\"expires_in\":\"300\"}", "t", 60},
		{"{\"token\":\"t\",\"expires_in\":-1}", "t", 60},
		{"{\"token\":\"t\",\"expires_in\":9223372036854775807}", "t",
		 86400},
		{"{\"token\":\"t\",\"issued_at\":\"1999-01-01T00:00:00Z\","
		 "\"expires_in\":300}",
		 "t", 300},
		/* Some say it in the token only. */
		{"{\"token\":\"" BY_IAT "\"}", BY_IAT, 4500},
		{"{\"token\":\"" BY_NBF "\",\"expires_in\":300}", BY_NBF, 300},
		{"{\"token\":\"" NO_START "\"}", NO_START, 60},
		{"{\"token\":\"" BACKWARDS "\"}", BACKWARDS, 60},
		{"{\"token\":\"" FOR_AGES "\"}", FOR_AGES, 86400},
		{"{\"token\":\"a.e30.c\"}", "a.e30.c", 60},
		{"{\"token\":\"a.W10.c\"}", "a.W10.c", 60},
		{"{\"token\":\"a.b.c.d\"}", "a.b.c.d", 60},
		{"{\"token\":\"a b\"}", NULL, 0},
		{"{\"token\":\"a\\r\\nX: y\"}", NULL, 0},
		{"{\"token\":7}", NULL, 0},
		{"{\"token\":\"\"}", NULL, 0},
		{"{}", NULL, 0},
		{"[]", NULL, 0},
		{"\"x\"", NULL, 0},
		{"<html>", NULL, 0},
		{"", NULL, 0},
	};
	uint64_t life;
	char *token;

	for (size_t i = 0; i < COUNT(rows); i++) {
		int r = token_parse(rows[i].body, strlen(rows[i].body), &token,
				    &life);

		if (!rows[i].token) {
			assert_int_equal(r, -EBADMSG);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(token, rows[i].token);
		assert_int_equal(life, rows[i].life);
		token_forget(token);
	}
}

/* --- the server --- */

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	static char big[TOKEN_ANSWER_MAX + 100];
	struct client *c = s->arg;

	if (strncmp(q->target, "/token", 6) == 0) {
		p->delay_ms = strstr(q->target, "slow") ? 100 : 0;
		say(p, 200, "{\"token\":\"tok\",\"expires_in\":300}");
	} else if (strncmp(q->target, "/denied", 7) == 0) {
		say(p, 401, "{\"details\":\"wrong password\"}");
	} else if (strncmp(q->target, "/busy", 5) == 0) {
		add_head(p, "Retry-After: 7");
		refuse(p, 503, "UNAVAILABLE");
	} else if (strncmp(q->target, "/moved", 6) == 0) {
		add_head(p, "Location: /token%s",
			 strchr(q->target, '?') ? strchr(q->target, '?') : "");
		say(p, 307, "");
	} else if (strncmp(q->target, "/away", 5) == 0) {
		add_head(p, "Location: %s/token", c->other.origin);
		say(p, 307, "");
	} else if (strncmp(q->target, "/ring", 5) == 0) {
		add_head(p, "Location: /ring");
		say(p, 302, "");
	} else if (strncmp(q->target, "/page", 5) == 0) {
		say(p, 200, "<html>hello</html>");
	} else if (strncmp(q->target, "/big", 4) == 0) {
		memset(big, ' ', sizeof(big) - 1);
		say(p, 200, big);
	}
}

struct bench {
	struct client c;
	struct wire wire;
	struct doors *doors;
	struct tokens *tokens;
	char realm[128];
	struct credential nobody, basic, identity;
	struct token_want want;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	client_start(&b->c, answer, answer);
	b->wire.http = b->c.http;
	assert_int_equal(doors_new(1000, 0, &b->doors), 0);
	assert_int_equal(origins_init(&b->wire.origins, b->c.hosts, b->doors),
			 0);
	assert_int_equal(tokens_new(&b->tokens), 0);
	b->basic = (struct credential){.kind = CREDENTIAL_BASIC,
				       .user = strdup("jo"),
				       .secret = strdup("secret")};
	b->identity = (struct credential){.kind = CREDENTIAL_IDENTITY_TOKEN,
					  .secret = strdup("canary&1")};
	b->want = (struct token_want){.origin = b->c.s.origin,
				      .realm = b->realm,
				      .service = "reg.test",
				      .scope = "repository:a/b:pull x",
				      .credential = &b->nobody};
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	tokens_free(b->tokens);
	origins_done(&b->wire.origins);
	doors_free(b->doors);
	credential_done(&b->basic);
	credential_done(&b->identity);
	client_stop(&b->c);
	free(b);
	return 0;
}

static int get(struct bench *b, const char *path, char **ret, bool *fresh,
	       struct outcome *out)
{
	snprintf(b->realm, sizeof(b->realm), "%s%s", b->c.s.origin, path);
	return tokens_get(b->tokens, &b->wire, &b->want, &b->c.w, ret, fresh,
			  out);
}

static void test_forms(void **state)
{
	struct bench *b = *state;
	struct scripted *s = &b->c.s;
	struct outcome out;
	struct token_stats stats;
	char *token, value[4096];
	bool fresh;

	assert_int_equal(get(b, "/token?a=b", &token, &fresh, &out), 0);
	assert_string_equal(token, "tok");
	assert_true(fresh);
	token_forget(token);
	assert_int_equal(asked(s, "GET /token?a=b&client_id=registryfs&service="
				  "reg.test&scope=repository%3Aa%2Fb%3Apull&"
				  "scope=x HTTP/1.1"),
			 1);
	assert_null(head_value(last_asked(s, "GET"), "Authorization", value));
	/* Kept, but for this identity only. */
	assert_int_equal(get(b, "/token?a=b", &token, &fresh, &out), 0);
	assert_false(fresh);
	token_forget(token);
	assert_int_equal(asked(s, "/token"), 1);
	b->want.credential = &b->basic;
	assert_int_equal(get(b, "/token?a=b", &token, &fresh, &out), 0);
	token_forget(token);
	assert_int_equal(asked(s, "/token"), 2);
	assert_int_equal(asked(s, "&account=jo&"), 1);
	assert_string_equal(
		head_value(last_asked(s, "GET"), "Authorization", value),
		"Basic am86c2VjcmV0");
	b->want.credential = &b->identity;
	assert_int_equal(get(b, "/token", &token, &fresh, &out), 0);
	token_forget(token);
	assert_int_equal(asked(s, "POST /token HTTP/1.1"), 1);
	assert_null(head_value(last_asked(s, "POST"), "Authorization", value));
	assert_string_equal(
		head_value(last_asked(s, "POST"), "Content-Type", value),
		"application/x-www-form-urlencoded");
	tokens_stats(b->tokens, &stats);
	assert_int_equal(stats.held, 3);
	assert_in_range(stats.left_ms, 290000, 300000);
	/* Dropped wherever it is held. */
	tokens_drop(b->tokens, "tok");
	tokens_stats(b->tokens, &stats);
	assert_int_equal(stats.held, 0);
	assert_int_equal(get(b, "/token", &token, &fresh, &out), 0);
	assert_true(fresh);
	token_forget(token);
}

static void test_keys(void **state)
{
	struct bench *b = *state;
	struct outcome out;
	bool fresh;
	char *token;

	for (int i = 0; i < 4; i++) {
		b->want.origin = i == 1 ? "https://else" : b->c.s.origin;
		b->want.service = i == 2 ? "else" : "reg.test";
		b->want.scope = i == 3 ? "else" : "same";
		assert_int_equal(get(b, "/token", &token, &fresh, &out), 0);
		assert_true(fresh);
		token_forget(token);
	}
	assert_int_equal(asked(&b->c.s, "/token"), 4);
}

static void test_refusals(void **state)
{
	struct bench *b = *state;
	static const struct {
		const char *path;
		int error, status;
		bool refused, retry;
		const char *text;
	} rows[] = {
		{"/denied", -EACCES, 401, true, false, "wrong password"},
		{"/busy", -EIO, 503, false, true, "said UNAVAILABLE"},
		{"/nowhere", -EIO, 404, false, true, "404"},
		{"/away", -EIO, 0, false, false, "elsewhere"},
		{"/ring", -EIO, 0, false, false, "ring"},
		{"/page", -EIO, 0, false, false, "no token"},
		{"/big", -EIO, 0, false, false, "too long"},
	};
	struct outcome out;
	bool fresh;
	char *token;

	b->want.credential = &b->basic;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(get(b, rows[i].path, &token, &fresh, &out),
				 rows[i].error);
		assert_int_equal(out.error, rows[i].error);
		assert_int_equal(out.status, rows[i].status);
		assert_int_equal(out.refused, rows[i].refused);
		assert_int_equal(out.may_retry, rows[i].retry);
		assert_non_null(strstr(out.text, rows[i].text));
		assert_null(strstr(out.text, "secret"));
	}
	assert_int_equal(get(b, "/busy", &token, &fresh, &out), -EIO);
	assert_true(out.has_retry_after);
	assert_int_equal(out.retry_after_s, 7);
	assert_int_equal(b->c.other.asked, 0);
	/* On its own origin the server may move. */
	assert_int_equal(get(b, "/moved", &token, &fresh, &out), 0);
	token_forget(token);
	b->want.credential = &b->nobody;
	assert_int_equal(get(b, "/denied", &token, &fresh, &out), -EACCES);
	assert_false(out.refused);
}

/* A password is not sent without TLS to a host that nobody declared so. */
static void test_plain(void **state)
{
	struct bench *b = *state;
	struct outcome out;
	bool fresh;
	char *token;

	b->want.realm = "http://auth.example.test/token";
	b->want.credential = &b->basic;
	assert_int_equal(tokens_get(b->tokens, &b->wire, &b->want, &b->c.w,
				    &token, &fresh, &out),
			 -EACCES);
	assert_non_null(strstr(out.text, "without TLS"));
}

struct reader {
	struct bench *b;
	atomic_int fresh, good;
};

static void *read_token(void *arg)
{
	struct reader *all = arg;
	struct outcome out;
	struct wait w;
	bool fresh;
	char *token;

	wait_init(&w, 5000, 0);
	if (tokens_get(all->b->tokens, &all->b->wire, &all->b->want, &w, &token,
		       &fresh, &out) < 0)
		return NULL;
	atomic_fetch_add(&all->good, 1);
	token_forget(token);
	return NULL;
}

static void test_one_flight(void **state)
{
	struct bench *b = *state;
	struct reader all = {.b = b};
	pthread_t threads[16];

	snprintf(b->realm, sizeof(b->realm), "%s/token?slow", b->c.s.origin);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, read_token, &all);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(all.good, 16);
	assert_int_equal(asked(&b->c.s, "/token?slow"), 1);
}

/* Who gives up does not take those along who wait for it. */
static void *give_up(void *arg)
{
	struct reader *all = arg;
	struct outcome out;
	struct wait w;
	bool fresh;
	char *token;

	wait_init(&w, 30, 0);
	assert_int_equal(tokens_get(all->b->tokens, &all->b->wire,
				    &all->b->want, &w, &token, &fresh, &out),
			 -ETIMEDOUT);
	return NULL;
}

static void test_giving_up(void **state)
{
	struct bench *b = *state;
	struct reader all = {.b = b};
	pthread_t first, second;

	snprintf(b->realm, sizeof(b->realm), "%s/token?slow", b->c.s.origin);
	pthread_create(&first, NULL, give_up, &all);
	usleep(10000);
	pthread_create(&second, NULL, read_token, &all);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	assert_int_equal(all.good, 1);
}

static void test_many(void **state)
{
	struct bench *b = *state;
	struct token_stats stats;
	struct outcome out;
	char scope[32];
	bool fresh;
	char *token;

	b->want.scope = scope;
	for (int i = 0; i < TOKENS_MAX + 5; i++) {
		snprintf(scope, sizeof(scope), "s%d", i);
		assert_int_equal(get(b, "/token", &token, &fresh, &out), 0);
		token_forget(token);
	}
	tokens_stats(b->tokens, &stats);
	assert_int_equal(stats.held, TOKENS_MAX);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_realm),
		cmocka_unit_test(test_trusted_realm),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_parse),
		WITH(test_forms),
		WITH(test_keys),
		WITH(test_refusals),
		WITH(test_plain),
		WITH(test_one_flight),
		WITH(test_giving_up),
		WITH(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
