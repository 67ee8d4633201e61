/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What one kind of table of contents adds to what all have in common: a row in
 * the table of toc.c.  Private to the readers of tables.
 */
#include "layer/toc.h"
#include "util/json.h"

#define TOC_HEAD_MAX ((size_t)512)

struct toc_format {
	enum toc_kind kind;
	enum codec codec;
	/* Bytes of the blob just before the packed table that frame it. */
	uint64_t frame_bytes;
	/* Leaves *ret alone if the annotations declare no such table. */
	int (*claim)(toc_annotation_fn get, const void *arg,
		     struct toc_claim *ret);
	int (*footer)(const uint8_t *tail, size_t tail_len, uint64_t blob_bytes,
		      struct toc_place *ret);
	/* Decoded bytes before the JSON, TOC_HEAD_MAX at most, and what they
	 * say of its length; NULL: it is all that there is. */
	size_t head_bytes;
	int (*head)(const uint8_t *head, uint64_t *ret_json_bytes,
		    struct json_error *err);
};

/* Always -EBADMSG. */
int toc_fail(struct json_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "sha256:" and 64 hexadecimal digits.  -EBADMSG. */
int toc_digest_parse(const char *text, uint8_t ret[32]);
