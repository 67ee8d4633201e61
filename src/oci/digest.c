/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests become file names, URL parts and cache keys, so only what is wholly
 * understood gets past the parser: a known algorithm, lower case, the exact
 * length (CVE-2024-3727, CVE-2014-9358 came of less).  One content has one
 * spelling only.
 */
#include "oci/digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/encode.h"

#define SHORT_LEN 19

static const struct {
	const char *name;
	enum hash_alg alg;
} algs[] = {
	{"sha256", HASH_SHA256},
	{"sha512", HASH_SHA512},
};

static int parse(const char *alg, size_t alg_len, const char *hex,
		 size_t hex_len, struct digest *ret)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
		struct digest d = {.alg = algs[i].alg};

		if (strlen(algs[i].name) != alg_len ||
		    memcmp(algs[i].name, alg, alg_len) != 0)
			continue;
		if (hex_decode(hex, hex_len, d.raw, hash_size(d.alg)) < 0)
			return -EINVAL;
		*ret = d;
		return 0;
	}
	return -EINVAL;
}

int digest_parsen(const char *s, size_t n, struct digest *ret)
{
	const char *colon = n ? memchr(s, ':', n) : NULL;
	size_t alg_len;

	if (!colon)
		return -EINVAL;
	alg_len = (size_t)(colon - s);
	return parse(s, alg_len, colon + 1, n - alg_len - 1, ret);
}

int digest_parse(const char *s, struct digest *ret)
{
	return digest_parsen(s, strlen(s), ret);
}

int digest_parse_parts(const char *alg, const char *hex, struct digest *ret)
{
	return parse(alg, strlen(alg), hex, strlen(hex), ret);
}

const char *digest_alg_name(const struct digest *d)
{
	return algs[d->alg].name;
}

void digest_hex(const struct digest *d, char out[129])
{
	hex_encode(d->raw, hash_size(d->alg), out);
}

void digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
	int n = snprintf(out, DIGEST_TEXT_MAX, "%s:", digest_alg_name(d));

	hex_encode(d->raw, hash_size(d->alg), out + n);
}

void digest_short(const struct digest *d, char out[24])
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	memcpy(out, text, SHORT_LEN);
	out[SHORT_LEN] = '\0';
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->alg == b->alg &&
	       memcmp(a->raw, b->raw, hash_size(a->alg)) == 0;
}

void digest_of(enum hash_alg alg, const void *bytes, size_t n,
	       struct digest *ret)
{
	struct digest d = {.alg = alg};

	hash_once(alg, bytes, n, d.raw);
	*ret = d;
}
