/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How the bytes of a layer are compressed, and decoding them: from the start,
 * or from a restart point that an earlier decoding left.  One file and one row
 * in the table of codec.c for each; no I/O here.  Not thread safe.
 *
 * gzip: also of many members; a point is at the end of a deflate block and
 * needs the last 32 KiB of output (RFC 1951; zlib's zran).  zstd: a point is
 * the start of a frame and needs nothing; skippable frames are skipped.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_ZSTD, CODECS };

#define CODEC_MAGIC_BYTES 4
#define CODEC_WINDOW_MAX ((size_t)32768)
#define CODEC_ZSTD_WINDOW_LOG_MAX 27

struct codec_point {
	uint64_t in_off;  /* first compressed byte that is needed */
	uint64_t out_off; /* of the first decoded byte that it gives */
	uint8_t bits;	  /* of that first byte, the so many high ones count;
			     0: all.  At in_off then is the byte that holds
			     them. */
};

struct decoder;

enum decoder_state {
	DECODER_MORE,  /* wants input, or room for output */
	DECODER_POINT, /* a restart point is exactly here; call again */
	DECODER_END    /* the stream is complete */
};

struct decoder_io {
	const uint8_t *in;
	size_t in_len;
	bool in_last; /* nothing follows */
	uint8_t *out;
	size_t out_len;
};

/* By the first bytes (fewer than CODEC_MAGIC_BYTES if there are no more). */
enum codec codec_sniff(const uint8_t *bytes, size_t len);
const char *codec_name(enum codec c); /* "tar", "gzip", "zstd" */

/* From the start; reports a point whenever one is possible and spacing_bytes
 * of output passed since the last one (0: reports none). */
int decoder_new(enum codec c, uint64_t spacing_bytes, struct decoder **ret);
/* From a point, with the window that it was reported with. */
int decoder_resume(enum codec c, const struct codec_point *p,
		   const void *window, size_t window_len, struct decoder **ret);
void decoder_free(struct decoder *d); /* NULL is fine */
/*
 * Consumes input and makes output, advancing `io`.  -EBADMSG: damaged, or it
 * ends too early (in_last); decoder_error says what.  Trailing zeros after the
 * last gzip member belong to the end; other bytes there are damage.  Sums
 * (gzip's CRC, zstd's XXH64) are checked, but for the member that a point
 * lies in.
 */
int decoder_run(struct decoder *d, struct decoder_io *io);
/* After DECODER_POINT: the point, counted from the start of the stream, and
 * the window (CODEC_WINDOW_MAX bytes of room). */
void decoder_point(const struct decoder *d, struct codec_point *ret,
		   uint8_t *window, size_t *ret_window_len);
const char *decoder_error(const struct decoder *d);

/* Windows are kept packed (zstd).  *ret is the caller's; NULL if len is 0. */
int window_pack(const void *window, size_t len, uint8_t **ret, size_t *ret_len);
/* -EBADMSG.  `window` has CODEC_WINDOW_MAX bytes of room. */
int window_unpack(const void *packed, size_t len, uint8_t *window,
		  size_t *ret_len);
