/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/descriptor.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/json.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HEX "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define DIGEST "\"digest\":\"sha256:" HEX "\""
#define BASE "\"mediaType\":\"a/b\"," DIGEST ",\"size\":2"

static int parse(const char *text, struct descriptor *ret,
		 struct json_error *err)
{
	struct json *j;
	int r;

	r = json_parse(text, strlen(text), 1 << 20, &j, err);
	if (r < 0)
		fail_msg("%s: %s", text, err->text);
	r = descriptor_from_json(j, ret, err);
	json_free(j);
	return r;
}

static const struct {
	const char *text;
	const char *error; /* NULL: fine */
} rows[] = {
	{"{" BASE "}", NULL},
	{"{" BASE ",\"data\":\"!\",\"unknown\":[{}]}", NULL},
	{"{" BASE ",\"annotations\":null,\"urls\":null,\"platform\":null,"
	 "\"artifactType\":null}",
	 NULL},
	{"{" BASE ",\"annotations\":{},\"urls\":[],\"platform\":{},"
	 "\"artifactType\":\"\"}",
	 NULL},
	{"{\"mediaType\":\"weird type\"," DIGEST ",\"size\":0}", NULL},
	{"[]", "not an object"},
	{"{" DIGEST ",\"size\":2}", "mediaType"},
	{"{\"mediaType\":null," DIGEST ",\"size\":2}", "mediaType"},
	{"{\"mediaType\":\"\"," DIGEST ",\"size\":2}", "mediaType"},
	{"{\"mediaType\":5," DIGEST ",\"size\":2}", "mediaType"},
	{"{\"mediaType\":\"a/b\\r\\nX: y\"," DIGEST ",\"size\":2}",
	 "mediaType"},
	{"{\"mediaType\":\"a/b\",\"size\":2}", "digest"},
	{"{\"mediaType\":\"a/b\",\"digest\":\"sha256:../x\",\"size\":2}",
	 "digest"},
	{"{\"mediaType\":\"a/b\",\"digest\":\"blake3:" HEX "\",\"size\":2}",
	 "digest"},
	{"{\"mediaType\":\"a/b\"," DIGEST "}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":null}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":-1}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":1.0}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":1e3}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":\"2\"}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":true}", "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":1125899906842624}", NULL},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":1125899906842625}",
	 "size"},
	{"{\"mediaType\":\"a/b\"," DIGEST ",\"size\":9223372036854775807}",
	 "size"},
	{"{" BASE ",\"artifactType\":7}", "artifactType"},
	{"{" BASE ",\"artifactType\":\"a\\u0001\"}", "artifactType"},
	{"{" BASE ",\"platform\":\"linux\"}", "platform"},
	{"{" BASE ",\"platform\":{\"os\":1}}", "platform.os"},
	{"{" BASE ",\"annotations\":[]}", "annotations"},
	{"{" BASE ",\"annotations\":{\"a\":1}}", "annotations"},
	{"{" BASE ",\"annotations\":{\"a\":{\"b\":\"c\"}}}", "annotations"},
	{"{" BASE ",\"urls\":\"http://x\"}", "urls"},
	{"{" BASE ",\"urls\":[\"http://x\",1]}", "urls[1]"},
	{"{" BASE ",\"urls\":[null]}", "urls[0]"},
};

static void test_table(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_error err = {.text = ""};
		struct descriptor d, before;
		int r;

		memset(&d, 0x5a, sizeof(d));
		before = d;
		r = parse(rows[i].text, &d, &err);
		if (r != (rows[i].error ? -EBADMSG : 0))
			fail_msg("%s: %d %s", rows[i].text, r, err.text);
		if (r < 0) {
			assert_memory_equal(&d, &before, sizeof(d));
			if (strstr(err.text, rows[i].error) != err.text)
				fail_msg("%s: \"%s\"", rows[i].text, err.text);
			assert_int_equal(parse(rows[i].text, &d, NULL), r);
			continue;
		}
		assert_non_null(d.mediatype);
		assert_null(d.artifact_type);
		assert_int_equal(d.annotations_len, 0);
		assert_int_equal(d.urls_len, 0);
		descriptor_done(&d);
		assert_null(d.mediatype);
		descriptor_done(&d);
	}
}

