/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is the body of a tar entry in a gzip member of its own, near the
 * end of the blob; an empty gzip member follows, whose extra field says where
 * the table begins.  In eStargz that is a sub-field "SG" (RFC 1952 2.3.1.1),
 * 51 bytes in all; stargz wrote the bare text, 47 bytes.  A footer that says
 * STARGZEXTERNALTOC points to another image: it is none here.
 */
#include "layer/estargz.h"

#include <errno.h>
#include <string.h>

#define FOOTER_BYTES ((size_t)51)
#define FOOTER_OLD_BYTES ((size_t)47)
#define EXTRA_OFF ((size_t)12) /* behind the gzip header and its XLEN */
#define SUBFIELD_BYTES ((size_t)4)
#define DIGITS 16
#define MAGIC "STARGZ"
#define MAGIC_BYTES (sizeof(MAGIC) - 1)

#define TAR_NAME "stargz.index.json"
#define TAR_SIZE_OFF 124
#define TAR_SIZE_BYTES 12
#define TAR_TYPE_OFF 156

static int claim(toc_annotation_fn get, const void *arg, struct toc_claim *ret)
{
	const char *digest = get(arg, ESTARGZ_DIGEST_KEY);
	struct toc_claim c = {.kind = TOC_ESTARGZ, .digest_of_json = true};
	int r;

	if (!digest)
		return 0;
	r = toc_digest_parse(digest, c.digest);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* "%016xSTARGZ" */
static int parse_text(const uint8_t *text, uint64_t *ret_off)
{
	uint64_t off = 0;

	for (int i = 0; i < DIGITS; i++) {
		int v = hex_value(text[i]);

		if (v < 0)
			return -EBADMSG;
		off = off << 4 | (uint64_t)v;
	}
	if (memcmp(text + DIGITS, MAGIC, MAGIC_BYTES) != 0)
		return -EBADMSG;
	*ret_off = off;
	return 0;
}

/* A deflate member whose only option is an extra field of that length. */
static bool gzip_header(const uint8_t *p, size_t extra_len)
{
	return p[0] == 0x1f && p[1] == 0x8b && p[2] == 8 && p[3] == 4 &&
	       p[10] == extra_len && p[11] == 0;
}

static int parse_footer(const uint8_t *tail, size_t len, size_t footer_bytes,
			uint64_t *ret_off)
{
	size_t subfield = footer_bytes == FOOTER_BYTES ? SUBFIELD_BYTES : 0;
	const uint8_t *p;

	if (len < footer_bytes)
		return -EBADMSG;
	p = tail + len - footer_bytes;
	if (!gzip_header(p, subfield + DIGITS + MAGIC_BYTES))
		return -EBADMSG;
	p += EXTRA_OFF;
	if (subfield && (p[0] != 'S' || p[1] != 'G' ||
			 p[2] != DIGITS + MAGIC_BYTES || p[3] != 0))
		return -EBADMSG;
	return parse_text(p + subfield, ret_off);
}

static int footer(const uint8_t *tail, size_t tail_len, uint64_t blob_bytes,
		  struct toc_place *ret)
{
	static const size_t sizes[] = {FOOTER_BYTES, FOOTER_OLD_BYTES};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t off, room = blob_bytes - sizes[i];

		if (blob_bytes < sizes[i] ||
		    parse_footer(tail, tail_len, sizes[i], &off) < 0)
			continue;
		if (off >= room)
			return -EBADMSG;
		*ret = (struct toc_place){.off = off,
					  .packed_bytes = room - off};
		return 0;
	}
	return -EBADMSG;
}

/* A full field of octal digits, or fewer and then blanks or NULs. */
static int parse_size(const uint8_t *field, uint64_t *ret)
{
	uint64_t v = 0;
	int i = 0;

	while (i < TAR_SIZE_BYTES && field[i] >= '0' && field[i] <= '7')
		v = v << 3 | (uint64_t)(field[i++] - '0');
	if (i == 0 || (i < TAR_SIZE_BYTES && field[i] && field[i] != ' '))
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* Every known writer uses a plain ustar header.  Its sum is not looked at: the
 * digest covers the body, and a wrong length fails that. */
static int head(const uint8_t *h, uint64_t *ret_json_bytes,
		struct json_error *err)
{
	if (memcmp(h, TAR_NAME, sizeof(TAR_NAME)) != 0)
		return toc_fail(err, "the table is not called " TAR_NAME);
	if (h[TAR_TYPE_OFF] != '0' && h[TAR_TYPE_OFF] != 0)
		return toc_fail(err, "the table is not a file");
	if (parse_size(h + TAR_SIZE_OFF, ret_json_bytes) < 0)
		return toc_fail(err, "the table's size is malformed");
	return 0;
}

const struct toc_format estargz_format = {
	.kind = TOC_ESTARGZ,
	.codec = CODEC_GZIP,
	.claim = claim,
	.footer = footer,
	.head_bytes = TOC_HEAD_MAX,
	.head = head,
};
