/* SPDX-License-Identifier: Apache-2.0 */
#include "http/header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/head.h"
#include "util/str.h"

/* Challenges in one line: "B"asic, b"E"arer, "O"ther, then the four fields,
 * '~' for an absent one. */
static const struct {
	const char *value, *seen;
	int r;
} challenge_rows[] = {
	{"Bearer realm=\"https://auth.test/token\",service=\"reg.test\","
	 "scope=\"repository:team/app:pull,push repository:other/lib:pull\","
	 "error=\"insufficient_scope\"",
	 "E(https://auth.test/token|reg.test|repository:team/app:pull,push "
	 "repository:other/lib:pull|insufficient_scope)",
	 0},
	{"bearer realm=\"r\"", "E(r|~|~|~)", 0},
	{"BASIC realm=\"r\"", "B(r|~|~|~)", 0},
	{"BASIC", "B(~|~|~|~)", 0},
	{"Basic realm=plain", "B(plain|~|~|~)", 0},
	{"Basic Realm = \"r\" , Charset=\"UTF-8\"", "B(r|~|~|~)", 0},
	{"Bearer realm=https://a/t?x=y,service=s", "E(https://a/t?x=y|s|~|~)",
	 0},
	{"Basic realm=\"a\", Bearer realm=\"b\"", "B(a|~|~|~)E(b|~|~|~)", 0},
	{"Basic realm=\"a\" Bearer realm=\"b\"", "B(a|~|~|~)E(b|~|~|~)", 0},
	{"Bearer realm=\"a\" service=\"s\"", "E(a|s|~|~)", 0},
	{"Negotiate, NTLM, Basic realm=\"a\"", "O(~|~|~|~)O(~|~|~|~)B(a|~|~|~)",
	 0},
	{"Negotiate YWJj==, Bearer realm=b", "O(~|~|~|~)E(b|~|~|~)", 0},
	{"Digest realm=\"d\", qop=\"auth, auth-int\", Basic realm=\"b\"",
	 "O(d|~|~|~)B(b|~|~|~)", 0},
	{"Basic realm=\"with \\\"quotes\\\" and, comma\"",
	 "B(with \"quotes\" and, comma|~|~|~)", 0},
	{"Basic realm=\"\"", "B(|~|~|~)", 0},
	{",, ,Basic realm=a,,", "B(a|~|~|~)", 0},
	{"Bearer realm=\"/auth/token\"", "E(/auth/token|~|~|~)", 0},
	{"", "", 0},
	{" \t", "", 0},
	{"realm=\"x\"", "", -EBADMSG},
	{"=x", "", -EBADMSG},
	{"Bearer realm=\"x\",service=\"open", "E(x|~|~|~)", -EBADMSG},
	{"Bearer realm=\"x\", service=\"end\\", "E(x|~|~|~)", -EBADMSG},
	{"Bearer realm=\"x\",realm=\"y\"", "E(x|~|~|~)", -EBADMSG},
	{"Bearer realm=\"x\001y\"", "E(~|~|~|~)", -EBADMSG},
	{"Bearer realm=\"x\r\nSet-Cookie: a\"", "E(~|~|~|~)", -EBADMSG},
	{"Bearer \"x\"", "E(~|~|~|~)", -EBADMSG},
	{"Bear(er realm=x", "", -EBADMSG},
};

static void print_challenges(const struct challenges *c, struct str *out)
{
	static const char letters[] = {[CHALLENGE_OTHER] = 'O',
				       [CHALLENGE_BASIC] = 'B',
				       [CHALLENGE_BEARER] = 'E'};

	assert_int_equal(str_add(out, ""), 0);
	for (size_t i = 0; i < c->len; i++) {
		const struct challenge *v = &c->v[i];

		assert_int_equal(str_addf(out, "%c(%s|%s|%s|%s)",
					  letters[v->scheme],
					  v->realm ? v->realm : "~",
					  v->service ? v->service : "~",
					  v->scope ? v->scope : "~",
					  v->error ? v->error : "~"),
				 0);
	}
}

static void test_challenges(void **state)
{
	for (size_t i = 0; i < sizeof(challenge_rows) / sizeof(*challenge_rows);
	     i++) {
		struct challenges c = {0};
		autostr seen = {0};

		print_message("%s\n", challenge_rows[i].value);
		assert_int_equal(
			header_parse_challenges(challenge_rows[i].value, &c),
			challenge_rows[i].r);
		print_challenges(&c, &seen);
		assert_string_equal(seen.buf, challenge_rows[i].seen);
		challenges_done(&c);
		assert_int_equal(c.len, 0);
	}
}