static const char full[] =
	"{" BASE ",\"artifactType\":\"x/y\","
	"\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"},"
	"\"annotations\":{\"k1\":\"v1\",\"gone\":null,\"k2\":\"\"},"
	"\"urls\":[\"https://a.example/1\",\"ftp://b\"]}";

static void check_full(const struct descriptor *d)
{
	char text[DIGEST_TEXT_MAX];

	assert_string_equal(d->mediatype, "a/b");
	assert_string_equal(d->artifact_type, "x/y");
	digest_format(&d->digest, text);
	assert_string_equal(text, "sha256:" HEX);
	assert_int_equal(d->size_bytes, 2);
	assert_true(d->has_platform);
	assert_string_equal(d->platform.arch, "arm64");
	assert_int_equal(d->annotations_len, 2);
	assert_string_equal(descriptor_annotation(d, "k1"), "v1");
	assert_string_equal(descriptor_annotation(d, "k2"), "");
	assert_null(descriptor_annotation(d, "gone"));
	assert_null(descriptor_annotation(d, "k"));
	assert_int_equal(d->urls_len, 2);
	assert_string_equal(d->urls[0], "https://a.example/1");
	assert_string_equal(d->urls[1], "ftp://b");
}

static void test_full_and_copy(void **state)
{
	struct descriptor d, copy, copy2;

	assert_int_equal(parse(full, &d, NULL), 0);
	check_full(&d);
	assert_int_equal(descriptor_copy(&d, &copy), 0);
	assert_ptr_not_equal(d.mediatype, copy.mediatype);
	descriptor_done(&d);
	check_full(&copy);
	assert_int_equal(descriptor_copy(&copy, &copy2), 0);
	descriptor_done(&copy);
	check_full(&copy2);
	descriptor_done(&copy2);

	/* one without anything, as schema 1 makes them */
	memset(&d, 0, sizeof(d));
	d.size_bytes = DESCRIPTOR_SIZE_UNKNOWN;
	assert_int_equal(descriptor_copy(&d, &copy), 0);
	assert_null(copy.mediatype);
	assert_true(copy.size_bytes == DESCRIPTOR_SIZE_UNKNOWN);
	assert_int_equal(copy.annotations_len + copy.urls_len, 0);
	descriptor_done(&copy);
}

/* {BASE, before, n times item with a number, after} */
static char *many(const char *before, size_t n, const char *fmt,
		  const char *after)
{
	struct str s = {.buf = NULL};

	assert_int_equal(str_addf(&s, "{" BASE ",%s", before), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(str_addf(&s, "%s\"%s%zu\"%s", i ? "," : "",
					  fmt, i, fmt[0] == 'k' ? ":\"\"" : ""),
				 0);
	assert_int_equal(str_add(&s, after), 0);
	return str_steal(&s);
}

static void test_print(void **state)
{
	static const char *const texts[] = {
		"{" BASE "}",
		"{" BASE ",\"artifactType\":\"c/d\"}",
		"{" BASE ",\"annotations\":{\"k\":\"a \\\"b\\\"\",\"l\":\"\"}}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct descriptor d;
		struct json_error err;
		struct str out = {.len = 0};

		assert_int_equal(parse(texts[i], &d, &err), 0);
		assert_int_equal(descriptor_print(&d, &out), 0);
		assert_string_equal(out.buf, texts[i]);
		str_done(&out);
		descriptor_done(&d);
	}
}

static void test_limits(void **state)
{
	static const struct {
		const char *before, *item, *after;
		size_t max;
	} table[] = {
		{"\"urls\":[", "u", "]}", DESCRIPTOR_URLS_MAX},
		{"\"annotations\":{", "k", "}}", ANNOTATIONS_MAX},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct json_error err;
		struct descriptor d;
		char *text;

		text = many(table[i].before, table[i].max, table[i].item,
			    table[i].after);
		assert_int_equal(parse(text, &d, &err), 0);
		assert_int_equal(d.urls_len + d.annotations_len, table[i].max);
		descriptor_done(&d);
		free(text);
		text = many(table[i].before, table[i].max + 1, table[i].item,
			    table[i].after);
		assert_int_equal(parse(text, &d, &err), -EBADMSG);
		assert_non_null(strstr(err.text, "more than"));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_full_and_copy),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
