/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A server with canned answers and an engine that asks it, for the tests of
 * the engine. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "http-server.h"
#include "util/clock.h"

/* Not every test program uses all of them. */
#define HELPER static __attribute__((unused))
#define MIB ((uint64_t)1 << 20)
#define OK_HEAD "HTTP/1.1 200 OK\r\n"

/* Answers that never change: the path, and what is sent. */
static const struct canned {
	const char *path, *answer;
	bool close;
} canned[] = {
	{"/hello", OK_HEAD "Content-Length: 5\r\n\r\nhello", false},
	{"/empty", "HTTP/1.1 204 No Content\r\n\r\n", false},
	{"/interim",
	 "HTTP/1.1 100 Continue\r\nX: no\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
	 "Link: no\r\n\r\n" OK_HEAD "A: 1\r\na:  2 \r\n"
	 "Content-Length: 2\r\n\r\nok",
	 false},
	{"/trailer",
	 OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
		 "T: x\r\n\r\n",
	 false},
	{"/cookie", OK_HEAD "Set-Cookie: canary=1\r\nContent-Length: 0\r\n\r\n",
	 false},
	{"/redirect",
	 "HTTP/1.1 307 Go\r\nLocation: /hello\r\nContent-Length: 2\r\n\r\nxx",
	 false},
	{"/close-delimited", OK_HEAD "\r\nuntil the end", true},
	{"/cut", OK_HEAD "Content-Length: 10\r\n\r\nhello", true},
	{"/cut-chunk",
	 OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true},
	{"/bad-chunk",
	 OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
	 true},
	{"/nothing", "", true},
	{"/half-head", OK_HEAD "A: b\r\n", true},
	{"/not-http", "220 mail.test ESMTP\r\n\r\n", true},
	{"/no-colon", OK_HEAD "what is this\r\n\r\n", true},
	{"/two-lengths",
	 OK_HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", true},
	{"/same-lengths",
	 OK_HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false},
	{"/negative", OK_HEAD "Content-Length: -1\r\n\r\n", true},
	{"/huge", OK_HEAD "Content-Length: 99999999999999999999\r\n\r\n", true},
	{"/switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nxxx",
	 true},
	{"/gzip",
	 OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
	 false},
	{"/gzip-error",
	 "HTTP/1.1 404 No\r\nContent-Encoding: gzip\r\n"
	 "Content-Length: 5\r\n\r\nhello",
	 false},
	{"/identity",
	 OK_HEAD "Content-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
	 false},
};

HELPER bool answer_echo(struct server_connection *c,
			const struct server_request *q)
{
	char head[128];
	bool none = strcmp(q->method, "HEAD") == 0;

	snprintf(head, sizeof(head), OK_HEAD "Content-Length: %zu\r\n\r\n",
		 strlen(q->head) + q->body_len);
	return server_say(c, head) &&
	       (none || (server_say(c, q->head) &&
			 server_send(c, q->body, q->body_len)));
}

HELPER bool answer_reset(struct server_connection *c)
{
	struct linger now = {.l_onoff = 1};

	server_say(c, OK_HEAD "Content-Length: 100000\r\n\r\n");
	server_pattern(c, 1000);
	usleep(20000);
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return false;
}

HELPER bool answer_bytes(struct server_connection *c, uint64_t n)
{
	char head[128];

	snprintf(head, sizeof(head), OK_HEAD "Content-Length: %llu\r\n\r\n",
		 (unsigned long long)n);
	return server_say(c, head) && server_pattern(c, n);
}

HELPER bool answer_chunked(struct server_connection *c, uint64_t n)
{
	server_say(c, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n");
	for (uint64_t i = 0; i < n; i++)
		if (!server_say(c, "1\r\nx\r\n"))
			return false;
	return server_say(c, "0\r\n\r\n");
}

/* Sends the same text for ever: as often as fits at once, or one by one. */
HELPER bool answer_endless(struct server_connection *c, const char *text,
			   useconds_t pause)
{
	char many[8192] = "";
	size_t n = strlen(text), len = 0;

	do {
		memcpy(many + len, text, n);
		len += n;
	} while (!pause && len + n <= sizeof(many));
	while (server_send(c, many, len))
		usleep(pause);
	return false;
}

HELPER bool server_answer(struct server_connection *c,
			  const struct server_request *q)
{
	const char *p = q->target;

	for (size_t i = 0; i < sizeof(canned) / sizeof(*canned); i++)
		if (strcmp(p, canned[i].path) == 0)
			return server_say(c, canned[i].answer) &&
			       !canned[i].close;
	if (strncmp(p, "/bytes/", 7) == 0)
		return answer_bytes(c, strtoull(p + 7, NULL, 10));
	if (strncmp(p, "/chunked/", 9) == 0)
		return answer_chunked(c, strtoull(p + 9, NULL, 10));
	if (strcmp(p, "/reset") == 0)
		return answer_reset(c);
	if (strcmp(p, "/flood") == 0)
		return server_say(c, OK_HEAD) &&
		       answer_endless(c, "A: bbbbbbbbbbbbbbbbbbbbbbbbbb\r\n",
				      0);
	if (strcmp(p, "/flood-interim") == 0)
		return answer_endless(c, "HTTP/1.1 103 E\r\nA: bbbbbbb\r\n\r\n",
				      0);
	if (strcmp(p, "/trickle-head") == 0)
		return server_say(c, OK_HEAD) &&
		       answer_endless(c, "A: b\r\n", 20000);
	if (strcmp(p, "/stall") == 0) {
		server_say(c, OK_HEAD "Content-Length: 100\r\n\r\nhello");
		server_hang(c);
		return false;
	}
	if (strcmp(p, "/hang") == 0) {
		server_hang(c);
		return false;
	}
	return answer_echo(c, q);
}

struct fixture {
	struct server s;
	struct http *h;
	char url[512];
};

/* Patient enough for a busy machine; where giving up is the point, the other
 * one is used. */
static const struct http_config config = {
	.connect_ms = 10000,
	.tls_ms = 10000,
	.first_byte_ms = 10000,
	.stall_ms = 10000,
	.user_agent = "tester/1",
};
static const struct http_config impatient = {
	.connect_ms = 300,
	.tls_ms = 300,
	.first_byte_ms = 200,
	.stall_ms = 200,
};

HELPER int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	server_init(&f->s);
	assert_int_equal(http_new(&config, &f->h), 0);
	*state = f;
	return 0;
}

HELPER int setup_impatient(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	http_free(f->h);
	assert_int_equal(http_new(&impatient, &f->h), 0);
	return 0;
}

HELPER int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->h);
	server_done(&f->s);
	free(f);
	return 0;
}

