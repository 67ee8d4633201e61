/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of a window only what the following data refers to is needed, a tenth of it
 * usually; the rest, zeroed, packs to nothing.
 *
 * What is referred to is found by decoding twice, with windows whose bytes
 * name their place: byte i is its low half in the one (a), and that plus one
 * plus its high half in the other (b).  i < 32768, so b - a is 1 to 128 for
 * what was copied from place i, however often, and 0 for everything else.
 * A direct reference reaches 32 KiB back, so none is behind the first 32 KiB
 * of output, and what is copied from there later was seen there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layer/codec.h"
#include "util/auto.h"

AUTOPTR_DEFINE(decoder, decoder_free)

struct trial {
	uint8_t window[CODEC_WINDOW_MAX];
	uint8_t out[CODEC_WINDOW_MAX];
};

static uint8_t place(size_t i, bool second)
{
	size_t low = i & 0xff;

	return (uint8_t)(second ? low + 1 + (i >> 8) : low);
}

static int try_window(struct trial *t, bool second, const uint8_t *in,
		      size_t in_len, size_t window_len,
		      const struct codec_point *p, size_t out_len)
{
	autoptr(decoder) d = NULL;
	struct decoder_io io = {
		.in = in, .in_len = in_len, .out = t->out, .out_len = out_len};
	int r;

	for (size_t i = 0; i < window_len; i++)
		t->window[i] = place(i, second);
	r = decoder_resume(CODEC_GZIP, p, t->window, window_len, &d);
	if (r < 0)
		return r;
	while (io.out_len) {
		size_t had = io.out_len;

		r = decoder_run(d, &io);
		if (r < 0)
			return r;
		if (io.in_len == 0 && io.out_len == had)
			return -ENODATA;
	}
	return 0;
}

int window_prune(uint8_t *window, size_t len, const uint8_t *in, size_t in_len,
		 const struct codec_point *p, size_t out_len)
{
	bool used[CODEC_WINDOW_MAX] = {false};
	autofree struct trial *t = NULL;
	int r;

	if (len > CODEC_WINDOW_MAX)
		return -EINVAL;
	if (len == 0)
		return 0;
	if (out_len > CODEC_WINDOW_MAX)
		out_len = CODEC_WINDOW_MAX;
	t = malloc(2 * sizeof(*t));
	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < 2; i++) {
		r = try_window(&t[i], i, in, in_len, len, p, out_len);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < out_len; i++) {
		unsigned int a = t[0].out[i];
		unsigned int over = (t[1].out[i] - a) & 0xff;

		if (over)
			used[(over - 1) << 8 | a] = true;
	}
	for (size_t i = 0; i < len; i++) {
		if (!used[i])
			window[i] = 0;
	}
	return 0;
}
