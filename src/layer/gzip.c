/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ISA-L inflates twice as fast as zlib, but does not stop at the ends of
 * deflate blocks, where points are.  Its state is public, though: while a block
 * is being decoded, telling it that this block is the final one makes it stop
 * exactly behind the block.  If the block was not final, inflating is started
 * again there with the last 32 KiB as dictionary.
 *
 *   HEADER -> BODY -> TRAILER -> BETWEEN -> HEADER ...
 *                                BETWEEN -> PADDING
 *
 * Invariants:
 * - `armed`: bfinal was set by us, `was_final` is what the stream says.
 * - ISA-L decodes up to 64 KiB ahead into its own buffer; out_off counts only
 *   what was given out, so a block's end is reached when that buffer is empty.
 * - in_off counts what ISA-L took; of that, 8 * tmp_in_size + read_in_length
 *   bits were not used yet.
 * - `history` is the member's output only: no deflate stream reaches before
 *   its start.  It is kept only where points are wanted.
 * - A point inside a member has a window: one that is due at the member's start
 *   is reported there, so at least a byte of the member came since.
 */
#include "layer/gzip.h"

#include <errno.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "layer/gziphead.h"

#define TRAILER_BYTES 8
#define HISTORY_BYTES (2 * CODEC_WINDOW_MAX)
/* ISA-L counts in 32 bits. */
#define STEP_MAX ((size_t)1 << 30)
/* How far to look for a block when a point is due but none is begun. */
#define DUE_STEP ((size_t)16 << 10)

enum phase {
	PHASE_HEADER,
	PHASE_BITS, /* the odd bits of the byte that a point is in */
	PHASE_BODY,
	PHASE_TRAILER,
	PHASE_BETWEEN,
	PHASE_PADDING
};

struct gzip {
	struct decoder d;
	enum phase phase;
	bool armed;
	bool was_final;
	bool unsummed; /* resumed inside this member */
	uint32_t crc;
	uint64_t member_bytes;
	struct gziphead head;
	uint8_t trailer[TRAILER_BYTES];
	size_t trailer_len;
	uint8_t *history; /* NULL: no points are wanted */
	size_t history_len;
	struct inflate_state s;
};

