/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/reference.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HEX "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

/* n times c, then s. */
static const char *run(char c, size_t n, const char *s)
{
	static char buf[1024];

	assert_true(n + strlen(s) < sizeof(buf));
	memset(buf, c, n);
	memcpy(buf + n, s, strlen(s) + 1);
	return buf;
}

static const struct {
	const char *s;
	const char *host; /* NULL: refused */
} host_rows[] = {
	{"reg.example.com", "reg.example.com"},
	{"docker.io", "docker.io"},
	{"Reg.Example.COM", "reg.example.com"},
	{"localhost", "localhost"},
	{"LocalHost", "localhost"},
	{"localhost:5000", "localhost:5000"},
	{"h:5000", "h:5000"},
	{"h+5000", "h:5000"},
	{"H+1", "h:1"},
	{"h:65535", "h:65535"},
	{"reg.example.com+443", "reg.example.com:443"},
	{"127.0.0.1", "127.0.0.1"},
	{"127.0.0.1:5000", "127.0.0.1:5000"},
	{"[::1]", "[::1]"},
	{"[::1]:5000", "[::1]:5000"},
	{"[::1]+5000", "[::1]:5000"},
	{"[++1]+5000", "[::1]:5000"},
	{"[2001:DB8::a]", "[2001:db8::a]"},
	{"a-b.c-d", "a-b.c-d"},
	{"xn--bcher-kva.example", "xn--bcher-kva.example"},
	{"0.0", "0.0"},
	{"", NULL},
	{"h", NULL},
	{"docker", NULL},
	{"localhosts", NULL},
	{".", NULL},
	{"..", NULL},
	{".git", NULL},
	{".registryfs", NULL},
	{"reg.example.com.", NULL},
	{"reg..example", NULL},
	{"-a.b", NULL},
	{"a-.b", NULL},
	{"a.-b", NULL},
	{"a_b.c", NULL},
	{"b\303\274cher.example", NULL},
	{"a.b/c", NULL},
	{"a.b@c", NULL},
	{"user@a.b", NULL},
	{"a b.c", NULL},
	{"a.b\r\nx", NULL},
	{"a.b%2f", NULL},
	{"https://a.b", NULL},
	{":5000", NULL},
	{"+5000", NULL},
	{"h:", NULL},
	{"h+", NULL},
	{"h:0", NULL},
	{"h:05", NULL},
	{"h:65536", NULL},
	{"h:99999", NULL},
	{"h:123456", NULL},
	{"h:4294967297", NULL},
	{"h:5000:5000", NULL},
	{"h:5000+5000", NULL},
	{"h:-1", NULL},
	{"h: 1", NULL},
	{"h:5a", NULL},
	{"h:latest", NULL},
	{"app+1.4", NULL},
	{"[]", NULL},
	{"[", NULL},
	{"[::1", NULL},
	{"::1", NULL},
	{"[::1]x", NULL},
	{"[::1]:", NULL},
	{"[::1]5000", NULL},
	{"[[::1]]", NULL},
	{"[::g]", NULL},
	{"[:::1]", NULL},
	{"[1:2:3:4:5:6:7:8:9]", NULL},
	{"[::1%eth0]", NULL},
	{"[::ffff:1.2.3.4]", NULL},
	{"[a.b]", NULL},
};

static void test_host(void **state)
{
	for (size_t i = 0; i < COUNT(host_rows); i++) {
		char host[REFERENCE_HOST_MAX + 1] = "untouched";
		int r = reference_parse_host(host_rows[i].s, host);

		if (r != (host_rows[i].host ? 0 : -EINVAL))
			fail_msg("\"%s\": %d", host_rows[i].s, r);
		assert_string_equal(host, host_rows[i].host ? host_rows[i].host
							    : "untouched");
	}
}

