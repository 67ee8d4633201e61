/* SPDX-License-Identifier: Apache-2.0 */
#include "http-fixture.h"

#include <poll.h>

#include "util/encode.h"
#include "util/hash.h"
#include "util/metric.h"

/* What the server saw of the bodies below /up/. */
static struct {
	atomic_ullong bytes;
	atomic_int whole; /* bodies that came to their proper end */
	atomic_int chunked;
} seen;

struct body_reader {
	int fd;
	bool chunked;
	uint64_t left; /* in the body, or in the chunk */
	bool ended;
};

static bool read_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && recv(fd, line + n, 1, 0) == 1) {
		line[++n] = '\0';
		if (line[n - 1] == '\n')
			return true;
	}
	return false;
}

static void body_begin(struct body_reader *b, struct server_connection *c,
		       const struct server_request *q)
{
	const char *length = strstr(q->head, "\r\nContent-Length: ");

	*b = (struct body_reader){.fd = c->fd};
	b->chunked = strstr(q->head, "\r\nTransfer-Encoding: chunked\r\n");
	/* Exactly one of them. */
	assert(b->chunked != (length != NULL));
	if (length)
		b->left = strtoull(length + 18, NULL, 10);
	atomic_fetch_add(&seen.chunked, b->chunked);
}

static bool next_chunk(struct body_reader *b)
{
	char line[64];

	if (!read_line(b->fd, line, sizeof(line)))
		return false;
	b->left = strtoull(line, NULL, 16);
	if (b->left > 0)
		return true;
	b->ended = read_line(b->fd, line, sizeof(line));
	return false;
}

/* 0 at the end, proper or not: b->ended. */
static size_t body_read(struct body_reader *b, char *buf, size_t n)
{
	char end[2];
	ssize_t r;

	if (b->chunked && b->left == 0 && !next_chunk(b))
		return 0;
	if (b->left == 0) {
		b->ended = true;
		return 0;
	}
	r = recv(b->fd, buf, n < b->left ? n : (size_t)b->left, 0);
	if (r <= 0)
		return 0;
	b->left -= (size_t)r;
	atomic_fetch_add(&seen.bytes, (unsigned long long)r);
	if (b->chunked && b->left == 0)
		assert(recv(b->fd, end, 2, MSG_WAITALL) == 2);
	return (size_t)r;
}

/* Takes up to max bytes.  True: it is whole, and `hex` its hash. */
static bool body_take(struct body_reader *b, uint64_t max, char *hex)
{
	uint8_t digest[HASH_MAX];
	char *part = malloc(65536);
	uint64_t total = 0;
	struct hash hash;
	size_t n;

	assert(part);
	hash_init(&hash, HASH_SHA256);
	while (total < max && (n = body_read(b, part, 65536)) > 0) {
		hash_update(&hash, part, n);
		total += n;
	}
	free(part);
	hash_final(&hash, digest);
	hex_encode(digest, 32, hex);
	atomic_fetch_add(&seen.whole, b->ended);
	return b->ended;
}

static bool say_hash(struct server_connection *c, const char *hex)
{
	char head[256];

	snprintf(head, sizeof(head),
		 "HTTP/1.1 201 Created\r\nContent-Length: 64\r\n\r\n%s", hex);
	return server_say(c, head);
}

/* Ends the connection so that what was said arrives, whatever else comes. */
static bool linger(struct server_connection *c)
{
	shutdown(c->fd, SHUT_WR);
	server_hang(c);
	return false;
}

#define REFUSED "Content-Length: 7\r\n\r\nrefused"

