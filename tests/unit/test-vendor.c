/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/vendor.h"

#include "scripted.h"

#include <errno.h>

#include "registry/host.h"
#include "registry/pager.h"

#define MANY 50000
#define PAGE_TEXT ((size_t)2 << 20)

/* The registry is c->s; c->other is its token server and API. */
static struct {
	int status;
	const char *body; /* of the first page; NULL: MANY names, for ever */
	const char *link; /* header */
	const char *other_path; /* what answers 200; the rest is 404 */
} script;
static char *big; /* freed when nobody sends it any more */

/* A page of names that no other page has. */
static void say_many(struct reply *p, unsigned nth)
{
	size_t n = (size_t)snprintf(
		big, PAGE_TEXT, "{\"next\":\"?many=%u\",\"results\":[", nth);

	for (unsigned i = 0; i < MANY; i++)
		n += (size_t)snprintf(big + n, PAGE_TEXT - n,
				      "%s{\"name\":\"p%u-%u\"}", i ? "," : "",
				      nth, i);
	snprintf(big + n, PAGE_TEXT - n, "]}");
	say(p, 200, big);
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	struct client *c = s->arg;

	if (s == &c->s)
		say(p, 500, "nobody asks here");
	else if (strstr(q->target, "/auth/token"))
		say(p, 401, "{}");
	else if (strstr(q->target, "page=2"))
		say(p, 200, "{\"results\":[{\"name\":\"z\"}],\"next\":null}");
	else if (!script.body)
		say_many(p, q->nth);
	else if (script.other_path && !strstr(q->target, script.other_path))
		say(p, 404, "{\"message\":\"404\"}");
	else {
		if (script.link)
			add_head(p, "Link: %s", script.link);
		if (script.status == 429)
			add_head(p, "X-Retry-After: 99999999999");
		if (script.status == 302)
			add_head(p, "Location: /elsewhere");
		say(p, script.status, script.body);
	}
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	memset(&script, 0, sizeof(script));
	script.status = 200;
	client_start(c, answer, answer);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	free(big);
	big = NULL;
	return 0;
}

/* What a challenge of the registry would have shown. */
static void show(struct client *c, const char *service, const char *end)
{
	char realm[128];
	char name[64];
	struct demand d = {.known = true,
			   .scheme = CHALLENGE_BEARER,
			   .realm = realm,
			   .service = name};

	snprintf(realm, sizeof(realm), "%s%s", c->other.origin, end);
	snprintf(name, sizeof(name), "%s", service);
	registry_set_demand(c->r, &d);
}

static int list(struct client *c, const char *area, struct string_list *all)
{
	struct pager *p;
	bool more = true;
	int r = pager_open_area(c->r, area, &p);

	assert_int_equal(r, 0);
	wait_init(&c->w, 20000, 0);
	while (r == 0 && more)
		r = pager_next(p, &c->w, all, &more);
	pager_close(p);
	return r;
}

