/* SPDX-License-Identifier: Apache-2.0 */
/* By which ways a repository is read, as hosts.toml and registries.conf say. */
#include "fixture.h"

#include "config/endpoint.h"
#include "config/hosts.h"
#include "util/auto.h"
#include "util/str.h"

AUTOPTR_DEFINE(hosts, hosts_free)

#define TOML(host) ".config/containerd/certs.d/" host "/hosts.toml"
#define CONF ".config/containers/registries.conf"
#define DROPIN ".config/containers/registries.conf.d/"

static struct hosts *start(void)
{
	struct options o = {.source = NULL};
	struct hosts *h = NULL;

	assert_int_equal(hosts_new(&o, &h), 0);
	return h;
}

/* "m:1/v2 team/app; -" where - is the host itself. */
static char *route(struct hosts *h, const char *host, const char *repository,
		   bool by_digest)
{
	autostr out = {.max = 0};
	struct route r;

	assert_int_equal(hosts_route(h, host, repository, by_digest, &r), 0);
	assert_true(r.len > 0);
	for (size_t i = 0; i < r.len; i++) {
		const struct endpoint *e = r.v[i].endpoint;

		str_add(&out, i ? "; " : "");
		if (e)
			str_addf(&out, "%s%s%s ", e->host, e->path,
				 e->ns ? "?" : "");
		else
			str_add(&out, "- ");
		str_add(&out, r.v[i].repository);
	}
	route_done(&r);
	return str_steal(&out);
}

struct row {
	const char *host, *repository;
	const char *by_digest, *by_tag;
};

static void check(struct hosts *h, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		autofree char *d =
			route(h, rows[i].host, rows[i].repository, true);
		autofree char *t =
			route(h, rows[i].host, rows[i].repository, false);

		assert_string_equal(d, rows[i].by_digest);
		assert_string_equal(t, rows[i].by_tag);
	}
}

static void test_hosts_toml(void **state)
{
	static const struct row rows[] = {
		{"docker.io", "library/a",
		 "m1:5000/v2? library/a; m2.test/v2/hub? library/a; "
		 "m3.test/x/v2? library/a; - library/a",
		 "m1:5000/v2? library/a; - library/a"},
		{"index.docker.io", "b",
		 "m1:5000/v2? b; m2.test/v2/hub? b; "
		 "m3.test/x/v2? b; - b",
		 "m1:5000/v2? b; - b"},
		{"h.test:5000", "a", "real.test/v2? a", "real.test/v2? a"},
		{"own.test", "a", "m.test/v2? a; - a", "m.test/v2? a; - a"},
		{"other.test", "a", "all.test/v2? a; - a",
		 "all.test/v2? a; - a"},
	};
	autoptr(hosts) h = NULL;

	(void)state;
	put(TOML("docker.io"),
	    "server = \"https://registry-1.docker.io\"\n"
	    "[host.\"m1:5000\"]\n"
	    "  capabilities = [\"pull\", \"resolve\"]\n"
	    "[host.\"https://m2.test/v2/hub\"]\n"
	    "  capabilities = [\"pull\"]\n  override_path = true\n"
	    "[host.\"http://m3.test/x/\"]\n"
	    "  capabilities = [\"pull\"]\n"
	    "[host.\"https://pushonly.test\"]\n"
	    "  capabilities = [\"push\"]\n");
	put(TOML("h.test_5000_"), "server = 'https://real.test'\n");
	put(TOML("own.test"), "[host.\"https://own.test\"]\n"
			      "[host.\"https://m.test\"]\n");
	put(TOML("_default"), "[host.\"https://all.test\"]\n");
	h = start();
	check(h, rows, COUNT(rows));
}