static bool serve_upload(struct server_connection *c,
			 const struct server_request *q)
{
	const char *p = q->target + 4;
	struct body_reader b;
	char hex[65];

	body_begin(&b, c, q);
	if (strcmp(p, "take") == 0)
		return body_take(&b, UINT64_MAX, hex) && say_hash(c, hex);
	if (strcmp(p, "slow-answer") == 0 || strcmp(p, "mute") == 0) {
		if (!body_take(&b, UINT64_MAX, hex))
			return false;
		if (*p == 'm')
			server_hang(c);
		usleep(400000);
		return say_hash(c, hex);
	}
	if (strcmp(p, "never") == 0) {
		while (poll(&(struct pollfd){.fd = c->fd, .events = POLLRDHUP},
			    1, 10000) == 0)
			continue;
		return false;
	}
	if (strcmp(p, "die-if-kept") == 0 && c->served > 0)
		return false;
	if (strcmp(p, "die-if-kept") == 0)
		return body_take(&b, UINT64_MAX, hex) && say_hash(c, hex);
	body_take(&b, 100000, hex);
	if (strcmp(p, "cut") == 0)
		return false;
	if (strcmp(p, "401") == 0)
		return server_say(c, "HTTP/1.1 401 No\r\n" REFUSED) &&
		       linger(c);
	if (strcmp(p, "413") == 0)
		return server_say(c, "HTTP/1.1 413 Large\r\n"
				     "Connection: close\r\n" REFUSED) &&
		       linger(c);
	/* Answered well, but too early. */
	return server_say(c, "HTTP/1.1 202 OK\r\n" REFUSED) && linger(c);
}

static int setup_upload(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	f->s.upload = serve_upload;
	memset(&seen, 0, sizeof(seen));
	return 0;
}

static int setup_impatient_upload(void **state)
{
	struct fixture *f;

	setup_impatient(state);
	f = *state;
	f->s.upload = serve_upload;
	memset(&seen, 0, sizeof(seen));
	return 0;
}

/* A body's bytes: the noise again and again. */
#define NOISE ((size_t)1000003)
static char noise[2 * NOISE];

static void make_noise(void)
{
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < NOISE; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		noise[i] = noise[i + NOISE] = (char)x;
	}
}

static void hash_noise(uint64_t bytes, char *hex)
{
	uint8_t digest[HASH_MAX];
	struct hash hash;

	hash_init(&hash, HASH_SHA256);
	for (; bytes > NOISE; bytes -= NOISE)
		hash_update(&hash, noise, NOISE);
	hash_update(&hash, noise, (size_t)bytes);
	hash_final(&hash, digest);
	hex_encode(digest, 32, hex);
}

