/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader is always in one of these states:
 *
 *   HEADER -> META    the body of x, g, L or K is gathered
 *          -> FIELDS  blocks with more of an old GNU sparse map
 *          -> LINES   blocks of data that begin with a sparse map (pax 1.0)
 *          -> SKIP    data, then padding; all of these end here -> HEADER
 *          -> ZEROS   after a block of zeros: a second one, or nothing -> END
 *   any    -> FAILED  for good, with the error that every call returns
 *
 * Invariants: off + left + pad fits into 63 bits; every turn of tar_feed takes
 * at least one byte.  An entry is given out when all about it is known, before
 * its data; what x, L and K said is forgotten with it.
 */
#include "layer/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layer/sparse.h"
#include "layer/tarentry.h"
#include "layer/tarheader.h"
#include "util/str.h"

enum state {
	STATE_HEADER,
	STATE_META,
	STATE_FIELDS,
	STATE_LINES,
	STATE_SKIP,
	STATE_ZEROS,
	STATE_END,
	STATE_FAILED
};

struct tar {
	layer_entry_fn fn;
	void *arg;
	enum state state;
	int error;
	const char *why;
	uint64_t off;

	/* META, LINES, SKIP: bytes that are to come, then the padding. */
	uint64_t left;
	uint32_t pad;
	/* HEADER, FIELDS, LINES, ZEROS: a block that came in part. */
	uint8_t block[TAR_BLOCK];
	size_t block_len;
	/* META: the type of the header whose body it is. */
	char meta;
	struct str body;
	/* FIELDS, LINES: bytes of the map so far; of the file. */
	uint64_t map_bytes, real_bytes;
	struct sparse_lines lines;

	struct tarentry next;
};

int tar_new(layer_entry_fn fn, void *arg, struct tar **ret)
{
	struct tar *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	t->why = "";
	t->body.max = TAR_HEADER_MAX;
	tarentry_init(&t->next);
	*ret = t;
	return 0;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	str_done(&t->body);
	tarentry_done(&t->next);
	free(t);
}

uint64_t tar_off(const struct tar *t)
{
	return t->off;
}

const char *tar_error(const struct tar *t)
{
	return t->why;
}

bool tar_probe(const uint8_t block[TAR_BLOCK])
{
	return tarheader_sum(block) != TAR_SUM_WRONG;
}

static int fail(struct tar *t, const char *why)
{
	t->why = why;
	return -EBADMSG;
}

/* So many bytes follow what was just taken. */
static int set_left(struct tar *t, uint64_t bytes)
{
	if (bytes > INT64_MAX - TAR_BLOCK - t->off)
		return fail(t, "entry ends beyond what can be counted");
	t->left = bytes;
	t->pad = (uint32_t)(-bytes % TAR_BLOCK);
	return 0;
}

/* --- entries --- */

/* Its data, t->left bytes, begin here. */
static int give(struct tar *t, struct layer_entry *e)
{
	int r = t->fn(t->arg, e);

	tarentry_forget(&t->next);
	t->state = STATE_SKIP;
	return r;
}

static int give_whole(struct tar *t)
{
	struct layer_entry e = {0};
	int r = tarentry_fill(&t->next, &e);

	if (e.type == LAYER_FILE) {
		e.size_bytes = t->left;
		e.data_off = t->off;
	}
	return r < 0 ? r : give(t, &e);
}

/* The map is complete. */
static int give_sparse(struct tar *t)
{
	struct layer_entry e = {.in_pieces = true, .size_bytes = t->real_bytes};
	struct sparse *map = &t->next.map;
	int r;

	if (sparse_place(map, t->real_bytes, t->off, t->left) < 0)
		return fail(t, "sparse map does not fit its file");
	r = tarentry_fill(&t->next, &e);
	e.pieces = map->pieces.len ? map->pieces.v : NULL;
	e.pieces_len = map->pieces.len;
	return r < 0 ? r : give(t, &e);
}