static void expect(void **state, const char *service, const char *end,
		   const char *area, int result, const char *names)
{
	struct string_list all = {.v = NULL};
	struct client *c = *state;
	char text[512] = "";

	show(c, service, end);
	assert_int_equal(list(c, area, &all), result);
	for (size_t i = 0; i < all.len; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s%s", i ? " " : "", all.v[i]);
	if (result == 0)
		assert_string_equal(text, names);
	assert_int_equal(c->s.asked, 0);
	string_list_done(&all);
}

/* --- Docker Hub --- */

static void test_hub(void **state)
{
	static const struct {
		int status;
		const char *body;
		int result;
		const char *names;
	} rows[] = {
		{200, "{\"results\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", 0,
		 "team/a team/b"},
		{200, "{\"results\":[],\"next\":null}", 0, ""},
		{200, "{\"results\":null}", 0, ""},
		{200, "{}", 0, ""},
		{200,
		 "{\"results\":[null,7,\"x\",[],{},{\"name\":null},"
		 "{\"name\":7},{\"name\":\"\"},{\"name\":\"a\"}]}",
		 0, "team/a"},
		{200,
		 "{\"results\":[{\"name\":\"../x\"},{\"name\":\"A\"},"
		 "{\"name\":\"a\"},{\"name\":\"a\"},{\"name\":\"a b\"}]}",
		 0, "team/a"},
		/* Its next pages. */
		{200,
		 "{\"results\":[{\"name\":\"a\"}],\"next\":"
		 "\"/v2/namespaces/team/repositories?page=2\"}",
		 0, "team/a team/z"},
		{200, "{\"results\":[{\"name\":\"a\"}],\"next\":\"?page=2\"}",
		 0, "team/a team/z"},
		{200,
		 "{\"results\":[{\"name\":\"a\"}],\"next\":\"https://"
		 "inner:8/v2/namespaces/team/repositories?page=2\"}",
		 0, "team/a team/z"},
		{200, "{\"results\":[{\"name\":\"a\"}],\"next\":\"?page=1\"}",
		 0, "team/a"},
		{200, "{\"results\":[{\"name\":\"a\"}],\"next\":\"\"}", 0,
		 "team/a"},
		{200, "{\"results\":[{\"name\":\"a\"}],\"next\":7}", 0,
		 "team/a"},
		{200, "{\"results\":[],\"next\":\"http://evil.test/x?page=2\"}",
		 -EIO, ""},
		{200, "{\"results\":[],\"next\":\"file:///etc/passwd\"}", -EIO,
		 ""},
		/* No lists. */
		{200, "{\"results\":\"a\"}", -EIO, ""},
		{200, "[]", -EIO, ""},
		{200, "", -EIO, ""},
		{200, "{\"results\":[", -EIO, ""},
		{200, "<html>", -EIO, ""},
		/* Refusals. */
		{404, "{}", -EOPNOTSUPP, ""},
		{401, "{}", -EOPNOTSUPP, ""},
		{403, "<html>", -EOPNOTSUPP, ""},
		{302, "", -EIO, ""},
		{500, "{}", -EIO, ""},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		setup(state);
		script.status = rows[i].status;
		script.body = rows[i].body;
		expect(state, "registry.docker.io", "/token", "team",
		       rows[i].result, rows[i].names);
		teardown(state);
	}
}

static void test_million(void **state)
{
	struct string_list all = {.v = NULL};
	struct client *c = *state;

	show(c, "registry.docker.io", "/token");
	big = malloc(PAGE_TEXT);
	assert_non_null(big);
	assert_int_equal(list(c, "team", &all), -EFBIG);
	assert_true(all.len > 900000 && all.len <= PAGER_NAMES_MAX);
	string_list_done(&all);
}

static void test_too_long(void **state)
{
	const size_t n = VENDOR_BYTES_MAX + 16;
	char *text = big = malloc(n + 1);

	assert_non_null(text);
	memset(text, ' ', n);
	text[n] = '\0';
	memcpy(text, "{}", 2);
	script.body = text;
	expect(state, "registry.docker.io", "/token", "team", -EIO, "");
}

/* The password goes to the API once, and never to the registry. */
static void test_login(void **state)
{
	struct string_list all = {.v = NULL};
	struct client *c = *state;

	client_login(c, "am86c2VjcmV0"); /* jo:secret */
	script.body = "{\"results\":[{\"name\":\"a\"}]}";
	expect(state, "registry.docker.io", "/token", "team", 0, "team/a");
	expect(state, "registry.docker.io", "/token", "more", 0, "more/a");
	assert_int_equal(asked(&c->other, "POST /v2/auth/token "), 1);
	assert_int_equal(asked(&c->other, "uthorization"), 0);
	assert_int_equal(list(c, "", &all), 0);
	assert_int_equal(all.len, 2);
	assert_string_equal(all.v[0], "library/");
	assert_string_equal(all.v[1], "jo/");
	string_list_done(&all);
}

/* Told the time when to come again, nobody knocks before. */
static void test_throttled(void **state)
{
	struct client *c = *state;

	script.status = 429;
	script.body = "Too Many Requests";
	expect(state, "registry.docker.io", "/token", "team", -ETIMEDOUT, "");
	assert_int_equal(c->other.asked, 1);
}

/* --- GitLab and GitHub --- */

static void test_gitlab(void **state)
{
	static const struct {
		const char *area, *path, *body;
		int result;
		const char *names;
	} rows[] = {
		{"grp", "/groups/grp/",
		 "[{\"path\":\"grp/a\"},{\"path\":\"grp\"},null,"
		 "{\"path\":\"other/a\"},{\"path\":\"grpx/a\"}]",
		 0, "grp/a grp"},
		{"grp/proj", "/projects/grp%2Fproj/",
		 "[{\"path\":\"grp/proj\"},{\"path\":\"grp/proj/img\"}]", 0,
		 "grp/proj grp/proj/img"},
		{"jo", "/users/jo/projects",
		 "[{\"path_with_namespace\":\"Jo/Proj\"}]", 0, "jo/proj/"},
		{"grp", "/nothing/", "[]", -EOPNOTSUPP, ""},
		{"grp/proj/img", "/nothing/", "[]", -EOPNOTSUPP, ""},
		{"grp", "/groups/grp/", "{}", -EIO, ""},
		{"grp", "/groups/grp/", "nonsense", -EIO, ""},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		setup(state);
		script.body = rows[i].body;
		script.other_path = rows[i].path;
		expect(state, "container_registry", "/jwt/auth", rows[i].area,
		       rows[i].result, rows[i].names);
		teardown(state);
	}
}

static void test_gitlab_link(void **state)
{
	script.body = "[{\"path\":\"grp/a\"}]";
	script.link = "</evil>; rel=\"prev\", <http://evil.test/x>; rel=next";
	expect(state, "container_registry", "/jwt/auth", "grp", -EIO, "");
	script.link = "<?per_page=100>; rel=\"next\"";
	expect(state, "container_registry", "/jwt/auth", "grp", 0, "grp/a");
}

/* Without a name nobody is asked what one is a member of. */
static void test_anonymous_top(void **state)
{
	struct client *c = *state;

	expect(state, "container_registry", "/jwt/auth", "", -EOPNOTSUPP, "");
	expect(state, "ghcr.io", "/token", "", 0, "");
	assert_int_equal(c->other.asked, 0);
}

static void test_ghcr(void **state)
{
	struct client *c = *state;

	expect(state, "ghcr.io", "/token", "org", -EOPNOTSUPP, "");
	assert_int_equal(c->other.asked, 0);
	client_login(c, "am86c2VjcmV0");
	script.body = "[{\"name\":\"a\"},{\"name\":\"b/c\"},{\"name\":null}]";
	script.other_path = "/users/jo/packages?package_type=container";
	expect(state, "ghcr.io", "/token", "jo", 0, "jo/a jo/b/c");
	assert_int_equal(asked(&c->other, "GET /orgs/jo/packages"), 1);
	assert_int_equal(asked(&c->other, "Authorization: Bearer secret"), 2);
}

/* --- who is who --- */

static void test_rows(void **state)
{
	static const struct {
		const char *host;
		const struct catalog_lister *lister;
	} rows[] = {
		{"docker.io", &catalog_hub},
		{"gcr.io", &catalog_gcr},
		{"eu.gcr.io", &catalog_gcr},
		{"gcr.io.evil.test", &catalog_v2},
		{"europe-docker.pkg.dev", &catalog_gcr},
		{"registry.gitlab.com", &catalog_gitlab},
		{"ghcr.io", &catalog_ghcr},
		{"x.azurecr.io", &catalog_acr},
		{"azurecr.io.test", &catalog_v2},
		{"111122223333.dkr.ecr.eu-west-1.amazonaws.com", &catalog_v2},
		{"quay.io", &catalog_quay},
		{"localhost:5000", &catalog_v2},
	};
	struct client *c = *state;
	struct registry *r;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(registries_get(c->all, rows[i].host, &r), 0);
		assert_ptr_equal(catalog_find(r), rows[i].lister);
	}
	show(c, "container_registry", "/v2/token"); /* Gitea */
	assert_ptr_equal(catalog_find(c->r), &catalog_v2);
	show(c, "container_registry", "/jwt/auth");
	assert_ptr_equal(catalog_find(c->r), &catalog_gitlab);
	show(c, "r.azurecr.io", "/oauth2/token");
	assert_ptr_equal(catalog_find(c->r), &catalog_acr);
}

