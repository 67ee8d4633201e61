/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libzstd decodes; this file finds the frames, because points are their
 * starts and because of the magic numbers: older formats, which libzstd may
 * still know, are refused.
 *
 *   BETWEEN -> MAGIC -> FRAME -> BETWEEN ...
 *
 * The magic number goes in by itself.  So libzstd never has a whole frame in
 * one call, which would be decoded without looking at the size of its window.
 */
#include "layer/zstd.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define MAGIC_BYTES 4

enum phase { PHASE_BETWEEN, PHASE_MAGIC, PHASE_FRAME };

struct zstd {
	struct decoder d;
	enum phase phase;
	bool seen;  /* a frame */
	bool held;  /* output may wait in libzstd for room */
	bool stuck; /* and input with it */
	uint8_t magic[MAGIC_BYTES];
	size_t magic_len;
	ZSTD_DStream *s;
};

static bool is_frame(const uint8_t *m)
{
	return m[0] == 0x28 && m[1] == 0xb5 && m[2] == 0x2f && m[3] == 0xfd;
}

static bool is_skippable(const uint8_t *m)
{
	return (m[0] & 0xf0) == 0x50 && m[1] == 0x2a && m[2] == 0x4d &&
	       m[3] == 0x18;
}

bool zstd_probe(const uint8_t *bytes, size_t len)
{
	return len >= MAGIC_BYTES && (is_frame(bytes) || is_skippable(bytes));
}

static int zstd_init(struct decoder *d, const struct codec_point *p,
		     const void *window, size_t len)
{
	struct zstd *z = (struct zstd *)(void *)d;

	(void)window;
	if (p && (p->bits || len))
		return -EINVAL;
	z->s = ZSTD_createDStream();
	if (!z->s)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_DCtx_setParameter(z->s, ZSTD_d_windowLogMax,
						CODEC_ZSTD_WINDOW_LOG_MAX)))
		return -EINVAL;
	return 0;
}

static void zstd_done(struct decoder *d)
{
	struct zstd *z = (struct zstd *)(void *)d;

	ZSTD_freeDStream(z->s);
}

static int failed(struct zstd *z, size_t code)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
		return -ENOMEM;
	return decoder_damaged(&z->d, ZSTD_getErrorName(code));
}

/* The whole magic number is there: what begins? */
static int begin(struct zstd *z)
{
	ZSTD_inBuffer in = {z->magic, MAGIC_BYTES, 0};
	ZSTD_outBuffer out = {NULL, 0, 0};
	size_t r;

	if (!is_frame(z->magic) && !is_skippable(z->magic))
		return decoder_damaged(&z->d, z->seen ? "bytes behind a frame"
						      : "not a zstd frame");
	r = ZSTD_decompressStream(z->s, &out, &in);
	if (ZSTD_isError(r))
		return failed(z, r);
	z->seen = true;
	z->held = false;
	z->stuck = false;
	z->magic_len = 0;
	z->phase = PHASE_FRAME;
	return 0;
}

static int magic(struct zstd *z, struct decoder_io *io)
{
	while (z->magic_len < MAGIC_BYTES && io->in_len) {
		z->magic[z->magic_len++] = *io->in;
		decoder_took(&z->d, io, 1);
	}
	if (z->magic_len < MAGIC_BYTES)
		return 0;
	if (z->phase == PHASE_BETWEEN && z->seen && decoder_due(&z->d) &&
	    is_frame(z->magic)) {
		z->phase = PHASE_MAGIC;
		return decoder_mark(&z->d, z->d.in_off - MAGIC_BYTES, 0);
	}
	return begin(z);
}

/* -EAGAIN: no progress without the caller. */
static int frame(struct zstd *z, struct decoder_io *io)
{
	ZSTD_inBuffer in = {io->in, io->in_len, 0};
	ZSTD_outBuffer out = {io->out, io->out_len, 0};
	size_t r;

	/* Calls that cannot get anywhere are an error for libzstd. */
	if (!io->in_len && !z->held)
		return -EAGAIN;
	if (!io->out_len && (z->stuck || !io->in_len))
		return -EAGAIN;
	r = ZSTD_decompressStream(z->s, &out, &in);
	decoder_took(&z->d, io, in.pos);
	decoder_made(&z->d, io, out.pos);
	if (ZSTD_isError(r))
		return failed(z, r);
	z->held = r != 0 && io->out_len == 0;
	z->stuck = z->held && in.pos + out.pos == 0;
	if (r == 0)
		z->phase = PHASE_BETWEEN;
	else if (in.pos + out.pos == 0)
		return -EAGAIN;
	return 0;
}

static int zstd_run(struct decoder *d, struct decoder_io *io)
{
	struct zstd *z = (struct zstd *)(void *)d;
	int r = 0;

	while (r == 0 && (io->in_len || z->phase != PHASE_BETWEEN))
		r = z->phase == PHASE_FRAME ? frame(z, io) : magic(z, io);
	if (r == DECODER_POINT || (r < 0 && r != -EAGAIN))
		return r;
	if (!io->in_last || io->in_len || (z->held && !io->out_len))
		return DECODER_MORE;
	if (z->phase == PHASE_BETWEEN && !z->magic_len && z->seen)
		return DECODER_END;
	return decoder_damaged(d, "ends too early");
}

const struct codec_ops zstd_codec = {
	.name = "zstd",
	.size = sizeof(struct zstd),
	.init = zstd_init,
	.done = zstd_done,
	.run = zstd_run,
};
