/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "oci/manifest.h"
#include "util/json.h"

#define HEAD                                                                   \
	"{\"schemaVersion\":2,\"mediaType\":"                                  \
	"\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{"         \
	"\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","        \
	"\"digest\":\"sha256:"                                                 \
	"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\","  \
	"\"size\":1207"
#define NAMED(s)                                                               \
	HEAD ",\"annotations\":{\"org.opencontainers.image.ref.name\":" s      \
	     "}}]}\n"

static char type[] = MEDIATYPE_OCI_MANIFEST;

static struct descriptor make(void)
{
	struct descriptor d = {.mediatype = type, .size_bytes = 1207};

	digest_of(HASH_SHA256, "{}", 2, &d.digest);
	return d;
}

static void test_marker(void **state)
{
	assert_string_equal(layout_marker(),
			    "{\"imageLayoutVersion\":\"1.0.0\"}");
}

static void test_index(void **state)
{
	static const struct {
		const char *ref_name, *text;
	} rows[] = {
		{"1.4", NAMED("\"1.4\"")},
		{NULL, HEAD "}]}\n"},
		{"a\"b\\", NAMED("\"a\\\"b\\\\\"")},
	};
	struct descriptor d = make();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct str s = {.buf = NULL};

		assert_int_equal(layout_index(&d, rows[i].ref_name, &s), 0);
		assert_string_equal(s.buf, rows[i].text);
		assert_int_equal(s.len, strlen(rows[i].text));
		str_done(&s);
	}
}

/* What we write, we can read. */
static void test_round_trip(void **state)
{
	struct descriptor d = make();
	struct str s = {.buf = NULL};
	struct json_error err;
	struct manifest *m;

	assert_int_equal(layout_index(&d, "v1", &s), 0);
	assert_int_equal(
		manifest_parse(s.buf, s.len, "", HASH_SHA256, &m, &err), 0);
	assert_int_equal(m->class, MEDIATYPE_INDEX);
	assert_int_equal(m->children_len, 1);
	assert_true(digest_equal(&m->children[0].digest, &d.digest));
	assert_int_equal(m->children[0].size_bytes, 1207);
	manifest_free(m);
	str_done(&s);
}

static void test_refused(void **state)
{
	struct str s = {.max = 300};
	struct descriptor d = make();

	assert_int_equal(str_add(&s, "before"), 0);
	d.size_bytes = DESCRIPTOR_SIZE_UNKNOWN;
	assert_int_equal(layout_index(&d, "1.4", &s), -EINVAL);
	d.size_bytes = 1207;
	assert_int_equal(layout_index(&d, "1.4", &s), -EFBIG);
	assert_string_equal(s.buf, "before");
	str_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marker),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