static void test_host_length(void **state)
{
	char host[REFERENCE_HOST_MAX + 1];

	assert_int_equal(reference_parse_host(run('a', 251, ".com"), host), 0);
	assert_int_equal(strlen(host), 255);
	assert_int_equal(reference_parse_host(run('a', 252, ".com"), host),
			 -EINVAL);
}

static const struct {
	const char *s;
	bool ok;
} component_rows[] = {
	{"a", true},	     {"0", true},      {"app", true},
	{"a.b", true},	     {"a_b", true},    {"a__b", true},
	{"a-b", true},	     {"a---b", true},  {"a.b_c__d-e--f", true},
	{"1.4", true},	     {"", false},      {".", false},
	{"..", false},	     {"a..b", false},  {"a___b", false},
	{"a._b", false},     {"a.-b", false},  {"a_-b", false},
	{".a", false},	     {"_a", false},    {"-a", false},
	{"a.", false},	     {"a_", false},    {"a__", false},
	{"a-", false},	     {"A", false},     {"aB", false},
	{"a/b", false},	     {"a:b", false},   {"a+b", false},
	{"a@b", false},	     {"a b", false},   {"a\n", false},
	{"\303\251", false}, {"_tags", false}, {"a%2e", false},
};

static void test_component(void **state)
{
	for (size_t i = 0; i < COUNT(component_rows); i++) {
		const char *s = component_rows[i].s;

		if (reference_is_component(s, strlen(s)) !=
		    component_rows[i].ok)
			fail_msg("\"%s\"", s);
	}
	/* exactly n bytes, NUL or not */
	assert_true(reference_is_component("ab-", 2));
	assert_false(reference_is_component("ab-", 3));
	assert_false(reference_is_component("a\0b", 3));
}

static const struct {
	const char *s;
	bool ok;
} repository_rows[] = {
	{"app", true},
	{"team/app", true},
	{"a/b/c/d/e/f", true},
	{"library/alpine", true},
	{"a.b/c_d/e--f", true},
	{"", false},
	{"/", false},
	{"/app", false},
	{"app/", false},
	{"a//b", false},
	{"a/../b", false},
	{"a/./b", false},
	{"a/_tags", false},
	{"Team/app", false},
	{"team/app:1", false},
	{"team/app?x", false},
	{"team/a\r\nHost: b", false},
};

static void test_repository(void **state)
{
	for (size_t i = 0; i < COUNT(repository_rows); i++)
		if (reference_is_repository(repository_rows[i].s) !=
		    repository_rows[i].ok)
			fail_msg("\"%s\"", repository_rows[i].s);
	assert_true(reference_is_repository(run('a', 253, "/b")));
	assert_false(reference_is_repository(run('a', 254, "/b")));
}

static const struct {
	const char *s;
	bool ok;
} tag_rows[] = {
	{"1.4", true},	   {"latest", true},	{"_x", true},
	{"A-b_C.9", true}, {"v1..2", true},	{"a", true},
	{"", false},	   {".", false},	{"..", false},
	{".git", false},   {"-a", false},	{"a:b", false},
	{"a+b", false},	   {"a/b", false},	{"a b", false},
	{"a\n", false},	   {"\303\251", false}, {"a\303\251", false},
	{"a@b", false},
};

static void test_tag(void **state)
{
	for (size_t i = 0; i < COUNT(tag_rows); i++)
		if (reference_is_tag(tag_rows[i].s) != tag_rows[i].ok)
			fail_msg("\"%s\"", tag_rows[i].s);
	assert_true(reference_is_tag(run('a', 128, "")));
	assert_false(reference_is_tag(run('a', 129, "")));
}

#define REFUSED -1