/* Several header lines add up; too many and too long is refused. */
static void test_challenges_limits(void **state)
{
	struct challenges c = {0};
	char *big = malloc(HEADER_MAX + 2);

	for (int i = 0; i < HEADER_CHALLENGES_MAX; i++)
		assert_int_equal(header_parse_challenges("Basic realm=a", &c),
				 0);
	assert_int_equal(c.len, HEADER_CHALLENGES_MAX);
	assert_int_equal(header_parse_challenges("Basic realm=a", &c),
			 -EBADMSG);
	assert_int_equal(c.len, HEADER_CHALLENGES_MAX);
	challenges_done(&c);

	assert_non_null(big);
	memset(big, ',', HEADER_MAX + 1);
	big[HEADER_MAX] = '\0';
	assert_int_equal(header_parse_challenges(big, &c), 0);
	big[HEADER_MAX] = ',';
	big[HEADER_MAX + 1] = '\0';
	assert_int_equal(header_parse_challenges(big, &c), -EBADMSG);
	free(big);
}

static const struct {
	const char *value;
	int r;
	struct content_range c;
} range_rows[] = {
	{"bytes 0-0/1", 0, {0, 0, 1}},
	{"bytes 10-19/100", 0, {10, 19, 100}},
	{"Bytes 10-19/100", 0, {10, 19, 100}},
	{"bytes 10-19/*", 0, {10, 19, UINT64_MAX}},
	{"bytes 0-9223372036854775806/9223372036854775807",
	 0,
	 {0, 9223372036854775806ull, 9223372036854775807ull}},
	{"", -EBADMSG, {0}},
	{"bytes", -EBADMSG, {0}},
	{"bytes */100", -EBADMSG, {0}},
	{"bytes=0-9/10", -EBADMSG, {0}},
	{"bytes 0-9", -EBADMSG, {0}},
	{"bytes 0-9/", -EBADMSG, {0}},
	{"bytes 0-9/10 ", -EBADMSG, {0}},
	{"bytes  0-9/10", -EBADMSG, {0}},
	{" bytes 0-9/10", -EBADMSG, {0}},
	{"bytes 0 -9/10", -EBADMSG, {0}},
	{"bytes 0-10/10", -EBADMSG, {0}},
	{"bytes 9-0/10", -EBADMSG, {0}},
	{"bytes -1-9/10", -EBADMSG, {0}},
	{"bytes 0-+9/10", -EBADMSG, {0}},
	{"bytes 0-9/10, bytes 20-29/30", -EBADMSG, {0}},
	{"bytes 0-9/*0", -EBADMSG, {0}},
	{"items 0-9/10", -EBADMSG, {0}},
	{"bytes 0-9223372036854775808/*", -EBADMSG, {0}},
	{"bytes 0-99999999999999999999999/*", -EBADMSG, {0}},
	{"bytes 0-0/18446744073709551615", -EBADMSG, {0}},
};

static void test_content_range(void **state)
{
	for (size_t i = 0; i < sizeof(range_rows) / sizeof(*range_rows); i++) {
		struct content_range c = {1, 2, 3};

		print_message("%s\n", range_rows[i].value);
		assert_int_equal(
			header_parse_content_range(range_rows[i].value, &c),
			range_rows[i].r);
		if (range_rows[i].r < 0) {
			assert_int_equal(c.first, 1);
			assert_int_equal(c.total, 3);
			continue;
		}
		assert_true(c.first == range_rows[i].c.first);
		assert_true(c.last == range_rows[i].c.last);
		assert_true(c.total == range_rows[i].c.total);
	}
}

