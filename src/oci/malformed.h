/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The one way to say that a document from outside is wrong. */
struct json_error;

/* -EBADMSG, the text put into err (may be NULL). */
int malformed(struct json_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
