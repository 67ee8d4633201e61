/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What every entry out of a table of contents has to be. */
#include <stdlib.h>
#include <string.h>

#include "layer/toc.h"

#define TOC_CHECK_OFF 100000 /* where the table is said to be */

static inline void toc_check_piece(const struct layer_entry *e, size_t i)
{
	const struct layer_piece *p = &e->pieces[i];

	if (p->bytes == 0 || p->off > e->size_bytes ||
	    p->bytes > e->size_bytes - p->off)
		abort();
	if (i > 0 && p->off < p[-1].off + p[-1].bytes)
		abort();
	if (p->src_off == 0 || p->src_end <= p->src_off ||
	    p->src_end > TOC_CHECK_OFF || !p->has_digest)
		abort();
}

static inline int toc_check_entry(void *arg, const struct layer_entry *e)
{
	size_t *count = arg, bytes = 0;

	(*count)++;
	if (strlen(e->path) != e->path_len || e->mode > 07777 ||
	    e->mtime_ns > 999999999 || e->in_pieces != (e->type == LAYER_FILE))
		abort();
	if ((e->type == LAYER_SYMLINK || e->type == LAYER_HARDLINK) !=
	    (e->link != NULL))
		abort();
	if (e->type != LAYER_FILE && (e->size_bytes || e->pieces_len))
		abort();
	for (size_t i = 0; i < e->pieces_len; i++)
		toc_check_piece(e, i);
	for (size_t i = 0; i < e->xattrs_len; i++)
		bytes += e->xattrs[i].len + strlen(e->xattrs[i].name);
	if (bytes > LAYER_XATTR_MAX)
		abort();
	return 0;
}

/* Reads it; what was refused has a reason. */
static inline void toc_check(const struct toc_claim *c, const void *packed,
			     size_t packed_len)
{
	struct toc_place place = {.off = TOC_CHECK_OFF,
				  .packed_bytes = packed_len};
	struct toc_info info = {.entries = 0};
	char error[200] = "";
	size_t count = 0;
	int r;

	r = toc_read(c, &place, packed, packed_len, toc_check_entry, &count,
		     &info, error, sizeof(error));
	if (r == 0 &&
	    (info.entries != count || info.prefetch_end >= TOC_CHECK_OFF))
		abort();
	if (r < 0 && !*error)
		abort();
}

/* Where a blob that ends so has its table. */
static inline void toc_check_locate(enum toc_kind kind, const uint8_t *data,
				    size_t size, uint64_t blob_bytes)
{
	size_t n = size < TOC_TAIL_BYTES ? size : TOC_TAIL_BYTES;
	struct toc_claim c = {.kind = kind};
	struct toc_place p;

	if (toc_locate(&c, data + size - n, n, blob_bytes, &p) < 0)
		return;
	if (p.packed_bytes == 0 || p.packed_bytes > TOC_PACKED_MAX ||
	    p.json_bytes > TOC_JSON_MAX || p.off > blob_bytes ||
	    p.packed_bytes > blob_bytes - p.off)
		abort();
}
