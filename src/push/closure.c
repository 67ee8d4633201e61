/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image needs, found by walking down from its root.  A document is
 * looked for where it costs least: at hand, then in the destination, where it
 * may be a manifest or (some tools send them so) a plain blob.  What the
 * registry holds as a manifest it has checked itself: such a document is
 * neither put nor walked, unless the walk is strict because the registry has
 * just denied something that it was believed to have.
 *
 * What a stranger's document names is bounded by depth, count and size, and
 * nothing is walked twice.
 */
#include "push/publish_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>

#include "content/blob.h"
#include "content/doc.h"
#include "content/known.h"
#include "push/outbox_private.h"
#include "util/auto.h"
#include "util/json.h"

AUTOPTR_DEFINE(manifest, manifest_free)
AUTOPTR_DEFINE(doc, doc_unref)

struct walk {
	const struct closure_source *s;
	struct wait *wait;
	struct map *docs;  /* digest -> height + 1 of those met */
	struct map *blobs; /* those met */
	size_t bytes;	   /* of the documents */
	struct closure c;
};

/* A document that is wanted. */
struct target {
	const struct digest *digest;
	const char *mediatype;
	uint64_t size_bytes; /* or DESCRIPTOR_SIZE_UNKNOWN */
};

static void closure_doc_done(struct closure_doc *d)
{
	manifest_free(d->own);
	doc_unref(d->doc);
}

void closure_done(struct closure *c)
{
	for (size_t i = 0; i < c->docs.len; i++)
		closure_doc_done(&c->docs.v[i]);
	for (size_t i = 0; i < c->blobs.len; i++)
		feed_unref(c->blobs.v[i].feed);
	vec_done(&c->docs);
	vec_done(&c->blobs);
	string_list_done(&c->missing);
}

static int walk_refuse(const struct walk *k, const struct digest *d, int error,
		       const char *text)
{
	const struct publication *p = k->s->p;
	char object[PUBLISH_OBJECT_MAX];

	publish_object_digest(p->repo, d, object);
	return outbox_fault(p->outbox, p->repo, object, error, "%s", text);
}

static int walk_miss(struct walk *k, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return string_list_add_once(&k->c.missing, text);
}

/* --- getting a document --- */

static int check_target(const struct walk *k, const struct target *t,
			const struct manifest *m)
{
	if (!digest_equal(&m->digest, t->digest))
		return walk_refuse(k, t->digest, -EBADMSG,
				   "the bytes are not what the digest says");
	if (t->size_bytes != DESCRIPTOR_SIZE_UNKNOWN &&
	    t->size_bytes != m->size_bytes)
		return walk_refuse(k, t->digest, -EBADMSG,
				   "its size is not the descriptor's");
	if (!mediatype_is_generic(t->mediatype) &&
	    !mediatype_equal(t->mediatype, m->mediatype))
		return walk_refuse(k, t->digest, -EBADMSG,
				   "its media type is not the descriptor's");
	return 0;
}

static int parse_target(const struct walk *k, const struct target *t,
			const char *bytes, size_t len, struct manifest **ret)
{
	struct json_error err = {""};
	autoptr(manifest) m = NULL;
	struct digest got;
	int r;

	r = manifest_parse(bytes, len, t->mediatype, t->digest->alg, &m, &err);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		/* -EBADMSG is kept for bytes that do not match. */
		digest_of(t->digest->alg, bytes, len, &got);
		if (digest_equal(&got, t->digest))
			return walk_refuse(k, t->digest,
					   r == -EFBIG ? r : -EINVAL, err.text);
		return walk_refuse(k, t->digest, -EBADMSG,
				   "the bytes are not what the digest says");
	}
	r = check_target(k, t, m);
	if (r == 0)
		*ret = steal(&m);
	return r;
}

/* A file that is still being written is not at hand. */
static int find_feed(const struct walk *k, const struct digest *d,
		     struct feed **ret)
{
	const struct publication *p = k->s->p;

	return p->find && !k->s->from ? p->find(p->arg, d, ret) : -ENOENT;
}

