/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/location.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define UPLOADS "https://reg.test:5000/v2/a/b/blobs/uploads/"

static void test_location(void **state)
{
	static const struct {
		const char *from, *location;
		enum http_peer peer;
		const char *want; /* NULL: refused */
	} rows[] = {
		{UPLOADS, "/v2/a/b/blobs/uploads/8be7?_state=Zm9v",
		 HTTP_PEER_PUBLIC,
		 "https://reg.test:5000/v2/a/b/blobs/uploads/8be7?_state=Zm9v"},
		{UPLOADS, UPLOADS "1?_state=a-b_c==&x=%2f%2F+",
		 HTTP_PEER_PUBLIC, UPLOADS "1?_state=a-b_c==&x=%2f%2F+"},
		/* Outside of /v2/ (GAR), relative, only a query. */
		{UPLOADS, "/artifacts-uploads/namespaces/p/uploads/tok",
		 HTTP_PEER_PUBLIC,
		 "https://reg.test:5000/artifacts-uploads/namespaces/p/uploads/"
		 "tok"},
		{UPLOADS "7", "8?&", HTTP_PEER_PUBLIC, UPLOADS "8?&"},
		{UPLOADS "7?a=1", "?b=2", HTTP_PEER_PUBLIC, UPLOADS "7?b=2"},
		{UPLOADS, "/v2/a%2Fb/%7e//x", HTTP_PEER_PUBLIC,
		 "https://reg.test:5000/v2/a%2Fb/%7e//x"},
		{UPLOADS, "//reg.test:5000/u", HTTP_PEER_PUBLIC,
		 "https://reg.test:5000/u"},
		{UPLOADS, "https://store.test/u?sig=%3D", HTTP_PEER_PUBLIC,
		 "https://store.test/u?sig=%3D"},
		/* Only the scheme is lost at a proxy. */
		{UPLOADS, "http://reg.test:5000/u?x#y", HTTP_PEER_PUBLIC,
		 "https://reg.test:5000/u?x"},
		{"https://reg.test/v2/", "http://REG.test/u", HTTP_PEER_PUBLIC,
		 "https://reg.test/u"},
		{"https://reg.test/v2/", "http://reg.test:80/u",
		 HTTP_PEER_PUBLIC, "https://reg.test/u"},
		{"http://reg.test/v2/", "https://reg.test/u", HTTP_PEER_PUBLIC,
		 "https://reg.test/u"},
		/* Not only the scheme. */
		{UPLOADS, "http://reg.test/u", HTTP_PEER_PUBLIC, NULL},
		{UPLOADS, "http://reg.test.evil.test:5000/u", HTTP_PEER_PUBLIC,
		 NULL},
		{UPLOADS, "http://store.test/u", HTTP_PEER_PUBLIC, NULL},
		{"https://reg.test/v2/", "http://reg.test:8080/u",
		 HTTP_PEER_PUBLIC, NULL},
		/* Nearer to us than the registry. */
		{UPLOADS, "https://127.0.0.1:5000/u", HTTP_PEER_PUBLIC, NULL},
		{UPLOADS, "https://10.0.0.1/u", HTTP_PEER_PUBLIC, NULL},
		{UPLOADS, "https://169.254.169.254/u", HTTP_PEER_PRIVATE, NULL},
		{UPLOADS, "https://localhost/u", HTTP_PEER_ANY, NULL},
		{"http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/u",
		 HTTP_PEER_LOOPBACK, "http://127.0.0.1:5001/u"},
		{"http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/u",
		 HTTP_PEER_ANY, "http://127.0.0.1:5000/u"},
		/* No URLs to go to. */
		{UPLOADS, "https://u:p@reg.test:5000/u", HTTP_PEER_PUBLIC,
		 NULL},
		{UPLOADS, "file:///etc/passwd", HTTP_PEER_PUBLIC, NULL},
		{UPLOADS, "/a b", HTTP_PEER_PUBLIC, NULL},
		{UPLOADS, "/a\r\nX: y", HTTP_PEER_PUBLIC, NULL},
		{UPLOADS, "https://", HTTP_PEER_PUBLIC, NULL},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *why = NULL;
		char *url = NULL;
		int r = push_location(rows[i].from, rows[i].location,
				      rows[i].peer, &url, &why);

		if (rows[i].want) {
			assert_int_equal(r, 0);
			assert_string_equal(url, rows[i].want);
		} else {
			assert_int_equal(r, -EACCES);
			assert_null(url);
			assert_true(why && *why);
		}
		free(url);
	}
}