HELPER const char *url_of(struct fixture *f, const char *path)
{
	snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u%s", f->s.port,
		 path);
	return f->url;
}

HELPER struct http_transfer *start(struct fixture *f, const char *path,
				   struct http_spec spec)
{
	struct http_transfer *t = NULL;

	spec.url = url_of(f, path);
	if (!spec.method)
		spec.method = "GET";
	if (!spec.max_body_bytes)
		spec.max_body_bytes = 64 * MIB;
	assert_int_equal(http_start(f->h, &spec, &t), 0);
	return t;
}

#define START(f, path, ...) start(f, path, (struct http_spec){__VA_ARGS__})

static const struct http_head *head_of(struct http_transfer *t)
{
	const struct http_head *head = NULL;
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_int_equal(http_wait_head(t, &w, &head), 0);
	return head;
}

/* The rest of the body; closes. */
HELPER char *body_of(struct http_transfer *t)
{
	char *body = NULL;
	size_t len = 0;
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_int_equal(http_read_all(t, MIB, &w, &body, &len), 0);
	assert_int_equal(strlen(body), len);
	assert_int_equal(http_failure(t), HTTP_FAIL_NONE);
	http_close(t);
	return body;
}

HELPER void expect_body(struct http_transfer *t, const char *expected)
{
	char *body = body_of(t);

	assert_string_equal(body, expected);
	free(body);
}

/* Reads on to the failure; the number of bytes before it. */
HELPER size_t read_failing(struct http_transfer *t, enum http_fail fail)
{
	char part[1000];
	size_t total = 0;
	struct wait w;
	ssize_t n;

	wait_init(&w, 10000, 0);
	while ((n = http_read(t, part, sizeof(part), &w)) > 0)
		total += (size_t)n;
	assert_int_equal(n, -EIO);
	if (http_failure(t) != fail)
		print_message("%s\n", http_failure_text(t));
	assert_int_equal(http_failure(t), fail);
	assert_true(strlen(http_failure_text(t)) > 0);
	return total;
}

HELPER void read_pattern(struct http_transfer *t, uint64_t size, bool slowly)
{
	static _Thread_local char part[100000];
	uint64_t at = 0;
	struct wait w;
	ssize_t n;

	wait_init(&w, 20000, 0);
	while ((n = http_read(t, part, sizeof(part), &w)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (part[i] != server_byte(at + (uint64_t)i))
				fail_msg("wrong byte at %llu",
					 (unsigned long long)at);
		at += (uint64_t)n;
		if (slowly && at % 16 == 0)
			usleep(1000);
	}
	assert_int_equal(n, 0);
	assert_true(at == size);
}

/* The engine reads them when it is made. */
HELPER void forget_proxies(void)
{
	static const char *const variables[] = {
		"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
		"ALL_PROXY",  "no_proxy",    "NO_PROXY"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
		unsetenv(variables[i]);
}
