/* SPDX-License-Identifier: Apache-2.0 */
#include "http/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http.h"
#include "http/proxy.h"

static const struct {
	const char *text, *host;
	unsigned port;
	const char *path, *query;
	const char *again; /* formatted, if not the text itself */
} good_rows[] = {
	{"http://a", "a", 80, "/", NULL, "http://a/"},
	{"https://a/", "a", 443, "/", NULL, NULL},
	{"HTTPS://Reg.Example.COM/V2/", "reg.example.com", 443, "/V2/", NULL,
	 "https://reg.example.com/V2/"},
	{"http://a:5000/p?q", "a", 5000, "/p", "q", NULL},
	{"https://a:443/", "a", 443, "/", NULL, NULL},
	{"https://a:/", "a", 443, "/", NULL, "https://a/"},
	{"http://[::1]:5000/p", "::1", 5000, "/p", NULL, NULL},
	{"http://[2001:DB8::1]/", "2001:db8::1", 80, "/", NULL,
	 "http://[2001:db8::1]/"},
	{"http://a?x=/y", "a", 80, "/", "x=/y", "http://a/?x=/y"},
	{"http://a/p?", "a", 80, "/p", "", NULL},
	{"http://a/p?&", "a", 80, "/p", "&", NULL},
	{"http://a/p#f?g", "a", 80, "/p", NULL, "http://a/p"},
	{"http://a/p%2F..%zz/../x;y=@:z?a=<b>#f", "a", 80,
	 "/p%2F..%zz/../x;y=@:z", "a=<b>",
	 "http://a/p%2F..%zz/../x;y=@:z?a=<b>"},
	{"http://my_host.a-b./", "my_host.a-b.", 80, "/", NULL, NULL},
	{"http://127.0.0.1/", "127.0.0.1", 80, "/", NULL, NULL},
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(good_rows) / sizeof(*good_rows); i++) {
		char *again;
		struct url u;

		print_message("%s\n", good_rows[i].text);
		assert_int_equal(url_parse(good_rows[i].text, &u), 0);
		assert_string_equal(u.host, good_rows[i].host);
		assert_int_equal(u.port, good_rows[i].port);
		assert_string_equal(u.path, good_rows[i].path);
		if (good_rows[i].query)
			assert_string_equal(u.query, good_rows[i].query);
		else
			assert_null(u.query);
		assert_int_equal(url_format(&u, &again), 0);
		assert_string_equal(again, good_rows[i].again
						   ? good_rows[i].again
						   : good_rows[i].text);
		free(again);
		url_done(&u);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"a",
		"//a/",
		"/p",
		"http:",
		"http:a",
		"http:/a",
		"http://",
		"http:///p",
		"http://:80/",
		"http://.a/",
		"ftp://a/",
		"file:///etc/passwd",
		"unix://a/",
		"httpss://a/",
		" http://a/",
		"http://a b/",
		"http://a/b c",
		"http://a/\tb",
		"http://a/\r\nX: y",
		"http://a/\x7f",
		"http://a/\xc3\xa4",
		"http://\xc3\xa4/",
		"http://user@a/",
		"http://user:pass@a/",
		"http://@a/",
		"http://a@b@c/",
		"http://good\\@evil/",
		"http://a\\b/",
		"http://a/\\b",
		"http://%61/",
		"http://a:0/",
		"http://a:65536/",
		"http://a:5x/",
		"http://a:+5/",
		"http://a:000080/",
		"http://a:80:80/",
		"http://[::1/",
		"http://[::1]x/",
		"http://[]/",
		"http://[127.0.0.1]/",
		"http://[fe80::1%25eth0]/",
		"http://::1/",
		"http://a,b/",
		"http://a;b/",
		"1http://a/",
	};
	char *big = malloc(URL_MAX + 2);
	struct url u = {.port = 7};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("%s\n", rows[i]);
		assert_int_equal(url_parse(rows[i], &u), -EINVAL);
		assert_int_equal(u.port, 7);
	}
	assert_non_null(big);
	memset(big, 'x', URL_MAX + 1);
	memcpy(big, "http://a/", 9);
	big[URL_MAX + 1] = '\0';
	assert_int_equal(url_parse(big, &u), -EINVAL);
	big[URL_MAX] = '\0';
	assert_int_equal(url_parse(big, &u), 0);
	url_done(&u);
	free(big);
}