/* Old GNU.  (star has this letter, too, with another layout.) */
static int begin_fields(struct tar *t, const uint8_t *block)
{
	int64_t real_bytes;
	int r;

	if (t->next.header.magic != TAR_GNU)
		return fail(t, "sparse file that is not of GNU tar");
	if (tar_number(block + 483, 12, &real_bytes) < 0 || real_bytes < 0)
		return fail(t, "sparse file without its size");
	t->real_bytes = (uint64_t)real_bytes;
	t->map_bytes = 0;
	t->state = STATE_FIELDS;
	r = sparse_add_fields(&t->next.map, block + 386, TARHEADER_OLD_PAIRS);
	if (r == -EBADMSG)
		return fail(t, "sparse map is malformed");
	return r == 0 && !block[482] ? give_sparse(t) : r;
}

static int more_fields(struct tar *t, const uint8_t *block)
{
	int r;

	r = sparse_add_fields(&t->next.map, block, TARHEADER_MORE_PAIRS);
	t->map_bytes += TAR_BLOCK;
	if (r == -EBADMSG || t->map_bytes > TAR_HEADER_MAX)
		return fail(t, "sparse map is malformed or too large");
	/* These blocks are not counted in the size: the data move on. */
	if (r == 0)
		r = set_left(t, t->left);
	return r == 0 && !block[504] ? give_sparse(t) : r;
}

static void set_real_bytes(struct tar *t)
{
	const struct pax *p = &t->next.pax;

	if (p->has & PAX_SPARSE_SIZE)
		t->real_bytes = p->sparse_size;
	else if (p->has & PAX_SPARSE_REAL_SIZE)
		t->real_bytes = p->sparse_real_size;
	else
		t->real_bytes = t->left;
}

static int begin_lines(struct tar *t)
{
	set_real_bytes(t);
	sparse_clear(&t->next.map);
	memset(&t->lines, 0, sizeof(t->lines));
	t->map_bytes = 0;
	t->state = STATE_LINES;
	return t->left < TAR_BLOCK ? fail(t, "sparse file without its map") : 0;
}

static int more_lines(struct tar *t, const uint8_t *block)
{
	bool last = false;
	int r;

	t->left -= TAR_BLOCK;
	t->map_bytes += TAR_BLOCK;
	r = sparse_add_lines(&t->next.map, &t->lines, block, &last);
	if (r == -EBADMSG || t->map_bytes > TAR_HEADER_MAX)
		return fail(t, "sparse map is malformed or too large");
	if (r == 0 && !last && t->left < TAR_BLOCK)
		return fail(t, "sparse map ends beyond its file");
	return r == 0 && last ? give_sparse(t) : r;
}

static int begin_listed(struct tar *t)
{
	const struct pax *p = &t->next.pax;

	set_real_bytes(t);
	if ((p->has & PAX_SPARSE_BLOCKS) &&
	    p->sparse_blocks != t->next.map.pairs)
		return fail(t, "sparse map does not have its length");
	return give_sparse(t);
}

static int begin_entry(struct tar *t, const uint8_t *block)
{
	enum pax_sparse sparse = pax_sparse(&t->next.pax);
	struct tarheader *h = &t->next.header;
	int r;

	r = tarheader_parse(block, h, &t->why);
	if (r == 0)
		r = set_left(t, tarentry_stored_bytes(&t->next));
	if (r < 0)
		return r;
	if (sparse && (h->type == 'S' || tarentry_type(&t->next) != LAYER_FILE))
		return fail(t, "sparse map of something else");
	if (h->type == 'S')
		return begin_fields(t, block);
	if (sparse == PAX_SPARSE_IN_DATA)
		return begin_lines(t);
	return sparse == PAX_SPARSE_HERE ? begin_listed(t) : give_whole(t);
}

/* --- headers about others --- */

static int end_meta(struct tar *t)
{
	t->state = STATE_SKIP;
	return tarentry_tell(&t->next, t->meta, &t->body, &t->why);
}

static int begin_meta(struct tar *t, char type, uint64_t bytes)
{
	int r;

	if (bytes > TAR_HEADER_MAX)
		return fail(t, "extended header is too large");
	t->meta = type;
	t->state = STATE_META;
	str_clear(&t->body);
	r = set_left(t, bytes);
	return r == 0 && bytes == 0 ? end_meta(t) : r;
}

/* The name of a volume is no entry. */
static int begin_volume(struct tar *t, uint64_t bytes)
{
	tarentry_forget(&t->next);
	t->state = STATE_SKIP;
	return set_left(t, bytes);
}

