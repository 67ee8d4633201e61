/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time: a monotonic clock that counts suspend (CLOCK_BOOTTIME), and RFC 3339 /
 * RFC 9110 dates. */
#include <stdint.h>
#include <time.h>

uint64_t clock_ms(void);
int64_t clock_wall(void); /* seconds since 1970 */
/* RFC 3339 with fraction and zone; years 0001 to 9999.  -EINVAL. */
int clock_parse_rfc3339(const char *s, struct timespec *ret);
void clock_format_rfc3339(int64_t wall, char out[32]);
/* IMF-fixdate and the two obsolete forms of RFC 9110 5.6.7.  -EINVAL. */
int clock_parse_http_date(const char *s, int64_t *ret);