static const struct {
	const char *value;
	int r;
	const char *next;
} link_rows[] = {
	{"</v2/team/app/tags/list?last=1.1&n=2>; rel=\"next\"", 0,
	 "/v2/team/app/tags/list?last=1.1&n=2"},
	{"<u>; rel=next", 0, "u"},
	{"<u>;rel=\"prev next\"", 0, "u"},
	{"<u> ; REL = \"NEXT\"", 0, "u"},
	{"<a,b;c>; rel=\"next\"", 0, "a,b;c"},
	{"<a>; rel=prev, <b>; rel=next", 0, "b"},
	{"<a>; rel=prev,<b>;title=\"x, y; rel=next\";rel=next", 0, "b"},
	{"<a>; title; rel=next", 0, "a"},
	{"<a>; rel=\"next\"; title*=UTF-8''x", 0, "a"},
	{"<a>; rel=last; rel=next", 0, NULL},
	{"<a>; rel=nextish", 0, NULL},
	{"<a>; rev=next", 0, NULL},
	{"<a>", 0, NULL},
	{"<a>,", 0, NULL},
	{"", 0, NULL},
	{"<>; rel=next", -EBADMSG, NULL},
	{"<a; rel=next", -EBADMSG, NULL},
	{"a; rel=next", -EBADMSG, NULL},
	{"<a>; rel=\"next", -EBADMSG, NULL},
	{"<a>; rel=", -EBADMSG, NULL},
	{"<a> b; rel=next", -EBADMSG, NULL},
	{"<a\nb>; rel=next", -EBADMSG, NULL},
};

static void test_link_next(void **state)
{
	for (size_t i = 0; i < sizeof(link_rows) / sizeof(*link_rows); i++) {
		char untouched[] = "untouched";
		char *next = untouched;

		print_message("%s\n", link_rows[i].value);
		assert_int_equal(
			header_parse_link_next(link_rows[i].value, &next),
			link_rows[i].r);
		if (link_rows[i].r < 0) {
			assert_ptr_equal(next, untouched);
		} else if (!link_rows[i].next) {
			assert_null(next);
		} else {
			assert_string_equal(next, link_rows[i].next);
			free(next);
		}
	}
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *value;
		int r;
		uint64_t seconds;
	} rows[] = {
		{"0", 0, 0},
		{"120", 0, 120},
		{"-5", 0, 0},
		{"99999999999999999999999999", 0, 315360000},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0, 60},
		{"Sun, 06 Nov 1994 08:47:37 GMT", 0, 0},
		{"", -EBADMSG, 0},
		{"soon", -EBADMSG, 0},
		{"-", -EBADMSG, 0},
		{"-soon", -EBADMSG, 0},
		{"1.5", -EBADMSG, 0},
		{"10 s", -EBADMSG, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t s = 77;

		print_message("%s\n", rows[i].value);
		assert_int_equal(
			header_parse_retry_after(rows[i].value, 784111717, &s),
			rows[i].r);
		assert_int_equal(s, rows[i].r < 0 ? 77 : rows[i].seconds);
	}
}

