/* SPDX-License-Identifier: Apache-2.0 */
#include "http/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/watch.h"

static const struct retry_policy policy = {5, 500, 30000};

static enum retry_verdict decide(unsigned attempt, int status,
				 enum http_fail fail)
{
	struct retry_event e = {
		.attempt = attempt,
		.status = status,
		.fail = fail,
		.left_ms = 60000,
		.random = 12345,
	};
	uint64_t delay = 0;

	return retry_decide(&policy, &e, &delay);
}

/* How often each outcome is tried in all. */
static const struct {
	int status;
	enum http_fail fail;
	unsigned attempts;
} worth_rows[] = {
	{0, HTTP_FAIL_REFUSED, 2},   {0, HTTP_FAIL_DNS, 1},
	{0, HTTP_FAIL_DNS_AGAIN, 5}, {0, HTTP_FAIL_UNREACHABLE, 5},
	{0, HTTP_FAIL_CONNECT, 5},   {0, HTTP_FAIL_TLS, 1},
	{0, HTTP_FAIL_PEER, 1},	     {0, HTTP_FAIL_STALL, 5},
	{0, HTTP_FAIL_RESET, 5},     {0, HTTP_FAIL_SHORT, 5},
	{0, HTTP_FAIL_PROTOCOL, 2},  {0, HTTP_FAIL_TOO_LARGE, 1},
	{0, HTTP_FAIL_CANCELLED, 1}, {0, HTTP_FAIL_LOCAL, 1},
	{200, HTTP_FAIL_RESET, 5},   {206, HTTP_FAIL_SHORT, 5},
	{400, HTTP_FAIL_NONE, 1},    {401, HTTP_FAIL_NONE, 1},
	{403, HTTP_FAIL_NONE, 1},    {404, HTTP_FAIL_NONE, 1},
	{408, HTTP_FAIL_NONE, 5},    {416, HTTP_FAIL_NONE, 1},
	{425, HTTP_FAIL_NONE, 5},    {429, HTTP_FAIL_NONE, 5},
	{500, HTTP_FAIL_NONE, 2},    {501, HTTP_FAIL_NONE, 2},
	{502, HTTP_FAIL_NONE, 5},    {503, HTTP_FAIL_NONE, 5},
	{504, HTTP_FAIL_NONE, 5},    {507, HTTP_FAIL_NONE, 2},
	{522, HTTP_FAIL_NONE, 5},    {600, HTTP_FAIL_NONE, 1},
};

static void test_worth(void **state)
{
	for (size_t i = 0; i < sizeof(worth_rows) / sizeof(*worth_rows); i++) {
		unsigned n = 1;

		print_message("%d %d\n", worth_rows[i].status,
			      worth_rows[i].fail);
		while (n < 10 && decide(n, worth_rows[i].status,
					worth_rows[i].fail) == RETRY_AFTER)
			n++;
		assert_int_equal(n, worth_rows[i].attempts);
	}
}

static void test_jitter(void **state)
{
	static const uint64_t tops[] = {500,  1000,  2000,  4000,
					8000, 16000, 30000, 30000};
	struct retry_policy many = {100, 500, 30000};

	for (unsigned n = 1; n <= 8; n++) {
		struct retry_event e = {
			.attempt = n, .status = 503, .left_ms = 100000};
		uint64_t low = 1, high = 0;

		e.random = 0;
		assert_int_equal(retry_decide(&many, &e, &low), RETRY_AFTER);
		e.random = tops[n - 1];
		assert_int_equal(retry_decide(&many, &e, &high), RETRY_AFTER);
		assert_int_equal(low, 0);
		assert_int_equal(high, tops[n - 1]);
		e.random = tops[n - 1] + 1;
		assert_int_equal(retry_decide(&many, &e, &high), RETRY_AFTER);
		assert_int_equal(high, 0);
	}
	/* No overflow however many attempts. */
	struct retry_event e = {.attempt = 99,
				.status = 503,
				.left_ms = 100000,
				.random = UINT64_MAX};
	uint64_t delay;

	assert_int_equal(retry_decide(&many, &e, &delay), RETRY_AFTER);
	assert_true(delay <= 30000);
}

