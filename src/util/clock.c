/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates are read by a small pattern matcher and not by strptime, which takes
 * what the locale says, skips blanks and lets fields be too short.
 */
#include "util/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define YEAR_1_WALL (-62135596800LL)  /* 0001-01-01T00:00:00Z */
#define YEAR_9999_WALL 253402300799LL /* 9999-12-31T23:59:59Z */

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int64_t clock_wall(void)
{
	return (int64_t)time(NULL);
}

struct date {
	int year, month, day, hour, minute, second; /* month, day from 1 */
};

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
				   "Thursday", "Friday", "Saturday"};

static bool scan_digits(const char **s, int n, int *ret)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return true;
}

/* One of the names, or its first `n` letters if n > 0; its index from 1. */
static bool scan_name(const char **s, const char *const *names, size_t count,
		      size_t n, int *ret)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = n ? n : strlen(names[i]);

		if (strncmp(*s, names[i], len) == 0) {
			*s += len;
			*ret = (int)i + 1;
			return true;
		}
	}
	return false;
}

static bool scan_field(const char **s, char field, struct date *d)
{
	int weekday;

	switch (field) {
	case 'a':
		return scan_name(s, days, 7, 3, &weekday);
	case 'A':
		return scan_name(s, days, 7, 0, &weekday);
	case 'b':
		return scan_name(s, months, 12, 3, &d->month);
	case 'Y':
		return scan_digits(s, 4, &d->year);
	case 'y':
		return scan_digits(s, 2, &d->year);
	case 'm':
		return scan_digits(s, 2, &d->month);
	case 'd':
		return scan_digits(s, 2, &d->day);
	case 'e': /* blank-padded */
		if (**s != ' ')
			return scan_digits(s, 2, &d->day);
		(*s)++;
		return scan_digits(s, 1, &d->day);
	case 'H':
		return scan_digits(s, 2, &d->hour);
	case 'M':
		return scan_digits(s, 2, &d->minute);
	case 'S':
		return scan_digits(s, 2, &d->second);
	default:
		return false;
	}
}

/* Letters of the pattern after % are fields, others stand for themselves in
 * either case.  Moves *s behind the match. */
static bool scan(const char **s, const char *pattern, struct date *d)
{
	const char *p = *s;

	for (; *pattern; pattern++) {
		if (*pattern == '%') {
			pattern++;
			if (!scan_field(&p, *pattern, d))
				return false;
		} else if (tolower((unsigned char)*p) !=
			   tolower((unsigned char)*pattern)) {
			return false;
		} else {
			p++;
		}
	}
	*s = p;
	return true;
}

static int month_days(int year, int month)
{
	static const char table[] = {31, 28, 31, 30, 31, 30,
				     31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return table[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* A leap second counts as the first second of the next minute. */
static bool date_valid(const struct date *d)
{
	return d->year >= 1 && d->year <= 9999 && d->month >= 1 &&
	       d->month <= 12 && d->day >= 1 &&
	       d->day <= month_days(d->year, d->month) && d->hour <= 23 &&
	       d->minute <= 59 && d->second <= 60;
}

static int64_t date_wall(const struct date *d)
{
	struct tm tm = {
		.tm_year = d->year - 1900,
		.tm_mon = d->month - 1,
		.tm_mday = d->day,
		.tm_hour = d->hour,
		.tm_min = d->minute,
		.tm_sec = d->second,
	};

	return (int64_t)timegm(&tm);
}

/* "Z" or "+hh:mm"; the seconds to take off. */
static bool scan_zone(const char **s, int *ret)
{
	struct date d = {0};
	int sign = **s == '-' ? -1 : 1;

	*ret = 0;
	if (scan(s, "Z", &d))
		return true;
	if (**s != '+' && **s != '-')
		return false;
	(*s)++;
	if (!scan(s, "%H:%M", &d) || d.hour > 23 || d.minute > 59)
		return false;
	*ret = sign * (d.hour * 3600 + d.minute * 60);
	return true;
}

int clock_parse_rfc3339(const char *s, struct timespec *ret)
{
	struct date d = {0};
	long nsec = 0, unit = 100000000;
	int zone;

	if (!scan(&s, "%Y-%m-%dT%H:%M:%S", &d) || !date_valid(&d))
		return -EINVAL;
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++, unit /= 10)
			nsec += (*s - '0') * unit;
	}
	if (!scan_zone(&s, &zone) || *s)
		return -EINVAL;
	ret->tv_sec = (time_t)(date_wall(&d) - zone);
	ret->tv_nsec = nsec;
	return 0;
}

void clock_format_rfc3339(int64_t wall, char out[32])
{
	char text[80]; /* what the compiler thinks that six ints may need */
	struct tm tm;
	time_t t;

	if (wall < YEAR_1_WALL)
		wall = YEAR_1_WALL;
	if (wall > YEAR_9999_WALL)
		wall = YEAR_9999_WALL;
	t = (time_t)wall;
	gmtime_r(&t, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ",
		 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		 tm.tm_min, tm.tm_sec);
	memcpy(out, text, sizeof("yyyy-mm-ddThh:mm:ssZ"));
}

/* RFC 9110 5.6.7: a two-digit year more than 50 years ahead is past. */
static int full_year(int two_digits, int64_t now)
{
	struct tm tm;
	time_t t = (time_t)now;
	int this_year, year;

	gmtime_r(&t, &tm);
	this_year = tm.tm_year + 1900;
	year = this_year - this_year % 100 + two_digits;
	if (year > this_year + 50)
		year -= 100;
	return year;
}

int clock_parse_http_date(const char *s, int64_t *ret)
{
	static const char *const patterns[] = {
		"%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
		"%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
		"%a %b %e %H:%M:%S %Y",	     /* asctime */
	};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		const char *p = s;
		struct date d = {0};

		if (!scan(&p, patterns[i], &d) || *p)
			continue;
		if (i == 1)
			d.year = full_year(d.year, clock_wall());
		if (!date_valid(&d))
			return -EINVAL;
		*ret = date_wall(&d);
		return 0;
	}
	return -EINVAL;
}
