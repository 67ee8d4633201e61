/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/platform.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "util/json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *s;
	const char *os, *arch, *variant; /* os NULL: refused */
} parse_rows[] = {
	{"linux/amd64", "linux", "amd64", ""},
	{"linux/arm/v7", "linux", "arm", "v7"},
	{"Linux/ARM64/V8", "linux", "arm64", "v8"},
	{"windows/amd64", "windows", "amd64", ""},
	{"linux/x86_64", "linux", "amd64", ""},
	{"linux/aarch64", "linux", "arm64", ""},
	{"linux/armhf", "linux", "arm", "v7"},
	{"linux/armhf/v6", "linux", "arm", "v6"},
	{"linux/i686", "linux", "386", ""},
	{"linux/mips64", "linux", "mips64", ""},
	{"linux/" A63, "linux", A63, ""},
	{"", NULL, NULL, NULL},
	{"linux", NULL, NULL, NULL},
	{"linux/", NULL, NULL, NULL},
	{"/amd64", NULL, NULL, NULL},
	{"linux//v7", NULL, NULL, NULL},
	{"linux/arm/", NULL, NULL, NULL},
	{"linux/arm/v7/x", NULL, NULL, NULL},
	{"linux/arm 64", NULL, NULL, NULL},
	{"linux/arm\n", NULL, NULL, NULL},
	{"linux/a" A63, NULL, NULL, NULL},
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < COUNT(parse_rows); i++) {
		struct platform p = {.os = "untouched"};
		int r = platform_parse(parse_rows[i].s, &p);

		if (r != (parse_rows[i].os ? 0 : -EINVAL))
			fail_msg("\"%s\": %d", parse_rows[i].s, r);
		if (r < 0) {
			assert_string_equal(p.os, "untouched");
			continue;
		}
		assert_string_equal(p.os, parse_rows[i].os);
		assert_string_equal(p.arch, parse_rows[i].arch);
		assert_string_equal(p.variant, parse_rows[i].variant);
	}
}

static struct platform make(const char *os, const char *arch,
			    const char *variant)
{
	struct platform p = {.os = ""};

	snprintf(p.os, sizeof(p.os), "%s", os);
	snprintf(p.arch, sizeof(p.arch), "%s", arch);
	snprintf(p.variant, sizeof(p.variant), "%s", variant);
	return p;
}

static const struct {
	const char *arch, *want, *have;
	bool serves;
} match_rows[] = {
	{"amd64", "", "", true},
	{"amd64", "", "v1", true},
	{"amd64", "v1", "", true},
	{"amd64", "", "v2", false},
	{"amd64", "v3", "v2", true},
	{"amd64", "v2", "v3", false},
	{"arm64", "", "v8", true},
	{"arm64", "v8", "", true},
	{"arm64", "v8", "v9", false},
	{"arm64", "v8.2", "v8.1", true},
	{"arm64", "v8.1", "v8.2", false},
	{"arm64", "v9", "v8", true},
	{"arm", "v7", "v7", true},
	{"arm", "v7", "v6", true},
	{"arm", "v7", "v5", true},
	{"arm", "v6", "v7", false},
	{"arm", "v6", "", false},
	{"arm", "", "v7", true},
	{"arm", "v7", "V7", true},
	{"arm", "v7", "odd", false},
	{"arm", "odd", "odd", true},
	{"arm", "odd", "", true},
	{"arm", "v7", "v7x", false},
	{"arm", "v7", "v-7", false},
	{"arm", "v7", "v7.", false},
	{"ppc64le", "power9", "power8", true},
	{"ppc64le", "power9", "power10", false},
	{"riscv64", "", "", true},
	{"riscv64", "", "rva20", true},
	{"riscv64", "rva22", "rva20", false},
};

static void test_match(void **state)
{
	for (size_t i = 0; i < COUNT(match_rows); i++) {
		struct platform want =
			make("linux", match_rows[i].arch, match_rows[i].want);
		struct platform have =
			make("linux", match_rows[i].arch, match_rows[i].have);
		int score = platform_match(&want, &have);

		if ((score > 0) != match_rows[i].serves || score < 0)
			fail_msg("%s: want \"%s\" have \"%s\": %d",
				 match_rows[i].arch, match_rows[i].want,
				 match_rows[i].have, score);
	}
}

static void test_match_other(void **state)
{
	struct platform linux_amd64 = make("linux", "amd64", "");
	struct platform windows = make("windows", "amd64", "");
	struct platform arm64 = make("linux", "arm64", "");
	struct platform kernel_name = make("linux", "x86_64", "");

	assert_int_equal(platform_match(&linux_amd64, &windows), 0);
	assert_int_equal(platform_match(&linux_amd64, &arm64), 0);
	assert_true(platform_match(&linux_amd64, &kernel_name) > 0);
	assert_true(platform_match(&kernel_name, &linux_amd64) > 0);
}

