/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Decoded bytes of a part of a blob, in order, as far as its compressed bytes
 * come.  It keeps no blob and no caller: each call brings its own, so one
 * reader goes on where another left off.  One thread at a time.
 */
#include <stddef.h>
#include <stdint.h>

#include "content/blob.h"
#include "layer/codec.h"
#include "util/wait.h"

/* Who reads, and through what. */
struct feed {
	struct blob *blob;
	struct ahead *ahead; /* or NULL */
	struct wait *wait;
	/* Called after each read of compressed bytes; NULL: not wanted. */
	void (*gets_on)(void *arg);
	void *arg;
};

/* A wait together with the budget that it began with, to give it that again
 * whenever there is progress. */
struct patience {
	struct wait *wait;
	uint64_t budget_ms;
};

void patience_init(struct patience *p, struct wait *w);
void patience_renew(struct patience *p);

struct decoding_part {
	enum codec codec;
	uint64_t in_off;  /* its first compressed byte */
	uint64_t in_want; /* about where its last one is */
	uint64_t in_end;  /* no byte from here on may be read */
	uint64_t skip; /* so many of the first decoded bytes are not wanted */
};

struct decoding;

/* Takes the decoder (NULL: CODEC_NONE), also when it fails. */
int decoding_new(const struct decoding_part *p, struct decoder *d,
		 struct decoding **ret);
void decoding_free(struct decoding *g); /* NULL is fine */
/* Keeps no more memory than it needs to go on, which then costs a read. */
void decoding_pause(struct decoding *g);
/* Fills out from *pos to len; moves *pos, also on failure.  -EBADMSG: damaged
 * or too short; after any other failure it may be called again. */
int decoding_fill(struct decoding *g, const struct feed *f, uint8_t *out,
		  size_t len, size_t *pos);