/* RFC 3986 5.4, as far as it is about http. */
static void test_resolve_rfc(void **state)
{
	static const struct {
		const char *ref, *target;
	} rows[] = {
		{"g", "http://a/b/c/g"},
		{"./g", "http://a/b/c/g"},
		{"g/", "http://a/b/c/g/"},
		{"/g", "http://a/g"},
		{"//g", "http://g/"},
		{"?y", "http://a/b/c/d;p?y"},
		{"g?y", "http://a/b/c/g?y"},
		{"#s", "http://a/b/c/d;p?q"},
		{"g#s", "http://a/b/c/g"},
		{"g?y#s", "http://a/b/c/g?y"},
		{";x", "http://a/b/c/;x"},
		{"g;x?y#s", "http://a/b/c/g;x?y"},
		{"", "http://a/b/c/d;p?q"},
		{".", "http://a/b/c/"},
		{"./", "http://a/b/c/"},
		{"..", "http://a/b/"},
		{"../", "http://a/b/"},
		{"../g", "http://a/b/g"},
		{"../..", "http://a/"},
		{"../../", "http://a/"},
		{"../../g", "http://a/g"},
		{"../../../g", "http://a/g"},
		{"../../../../g", "http://a/g"},
		{"/./g", "http://a/g"},
		{"/../g", "http://a/g"},
		{"g.", "http://a/b/c/g."},
		{".g", "http://a/b/c/.g"},
		{"g..", "http://a/b/c/g.."},
		{"..g", "http://a/b/c/..g"},
		{"./../g", "http://a/b/g"},
		{"./g/.", "http://a/b/c/g/"},
		{"g/./h", "http://a/b/c/g/h"},
		{"g/../h", "http://a/b/c/h"},
		{"g;x=1/../y", "http://a/b/c/y"},
		{"g?y/./x", "http://a/b/c/g?y/./x"},
		{"https://B:8443/x/../y?z#f", "https://b:8443/y?z"},
		{"http://b", "http://b/"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *target;

		print_message("%s\n", rows[i].ref);
		assert_int_equal(
			url_resolve("http://a/b/c/d;p?q", rows[i].ref, &target),
			0);
		assert_string_equal(target, rows[i].target);
		free(target);
	}
}

static void test_resolve(void **state)
{
	static const struct {
		const char *base, *ref, *target;
	} rows[] = {
		{"https://r:5000/v2/n/blobs/uploads/",
		 "/v2/n/blobs/uploads/8be7?_state=Zm9v",
		 "https://r:5000/v2/n/blobs/uploads/8be7?_state=Zm9v"},
		{"https://r/v2/", "//s/x", "https://s/x"},
		{"http://[::1]:5000/v2/", "x", "http://[::1]:5000/v2/x"},
		{"http://r", "x", "http://r/x"},
		{"http://r/a?b/c", "x", "http://r/x"},
		{"http://r/", "ftp://r/", NULL},
		{"http://r/", "file:///etc/passwd", NULL},
		{"http://r/", "g:h", NULL},
		{"http://r/", "http:g", NULL},
		{"http://r/", "//u@r/", NULL},
		{"http://r/", "x\ny", NULL},
		{"http://r/", "x y", NULL},
		{"ftp://r/", "x", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char untouched[] = "untouched";
		char *target = untouched;

		print_message("%s\n", rows[i].ref);
		assert_int_equal(
			url_resolve(rows[i].base, rows[i].ref, &target),
			rows[i].target ? 0 : -EINVAL);
		if (rows[i].target) {
			assert_string_equal(target, rows[i].target);
			free(target);
		} else {
			assert_ptr_equal(target, untouched);
		}
	}
}

static void test_same_origin(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"https://a/x", "https://A:443/y?z", true},
		{"http://a:80/", "http://a/", true},
		{"https://a/", "http://a/", false},
		{"http://a:443/", "https://a/", false},
		{"https://a/", "https://a:8443/", false},
		{"https://a/", "https://b/", false},
		{"https://a/", "https://a.b/", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct url a, b;

		assert_int_equal(url_parse(rows[i].a, &a), 0);
		assert_int_equal(url_parse(rows[i].b, &b), 0);
		assert_int_equal(url_same_origin(&a, &b), rows[i].same);
		url_done(&a);
		url_done(&b);
	}
}

static void test_add_query(void **state)
{
	static const struct {
		const char *url, *sum;
	} rows[] = {
		{"http://a/p", "http://a/p?digest=sha256%3Aa%2Fb"},
		{"http://a/p?_state=x",
		 "http://a/p?_state=x&digest=sha256%3Aa%2Fb"},
		{"http://a/p?&", "http://a/p?&&digest=sha256%3Aa%2Fb"},
		{"http://a/p?q#f", "http://a/p?q&digest=sha256%3Aa%2Fb"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *url = strdup(rows[i].url);

		assert_int_equal(url_add_query(&url, "digest", "sha256:a/b"),
				 0);
		assert_string_equal(url, rows[i].sum);
		free(url);
	}
}

static void test_redact(void **state)
{
	static const struct {
		const char *url, *shown;
	} rows[] = {
		{"https://a/p?X-Amz-Signature=s", "https://a/p"},
		{"https://a/p#f", "https://a/p"},
		{"https://a", "https://a"},
		{"https://user:pw@a:5/p?q", "https://a:5/p"},
		{"https://user:p@w@a/p", "https://a/p"},
		{"https://a/p@q", "https://a/p@q"},
		{"ftp://u@a", "ftp://a"},
		{"nonsense?x", "nonsense"},
		{"?//u@a", ""},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *shown = url_redact(rows[i].url);

		assert_non_null(shown);
		assert_string_equal(shown, rows[i].shown);
		free(shown);
	}
}

static void test_peer_class(void **state)
{
	static const struct {
		const char *address;
		enum http_peer peer;
	} rows[] = {
		{"127.0.0.1", HTTP_PEER_LOOPBACK},
		{"127.255.255.255", HTTP_PEER_LOOPBACK},
		{"127.1", HTTP_PEER_LOOPBACK},
		{"0x7f000001", HTTP_PEER_LOOPBACK},
		{"2130706433", HTTP_PEER_LOOPBACK},
		{"::1", HTTP_PEER_LOOPBACK},
		{"::ffff:127.0.0.1", HTTP_PEER_LOOPBACK},
		{"::127.0.0.1", HTTP_PEER_LOOPBACK},
		{"64:ff9b::7f00:1", HTTP_PEER_LOOPBACK},
		{"2002:7f00:1::", HTTP_PEER_LOOPBACK},
		{"169.254.169.254", HTTP_PEER_LOCAL},
		{"0.0.0.0", HTTP_PEER_LOCAL},
		{"::", HTTP_PEER_LOCAL},
		{"224.0.0.1", HTTP_PEER_LOCAL},
		{"255.255.255.255", HTTP_PEER_LOCAL},
		{"fe80::1", HTTP_PEER_LOCAL},
		{"fe80::1%eth0", HTTP_PEER_LOCAL},
		{"ff02::1", HTTP_PEER_LOCAL},
		{"10.0.0.1", HTTP_PEER_PRIVATE},
		{"172.16.0.1", HTTP_PEER_PRIVATE},
		{"172.31.255.255", HTTP_PEER_PRIVATE},
		{"192.168.1.1", HTTP_PEER_PRIVATE},
		{"100.64.0.1", HTTP_PEER_PRIVATE},
		{"fc00::1", HTTP_PEER_PRIVATE},
		{"fd12::1", HTTP_PEER_PRIVATE},
		{"::ffff:10.1.2.3", HTTP_PEER_PRIVATE},
		{"172.32.0.1", HTTP_PEER_PUBLIC},
		{"100.128.0.1", HTTP_PEER_PUBLIC},
		{"8.8.8.8", HTTP_PEER_PUBLIC},
		{"2606:4700::1111", HTTP_PEER_PUBLIC},
		{"", HTTP_PEER_ANY},
		{"localhost", HTTP_PEER_ANY},
		{"127.0.0.1 x", HTTP_PEER_ANY},
		{"[::1]", HTTP_PEER_ANY},
		{"1.2.3.4.5", HTTP_PEER_ANY},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("%s\n", rows[i].address);
		assert_int_equal(http_peer_class(rows[i].address),
				 rows[i].peer);
	}
}

static void test_proxy(void **state)
{
	static char p1[] = "http://p1:1", p2[] = "http://p2:2",
		    p3[] = "socks5h://p3:3";
	static const struct {
		char *http, *https, *all;
		const char *no, *url, *proxy;
	} rows[] = {
		{NULL, NULL, NULL, NULL, "http://a/", NULL},
		{p1, p2, NULL, NULL, "http://a/", p1},
		{p1, p2, NULL, NULL, "https://a/", p2},
		{p1, NULL, NULL, NULL, "https://a/", NULL},
		{p1, NULL, p3, NULL, "https://a/", p3},
		{p1, NULL, NULL, "*", "http://a/", NULL},
		{p1, NULL, NULL, "b,*", "http://a/", p1},
		{p1, NULL, NULL, "a", "http://a/", NULL},
		{p1, NULL, NULL, "x.test, a.test", "http://A.test/", NULL},
		{p1, NULL, NULL, "a.test", "http://b.a.test/", NULL},
		{p1, NULL, NULL, ".a.test", "http://a.test/", NULL},
		{p1, NULL, NULL, "a.test.", "http://a.test/", NULL},
		{p1, NULL, NULL, "a.test", "http://ba.test/", p1},
		{p1, NULL, NULL, "b.a.test", "http://a.test/", p1},
		{p1, NULL, NULL, ".", "http://a.test/", p1},
		{p1, NULL, NULL, "127.0.0.1", "http://127.0.0.1:5/", NULL},
		{p1, NULL, NULL, "127.0.0.0/8", "http://127.9.9.9/", NULL},
		{p1, NULL, NULL, "10.0.0.0/9", "http://10.128.0.1/", p1},
		{p1, NULL, NULL, "10.0.0.0/9", "http://10.127.0.1/", NULL},
		{p1, NULL, NULL, "10.0.0.0/33", "http://10.0.0.0/", p1},
		{p1, NULL, NULL, "10.0.0.0/x", "http://10.0.0.0/", p1},
		{p1, NULL, NULL, "0.0.0.0/0", "http://10.0.0.0/", NULL},
		{p1, NULL, NULL, "0.0.1", "http://127.0.0.1/", p1},
		{p1, NULL, NULL, "fd00::/8", "http://[fd12::1]/", NULL},
		{p1, NULL, NULL, "::1", "http://[::1]/", NULL},
		{p1, NULL, NULL, "::1", "http://[::2]/", p1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *no = rows[i].no ? strdup(rows[i].no) : NULL;
		struct proxy_env e = {rows[i].http, rows[i].https, rows[i].all,
				      no};
		struct url u;

		print_message("%s %s\n", rows[i].url, no ? no : "-");
		assert_int_equal(url_parse(rows[i].url, &u), 0);
		assert_ptr_equal(proxy_find(&e, &u), rows[i].proxy);
		url_done(&u);
		free(no);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_resolve_rfc),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_same_origin),
		cmocka_unit_test(test_add_query),
		cmocka_unit_test(test_redact),
		cmocka_unit_test(test_peer_class),
		cmocka_unit_test(test_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
