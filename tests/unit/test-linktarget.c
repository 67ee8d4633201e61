/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/linktarget.h"

#define HEX "6c1fe3a5d0b7a9e4f1c2d3b4a5968778695a4b3c2d1e0f112233445566778899"

static const struct row {
	const char *source, *dir, *target;
	const char *want; /* HOST REPOSITORY TAG-OR-DIGEST; NULL: none */
} rows[] = {
	{NULL, "/reg.io/team/app/_tags", "1.4", "reg.io team/app 1.4"},
	{NULL, "/reg.io/team/app/_tags", "./1.4", "reg.io team/app 1.4"},
	{NULL, "/reg.io/team/app/_tags", "1.4/", "reg.io team/app 1.4"},
	{NULL, "/reg.io/app/_tags", "../_tags/1.4", "reg.io app 1.4"},
	{NULL, "/reg.io/app/_tags", "../_manifests/sha256:" HEX,
	 "reg.io app sha256:" HEX},
	{NULL, "/reg.io/app/_tags", "../_manifests/sha256+" HEX,
	 "reg.io app sha256:" HEX},
	{NULL, "/reg.io/app/_tags", "sha256:" HEX, "reg.io app sha256:" HEX},
	{NULL, "/reg.io/app/_tags", "../../other/_tags/1", "reg.io other 1"},
	{NULL, "/reg.io/app/_tags", "../../app:2", "reg.io app 2"},
	{NULL, "/reg.io/team", "app:1.4", "reg.io team/app 1.4"},
	{NULL, "/reg.io/team", "app+1.4", "reg.io team/app 1.4"},
	{NULL, "/reg.io/team", "app/_tags/1.4", "reg.io team/app 1.4"},
	{NULL, "/reg.io/team", "app@sha256:" HEX,
	 "reg.io team/app sha256:" HEX},
	{NULL, "/reg.io+5000/app/_tags", "/mnt/reg/reg.io:5000/app/_tags/1",
	 "reg.io:5000 app 1"},
	{NULL, "", "/mnt/reg/reg.io/app:1", "reg.io app 1"},
	{"reg.io", "/app/_tags", "1", "reg.io app 1"},
	{"reg.io/team", "/app/_tags", "1", "reg.io team/app 1"},
	{"reg.io/team/app", "/_tags", "1", "reg.io team/app 1"},
	{"reg.io/team", "/app/_tags", "/mnt/reg/app:3", "reg.io team/app 3"},

	/* out of the mount, of its source, or to nothing that is an image */
	{NULL, "/reg.io/app/_tags", "/mnt/regular/reg.io/app:1", NULL},
	{NULL, "/reg.io/app/_tags", "/etc/passwd", NULL},
	{NULL, "/reg.io/app/_tags", "../../../../etc/passwd", NULL},
	{"reg.io/team", "/app/_tags", "../../../other/_tags/1", NULL},
	{NULL, "/reg.io/app/_tags", "", NULL},
	{NULL, "/reg.io/app/_tags", ".", NULL},
	{NULL, "/reg.io/app/_tags", "..", NULL},
	{NULL, "/reg.io/app/_tags", "../_blobs/sha256:" HEX, NULL},
	{NULL, "/reg.io/app/_tags", "../_manifests/1.4", NULL},
	{NULL, "/reg.io/app/_tags", "1.4/blobs", NULL},
	{NULL, "/reg.io/app/_tags", "-bad", NULL},
	{NULL, "/reg.io/team", "app", NULL},
	{NULL, "/nohost/team", "app:1", NULL},
};

static void test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		char source[64], mountpoint[] = "/mnt/reg/";
		struct options o = {.mountpoint = mountpoint};
		char got[600], digest[DIGEST_TEXT_MAX] = "";
		struct reference ref = {.host = "untouched"};
		int r;

		if (row->source) {
			snprintf(source, sizeof(source), "%s", row->source);
			o.source = source;
		}
		r = link_target_parse(&o, row->dir, row->target, &ref);
		if (!row->want) {
			if (r != -EINVAL || strcmp(ref.host, "untouched") != 0)
				fail_msg("%s in %s: %d", row->target, row->dir,
					 r);
			continue;
		}
		if (r != 0)
			fail_msg("%s in %s: %d", row->target, row->dir, r);
		if (ref.has_digest)
			digest_format(&ref.digest, digest);
		snprintf(got, sizeof(got), "%s %s %s", ref.host, ref.repository,
			 ref.has_digest ? digest : ref.tag);
		assert_string_equal(got, row->want);
	}
}

/* Whatever the length, nothing is written beyond what there is. */
static void test_long(void **state)
{
	char mountpoint[] = "/mnt", target[8192];
	struct options o = {.mountpoint = mountpoint};
	struct reference ref;

	(void)state;
	memset(target, 'a', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(link_target_parse(&o, "/r.io/a/_tags", target, &ref),
			 -EINVAL);
	for (size_t i = 0; i + 1 < sizeof(target); i += 2)
		memcpy(target + i, "a/", 2);
	assert_int_equal(link_target_parse(&o, "/r.io/a/_tags", target, &ref),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
