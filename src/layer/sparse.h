/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The map of a sparse file in an archive, from any of its four spellings: old
 * GNU fields, pax 0.0 pairs, a pax 0.1 list, pax 1.0 lines before the data.
 * Each gives numbers in turn, an offset and a length; the pieces are checked as
 * they come, and get their places in the stream at last.  Not thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layer/entry.h"
#include "layer/tar.h"
#include "util/vec.h"

struct sparse {
	VEC(struct layer_piece) pieces;
	uint64_t pairs;	       /* seen, empty ones too */
	uint64_t stored_bytes; /* of all pieces */
	uint64_t end;	       /* of the last piece */
	uint64_t off;	       /* of the pair that is half seen */
	bool half;
};

/* Lines of decimals: how many pairs, then the pairs. */
struct sparse_lines {
	uint64_t number;
	uint64_t numbers_left;
	size_t digits;
	bool counted; /* the first line is over */
};

void sparse_clear(struct sparse *s); /* keeps the memory */
void sparse_done(struct sparse *s);

/* -EBADMSG: not ascending, overlapping, too many, no number. */
int sparse_add(struct sparse *s, uint64_t number);
int sparse_add_list(struct sparse *s, const char *list, size_t len);
/* Up to `pairs` pairs of a header's fields, to the first one that is unused. */
int sparse_add_fields(struct sparse *s, const uint8_t *fields, size_t pairs);
/* Adds a block's lines, starting with *l zeroed; *ret_last: they end in it. */
int sparse_add_lines(struct sparse *s, struct sparse_lines *l,
		     const uint8_t block[TAR_BLOCK], bool *ret_last);

/* The map is complete: of a file of size_bytes, whose pieces are at src_off,
 * and are all that is stored there.  (What is more, readers disagree about
 * whether to skip.)  -EBADMSG: it does not fit. */
int sparse_place(struct sparse *s, uint64_t size_bytes, uint64_t src_off,
		 uint64_t stored_bytes);
