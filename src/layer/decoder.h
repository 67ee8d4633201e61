/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the codecs share behind codec.h: a decoder begins with struct decoder,
 * and a codec is a table of functions over it.  A new codec is one file and
 * one row in codec.c.
 */
#include "layer/codec.h"

struct codec_ops {
	const char *name;
	size_t size; /* of the codec's own decoder, struct decoder first */
	/* `p` is NULL: from the start.  The memory is zeroed, the shared part
	 * filled in; `done` is called also after a failure. */
	int (*init)(struct decoder *d, const struct codec_point *p,
		    const void *window, size_t len);
	void (*done)(struct decoder *d);
	int (*run)(struct decoder *d, struct decoder_io *io);
	/* The window at the point just reported; its length. */
	size_t (*window)(const struct decoder *d, uint8_t *window);
};

struct decoder {
	const struct codec_ops *ops;
	uint64_t in_off, out_off; /* taken and made, of the whole stream */
	uint64_t spacing_bytes, due_off;
	struct codec_point point;
	int failure; /* what every later call returns */
	char error[128];
};

/* How much output may be made until a point is due; SIZE_MAX: any. */
size_t decoder_room(const struct decoder *d);
bool decoder_due(const struct decoder *d);
/* DECODER_POINT, here. */
int decoder_mark(struct decoder *d, uint64_t in_off, uint8_t bits);
/* Notes the reason, returns -EBADMSG. */
int decoder_damaged(struct decoder *d, const char *reason);
/* Moves on by so many bytes. */
void decoder_took(struct decoder *d, struct decoder_io *io, size_t bytes);
void decoder_made(struct decoder *d, struct decoder_io *io, size_t bytes);