static const struct {
	const char *s;
	int kind;
	const char *component, *tag;
} name_rows[] = {
	{"app", REFERENCE_COMPONENT, "app", ""},
	{"1.4", REFERENCE_COMPONENT, "1.4", ""},
	{"app:1.4", REFERENCE_TAG, "app", "1.4"},
	{"app+1.4", REFERENCE_TAG, "app", "1.4"},
	{"app:Latest", REFERENCE_TAG, "app", "Latest"},
	{"h+5000", REFERENCE_TAG, "h", "5000"},
	{"app@sha256:" HEX, REFERENCE_DIGEST, "app", ""},
	{"app@sha256+" HEX, REFERENCE_DIGEST, "app", ""},
	{"", REFUSED, NULL, NULL},
	{"app:", REFUSED, NULL, NULL},
	{"app+", REFUSED, NULL, NULL},
	{":1.4", REFUSED, NULL, NULL},
	{"+1.4", REFUSED, NULL, NULL},
	{"app:1:4", REFUSED, NULL, NULL},
	{"app+1+4", REFUSED, NULL, NULL},
	{"app:1+4", REFUSED, NULL, NULL},
	{"app:.git", REFUSED, NULL, NULL},
	{"App:1.4", REFUSED, NULL, NULL},
	{"app/b:1.4", REFUSED, NULL, NULL},
	{"app:1/4", REFUSED, NULL, NULL},
	{"app@", REFUSED, NULL, NULL},
	{"@sha256:" HEX, REFUSED, NULL, NULL},
	{"app@latest", REFUSED, NULL, NULL},
	{"app@sha256" HEX, REFUSED, NULL, NULL},
	{"app@sha256:" HEX "0", REFUSED, NULL, NULL},
	{"app@sha256:" HEX "@sha256:" HEX, REFUSED, NULL, NULL},
	{"app:1.4@sha256:" HEX, REFUSED, NULL, NULL},
	{"app@sha256:" HEX ":1.4", REFUSED, NULL, NULL},
	{"sha256:" HEX, REFERENCE_TAG, "sha256", HEX},
	{"_tags", REFUSED, NULL, NULL},
	{".registryfs", REFUSED, NULL, NULL},
	{"[::1]:5000", REFUSED, NULL, NULL},
};

static void test_name(void **state)
{
	struct digest want;

	assert_int_equal(digest_parse("sha256:" HEX, &want), 0);
	for (size_t i = 0; i < COUNT(name_rows); i++) {
		struct reference_name n, before;
		int r;

		memset(&n, 0x5a, sizeof(n));
		before = n;
		r = reference_parse_name(name_rows[i].s, &n);
		if (r != (name_rows[i].kind == REFUSED ? -EINVAL : 0))
			fail_msg("\"%s\": %d", name_rows[i].s, r);
		if (r < 0) {
			assert_memory_equal(&n, &before, sizeof(n));
			continue;
		}
		assert_int_equal(n.kind, name_rows[i].kind);
		assert_string_equal(n.component, name_rows[i].component);
		assert_string_equal(n.tag, name_rows[i].tag);
		if (n.kind == REFERENCE_DIGEST)
			assert_true(digest_equal(&n.digest, &want));
	}
	assert_int_equal(reference_parse_name(run('a', 255, ""),
					      &(struct reference_name){0}),
			 0);
	assert_int_equal(reference_parse_name(run('a', 256, ""),
					      &(struct reference_name){0}),
			 -EINVAL);
}

static const struct {
	const char *s;
	bool ok;
} digest_rows[] = {
	{"sha256:" HEX, true},
	{"sha256+" HEX, true},
	{"sha512:" HEX HEX, true},
	{"sha512+" HEX HEX, true},
	{"sha256" HEX, false},
	{"sha256:+" HEX, false},
	{"sha256-" HEX, false},
	{"sha256+" HEX "+", false},
	{"", false},
	{"+", false},
	{"sha512:" HEX HEX "00", false},
};