/* Who only says to be a vendor is asked where its own token server is. */
static void test_base(void **state)
{
	struct client *c = *state;
	struct registry *r;
	char *base;

	assert_int_equal(vendor_base(c->r, &catalog_hub, &base), -EOPNOTSUPP);
	show(c, "registry.docker.io", "/sub/token?a=/token");
	assert_int_equal(vendor_base(c->r, &catalog_hub, &base), 0);
	assert_true(str_prefix(base, c->other.origin));
	assert_true(str_suffix(base, "/sub"));
	free(base);
	assert_int_equal(registries_get(c->all, "docker.io", &r), 0);
	assert_int_equal(vendor_base(r, &catalog_hub, &base), 0);
	assert_string_equal(base, "https://hub.docker.com");
	free(base);
}

static void test_next(void **state)
{
	static const struct {
		const char *link, *want;
		int result;
	} rows[] = {
		{"?page=2", "https://a.test:8/v2/x?page=2", 0},
		{"/y?z", "https://a.test:8/y?z", 0},
		{"http://a.test/y", "https://a.test:8/y", 0},
		{"http://b.test/v2/x?p", "https://a.test:8/v2/x?p", 0},
		{"http://b.test/y", NULL, -EACCES},
		{"https://a.test.evil/y", NULL, -EACCES},
		{"https://u:p@a.test:8/y", NULL, -EINVAL},
		{"ftp://a.test/y", NULL, -EINVAL},
		{"/a b", NULL, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *next = NULL;

		assert_int_equal(vendor_next("https://a.test:8/v2/x?page=1",
					     rows[i].link, &next),
				 rows[i].result);
		if (rows[i].want)
			assert_string_equal(next, rows[i].want);
		else
			assert_null(next);
		free(next);
	}
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hub),
		WITH(test_million),
		WITH(test_too_long),
		WITH(test_login),
		WITH(test_throttled),
		cmocka_unit_test(test_gitlab),
		WITH(test_gitlab_link),
		WITH(test_anonymous_top),
		WITH(test_ghcr),
		WITH(test_rows),
		WITH(test_base),
		cmocka_unit_test(test_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
