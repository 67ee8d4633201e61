/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree on disk says in its facts all that the index needs, so that loading
 * it is opening a file.  The trees of what is no archive are a single name and
 * are made anew each time.
 */
#include "content/layerindex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "content/pass.h"
#include "util/auto.h"
#include "util/encode.h"

char *layerindex_key(const struct digest *d, const struct toc_claim *claim)
{
	char hex[129], toc[65];

	digest_hex(d, hex);
	if (claim->kind == TOC_NONE)
		return str_printf("layer-%s-%s", digest_alg_name(d), hex);
	hex_encode(claim->digest, sizeof(claim->digest), toc);
	/* Short enough for a file's name; 128 bits of it will do. */
	return str_printf("toc-%s-%s-%.32s", digest_alg_name(d), hex, toc);
}

void layerindex_fault(const struct layerindex *x, int error, const char *text)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(&x->digest, digest);
	object = str_printf("%s/_layers/%s", x->repo->name, digest);
	content_fault(x->content, x->repo->host, object ? object : digest,
		      error, text);
}

void layerindex_publish(struct layerindex *x, struct tree *t, struct stream *s,
			bool live)
{
	autolock(&x->build.lock);
	x->tree = t;
	x->stream = s;
	x->live = live;
}

static void layerindex_free(struct layerindex *x)
{
	if (!x)
		return;
	stream_free(x->stream);
	stream_free(x->old_stream);
	tree_close(x->tree);
	tree_close(x->old_tree);
	layernote_done(&x->note);
	repo_unref(x->repo);
	build_done(&x->build);
	free(x->entry);
	free(x->key);
	free(x);
}

/* --- loading --- */

static int load_points(struct layerindex *x)
{
	autofree struct tree_point *points = NULL;
	size_t len;
	int r;

	r = tree_points(x->tree, &points, &len);
	for (size_t i = 0; i < len && r == 0; i++)
		r = stream_add_point(x->stream, &points[i]);
	return r;
}

static int load_damage(struct layerindex *x)
{
	autostr text = {.max = LAYERINDEX_REASON_MAX - 1};
	int r;

	r = tree_get_text(x->tree, "damage", &text);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return r;
	x->damaged = true;
	snprintf(x->reason, sizeof(x->reason), "%s", text.buf ? text.buf : "");
	return 0;
}

static int load_stream(struct layerindex *x)
{
	autostr diff_id = {.max = DIGEST_TEXT_MAX};
	int r;

	r = stream_new(x->content->spans, x->content->store, x->codec, x->tree,
		       &x->stream);
	if (r == 0)
		r = load_points(x);
	if (r == 0)
		r = load_damage(x);
	if (r < 0)
		return r;
	if (x->damaged) {
		stream_fail(x->stream, -EBADMSG, x->decoded_bytes);
		return 0;
	}
	r = tree_get_text(x->tree, "diff_id", &diff_id);
	if (r == 0)
		r = digest_parse(diff_id.buf, &x->diff_id);
	if (r == 0)
		stream_finish(x->stream, x->decoded_bytes, &x->diff_id);
	return r;
}

static int load_facts(struct layerindex *x)
{
	int64_t form, codec = 0, size = 0, decoded = 0, prefetch = 0;
	int r;

	r = tree_get_int(x->tree, "form", &form);
	if (r == 0)
		r = tree_get_int(x->tree, "codec", &codec);
	if (r == 0)
		r = tree_get_int(x->tree, "blob_bytes", &size);
	if (r == 0)
		r = tree_get_int(x->tree, "decoded_bytes", &decoded);
	if (r == 0)
		r = tree_get_int(x->tree, "prefetch_end", &prefetch);
	if (r < 0)
		return r;
	if ((form != LAYER_ARCHIVE && form != LAYER_TOC) || codec < 0 ||
	    codec >= CODECS || size < 0 || decoded < 0 || prefetch < 0)
		return -EBADMSG;
	/* One of the two sizes is a lie, and not for certain the tree's. */
	if ((uint64_t)size != x->size_bytes)
		return -ENOENT;
	x->form = form == LAYER_TOC ? LAYER_TOC : LAYER_ARCHIVE;
	x->codec = (enum codec)codec;
	x->decoded_bytes = (uint64_t)decoded;
	x->prefetch_end = (uint64_t)prefetch;
	return x->form == LAYER_ARCHIVE ? load_stream(x) : 0;
}

/* Says nothing about what is kept. */
static bool is_shortage(int r)
{
	return r == -ENOMEM || r == -ENFILE;
}

/* Nobody looks before it is READY.  What cannot be loaded is made. */
static int layerindex_load(struct layerindex *x)
{
	int r;

	r = tree_open(x->content->store, x->key, &x->tree);
	if (r < 0)
		return is_shortage(r) ? r : -ENOENT;
	r = load_facts(x);
	if (r == 0 || is_shortage(r))
		return r;
	stream_free(steal(&x->stream));
	tree_close(steal(&x->tree));
	if (r != -ENOENT)
		tree_forget(x->content->store, x->key);
	x->damaged = false;
	return -ENOENT;
}