static void test_digest_name(void **state)
{
	for (size_t i = 0; i < COUNT(digest_rows); i++) {
		struct digest d;
		char text[DIGEST_TEXT_MAX];
		int r = reference_parse_digest_name(digest_rows[i].s, &d);

		if (r != (digest_rows[i].ok ? 0 : -EINVAL))
			fail_msg("\"%s\": %d", digest_rows[i].s, r);
		if (r < 0)
			continue;
		digest_format(&d, text);
		assert_int_equal(text[6], ':');
		assert_string_equal(text + 7, digest_rows[i].s + 7);
	}
}

static const struct {
	const char *s;
	const char *host, *repository, *tag;
	bool has_digest;
} rows[] = {
	{"docker.io", "docker.io", "", "", false},
	{"h:5000", "h:5000", "", "", false},
	{"docker.io/library/alpine", "docker.io", "library/alpine", "", false},
	{"R.example/team/app:1.4", "r.example", "team/app", "1.4", false},
	{"r.example:5000/app", "r.example:5000", "app", "", false},
	{"r.example+5000/app+1.4", "r.example:5000", "app", "1.4", false},
	{"[::1]:5000/app:1", "[::1]:5000", "app", "1", false},
	{"localhost/app@sha256:" HEX, "localhost", "app", "", true},
	{"localhost/app@sha256+" HEX, "localhost", "app", "", true},
	{"localhost/a/b:1.4@sha256:" HEX, "localhost", "a/b", "1.4", true},
	{"", NULL, NULL, NULL, false},
	{"/", NULL, NULL, NULL, false},
	{"alpine", NULL, NULL, NULL, false},
	{"library/alpine", NULL, NULL, NULL, false},
	{"docker.io/", NULL, NULL, NULL, false},
	{"docker.io/a/", NULL, NULL, NULL, false},
	{"docker.io//a", NULL, NULL, NULL, false},
	{"docker.io/A", NULL, NULL, NULL, false},
	{"docker.io/:1", NULL, NULL, NULL, false},
	{"docker.io/a:", NULL, NULL, NULL, false},
	{"docker.io/a:1/b", NULL, NULL, NULL, false},
	{"docker.io/a:1:2", NULL, NULL, NULL, false},
	{"docker.io/a@", NULL, NULL, NULL, false},
	{"docker.io/a@sha256:1", NULL, NULL, NULL, false},
	{"docker.io/@sha256:" HEX, NULL, NULL, NULL, false},
	{"docker.io@sha256:" HEX, NULL, NULL, NULL, false},
	{"docker.io:latest", NULL, NULL, NULL, false},
	{"docker.io/a@sha256:" HEX ":1", NULL, NULL, NULL, false},
	{"https://docker.io/a", NULL, NULL, NULL, false},
	{"docker.io/../a", NULL, NULL, NULL, false},
	{"docker.io/a?b=c", NULL, NULL, NULL, false},
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reference ref, before;
		int r;

		memset(&ref, 0x5a, sizeof(ref));
		before = ref;
		r = reference_parse(rows[i].s, &ref);
		if (r != (rows[i].host ? 0 : -EINVAL))
			fail_msg("\"%s\": %d", rows[i].s, r);
		if (r < 0) {
			assert_memory_equal(&ref, &before, sizeof(ref));
			continue;
		}
		assert_string_equal(ref.host, rows[i].host);
		assert_string_equal(ref.repository, rows[i].repository);
		assert_string_equal(ref.tag, rows[i].tag);
		assert_int_equal(ref.has_digest, rows[i].has_digest);
	}
}

static void test_fits(void **state)
{
	struct reference ref;
	char s[300] = "r.example/";

	memset(s + 10, 'a', 245);
	assert_int_equal(reference_parse(s, &ref), 0);
	assert_true(reference_fits(ref.host, ref.repository));
	s[255] = 'a';
	assert_int_equal(reference_parse(s, &ref), -EINVAL);
	assert_false(reference_fits("r.example", s + 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_host_length),
		cmocka_unit_test(test_component),
		cmocka_unit_test(test_repository),
		cmocka_unit_test(test_tag),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_digest_name),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
