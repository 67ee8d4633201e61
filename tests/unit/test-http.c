/* SPDX-License-Identifier: Apache-2.0 */
#include "http-fixture.h"

static void test_keep_alive(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		struct http_transfer *t = START(f, "/hello", .http1 = i % 2);
		const struct http_head *head = head_of(t);

		assert_int_equal(head->status, 200);
		assert_false(head->http2);
		assert_int_equal(head->peer, HTTP_PEER_LOOPBACK);
		assert_string_equal(http_header(head, "Content-Length"), "5");
		expect_body(t, "hello");
	}
	assert_int_equal(f->s.connections, 1);
	/* A kept connection that died meanwhile is no failure. */
	server_drop(&f->s);
	expect_body(START(f, "/hello"), "hello");
	assert_int_equal(f->s.connections, 2);
	expect_body(START(f, "/hello"), "hello");
	assert_int_equal(f->s.connections, 2);
	http_forget_connections(f->h);
	expect_body(START(f, "/hello"), "hello");
	assert_int_equal(f->s.connections, 3);
}

static void test_bodies(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *t;
	const struct http_head *head;

	expect_body(START(f, "/empty"), "");
	expect_body(START(f, "/close-delimited"), "until the end");
	expect_body(START(f, "/same-lengths"), "hello");
	expect_body(START(f, "/identity"), "hello");
	expect_body(START(f, "/gzip-error"), "hello");
	expect_body(START(f, "/gzip", .accept_any_encoding = true), "hello");

	t = START(f, "/trailer");
	head = head_of(t);
	expect_body(t, "ok");

	t = START(f, "/interim");
	head = head_of(t);
	assert_int_equal(head->status, 200);
	assert_int_equal(head->len, 3);
	assert_string_equal(http_header(head, "a"), "1");
	assert_string_equal(http_header_nth(head, "a", 1), "2");
	assert_null(http_header(head, "link"));
	expect_body(t, "ok");

	t = START(f, "/redirect");
	head = head_of(t);
	assert_int_equal(head->status, 307);
	assert_string_equal(http_header(head, "location"), "/hello");
	expect_body(t, "xx");
}

static void test_failures(void **state)
{
	static const struct {
		const char *path;
		enum http_fail fail;
		size_t bytes; /* delivered before it */
	} rows[] = {
		{"/cut", HTTP_FAIL_SHORT, 5},
		{"/cut-chunk", HTTP_FAIL_SHORT, 5},
		{"/bad-chunk", HTTP_FAIL_PROTOCOL, 5},
		{"/reset", HTTP_FAIL_RESET, 1000},
		{"/nothing", HTTP_FAIL_RESET, 0},
		{"/not-http", HTTP_FAIL_PROTOCOL, 0},
		{"/no-colon", HTTP_FAIL_PROTOCOL, 0},
		{"/two-lengths", HTTP_FAIL_PROTOCOL, 0},
		{"/negative", HTTP_FAIL_PROTOCOL, 0},
		{"/huge", HTTP_FAIL_PROTOCOL, 0},
		{"/switch", HTTP_FAIL_PROTOCOL, 0},
		{"/gzip", HTTP_FAIL_PROTOCOL, 0},
		{"/flood", HTTP_FAIL_PROTOCOL, 0},
		{"/flood-interim", HTTP_FAIL_PROTOCOL, 0},
		{"/stall", HTTP_FAIL_STALL, 5},
		{"/hang", HTTP_FAIL_STALL, 0},
		{"/trickle-head", HTTP_FAIL_STALL, 0},
	};
	struct fixture *f = *state;
	struct http *patient = f->h, *quick;

	assert_int_equal(http_new(&impatient, &quick), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t before = clock_ms(), took;
		struct http_transfer *t;

		f->h = rows[i].fail == HTTP_FAIL_STALL ? quick : patient;
		t = START(f, rows[i].path);

		assert_int_equal(read_failing(t, rows[i].fail), rows[i].bytes);
		took = clock_ms() - before;
		print_message("%s: %s, %llu ms\n", rows[i].path,
			      http_failure_text(t), (unsigned long long)took);
		if (rows[i].fail == HTTP_FAIL_STALL)
			assert_in_range(took, 195, 1500);
		http_close(t);
	}
	f->h = patient;
	http_free(quick);
}

/* A head that ends early is a lost connection or a malformed answer, but
 * never an answer. */
