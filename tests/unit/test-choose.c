/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/mediatype.h"
#include "push/publish.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define HEX64(c)                                                               \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
		c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define DIGEST(c) "sha256:" HEX64(c)
#define ENTRY(c, more)                                                         \
	"{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST                             \
	"\",\"digest\":\"" DIGEST(c) "\",\"size\":100" more "}"
#define NAMED(name)                                                            \
	",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"" \
	"}"
#define BUILDKIT(name)                                                         \
	",\"annotations\":{\"io.containerd.image.name\":\"" name "\"}"
#define PLATFORM(arch)                                                         \
	",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define A ENTRY("a", "")
#define B ENTRY("b", "")

static const struct {
	const char *what, *now, *old, *name;
	const char *want; /* digest, "itself", or NULL */
	int error;
	const char *why; /* a part of it */
} table[] = {
	{"one", INDEX(A), NULL, "1.5", DIGEST("a"), 0, NULL},
	{"one, of another name", INDEX(ENTRY("a", NAMED("x"))), NULL, "1.5",
	 DIGEST("a"), 0, NULL},
	{"one, and it was there", INDEX(A), INDEX(A), "1.5", DIGEST("a"), 0,
	 NULL},
	{"one, twice, by two names",
	 INDEX(ENTRY("a", NAMED("x")) "," ENTRY("a", NAMED("y"))), NULL, "1.5",
	 DIGEST("a"), 0, NULL},
	{"the new one", INDEX(A "," B), INDEX(A), "1.5", DIGEST("b"), 0, NULL},
	{"the new one, first in the list", INDEX(B "," A), INDEX(A), "1.5",
	 DIGEST("b"), 0, NULL},
	{"the new one, though the old one has the name",
	 INDEX(ENTRY("a", NAMED("1.5")) "," B), INDEX(ENTRY("a", NAMED("1.5"))),
	 "1.5", DIGEST("b"), 0, NULL},
	{"a new name for an old one",
	 INDEX(ENTRY("a", NAMED("x")) "," ENTRY("b", NAMED("y")) "," ENTRY(
		 "a", NAMED("z"))),
	 INDEX(ENTRY("a", NAMED("x")) "," ENTRY("b", NAMED("y"))), "1.5",
	 DIGEST("a"), 0, NULL},
	{"the new one has another name",
	 INDEX(ENTRY("a", NAMED("1.0")) "," ENTRY("b", NAMED("1.5"))),
	 INDEX(ENTRY("b", NAMED("1.5"))), "1.5", DIGEST("b"), 0, NULL},
	{"the new ones have other names",
	 INDEX(ENTRY("a", NAMED("1.0")) "," ENTRY("b", NAMED("1.5")) "," ENTRY(
		 "c", BUILDKIT("docker.io/library/app:1.6"))),
	 INDEX(ENTRY("b", NAMED("1.5"))), "1.5", DIGEST("b"), 0, NULL},
	{"one that is new and one that is named are both called otherwise",
	 INDEX(ENTRY("a", NAMED("1.0")) "," ENTRY("b", NAMED("2.0"))),
	 INDEX(ENTRY("b", NAMED("2.0"))), "1.5", DIGEST("a"), 0, NULL},
	{"several new, one unnamed, one of another name",
	 INDEX(ENTRY("a", NAMED("1.0")) "," B "," ENTRY("c", NAMED("1.5"))),
	 INDEX(ENTRY("c", NAMED("1.5"))), "1.5", DIGEST("b"), 0, NULL},
	{"a digest's directory, another is new", INDEX(A "," B), INDEX(B),
	 DIGEST("b"), DIGEST("b"), 0, NULL},
	{"several new, by name", INDEX(A "," ENTRY("b", NAMED("1.5"))), NULL,
	 "1.5", DIGEST("b"), 0, NULL},
	{"several new, by full name",
	 INDEX(A "," ENTRY("b", NAMED("localhost/app:1.5"))), NULL, "1.5",
	 DIGEST("b"), 0, NULL},
	{"several new, by BuildKit's name",
	 INDEX(A "," ENTRY("b", BUILDKIT("docker.io/library/app:1.5"))), NULL,
	 "1.5", DIGEST("b"), 0, NULL},
	{"a name that only ends like it",
	 INDEX(A "," ENTRY("b", NAMED("localhost/app:11.5"))), NULL, "1.5",
	 NULL, -EINVAL, "localhost/app:11.5"},
	{"an old one by name, two new",
	 INDEX(ENTRY("a", NAMED("1.5")) "," B "," ENTRY("c", "")),
	 INDEX(ENTRY("a", NAMED("1.5"))), "1.5", NULL, -EINVAL,
	 "sha256:bbbbbbbbbbbb"},
	{"two of that name",
	 INDEX(ENTRY("a", NAMED("1.5")) "," ENTRY("b", NAMED("1.5"))), NULL,
	 "1.5", NULL, -EINVAL, "1.5"},
	{"platforms",
	 INDEX(ENTRY("a", PLATFORM("amd64")) "," ENTRY("b", PLATFORM("arm64"))),
	 NULL, "1.5", "itself", 0, NULL},
	{"platforms, one of them named",
	 INDEX(ENTRY("a", PLATFORM("amd64") NAMED("1.5")) "," ENTRY(
		 "b", PLATFORM("arm64"))),
	 NULL, "1.5", DIGEST("a"), 0, NULL},
	{"platforms, one of them none",
	 INDEX(ENTRY("a", PLATFORM("amd64")) "," B), NULL, "1.5", NULL, -EINVAL,
	 "several"},
	{"platforms, more than there were",
	 INDEX(ENTRY("a", PLATFORM("amd64")) "," ENTRY(
		 "b", PLATFORM("arm64")) "," ENTRY("c", PLATFORM("s390x"))),
	 INDEX(ENTRY("a", PLATFORM("amd64"))), "1.5", "itself", 0, NULL},
	{"nothing new, by name",
	 INDEX(ENTRY("a", "") "," ENTRY("b", NAMED("1.5"))),
	 INDEX(ENTRY("a", "") "," ENTRY("b", NAMED("1.5")) "," ENTRY("c", "")),
	 "1.5", DIGEST("b"), 0, NULL},
	{"nothing new, one left", INDEX(B), INDEX(A "," B), "1.5", DIGEST("b"),
	 0, NULL},
	{"nothing new, nothing named", INDEX(A "," B),
	 INDEX(A "," B "," ENTRY("c", "")), "1.5", NULL, -EINVAL, "several"},
	{"nothing new, platforms",
	 INDEX(ENTRY("a", PLATFORM("amd64")) "," ENTRY("b", PLATFORM("arm64"))),
	 INDEX(ENTRY("a", PLATFORM("amd64")) "," ENTRY("b", PLATFORM("arm64"))),
	 "1.5", "itself", 0, NULL},
	{"the old one is no index", INDEX(A), "{}", "1.5", DIGEST("a"), 0,
	 NULL},
	{"a digest's directory", INDEX(A "," B), NULL, DIGEST("b"), DIGEST("b"),
	 0, NULL},
	{"umoci init", "{\"schemaVersion\":2,\"manifests\":null}", NULL, "1.5",
	 NULL, -ENODATA, NULL},
	{"nothing", INDEX(""), INDEX(A), "1.5", NULL, -ENODATA, NULL},
	{"not JSON", "{\"schemaVersion\":2,", NULL, "1.5", NULL, -EINVAL,
	 "index.json"},
	{"empty", "", NULL, "1.5", NULL, -EINVAL, "index.json"},
	{"no list", "{\"schemaVersion\":2}", NULL, "1.5", NULL, -EINVAL,
	 "manifests"},
	{"another version", "{\"schemaVersion\":1,\"manifests\":[]}", NULL,
	 "1.5", NULL, -EINVAL, "schemaVersion"},
	{"another type",
	 "{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST
	 "\",\"manifests\":[]}",
	 NULL, "1.5", NULL, -EINVAL, "type"},
	{"a layer",
	 INDEX("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
	       "\"digest\":\"" DIGEST("a") "\",\"size\":1}"),
	 NULL, "1.5", NULL, -EINVAL, "no manifest"},
	{"a digest that is none",
	 INDEX("{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST
	       "\",\"digest\":\"sha256:../..\",\"size\":1}"),
	 NULL, "1.5", NULL, -EINVAL, "digest"},
};