/* --- the build --- */

static struct layerindex *of_build(struct build *b)
{
	return container_of(b, struct layerindex, build);
}

static int layerindex_make(struct layerindex *x, struct blob *b, bool in_memory,
			   struct wait *w)
{
	int r = -EBADMSG;

	if (x->note.claim.kind != TOC_NONE)
		r = pass_toc(x, b, in_memory, w);
	return r == -EBADMSG ? pass_archive(x, b, in_memory, w) : r;
}

/* What somebody may be reading stays; the next attempt shows its own. */
static void layerindex_retire(struct layerindex *x)
{
	autolock(&x->build.lock);
	x->old_tree = steal(&x->tree);
	x->old_stream = steal(&x->stream);
	x->live = false;
}

static int layerindex_run(struct build *build, struct wait *w)
{
	struct layerindex *x = of_build(build);
	autoptr(blob) b = NULL;
	int r;

	r = layerindex_load(x);
	if (r != -ENOENT)
		return r;
	r = blob_open(x->repo, &x->digest, x->size_bytes, &b);
	if (r < 0)
		return r;
	blob_reader_checks(b);
	r = layerindex_make(x, b, false, w);
	if (r != -ENOSPC && r != -EROFS)
		return r;
	layerindex_retire(x);
	return layerindex_make(x, b, true, w);
}

static void layerindex_build_ref(struct build *b)
{
	layerindex_ref(of_build(b));
}

static void layerindex_build_unref(struct build *b)
{
	layerindex_unref(of_build(b));
}

int layerindex_start(struct layerindex *x, struct repo *r)
{
	{
		autolock(&x->content->layers_lock);
		if (!x->repo) {
			x->repo = repo_ref(r);
			x->build.host = x->repo->host;
		}
	}
	return build_start(x->content->builds, &x->build, BUILD_HEAVY);
}

/* --- the table --- */

/* What repositories call it is nobody else's business. */
static char *layerindex_entry(const char *key, const char *title)
{
	return title ? str_printf("%s %s", key, title) : strdup(key);
}

static int layerindex_new(struct repo *r, const struct digest *d,
			  uint64_t size_bytes, const struct layernote *note,
			  const char *entry, struct layerindex **ret)
{
	struct layerindex *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->key = layerindex_key(d, &note->claim);
	x->entry = strdup(entry);
	x->note.claim = note->claim;
	x->note.title = note->title ? strdup(note->title) : NULL;
	if (!x->key || !x->entry || (note->title && !x->note.title)) {
		layernote_done(&x->note);
		free(x->entry);
		free(x->key);
		free(x);
		return -ENOMEM;
	}
	build_init(&x->build);
	x->build.run = layerindex_run;
	x->build.ref = layerindex_build_ref;
	x->build.unref = layerindex_build_unref;
	x->content = r->content;
	x->refs = 1;
	x->digest = *d;
	x->size_bytes = size_bytes;
	*ret = x;
	return 0;
}

/* May it be handed to this repository, as it is? */
static bool layerindex_usable(struct layerindex *x, const struct repo *r,
			      uint64_t size_bytes)
{
	if (x->size_bytes != size_bytes)
		return false;
	return build_state(&x->build) != BUILD_FAILED ||
	       (x->repo == r && !build_spent(&x->build));
}

/* layers_lock is held. */
static struct layerindex *layerindex_find(struct repo *r, const char *entry,
					  uint64_t size_bytes)
{
	struct layerindex *x = map_find(r->content->layers, entry);

	if (!x)
		return NULL;
	if (layerindex_usable(x, r, size_bytes)) {
		x->refs++;
		return x;
	}
	map_remove(r->content->layers, entry);
	x->listed = false;
	return NULL;
}

int layerindex_open(struct repo *r, const struct digest *d, uint64_t size_bytes,
		    const struct layernote *note, struct layerindex **ret)
{
	autofree char *key = layerindex_key(d, &note->claim), *entry = NULL;
	struct content *c = r->content;
	struct layerindex *x;
	int e;

	if (key)
		entry = layerindex_entry(key, note->title);
	if (!entry)
		return -ENOMEM;
	autolock(&c->layers_lock);
	x = layerindex_find(r, entry, size_bytes);
	if (!x) {
		e = layerindex_new(r, d, size_bytes, note, entry, &x);
		if (e < 0)
			return e;
		e = map_put(c->layers, entry, x, NULL);
		if (e < 0) {
			layerindex_free(x);
			return e;
		}
		x->listed = true;
	}
	*ret = x;
	return 0;
}

struct layerindex *layerindex_ref(struct layerindex *x)
{
	autolock(&x->content->layers_lock);
	x->refs++;
	return x;
}

void layerindex_unref(struct layerindex *x)
{
	if (!x)
		return;
	{
		autolock(&x->content->layers_lock);
		if (--x->refs > 0)
			return;
		if (x->listed)
			map_remove(x->content->layers, x->entry);
	}
	layerindex_free(x);
}
