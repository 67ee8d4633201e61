/* SPDX-License-Identifier: Apache-2.0 */
/* By which ways a repository is read, as hosts.toml and `server` say. */
#include "routes-fixture.h"

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
		{"h.test:5000", "a", "- a", "- a"},
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

/* "m.test PREFIX", "-" for the name itself. */
static char *seat(struct hosts *h, const char *host)
{
	struct seat s = {.endpoint = NULL};
	char *ret;

	if (hosts_seat(h, host, &s) < 0)
		return strdup("none");
	ret = s.endpoint ? str_printf("%s%s%s%s", s.endpoint->host,
				      s.endpoint->path, s.prefix ? " " : "",
				      s.prefix ? s.prefix : "")
			 : strdup("-");
	seat_done(&s);
	return ret;
}

static void check_seats(struct hosts *h, const char *const (*rows)[2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		autofree char *where = seat(h, rows[i][0]);

		assert_string_equal(where, rows[i][1]);
	}
}

static void test_server(void **state)
{
	static const char *const rows[][2] = {
		{"a.test", "real.test:5/v2"}, {"b.test", "-"},
		{"docker.io", "-"},	      {"c.test", "x.test/p/v2"},
		{"other.test", "-"},
	};
	struct seat s = {.endpoint = NULL};
	autoptr(hosts) h = NULL;

	(void)state;
	put(TOML("a.test"), "server = 'https://real.test:5'\n"
			    "[host.'https://m.test']\n");
	put(TOML("b.test"), "server = 'https://b.test'\n");
	put(TOML("docker.io"), "server = 'https://registry-1.docker.io'\n");
	put(TOML("c.test"), "server = 'http://x.test/p'\n"
			    "capabilities = ['pull', 'resolve']\n");
	h = start();
	check_seats(h, rows, COUNT(rows));
	assert_int_equal(hosts_seat(h, "a.test", &s), 0);
	assert_true(s.endpoint->push);
	assert_int_equal(hosts_seat(h, "c.test", &s), 0);
	assert_false(s.endpoint->push);
}

