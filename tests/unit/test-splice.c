/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/out/splice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void test_find(void **state)
{
	static const struct {
		const char *doc;
		int items; /* or -errno */
	} rows[] = {
		{"{\"m\":[]}", 0},
		{" { \"m\" : [ ] } ", 0},
		{"{\"m\":[1]}", 1},
		{"{\"m\":[ 1 , {\"a\":[1,2,{}]} , \"],}\" , null ]}", 4},
		{"{\"a\":{\"m\":[1,2]},\"m\":[[],{}]}", 2},
		{"{\"a\":\"\\\"m\\\":[1]\",\"b\":[\"m\",[3]],\"m\":[9]}", 1},
		{"{\"a\":\"\\\\\",\"m\":[true,false]}", 2},
		{"{\"a\":-1.5e+3,\"b\":null,\"m\":[0]}", 1},
		{"{\"m\":{}}", -EBADMSG},
		{"{\"m\":\"[]\"}", -EBADMSG},
		{"{\"m\":null}", -EBADMSG},
		{"{\"mm\":[1],\"n\":[2]}", -EBADMSG},
		{"{\"\\u006d\":[]}", -EBADMSG},
		{"[\"m\",[]]", -EBADMSG},
		{"[{\"m\":[]}]", -EBADMSG},
		{"{}", -EBADMSG},
		/* No JSON: nothing but to end. */
		{"", -EBADMSG},
		{"{", -EBADMSG},
		{"{\"m", -EBADMSG},
		{"{\"m\"", -EBADMSG},
		{"{\"m\":", -EBADMSG},
		{"{\"m\":[", -EBADMSG},
		{"{\"m\":[1", -EBADMSG},
		{"{\"m\":[1,", -EBADMSG},
		{"{\"m\":[\"\\", -EBADMSG},
		{"{\"a\":]]],\"m\":[]}", -EBADMSG},
	};
	struct splice *s = malloc(sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = strlen(rows[i].doc);
		char *exact = malloc(n + 1); /* ends where the document does */
		int r;

		assert_non_null(exact);
		memcpy(exact, rows[i].doc, n);
		exact = realloc(exact, n ? n : 1);
		r = splice_find(s, exact, n, "m");
		assert_int_equal(r < 0 ? r : (int)s->items, rows[i].items);
		free(exact);
	}
	free(s);
}

static void test_append(void **state)
{
	static const struct {
		const char *doc, *want;
	} rows[] = {
		{"{\"m\":[]}", "{\"m\":[NEW]}"},
		{"{\"m\":[ ],\"x\":1}", "{\"m\":[NEW ],\"x\":1}"},
		{"{\"y\":\"\\u00e9\", \"m\" : [ {\"a\": 1.0} ] }\n",
		 "{\"y\":\"\\u00e9\", \"m\" : [ {\"a\": 1.0},NEW ] }\n"},
		{"{\"m\":[1,2\n]}", "{\"m\":[1,2,NEW\n]}"},
	};
	struct splice *s = malloc(sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str out = {.len = 0};

		assert_int_equal(
			splice_find(s, rows[i].doc, strlen(rows[i].doc), "m"),
			0);
		assert_int_equal(splice_append(s, "NEW", &out), 0);
		assert_string_equal(out.buf, rows[i].want);
		str_done(&out);
	}
	free(s);
}

static void test_remove(void **state)
{
	static const struct {
		const char *doc;
		size_t i;
		const char *want;
	} rows[] = {
		{"{\"m\":[1]}", 0, "{\"m\":[]}"},
		{"{\"m\":[ 1 ]}", 0, "{\"m\":[  ]}"},
		{"{\"m\":[1,2,3]}", 0, "{\"m\":[2,3]}"},
		{"{\"m\":[1,2,3]}", 1, "{\"m\":[1,3]}"},
		{"{\"m\":[1,2,3]}", 2, "{\"m\":[1,2]}"},
		{"{\"a\":0,\"m\":[ {\"x\":[1, 2]} , 2 , 3 ] }", 0,
		 "{\"a\":0,\"m\":[ 2 , 3 ] }"},
		{"{\"m\":[ 1 , 2 , 3 ] }", 2, "{\"m\":[ 1 , 2 ] }"},
	};
	struct splice *s = malloc(sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str out = {.len = 0};

		assert_int_equal(
			splice_find(s, rows[i].doc, strlen(rows[i].doc), "m"),
			0);
		assert_int_equal(splice_remove(s, rows[i].i, &out), 0);
		assert_string_equal(out.buf, rows[i].want);
		str_done(&out);
	}
	free(s);
}

static void test_limit(void **state)
{
	struct splice *s = malloc(sizeof(*s));
	struct str doc = {.len = 0};
	int r;

	assert_non_null(s);
	assert_int_equal(str_add(&doc, "{\"m\":[0"), 0);
	for (int i = 1; i < SPLICE_ITEMS_MAX; i++)
		assert_int_equal(str_add(&doc, ",0"), 0);
	assert_int_equal(str_add(&doc, "]}"), 0);
	r = splice_find(s, doc.buf, doc.len, "m");
	assert_int_equal(r, 0);
	assert_int_equal(s->items, SPLICE_ITEMS_MAX);
	str_truncate(&doc, doc.len - 2);
	assert_int_equal(str_add(&doc, ",0]}"), 0);
	r = splice_find(s, doc.buf, doc.len, "m");
	assert_int_equal(r, -EFBIG);
	str_done(&doc);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