static void test_half_head(void **state)
{
	struct http_transfer *t = START(*state, "/half-head");
	const struct http_head *head;
	struct wait w;

	wait_init(&w, 5000, 0);
	assert_int_equal(http_wait_head(t, &w, &head), -EIO);
	assert_true(http_failure(t) == HTTP_FAIL_RESET ||
		    http_failure(t) == HTTP_FAIL_SHORT ||
		    http_failure(t) == HTTP_FAIL_PROTOCOL);
	http_close(t);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *t = START(f, "/hello", .max_body_bytes = 4);

	assert_int_equal(head_of(t)->status, 200);
	assert_int_equal(read_failing(t, HTTP_FAIL_TOO_LARGE), 0);
	http_close(t);
	t = START(f, "/chunked/30", .max_body_bytes = 20);
	assert_in_range(read_failing(t, HTTP_FAIL_TOO_LARGE), 0, 20);
	http_close(t);
	expect_body(START(f, "/hello", .max_body_bytes = 5), "hello");
	/* A HEAD has no body, whatever it announces. */
	t = START(f, "/x", .method = "HEAD", .max_body_bytes = 1);
	assert_int_equal(head_of(t)->status, 200);
	expect_body(t, "");
}

/* A body far larger than the window; the server is held up meanwhile. */
static void test_window(void **state)
{
	struct fixture *f = *state;
	struct http_config cfg = config;
	struct http_transfer *t;

	cfg.stall_ms = 300;
	http_free(f->h);
	assert_int_equal(http_new(&cfg, &f->h), 0);
	t = START(f, "/bytes/10485760", .window_bytes = 65536);
	head_of(t);
	/* Not reading is no stall of the server. */
	usleep(cfg.stall_ms * 1500);
	assert_true(f->s.sent < 8 * MIB);
	assert_int_equal(http_failure(t), HTTP_FAIL_NONE);
	read_pattern(t, 10 * MIB, true);
	http_close(t);
	for (int i = 0; i < 4; i++) {
		static const size_t windows[] = {1, 20000, 0, 4 << 20};

		t = START(f, "/bytes/3000001", .window_bytes = windows[i]);
		read_pattern(t, 3000001, false);
		http_close(t);
	}
	assert_int_equal(f->s.connections, 1);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	char byte;
	struct wait w;

	for (int i = 0; i < 20; i++) {
		struct http_transfer *t = START(f, "/bytes/10485760");

		wait_init(&w, 5000, 0);
		if (i % 2)
			assert_int_equal(http_read(t, &byte, 1, &w), 1);
		http_close(t);
	}
	http_close(START(f, "/hang"));
	expect_body(START(f, "/hello"), "hello");
	/* The server was told, without its having to send all of it. */
	server_drop(&f->s);
	assert_true(f->s.sent < 100 * MIB);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *t = START(f, "/hang");
	const struct http_head *head;
	uint64_t before = clock_ms();
	struct wait w;
	char byte;

	wait_init(&w, 50, 0);
	assert_int_equal(http_wait_head(t, &w, &head), -ETIMEDOUT);
	assert_int_equal(http_read(t, &byte, 1, &w), -ETIMEDOUT);
	assert_int_equal(http_failure(t), HTTP_FAIL_NONE);
	assert_in_range(clock_ms() - before, 50, 1000);
	http_close(t);
}

static void test_read_all(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *t = START(f, "/hello");
	char *body = NULL;
	size_t len = 99;
	struct wait w;

	wait_init(&w, 5000, 0);
	assert_int_equal(http_read_all(t, 4, &w, &body, &len), -EFBIG);
	assert_null(body);
	assert_int_equal(len, 99);
	http_close(t);
	t = START(f, "/hello");
	assert_int_equal(http_read_all(t, 5, &w, &body, &len), 0);
	assert_string_equal(body, "hello");
	assert_int_equal(len, 5);
	free(body);
	http_close(t);
	t = START(f, "/cut");
	assert_int_equal(http_read_all(t, 100, &w, &body, &len), -EIO);
	http_close(t);
	http_close(NULL);
}