/* All of buf or nothing; in two parts where the room ends in between. */
static int send_bytes(struct http_transfer *t, const char *buf, size_t len,
		      struct wait *w)
{
	while (len > 0) {
		void *room;
		ssize_t n = http_send_room(t, len, w, &room);

		if (n < 0)
			return (int)n;
		assert_true(n > 0 && (size_t)n <= len);
		memcpy(room, buf, (size_t)n);
		http_send_filled(t, (size_t)n);
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Sends the body's bytes from..to, at most `piece` at once; what send_bytes
 * said last. */
static int send_noise(struct http_transfer *t, uint64_t from, uint64_t to,
		      size_t piece)
{
	struct wait w;
	int r = 0;

	wait_init(&w, 20000, 0);
	while (r == 0 && from < to) {
		size_t n = to - from < piece ? (size_t)(to - from) : piece;

		if (n > NOISE)
			n = NOISE;
		r = send_bytes(t, noise + from % NOISE, n, &w);
		from += n;
	}
	return r;
}

#define UPLOAD(f, path, m, bytes, ...)                                         \
	START(f, path, .method = m, .upload = true, .upload_bytes = bytes,     \
	      __VA_ARGS__)

static void expect_hash(struct http_transfer *t, uint64_t bytes)
{
	char hex[65];

	hash_noise(bytes, hex);
	assert_int_equal(head_of(t)->status, 201);
	assert_int_equal(http_sent_bytes(t), bytes);
	expect_body(t, hex);
}

static void test_lengths(void **state)
{
	static const uint64_t lengths[] = {0, 1, 65536, 1048576, 3000001};
	static const size_t pieces[] = {1000000, 1, 65536, 4096, 700000};
	static const char *const methods[] = {"PUT", "PATCH", "POST", "PATCH",
					      "PUT"};
	struct fixture *f = *state;
	int64_t before = metric_get(METRIC_HTTP_BYTES_OUT);
	int64_t total = 0;

	for (int known = 0; known < 2; known++)
		for (size_t i = 0; i < 5; i++) {
			uint64_t n = lengths[i];
			struct http_transfer *t;

			t = UPLOAD(f, "/up/take", methods[i],
				   known ? n : HTTP_UPLOAD_UNKNOWN,
				   .http1 = true);
			assert_int_equal(send_noise(t, 0, n, pieces[i]), 0);
			http_send_end(t);
			expect_hash(t, n);
			total += (int64_t)n;
		}
	assert_int_equal(f->s.connections, 1);
	assert_int_equal(seen.chunked, 5);
	assert_int_equal(seen.whole, 10);
	assert_int_equal(metric_get(METRIC_HTTP_BYTES_OUT) - before, total);
}

static void test_large(void **state)
{
	struct http_transfer *t;

	for (int known = 0; known < 2; known++) {
		t = UPLOAD(*state, "/up/take", "PATCH",
			   known ? 64 * MIB : HTTP_UPLOAD_UNKNOWN,
			   .http1 = true);
		assert_int_equal(send_noise(t, 0, 64 * MIB, 131072), 0);
		http_send_end(t);
		expect_hash(t, 64 * MIB);
	}
}

/* More at once than is held for the connection. */
static void test_large_piece(void **state)
{
	size_t n = 5 * MIB / 2;
	char *bytes = malloc(n);
	struct http_transfer *t;
	struct wait w;

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = noise[i % NOISE];
	wait_init(&w, 10000, 0);
	t = UPLOAD(*state, "/up/take", "PUT", n + 10);
	assert_int_equal(send_bytes(t, bytes, 10, &w), 0);
	assert_int_equal(send_bytes(t, noise + 10, 0, &w), 0);
	memmove(bytes, bytes + 10, n - 10);
	for (size_t i = n - 10; i < n; i++)
		bytes[i] = noise[(i + 10) % NOISE];
	assert_int_equal(send_bytes(t, bytes, n, &w), 0);
	http_send_end(t);
	expect_hash(t, n + 10);
	free(bytes);
}

/* Nobody gives anything for much longer than a stall may take. */
static void test_slow_sender(void **state)
{
	for (int known = 0; known < 2; known++) {
		struct http_transfer *t;

		t = UPLOAD(*state, "/up/take", "PATCH",
			   known ? 30000 : HTTP_UPLOAD_UNKNOWN);
		if (!known)
			usleep(impatient.stall_ms * 1500);
		assert_int_equal(send_noise(t, 0, 20000, 1000), 0);
		if (known)
			usleep(impatient.stall_ms * 1500);
		assert_int_equal(http_failure(t), HTTP_FAIL_NONE);
		assert_int_equal(send_noise(t, 20000, 30000, 100), 0);
		if (!known)
			usleep(impatient.stall_ms * 1500);
		http_send_end(t);
		expect_hash(t, 30000);
	}
}

static void expect_failure(struct http_transfer *t, enum http_fail fail)
{
	const struct http_head *head;
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_int_equal(http_wait_head(t, &w, &head), -EIO);
	if (http_failure(t) != fail)
		print_message("%s\n", http_failure_text(t));
	assert_int_equal(http_failure(t), fail);
	http_close(t);
}

/* The other side takes nothing. */
static void test_stalled_reader(void **state)
{
	uint64_t before;

	for (int known = 0; known < 2; known++) {
		struct http_transfer *t;

		t = UPLOAD(*state, "/up/never", "PATCH",
			   known ? 64 * MIB : HTTP_UPLOAD_UNKNOWN);
		before = clock_ms();
		assert_int_equal(send_noise(t, 0, 64 * MIB - 1, 100000),
				 -EPIPE);
		assert_in_range(clock_ms() - before, impatient.stall_ms, 2000);
		expect_failure(t, HTTP_FAIL_STALL);
	}
	assert_int_equal(seen.whole, 0);
}

static void test_answer_time(void **state)
{
	struct http_transfer *t;
	uint64_t before;

	t = UPLOAD(*state, "/up/slow-answer", "PUT", 70000, .answer_ms = 5000);
	send_noise(t, 0, 70000, 7000);
	http_send_end(t);
	expect_hash(t, 70000);
	for (int i = 0; i < 2; i++) {
		before = clock_ms();
		t = UPLOAD(*state, "/up/mute", "PUT",
			   i ? 1000 : HTTP_UPLOAD_UNKNOWN,
			   .answer_ms = i ? 400 : 0);
		send_noise(t, 0, 1000, 1000);
		http_send_end(t);
		expect_failure(t, HTTP_FAIL_STALL);
		assert_in_range(clock_ms() - before, i ? 400 : 200, 2000);
	}
}

static void test_refused_early(void **state)
{
	static const char *const paths[] = {"/up/401", "/up/413", "/up/202"};
	static const int statuses[] = {401, 413, 202};
	struct fixture *f = *state;

	for (int i = 0; i < 12; i++) {
		bool known = i % 2, idle = i / 6;
		struct http_transfer *t;

		t = UPLOAD(f, paths[i / 2 % 3], "PATCH",
			   known ? 64 * MIB : HTTP_UPLOAD_UNKNOWN,
			   .http1 = true);
		/* It comes while bytes flow, or while nobody gives any. */
		if (idle)
			assert_int_equal(send_noise(t, 0, 100000, 100000), 0);
		else
			assert_int_equal(send_noise(t, 0, 64 * MIB - 1, 130000),
					 -EPIPE);
		assert_int_equal(head_of(t)->status, statuses[i / 2 % 3]);
		assert_int_equal(send_noise(t, 0, 1, 1), -EPIPE);
		http_send_end(t);
		expect_body(t, "refused");
		/* The rest of that body is never taken for a request. */
		assert_int_equal(f->s.connections, i + 1);
		server_drop(&f->s);
		expect_body(START(f, "/hello"), "hello");
	}
	assert_int_equal(f->s.requests, 24);
}

static void test_cut(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct http_transfer *t;

		t = UPLOAD(*state, "/up/cut", "PATCH",
			   i % 2 ? 64 * MIB : HTTP_UPLOAD_UNKNOWN);
		if (i / 2) {
			send_noise(t, 0, 150000, 150000);
			usleep(20000);
		}
		/* Noticed at the latest when more is to be sent. */
		assert_int_equal(send_noise(t, 150000, 64 * MIB - 1, 130000),
				 -EPIPE);
		expect_failure(t, HTTP_FAIL_RESET);
	}
	assert_int_equal(seen.whole, 0);
}

static void test_short(void **state)
{
	static const uint64_t given[] = {0, 1, 99999};
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		struct http_transfer *t;
		struct wait w;

		wait_init(&w, 10000, 0);
		t = UPLOAD(f, "/up/take", "PUT", 100000);
		assert_int_equal(send_noise(t, 0, given[i], 9999), 0);
		if (i % 2)
			usleep(50000);
		http_send_end(t);
		assert_int_equal(send_bytes(t, "x", 1, &w), -EINVAL);
		read_failing(t, HTTP_FAIL_LOCAL);
		http_close(t);
	}
	server_drop(&f->s);
	assert_int_equal(seen.whole, 0);
}

