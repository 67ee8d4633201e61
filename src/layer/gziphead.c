/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ISA-L has a header reader, but it wants room for names and loses the
 * header's sum when the input comes in pieces.
 */
#include "layer/gziphead.h"

#include <errno.h>
#include <isa-l/crc.h>

enum {
	FLAG_TEXT = 1,
	FLAG_HCRC = 2,
	FLAG_EXTRA = 4,
	FLAG_NAME = 8,
	FLAG_COMMENT = 16,
	FLAG_RESERVED = 0xe0
};

enum field {
	FIELD_ID1,
	FIELD_ID2,
	FIELD_METHOD,
	FIELD_FLAGS,
	FIELD_REST, /* time, extra flags, system */
	FIELD_EXTRA_LEN,
	FIELD_EXTRA,
	FIELD_NAME,
	FIELD_COMMENT,
	FIELD_HCRC,
	FIELD_END
};

void gziphead_init(struct gziphead *h)
{
	*h = (struct gziphead){.field = FIELD_ID1};
}

/* The next field that this header has. */
static int next(struct gziphead *h, enum field f)
{
	h->value = 0;
	h->left = 0;
	if (f == FIELD_EXTRA_LEN && !(h->flags & FLAG_EXTRA))
		f = FIELD_NAME;
	if (f == FIELD_NAME && !(h->flags & FLAG_NAME))
		f = FIELD_COMMENT;
	if (f == FIELD_COMMENT && !(h->flags & FLAG_COMMENT))
		f = FIELD_HCRC;
	if (f == FIELD_HCRC && !(h->flags & FLAG_HCRC))
		f = FIELD_END;
	if (f == FIELD_EXTRA_LEN || f == FIELD_HCRC)
		h->left = 2;
	h->field = (uint8_t)f;
	return f == FIELD_END;
}

/* Two bytes, the low one first; true after the second. */
static bool short_done(struct gziphead *h, uint8_t byte)
{
	h->value = h->value >> 8 | (uint32_t)byte << 8;
	return --h->left == 0;
}

static int refuse(struct gziphead *h, const char *reason)
{
	h->error = reason;
	return -EBADMSG;
}

static int fixed(struct gziphead *h, uint8_t byte)
{
	if (h->field == FIELD_ID1 && byte != 0x1f)
		return refuse(h, "not a gzip member");
	if (h->field == FIELD_ID2 && byte != 0x8b)
		return refuse(h, "not a gzip member");
	if (h->field == FIELD_METHOD && byte != 8)
		return refuse(h, "unknown compression method");
	if (h->field == FIELD_FLAGS) {
		if (byte & FLAG_RESERVED)
			return refuse(h, "unknown header flags");
		h->flags = byte;
		h->left = 6;
	}
	h->field++;
	return 0;
}

static int extra_len(struct gziphead *h, uint8_t byte)
{
	uint32_t len;

	if (!short_done(h, byte))
		return 0;
	len = h->value;
	if (len == 0)
		return next(h, FIELD_NAME);
	h->field = FIELD_EXTRA;
	h->left = len;
	return 0;
}

static int hcrc(struct gziphead *h, uint8_t byte)
{
	if (!short_done(h, byte))
		return 0;
	if (h->value != (h->crc & 0xffff))
		return refuse(h, "wrong header checksum");
	return next(h, FIELD_END);
}

int gziphead_feed(struct gziphead *h, uint8_t byte)
{
	if (h->field == FIELD_HCRC)
		return hcrc(h, byte);
	h->crc = crc32_gzip_refl(h->crc, &byte, 1);
	switch (h->field) {
	case FIELD_REST:
		return --h->left ? 0 : next(h, FIELD_EXTRA_LEN);
	case FIELD_EXTRA_LEN:
		return extra_len(h, byte);
	case FIELD_EXTRA:
		return --h->left ? 0 : next(h, FIELD_NAME);
	case FIELD_NAME:
		return byte ? 0 : next(h, FIELD_COMMENT);
	case FIELD_COMMENT:
		return byte ? 0 : next(h, FIELD_HCRC);
	default:
		return fixed(h, byte);
	}
}
