/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the rows_*.c files have in common: how values look in columns. */
#include <errno.h>
#include <string.h>

#include "oci/descriptor.h"
#include "oci/digest.h"
#include "store/db.h"

#define ROW_KEY_MAX (1 + HASH_MAX)
#define ROW_SIZE_MAX ((int64_t)DESCRIPTOR_SIZE_MAX)
/* Hosts, repositories, identities, tags, names. */
#define ROW_NAME_MAX 4096

/* A digest as a column: the algorithm's byte, the raw digest.  Its length. */
static inline size_t row_key(const struct digest *d, uint8_t out[ROW_KEY_MAX])
{
	size_t n = hash_size(d->alg);

	out[0] = (uint8_t)d->alg;
	memcpy(out + 1, d->raw, n);
	return n + 1;
}

static inline int row_get_digest(const struct query *q, int col,
				 struct digest *ret)
{
	struct digest d = {0};
	const void *bytes;
	const uint8_t *p;
	size_t n;
	int r = query_get_blob(q, col, ROW_KEY_MAX, &bytes, &n);

	if (r < 0)
		return r;
	p = bytes;
	if (n < 1 || p[0] > HASH_SHA512)
		return -EBADMSG;
	d.alg = p[0] == HASH_SHA512 ? HASH_SHA512 : HASH_SHA256;
	if (n != 1 + hash_size(d.alg))
		return -EBADMSG;
	memcpy(d.raw, p + 1, n - 1);
	*ret = d;
	return 0;
}

/* Sizes may be unknown: kept as -1. */
static inline int64_t row_size(uint64_t size_bytes)
{
	return size_bytes <= DESCRIPTOR_SIZE_MAX ? (int64_t)size_bytes : -1;
}

static inline int row_get_size(const struct query *q, int col, uint64_t *ret)
{
	int64_t v = 0;
	int r = query_get_int(q, col, -1, ROW_SIZE_MAX, &v);

	if (r == 0)
		*ret = v < 0 ? DESCRIPTOR_SIZE_UNKNOWN : (uint64_t)v;
	return r;
}

/* For the outside all failures of the database are one, but for memory. */
static inline int row_result(int r)
{
	return r == -ENOSPC || r == -EBADMSG ? -EIO : r;
}