static void test_too_much(void **state)
{
	struct http_transfer *t = UPLOAD(*state, "/up/take", "PUT", 10);
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_int_equal(send_bytes(t, noise, 11, &w), -EINVAL);
	assert_int_equal(send_bytes(t, noise, 9, &w), 0);
	assert_int_equal(send_bytes(t, noise + 9, 2, &w), -EINVAL);
	assert_int_equal(send_bytes(t, noise + 9, 1, &w), 0);
	assert_int_equal(send_bytes(t, noise, 1, &w), -EINVAL);
	http_send_end(t);
	expect_hash(t, 10);
	t = START(*state, "/hello");
	assert_int_equal(send_bytes(t, noise, 1, &w), -EINVAL);
	expect_body(t, "hello");
	for (int i = 0; i < 3; i++) {
		struct http_spec spec = {.upload = true,
					 .method = i ? "PUT" : "GET",
					 .body = i == 1 ? "x" : NULL,
					 .upload_bytes = UINT64_MAX - 1};

		t = start(*state, "/up/take", spec);
		read_failing(t, HTTP_FAIL_LOCAL);
		http_close(t);
	}
}

static void test_close(void **state)
{
	static const char *const paths[] = {"/up/take", "/up/never"};
	struct fixture *f = *state;
	uint64_t before = clock_ms();

	for (int i = 0; i < 24; i++) {
		uint64_t total = i % 2 ? 4 * MIB : HTTP_UPLOAD_UNKNOWN;
		struct http_transfer *t;

		t = UPLOAD(f, paths[i / 2 % 2], "PATCH", total);
		if (i % 3 > 0)
			send_noise(t, 0, 500000, 100000);
		if (i % 3 == 1)
			usleep(10000);
		http_close(t);
	}
	assert_in_range(clock_ms() - before, 0, 1000);
	server_drop(&f->s);
	assert_in_range(clock_ms() - before, 0, 2000);
	assert_int_equal(seen.whole, 0);
	expect_body(START(f, "/hello"), "hello");
}

