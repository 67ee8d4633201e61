/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window is a zstd frame with a checksum: a damaged one would give wrong
 * bytes that nothing else notices, because no sum covers what is read from the
 * middle of a gzip member.
 */
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "layer/codec.h"
#include "util/auto.h"

#define LEVEL 3

static void free_context(ZSTD_CCtx **c)
{
	ZSTD_freeCCtx(*c);
}

int window_pack(const void *window, size_t len, uint8_t **ret, size_t *ret_len)
{
	__attribute__((cleanup(free_context))) ZSTD_CCtx *c = NULL;
	autofree uint8_t *packed = NULL;
	size_t cap, n;

	if (len > CODEC_WINDOW_MAX)
		return -EINVAL;
	if (len == 0) {
		*ret = NULL;
		*ret_len = 0;
		return 0;
	}
	cap = ZSTD_compressBound(len);
	packed = malloc(cap);
	c = ZSTD_createCCtx();
	if (!packed || !c)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	n = ZSTD_compress2(c, packed, cap, window, len);
	if (ZSTD_isError(n))
		return -ENOMEM;
	*ret = steal(&packed);
	*ret_len = n;
	return 0;
}

int window_unpack(const void *packed, size_t len, uint8_t *window,
		  size_t *ret_len)
{
	size_t n = 0;

	if (len) {
		n = ZSTD_decompress(window, CODEC_WINDOW_MAX, packed, len);
		if (ZSTD_isError(n) || n == 0)
			return -EBADMSG;
	}
	*ret_len = n;
	return 0;
}
