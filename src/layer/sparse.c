/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces that say nothing are not kept: an empty one (GNU tar ends its maps
 * with it), and one that goes on where the last one ended, as it does in the
 * archive too.  So a map is never longer than the file is torn.
 */
#include "layer/sparse.h"

#include <errno.h>
#include <string.h>

#include "layer/tarheader.h"

#define FIELD 12 /* bytes of an offset or a length in a header */

void sparse_clear(struct sparse *s)
{
	s->pieces.len = 0;
	s->pairs = s->stored_bytes = s->end = s->off = 0;
	s->half = false;
}

void sparse_done(struct sparse *s)
{
	vec_done(&s->pieces);
	sparse_clear(s);
}

static int add_piece(struct sparse *s, uint64_t off, uint64_t bytes)
{
	struct layer_piece *last = NULL;
	struct layer_piece p = {.off = off, .bytes = bytes};

	s->pairs++;
	if (off < s->end || off > INT64_MAX || bytes > INT64_MAX - off)
		return -EBADMSG;
	if (bytes == 0)
		return 0;
	if (s->pieces.v && s->pieces.len)
		last = &s->pieces.v[s->pieces.len - 1];
	if (last && off == s->end) {
		last->bytes += bytes;
	} else {
		if (s->pieces.len == LAYER_PIECES_MAX)
			return -EBADMSG;
		if (vec_push(&s->pieces, p) < 0)
			return -ENOMEM;
	}
	s->end = off + bytes;
	s->stored_bytes += bytes; /* below s->end: no overflow */
	return 0;
}

int sparse_add(struct sparse *s, uint64_t number)
{
	s->half = !s->half;
	if (!s->half)
		return add_piece(s, s->off, number);
	s->off = number;
	return 0;
}

/* Appends a digit.  -EBADMSG: it is none, or the number is too large. */
static int add_digit(uint64_t *number, char c)
{
	uint64_t digit = (uint64_t)(unsigned char)c - '0';

	if (digit > 9 || *number > ((uint64_t)INT64_MAX - digit) / 10)
		return -EBADMSG;
	*number = *number * 10 + digit;
	return 0;
}

int sparse_add_list(struct sparse *s, const char *list, size_t len)
{
	uint64_t number = 0;
	size_t digits = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i <= len; i++) {
		if (i < len && list[i] != ',') {
			r = add_digit(&number, list[i]);
			digits++;
			continue;
		}
		r = digits ? sparse_add(s, number) : -EBADMSG;
		number = 0;
		digits = 0;
	}
	return r;
}

/* GNU tar and libarchive, too, stop at an offset that begins with a NUL. */
int sparse_add_fields(struct sparse *s, const uint8_t *fields, size_t pairs)
{
	int64_t off, bytes;
	int r = 0;

	for (size_t i = 0; r == 0 && i < pairs && fields[0]; i++) {
		if (tar_number(fields, FIELD, &off) < 0 || off < 0 ||
		    tar_number(fields + FIELD, FIELD, &bytes) < 0 || bytes < 0)
			return -EBADMSG;
		r = add_piece(s, (uint64_t)off, (uint64_t)bytes);
		fields += 2 * FIELD;
	}
	return r;
}

/* A line ended: the first one's number counts the others. */
static int end_line(struct sparse *s, struct sparse_lines *l)
{
	uint64_t number = l->number;

	if (l->digits == 0)
		return -EBADMSG;
	l->number = 0;
	l->digits = 0;
	if (l->counted) {
		l->numbers_left--;
		return sparse_add(s, number);
	}
	if (number > LAYER_PIECES_MAX)
		return -EBADMSG;
	l->counted = true;
	l->numbers_left = 2 * number;
	return 0;
}

int sparse_add_lines(struct sparse *s, struct sparse_lines *l,
		     const uint8_t block[TAR_BLOCK], bool *ret_last)
{
	bool last = false;
	int r = 0;

	for (size_t i = 0; r == 0 && !last && i < TAR_BLOCK; i++) {
		if (block[i] == '\n') {
			r = end_line(s, l);
			last = l->counted && l->numbers_left == 0;
		} else {
			r = add_digit(&l->number, (char)block[i]);
			l->digits++;
		}
	}
	if (r == 0)
		*ret_last = last;
	return r;
}

int sparse_place(struct sparse *s, uint64_t size_bytes, uint64_t src_off,
		 uint64_t stored_bytes)
{
	if (s->half || s->end > size_bytes || s->stored_bytes != stored_bytes)
		return -EBADMSG;
	for (size_t i = 0; i < s->pieces.len; i++) {
		s->pieces.v[i].src_off = src_off;
		src_off += s->pieces.v[i].bytes;
	}
	return 0;
}
