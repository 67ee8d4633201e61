/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/wire/redirect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define FROM "https://reg.test/v2/a/blobs/x"

static const struct {
	const char *from, *to;
	enum http_peer peer;
	const char *result; /* NULL: refused */
} judge_rows[] = {
	{FROM, "https://cdn.test/a?b=c%2F", HTTP_PEER_PUBLIC,
	 "https://cdn.test/a?b=c%2F"},
	{FROM, "/v2/b", HTTP_PEER_PUBLIC, "https://reg.test/v2/b"},
	{FROM, "y?z", HTTP_PEER_PUBLIC, "https://reg.test/v2/a/blobs/y?z"},
	{FROM, "//cdn.test/a", HTTP_PEER_PUBLIC, "https://cdn.test/a"},
	{FROM, "http://cdn.test/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "http://reg.test/v2/b", HTTP_PEER_PUBLIC, NULL},
	{FROM, "file:///etc/passwd", HTTP_PEER_PUBLIC, NULL},
	{FROM, "ftp://cdn.test/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "scp://cdn.test/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "javascript:1", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://u:p@cdn.test/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://cdn.test/a\r\nX: y", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://127.0.0.1/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://localhost/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://x.localhost/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://[::1]/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://[::ffff:127.0.0.1]/", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://169.254.169.254/latest", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://10.1.2.3/a", HTTP_PEER_PUBLIC, NULL},
	{FROM, "https://192.168.0.1/a", HTTP_PEER_PRIVATE,
	 "https://192.168.0.1/a"},
	{FROM, "https://127.0.0.1/a", HTTP_PEER_PRIVATE, NULL},
	{FROM, "https://93.184.216.34/a", HTTP_PEER_PUBLIC,
	 "https://93.184.216.34/a"},
	/* Nobody knows where the registry is. */
	{FROM, "https://10.1.2.3/a", HTTP_PEER_ANY, NULL},
	{"https://10.0.0.1/v2/", "https://10.1.2.3/a", HTTP_PEER_ANY,
	 "https://10.1.2.3/a"},
	{FROM, "https://127.0.0.1/a", HTTP_PEER_ANY, NULL},
	{FROM, "https://169.254.169.254/a", HTTP_PEER_ANY, NULL},
	{"http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/a",
	 HTTP_PEER_LOOPBACK, "http://127.0.0.1:5001/a"},
	{"http://127.0.0.1:5000/v2/", "https://cdn.test/a", HTTP_PEER_LOOPBACK,
	 "https://cdn.test/a"},
	{"http://127.0.0.1:5000/v2/", "/b", HTTP_PEER_ANY,
	 "http://127.0.0.1:5000/b"},
};

static void test_judge(void **state)
{
	for (size_t i = 0; i < COUNT(judge_rows); i++) {
		const char *why = NULL;
		char *url = NULL;
		int r = redirect_judge(judge_rows[i].from, judge_rows[i].to,
				       judge_rows[i].peer, &url, &why);

		if (judge_rows[i].result) {
			assert_int_equal(r, 0);
			assert_string_equal(url, judge_rows[i].result);
		} else {
			assert_int_equal(r, -EACCES);
			assert_non_null(why);
			assert_null(url);
		}
		free(url);
	}
}

/* 2024-05-01T10:00:00Z */
#define NOW 1714557600

static void test_life(void **state)
{
	static const struct {
		const char *url;
		uint64_t ms;
	} rows[] = {
		{"https://c/a", 60000},
		{"https://c/a?x=y", 60000},
		{"https://c/a?X-Amz-Date=20240501T100000Z&X-Amz-Expires=1200",
		 1170000},
		{"https://c/a?X-Amz-Expires=300&z&X-Amz-Date=20240501T095900Z",
		 210000},
		{"https://c/a?X-Goog-Date=20240501T100000Z&X-Goog-Expires=90",
		 60000},
		{"https://c/a?X-Amz-Date=20240501T080000Z&X-Amz-Expires=60", 0},
		{"https://c/a?X-Amz-Date=20240501T100000Z&X-Amz-Expires=20", 0},
		{"https://c/a?X-Amz-Date=nonsense&X-Amz-Expires=1200", 60000},
		{"https://c/a?Expires=1714557700&Signature=s", 70000},
		{"https://c/a?expires=1714557700", 70000},
		{"https://c/a?se=2024-05-01T10%3A05%3A00Z&sig=s", 270000},
		{"https://c/a?e=1714557700&k=1", 70000},
		{"https://c/a?e=abc", 60000},
		{"https://c/a?Expires=1714557600", 0},
		{"https://c/a?Expires=9999999999", 21600000},
		{"https://c/a?Expires=99999999999999999999999", 60000},
		{"https://c/a?NotExpires=1714557700", 60000},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(redirect_life_ms(rows[i].url, NOW),
				 rows[i].ms);
}

static void test_cache(void **state)
{
	struct redirects *c;
	char *url = NULL;
	char key[32], text[64];

	assert_int_equal(redirects_new(&c), 0);
	assert_int_equal(redirects_find(c, "GET a", &url), -ENOENT);
	redirects_keep(c, "GET a", "https://c/1");
	assert_int_equal(redirects_find(c, "GET a", &url), 0);
	assert_string_equal(url, "https://c/1");
	free(url);
	assert_int_equal(redirects_find(c, "HEAD a", &url), -ENOENT);
	redirects_keep(c, "GET a", "https://c/2");
	/* What somebody else has put there meanwhile stays. */
	redirects_drop(c, "GET a", "https://c/1");
	assert_int_equal(redirects_find(c, "GET a", &url), 0);
	assert_string_equal(url, "https://c/2");
	free(url);
	redirects_drop(c, "GET a", "https://c/2");
	assert_int_equal(redirects_find(c, "GET a", &url), -ENOENT);
	redirects_keep(c, "GET a", "https://c/3");
	redirects_drop(c, "GET b", NULL);
	redirects_drop(c, "GET a", NULL);
	assert_int_equal(redirects_find(c, "GET a", &url), -ENOENT);
	redirects_keep(c, "old", "https://c/1?Expires=1");
	assert_int_equal(redirects_find(c, "old", &url), -ENOENT);
	for (int i = 0; i < REDIRECTS_MAX + 10; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		snprintf(text, sizeof(text), "https://c/%d", i);
		redirects_keep(c, key, text);
	}
	assert_int_equal(redirects_find(c, key, &url), 0);
	free(url);
	redirects_free(c);
	redirects_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