/* --- blocks --- */

static int take_header(struct tar *t, const uint8_t *block)
{
	char type = tarheader_type(block);
	uint64_t bytes;

	switch (tarheader_sum(block)) {
	case TAR_SUM_ZEROS:
		t->state = STATE_ZEROS;
		if (tarentry_waits(&t->next))
			return fail(t, "extended header without its entry");
		return 0;
	case TAR_SUM_WRONG:
		return fail(t, "header with a wrong sum");
	case TAR_SUM_RIGHT:
		break;
	}
	/* X is Solaris's x. */
	if (!type || !strchr("xXgLKV", type))
		return begin_entry(t, block);
	if (tarheader_size(block, &bytes) < 0)
		return fail(t, "size is no number");
	return type == 'V' ? begin_volume(t, bytes)
			   : begin_meta(t, type, bytes);
}

/* What is hidden behind one block of zeros, some readers see and others do
 * not. */
static int take_zeros(struct tar *t, const uint8_t *block)
{
	if (tarheader_sum(block) != TAR_SUM_ZEROS)
		return fail(t, "something follows a block of zeros");
	t->state = STATE_END;
	return 0;
}

static int take_block(struct tar *t, const uint8_t *block)
{
	int r;

	t->off += TAR_BLOCK;
	if (t->state == STATE_FIELDS)
		r = more_fields(t, block);
	else if (t->state == STATE_LINES)
		r = more_lines(t, block);
	else if (t->state == STATE_ZEROS)
		r = take_zeros(t, block);
	else
		r = take_header(t, block);
	/* Damage is where the block begins. */
	if (r == -EBADMSG)
		t->off -= TAR_BLOCK;
	return r;
}

/* These take some of the bytes, and return how many. */
static size_t feed_block(struct tar *t, const uint8_t *bytes, size_t len,
			 int *r)
{
	size_t n = TAR_BLOCK - t->block_len;

	if (n == TAR_BLOCK && len >= n) {
		*r = take_block(t, bytes);
		return n;
	}
	if (n > len)
		n = len;
	memcpy(t->block + t->block_len, bytes, n);
	t->block_len += n;
	if (t->block_len == TAR_BLOCK) {
		t->block_len = 0;
		*r = take_block(t, t->block);
	}
	return n;
}

static size_t feed_meta(struct tar *t, const uint8_t *bytes, size_t len, int *r)
{
	size_t n = len < t->left ? len : (size_t)t->left;

	t->off += n;
	t->left -= n;
	*r = str_addn(&t->body, bytes, n);
	if (*r == 0 && t->left == 0)
		*r = end_meta(t);
	return n;
}

static size_t feed_skip(struct tar *t, size_t len)
{
	size_t n = len < t->left ? len : (size_t)t->left;
	size_t n_pad = len - n < t->pad ? len - n : t->pad;

	t->left -= n;
	t->pad -= (uint32_t)n_pad;
	t->off += n + n_pad;
	return n + n_pad;
}

int tar_feed(struct tar *t, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t n;
	int r = 0;

	while (len && t->state < STATE_END) {
		if (t->state == STATE_SKIP)
			n = feed_skip(t, len);
		else if (t->state == STATE_META)
			n = feed_meta(t, p, len, &r);
		else
			n = feed_block(t, p, len, &r);
		if (r != 0) {
			t->state = STATE_FAILED;
			t->error = r;
		} else if (t->state == STATE_SKIP && !t->left && !t->pad) {
			t->state = STATE_HEADER;
		}
		p += n;
		len -= n;
	}
	return t->error;
}

/* Some writers leave out the zeros at the end, or the last padding. */
int tar_end(struct tar *t)
{
	bool at_header = t->state == STATE_HEADER && t->block_len == 0;
	bool at_padding = t->state == STATE_SKIP && t->left == 0;

	if (t->state == STATE_FAILED)
		return t->error;
	if (t->state == STATE_END || t->state == STATE_ZEROS)
		return 0;
	if (!at_header && !at_padding)
		t->error = fail(t, "archive ends inside an entry");
	else if (tarentry_waits(&t->next))
		t->error = fail(t, "extended header without its entry");
	else
		return 0;
	t->state = STATE_FAILED;
	return t->error;
}
