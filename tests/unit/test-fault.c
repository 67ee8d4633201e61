/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/wire/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "registry/wire/fault_table.h"
#include "util/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void test_status(void **state)
{
	static const struct {
		int status;
		const char *code;
		int error;
	} rows[] = {
		{401, "UNAUTHORIZED", EACCES},
		{401, "", EACCES},
		{403, "DENIED", EACCES},
		{403, "", EACCES},
		{403, "QUOTA_EXCEEDED", EDQUOT},
		{404, "MANIFEST_UNKNOWN", ENOENT},
		{404, "", ENOENT},
		{410, "", ENOENT},
		{405, "UNSUPPORTED", EROFS},
		{408, "", ETIMEDOUT},
		{429, "TOOMANYREQUESTS", ETIMEDOUT},
		{413, "", EFBIG},
		{412, "PRECONDITION", EPERM},
		{409, "TAG_IMMUTABLE", EPERM},
		{400, "NAME_INVALID", EINVAL},
		{400, "DIGEST_INVALID", EINVAL},
		{400, "digest_invalid", EINVAL},
		{400, "MANIFEST_BLOB_UNKNOWN", ENOENT},
		{400, "DENIED", EACCES},
		{400, "", EIO},
		{416, "RANGE_INVALID", EIO},
		{500, "", EIO},
		{502, "DENIED", EIO},
		{503, "UNAVAILABLE", EIO},
		{507, "", EDQUOT},
		{301, "", EIO},
		{200, "", EIO},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(
			fault_from_status(rows[i].status, rows[i].code),
			-rows[i].error);
}

/* Requests that were to change something. */
static void test_refusal(void **state)
{
	static const struct {
		int status;
		const char *code, *text;
		int error;
	} rows[] = {
		{400, "TAG_INVALID", "cannot be overwritten", EPERM},
		{400, "TAG_INVALID", "because the tag is Immutable.", EPERM},
		{400, "MANIFEST_INVALID", "tag is immutable", EPERM},
		{400, "", "Repository does not allow updating assets", EPERM},
		{400, "GOOGLE_MANIFEST_DANGLING_TAG", "", EPERM},
		{400, "UNKNOWN", "Manifest is still referenced by a", EPERM},
		{400, "TAG_INVALID", "no such letter", EINVAL},
		{403, "DENIED", "tag is immutable", EPERM},
		{403, "DENIED", "protected tag", EPERM},
		{403, "DENIED", "denied", EACCES},
		{409, "TAG_IMMUTABLE", "", EPERM},
		{409, "CONFLICT", "protected", EPERM},
		{409, "CONFLICT", "", EIO},
		{412, "PRECONDITION", "", EPERM},
		{403, "DENIED", "will exceed the configured limit", EDQUOT},
		{403, "DENIED", "Storage Limit reached", EDQUOT},
		{403, "QUOTA_EXCEEDED", "", EDQUOT},
		{403, "QUOTAREACHED", "", EDQUOT},
		{400, "DENIED", "over quota", EDQUOT},
		{412, "PRECONDITION", "quota", EDQUOT},
		{403, "DENIED", "API rate limit exceeded", EACCES},
		{400, "MANIFEST_INVALID", "exceeds 4 MiB", EINVAL},
		{413, "DENIED", "quota exceeded", EFBIG},
		{429, "TOOMANYREQUESTS", "quota exceeded", ETIMEDOUT},
		{500, "UNKNOWN", "quota exceeded", EIO},
		{507, "", "", EDQUOT},
		{405, "DENIED", "read-only", EROFS},
		{405, "UNSUPPORTED", "", EROFS},
		{400, "UNSUPPORTED", "", EROFS},
		{415, "MANIFEST_INVALID", "", EINVAL},
		{404, "NAME_UNKNOWN", "", ENOENT},
		{400, "BLOB_UNKNOWN", "", ENOENT},
		{422, "MANIFEST_BLOB_UNKNOWN", "", ENOENT},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(fault_from_refusal(rows[i].status,
						    rows[i].code, rows[i].text),
				 -rows[i].error);
}

static void test_fail(void **state)
{
	static const struct {
		enum http_fail fail;
		int error;
	} rows[] = {
		{HTTP_FAIL_NONE, 0},
		{HTTP_FAIL_REFUSED, ECONNREFUSED},
		{HTTP_FAIL_DNS, EHOSTUNREACH},
		{HTTP_FAIL_DNS_AGAIN, EHOSTUNREACH},
		{HTTP_FAIL_UNREACHABLE, EHOSTUNREACH},
		{HTTP_FAIL_CONNECT, ETIMEDOUT},
		{HTTP_FAIL_STALL, ETIMEDOUT},
		{HTTP_FAIL_TLS, EIO},
		{HTTP_FAIL_PEER, EIO},
		{HTTP_FAIL_RESET, EIO},
		{HTTP_FAIL_SHORT, EIO},
		{HTTP_FAIL_PROTOCOL, EIO},
		{HTTP_FAIL_TOO_LARGE, EFBIG},
		{HTTP_FAIL_CANCELLED, EIO},
		{HTTP_FAIL_LOCAL, EIO},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(fault_from_fail(rows[i].fail), -rows[i].error);
}

static void test_body(void **state)
{
	static const struct {
		const char *body, *code, *text;
		bool is_oci;
	} rows[] = {
		{"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":"
		 "\"manifest unknown\",\"detail\":{\"Tag\":\"x\"}}]}",
		 "MANIFEST_UNKNOWN", "manifest unknown", true},
		{"{\"errors\":[{\"code\":\"A\"},{\"code\":\"B\"}]}", "A", "",
		 true},
		{"{\"errors\":[{\"code\":\"A\",\"message\":\"\",\"detail\":"
		 "\"blob x\"}]}",
		 "A", "blob x", true},
		{"{\"errors\":[{\"status\":404,\"message\":\"not here\"}]}", "",
		 "not here", true},
		{"{\"errors\":[]}", "", "", false},
		{"{\"errors\":null}", "", "", false},
		{"{\"errors\":[7]}", "", "", false},
		{"{\"errors\":{\"code\":\"A\"}}", "", "", false},
		{"{\"details\":\"incorrect username or password\"}", "",
		 "incorrect username or password", false},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"old\"}",
		 "invalid_grant", "old", false},
		{"{\"error\":{\"message\":\"deep\"}}", "", "deep", false},
		{"Not Authorized\n", "", "Not Authorized", false},
		{"<!DOCTYPE html><html>hi", "", "", false},
		{"\n <HTML>", "", "", false},
		{"{\"errors\":[{\"code\":", "", "", false},
		{"", "", "", false},
		{"bin\xff\x01", "", "bin", false},
	};
	char code[64], text[FAULT_TEXT_MAX];

	for (size_t i = 0; i < COUNT(rows); i++) {
		memset(code, 'x', sizeof(code));
		memset(text, 'x', sizeof(text));
		assert_int_equal(fault_read_body(rows[i].body,
						 strlen(rows[i].body), code,
						 text),
				 rows[i].is_oci);
		assert_string_equal(code, rows[i].code);
		assert_string_equal(text, rows[i].text);
		fault_parse_body(rows[i].body, strlen(rows[i].body), code,
				 text);
		assert_string_equal(code, rows[i].code);
	}
	assert_true(fault_is_html("\xef\xbb\xbf <!doctype HTML>", 19));
	assert_false(fault_is_html("{}", 2));
}

static void test_long_text(void **state)
{
	char body[4096], code[64], text[FAULT_TEXT_MAX];
	size_t n = (size_t)snprintf(
		body, sizeof(body),
		"{\"errors\":[{\"code\":\"%0*d\",\"message\":\"%0*d\"}]}", 200,
		0, 2000, 0);

	fault_parse_body(body, n, code, text);
	assert_int_equal(strlen(code), sizeof(code) - 1);
	assert_int_equal(strlen(text), sizeof(text) - 1);
	/* Never half a character. */
	fault_copy(code, 5, "abc\xc3\xa4");
	assert_string_equal(code, "abc");
	fault_copy(code, 6, "abc\xc3\xa4");
	assert_string_equal(code, "abc\xc3\xa4");
}

static void put(struct fault_log *l, const char *object, int error)
{
	struct fault f = {.wall = 0, .error = error, .status = 503};

	snprintf(f.host, sizeof(f.host), "h:5000");
	snprintf(f.object, sizeof(f.object), "%s", object);
	/* C1 steers terminals too; what is no UTF-8 makes readers stumble. */
	snprintf(f.text, sizeof(f.text),
		 "said\n\x1b[31m \xc2\x9b n\xc3\xb6 \xe4\\");
	fault_record(l, &f);
}

static void test_ring(void **state)
{
	struct str out = {.len = 0};
	struct fault_log *l;
	struct fault f;
	char name[32];

	assert_int_equal(fault_log_new(&l), 0);
	assert_int_equal(fault_log_print(l, &out), 0);
	assert_int_equal(out.len, 0);
	put(l, "team/app manifest 1", EIO);
	put(l, "team/app manifest 1", EIO);
	put(l, "team/app manifest 1", EACCES);
	assert_int_equal(fault_log_count(l), 3);
	assert_int_equal(fault_log_print(l, &out), 0);
	assert_non_null(strstr(out.buf, " EIO 503 h:5000/team/app manifest 1: "
					"said\\x0a\\x1b[31m \\xc2\\x9b "
					"n\xc3\xb6 \\xe4\\x5c [2 times]\n"));
	assert_non_null(strstr(out.buf, " EACCES 503 "));
	/* Oldest first; one line each. */
	assert_true(strstr(out.buf, "EIO") < strstr(out.buf, "EACCES"));
	assert_ptr_equal(strchr(strchr(out.buf, '\n') + 1, '\n') + 1,
			 out.buf + out.len);
	assert_int_equal(fault_log_last(l, "h:5000", "team/app", &f), 0);
	assert_int_equal(f.error, EACCES);
	assert_true(f.wall > 0);
	assert_int_equal(fault_log_last(l, "h:5000", "team/other", &f),
			 -ENOENT);
	assert_int_equal(fault_log_last(l, "h", "team/app", &f), -ENOENT);
	for (int i = 0; i < FAULT_RING; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put(l, name, EIO);
	}
	assert_int_equal(fault_log_last(l, "h:5000", "team/app", &f), -ENOENT);
	assert_int_equal(fault_log_last(l, "h:5000", "n0", &f), 0);
	str_clear(&out);
	assert_int_equal(fault_log_print(l, &out), 0);
	assert_non_null(strstr(out.buf, "/n127: "));
	str_done(&out);
	fault_log_free(l);
}

/* Our own refusals have a share of the ring and push nothing else out. */
static void test_own(void **state)
{
	struct str out = {.len = 0};
	struct fault_log *l;
	unsigned lines = 0;

	assert_int_equal(fault_log_new(&l), 0);
	put(l, "first", EIO);
	for (int i = 0; i < 3 * FAULT_RING; i++) {
		struct fault f = {.error = EPERM, .own = true};

		snprintf(f.host, sizeof(f.host), "h%d", i);
		fault_record(l, &f);
		if (i == 100)
			put(l, "second", EIO);
	}
	assert_int_equal(fault_log_print(l, &out), 0);
	for (const char *p = out.buf; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, FAULT_OWN + 2);
	assert_non_null(strstr(out.buf, "/first: "));
	assert_true(strstr(out.buf, "/first: ") < strstr(out.buf, "/second: "));
	assert_true(strstr(out.buf, "/second: ") < strstr(out.buf, " h368/"));
	assert_null(strstr(out.buf, " h367/"));
	assert_true(strstr(out.buf, " h368/") < strstr(out.buf, " h383/"));
	str_done(&out);
	fault_log_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status), cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_fail),   cmocka_unit_test(test_body),
		cmocka_unit_test(test_ring),   cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_own),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
