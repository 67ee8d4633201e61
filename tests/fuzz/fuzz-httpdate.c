/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP dates and RFC 3339 times; what is read is within the years 0 to 10000
 * (a zone may lead out of 1 to 9999) and, within 1 to 9999, reads back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define TEXT_MAX 256
#define DAY 86400
#define FIRST (-62135596800LL)
#define LAST 253402300800LL /* with a leap second */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
	if (!good)
		abort();
}

static void check_wall(int64_t wall)
{
	struct timespec back;
	char text[32];

	check(wall >= FIRST - DAY && wall <= LAST + DAY);
	clock_format_rfc3339(wall, text);
	check(clock_parse_rfc3339(text, &back) == 0);
	if (wall >= FIRST && wall < LAST)
		check(back.tv_sec == wall);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[TEXT_MAX];
	struct timespec time;
	int64_t wall;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (clock_parse_http_date(text, &wall) == 0)
		check_wall(wall);
	if (clock_parse_rfc3339(text, &time) == 0) {
		check(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
		check_wall(time.tv_sec);
	}
	return 0;
}
