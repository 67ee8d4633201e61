/* SPDX-License-Identifier: Apache-2.0 */
/* A request in the words of the place where a registry really is, and back. */
#include "fixture.h"

#include "registry/host.h"
#include "registry/there.h"
#include "util/auto.h"

static void make(struct registry *r, const char *prefix, const char *path)
{
	*r = (struct registry){.prefix = (char *)(uintptr_t)prefix,
			       .has_conf = true};
	r->conf.path = (char *)(uintptr_t)path;
	pthread_mutex_init(&r->lock, NULL);
}

static void test_spec(void **state)
{
	static const struct {
		const char *prefix, *path, *repository, *scope;
		const char *want_path, *want_repository, *want_scope;
	} rows[] = {
		{"p/docker.io", "/v2/a/b/manifests/1", "a/b",
		 "repository:a/b:pull", "/v2/p/docker.io/a/b/manifests/1",
		 "p/docker.io/a/b", "repository:p/docker.io/a/b:pull"},
		{"p", "/v2/a/blobs/uploads/?mount=x&from=p%2Fc", "a",
		 "repository:a:pull,push repository:c:pull",
		 "/v2/p/a/blobs/uploads/?mount=x&from=p%2Fc", "p/a",
		 "repository:p/a:pull,push repository:p/c:pull"},
		{"p", "/v2/", "", "", "/v2/", "", ""},
		{"p", "/v2/_catalog", "", "registry:catalog:*", "/v2/_catalog",
		 "", "registry:catalog:*"},
		{NULL, "/v2/a/tags/list", "a", "repository:a:pull",
		 "/v2/a/tags/list", "a", "repository:a:pull"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct call_spec s = {.path = rows[i].path,
					    .repository = rows[i].repository,
					    .scope = rows[i].scope};
		struct registry r;
		struct there t;

		make(&r, rows[i].prefix, NULL);
		assert_int_equal(there_spec(&r, &s, &t), 0);
		assert_string_equal(t.spec.path, rows[i].want_path);
		assert_string_equal(t.spec.repository, rows[i].want_repository);
		assert_string_equal(t.spec.scope, rows[i].want_scope);
		there_done(&t);
		pthread_mutex_destroy(&r.lock);
	}
}

static void test_location(void **state)
{
	const struct call_spec s = {.location = "https://x.test/v2/p/a/up/1?s",
				    .repository = "a",
				    .scope = "repository:a:pull"};
	struct registry r;
	struct there t;

	(void)state;
	make(&r, "p", NULL);
	assert_int_equal(there_spec(&r, &s, &t), 0);
	assert_null(t.spec.path);
	assert_string_equal(t.spec.location, s.location);
	assert_string_equal(t.spec.repository, "p/a");
	there_done(&t);
	pthread_mutex_destroy(&r.lock);
}

static void test_here(void **state)
{
	static const struct {
		const char *prefix, *path, *from, *want;
	} rows[] = {
		{"p", NULL, "/v2/p/a/tags/list", "/v2/a/tags/list"},
		{"p", NULL, "/v2/_catalog", "/v2/_catalog"},
		{"p", NULL, "/v2/pp/a", "/v2/pp/a"},
		{"p", NULL, "/v2/p/", "/v2/p/"},
		{NULL, "/v2/hub", "/v2/hub/a/tags/list", "/v2/a/tags/list"},
		{NULL, "/v2/hub", "/v2/a/tags/list", "/v2/a/tags/list"},
		{NULL, "/v2/hub", "/v2/hubs/a", "/v2/hubs/a"},
		{NULL, NULL, "/else/where", "/else/where"},
		{NULL, NULL, "/v", "/v"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		autofree char *here = NULL;
		struct registry r;

		make(&r, rows[i].prefix, rows[i].path);
		assert_int_equal(here_path(&r, rows[i].from, &here), 0);
		assert_string_equal(here, rows[i].want);
		pthread_mutex_destroy(&r.lock);
	}
	assert_null(here_name("p", "pq/a"));
	assert_null(here_name("p", "p"));
	assert_string_equal(here_name("p", "p/a/"), "a/");
	assert_string_equal(here_name(NULL, "a"), "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec),
		cmocka_unit_test(test_location),
		cmocka_unit_test(test_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
