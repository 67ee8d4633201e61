/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of codecs, what they share, and the one that does nothing.
 *
 * A point is due once spacing_bytes of output passed since the last one (or
 * the start); the codec reports it at the first place that can be one.
 */
#include "layer/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/decoder.h"
#include "layer/gzip.h"
#include "layer/zstd.h"
#include "util/auto.h"

AUTOPTR_DEFINE(decoder, decoder_free)

static int none_init(struct decoder *d, const struct codec_point *p,
		     const void *window, size_t len)
{
	(void)window;
	if (p && (p->in_off != p->out_off || p->bits || len))
		return -EINVAL;
	d->point.bits = 0;
	return 0;
}

static int none_run(struct decoder *d, struct decoder_io *io)
{
	while (io->in_len) {
		size_t n = io->in_len < io->out_len ? io->in_len : io->out_len;
		size_t room = decoder_room(d);

		if (decoder_due(d))
			return decoder_mark(d, d->in_off, 0);
		if (n > room)
			n = room;
		if (n == 0)
			return DECODER_MORE;
		memcpy(io->out, io->in, n);
		decoder_took(d, io, n);
		decoder_made(d, io, n);
	}
	return io->in_last ? DECODER_END : DECODER_MORE;
}

static const struct codec_ops none_codec = {
	.name = "tar",
	.size = sizeof(struct decoder),
	.init = none_init,
	.run = none_run,
};

static const struct codec_ops *const codecs[CODECS] = {
	[CODEC_NONE] = &none_codec,
	[CODEC_GZIP] = &gzip_codec,
	[CODEC_ZSTD] = &zstd_codec,
};

enum codec codec_sniff(const uint8_t *bytes, size_t len)
{
	if (gzip_probe(bytes, len))
		return CODEC_GZIP;
	if (zstd_probe(bytes, len))
		return CODEC_ZSTD;
	return CODEC_NONE;
}

const char *codec_name(enum codec c)
{
	return codecs[c]->name;
}

static int create(enum codec c, uint64_t spacing_bytes,
		  const struct codec_point *p, const void *window, size_t len,
		  struct decoder **ret)
{
	autoptr(decoder) d = NULL;
	int r;

	if ((unsigned int)c >= CODECS)
		return -EINVAL;
	d = calloc(1, codecs[c]->size);
	if (!d)
		return -ENOMEM;
	d->ops = codecs[c];
	d->spacing_bytes = spacing_bytes;
	d->due_off = spacing_bytes;
	if (p) {
		d->in_off = p->in_off;
		d->out_off = p->out_off;
		d->point = *p;
	}
	r = d->ops->init(d, p, window, len);
	if (r < 0)
		return r;
	*ret = steal(&d);
	return 0;
}

int decoder_new(enum codec c, uint64_t spacing_bytes, struct decoder **ret)
{
	return create(c, spacing_bytes, NULL, NULL, 0, ret);
}

int decoder_resume(enum codec c, const struct codec_point *p,
		   const void *window, size_t window_len, struct decoder **ret)
{
	/* Points come back from a file: nothing in them is certain. */
	if (p->bits > 7 || window_len > CODEC_WINDOW_MAX)
		return -EINVAL;
	return create(c, 0, p, window, window_len, ret);
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	if (d->ops->done)
		d->ops->done(d);
	free(d);
}

int decoder_run(struct decoder *d, struct decoder_io *io)
{
	int r;

	if (d->failure)
		return d->failure;
	r = d->ops->run(d, io);
	if (r < 0)
		d->failure = r;
	return r;
}

void decoder_point(const struct decoder *d, struct codec_point *ret,
		   uint8_t *window, size_t *ret_window_len)
{
	*ret = d->point;
	*ret_window_len = d->ops->window ? d->ops->window(d, window) : 0;
}

const char *decoder_error(const struct decoder *d)
{
	return d->error;
}

size_t decoder_room(const struct decoder *d)
{
	if (!d->spacing_bytes || d->out_off >= d->due_off ||
	    d->due_off - d->out_off > SIZE_MAX)
		return SIZE_MAX;
	return (size_t)(d->due_off - d->out_off);
}

bool decoder_due(const struct decoder *d)
{
	return d->spacing_bytes && d->out_off >= d->due_off;
}

int decoder_mark(struct decoder *d, uint64_t in_off, uint8_t bits)
{
	d->point = (struct codec_point){
		.in_off = in_off,
		.out_off = d->out_off,
		.bits = bits,
	};
	d->due_off = d->out_off + d->spacing_bytes;
	return DECODER_POINT;
}

int decoder_damaged(struct decoder *d, const char *reason)
{
	snprintf(d->error, sizeof(d->error),
		 "%s: %s (byte %" PRIu64 ", decoded %" PRIu64 ")", d->ops->name,
		 reason, d->in_off, d->out_off);
	return -EBADMSG;
}

void decoder_took(struct decoder *d, struct decoder_io *io, size_t bytes)
{
	io->in += bytes;
	io->in_len -= bytes;
	d->in_off += bytes;
}

void decoder_made(struct decoder *d, struct decoder_io *io, size_t bytes)
{
	io->out += bytes;
	io->out_len -= bytes;
	d->out_off += bytes;
}