bool gzip_probe(const uint8_t *bytes, size_t len)
{
	return len >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static void start_member(struct gzip *g)
{
	gziphead_init(&g->head);
	isal_inflate_init(&g->s);
	g->s.crc_flag = ISAL_DEFLATE;
	g->phase = PHASE_HEADER;
	g->armed = false;
	g->unsummed = false;
	g->crc = 0;
	g->member_bytes = 0;
	g->trailer_len = 0;
	g->history_len = 0;
}

static int gzip_init(struct decoder *d, const struct codec_point *p,
		     const void *window, size_t len)
{
	struct gzip *g = (struct gzip *)(void *)d;

	start_member(g);
	if (d->spacing_bytes) {
		g->history = malloc(HISTORY_BYTES);
		if (!g->history)
			return -ENOMEM;
	}
	if (!p || (len == 0 && p->bits == 0))
		return 0;
	if (len == 0)
		return -EINVAL;
	/* ISA-L takes the dictionary without const, but only copies it. */
	isal_inflate_set_dict(&g->s, (uint8_t *)(uintptr_t)window,
			      (uint32_t)len);
	g->unsummed = true;
	g->phase = p->bits ? PHASE_BITS : PHASE_BODY;
	return 0;
}

static void gzip_done(struct decoder *d)
{
	struct gzip *g = (struct gzip *)(void *)d;

	free(g->history);
}

static size_t gzip_window(const struct decoder *d, uint8_t *window)
{
	const struct gzip *g = (const struct gzip *)(const void *)d;
	size_t n = g->history_len;

	if (n > CODEC_WINDOW_MAX)
		n = CODEC_WINDOW_MAX;
	memcpy(window, g->history + g->history_len - n, n);
	return n;
}

static void remember(struct gzip *g, const uint8_t *out, size_t n)
{
	size_t keep;

	if (n > CODEC_WINDOW_MAX) {
		out += n - CODEC_WINDOW_MAX;
		n = CODEC_WINDOW_MAX;
	}
	if (g->history_len + n > HISTORY_BYTES) {
		keep = CODEC_WINDOW_MAX - n;
		memmove(g->history, g->history + g->history_len - keep, keep);
		g->history_len = keep;
	}
	memcpy(g->history + g->history_len, out, n);
	g->history_len += n;
}

static int header(struct gzip *g, struct decoder_io *io)
{
	while (io->in_len) {
		int r = gziphead_feed(&g->head, *io->in);

		if (r < 0)
			return decoder_damaged(&g->d, g->head.error);
		decoder_took(&g->d, io, 1);
		if (r > 0) {
			g->phase = PHASE_BODY;
			return 0;
		}
	}
	return 0;
}

static int bits(struct gzip *g, struct decoder_io *io)
{
	unsigned int n = g->d.point.bits;

	g->s.read_in = *io->in >> (8 - n);
	g->s.read_in_length = (int32_t)n;
	decoder_took(&g->d, io, 1);
	g->phase = PHASE_BODY;
	return 0;
}

static const char *reason(int r)
{
	switch (r) {
	case ISAL_INVALID_BLOCK:
		return "invalid deflate block";
	case ISAL_INVALID_SYMBOL:
		return "invalid deflate symbol";
	case ISAL_INVALID_LOOKBACK:
		return "reference to before the start";
	default:
		return "inflating failed";
	}
}

/* One call of ISA-L; the progress it made, or -EBADMSG. */
static ssize_t inflate_some(struct gzip *g, struct decoder_io *io)
{
	struct inflate_state *s = &g->s;
	size_t in = io->in_len < STEP_MAX ? io->in_len : STEP_MAX;
	size_t out = io->out_len < STEP_MAX ? io->out_len : STEP_MAX;
	size_t room = decoder_room(&g->d);
	int r;

	if (!g->armed && out > room)
		out = room;
	if (!g->armed && decoder_due(&g->d) && out > DUE_STEP)
		out = DUE_STEP;
	s->next_in = (uint8_t *)(uintptr_t)io->in;
	s->avail_in = (uint32_t)in;
	s->next_out = io->out;
	s->avail_out = (uint32_t)out;
	r = isal_inflate(s);
	/* After an error ISA-L may say that it took more than there was. */
	if (s->avail_in > in)
		s->avail_in = 0;
	in -= s->avail_in;
	out -= s->avail_out;
	if (!g->unsummed)
		g->crc = crc32_gzip_refl(g->crc, io->out, out);
	if (g->history)
		remember(g, io->out, out);
	g->member_bytes += out;
	decoder_took(&g->d, io, in);
	decoder_made(&g->d, io, out);
	if (r != ISAL_DECOMP_OK)
		return decoder_damaged(&g->d, reason(r));
	return (ssize_t)(in + out);
}

static int mark(struct gzip *g)
{
	uint64_t used = 8 * (g->d.in_off - (uint64_t)g->s.tmp_in_size) -
			(uint64_t)g->s.read_in_length;

	return decoder_mark(&g->d, used / 8, (uint8_t)((8 - used % 8) % 8));
}

/* Behind a block that we called final. */
static int go_on(struct gzip *g)
{
	uint8_t *window = g->history;
	size_t len = g->history_len;

	g->armed = false;
	g->s.bfinal = 0;
	g->s.block_state = ISAL_BLOCK_NEW_HDR;
	if (len > CODEC_WINDOW_MAX) {
		window += len - CODEC_WINDOW_MAX;
		len = CODEC_WINDOW_MAX;
	}
	isal_inflate_set_dict(&g->s, window, (uint32_t)len);
	return mark(g);
}

/* Bytes that ISA-L took but that are behind the deflate stream. */
static void end_body(struct gzip *g)
{
	int32_t odd = g->s.read_in_length % 8;
	uint64_t left = g->s.read_in >> odd;

	for (int32_t i = g->s.read_in_length - odd; i > 0; i -= 8) {
		g->trailer[g->trailer_len++] = (uint8_t)left;
		left >>= 8;
	}
	g->phase = PHASE_TRAILER;
}

/* A point is due: DECODER_POINT if it is here, 0 if it will come. */
static int look_for_point(struct gzip *g)
{
	switch ((int)g->s.block_state) {
	case ISAL_BLOCK_CODED:
	case ISAL_BLOCK_TYPE0:
		g->armed = true;
		g->was_final = g->s.bfinal;
		g->s.bfinal = 1;
		return 0;
	case ISAL_BLOCK_NEW_HDR:
	case ISAL_BLOCK_HDR:
		if (g->s.tmp_out_processed == g->s.tmp_out_valid)
			return mark(g);
		return 0;
	default:
		return 0;
	}
}

/* -EAGAIN: no progress without the caller. */
static int body(struct gzip *g, struct decoder_io *io)
{
	ssize_t n;
	int r;

	if (decoder_due(&g->d) && !g->armed) {
		r = look_for_point(g);
		if (r != 0)
			return r;
	}
	n = inflate_some(g, io);
	if (n < 0)
		return (int)n;
	if (g->s.block_state == ISAL_BLOCK_FINISH) {
		if (g->armed && !g->was_final)
			return go_on(g);
		end_body(g);
		return 0;
	}
	if (n == 0 && io->in_len && io->out_len)
		return decoder_damaged(&g->d, "inflating came to a stop");
	return n ? 0 : -EAGAIN;
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static int trailer(struct gzip *g, struct decoder_io *io)
{
	while (g->trailer_len < TRAILER_BYTES && io->in_len) {
		g->trailer[g->trailer_len++] = *io->in;
		decoder_took(&g->d, io, 1);
	}
	if (g->trailer_len < TRAILER_BYTES)
		return 0;
	if (!g->unsummed && (le32(g->trailer) != g->crc ||
			     le32(g->trailer + 4) != (uint32_t)g->member_bytes))
		return decoder_damaged(&g->d, "wrong checksum or length");
	g->phase = PHASE_BETWEEN;
	return 0;
}

static int between(struct gzip *g, struct decoder_io *io)
{
	if (*io->in == 0) {
		g->phase = PHASE_PADDING;
		return 0;
	}
	if (*io->in != 0x1f)
		return decoder_damaged(&g->d, "bytes behind the last member");
	start_member(g);
	if (decoder_due(&g->d))
		return decoder_mark(&g->d, g->d.in_off, 0);
	return 0;
}

static int padding(struct gzip *g, struct decoder_io *io)
{
	while (io->in_len) {
		if (*io->in)
			return decoder_damaged(&g->d, "bytes in the padding");
		decoder_took(&g->d, io, 1);
	}
	return 0;
}

/* What there is to do now: DECODER_POINT, 0 to go on, or an error. */
static int step(struct gzip *g, struct decoder_io *io)
{
	switch (g->phase) {
	case PHASE_HEADER:
		return header(g, io);
	case PHASE_BITS:
		return bits(g, io);
	case PHASE_BODY:
		return body(g, io);
	case PHASE_TRAILER:
		return trailer(g, io);
	case PHASE_BETWEEN:
		return between(g, io);
	case PHASE_PADDING:
		return padding(g, io);
	}
	return -EINVAL;
}

static int gzip_run(struct decoder *d, struct decoder_io *io)
{
	struct gzip *g = (struct gzip *)(void *)d;
	int r = 0;

	/* The body may hold back output, and the trailer may have come with
	 * it: both go on without input. */
	while (r == 0 &&
	       (io->in_len || g->phase == PHASE_BODY ||
		(g->phase == PHASE_TRAILER && g->trailer_len == TRAILER_BYTES)))
		r = step(g, io);
	if (r == DECODER_POINT || (r < 0 && r != -EAGAIN))
		return r;
	if (g->phase == PHASE_BODY && io->out_len == 0)
		return DECODER_MORE;
	if (!io->in_last || io->in_len)
		return DECODER_MORE;
	if (g->phase == PHASE_BETWEEN || g->phase == PHASE_PADDING)
		return DECODER_END;
	return decoder_damaged(d, "ends too early");
}

const struct codec_ops gzip_codec = {
	.name = "gzip",
	.size = sizeof(struct gzip),
	.init = gzip_init,
	.done = gzip_done,
	.run = gzip_run,
	.window = gzip_window,
};
