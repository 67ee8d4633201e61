/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <pthread.h>

#include "config/authfile.h"
#include "config/dockerauth.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/str.h"

/* {"auth": base64("USER:SECRET")} */
static const char *auth(const char *pair)
{
	static char texts[16][256];
	static unsigned int next;
	autostr b64 = {.max = 0};
	char *text = texts[next++ % COUNT(texts)];

	assert_int_equal(base64_encode(pair, strlen(pair), &b64), 0);
	snprintf(text, sizeof(texts[0]), "{\"auth\":\"%s\"}", b64.buf);
	return text;
}

static const char *file(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static const char *file(const char *fmt, ...)
{
	static char text[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return text;
}

static void helper(const char *name, const char *script)
{
	char path[128];

	snprintf(path, sizeof(path), "bin/docker-credential-%s", name);
	put_mode(path, script, 0755);
}

/* "secret", "" for none, or the name of an error */
static const char *found(struct dockerauth *a, const char *host,
			 const char *repository)
{
	static char text[256];
	struct credential c;
	int r = dockerauth_find(a, host, repository, &c);

	if (r < 0)
		return strerrorname_np(-r);
	snprintf(text, sizeof(text), "%s%s",
		 c.kind == CREDENTIAL_IDENTITY_TOKEN   ? "identity:"
		 : c.kind == CREDENTIAL_REGISTRY_TOKEN ? "registry:"
						       : "",
		 c.secret ? c.secret : "");
	credential_done(&c);
	return text;
}

static struct dockerauth *make(const char *authfile)
{
	struct dockerauth *a;

	assert_int_equal(dockerauth_new(authfile, &a), 0);
	return a;
}

static void keys(void **state)
{
	static const struct {
		const char *host, *repository, *expected;
	} t[] = {
		/* longest path first, exact */
		{"reg.io", "ns/app", "app"},
		{"reg.io", "ns/app/web", "app"},
		{"reg.io", "ns/other", "ns"},
		{"reg.io", "ns", "ns"},
		{"reg.io", "nsx", "reg"},
		{"reg.io", "", "reg"},
		/* a path's secret is for the path alone */
		{"path.io", "team/a", "team"},
		{"path.io", "other", ""},
		{"path.io", "", ""},
		/* hosts, however they are written */
		{"url.io", "x", "url"},
		{"url.io", "", "url"},
		{"old.io", "x", "old"},
		{"slash.io", "", "slash"},
		{"upper.io", "a", "upper"},
		{"both.io", "", "exact"},
		{"http.io:5000", "", "http"},
		{"http.io", "", ""},
		/* Hub */
		{"docker.io", "library/alpine", "hub"},
		{"index.docker.io", "", "hub"},
		{"registry-1.docker.io", "", "hub"},
		/* forms of entries */
		{"plain.io", "", "pw"},
		{"colon.io", "", "a:b"},
		{"nul.io", "", "z"},
		{"identity.io", "", "identity:it"},
		{"registry.io", "", "registry:rt"},
		{"empty.io", "", ""},
		{"emptypw.io", "", ""},
		{"unknown.io", "", ""},
		{"bad.io", "", "EACCES"},
		{"bad2.io", "", "EACCES"},
		{"bad3.io", "", "EACCES"},
		{"bad4.io", "", "EACCES"},
		{"bad5.io", "", "EACCES"},
		{"bad6.io", "", "EACCES"},
	};
	struct dockerauth *a;

	put("auth.json",
	    file("{\"auths\":{"
		 "\"reg.io\":%s,\"reg.io/ns\":%s,\"reg.io/ns/app\":%s,"
		 "\"path.io/team\":%s,"
		 "\"https://url.io/v2/x\":%s,\"old.io/v1/\":%s,"
		 "\"slash.io/\":%s,\"UPPER.io\":%s,"
		 "\"https://both.io\":%s,\"both.io\":%s,"
		 "\"http://http.io:5000\":%s,"
		 "\"https://index.docker.io/v1/\":%s,"
		 "\"plain.io\":{\"username\":\"u\",\"password\":\"pw\"},"
		 "\"colon.io\":%s,\"nul.io\":{\"auth\":\"eDp6AAA=\"},"
		 "\"identity.io\":{\"auth\":\"eDp6\","
		 "\"identitytoken\":\"it\"},"
		 "\"registry.io\":{\"registrytoken\":\"rt\","
		 "\"identitytoken\":\"it\"},"
		 "\"empty.io\":{},\"emptypw.io\":%s,"
		 "\"bad.io\":{\"auth\":\"eDp!\"},"
		 "\"bad2.io\":{\"auth\":\"eA==\"},"
		 "\"bad3.io\":\"x\",\"bad4.io\":{\"auth\":7},"
		 "\"bad6.io\":{\"auth\":\"eDp6AGE=\"},"
		 "\"bad5.io\":{\"registrytoken\":\"a\\nb\"}}}",
		 auth("u:reg"), auth("u:ns"), auth("u:app"), auth("u:team"),
		 auth("u:url"), auth("u:old"), auth("u:slash"), auth("u:upper"),
		 auth("u:normal"), auth("u:exact"), auth("u:http"),
		 auth("u:hub"), auth("u:a:b"), auth("u:")));
	a = make(at("auth.json"));
	capture_begin();
	for (size_t i = 0; i < COUNT(t); i++) {
		const char *got = found(a, t[i].host, t[i].repository);

		if (strcmp(got, t[i].expected) != 0)
			fail_msg("%s/%s: \"%s\"", t[i].host, t[i].repository,
				 got);
	}
	assert_says(capture_end(), "entry for bad.io cannot be used");
	dockerauth_free(a);
}

static void order(void **state)
{
	static const struct {
		const char *host, *expected;
	} t[] = {
		{"1.io", "env"},    {"2.io", "runtime"}, {"3.io", "config"},
		{"4.io", "docker"}, {"5.io", "legacy"},	 {"6.io", ""},
	};
	static const char *const names[] = {"env", "run/containers/auth.json",
					    ".config/containers/auth.json",
					    ".docker/config.json",
					    ".dockercfg"};
	static const char *const secrets[] = {"x:env", "x:runtime", "x:config",
					      "x:docker", "x:legacy"};
	struct dockerauth *a;

	/* each host in two places, but the last */
	put(names[1], file("{\"auths\":{\"1.io\":%s,\"2.io\":%s}}",
			   auth(secrets[1]), auth(secrets[1])));
	put(names[2], file("{\"auths\":{\"2.io\":%s,\"3.io\":%s}}",
			   auth(secrets[2]), auth(secrets[2])));
	put(names[3], file("{\"auths\":{\"3.io\":%s,\"4.io\":%s}}",
			   auth(secrets[3]), auth(secrets[3])));
	put(names[4], file("{\"4.io\":%s,\"https://5.io/v1/\":%s}",
			   auth(secrets[4]), auth(secrets[4])));
	setenv("DOCKER_AUTH_CONFIG",
	       file("{\"auths\":{\"1.io\":%s}}", auth(secrets[0])), 1);
	setenv("XDG_RUNTIME_DIR", at("run"), 1);
	a = make(NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_string_equal(found(a, t[i].host, "x"), t[i].expected);
	dockerauth_free(a);

	/* the environment still goes first, then only the file named */
	a = make(at(names[3]));
	assert_string_equal(found(a, "1.io", ""), "env");
	assert_string_equal(found(a, "2.io", ""), "");
	assert_string_equal(found(a, "3.io", ""), "docker");
	dockerauth_free(a);
	unsetenv("DOCKER_AUTH_CONFIG");

	setenv("REGISTRY_AUTH_FILE", at(names[2]), 1);
	a = make(NULL);
	assert_string_equal(found(a, "2.io", ""), "config");
	assert_string_equal(found(a, "4.io", ""), "");
	dockerauth_free(a);
	a = make(at(names[3]));
	assert_string_equal(found(a, "3.io", ""), "docker");
	assert_string_equal(found(a, "2.io", ""), "");
	dockerauth_free(a);
	unsetenv("REGISTRY_AUTH_FILE");

	/* DOCKER_CONFIG in place of ~/.docker */
	put("dc/config.json", file("{\"auths\":{\"9.io\":%s}}", auth("x:dc")));
	setenv("DOCKER_CONFIG", at("dc"), 1);
	a = make(NULL);
	assert_string_equal(found(a, "9.io", ""), "dc");
	assert_string_equal(found(a, "4.io", ""), "legacy");
	dockerauth_free(a);
	unsetenv("DOCKER_CONFIG");
	unsetenv("XDG_RUNTIME_DIR");
}

#define KEY "{\"type\":\"service_account\",\n\"private_key\":\"-\\n-\"}\n"

/* What vendors' tools have in the environment: after all else, and only where
 * it belongs. */
static void variables(void **state)
{
	static const struct {
		const char *host, *expected;
	} t[] = {
		{"gl.corp:5050", "job"},   {"gl.corp", ""},
		{"x.azurecr.io", "app"},   {"x.azurecr.io.evil.io", ""},
		{"gcr.io", KEY},	   {"eu.gcr.io", KEY},
		{"a-docker.pkg.dev", KEY}, {"evilgcr.io", ""},
		{"pkg.dev", ""},	   {"docker.io", ""},
	};
	struct string_list hosts = {.v = NULL};
	struct dockerauth *a;

	setenv("CI_REGISTRY", "gl.corp:5050", 1);
	setenv("CI_REGISTRY_USER", "gitlab-ci-token", 1);
	setenv("CI_REGISTRY_PASSWORD", "job", 1);
	setenv("AZURE_TENANT_ID", "t", 1);
	setenv("AZURE_CLIENT_ID", "id", 1);
	setenv("AZURE_CLIENT_SECRET", "app", 1);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", at("key.json"), 1);
	put("key.json", KEY);
	a = make(NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_string_equal(found(a, t[i].host, "x"), t[i].expected);
	/* Only the job's is a host by name. */
	assert_int_equal(dockerauth_hosts(a, &hosts), 0);
	assert_int_equal(hosts.len, 1);
	assert_string_equal(hosts.v[0], "gl.corp:5050");
	string_list_done(&hosts);
	put(".docker/config.json",
	    file("{\"auths\":{\"gl.corp:5050\":%s,\"gcr.io\":%s}}",
		 auth("u:mine"), auth("u:mine")));
	assert_string_equal(found(a, "gl.corp:5050", ""), "mine");
	assert_string_equal(found(a, "gcr.io", ""), "mine");
	assert_string_equal(found(a, "eu.gcr.io", ""), KEY);
	/* Another kind of key is none, and that is said once. */
	capture_begin();
	put("key.json", "{\"type\":\"authorized_user\"}");
	assert_string_equal(found(a, "eu.gcr.io", ""), "");
	assert_string_equal(found(a, "eu.gcr.io", "x"), "");
	assert_says(capture_end(), "service_account");
	dockerauth_free(a);
	unlink(at(".docker/config.json"));
	unsetenv("CI_REGISTRY");
	unsetenv("AZURE_TENANT_ID");
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	a = make(NULL);
	assert_string_equal(found(a, "x.azurecr.io", ""), "");
	dockerauth_free(a);
}

static void changes(void **state)
{
	struct dockerauth *a = make(NULL);

	assert_string_equal(found(a, "a.io", ""), "");
	put(".docker/config.json",
	    file("{\"auths\":{\"a.io\":%s}}", auth("u:one")));
	assert_string_equal(found(a, "a.io", ""), "one");
	put(".docker/config.json",
	    file("{\"auths\":{\"a.io\":%s}}", auth("u:two")));
	assert_string_equal(found(a, "a.io", ""), "two");
	unlink(at(".docker/config.json"));
	assert_string_equal(found(a, "a.io", ""), "");
	dockerauth_free(a);
}

static void not_trusted(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		const char *says;
	} t[] = {
		{"{}", 0602, "is writable by others"},
		{"{}", 0620, "is writable by others"},
		{"{}", 0000, "cannot be opened"},
		{"{\"auths\":{\"a.io\":{\"auth\":\"canary", 0600,
		 "is not proper JSON"},
		{"{\"auths\":[]}", 0600, "is not proper JSON"},
		{"[]", 0600, "is not proper JSON"},
	};
	struct dockerauth *a = make(NULL);

	for (size_t i = 0; i < COUNT(t); i++) {
		const char *said;

		put_mode(".docker/config.json", t[i].text, t[i].mode);
		capture_begin();
		assert_string_equal(found(a, "a.io", ""), "EACCES");
		said = capture_end();
		assert_says(said, t[i].says);
		assert_says(said, at(".docker/config.json"));
		assert_null(strstr(said, "canary"));
		/* said once, as long as the file stays so */
		capture_begin();
		assert_string_equal(found(a, "a.io", ""), "EACCES");
		assert_string_equal(capture_end(), "");
	}
	/* others' credentials are not taken along */
	put(".config/containers/auth.json",
	    file("{\"auths\":{\"b.io\":%s}}", auth("u:b")));
	capture_begin();
	assert_string_equal(found(a, "b.io", ""), "b");
	assert_string_equal(found(a, "a.io", ""), "EACCES");
	/* who can be read by others is warned */
	put_mode(".docker/config.json", "{}", 0644);
	assert_string_equal(found(a, "a.io", ""), "");
	assert_says(capture_end(), "can be read by others");
	dockerauth_free(a);
}

static void unusual_files(void **state)
{
	struct dockerauth *a;

	/* neither followed by waiting nor read */
	make_dir(".docker");
	assert_int_equal(mkfifo(at(".docker/config.json"), 0600), 0);
	a = make(NULL);
	capture_begin();
	assert_string_equal(found(a, "a.io", ""), "EACCES");
	assert_says(capture_end(), "is not a regular file");
	dockerauth_free(a);
	/* a directory on the way that is closed: none of ours there */
	unlink(at(".docker/config.json"));
	assert_int_equal(chmod(at(".docker"), 0), 0);
	a = make(NULL);
	assert_string_equal(found(a, "a.io", ""), "");
	dockerauth_free(a);
	/* but one that was named should have been open */
	a = make(at(".docker/config.json"));
	capture_begin();
	assert_string_equal(found(a, "a.io", ""), "EACCES");
	assert_string_equal(found(a, "b.io", ""), "EACCES");
	assert_says(capture_end(), "cannot be examined");
	assert_int_equal(chmod(at(".docker"), 0700), 0);
	assert_string_equal(found(a, "a.io", ""), "");
	put(".docker/config.json",
	    file("{\"auths\":{\"a.io\":%s}}", auth("u:a")));
	assert_string_equal(found(a, "a.io", ""), "a");
	dockerauth_free(a);
}

/* One tool's file is broken, the other's still counts; what is wrong is said
 * once, with the place. */
static void broken_beside_good(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *says;
	} t[] = {
		{"{\n\"auths\": {\n,", 14, "is broken at line 3"},
		{"{\"auths\":\0{}}", 14, "is not proper JSON"},
		{"\0\0\0\0", 4, "is not proper JSON"},
		{"", 0, "is not proper JSON"},
		{NULL, 10 << 20, "is too large"},
		{"dir", 0, "is not a regular file"},
	};
	autofree char *large = calloc(1, 10 << 20);

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct dockerauth *a;
		const char *said;

		fixture_clean(NULL);
		put(".config/containers/auth.json",
		    file("{\"auths\":{\"b.io\":%s}}", auth("u:b")));
		if (t[i].text && strcmp(t[i].text, "dir") == 0) {
			make_dir(".docker/config.json");
		} else {
			FILE *f;

			put(".docker/config.json", "");
			f = fopen(at(".docker/config.json"), "w");
			assert_non_null(f);
			fwrite(t[i].text ? t[i].text : large, 1, t[i].len, f);
			fclose(f);
		}
		a = make(NULL);
		capture_begin();
		assert_string_equal(found(a, "b.io", ""), "b");
		assert_string_equal(found(a, "a.io", ""), "EACCES");
		said = capture_end();
		assert_says(said, t[i].says);
		assert_says(said, at(".docker/config.json"));
		capture_begin();
		assert_string_equal(found(a, "a.io", ""), "EACCES");
		assert_string_equal(capture_end(), "");
		dockerauth_free(a);
	}
}

/* As editors of other systems leave it. */
static void endings(void **state)
{
	struct dockerauth *a;
	char *where = NULL;

	(void)state;
	put(".docker/config.json",
	    file("\xef\xbb\xbf{\r\n\"auths\":\r\n{\"a.io\":%s}}\r\n",
		 auth("u:a")));
	a = make(NULL);
	assert_string_equal(found(a, "a.io", ""), "a");
	assert_int_equal(dockerauth_where(a, "a.io", "x", &where), 0);
	assert_string_equal(where, at(".docker/config.json"));
	free(where);
	assert_int_equal(dockerauth_where(a, "b.io", "", &where), 0);
	assert_null(where);
	dockerauth_free(a);
	helper("echo", "#!/bin/sh\nread s\n"
		       "echo '{\"Username\":\"u\",\"Secret\":\"canary\"}'\n");
	put(".docker/config.json", "{\"credHelpers\":{\"a.io\":\"echo\"}}");
	setenv("DOCKER_AUTH_CONFIG",
	       file("{\"auths\":{\"e.io\":%s}}", auth("u:canary")), 1);
	a = make(NULL);
	unsetenv("DOCKER_AUTH_CONFIG");
	assert_int_equal(dockerauth_where(a, "a.io", "x", &where), 0);
	assert_says(where, "docker-credential-echo (named in ");
	assert_null(strstr(where, "canary"));
	free(where);
	assert_int_equal(dockerauth_where(a, "e.io", "x", &where), 0);
	assert_string_equal(where, "$DOCKER_AUTH_CONFIG");
	free(where);
	dockerauth_free(a);
}

static void helpers(void **state)
{
	struct dockerauth *a;

	helper("echo", "#!/bin/sh\nread s\n"
		       "echo \"{\\\"Username\\\":\\\"u\\\","
		       "\\\"Secret\\\":\\\"$s\\\"}\"\n");
	helper("token", "#!/bin/sh\n"
			"echo '{\"Username\":\"<token>\",\"Secret\":\"t\"}'\n");
	helper("none", "#!/bin/sh\necho credentials not found in native "
		       "keychain\nexit 1\n");
	helper("fail", "#!/bin/sh\necho no way\nexit 1\n");
	put(".docker/config.json",
	    file("{\"credsStore\":\"none\",\"credHelpers\":{"
		 "\"h.io:5000\":\"echo\",\"https://t.io\":\"token\","
		 "\"docker.io\":\"echo\",\"f.io\":\"fail\","
		 "\"g.io\":\"fail\"},\"auths\":{"
		 "\"h.io:5000\":%s,\"h.io:5000/deep\":%s,\"s.io\":%s,"
		 "\"g.io\":%s}}",
		 auth("u:no"), auth("u:deep"), auth("u:s"), auth("u:g")));
	a = make(NULL);
	assert_string_equal(found(a, "h.io:5000", "x"), "h.io:5000");
	assert_string_equal(found(a, "h.io:5000", "deep/x"), "deep");
	assert_string_equal(found(a, "t.io", ""), "identity:t");
	assert_string_equal(found(a, "docker.io", "library/x"),
			    "https://index.docker.io/v1/");
	/* the store has nothing: what is written counts */
	assert_string_equal(found(a, "s.io", ""), "s");
	assert_string_equal(found(a, "u.io", ""), "");
	capture_begin();
	assert_string_equal(found(a, "f.io", ""), "EACCES");
	assert_says(capture_end(), "credential helper fail for f.io failed: "
				   "no way");
	capture_begin();
	assert_string_equal(found(a, "g.io", ""), "g");
	capture_end();
	dockerauth_free(a);
}

static void refresh(void **state)
{
	struct dockerauth *a;

	helper("now", "#!/bin/sh\ncat \"$HOME/answer\"\n");
	put("answer", "{\"Username\":\"u\",\"Secret\":\"one\"}");
	put("auth.json", "{\"credsStore\":\"now\"}");
	a = make(at("auth.json"));
	assert_string_equal(found(a, "a.io", ""), "one");
	put("answer", "{\"Username\":\"u\",\"Secret\":\"two\"}");
	assert_string_equal(found(a, "a.io", ""), "one");
	dockerauth_refresh(a);
	assert_string_equal(found(a, "a.io", ""), "two");
	dockerauth_free(a);
}

static void hosts_and_headers(void **state)
{
	static const char *const expected[] = {"a.io", "b.io", "docker.io",
					       "c.io:5000", "h.io"};
	autostrings hosts = {.v = NULL};
	autostrings headers = {.v = NULL};
	struct dockerauth *a;

	put(".config/containers/auth.json",
	    "{\"auths\":{\"a.io/x\":{},\"b.io\":{}}}");
	put(".docker/config.json",
	    "{\"auths\":{\"https://index.docker.io/v1/\":{},"
	    "\"https://c.io:5000/v2/\":{},\"b.io\":{}},"
	    "\"credHelpers\":{\"h.io\":\"x\"},\"HttpHeaders\":{"
	    "\"X-Meta\":\"a b\",\"Authorization\":\"no\",\"a b\":\"no\","
	    "\"X-Forged\":\"a\\r\\nb\",\"range\":\"no\",\"X-N\":7}}");
	a = make(NULL);
	assert_int_equal(dockerauth_hosts(a, &hosts), 0);
	assert_int_equal(hosts.len, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++)
		assert_string_equal(hosts.v[i], expected[i]);
	assert_int_equal(dockerauth_headers(a, &headers), 0);
	assert_int_equal(headers.len, 1);
	assert_string_equal(headers.v[0], "X-Meta: a b");
	dockerauth_free(a);
}

static void bad_environment(void **state)
{
	struct dockerauth *a;

	setenv("DOCKER_AUTH_CONFIG", "{\"auths\":{\"a.io\":\"canary", 1);
	put(".docker/config.json",
	    file("{\"auths\":{\"b.io\":%s}}", auth("u:b")));
	capture_begin();
	a = make(NULL);
	assert_string_equal(found(a, "a.io", ""), "EACCES");
	assert_string_equal(found(a, "b.io", ""), "b");
	assert_null(strstr(capture_end(), "canary"));
	dockerauth_free(a);
	unsetenv("DOCKER_AUTH_CONFIG");
}

static void *many_finds(void *p)
{
	struct dockerauth *a = p;

	for (int i = 0; i < 50; i++) {
		autocredential c = {.kind = CREDENTIAL_NONE};

		if (dockerauth_find(a, "a.io", "x/y", &c) < 0)
			return p;
		if (i % 10 == 0)
			dockerauth_refresh(a);
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t t[4];
	struct dockerauth *a;

	put(".docker/config.json",
	    file("{\"auths\":{\"a.io/x\":%s}}", auth("u:a")));
	a = make(NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, many_finds, a), 0);
	for (size_t i = 0; i < COUNT(t); i++) {
		void *failed;

		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	dockerauth_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(keys, fixture_clean),
		cmocka_unit_test_teardown(order, fixture_clean),
		cmocka_unit_test_teardown(variables, fixture_clean),
		cmocka_unit_test_teardown(changes, fixture_clean),
		cmocka_unit_test_teardown(not_trusted, fixture_clean),
		cmocka_unit_test_teardown(unusual_files, fixture_clean),
		cmocka_unit_test_teardown(broken_beside_good, fixture_clean),
		cmocka_unit_test_teardown(endings, fixture_clean),
		cmocka_unit_test_teardown(helpers, fixture_clean),
		cmocka_unit_test_teardown(refresh, fixture_clean),
		cmocka_unit_test_teardown(hosts_and_headers, fixture_clean),
		cmocka_unit_test_teardown(bad_environment, fixture_clean),
		cmocka_unit_test_teardown(threads, fixture_clean),
	};
	char path[4096];
	int r;

	fixture_start();
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", at("bin"));
	setenv("PATH", path, 1);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