/* Each row's first is better for `want` than its second. */
static void test_match_order(void **state)
{
	static const struct {
		const char *arch, *want, *better, *worse;
	} rows[] = {
		{"arm", "v7", "v7", "v6"},	   {"arm", "v7", "v6", "v5"},
		{"arm", "v8", "", "v6"},	   {"amd64", "v3", "v2", ""},
		{"amd64", "v3", "v3", "v2"},	   {"arm64", "v9", "v9", "v8"},
		{"riscv64", "rva20", "rva20", ""},
	};
	struct platform a, b;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct platform want =
			make("linux", rows[i].arch, rows[i].want);

		a = make("linux", rows[i].arch, rows[i].better);
		b = make("linux", rows[i].arch, rows[i].worse);
		if (platform_match(&want, &a) <= platform_match(&want, &b))
			fail_msg("row %zu", i);
	}
	/* the version is a preference, and the weakest */
	a = make("windows", "amd64", "");
	b = a;
	snprintf(a.os_version, sizeof(a.os_version), "10.0.1");
	snprintf(b.os_version, sizeof(b.os_version), "10.0.2");
	assert_true(platform_match(&a, &a) > platform_match(&a, &b));
	assert_true(platform_match(&a, &b) > 0);
}

static void test_host(void **state)
{
	struct platform p, again;
	struct utsname u;
	char text[200];

	platform_host(&p);
	assert_string_equal(p.os, "linux");
	assert_int_equal(uname(&u), 0);
	if (strcmp(u.machine, "x86_64") == 0)
		assert_string_equal(p.arch, "amd64");
	if (strcmp(u.machine, "aarch64") == 0)
		assert_string_equal(p.arch, "arm64");
	snprintf(text, sizeof(text), "linux/%s", p.arch);
	assert_int_equal(platform_parse(text, &again), 0);
	assert_string_equal(again.arch, p.arch);
	assert_true(platform_match(&p, &p) > 0);
}

static void test_name(void **state)
{
	static const struct {
		const char *os, *arch, *variant, *name;
	} rows[] = {
		{"linux", "amd64", "", "linux-amd64"},
		{"linux", "arm", "v7", "linux-arm-v7"},
		{"a/b", "c-d", "..", "a_b-c_d-.."},
		{"..", "\n", "\303\251", "..-_-__"},
		{"", "", "", "_-_"},
		{A63, A63, A63, A63 "-" A63 "-" A63},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct platform p =
			make(rows[i].os, rows[i].arch, rows[i].variant);
		char name[3 * PLATFORM_PART_MAX];

		platform_name(&p, name);
		assert_string_equal(name, rows[i].name);
	}
}

static void test_unknown(void **state)
{
	struct platform p = make("unknown", "unknown", "");

	assert_true(platform_is_unknown(&p));
	p = make("linux", "unknown", "");
	assert_false(platform_is_unknown(&p));
	p = make("", "", "");
	assert_false(platform_is_unknown(&p));
}

static const struct {
	const char *text;
	const char *name; /* NULL: refused */
	const char *os_version;
	const char *error;
} json_rows[] = {
	{"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}",
	 "linux-arm-v6", "", ""},
	{"{\"os\":\"windows\",\"architecture\":\"amd64\","
	 "\"os.version\":\"10.0.17763.1817\",\"os.features\":[\"win32k\"]}",
	 "windows-amd64", "10.0.17763.1817", ""},
	{"{}", "_-_", "", ""},
	{"{\"os\":null,\"architecture\":\"amd64\",\"variant\":null}", "_-amd64",
	 "", ""},
	{"{\"os\":\"" A63 "\"}", A63 "-_", "", ""},
	{"{\"os\":\"a" A63 "\"}", NULL, NULL, "os: longer than 63"},
	{"{\"os.version\":\"a" A63 "\"}", NULL, NULL, "os.version: longer"},
	{"{\"architecture\":5}", NULL, NULL, "architecture: "},
	{"{\"variant\":[]}", NULL, NULL, "variant: "},
};

static void test_json(void **state)
{
	for (size_t i = 0; i < COUNT(json_rows); i++) {
		const char *text = json_rows[i].text;
		struct platform p = {.os = "untouched"};
		struct json_error err = {.text = ""};
		struct json *j;
		char name[3 * PLATFORM_PART_MAX];
		int r;

		assert_int_equal(json_parse(text, strlen(text), 4096, &j, &err),
				 0);
		r = platform_from_json(j, &p, &err);
		json_free(j);
		if (r != (json_rows[i].name ? 0 : -EBADMSG))
			fail_msg("%s: %d", text, r);
		if (r < 0) {
			assert_string_equal(p.os, "untouched");
			assert_non_null(strstr(err.text, json_rows[i].error));
			continue;
		}
		platform_name(&p, name);
		assert_string_equal(name, json_rows[i].name);
		assert_string_equal(p.os_version, json_rows[i].os_version);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_match_other),
		cmocka_unit_test(test_match_order),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