static void test_mirror(void **state)
{
	static const char *const rows[][2] = {
		{"docker.io", "in.test:5000/v2 a/b/docker.io"},
		{"index.docker.io", "in.test:5000/v2 a/b/docker.io"},
		{"h.test:8443", "in.test:5000/v2 a/b/h.test_8443"},
		{"in.test:5000", "in.test:5000/v2"},
		{"in.test", "in.test:5000/v2 a/b/in.test"},
		{"localhost", "in.test:5000/v2 a/b/localhost"},
		{"[::1]:5000", "none"},
	};
	static const struct row ways[] = {
		{"docker.io", "library/a", "- library/a", "- library/a"},
	};
	struct options o = {.mirror = (char *)(uintptr_t) "http://in.test:5000"
							  "/a/b/"};
	autoptr(hosts) h = NULL;
	struct host_conf c;
	const char *path = NULL;

	(void)state;
	put(TOML("docker.io"), "server = 'https://real.test'\n"
			       "[host.'https://m.test']\n");
	put(CONF, "[[registry]]\nprefix = 'docker.io'\nlocation = 'l.test'\n"
		  "[[registry.mirror]]\nlocation = 'm2.test'\n");
	assert_int_equal(hosts_new(&o, &h), 0);
	check_seats(h, rows, COUNT(rows));
	check(h, ways, COUNT(ways));
	assert_int_equal(hosts_endpoint(h, hosts_mirror(h, &path), &c), 0);
	assert_string_equal(path, "a/b");
	assert_string_equal(c.api_host, "in.test:5000");
	assert_true(c.plain_http);
	host_conf_done(&c);
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

static void toml_is(const char *text, const char *says, const char *ways)
{
	autoptr(hosts) h = NULL;
	autofree char *got = NULL;

	put(TOML("a.test"), text);
	h = start();
	capture_begin();
	got = route(h, "a.test", "x", true);
	assert_says(capture_end(), says);
	assert_string_equal(got, ways);
}

/* What cannot be used is told, with its line; the rest is. */
static void test_hosts_toml_broken(void **state)
{
	static const struct {
		const char *text, *says, *ways;
	} rows[] = {
		{"[host.\"m.test/a b\"]\n[host.\"n.test\"]\n",
		 "toml:1: m.test/a b is no address; it is left out",
		 "n.test/v2? x; - x"},
		{"[host]\n\"m.test\" = 1\n\"n.test\" = {}\n",
		 "toml:2: this cannot be a host", "n.test/v2? x; - x"},
		{"server = 7\n[host.\"n.test\"]\n", "server must be a string",
		 "n.test/v2? x; - x"},
		{"[host.\"n.test\"]\ncapabilities = 'pull'\n", "",
		 "n.test/v2? x; - x"},
		{"[host.\"n.test\"]\ncapabilities = ['push']\n", "", "- x"},
		{"[host.\"n.test\"]\ncapabilities = 7\n",
		 "capabilities must be a string or several", "- x"},
		{"[host.\"n.test/a\"]\noverride_path = true\n", "",
		 "n.test/a? x; - x"},
		{"[host.\"n.test\"]\noverride_path = true\n", "",
		 "n.test/v2? x; - x"},
		{"[host.\"n.test\"]\nca = ['x', 7]\n",
		 "toml:2: this must be a string; it is ignored",
		 "n.test/v2? x; - x"},
		{"[host.\"n.test\"]\nheader = 7\nclient = []\n", "",
		 "n.test/v2? x; - x"},
		{"colour = 1\n", "colour is unknown here", "- x"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		toml_is(rows[i].text, rows[i].says, rows[i].ways);
}

static void test_client_certificates(void **state)
{
	static const struct {
		const char *text, *cert, *key, *says;
	} rows[] = {
		{"'both.pem'", "both.pem", "both.pem", ""},
		{"['both.pem']", "both.pem", "both.pem", ""},
		{"[['c.pem', 'c.key']]", "c.pem", "c.key", ""},
		{"[['both.pem', '']]", "both.pem", "both.pem", ""},
		{"[['c.pem', 'c.key'], ['d.pem', '']]", "c.pem", "c.key",
		 "of several client certificates c.pem is used"},
		{"['c.pem', 'd.pem']", "c.pem", "c.pem",
		 "of several client certificates c.pem is used"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		autoptr(hosts) h = NULL;
		autofree char *text = str_printf("[host.'https://m.test']\n"
						 "client = %s\n",
						 rows[i].text);
		static const char dir[] = ".config/containerd/certs.d/a.test";
		autofree char *cert =
			str_printf("%s/%s", at(dir), rows[i].cert);
		autofree char *key = str_printf("%s/%s", at(dir), rows[i].key);
		struct host_conf c;
		struct route r;

		put(TOML("a.test"), text);
		h = start();
		capture_begin();
		assert_int_equal(hosts_route(h, "a.test", "x", true, &r), 0);
		assert_says(capture_end(), rows[i].says);
		assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
		assert_string_equal(c.client_cert, cert);
		assert_string_equal(c.client_key, key);
		host_conf_done(&c);
		route_done(&r);
	}
}

/* More headers than anybody needs are not sent. */
static void test_headers(void **state)
{
	autostr text = {.max = 0};
	autoptr(hosts) h = NULL;
	struct host_conf c;
	struct route r;

	(void)state;
	str_add(&text, "[host.'https://m.test'.header]\n\"a b\" = 'x'\n"
		       "\"a:b\" = 'x'\n\"\" = 'x'\nx-1 = \"x\\u007f\"\n");
	for (int i = 0; i < 20; i++)
		str_addf(&text, "h%d = 'v'\n", i);
	put(TOML("a.test"), text.buf);
	h = start();
	capture_begin();
	assert_int_equal(hosts_route(h, "a.test", "x", true, &r), 0);
	assert_says(capture_end(), "h16 cannot be a header");
	assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
	assert_int_equal(c.headers.len, 16);
	assert_string_equal(c.headers.v[0], "h0: v");
	assert_string_equal(c.headers.v[15], "h15: v");
	host_conf_done(&c);
	route_done(&r);
}

/* Whoever gives a CA for a place on this machine wants it verified. */
static void test_ca_is_verified(void **state)
{
	autoptr(hosts) h = NULL;
	struct host_conf c;
	struct route r;

	(void)state;
	put(".config/containerd/certs.d/a.test/m.crt",
	    "-----BEGIN CERTIFICATE-----\nbQ==\n"
	    "-----END CERTIFICATE-----\n");
	put(TOML("a.test"), "[host.'https://localhost:1']\nca = 'm.crt'\n"
			    "[host.'https://localhost:2']\nca = 'm.crt'\n"
			    "skip_verify = true\n"
			    "[host.'https://localhost:3']\n"
			    "[host.'https://m.test']\nca = 'absent.crt'\n");
	h = start();
	capture_begin();
	assert_int_equal(hosts_route(h, "a.test", "x", true, &r), 0);
	assert_int_equal(r.len, 5);
	assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
	assert_false(c.insecure || c.plain_http || c.try_https_first);
	assert_non_null(c.ca_file);
	host_conf_done(&c);
	assert_int_equal(hosts_endpoint(h, r.v[1].endpoint, &c), 0);
	assert_true(c.insecure);
	host_conf_done(&c);
	assert_int_equal(hosts_endpoint(h, r.v[2].endpoint, &c), 0);
	assert_true(c.insecure && !c.try_https_first);
	assert_null(c.ca_file);
	host_conf_done(&c);
	assert_string_equal(capture_end(), "");
	/* Without it nobody there could be told from anybody else. */
	capture_begin();
	assert_int_equal(hosts_endpoint(h, r.v[3].endpoint, &c), -EINVAL);
	assert_says(capture_end(), "absent.crt");
	route_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_hosts_toml, fixture_clean),
		cmocka_unit_test_teardown(test_server, fixture_clean),
		cmocka_unit_test_teardown(test_mirror, fixture_clean),
		cmocka_unit_test_teardown(test_hosts_toml_details,
					  fixture_clean),
		cmocka_unit_test_teardown(test_hosts_toml_broken,
					  fixture_clean),
		cmocka_unit_test_teardown(test_client_certificates,
					  fixture_clean),
		cmocka_unit_test_teardown(test_headers, fixture_clean),
		cmocka_unit_test_teardown(test_ca_is_verified, fixture_clean),
	};
	int failed;

	fixture_start();
	unsetenv("CONTAINERS_REGISTRIES_CONF");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return failed;
}
