/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Parsers of header values from strangers.  Pure; bounded by HEADER_MAX. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER_MAX 16384
#define HEADER_CHALLENGES_MAX 16

/* WWW-Authenticate (RFC 9110 11.6.1; registries.md C.1). */
enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };
struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope, *error; /* NULL if absent */
};
struct challenges {
	struct challenge v[HEADER_CHALLENGES_MAX];
	size_t len;
};
/* Adds the challenges of one header line; 0, -EBADMSG (what was parsed before
 * the bad place stays), -ENOMEM. */
int header_parse_challenges(const char *value, struct challenges *ret);
void challenges_done(struct challenges *c);

/* Content-Range of a 206: strictly "bytes FIRST-LAST/TOTAL", or an asterisk
 * for the total (UINT64_MAX then).  -EBADMSG. */
struct content_range {
	uint64_t first, last, total;
};
int header_parse_content_range(const char *value, struct content_range *ret);

/* The target of rel="next" (RFC 8288), NULL if there is none; caller frees. */
int header_parse_link_next(const char *value, char **ret);

/* Retry-After: seconds or an HTTP date, relative to `now` (clock_wall());
 * -EBADMSG for rubbish, negative and past values give 0 seconds. */
int header_parse_retry_after(const char *value, int64_t now,
			     uint64_t *ret_seconds);
/* "100;w=21600" -> 100, 21600 (0 if no window). */
int header_parse_ratelimit(const char *value, uint64_t *ret_limit,
			   uint64_t *ret_window_s);
