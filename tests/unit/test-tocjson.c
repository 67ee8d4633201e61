/* SPDX-License-Identifier: Apache-2.0 */
#include "layer/tocjson.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layer/toc.h"
#include "util/json.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The member "n" of every element, and a blank. */
struct seen {
	struct str text;
	int stop; /* what to return at the first */
};

static int note(void *arg, const char *element, size_t len)
{
	struct seen *seen = arg;
	struct json *j = NULL;
	const char *n = "?";

	assert_int_equal(strlen(element), len);
	assert_int_equal(json_parse(element, len, len, &j, NULL), 0);
	assert_int_equal(json_opt_string(j, "n", &n, NULL), 0);
	assert_int_equal(str_addf(&seen->text, "%s ", n), 0);
	json_free(j);
	return seen->stop;
}

/* Fed in parts of that size. */
static int split(const char *text, size_t part, struct seen *seen, char *error,
		 size_t error_len)
{
	size_t len = strlen(text);
	struct tocjson *t = NULL;
	int r;

	assert_int_equal(tocjson_new(note, seen, &t), 0);
	r = str_add(&seen->text, "");
	for (size_t i = 0; r == 0 && i < len; i += part)
		r = tocjson_feed(t, text + i, part < len - i ? part : len - i);
	if (r == 0)
		r = tocjson_end(t);
	strncpy(error, tocjson_error(t), error_len - 1);
	tocjson_free(t);
	return r;
}

static const struct {
	const char *text, *seen;
} good[] = {
	{"{\"entries\":[]}", ""},
	{"{\"entries\":null}", ""},
	{"{\"entries\":[{}]}", "? "},
	{"{\"version\":1,\"entries\":[{\"n\":\"a\"},{\"n\":\"b\"}]}", "a b "},
	{"{\"entries\":[{\"n\":\"a\"}],\"version\":1}", "a "},
	{" {\t\"version\" : 1 , \"entries\" : [ {\"n\" : \"a\"} , {\"n\":\n"
	 "\"b\"} ] , \"tarSplitDigest\" : \"sha256:]}\" }\n\n",
	 "a b "},
	/* What ends nothing within a string. */
	{"{\"entries\":[{\"n\":\"}]\\\"{\\\\\"},{\"n\":\"b\"}]}", "}]\"{\\ b "},
	{"{\"entries\":[{\"x\":[[],{\"y\":[1,{}]}],\"n\":\"a\"}]}", "a "},
	{"{\"x\":{\"entries\":[{\"n\":\"no\"}]},\"entries\":[{\"n\":\"a\"}]}",
	 "a "},
	{"{\"x\":[{\"n\":\"no\"}],\"y\":true,\"z\":-1.5e3,\"entries\":[]}", ""},
	{"{\"x\":\"\\u00e4\",\"n\":null,\"entries\":[{\"n\":\"\\u00e4\"}]}",
	 "\xc3\xa4 "},
	/* Eight levels are allowed. */
	{"{\"entries\":[{\"x\":[[[[[[[]]]]]]]}]}", "? "},
};

static void splits(void **state)
{
	char error[160] = "";

	for (size_t i = 0; i < COUNT(good); i++) {
		for (size_t part = 1; part < 40; part++) {
			struct seen seen = {.stop = 0};
			int r = split(good[i].text, part, &seen, error,
				      sizeof(error));

			if (r != 0 || strcmp(seen.text.buf, good[i].seen) != 0)
				fail_msg("%s by %zu: %d %s: %s", good[i].text,
					 part, r, error, seen.text.buf);
			str_done(&seen.text);
		}
	}
}