/* Nothing of the caller's piece is taken when time is up. */
static void test_deadline(void **state)
{
	struct http_transfer *t;
	uint64_t given = 0;
	struct wait w;
	int r;

	t = UPLOAD(*state, "/up/never", "PATCH", 64 * MIB);
	do {
		wait_init(&w, 100, 0);
		r = send_bytes(t, noise, 100000, &w);
		given += r == 0 ? 100000 : 0;
	} while (r == 0);
	assert_int_equal(r, -ETIMEDOUT);
	assert_in_range(given - http_sent_bytes(t), MIB - 100000, MIB + 200000);
	wait_init(&w, 5000, WAIT_CANCELLABLE);
	wait_interrupt(&w);
	assert_int_equal(send_bytes(t, noise, 100000, &w), -EINTR);
	assert_int_equal(http_failure(t), HTTP_FAIL_NONE);
	http_close(t);
}

/* A kept connection that turns out to be dead: libcurl tries another one, but
 * only if nothing of the body is lost by that. */
static void test_dead_connection(void **state)
{
	struct fixture *f = *state;
	struct http_transfer *t;

	for (int known = 0; known < 2; known++) {
		uint64_t n = known ? 10000 : HTTP_UPLOAD_UNKNOWN;

		expect_body(START(f, "/hello"), "hello");
		t = UPLOAD(f, "/up/die-if-kept", "PATCH", known ? 0 : n);
		http_send_end(t);
		expect_hash(t, 0);
		t = UPLOAD(f, "/up/die-if-kept", "PATCH", n);
		send_noise(t, 0, 10000, 10000);
		usleep(20000);
		http_send_end(t);
		expect_failure(t, HTTP_FAIL_RESET);
	}
	assert_int_equal(seen.whole, 2);
}

static void *many_uploads(void *arg)
{
	struct fixture f = *(struct fixture *)arg;

	for (int i = 0; i < 12; i++) {
		uint64_t n = i % 2 ? 2500000 : HTTP_UPLOAD_UNKNOWN;
		struct http_transfer *t;

		t = UPLOAD(&f, "/up/take", "PATCH", n);
		send_noise(t, 0, 2500000, 10000 + (size_t)i * 9999);
		http_send_end(t);
		expect_hash(t, 2500000);
		t = UPLOAD(&f, i % 3 ? "/up/401" : "/up/cut", "PUT", n);
		send_noise(t, 0, 2500000, 130000);
		http_close(t);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct fixture *f = *state;
	struct fixture shared = {.h = f->h};
	pthread_t threads[8];

	shared.s.port = f->s.port;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many_uploads,
						&shared),
				 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(seen.whole, 96);
}

/* The engine goes away under a caller that waits for room. */
static void *send_for_ever(void *arg)
{
	assert_int_equal(send_noise(arg, 0, 64 * MIB, 100000), -EPIPE);
	expect_failure(arg, HTTP_FAIL_CANCELLED);
	return NULL;
}

static void test_free_with_open(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	pthread_create(&thread, NULL, send_for_ever,
		       UPLOAD(f, "/up/never", "PATCH", 64 * MIB));
	usleep(100000);
	http_free(f->h);
	f->h = NULL;
	pthread_join(thread, NULL);
}

#define WITH_SERVER(f)                                                         \
	cmocka_unit_test_setup_teardown(f, setup_upload, teardown)
#define IMPATIENT(f)                                                           \
	cmocka_unit_test_setup_teardown(f, setup_impatient_upload, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_lengths),
		WITH_SERVER(test_large),
		WITH_SERVER(test_large_piece),
		IMPATIENT(test_slow_sender),
		IMPATIENT(test_stalled_reader),
		IMPATIENT(test_answer_time),
		WITH_SERVER(test_refused_early),
		WITH_SERVER(test_cut),
		WITH_SERVER(test_short),
		WITH_SERVER(test_too_much),
		WITH_SERVER(test_close),
		WITH_SERVER(test_deadline),
		WITH_SERVER(test_dead_connection),
		WITH_SERVER(test_many_threads),
		WITH_SERVER(test_free_with_open),
	};

	forget_proxies();
	make_noise();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