static void test_budget(void **state)
{
	struct retry_event e = {
		.attempt = 4, .status = 503, .left_ms = 1000, .random = 3999};
	uint64_t delay = 0;

	assert_int_equal(retry_decide(&policy, &e, &delay), RETRY_AFTER);
	assert_int_equal(delay, 500);
	e.left_ms = 0;
	assert_int_equal(retry_decide(&policy, &e, &delay), RETRY_GIVE_UP);
}

static void test_retry_after(void **state)
{
	static const struct {
		uint64_t after_s, left_ms;
		bool again;
	} rows[] = {
		{1, 60000, true},
		{59, 60000, true},
		{60, 60000, false},
		{61, 60000, false},
		{1, 1000, false},
		{1, 1001, true},
		{1, 999, false},
		{UINT64_MAX, UINT64_MAX, false},
		{UINT64_MAX / 1000 + 1, 60000, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct retry_event e = {
			.attempt = 1,
			.status = 429,
			.has_retry_after = true,
			.retry_after_s = rows[i].after_s,
			.left_ms = rows[i].left_ms,
			.random = 499,
		};
		uint64_t delay = 0;

		print_message("%zu\n", i);
		assert_int_equal(retry_decide(&policy, &e, &delay),
				 rows[i].again ? RETRY_AFTER : RETRY_GIVE_UP);
		if (!rows[i].again)
			continue;
		assert_true(delay >= rows[i].after_s * 1000);
		assert_true(delay <= rows[i].after_s * 1000 + 500);
		assert_true(delay < rows[i].left_ms);
	}
}

/* The stall rule, which decides when an attempt has failed. */
static const struct http_config times = {.connect_ms = 5000,
					 .tls_ms = 10000,
					 .first_byte_ms = 15000,
					 .stall_ms = 30000};

static void test_watch_phases(void **state)
{
	struct http_config none = {0};
	struct watch w = {.times = &times};

	watch_enter(&w, WATCH_CONNECT, 1000);
	assert_int_equal(w.limit_ms, 6000);
	watch_tcp_up(&w);
	assert_int_equal(w.limit_ms, 11000);
	watch_enter(&w, WATCH_HEAD, 2000);
	assert_int_equal(w.limit_ms, 17000);
	watch_enter(&w, WATCH_BODY, 3000);
	assert_int_equal(w.limit_ms, 33000);
	w.times = &none;
	watch_enter(&w, WATCH_BODY, 3000);
	watch_progress(&w, 1 << 20, 4000);
	assert_true(w.limit_ms == UINT64_MAX);
	watch_enter(&w, WATCH_CONNECT, 3000);
	assert_true(w.limit_ms == UINT64_MAX);
}

/* When a body at this rate is given up; 0: never within an hour. */
static uint64_t stalled_after(uint64_t bytes_per_s)
{
	struct watch w = {.times = &times};

	watch_enter(&w, WATCH_BODY, 0);
	for (uint64_t now = 0; now < 3600000; now += 250) {
		watch_progress(&w, bytes_per_s * now / 1000, now);
		if (now >= w.limit_ms)
			return now;
	}
	return 0;
}

static void test_watch_stall(void **state)
{
	struct watch w = {.times = &times};

	assert_int_equal(stalled_after(0), 30000);
	assert_in_range(stalled_after(512), 59000, 61000);
	assert_in_range(stalled_after(1), 30000, 30100 + 250);
	assert_int_equal(stalled_after(1024), 0);
	assert_int_equal(stalled_after(1 << 20), 0);

	/* Plenty at first does not buy more than stall_ms of silence. */
	watch_enter(&w, WATCH_BODY, 0);
	watch_progress(&w, (uint64_t)1 << 40, 1000);
	assert_int_equal(w.limit_ms, 31000);
	/* While the reader is slow the clock stands. */
	watch_excuse(&w, ((uint64_t)1 << 40) + 5, 500000);
	assert_int_equal(w.limit_ms, 530000);
	watch_progress(&w, ((uint64_t)1 << 40) + 1029, 520000);
	assert_int_equal(w.limit_ms, 531000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worth),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_watch_phases),
		cmocka_unit_test(test_watch_stall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