static void test_ratelimit(void **state)
{
	static const struct {
		const char *value;
		int r;
		uint64_t limit, window;
	} rows[] = {
		{"100;w=21600", 0, 100, 21600},
		{"100; W=60", 0, 100, 60},
		{"76", 0, 76, 0},
		{"100, 100;w=60", 0, 100, 0},
		{"100;x=1;w=60", 0, 100, 60},
		{"", -EBADMSG, 0, 0},
		{"many", -EBADMSG, 0, 0},
		{"-1", -EBADMSG, 0, 0},
		{"100;w=", -EBADMSG, 0, 0},
		{"100x", -EBADMSG, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t limit = 7, window = 7;

		print_message("%s\n", rows[i].value);
		assert_int_equal(
			header_parse_ratelimit(rows[i].value, &limit, &window),
			rows[i].r);
		assert_int_equal(limit, rows[i].r < 0 ? 7 : rows[i].limit);
		assert_int_equal(window, rows[i].r < 0 ? 7 : rows[i].window);
	}
}

/* An answer's head; lines are split at '\n'.  `seen` is "status name=value;"
 * of what is complete, NULL if it is not. */
static const struct {
	const char *lines, *seen;
	int r;
} head_rows[] = {
	{"HTTP/1.1 200 OK\r\nA: b\r\nC:d \r\n\r\n", "200 a=b;c=d;", 0},
	{"HTTP/2 204 \r\n\r\n", "204 ", 0},
	{"HTTP/1.1 204\r\n\r\n", "204 ", 0},
	{"HTTP/1.1 200 OK\nA:\n\n", "200 a=;", 0},
	{"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nB: 2\r\n\r\n",
	 "200 b=2;", 0},
	{"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n  d\r\n\r\n", "200 a=b c d;", 0},
	{"HTTP/1.1 200 OK\r\n\r\nTrailer: x\r\n\r\n", "200 ", 0},
	{"HTTP/1.1 100 Continue\r\n\r\n", NULL, 0},
	{"HTTP/1.1 200 OK\r\nA: b\r\n", NULL, 0},
	{"HTTP/1.1 101 Switch\r\n\r\n", NULL, -EBADMSG},
	{"ICY 200 OK\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 20 OK\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 2000 OK\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 099 OK\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 200 OK\r\n: b\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 200 OK\r\n folded\r\n\r\n", NULL, -EBADMSG},
	{"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\n", NULL, -EBADMSG},
};

static int feed_head(struct head *h, const char *lines)
{
	int r = 0;

	while (r == 0 && *lines) {
		size_t n = strcspn(lines, "\n") + 1;

		r = head_add_line(h, lines, n);
		lines += n;
	}
	return r;
}

static void test_head(void **state)
{
	for (size_t i = 0; i < sizeof(head_rows) / sizeof(*head_rows); i++) {
		struct head h = {0};
		autostr seen = {0};

		print_message("%s\n", head_rows[i].lines);
		assert_int_equal(feed_head(&h, head_rows[i].lines),
				 head_rows[i].r);
		assert_int_equal(h.state == HEAD_COMPLETE,
				 head_rows[i].seen != NULL);
		if (head_rows[i].seen) {
			str_addf(&seen, "%d ", h.pub.status);
			for (size_t k = 0; k < h.pub.len; k++)
				str_addf(&seen, "%s=%s;", h.pub.names[k],
					 h.pub.values[k]);
			assert_string_equal(seen.buf, head_rows[i].seen);
		}
		head_reset(&h);
	}
}

static void test_head_flood(void **state)
{
	char line[1024];
	struct head h = {0};
	int n = 0;

	memset(line, 'x', sizeof(line));
	memcpy(line, "A: ", 3);
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(head_add_line(&h, "HTTP/1.1 200 OK\n", 16), 0);
	while (head_add_line(&h, line, sizeof(line)) == 0)
		n++;
	assert_int_equal(n, 63);
	head_reset(&h);
}

static void test_head_framing(void **state)
{
	static const struct {
		const char *lines;
		int r;
		uint64_t length;
	} rows[] = {
		{"A: b\n", 0, UINT64_MAX},
		{"Content-Length: 12\n", 0, 12},
		{"Content-Length: 12\nContent-Length: 12\n", 0, 12},
		{"Content-Length: 12\nTransfer-Encoding: chunked\n", 0,
		 UINT64_MAX},
		{"Content-Length: 12\nContent-Length: 13\n", -EBADMSG, 0},
		{"Content-Length: 12, 12\n", -EBADMSG, 0},
		{"Content-Length: -1\n", -EBADMSG, 0},
		{"Content-Length: +1\n", -EBADMSG, 0},
		{"Content-Length:\n", -EBADMSG, 0},
		{"Content-Length: 9223372036854775808\n", -EBADMSG, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t length = 7;
		struct head h = {0};

		print_message("%s\n", rows[i].lines);
		assert_int_equal(feed_head(&h, "HTTP/1.1 200 OK\n"), 0);
		assert_int_equal(feed_head(&h, rows[i].lines), 0);
		assert_int_equal(head_length(&h.pub, &length), rows[i].r);
		assert_true(length == (rows[i].r < 0 ? 7 : rows[i].length));
		head_reset(&h);
	}
}

static void test_head_fields(void **state)
{
	struct head h = {0};

	assert_int_equal(feed_head(&h, "HTTP/2 200\nWWW-Authenticate: a\n"
				       "Content-Encoding: identity\n"
				       "Www-authenticate: b\n"),
			 0);
	assert_true(h.pub.http2);
	assert_string_equal(http_header(&h.pub, "www-authenticate"), "a");
	assert_string_equal(http_header_nth(&h.pub, "WWW-Authenticate", 1),
			    "b");
	assert_null(http_header_nth(&h.pub, "WWW-Authenticate", 2));
	assert_null(http_header(&h.pub, "absent"));
	assert_false(head_encoded(&h.pub));
	assert_int_equal(feed_head(&h, "Content-Encoding: gzip\n"), 0);
	assert_true(head_encoded(&h.pub));
	head_reset(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_challenges_limits),
		cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_link_next),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_ratelimit),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_head_flood),
		cmocka_unit_test(test_head_framing),
		cmocka_unit_test(test_head_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