static void check_root(const char *want, const char *now,
		       const struct descriptor *d, bool itself)
{
	char text[DIGEST_TEXT_MAX];
	struct digest whole;

	assert_int_equal(itself, strcmp(want, "itself") == 0);
	if (!itself) {
		digest_format(&d->digest, text);
		assert_string_equal(text, want);
		assert_string_equal(d->mediatype, MEDIATYPE_OCI_MANIFEST);
		assert_int_equal(d->size_bytes, 100);
		return;
	}
	digest_of(HASH_SHA256, now, strlen(now), &whole);
	assert_true(digest_equal(&whole, &d->digest));
	assert_string_equal(d->mediatype, MEDIATYPE_OCI_INDEX);
	assert_int_equal(d->size_bytes, strlen(now));
}

static void test_table(void **state)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		struct descriptor d = {.mediatype = NULL};
		struct str why = {.buf = NULL};
		bool itself = false;
		int r;

		r = publish_choose(table[i].now, strlen(table[i].now),
				   table[i].old,
				   table[i].old ? strlen(table[i].old) : 0,
				   table[i].name, &d, &itself, &why);
		if (r != table[i].error)
			fail_msg("%s: %d: %s", table[i].what, r,
				 why.buf ? why.buf : "");
		if (table[i].why &&
		    (!why.buf || !strstr(why.buf, table[i].why)))
			fail_msg("%s: says %s", table[i].what,
				 why.buf ? why.buf : "nothing");
		if (r == 0)
			check_root(table[i].want, table[i].now, &d, itself);
		else
			assert_null(d.mediatype);
		descriptor_done(&d);
		str_done(&why);
	}
}

/* A reason that does not fit is still a reason. */
static void test_short_reason(void **state)
{
	static const char now[] = INDEX(A "," B);
	struct descriptor d = {.mediatype = NULL};
	struct str why = {.max = 10};
	bool itself;

	assert_int_equal(publish_choose(now, strlen(now), NULL, 0, "1.5", &d,
					&itself, &why),
			 -EINVAL);
	str_done(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_short_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
