/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a blob through a decoder.  Compressed bytes are read in large pieces
 * that end at a chunk's end (the chunks of one piece are fetched side by side),
 * up to about where the part ends; what a decoder wants beyond, because it
 * looks ahead, comes in small ones.
 */
#include "content/decoding.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/chunk.h"
#include "util/clock.h"

#define INPUT_BYTES ((size_t)1 << 20)
#define INPUT_MORE_BYTES ((size_t)16 << 10)
/* Between two looks at the caller's patience. */
#define STEP_BYTES ((size_t)256 << 10)
#define SKIP_BYTES ((size_t)16 << 10)

struct decoding {
	struct decoding_part part;
	struct decoder *decoder; /* NULL: CODEC_NONE */
	uint64_t in_off;	 /* of the first byte that was not read yet */
	uint64_t skip;		 /* still to be thrown away */
	int over;		 /* the decoder's last word, if not 0 */
	uint8_t *in;		 /* NULL: none is left */
	size_t in_size, in_pos, in_len;
};

void patience_init(struct patience *p, struct wait *w)
{
	p->wait = w;
	p->budget_ms = wait_left_ms(w);
}

void patience_renew(struct patience *p)
{
	uint64_t now = clock_ms(), until = UINT64_MAX;

	if (p->budget_ms < UINT64_MAX - now)
		until = now + p->budget_ms;
	if (until > p->wait->deadline_ms)
		p->wait->deadline_ms = until;
}

int decoding_new(const struct decoding_part *p, struct decoder *d,
		 struct decoding **ret)
{
	struct decoding *g;

	g = p->in_off < p->in_end ? calloc(1, sizeof(*g)) : NULL;
	if (!g) {
		decoder_free(d);
		return p->in_off < p->in_end ? -ENOMEM : -EBADMSG;
	}
	g->part = *p;
	if (g->part.in_want > p->in_end)
		g->part.in_want = p->in_end;
	g->decoder = d;
	g->in_off = p->in_off;
	g->skip = p->skip;
	*ret = g;
	return 0;
}

void decoding_free(struct decoding *g)
{
	if (!g)
		return;
	decoder_free(g->decoder);
	free(g->in);
	free(g);
}

void decoding_pause(struct decoding *g)
{
	g->in_off -= g->in_len - g->in_pos;
	g->in_size = g->in_pos = g->in_len = 0;
	free(g->in);
	g->in = NULL;
}

static int bad(const struct feed *f, uint64_t off, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "decoded, before byte %llu: %s",
		 (unsigned long long)off, why);
	blob_fault(f->blob, EBADMSG, text);
	return -EBADMSG;
}

/* How much to read next. */
static size_t input_len(const struct decoding *g)
{
	uint64_t end = g->part.in_want, aligned;

	if (g->in_off >= end) {
		end = g->part.in_end;
		return end - g->in_off < INPUT_MORE_BYTES
			       ? (size_t)(end - g->in_off)
			       : INPUT_MORE_BYTES;
	}
	if (end - g->in_off > INPUT_BYTES)
		end = g->in_off + INPUT_BYTES;
	aligned = end / CHUNK_BYTES * CHUNK_BYTES;
	if (end < g->part.in_want && aligned > g->in_off)
		end = aligned;
	return (size_t)(end - g->in_off);
}

static int input_read(struct decoding *g, const struct feed *f)
{
	size_t len = input_len(g);
	ssize_t n;

	if (len > g->in_size) {
		free(g->in);
		g->in = malloc(len);
		g->in_size = g->in ? len : 0;
	}
	g->in_pos = g->in_len = 0;
	if (!g->in)
		return -ENOMEM;
	n = blob_read(f->blob, f->ahead, g->in, len, g->in_off, f->wait);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return bad(f, g->in_off, "the blob ends here");
	g->in_len = (size_t)n;
	g->in_off += (size_t)n;
	if (f->gets_on)
		f->gets_on(f->arg);
	return 0;
}

static int say_over(const struct decoding *g, const struct feed *f)
{
	if (g->over == -EBADMSG)
		return bad(f, g->in_off, decoder_error(g->decoder));
	if (g->over == DECODER_END)
		return bad(f, g->in_off, "the compressed bytes end too early");
	return g->over;
}

/* Up to len decoded bytes; 0 is possible.  What came before damage counts. */
static ssize_t decode(struct decoding *g, const struct feed *f, uint8_t *out,
		      size_t len)
{
	struct decoder_io io = {.out = out, .out_len = len};
	size_t left;
	int r = 0;

	if (g->over)
		return say_over(g, f);
	if (g->in_pos == g->in_len && g->in_off < g->part.in_end)
		r = input_read(g, f);
	if (r < 0)
		return r;
	left = g->in_len - g->in_pos;
	io.in = left > 0 ? g->in + g->in_pos : (const uint8_t *)"";
	io.in_len = left;
	io.in_last = g->in_off >= g->part.in_end;
	r = decoder_run(g->decoder, &io);
	g->in_pos += left - io.in_len;
	if (r < 0 || r == DECODER_END)
		g->over = r;
	else if (r == DECODER_MORE && io.out_len == len && io.in_len == left &&
		 (left > 0 || io.in_last))
		return bad(f, g->in_off, "nothing comes of it");
	return (ssize_t)(len - io.out_len);
}

/* Stored as they are. */
static ssize_t copy(struct decoding *g, const struct feed *f, uint8_t *out,
		    size_t len)
{
	ssize_t n;

	if (g->skip > g->part.in_end - g->in_off)
		return bad(f, g->part.in_end, "the blob ends here");
	g->in_off += g->skip;
	g->skip = 0;
	if (len > INPUT_BYTES)
		len = INPUT_BYTES;
	if (len > g->part.in_end - g->in_off)
		len = (size_t)(g->part.in_end - g->in_off);
	n = len > 0 ? blob_read(f->blob, f->ahead, out, len, g->in_off, f->wait)
		    : 0;
	if (n == 0)
		return bad(f, g->in_off, "the blob ends here");
	if (n > 0)
		g->in_off += (size_t)n;
	if (n > 0 && f->gets_on)
		f->gets_on(f->arg);
	return n;
}

static int skip(struct decoding *g, const struct feed *f)
{
	uint8_t waste[SKIP_BYTES];
	ssize_t n;
	int r = 0;

	while (r == 0 && g->skip > 0) {
		r = wait_check(f->wait);
		if (r < 0)
			break;
		n = decode(g, f, waste,
			   g->skip < sizeof(waste) ? (size_t)g->skip
						   : sizeof(waste));
		if (n < 0)
			return (int)n;
		g->skip -= (uint64_t)n;
	}
	return r;
}

int decoding_fill(struct decoding *g, const struct feed *f, uint8_t *out,
		  size_t len, size_t *pos)
{
	size_t left;
	ssize_t n;
	int r = g->decoder ? skip(g, f) : 0;

	while (r == 0 && *pos < len) {
		r = wait_check(f->wait);
		if (r < 0)
			break;
		left = len - *pos;
		if (!g->decoder)
			n = copy(g, f, out + *pos, left);
		else
			n = decode(g, f, out + *pos,
				   left < STEP_BYTES ? left : STEP_BYTES);
		if (n < 0)
			return (int)n;
		*pos += (size_t)n;
	}
	return r;
}
