/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By the first byte the rest is: j the JSON, t the archive with the JSON, p the
 * packed table, f the end of a blob.  The digest is always the right one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "layer/toc.h"
#include "toc-check.h"
#include "util/hash.h"

#define HEAD 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stored, not compressed: fast, and the fuzzer sees its own bytes. */
static uint8_t *pack(const uint8_t *bytes, size_t len, size_t *ret_len)
{
	size_t room = len + len / 1000 + 1000;
	z_stream z = {.next_in = bytes,
		      .avail_in = (unsigned int)len,
		      .avail_out = (unsigned int)room};
	uint8_t *out = malloc(room);

	if (!out)
		abort();
	z.next_out = out;
	if (deflateInit2(&z, 0, Z_DEFLATED, 31, 8, 0) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	*ret_len = z.total_out;
	deflateEnd(&z);
	return out;
}

static void check(const uint8_t *packed, size_t packed_len, const void *json,
		  size_t json_len)
{
	struct toc_claim c = {.kind = TOC_ESTARGZ, .digest_of_json = true};
	uint8_t digest[HASH_MAX];

	hash_once(HASH_SHA256, json, json_len, digest);
	memcpy(c.digest, digest, sizeof(c.digest));
	toc_check(&c, packed, packed_len);
}

/* As long as its header says, if that can be. */
static void check_tar(const uint8_t *tar, size_t size)
{
	size_t json_len = 0, packed_len;
	uint8_t *packed;

	for (size_t i = 124; size > HEAD && i < 136; i++) {
		if (tar[i] >= '0' && tar[i] <= '7' && json_len < size)
			json_len = json_len * 8 + (size_t)(tar[i] - '0');
	}
	if (size <= HEAD || json_len > size - HEAD)
		json_len = 0;
	packed = pack(tar, size, &packed_len);
	check(packed, packed_len, json_len ? tar + HEAD : tar, json_len);
	free(packed);
}

static void check_json(const uint8_t *json, size_t len)
{
	uint8_t *tar = calloc(1, HEAD + len);

	if (!tar)
		abort();
	memcpy(tar, "stargz.index.json", 17);
	for (size_t i = 0, n = len; i < 11; i++, n /= 8)
		tar[134 - i] = (uint8_t)('0' + n % 8);
	memcpy(tar + HEAD, json, len);
	check_tar(tar, HEAD + len);
	free(tar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t blob_bytes = 5000;

	if (size < 2)
		return 0;
	if (data[0] == 'j') {
		check_json(data + 1, size - 1);
	} else if (data[0] == 't') {
		check_tar(data + 1, size - 1);
	} else if (data[0] == 'p') {
		check(data + 1, size - 1, "", 0);
	} else {
		toc_check_locate(TOC_ESTARGZ, data + 1, size - 1, size - 1);
		for (; blob_bytes < UINT64_MAX / 3; blob_bytes *= 3)
			toc_check_locate(TOC_ESTARGZ, data + 1, size - 1,
					 blob_bytes);
	}
	return 0;
}
