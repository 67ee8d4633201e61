/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is zstd in a skippable frame behind the data; annotations say
 * where, and so does a last skippable frame, which nothing vouches for.
 *
 * stargz-snapshotter declares two digests, of the packed bytes and of the JSON
 * (with the key of eStargz).  The former is used: what it does not cover need
 * not be decoded.  Next to the keys of containers, the key of eStargz means two
 * tables, which no reader of those accepts.
 */
#include "layer/zchunked.h"

#include <errno.h>
#include <string.h>

#include "layer/estargz.h"

#define FRAME_BYTES ((size_t)8) /* magic and length of a skippable frame */
#define FOOTER_BYTES ((size_t)64)
#define FOOTER_OLD_BYTES ((size_t)40)
#define MAGIC_BYTES ((size_t)8)
#define TYPE_CRFS 1

/* Up to a colon or the end. */
static int parse_number(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > ((uint64_t)INT64_MAX - digit) / 10)
			return -EBADMSG;
		v = v * 10 + digit;
	}
	if (p == *s || (*p && *p != ':'))
		return -EBADMSG;
	*s = p;
	*ret = v;
	return 0;
}

/* "offset:packed:decoded:type" */
static int parse_position(const char *text, struct toc_claim *c)
{
	uint64_t v[4] = {0};

	for (int i = 0; i < 4; i++) {
		if (i > 0 && *text++ != ':')
			return -EBADMSG;
		if (parse_number(&text, &v[i]) < 0)
			return -EBADMSG;
	}
	if (*text || v[3] != TYPE_CRFS || v[1] == 0 || v[2] == 0)
		return -EBADMSG;
	c->off = v[0];
	c->packed_bytes = v[1];
	c->json_bytes = v[2];
	return 0;
}

static int claim(toc_annotation_fn get, const void *arg, struct toc_claim *ret)
{
	const char *checksum = get(arg, ZCHUNKED_CHECKSUM_KEY);
	const char *position = get(arg, ZCHUNKED_POSITION_KEY);
	const char *json_digest = get(arg, ESTARGZ_DIGEST_KEY);
	struct toc_claim c = {.kind = TOC_ZCHUNKED};
	int r;

	if (checksum && json_digest)
		return -EBADMSG;
	if (!checksum) {
		checksum = get(arg, ZCHUNKED_OLD_CHECKSUM_KEY);
		position = get(arg, ZCHUNKED_OLD_POSITION_KEY);
	}
	if (!checksum && position && json_digest) {
		checksum = json_digest;
		c.digest_of_json = true;
	}
	if (!checksum)
		return 0;
	r = toc_digest_parse(checksum, c.digest);
	if (r == 0 && position)
		r = parse_position(position, &c);
	if (r == 0)
		*ret = c;
	return r;
}

static uint64_t le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

/* The last skippable frame's payload of that length, or NULL. */
static const uint8_t *find_footer(const uint8_t *tail, size_t len,
				  size_t footer_bytes)
{
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18};
	const uint8_t *p;

	if (len < FRAME_BYTES + footer_bytes)
		return NULL;
	p = tail + len - footer_bytes;
	if (memcmp(p - FRAME_BYTES, skippable, sizeof(skippable)) != 0 ||
	    le(p - 4, 4) != footer_bytes)
		return NULL;
	return p;
}

static int parse_footer(const uint8_t *p, size_t footer_bytes,
			uint64_t blob_bytes, struct toc_place *ret)
{
	const uint8_t *magic = p + footer_bytes - MAGIC_BYTES;
	struct toc_place place = {
		.off = le(p, 8),
		.packed_bytes = le(p + 8, 8),
		.json_bytes = le(p + 16, 8),
	};
	uint64_t end = blob_bytes - footer_bytes - FRAME_BYTES;

	/* The first containers wrote their own magic into 40 bytes, too. */
	if (memcmp(magic, "GNUlInUx", MAGIC_BYTES) != 0 &&
	    (footer_bytes != FOOTER_OLD_BYTES ||
	     memcmp(magic, "GnUlInUx", MAGIC_BYTES) != 0))
		return -EBADMSG;
	if (le(p + 24, 8) != TYPE_CRFS || place.off > end ||
	    place.packed_bytes > end - place.off || place.json_bytes == 0)
		return -EBADMSG;
	*ret = place;
	return 0;
}

static int footer(const uint8_t *tail, size_t tail_len, uint64_t blob_bytes,
		  struct toc_place *ret)
{
	static const size_t sizes[] = {FOOTER_BYTES, FOOTER_OLD_BYTES};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		const uint8_t *p = find_footer(tail, tail_len, sizes[i]);

		if (p && blob_bytes >= sizes[i] + FRAME_BYTES)
			return parse_footer(p, sizes[i], blob_bytes, ret);
	}
	return -EBADMSG;
}

const struct toc_format zchunked_format = {
	.kind = TOC_ZCHUNKED,
	.codec = CODEC_ZSTD,
	.frame_bytes = FRAME_BYTES,
	.claim = claim,
	.footer = footer,
};
