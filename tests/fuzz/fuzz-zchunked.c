/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By the first byte the rest is: j the JSON, p the packed table, a the values
 * of annotations, one a line, f the end of a blob.  The digest of a table is
 * always the right one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "layer/estargz.h"
#include "layer/zchunked.h"
#include "toc-check.h"
#include "util/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *packed, size_t packed_len)
{
	struct toc_claim c = {.kind = TOC_ZCHUNKED};
	uint8_t digest[HASH_MAX];

	hash_once(HASH_SHA256, packed, packed_len, digest);
	memcpy(c.digest, digest, sizeof(c.digest));
	toc_check(&c, packed, packed_len);
}

static void check_json(const uint8_t *json, size_t len)
{
	size_t room = ZSTD_compressBound(len), n;
	uint8_t *packed = malloc(room);

	if (!packed)
		abort();
	n = ZSTD_compress(packed, room, json, len, 1);
	if (ZSTD_isError(n))
		abort();
	check(packed, n);
	free(packed);
}

/* An empty line is none. */
static const char *annotation(const void *arg, const char *key)
{
	static const char *const keys[] = {
		ZCHUNKED_CHECKSUM_KEY,	   ZCHUNKED_POSITION_KEY,
		ZCHUNKED_OLD_CHECKSUM_KEY, ZCHUNKED_OLD_POSITION_KEY,
		ESTARGZ_DIGEST_KEY,
	};
	const char *const *lines = arg;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strcmp(keys[i], key) == 0)
			return lines[i] && *lines[i] ? lines[i] : NULL;
	}
	return NULL;
}

static void check_annotations(const uint8_t *data, size_t len)
{
	char *text = calloc(1, len + 1), *rest = text;
	const char *lines[5] = {NULL};
	struct toc_claim c = {.kind = TOC_NONE};
	struct toc_place p;

	if (!text)
		abort();
	memcpy(text, data, len);
	for (int i = 0; i < 5; i++)
		lines[i] = strsep(&rest, "\n");
	if (toc_claim_read(annotation, lines, &c) == 0 && c.packed_bytes &&
	    toc_locate(&c, NULL, 0, TOC_CHECK_OFF, &p) == 0 &&
	    (p.off != c.off || p.packed_bytes != c.packed_bytes ||
	     p.packed_bytes > TOC_CHECK_OFF - p.off))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t blob_bytes = 5000;

	if (size < 2)
		return 0;
	if (data[0] == 'j') {
		check_json(data + 1, size - 1);
	} else if (data[0] == 'p') {
		check(data + 1, size - 1);
	} else if (data[0] == 'a') {
		check_annotations(data + 1, size - 1);
	} else {
		toc_check_locate(TOC_ZCHUNKED, data + 1, size - 1, size - 1);
		for (; blob_bytes < UINT64_MAX / 3; blob_bytes *= 3)
			toc_check_locate(TOC_ZCHUNKED, data + 1, size - 1,
					 blob_bytes);
	}
	return 0;
}
