/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Hex, base64 (RFC 4648, standard and URL alphabets), percent encoding and
 * UTF-8.  Those that add to a string leave it unchanged when they fail.
 */
#include <stddef.h>
#include <stdint.h>

#include "util/str.h"

void hex_encode(const uint8_t *in, size_t n, char *out /* 2n+1 */);
/* Lower case only, exactly 2n characters: -EINVAL otherwise. */
int hex_decode(const char *in, size_t in_len, uint8_t *out, size_t n);
int base64_encode(const void *in, size_t n, struct str *out);
/* Accepts either alphabet, padding optional; -EINVAL on anything else. */
int base64_decode(const char *in, size_t n, struct str *out);
/* Everything but RFC 3986 unreserved characters, and those in `keep`. */
int percent_encode(const char *in, const char *keep, struct str *out);
/* -EINVAL also for an encoded NUL: the result is used as a C string. */
int percent_decode(const char *in, size_t n, struct str *out);
/* Bytes (1 to 4) of the valid UTF-8 sequence at the start; 0: there is none. */
size_t utf8_sequence(const char *s, size_t n);
/* The same, and 0 for what a terminal or a reader of lines could take for a
 * command: C0, DEL, C1. */
size_t utf8_plain(const char *s, size_t n);
/* Adds text; bytes that are not plain, or in `also`, as \xNN. */
int escape_text(const char *in, const char *also, struct str *out);