static int get_at_hand(struct walk *k, const struct target *t,
		       struct closure_doc *ret)
{
	const struct publish_docs *have = k->s->have;
	autoptr(feed) feed = NULL;
	autofree char *bytes = NULL;
	size_t len;
	int r;

	for (size_t i = 0; have && i < have->len; i++) {
		if (!digest_equal(&have->v[i]->digest, t->digest))
			continue;
		ret->m = have->v[i];
		return check_target(k, t, ret->m);
	}
	r = find_feed(k, t->digest, &feed);
	if (r < 0)
		return r;
	if (!feed_ended(feed))
		return -ENOENT;
	r = feed_read_whole(feed, MANIFEST_BYTES_MAX, &bytes, &len);
	if (r == -EFBIG)
		return walk_refuse(k, t->digest, r, "too large for a manifest");
	if (r == 0)
		r = parse_target(k, t, bytes, len, &ret->own);
	if (r == 0)
		ret->m = ret->own;
	return r;
}

static int get_manifest(struct walk *k, struct repo *repo,
			const struct target *t, struct closure_doc *ret)
{
	autoptr(doc) doc = NULL;
	int r;

	r = doc_fetch(repo, t->digest, k->wait, &doc);
	if (r == 0)
		r = check_target(k, t, doc_manifest(doc));
	if (r == 0) {
		ret->m = doc_manifest(doc);
		ret->doc = steal(&doc);
	}
	return r;
}

static int get_blob(struct walk *k, const struct target *t,
		    struct closure_doc *ret)
{
	struct repo *repo = k->s->p->repo;
	autofree char *bytes = NULL;
	uint64_t size;
	int r;

	if (!known_blob(repo, t->digest, &size) || size > MANIFEST_BYTES_MAX)
		return -ENOENT;
	r = blob_read_whole(repo, t->digest, size, MANIFEST_BYTES_MAX, k->wait,
			    &bytes);
	if (r == 0)
		r = parse_target(k, t, bytes, (size_t)size, &ret->own);
	if (r == 0)
		ret->m = ret->own;
	return r;
}

/* -ENOENT: it is nowhere. */
static int walk_get(struct walk *k, const struct target *t,
		    struct closure_doc *ret)
{
	const struct closure_source *s = k->s;
	int r;

	ret->put = true;
	if (s->from)
		return get_manifest(k, s->from, t, ret);
	r = get_at_hand(k, t, ret);
	if (r != -ENOENT)
		return r;
	r = get_manifest(k, s->p->repo, t, ret);
	if (r == 0)
		ret->put = s->strict;
	/* A repository that is not there yet is often EACCES to a reader; who
	 * really may not write is told so by what is put. */
	if (r != -ENOENT && r != -EACCES)
		return r;
	return get_blob(k, t, ret);
}

/* --- the walk --- */

static int walk_doc(struct walk *k, const struct target *t, unsigned depth,
		    unsigned *ret_height);

static int walk_blob(struct walk *k, const struct descriptor *d, bool required)
{
	struct closure_blob b = {.d = d};
	char key[DIGEST_TEXT_MAX];
	int r;

	digest_format(&d->digest, key);
	if (map_find(k->blobs, key))
		return 0;
	if (map_len(k->blobs) >= CLOSURE_BLOBS_MAX)
		return walk_refuse(k, &d->digest, -EFBIG,
				   "the image has too many blobs");
	r = map_put(k->blobs, key, k, NULL);
	if (r == 0)
		r = find_feed(k, &d->digest, &b.feed);
	if (r < 0 && r != -ENOENT)
		return r;
	/* Layers that may not be distributed are where their urls say; the urls
	 * of all others are only one more place. */
	if (d->urls_len > 0 &&
	    mediatype_class(d->mediatype) == MEDIATYPE_FOREIGN)
		required = false;
	if (!b.feed && !required)
		return 0;
	r = vec_push(&k->c.blobs, b);
	if (r < 0)
		feed_unref(b.feed);
	return r;
}

