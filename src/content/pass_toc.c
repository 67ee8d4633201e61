/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By a table of contents: the blob's last bytes, which mostly hold all of it,
 * then what is missing of it.  Nothing is shown before all of it was read.
 */
#include <errno.h>
#include <stdlib.h>

#include "content/context.h"
#include "content/pass_private.h"
#include "store/chunk.h"
#include "util/auto.h"

#define TOC_STEP_BYTES ((uint64_t)4 << 20) /* of a table, in one go */

static int toc_fetch_table(struct pass *p, const struct toc_place *place,
			   uint8_t *packed)
{
	uint64_t done = 0, len;
	int r = 0;

	while (done < place->packed_bytes && r == 0) {
		len = place->packed_bytes - done;
		if (len > TOC_STEP_BYTES)
			len = TOC_STEP_BYTES;
		r = pass_read(p, packed + done, (size_t)len, place->off + done);
		build_progress(&p->x->build, 1);
		done += len;
	}
	return r;
}

static int toc_fetch(struct pass *p, const struct toc_claim *claim,
		     struct toc_place *ret_place, uint8_t **ret)
{
	uint64_t size = p->x->size_bytes;
	size_t len = size < CHUNK_BYTES ? (size_t)size : CHUNK_BYTES;
	autofree uint8_t *bytes = malloc(len + 1), *packed = NULL;
	struct toc_place place = {.off = 0};
	int r = -ENOMEM;

	/* The table is mostly in the last bytes, too. */
	if (bytes)
		r = pass_read(p, bytes, len, size - len);
	if (r == 0)
		r = toc_locate(claim,
			       bytes + (len > TOC_TAIL_BYTES
						? len - TOC_TAIL_BYTES
						: 0),
			       len > TOC_TAIL_BYTES ? TOC_TAIL_BYTES : len,
			       size, &place);
	if (r < 0)
		return r;
	packed = malloc((size_t)place.packed_bytes + 1);
	if (!packed)
		return -ENOMEM;
	r = toc_fetch_table(p, &place, packed);
	if (r < 0)
		return r;
	*ret_place = place;
	*ret = steal(&packed);
	return 0;
}

/* What a table says of its pieces is held to the same limits. */
static int toc_entry(void *arg, const struct layer_entry *e)
{
	struct pass *p = arg;
	int r;

	for (size_t i = 0; i < e->pieces_len; i++) {
		if (e->pieces[i].bytes > UINT64_MAX - p->decoded)
			return -EBADMSG;
		p->decoded += e->pieces[i].bytes;
	}
	r = pass_limits(p, p->x->size_bytes);
	return r < 0 ? r : pass_entry(p, e);
}

static int toc_build(struct pass *p, const struct toc_claim *claim, char *error,
		     size_t error_len)
{
	autofree uint8_t *packed = NULL;
	struct layerindex *x = p->x;
	struct content *c = x->content;
	struct toc_place place;
	struct toc_info info;
	int r;

	r = toc_fetch(p, claim, &place, &packed);
	build_local(&x->build, true);
	if (r == 0)
		r = tree_create(c->store, x->key, p->in_memory, &p->tree);
	if (r == 0)
		r = treebuild_new(p->tree, c->options->layer_entries,
				  &p->build);
	if (r == 0)
		r = toc_read(claim, &place, packed, (size_t)place.packed_bytes,
			     toc_entry, p, &info, error, error_len);
	if (r < 0)
		return r;
	x->form = LAYER_TOC;
	x->codec = info.codec;
	x->prefetch_end = info.prefetch_end;
	r = pass_save_facts(p);
	return r < 0 ? r : pass_seal(p->tree);
}

int pass_toc(struct layerindex *x, struct blob *b, bool in_memory,
	     struct wait *w)
{
	struct pass p = {.x = x, .blob = b, .w = w, .in_memory = in_memory};
	char error[LAYERINDEX_REASON_MAX] = "no table of contents where the "
					    "manifest says";
	int r;

	ahead_init(&p.ahead, 0, false);
	r = toc_build(&p, &x->note.claim, error, sizeof(error));
	build_local(&x->build, false);
	treebuild_free(p.build);
	ahead_done(&p.ahead);
	if (r == 0) {
		layerindex_publish(x, p.tree, NULL, false);
		return 0;
	}
	tree_close(p.tree);
	if (x->form == LAYER_TOC)
		x->form = LAYER_ARCHIVE;
	x->prefetch_end = 0;
	if (r == -EBADMSG)
		layerindex_fault(x, EBADMSG, error);
	return r;
}