static const struct {
	const char *text, *seen, *error;
} bad[] = {
	{"", "", "ends too early"},
	{"[]", "", "no object"},
	{"\xef\xbb\xbf{\"entries\":[]}", "", "no object"},
	{"{}", "", "no entries"},
	{"{\"version\":1}", "", "no entries"},
	{"{\"entries\":[]", "", "ends too early"},
	{"{\"entries\":[{\"n\":\"a\"}", "a ", "ends too early"},
	{"{\"entries\":[{\"n\":\"a\"", "", "ends too early"},
	{"{\"entries\":[]}x", "", "no end"},
	{"{\"entries\":[]}{}", "", "no end"},
	{"{\"entries\":[],}", "", "no key"},
	{"{,\"entries\":[]}", "", "no key"},
	{"{\"entries\" []}", "", "no colon"},
	{"{\"entries\":[]\"x\":1}", "", "no comma"},
	{"{\"entries\":[{}{}]}", "? ", "no comma"},
	{"{\"entries\":[{},]}", "? ", "no object"},
	{"{\"entries\":[,{}]}", "", "no object"},
	{"{\"entries\":[1]}", "", "no object"},
	{"{\"entries\":[[]]}", "", "no object"},
	{"{\"entries\":[null]}", "", "no object"},
	{"{\"entries\":{}}", "", "not an array"},
	{"{\"entries\":1}", "", "not an array"},
	{"{\"entries\":[],\"entries\":[]}", "", "two lists"},
	{"{\"entr\\u0069es\":[]}", "", "not plain"},
	{"{\"x\n\":1}", "", "not plain"},
	{"{\"\xc3\xa4\":1}", "", "not plain"},
	{"{\"version\":2,\"entries\":[]}", "", "version"},
	{"{\"version\":\"1\",\"entries\":[]}", "", "version"},
	{"{\"entries\":[],\"version\":1,\"version\":1}", "", "two versions"},
	{"{\"x\":,\"entries\":[]}", "", "no value"},
	{"{\"x\":}", "", "no value"},
	{"{\"x\":1 2,\"entries\":[]}", "", "no comma"},
	{"{\"x\":nul,\"entries\":[]}", "", "line 1"},
	{"{\"x\":1],\"entries\":[]}", "", "no comma"},
	{"{\"x\":{]},\"entries\":[]}", "", "line 1"},
	{"{\"entries\":[{\"x\":[[[[[[[[]]]]]]]]}]}", "", "nested"},
	{"{\"01234567890123456789012345678901234567890123456789"
	 "01234567890123\":1}",
	 "", "too long"},
};

static void refuses(void **state)
{
	char error[160] = "";

	for (size_t i = 0; i < COUNT(bad); i++) {
		for (size_t part = 1; part < 40; part++) {
			struct seen seen = {.stop = 0};
			int r = split(bad[i].text, part, &seen, error,
				      sizeof(error));

			if (r != -EBADMSG || !strstr(error, bad[i].error) ||
			    strcmp(seen.text.buf, bad[i].seen) != 0)
				fail_msg("%s by %zu: %d %s: %s", bad[i].text,
					 part, r, error, seen.text.buf);
			str_done(&seen.text);
		}
	}
}

static void stops_when_told(void **state)
{
	struct seen seen = {.stop = 7};
	char error[160] = "";

	assert_int_equal(split("{\"entries\":[{\"n\":\"a\"},{\"n\":\"b\"}]}", 5,
			       &seen, error, sizeof(error)),
			 7);
	assert_string_equal(seen.text.buf, "a ");
	assert_string_equal(error, "");
	str_done(&seen.text);
}

/* One element may be as large as the limit and no larger. */
static void bounds_an_element(void **state)
{
	static const char head[] = "{\"entries\":[{\"n\":\"";
	static const char tail[] = "\"}]}";

	for (int more = 0; more < 2; more++) {
		size_t fill =
			TOC_ENTRY_MAX - strlen("{\"n\":\"\"}") + (size_t)more;
		struct seen seen = {.stop = 0};
		char error[160] = "";
		struct str s = {.max = 2 * TOC_ENTRY_MAX};

		assert_int_equal(str_add(&s, head), 0);
		for (size_t i = 0; i < fill; i++)
			assert_int_equal(str_addc(&s, 'x'), 0);
		assert_int_equal(str_add(&s, tail), 0);
		assert_int_equal(
			split(s.buf, 1 << 16, &seen, error, sizeof(error)),
			more ? -EBADMSG : 0);
		assert_int_equal(seen.text.len, more ? 0 : fill + 1);
		str_done(&seen.text);
		str_done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits),
		cmocka_unit_test(refuses),
		cmocka_unit_test(stops_when_told),
		cmocka_unit_test(bounds_an_element),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