static void test_hosts_toml_details(void **state)
{
	autoptr(hosts) h = NULL;
	struct host_conf c;
	struct route r;

	(void)state;
	put(TOML("a.test"), "[host.\"http://m.test:81/p\"]\n"
			    "  skip_verify = true\n"
			    "  client = [[\"c.pem\", \"c.key\"]]\n"
			    "  dial_timeout = \"3s\"\n"
			    "  [host.\"http://m.test:81/p\".header]\n"
			    "    x-token = [\"one\", \"two\"]\n"
			    "    bad = \"x\\ny\"\n");
	put(TOML("b.test"), "server = 'http://b.test'\nskip_verify = true\n");
	h = start();
	capture_begin();
	assert_int_equal(hosts_route(h, "a.test", "x", true, &r), 0);
	assert_says(capture_end(), "hosts.toml:7: bad cannot be a header");
	assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
	assert_string_equal(c.host, "m.test:81");
	assert_string_equal(c.api_host, "m.test:81");
	assert_string_equal(c.path, "/p/v2");
	assert_true(c.plain_http && c.insecure && !c.try_https_first);
	assert_string_equal(c.client_cert, at(".config/containerd/certs.d/"
					      "a.test/c.pem"));
	assert_string_equal(c.client_key, at(".config/containerd/certs.d/"
					     "a.test/c.key"));
	assert_int_equal(c.headers.len, 2);
	assert_string_equal(c.headers.v[1], "x-token: two");
	host_conf_done(&c);
	route_done(&r);

	/* Nothing of that is the host's own. */
	assert_int_equal(hosts_find(h, "a.test", &c), 0);
	assert_false(c.plain_http || c.insecure);
	assert_null(c.client_cert);
	assert_int_equal(c.headers.len, 0);
	host_conf_done(&c);

	assert_int_equal(hosts_find(h, "b.test", &c), 0);
	assert_true(c.plain_http && c.insecure);
	host_conf_done(&c);
}

static void test_registries_conf(void **state)
{
	static const struct row rows[] = {
		{"docker.io", "library/a",
		 "m1.test/v2 hub/library/a; m2:5000/v2 library/a; - library/a",
		 "m1.test/v2 hub/library/a; m3.test/v2 library/a; - library/a"},
		{"docker.io", "team/x", "- team/x", "- team/x"},
		{"docker.io", "team/x/y", "- team/x/y", "- team/x/y"},
		{"docker.io", "team/xy",
		 "m1.test/v2 hub/team/xy; m2:5000/v2 team/xy; - team/xy",
		 "m1.test/v2 hub/team/xy; m3.test/v2 team/xy; - team/xy"},
		{"example.test", "foo/x", "inner.test/v2 bar/x",
		 "inner.test/v2 bar/x"},
		{"example.test", "foo", "inner.test/v2 bar",
		 "inner.test/v2 bar"},
		{"example.test", "food", "- food", "- food"},
		{"a.wild.test", "x", "w.test/v2 p/x", "w.test/v2 p/x"},
		{"b.a.wild.test", "x", "narrow.test/v2 x", "narrow.test/v2 x"},
		{"wild.test", "x", "- x", "- x"},
		{"only.test", "x", "d.test/v2 x; - x", "- x"},
		{"late.test", "x", "two.test/v2 x", "two.test/v2 x"},
	};
	autoptr(hosts) h = NULL;
	struct host_conf c;

	(void)state;
	put(CONF, "unqualified-search-registries = [\"docker.io\"]\n"
		  "[[registry]]\nprefix = \"docker.io\"\n"
		  "[[registry.mirror]]\nlocation = \"m1.test/hub\"\n"
		  "[[registry.mirror]]\nlocation = \"m2:5000\"\n"
		  "pull-from-mirror = \"digest-only\"\n"
		  "[[registry.mirror]]\nlocation = \"m3.test\"\n"
		  "pull-from-mirror = \"tag-only\"\n"
		  "[[registry]]\nlocation = \"docker.io/team/x\"\n"
		  "[[registry]]\nprefix = \"example.test/foo\"\n"
		  "location = \"inner.test/bar\"\n"
		  "[[registry]]\nprefix = \"*.wild.test\"\n"
		  "location = \"w.test/p\"\n"
		  "[[registry]]\nprefix = \"*.a.wild.test\"\n"
		  "location = \"narrow.test\"\n"
		  "[[registry]]\nlocation = \"bad.test\"\nblocked = true\n"
		  "[[registry]]\nprefix = \"half.test/no\"\nblocked = true\n"
		  "[[registry]]\nlocation = \"loose.test\"\ninsecure = true\n"
		  "[aliases]\n\"f\" = \"docker.io/library/f\"\n");
	put(DROPIN "10-a.conf", "[[registry]]\nprefix = \"only.test\"\n"
				"mirror-by-digest-only = true\n"
				"[[registry.mirror]]\nlocation = \"d.test\"\n"
				"[[registry]]\nprefix = \"late.test\"\n"
				"location = \"one.test\"\n");
	put(DROPIN "20-b.conf", "[[registry]]\nprefix = \"late.test\"\n"
				"location = \"two.test\"\n");
	put(DROPIN "30-c", "[[registry]]\nprefix = \"late.test\"\n"
			   "location = \"three.test\"\n");
	h = start();
	check(h, rows, COUNT(rows));

	assert_says(hosts_blocked(h, "bad.test", "any/x"), "registries.conf:");
	assert_non_null(hosts_blocked(h, "bad.test", ""));
	assert_null(hosts_blocked(h, "half.test", ""));
	assert_non_null(hosts_blocked(h, "half.test", "no/x"));
	assert_null(hosts_blocked(h, "half.test", "nox"));

	assert_int_equal(hosts_find(h, "loose.test", &c), 0);
	assert_true(c.insecure && c.try_https_first && !c.plain_http);
	host_conf_done(&c);
	assert_int_equal(hosts_find(h, "bad.test", &c), 0);
	assert_false(c.insecure || c.try_https_first);
	host_conf_done(&c);
}