static void test_requests(void **state)
{
	static const struct {
		const char *method, *body;
		const char *present, *absent;
	} rows[] = {
		{"GET", NULL, "Accept-Encoding: identity\r\n",
		 "Content-Length"},
		{"GET", NULL, "User-Agent: tester/1\r\n", "Cookie"},
		{"POST", "abc", "Content-Length: 3\r\n", "Content-Type"},
		{"POST", NULL, "Content-Length: 0\r\n", "Content-Type"},
		{"PUT", "abc", "Content-Length: 3\r\n", "Expect"},
		{"PUT", NULL, "Content-Length: 0\r\n", "Transfer-Encoding"},
		{"PATCH", "abc", "Content-Length: 3\r\n", "Transfer-Encoding"},
		{"DELETE", NULL, "Host: 127.0.0.1", "Content-Length"},
		{"DELETE", "abc", "Content-Length: 3\r\n", "Content-Type"},
	};
	struct fixture *f = *state;

	expect_body(START(f, "/cookie"), "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *b = rows[i].body;
		char *seen = body_of(START(f, "/a/../b?c=%2F",
					   .method = rows[i].method, .body = b,
					   .body_bytes = b ? strlen(b) : 0));
		char line[64];

		snprintf(line, sizeof(line), "%s /a/../b?c=%%2F HTTP/1.1\r\n",
			 rows[i].method);
		assert_int_equal(strncmp(seen, line, strlen(line)), 0);
		assert_non_null(strstr(seen, rows[i].present));
		assert_null(strstr(seen, rows[i].absent));
		assert_null(strstr(seen, "Authorization"));
		assert_string_equal(strstr(seen, "\r\n\r\n") + 4, b ? b : "");
		free(seen);
	}
}

static void test_request_headers(void **state)
{
	static const char *const headers[] = {
		"Content-Type: application/octet-stream",
		"Authorization: Bearer x", "Range: bytes=0-9", NULL};
	static char big[200000];
	struct fixture *f = *state;
	char *seen = body_of(START(f, "/", .method = "PUT", .body = "x",
				   .body_bytes = 1, .headers = headers));

	for (int i = 0; headers[i]; i++)
		assert_non_null(strstr(seen, headers[i]));
	free(seen);
	/* Larger than what curl would have asked permission for. */
	memset(big, 'y', sizeof(big));
	seen = body_of(START(f, "/", .method = "PUT", .body = big,
			     .body_bytes = sizeof(big)));
	assert_null(strstr(seen, "Expect"));
	assert_int_equal(strlen(strstr(seen, "\r\n\r\n")), 4 + sizeof(big));
	free(seen);
}

static void test_refused_here(void **state)
{
	static const char *const injected[] = {"A: b\r\nC: d", NULL};
	static const char *const shapeless[] = {"nothing", NULL};
	static const struct http_spec specs[] = {
		{.method = "GET", .url = "ftp://127.0.0.1/"},
		{.method = "GET", .url = "file:///etc/passwd"},
		{.method = "GET", .url = "http://user@127.0.0.1/"},
		{.method = "GET", .url = "http://127.0.0.1/a b"},
		{.method = "GET", .url = "127.0.0.1"},
		{.method = "TRACE", .url = "http://127.0.0.1/"},
		{.method = "G\r\nET", .url = "http://127.0.0.1/"},
		{.method = "GET",
		 .url = "http://127.0.0.1/",
		 .headers = injected},
		{.method = "GET",
		 .url = "http://127.0.0.1/",
		 .headers = shapeless},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
		struct http_transfer *t = NULL;

		assert_int_equal(http_start(f->h, &specs[i], &t), 0);
		read_failing(t, HTTP_FAIL_LOCAL);
		http_close(t);
	}
}

static void test_offline(void **state)
{
	struct fixture *f = *state;
	struct http_config off = config;
	struct http *before = f->h;
	struct http_transfer *t;

	off.offline = true;
	assert_int_equal(http_new(&off, &f->h), 0);
	t = START(f, "/hello");
	read_failing(t, HTTP_FAIL_LOCAL);
	http_close(t);
	http_free(f->h);
	f->h = before;
	assert_int_equal(f->s.connections, 0);
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_keep_alive),
		WITH_SERVER(test_bodies),
		WITH_SERVER(test_failures),
		WITH_SERVER(test_half_head),
		WITH_SERVER(test_too_large),
		WITH_SERVER(test_window),
		WITH_SERVER(test_cancel),
		WITH_SERVER(test_deadline),
		WITH_SERVER(test_read_all),
		WITH_SERVER(test_requests),
		WITH_SERVER(test_request_headers),
		WITH_SERVER(test_refused_here),
		WITH_SERVER(test_offline),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
