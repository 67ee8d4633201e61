/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "util/auto.h"
#include "util/json.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MAX 100000

AUTOPTR_DEFINE(json, json_free)

static struct json *parse(const char *text)
{
	struct json_error err = {""};
	struct json *j = NULL;

	if (json_parse(text, strlen(text), MAX, &j, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return j;
}

static int parse_str(const struct str *s, struct json_error *err)
{
	struct json *j = NULL;
	int r = json_parse(s->buf, s->len, s->len, &j, err);

	json_free(j);
	return r;
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *error;
	} t[] = {
		{"", "line 1 column 0: "},
		{"12", "line 1 column "},
		{"\"x\"", "line 1 column "},
		{"{", "line 1 column 1: "},
		{"{}x", "line 1 column 3: "},
		{"{\n\"a\":1,}", "line 2 column "},
		{"[1 2]", "line 1 column "},
		{"[}", "line 1 column "},
		{"[\"\\u0000\"]", "line 1 column "},
		{"[\"\xff\"]", "line 1 column "},
		{"[1e999]", "line 1 column "},
		{"[99999999999999999999]", "line 1 column "},
		{"{\"a\":1,\"a\":2}", "line 1 column "},
		{"[\"abc", "line 1 column "},
		{"[\"abc\\", "line 1 column "},
		{"[NaN]", "line 1 column "},
		{"\xef\xbb\xbf{}", "line 1 column "},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct json_error err = {""};
		struct json *j = (struct json *)&err;

		assert_int_equal(
			json_parse(t[i].text, strlen(t[i].text), MAX, &j, &err),
			-EBADMSG);
		assert_memory_equal(err.text, t[i].error, strlen(t[i].error));
		assert_ptr_equal(j, &err);
		assert_int_equal(
			json_parse(t[i].text, strlen(t[i].text), MAX, &j, NULL),
			-EBADMSG);
	}
	assert_int_equal(json_parse("[\"\0\"]", 5, MAX, NULL, NULL), -EBADMSG);
	assert_int_equal(json_parse(NULL, 0, MAX, NULL, NULL), -EBADMSG);
}

/* Passwords in broken files must not get into the log. */
static void errors_quote_nothing(void **state)
{
	static const char *const t[] = {
		"{\"auth\": \"s3cret\" \"s3cret\"}",
		"{\"auth\" s3cret}",
		"{\"s3cret\": 1, \"s3cret\": 2}",
		"[s3cret",
		"[\"s3cret",
		"[\"s3cret\n\"]",
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct json_error err = {""};
		struct json *j;

		assert_int_equal(json_parse(t[i], strlen(t[i]), MAX, &j, &err),
				 -EBADMSG);
		assert_null(strstr(err.text, "s3cret"));
		assert_true(strlen(err.text) > 20);
	}
}

static void bounds_bytes(void **state)
{
	struct json_error err;
	struct json *j = NULL;

	assert_int_equal(json_parse("[1]", 3, 2, &j, &err), -EBADMSG);
	assert_string_equal(err.text, "larger than 2 bytes");
	assert_int_equal(json_parse("[1]", 3, 3, &j, &err), 0);
	json_free(j);
}

static void add_many(struct str *s, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(str_add(s, text), 0);
}

static void bounds_depth(void **state)
{
	struct json_error err;
	autostr s = {0};

	add_many(&s, "[", JSON_MAX_DEPTH);
	add_many(&s, "]", JSON_MAX_DEPTH);
	assert_int_equal(parse_str(&s, &err), 0);
	str_clear(&s);
	add_many(&s, "{\"a\":", JSON_MAX_DEPTH);
	add_many(&s, "0", 1);
	add_many(&s, "}", JSON_MAX_DEPTH);
	assert_int_equal(parse_str(&s, &err), 0);
	str_clear(&s);
	add_many(&s, "[", JSON_MAX_DEPTH + 1);
	add_many(&s, "]", JSON_MAX_DEPTH + 1);
	assert_int_equal(parse_str(&s, &err), -EBADMSG);
	assert_string_equal(err.text, "nested deeper than 64");
	str_clear(&s);
	add_many(&s, "[", 1000000);
	assert_int_equal(parse_str(&s, &err), -EBADMSG);
	/* Brackets in strings are none. */
	str_clear(&s);
	add_many(&s, "[\"\\\"", 1);
	add_many(&s, "[{", 1000);
	add_many(&s, "\\\\\"]", 1);
	assert_int_equal(parse_str(&s, &err), 0);
}

/* `n` values in all, counting the array around them. */
static void make_array(struct str *s, const char *value, size_t n)
{
	str_clear(s);
	add_many(s, "[ ", 1);
	for (size_t i = 1; i < n; i++) {
		add_many(s, i > 1 ? " , " : "", 1);
		add_many(s, value, 1);
	}
	add_many(s, "]", 1);
}

static void bounds_values(void **state)
{
	static const char *const values[] = {
		"{}", "[]", "1", "\",[{:\"", "null", "[ \t\r\n]\n", "-0.5"};
	struct json_error err;
	autostr s = {0};

	for (size_t i = 0; i < COUNT(values); i++) {
		make_array(&s, values[i], JSON_MAX_VALUES);
		assert_int_equal(parse_str(&s, &err), 0);
		make_array(&s, values[i], JSON_MAX_VALUES + 1);
		assert_int_equal(parse_str(&s, &err), -EBADMSG);
		assert_string_equal(err.text, "more than 200000 values");
	}
}

static void bounds_members(void **state)
{
	struct json_error err;
	autostr s = {0};

	for (int over = 0; over <= 1; over++) {
		str_clear(&s);
		add_many(&s, "[{}", 1);
		/* The array and {} are two, each of these is three. */
		add_many(&s, ",{\"a\":{\"b,:\":1}}", (JSON_MAX_VALUES - 2) / 3);
		add_many(&s, ",[]", (JSON_MAX_VALUES - 2) % 3);
		add_many(&s, ",0", (size_t)over);
		add_many(&s, "]", 1);
		assert_int_equal(parse_str(&s, &err), over ? -EBADMSG : 0);
	}
}

static void lenient_takes_last(void **state)
{
	static const char text[] = "{\"a\":1,\"b\":2,\"a\":3}";
	autoptr(json) j = NULL;
	uint64_t v = 0;

	assert_int_equal(json_parse_lenient(text, strlen(text), MAX, &j, NULL),
			 0);
	assert_int_equal(json_need_u64(j, "a", 9, &v, NULL), 0);
	assert_int_equal(v, 3);
	assert_int_equal(json_parse_lenient("{", 1, MAX, NULL, NULL), -EBADMSG);
}

static void walks(void **state)
{
	static const char *const keys[] = {"z", "a", "m", "b", "y"};
	autoptr(json) j = parse("{\"z\":[1,\"two\",null],\"a\":null,\"m\":{},"
				"\"b\":\"s\",\"y\":1}");
	const struct json *z = json_find(j, "z"), *v;
	const char *key;
	void *iter = NULL;
	size_t n = 0;

	assert_true(json_is_object(j) && !json_is_array(j));
	assert_true(json_is_array(z) && !json_is_string(z));
	assert_false(json_is_object(NULL) || json_is_array(NULL) ||
		     json_is_string(NULL));
	assert_int_equal(json_len(z), 3);
	assert_int_equal(json_len(j), 0);
	assert_int_equal(json_len(NULL), 0);
	assert_string_equal(json_text(json_at(z, 1)), "two");
	assert_null(json_text(json_at(z, 0)));
	assert_null(json_at(z, 3));
	assert_null(json_at(j, 0));
	assert_null(json_text(NULL));
	assert_null(json_find(j, "a"));
	assert_null(json_find(j, "none"));
	assert_null(json_find(z, "a"));
	assert_null(json_find(NULL, "a"));
	while (json_each(j, &iter, &key, &v)) {
		assert_true(n < COUNT(keys));
		assert_string_equal(key, keys[n++]);
		assert_non_null(v);
	}
	assert_int_equal(n, COUNT(keys));
	iter = NULL;
	assert_false(json_each(z, &iter, &key, &v));
	json_free(NULL);
}

static void gets_strings(void **state)
{
	autoptr(json) j = parse("{\"s\":\"text\",\"n\":null,\"i\":1}");
	struct json_error err;
	const char *s = "default";

	assert_int_equal(json_opt_string(j, "none", &s, &err), 0);
	assert_int_equal(json_opt_string(j, "n", &s, &err), 0);
	assert_string_equal(s, "default");
	assert_int_equal(json_need_string(j, "none", &s, &err), -EBADMSG);
	assert_string_equal(err.text, "none: missing");
	assert_int_equal(json_need_string(j, "n", &s, &err), -EBADMSG);
	assert_string_equal(err.text, "n: missing");
	assert_int_equal(json_need_string(j, "i", &s, &err), -EBADMSG);
	assert_string_equal(err.text, "i: not a string");
	assert_int_equal(json_opt_string(j, "i", &s, NULL), -EBADMSG);
	assert_int_equal(json_opt_string(NULL, "i", &s, &err), -EBADMSG);
	assert_string_equal(err.text, "i: not in an object");
	assert_string_equal(s, "default");
	assert_int_equal(json_need_string(j, "s", &s, &err), 0);
	assert_string_equal(s, "text");
}

static void gets_numbers(void **state)
{
	static const struct {
		const char *key, *error;
		uint64_t v;
	} t[] = {
		{"zero", NULL, 0},
		{"big", NULL, INT64_MAX},
		{"minus", "minus: negative", 0},
		{"real", "real: not an integer", 0},
		{"exp", "exp: not an integer", 0},
		{"s", "s: not an integer", 0},
		{"true", "true: not an integer", 0},
		{"null", "null: missing", 0},
		{"none", "none: missing", 0},
	};
	autoptr(json) j = parse("{\"zero\":0,\"big\":9223372036854775807,"
				"\"minus\":-1,\"real\":1.0,\"exp\":1e3,"
				"\"s\":\"1\",\"true\":true,\"null\":null}");
	struct json_error err;
	uint64_t v;

	for (size_t i = 0; i < COUNT(t); i++) {
		int r;

		v = 77;
		r = json_need_u64(j, t[i].key, UINT64_MAX, &v, &err);
		assert_int_equal(r, t[i].error ? -EBADMSG : 0);
		assert_int_equal(v, t[i].error ? 77 : t[i].v);
		if (t[i].error)
			assert_string_equal(err.text, t[i].error);
	}
	v = 77;
	assert_int_equal(json_opt_u64(j, "none", 9, &v, &err), 0);
	assert_int_equal(json_opt_u64(j, "null", 9, &v, &err), 0);
	assert_int_equal(json_opt_u64(j, "real", 9, &v, &err), -EBADMSG);
	assert_int_equal(json_opt_u64(j, "big", INT64_MAX - 1, &v, &err),
			 -EBADMSG);
	assert_string_equal(err.text, "big: greater than 9223372036854775806");
	assert_int_equal(v, 77);
	assert_int_equal(json_opt_u64(j, "big", INT64_MAX, &v, &err), 0);
	assert_int_equal(v, INT64_MAX);
}

static void gets_others(void **state)
{
	autoptr(json) j = parse("{\"t\":true,\"f\":false,\"o\":{},\"a\":[],"
				"\"n\":null,\"i\":1}");
	struct json_error err;
	const struct json *v = j;
	bool b = true;

	assert_int_equal(json_opt_bool(j, "f", &b, &err), 0);
	assert_false(b);
	assert_int_equal(json_opt_bool(j, "t", &b, &err), 0);
	assert_true(b);
	assert_int_equal(json_opt_bool(j, "n", &b, &err), 0);
	assert_int_equal(json_opt_bool(j, "none", &b, &err), 0);
	assert_int_equal(json_opt_bool(j, "i", &b, &err), -EBADMSG);
	assert_string_equal(err.text, "i: not a boolean");
	assert_int_equal(json_opt_bool(NULL, "i", &b, &err), -EBADMSG);
	assert_true(b);

	assert_int_equal(json_opt_object(j, "n", &v, &err), 0);
	assert_int_equal(json_opt_object(j, "none", &v, &err), 0);
	assert_int_equal(json_opt_object(j, "a", &v, &err), -EBADMSG);
	assert_string_equal(err.text, "a: not an object");
	assert_ptr_equal(v, j);
	assert_int_equal(json_opt_object(j, "o", &v, &err), 0);
	assert_ptr_equal(v, json_find(j, "o"));

	v = j;
	assert_int_equal(json_opt_array(j, "n", &v, &err), 0);
	assert_int_equal(json_opt_array(j, "o", &v, &err), -EBADMSG);
	assert_string_equal(err.text, "o: not an array");
	assert_ptr_equal(v, j);
	assert_int_equal(json_opt_array(j, "a", &v, &err), 0);
	assert_ptr_equal(v, json_find(j, "a"));
}

static void prefixes_errors(void **state)
{
	struct json_error err = {"size: missing"};

	json_error_prefix(&err, "manifests[%d].", 3);
	assert_string_equal(err.text, "manifests[3].size: missing");
	for (int i = 0; i < 50; i++)
		json_error_prefix(&err, "0123456789");
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	json_error_prefix(NULL, "x");
}

static void writes_strings(void **state)
{
	static const char *const t[][2] = {
		{"", "\"\""},
		{"a/b", "\"a/b\""},
		{"\"\\\n\x01\x1f", "\"\\\"\\\\\\u000a\\u0001\\u001f\""},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		 "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"a\xff\xc3z\xed\xa0\x80",
		 "\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd"
		 "\xef\xbf\xbd\""},
	};
	autostr small = {.max = 5};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr s = {0}, doc = {0};
		autoptr(json) j = NULL;

		assert_int_equal(str_addc(&s, ' '), 0);
		assert_int_equal(json_add_string(&s, t[i][0]), 0);
		assert_string_equal(s.buf + 1, t[i][1]);
		assert_int_equal(str_addf(&doc, "[%s]", s.buf), 0);
		j = parse(doc.buf);
		if (i < 4)
			assert_string_equal(json_text(json_at(j, 0)), t[i][0]);
	}
	assert_int_equal(str_add(&small, "x"), 0);
	assert_int_equal(json_add_string(&small, "abc"), -EFBIG);
	assert_string_equal(small.buf, "x");
	assert_int_equal(json_add_string(&small, "ab"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(errors_quote_nothing),
		cmocka_unit_test(bounds_bytes),
		cmocka_unit_test(bounds_depth),
		cmocka_unit_test(bounds_values),
		cmocka_unit_test(bounds_members),
		cmocka_unit_test(lenient_takes_last),
		cmocka_unit_test(walks),
		cmocka_unit_test(gets_strings),
		cmocka_unit_test(gets_numbers),
		cmocka_unit_test(gets_others),
		cmocka_unit_test(prefixes_errors),
		cmocka_unit_test(writes_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