/* insecure of a part of a host is not the host's. */
static void test_insecure_part(void **state)
{
	static const struct row rows[] = {
		{"h.test", "ns/a", "h.test/v2 ns/a", "h.test/v2 ns/a"},
		{"h.test", "b", "- b", "- b"},
	};
	autoptr(hosts) h = NULL;
	struct host_conf c;
	struct route r;

	(void)state;
	put(CONF, "[[registry]]\nprefix = \"h.test/ns\"\ninsecure = true\n");
	h = start();
	check(h, rows, COUNT(rows));
	assert_int_equal(hosts_find(h, "h.test", &c), 0);
	assert_false(c.insecure);
	host_conf_done(&c);
	assert_int_equal(hosts_route(h, "h.test", "ns/a", true, &r), 0);
	assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
	assert_true(c.insecure && c.try_https_first);
	host_conf_done(&c);
	route_done(&r);
}

static const struct {
	const char *text, *says;
} broken[] = {
	{"[[registry]]\nprefix = \"a.test\nblocked = true\n",
	 "registries.conf:2: what begins here has a string without an end"},
	{"colour = 1\n", ":1: colour is unknown here, and ignored"},
	{"[[registry]]\nlocation = \"x.test\"\ninsecure = 1\n",
	 ":3: insecure must be true or false"},
	{"[[registry]]\nlocation = \"https://x.test\"\n", ":1: https://x.test"},
	{"[[registry]]\nlocation = \"x.test/a:1\"\n", "single tags"},
	{"[[registry]]\n", ":1: a registry without prefix and location"},
	{"registry = 'x'\n", ":1: registry must be written [[registry]]"},
};

static void test_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		autoptr(hosts) h = NULL;
		autofree char *text =
			str_printf("%s[[registry]]\nprefix = \"good.test\"\n"
				   "location = \"there.test\"\n",
				   broken[i].text);
		autofree char *got = NULL;

		/* The rest counts, wherever it can be told apart. */
		if (strstr(text, "registry = 'x'"))
			strstr(text, "[[registry]]")[0] = '\0';
		put(CONF, text);
		capture_begin();
		h = start();
		assert_says(capture_end(), broken[i].says);
		got = route(h, "good.test", "a", true);
		if (strstr(text, "good.test"))
			assert_string_equal(got, "there.test/v2 a");
	}
	put_mode(CONF, "[[registry]]\nlocation = 'x.test'\nblocked = true\n",
		 0666);
	capture_begin();
	autoptr(hosts) h = start();
	assert_says(capture_end(), "writable by others");
	assert_null(hosts_blocked(h, "x.test", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_hosts_toml, fixture_clean),
		cmocka_unit_test_teardown(test_hosts_toml_details,
					  fixture_clean),
		cmocka_unit_test_teardown(test_registries_conf, fixture_clean),
		cmocka_unit_test_teardown(test_insecure_part, fixture_clean),
		cmocka_unit_test_teardown(test_broken, fixture_clean),
	};
	int failed;

	fixture_start();
	unsetenv("CONTAINERS_REGISTRIES_CONF");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return failed;
}
