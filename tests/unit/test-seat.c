/* SPDX-License-Identifier: Apache-2.0 */
/* What `mirror` may be, what is called how on it, and the way back. */
#include "fixture.h"

#include "config/endpoint.h"
#include "config/hosts.h"
#include "oci/reference.h"
#include "util/auto.h"

AUTOPTR_DEFINE(hosts, hosts_free)
AUTOPTR_DEFINE(endpoint, endpoint_free)

static struct hosts *start(const char *mirror)
{
	struct options o = {.source = NULL};
	struct hosts *h = NULL;

	if (mirror)
		o.mirror = strdup(mirror);
	assert_int_equal(hosts_new(&o, &h), 0);
	options_done(&o);
	return h;
}

/* --- what `mirror` may be --- */

static void mirrors(void **state)
{
	static const struct {
		const char *text, *host, *path;
		enum endpoint_scheme scheme;
		const char *why; /* instead */
	} t[] = {
		{"m.test", "m.test", "", ENDPOINT_USUAL, NULL},
		{"m.test/", "m.test", "", ENDPOINT_USUAL, NULL},
		{"m.test:5000/a/b", "m.test:5000", "a/b", ENDPOINT_USUAL, NULL},
		{"m.test/a//", "m.test", "a", ENDPOINT_USUAL, NULL},
		{"https://m.test/a", "m.test", "a", ENDPOINT_HTTPS, NULL},
		{"http://m:80", "m:80", "", ENDPOINT_HTTP, NULL},
		{"http://store/a", "store", "a", ENDPOINT_HTTP, NULL},
		{"[::1]:5000/a", "[::1]:5000", "a", ENDPOINT_USUAL, NULL},
		{"registry-1.docker.io", "docker.io", "", ENDPOINT_USUAL, NULL},
		{"", NULL, NULL, 0, "is no address"},
		{"/a", NULL, NULL, 0, "is no address"},
		{"http://", NULL, NULL, 0, "is no address"},
		{"ftp://m.test", NULL, NULL, 0, "is no address"},
		{"m.test/a//b", NULL, NULL, 0, "is no address"},
		{"m.test/../a", NULL, NULL, 0, "is no address"},
		{"m.test/a?b", NULL, NULL, 0, "is no address"},
		{"user@m.test", NULL, NULL, 0, "is no address"},
		{"m.test/A", NULL, NULL, 0, "has a path that no repository"},
		{"m.test/a.", NULL, NULL, 0, "has a path that no repository"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autoptr(endpoint) e = NULL;
		autofree char *path = NULL;
		const char *why = "";
		int r = mirror_parse(t[i].text, &e, &path, &why);

		if (r != (t[i].why ? -EINVAL : 0))
			fail_msg("%s: %d", t[i].text, r);
		if (t[i].why) {
			assert_says(why, t[i].why);
			assert_null(e);
			assert_null(path);
			continue;
		}
		assert_string_equal(e->host, t[i].host);
		assert_string_equal(e->path, "/v2");
		assert_string_equal(path, t[i].path);
		assert_int_equal(e->scheme, t[i].scheme);
		assert_true(e->resolve && e->pull && e->push && !e->ns);
	}
}

static void bad_mirror_is_told(void **state)
{
	struct options o = {.mirror = strdup("m.test/A")};
	struct hosts *h = NULL;

	capture_begin();
	assert_int_equal(hosts_new(&o, &h), -EINVAL);
	assert_says(capture_end(), "mirror=m.test/A has a path");
	assert_null(h);
	options_done(&o);
}

/* --- names on the mirror, and back --- */

/* "HOST PREFIX", "-" for what is not there. */
static void seat_is(struct hosts *h, const char *name, const char *expected)
{
	struct seat s = {.endpoint = NULL};
	char got[512];

	assert_int_equal(hosts_seat(h, name, &s), 0);
	snprintf(got, sizeof(got), "%s %s", s.endpoint ? s.endpoint->host : "-",
		 s.prefix ? s.prefix : "-");
	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s, not %s", name, got, expected);
	seat_done(&s);
	assert_null(s.prefix);
	assert_null(s.endpoint);
	seat_done(&s);
}

static void on_mirror(void **state)
{
	static const struct {
		const char *mirror, *name, *expected;
	} t[] = {
		{"m.test", "ghcr.io", "m.test ghcr.io"},
		{"m.test", "h.test:5000", "m.test h.test_5000"},
		{"m.test", "localhost:1", "m.test localhost_1"},
		{"m.test/a/b", "h.test:5000", "m.test a/b/h.test_5000"},
		{"m.test/a/b", "index.docker.io", "m.test a/b/docker.io"},
		/* What it calls its own is itself. */
		{"m.test/a", "m.test", "m.test -"},
		{"m.test:1", "m.test", "m.test:1 m.test"},
		{"index.docker.io", "registry-1.docker.io", "docker.io -"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autoptr(hosts) h = start(t[i].mirror);
		const char *path = NULL;

		seat_is(h, t[i].name, t[i].expected);
		assert_non_null(hosts_mirror(h, &path));
		assert_non_null(path);
	}
}

/* No repository can be called so: nothing else is asked instead. */
static void not_on_mirror(void **state)
{
	autoptr(hosts) h = start("m.test");
	struct seat s = {.prefix = (char *)-1};

	assert_int_equal(hosts_seat(h, "[::1]:5000", &s), -EINVAL);
	assert_int_equal(hosts_seat(h, "H.test", &s), -EINVAL);
	assert_ptr_equal(s.prefix, (char *)-1);
}

static void back(void **state)
{
	static const struct {
		const char *component, *host; /* NULL: of none */
	} t[] = {
		{"ghcr.io", "ghcr.io"},
		{"h.test_5000", "h.test:5000"},
		{"localhost_1", "localhost:1"},
		{"localhost", "localhost"},
		{"team", NULL},
		{"a_b", NULL},
		{"h.test_", NULL},
		{"_5000", NULL},
		{"h.test_99999", NULL},
		{"h_t.test", NULL},
		{"x.y_z", NULL},
		{"h.test_5000_1", NULL},
		{"h+5000", NULL},
		{"x+h.test", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		char host[REFERENCE_HOST_MAX + 1] = "?";
		int r = mirror_host(t[i].component, host);

		if (r != (t[i].host ? 0 : -EINVAL))
			fail_msg("%s: %d %s", t[i].component, r, host);
		if (t[i].host)
			assert_string_equal(host, t[i].host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mirrors),
		cmocka_unit_test(bad_mirror_is_told),
		cmocka_unit_test(on_mirror),
		cmocka_unit_test(not_on_mirror),
		cmocka_unit_test(back),
	};
	int r;

	fixture_start();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
