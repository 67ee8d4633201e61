/* SPDX-License-Identifier: Apache-2.0 */
#include "http-fixture.h"

static void expect_url_failure(struct fixture *f, const char *url,
			       enum http_fail fail)
{
	struct http_spec spec = {.method = "GET", .url = url};
	struct http_transfer *t;

	assert_int_equal(http_start(f->h, &spec, &t), 0);
	read_failing(t, fail);
	http_close(t);
}

/* A listener whose queue is full drops what else wants in. */
static void test_no_reply_to_connect(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	uint64_t before = clock_ms();
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int fillers[4];
	char url[64];

	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 0), 0);
	getsockname(listener, (struct sockaddr *)&a, &len);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fillers[i], (struct sockaddr *)&a, len);
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(a.sin_port));
	expect_url_failure(*state, url, HTTP_FAIL_CONNECT);
	assert_in_range(clock_ms() - before, 290, 2000);
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(listener);
}

static void test_unreachable(void **state)
{
	struct fixture *f = *state;
	struct server gone;
	char url[64];

	server_init(&gone);
	server_done(&gone);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", gone.port);
	expect_url_failure(f, url, HTTP_FAIL_REFUSED);
	/* No name server is asked for a name with an empty label. */
	expect_url_failure(f, "http://a..b/", HTTP_FAIL_DNS);
	/* A server that speaks no TLS. */
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", f->s.port);
	expect_url_failure(f, url, HTTP_FAIL_CONNECT);
}

static void test_peer(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *t;

	t = START(f, "/hello", .peer = HTTP_PEER_PRIVATE);
	read_failing(t, HTTP_FAIL_PEER);
	http_close(t);
	assert_int_equal(f->s.connections, 0);
	expect_body(START(f, "/hello", .peer = HTTP_PEER_LOOPBACK), "hello");
	/* Nor over a connection that is there already. */
	t = START(f, "/hello", .peer = HTTP_PEER_PUBLIC);
	read_failing(t, HTTP_FAIL_PEER);
	http_close(t);
	assert_int_equal(f->s.requests, 1);
}

static void test_proxy(void **state)
{
	struct fixture *f = *state;
	struct http *before = f->h;
	struct http_transfer *t;
	struct http_spec spec = {.method = "GET",
				 .url = "http://registry.invalid/v2/?x",
				 .peer = HTTP_PEER_PUBLIC,
				 .max_body_bytes = MIB};
	char *seen;

	setenv("http_proxy", url_of(f, ""), 1);
	setenv("no_proxy", "127.0.0.1", 1);
	assert_int_equal(http_new(&config, &f->h), 0);
	assert_int_equal(http_start(f->h, &spec, &t), 0);
	assert_int_equal(head_of(t)->peer, HTTP_PEER_ANY);
	seen = body_of(t);
	assert_non_null(
		strstr(seen, "GET http://registry.invalid/v2/?x HTTP/1.1"));
	free(seen);
	/* Past the proxy the address counts again. */
	t = START(f, "/hello", .peer = HTTP_PEER_PUBLIC);
	read_failing(t, HTTP_FAIL_PEER);
	http_close(t);
	http_free(f->h);
	f->h = before;
	unsetenv("http_proxy");
	unsetenv("no_proxy");
}

static void *wait_for_cancel(void *arg)
{
	read_failing(arg, HTTP_FAIL_CANCELLED);
	http_close(arg);
	return NULL;
}

static void test_free_with_open(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *kept, *full;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						wait_for_cancel,
						START(f, "/hang")),
				 0);
	kept = START(f, "/hang");
	full = START(f, "/bytes/10485760", .window_bytes = 65536);
	head_of(full);
	usleep(100000);
	http_free(f->h);
	f->h = NULL;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* What had come is still there. */
	assert_true(read_failing(full, HTTP_FAIL_CANCELLED) >= 65536);
	http_close(full);
	read_failing(kept, HTTP_FAIL_CANCELLED);
	http_close(kept);
	http_free(NULL);
}

/* Of forty transfers some are read, some cut, some left early. */
static void *mixed_work(void *arg)
{
	struct fixture f = *(struct fixture *)arg;

	for (int i = 0; i < 8; i++) {
		struct http_transfer *t;

		expect_body(START(&f, "/hello"), "hello");
		t = START(&f, "/bytes/200000", .window_bytes = 16384);
		if (i % 2)
			read_pattern(t, 200000, false);
		http_close(t);
		t = START(&f, "/cut");
		assert_int_equal(read_failing(t, HTTP_FAIL_SHORT), 5);
		http_close(t);
		http_close(START(&f, "/hello"));
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct fixture *f = *state;
	struct fixture shared = {.h = f->h};
	pthread_t threads[32];

	shared.s.port = f->s.port;
	for (int i = 0; i < 32; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, mixed_work, &shared),
			0);
	for (int i = 0; i < 32; i++)
		pthread_join(threads[i], NULL);
}

static void test_names(void **state)
{
	for (int i = HTTP_FAIL_NONE; i <= HTTP_FAIL_LOCAL; i++)
		for (int k = i + 1; k <= HTTP_FAIL_LOCAL + 1; k++)
			assert_string_not_equal(
				http_fail_name((enum http_fail)i),
				http_fail_name((enum http_fail)k));
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define IMPATIENT(f)                                                           \
	cmocka_unit_test_setup_teardown(f, setup_impatient, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMPATIENT(test_unreachable),
		IMPATIENT(test_no_reply_to_connect),
		WITH_SERVER(test_peer),
		WITH_SERVER(test_proxy),
		WITH_SERVER(test_free_with_open),
		WITH_SERVER(test_many_threads),
		cmocka_unit_test(test_names),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
