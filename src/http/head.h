/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An answer's head, put together from the lines that libcurl hands over. */
#include "http/http.h"

#define HEAD_BYTES_MAX (64 * 1024) /* with interim answers and trailers */

enum head_state { HEAD_WANTS_STATUS, HEAD_IN_FIELDS, HEAD_COMPLETE };

struct head {
	struct http_head pub;
	enum head_state state;
	size_t cap;   /* of the two arrays */
	size_t bytes; /* of all lines so far */
};

/* One line with its line end.  Lines after HEAD_COMPLETE (trailers) are only
 * counted.  -EBADMSG: malformed or too much; -ENOMEM. */
int head_add_line(struct head *h, const char *line, size_t len);
/* The body's announced length, UINT64_MAX if there is none; -EBADMSG if it
 * could be read in two ways. */
int head_length(const struct http_head *h, uint64_t *ret);
/* Is the body a transformed representation (Content-Encoding)? */
bool head_encoded(const struct http_head *h);
void head_reset(struct head *h); /* frees; ready for a new answer */
