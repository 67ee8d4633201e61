/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A digest names content: "sha256:" + 64 or "sha512:" + 128 lower-case hex
 * (image-spec descriptor.md#digests).  Other algorithms are refused, so a
 * parsed digest is always safe in a path or a URL.  A value type, no I/O.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/hash.h"

#define DIGEST_TEXT_MAX (7 + 128 + 1)

struct digest {
	enum hash_alg alg;
	uint8_t raw[HASH_MAX]; /* hash_size(alg) bytes, the rest zero */
};

int digest_parse(const char *s, struct digest *ret); /* -EINVAL */
int digest_parsen(const char *s, size_t n, struct digest *ret);
/* From the two parts of blobs/ALG/HEX. */
int digest_parse_parts(const char *alg, const char *hex, struct digest *ret);
void digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX]);
void digest_hex(const struct digest *d, char out[129]);
const char *digest_alg_name(const struct digest *d); /* "sha256" */
bool digest_equal(const struct digest *a, const struct digest *b);
void digest_of(enum hash_alg alg, const void *bytes, size_t n,
	       struct digest *ret);
/* "sha256:6c1f…" cut to 19 characters, for logs. */
void digest_short(const struct digest *d, char out[24]);