static void test_judge(void **state)
{
	static const struct {
		const char *home, *url;
		bool named; /* fine with the allow list below */
		bool fine;  /* without any */
	} rows[] = {
		{"https://reg.test", "https://reg.test/u?x", true, true},
		{"https://reg.test", "https://REG.test:443/u", true, true},
		{"http://reg.test", "https://reg.test/u", true, true},
		{"http://reg.test:5000", "https://reg.test:5000/u", true, true},
		{"https://reg.test", "https://reg.test:5000/u", false, false},
		{"https://reg.test", "https://up.reg.test/u", false, false},
		{"https://reg.test", "https://reg.test.evil.test/u", false,
		 false},
		{"https://reg.test", "https://store.test/u", true, false},
		{"https://reg.test", "https://store.test:444/u", false, false},
		{"https://reg.test", "https://up.store.test:444/u", true,
		 false},
		{"https://reg.test", "https://part.test/team/u", false, false},
		{"https://reg.test", "https://[2001:db8::1]:5000/u", false,
		 false},
	};
	struct options o = {.timeout_s = 20};
	struct allow *allow;

	(void)state;
	assert_int_equal(string_list_add(&o.allow, "store.test"), 0);
	assert_int_equal(string_list_add(&o.allow, "*.store.test:444"), 0);
	assert_int_equal(string_list_add(&o.allow, "part.test/team"), 0);
	assert_int_equal(allow_new(&o, NULL, &allow), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *why = NULL;
		int r = push_location_judge(rows[i].home, rows[i].url, NULL,
					    &why);

		assert_int_equal(r, rows[i].fine ? 0 : -EACCES);
		assert_true(rows[i].fine || (why && *why));
		r = push_location_judge(rows[i].home, rows[i].url, allow, &why);
		assert_int_equal(r, rows[i].named ? 0 : -EACCES);
	}
	allow_free(allow);
	string_list_done(&o.allow);
	/* Nothing forbids it, but nobody named it either. */
	assert_int_equal(allow_new(&o, NULL, &allow), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *why = NULL;

		assert_int_equal(push_location_judge(rows[i].home, rows[i].url,
						     allow, &why),
				 rows[i].fine ? 0 : -EACCES);
	}
	allow_free(allow);
}

static void test_digest(void **state)
{
	static const struct {
		const char *url, *want;
	} rows[] = {
		{"https://r/u", "https://r/u?digest="},
		{"https://r/u?_state=b-_==",
		 "https://r/u?_state=b-_==&digest="},
		{"https://r/u?&", "https://r/u?&digest="},
		{"https://r/u?", "https://r/u?digest="},
		{"https://r/u?a&", "https://r/u?a&digest="},
	};
	static const char empty[] = "sha256%3Ae3b0c44298fc1c149afbf4c8996fb924"
				    "27ae41e4649b934ca495991b7852b855";
	struct digest d;

	digest_of(HASH_SHA256, "", 0, &d);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *url = NULL;
		size_t n = strlen(rows[i].want);

		assert_int_equal(push_location_digest(rows[i].url, &d, &url),
				 0);
		assert_memory_equal(url, rows[i].want, n);
		assert_string_equal(url + n, empty);
		free(url);
	}
	digest_of(HASH_SHA512, "", 0, &d);
	{
		char *url = NULL;

		assert_int_equal(push_location_digest("http://r/u", &d, &url),
				 0);
		assert_non_null(strstr(url, "?digest=sha512%3Acf83e1357eef"));
		free(url);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_location),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
