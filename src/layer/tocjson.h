/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Splits the JSON of a table of contents, as it streams by, into the elements
 * of its `entries`: a whole parse costs some 80 bytes of memory for each byte
 * of it, this never more than for one element.  Not thread safe.
 *
 * -EBADMSG: no such document, or over a limit; nothing follows then.
 */
#include <stddef.h>

#define TOCJSON_DEPTH_MAX 8 /* of an element */
#define TOCJSON_KEY_MAX 64  /* of a member of the document */

struct tocjson;

/* The text of an object, as far as its brackets and strings tell: not parsed
 * yet, NUL-terminated, lent.  Non-zero stops. */
typedef int (*tocjson_fn)(void *arg, const char *element, size_t len);

int tocjson_new(tocjson_fn fn, void *arg, struct tocjson **ret);
void tocjson_free(struct tocjson *t); /* NULL is fine */
int tocjson_feed(struct tocjson *t, const void *bytes, size_t len);
int tocjson_end(struct tocjson *t);
/* "" if it was not the document's fault. */
const char *tocjson_error(const struct tocjson *t);