static int walk_child(struct walk *k, const struct descriptor *d,
		      unsigned depth, unsigned *ret_height)
{
	const struct target t = {.digest = &d->digest,
				 .mediatype = d->mediatype,
				 .size_bytes = d->size_bytes};
	unsigned height = 0;
	int r;

	/* image-spec: entries of an unknown kind are to be ignored. */
	if (!mediatype_is_document(mediatype_class(d->mediatype)))
		return walk_blob(k, d, false);
	r = walk_doc(k, &t, depth + 1, &height);
	if (r == 0 && *ret_height <= height)
		*ret_height = height + 1;
	return r;
}

static int walk_children(struct walk *k, const struct manifest *m,
			 unsigned depth, unsigned *ret_height)
{
	unsigned height = 0;
	int r = 0;

	if (m->class == MEDIATYPE_MANIFEST)
		r = walk_blob(k, &m->config, true);
	for (size_t i = 0; i < m->children_len && r == 0; i++) {
		if (m->class == MEDIATYPE_INDEX)
			r = walk_child(k, &m->children[i], depth, &height);
		else
			r = walk_blob(k, &m->children[i], true);
	}
	if (r == 0)
		*ret_height = height;
	return r;
}

/* Takes over d, also on failure. */
static int walk_keep(struct walk *k, struct closure_doc *d)
{
	int r;

	k->bytes += d->m->size_bytes;
	if (k->bytes > CLOSURE_BYTES_MAX)
		r = walk_refuse(k, &d->m->digest, -EFBIG,
				"the image has too large manifests");
	else
		r = vec_push(&k->c.docs, *d);
	if (r < 0)
		closure_doc_done(d);
	return r;
}

/* 1: not met before. */
static int walk_meet(struct walk *k, const struct digest *d, const char *key,
		     unsigned *ret_height)
{
	const void *met = map_find(k->docs, key);
	int r;

	if (met) {
		*ret_height = (unsigned)((uintptr_t)met - 1);
		return 0;
	}
	if (map_len(k->docs) >= CLOSURE_DOCUMENTS_MAX)
		return walk_refuse(k, d, -EFBIG,
				   "the image has too many manifests");
	r = map_put(k->docs, key, (void *)(uintptr_t)1, NULL);
	return r < 0 ? r : 1;
}

static int walk_doc(struct walk *k, const struct target *t, unsigned depth,
		    unsigned *ret_height)
{
	struct closure_doc d = {.m = NULL};
	char key[DIGEST_TEXT_MAX];
	int r;

	if (depth > MANIFEST_DEPTH_MAX)
		return walk_refuse(k, t->digest, -ELOOP,
				   "indexes are nested too deep");
	digest_format(t->digest, key);
	r = walk_meet(k, t->digest, key, ret_height);
	if (r <= 0)
		return r;
	r = walk_get(k, t, &d);
	if (r == -ENOENT) {
		*ret_height = 0;
		return walk_miss(k, t->digest);
	}
	if (r == 0 && d.put)
		r = walk_children(k, d.m, depth, &d.height);
	if (r == 0)
		r = map_put(k->docs, key, (void *)((uintptr_t)d.height + 1),
			    NULL);
	if (r < 0) {
		closure_doc_done(&d);
		return r;
	}
	*ret_height = d.height;
	return walk_keep(k, &d);
}

static int height_cmp(const void *pa, const void *pb)
{
	const struct closure_doc *a = pa, *b = pb;

	return (a->height > b->height) - (a->height < b->height);
}

int closure_walk(const struct closure_source *s, struct wait *w,
		 struct closure *ret)
{
	const struct target root = {
		.digest = s->p->root,
		.mediatype = s->p->mediatype ? s->p->mediatype : "",
		.size_bytes = DESCRIPTOR_SIZE_UNKNOWN};
	struct walk k = {.s = s, .wait = w};
	unsigned height = 0;
	int r;

	r = map_new(&k.docs);
	if (r == 0)
		r = map_new(&k.blobs);
	if (r == 0)
		r = walk_doc(&k, &root, 0, &height);
	map_free(k.docs, NULL);
	map_free(k.blobs, NULL);
	if (r < 0) {
		closure_done(&k.c);
		return r;
	}
	/* All others are beneath the root, so it is the highest. */
	if (k.c.docs.len > 1)
		qsort(k.c.docs.v, k.c.docs.len, sizeof(k.c.docs.v[0]),
		      height_cmp);
	*ret = k.c;
	return 0;
}
