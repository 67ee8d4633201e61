/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void ticks(void **state)
{
	uint64_t start = clock_ms();

	usleep(20000);
	assert_in_range(clock_ms() - start, 20, 1500);
	assert_true(time(NULL) - clock_wall() <= 1);
}

static void rfc3339(void **state)
{
	static const struct {
		const char *s;
		int64_t sec;
		long nsec;
	} t[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"1985-04-12T23:20:50.52Z", 482196050, 520000000},
		{"1996-12-19T16:39:57-08:00", 851042397, 0},
		{"1990-12-31T23:59:60Z", 662688000, 0},
		{"1937-01-01T12:00:27.87+00:20", -1041337173, 870000000},
		{"2024-02-29t12:00:00z", 1709208000, 0},
		{"1970-01-02T00:00:00+23:59", 60, 0},
		{"2000-02-29T00:00:00-00:00", 951782400, 0},
		{"0001-01-01T00:00:00Z", -62135596800, 0},
		{"9999-12-31T23:59:59.999999999Z", 253402300799, 999999999},
		{"2020-01-01T00:00:00.1234567891234Z", 1577836800, 123456789},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct timespec got = {0};

		assert_int_equal(clock_parse_rfc3339(t[i].s, &got), 0);
		assert_int_equal(got.tv_sec, t[i].sec);
		assert_int_equal(got.tv_nsec, t[i].nsec);
	}
}

static void rfc3339_bad(void **state)
{
	static const char *const t[] = {
		"",
		"2020",
		"2020-01-01",
		"2020-01-01T00:00:00",
		"2020-01-01 00:00:00Z",
		"2020-01-01T00:00:00Zx",
		"2020-01-01T00:00:00.Z",
		"2020-01-01T00:00:00,5Z",
		"2020-00-01T00:00:00Z",
		"2020-13-01T00:00:00Z",
		"2020-01-00T00:00:00Z",
		"2020-04-31T00:00:00Z",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2020-01-01T24:00:00Z",
		"2020-01-01T00:60:00Z",
		"2020-01-01T00:00:61Z",
		"0000-01-01T00:00:00Z",
		"20200-01-01T00:00:00Z",
		"-2020-01-01T00:00:00Z",
		"2020-1-01T00:00:00Z",
		"2020-01-01T00:00:00+0100",
		"2020-01-01T00:00:00+24:00",
		"2020-01-01T00:00:00+01:60",
		"2020-01-01T00:00:00+01",
		" 2020-01-01T00:00:00Z",
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct timespec got = {7, 8};

		assert_int_equal(clock_parse_rfc3339(t[i], &got), -EINVAL);
		assert_int_equal(got.tv_sec, 7);
		assert_int_equal(got.tv_nsec, 8);
	}
}

static void formats(void **state)
{
	static const struct {
		int64_t wall;
		const char *s;
	} t[] = {
		{0, "1970-01-01T00:00:00Z"},
		{1709208000, "2024-02-29T12:00:00Z"},
		{-1, "1969-12-31T23:59:59Z"},
		{-62135596800, "0001-01-01T00:00:00Z"},
		{253402300799, "9999-12-31T23:59:59Z"},
		{INT64_MIN, "0001-01-01T00:00:00Z"},
		{INT64_MAX, "9999-12-31T23:59:59Z"},
	};
	char out[32];

	for (size_t i = 0; i < COUNT(t); i++) {
		clock_format_rfc3339(t[i].wall, out);
		assert_string_equal(out, t[i].s);
	}
}

static void http_date(void **state)
{
	/* The three forms of RFC 9110 5.6.7. */
	static const struct {
		const char *s;
		int64_t wall;
	} t[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
		{"Sun Nov  6 08:49:37 1994", 784111777},
		{"Wed Nov 16 08:49:37 1994", 784975777},
		{"Thu, 29 Feb 2024 23:59:60 GMT", 1709251200},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		int64_t got = 1;

		assert_int_equal(clock_parse_http_date(t[i].s, &got), 0);
		assert_int_equal(got, t[i].wall);
	}
}

/* Two digits mean the year that is at most 50 years ahead. */
static void http_date_century(void **state)
{
	time_t now = time(NULL);
	struct tm tm;
	int64_t got;
	char text[64];

	gmtime_r(&now, &tm);
	for (int ahead = 49; ahead <= 52; ahead += 3) {
		snprintf(text, sizeof(text), "Monday, 15-Jun-%02u 00:00:00 GMT",
			 (unsigned int)(tm.tm_year + ahead) % 100);
		assert_int_equal(clock_parse_http_date(text, &got), 0);
		assert_int_equal(got > now, ahead == 49);
	}
}

static void http_date_bad(void **state)
{
	static const char *const t[] = {
		"",
		"120",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 CET",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Xxx, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Xxx 1994 08:49:37 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994",
		"Sun Nov  6 08:49:37 1994 GMT",
		"1994-11-06T08:49:37Z",
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		int64_t got = 7;

		assert_int_equal(clock_parse_http_date(t[i], &got), -EINVAL);
		assert_int_equal(got, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticks),
		cmocka_unit_test(rfc3339),
		cmocka_unit_test(rfc3339_bad),
		cmocka_unit_test(formats),
		cmocka_unit_test(http_date),
		cmocka_unit_test(http_date_century),
		cmocka_unit_test(http_date_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
