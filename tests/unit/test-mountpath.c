/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of a mount, and what they mean. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "oci/mountpath.h"

#define HEX "6c1f0e0f9d5e4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b"
#define D "sha256:" HEX
#define P "sha256+" HEX

static const struct good {
	const char *path, *source;
	enum mountpath_kind kind;
	const char *host, *repository, *tag, *repository_path, *rest;
} goods[] = {
	{"", NULL, MOUNTPATH_WAY, "", "", "", "", ""},
	{"", "h:5000/team", MOUNTPATH_WAY, "h:5000", "team", "", "", ""},
	{".registryfs", NULL, MOUNTPATH_ABOUT, "", "", "", "", ""},
	{".registryfs/hosts/x", "h.io", MOUNTPATH_ABOUT, "h.io", "", "", "",
	 "hosts/x"},
	{"h.io", NULL, MOUNTPATH_WAY, "h.io", "", "", "", ""},
	{"h+5000/team/app", NULL, MOUNTPATH_WAY, "h:5000", "team/app", "",
	 "h+5000/team/app", ""},
	{"h.io/team/app/_tags", NULL, MOUNTPATH_TAGS, "h.io", "team/app", "",
	 "h.io/team/app", ""},
	{"app/_tags/1.4", "h.io/team", MOUNTPATH_IMAGE, "h.io", "team/app",
	 "1.4", "app", ""},
	{"app/_tags/1.4/platforms", "h.io/team", MOUNTPATH_IMAGE, "h.io",
	 "team/app", "1.4", "app", "platforms"},
	{"h.io/app:1.4", NULL, MOUNTPATH_IMAGE, "h.io", "app", "1.4",
	 "h.io/app", ""},
	{"h.io/app+1.4/layers/00", NULL, MOUNTPATH_IMAGE, "h.io", "app", "1.4",
	 "h.io/app", "layers/00"},
	{"app:1.4", "h.io/team", MOUNTPATH_IMAGE, "h.io", "team/app", "1.4",
	 "app", ""},
	{"h.io/app@" D, NULL, MOUNTPATH_IMAGE, "h.io", "app", "", "h.io/app",
	 ""},
	{"h.io/app@" P "/history", NULL, MOUNTPATH_IMAGE, "h.io", "app", "",
	 "h.io/app", "history"},
	{"h.io/app/_manifests", NULL, MOUNTPATH_MANIFESTS, "h.io", "app", "",
	 "h.io/app", ""},
	{"h.io/app/_manifests/" D, NULL, MOUNTPATH_IMAGE, "h.io", "app", "",
	 "h.io/app", ""},
	{"h.io/app/_blobs/" P, NULL, MOUNTPATH_BLOB, "h.io", "app", "",
	 "h.io/app", ""},
	{"h.io/app/_tags/1.4/blobs/sha256/" HEX, NULL, MOUNTPATH_BLOB, "h.io",
	 "app", "1.4", "h.io/app", ""},
	{"h.io/app:x/blobs/sha256/" HEX, NULL, MOUNTPATH_BLOB, "h.io", "app",
	 "x", "h.io/app", ""},
	{"h.io/app/_tags/1.4/blobs/sha256", NULL, MOUNTPATH_IMAGE, "h.io",
	 "app", "1.4", "h.io/app", "blobs/sha256"},
	{"h.io/app/_layers", NULL, MOUNTPATH_LAYERS, "h.io", "app", "",
	 "h.io/app", ""},
	{"h.io/app/_layers/" D, NULL, MOUNTPATH_LAYER, "h.io", "app", "",
	 "h.io/app", ""},
	{"h.io/app/_rootfs/" D "/_tags/usr", NULL, MOUNTPATH_ROOTFS, "h.io",
	 "app", "", "h.io/app", "_tags/usr"},
	{"h.io/app/_rootfs", NULL, MOUNTPATH_ROOTFSES, "h.io", "app", "",
	 "h.io/app", ""},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		const struct good *g = &goods[i];
		struct mountpath p;

		assert_int_equal(mountpath_parse(g->path, g->source, &p), 0);
		assert_int_equal(p.kind, g->kind);
		assert_string_equal(p.host, g->host);
		assert_string_equal(p.repository, g->repository);
		assert_string_equal(p.tag, g->tag);
		assert_string_equal(p.rest, g->rest);
		assert_int_equal(p.repository_len, strlen(g->repository_path));
		assert_memory_equal(g->path, g->repository_path,
				    p.repository_len);
	}
}

static void test_bad(void **state)
{
	static const char *const bads[] = {
		"nohost",
		"/",
		"h.io/",
		"h.io//app",
		"h.io/_tags",
		"h.io/app/_nothing",
		"h.io/app/_tags/-",
		"h.io/app/_blobs/sha256:12",
		"h.io/app/_blobs/" D "/x",
		"h.io/app/_tags/1.4/blobs/sha256/12",
		"h.io/Upper",
		"h.io/.registryfs",
	};
	struct mountpath p = {.kind = MOUNTPATH_BLOB};

	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
		assert_int_equal(mountpath_parse(bads[i], NULL, &p), -EINVAL);
	assert_int_equal(p.kind, MOUNTPATH_BLOB);
}

static void test_too_long(void **state)
{
	char path[1024] = "h.io";
	struct mountpath p;

	(void)state;
	for (int i = 0; i < 200; i++)
		strncat(path, "/ab", sizeof(path) - strlen(path) - 1);
	assert_int_equal(mountpath_parse(path, NULL, &p), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
