/* SPDX-License-Identifier: Apache-2.0 */
/* What people paste, and what is understood. */
#include "fixture.h"

#include "cli/check_name.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

struct row {
	const char *text, *name; /* "host repository tag digest" */
	const char *how;	 /* p: plain, s: short, o: official, w: web
				    page, a: API, h: looks like a host */
};

static const struct row good[] = {
	{"r.test", "r.test", ""},
	{"R.test:5000/", "r.test:5000", ""},
	{"r.test/team/app", "r.test team/app", ""},
	{"r.test/team/app:1.4", "r.test team/app 1.4", ""},
	{"r.test/app@" DIGEST, "r.test app " DIGEST, ""},
	{"r.test/app:1@" DIGEST, "r.test app 1 " DIGEST, ""},
	{"https://r.test/v2/", "r.test", "a"},
	{"HTTPS://r.test/v2", "r.test", "a"},
	{"r.test/v1/", "r.test", "a"},
	{"http://r.test:5000/v2/", "r.test:5000", "pa"},
	{"https://reg/v2/", "reg:443", "a"},
	{"http://reg", "reg:80", "p"},
	{"https://r.test/v2/_catalog?n=5", "r.test", "a"},
	{"https://r.test/v2/a/b/tags/list", "r.test a/b", "a"},
	{"https://r.test/v2/a/b/manifests/1.4", "r.test a/b 1.4", "a"},
	{"https://r.test/v2/a/blobs/" DIGEST, "r.test a " DIGEST, "a"},
	{"https://r.test/v2/a/manifests/" DIGEST "#x", "r.test a " DIGEST, "a"},
	{"r.test/v2/app", "r.test v2/app", ""},
	{"docker://r.test/app:1", "r.test app 1", ""},
	{"oci://r.test/app:1", "r.test app 1", ""},
	{"docker://alpine", "docker.io library/alpine", "so"},
	{"alpine", "docker.io library/alpine", "so"},
	{"alpine:3.20", "docker.io library/alpine 3.20", "so"},
	{"alpine@" DIGEST, "docker.io library/alpine " DIGEST, "so"},
	{"team/app:1", "docker.io team/app 1", "s"},
	{"docker.io/alpine", "docker.io library/alpine", "o"},
	{"docker.io/library/alpine", "docker.io library/alpine", ""},
	{"docker.io", "docker.io", ""},
	{"index.docker.io/v1/", "docker.io", "a"},
	{"registry-1.docker.io/alpine", "docker.io library/alpine", "o"},
	{"reg:5000", "reg:5000", "h"},
	{"alpine:3", "alpine:3", "h"},
	{"localhost:5000", "localhost:5000", ""},
	{"localhost/app", "localhost app", ""},
	{"[::1]:5000/app:1", "[::1]:5000 app 1", ""},
	{"hub.docker.com", "docker.io", "w"},
	{"https://hub.docker.com/_/alpine", "docker.io library/alpine", "w"},
	{"https://hub.docker.com/_/alpine/tags", "docker.io library/alpine",
	 "w"},
	{"https://hub.docker.com/r/team/app/tags?page=2", "docker.io team/app",
	 "w"},
	{"https://hub.docker.com/repository/docker/team/app/general",
	 "docker.io team/app", "w"},
	{"https://quay.io/repository/team/app?tab=tags", "quay.io team/app",
	 "w"},
};

static void print(const struct check_name *n, char *out, size_t size)
{
	char digest[DIGEST_TEXT_MAX] = "";

	if (n->ref.has_digest)
		digest_format(&n->ref.digest, digest);
	snprintf(out, size, "%s%s%s%s%s%s%s", n->ref.host,
		 *n->ref.repository ? " " : "", n->ref.repository,
		 *n->ref.tag ? " " : "", n->ref.tag, *digest ? " " : "",
		 digest);
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct check_name n;
		const char *why = "";
		char got[1024], how[16];

		if (check_name_parse(good[i].text, &n, &why) < 0)
			fail_msg("%s %s", good[i].text, why);
		print(&n, got, sizeof(got));
		snprintf(how, sizeof(how), "%s%s%s%s%s%s",
			 n.plain_http ? "p" : "", n.is_short ? "s" : "",
			 n.is_official ? "o" : "", n.is_page ? "w" : "",
			 n.is_api ? "a" : "", n.is_hostish ? "h" : "");
		if (strcmp(got, good[i].name) != 0 ||
		    strcmp(how, good[i].how) != 0)
			fail_msg("%s: %s (%s)", good[i].text, got, how);
	}
}

static const struct {
	const char *text, *says;
} bad[] = {
	{"", "is a file"},
	{"/", "is a file"},
	{"https://", "is a file"},
	{"/mnt/reg/r.test", "is a file"},
	{"./layout", "is a file"},
	{"https://jo:secret@r.test/app", "password"},
	{"jo@r.test", "password"},
	{"r.test/Team/App", "lower case"},
	{"r.test/a b", "names no registry"},
	{"r.test/app@sha256:12", "names no registry"},
	{"r.test:99999/app", "names no registry"},
	{"https:///x", "is a file"},
	{"r.test/app:", "names no registry"},
	{"r.test//app", "names no registry"},
	{"\x1b[2j", "names no registry"},
};

static void test_bad(void **state)
{
	char longest[CHECK_NAME_MAX + 100];
	const char *why = "";
	struct check_name n;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		why = "";
		if (check_name_parse(bad[i].text, &n, &why) != -EINVAL)
			fail_msg("%s", bad[i].text);
		if (!strstr(why, bad[i].says))
			fail_msg("%s: %s", bad[i].text, why);
	}
	for (size_t len = 260; len < sizeof(longest); len++) {
		memset(longest, 'a', len);
		longest[len] = '\0';
		assert_int_equal(check_name_parse(longest, &n, &why), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
