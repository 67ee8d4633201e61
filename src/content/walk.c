/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk through all that an image names, by depth.  What it names is a
 * stranger's: depth, number and size of the documents are bounded, and nothing
 * is walked twice.
 */
#include "content/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/context.h"
#include "content/doc.h"
#include "content/remember.h"
#include "util/auto.h"

#define IMAGE_ENTRIES_MAX 20000
/* Of all documents that an image keeps. */
#define IMAGE_BYTES_MAX ((size_t)32 << 20)

struct walk {
	struct repo *repo;
	const struct digest *root;
	struct wait *wait;
	struct map *seen; /* digests */
	size_t bytes;	  /* of the documents */
	struct image_parts parts;
};

static int walk_refuse(const struct walk *k, int error, const char *text)
{
	const struct repo *repo = k->repo;
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(k->root, digest);
	object = str_printf("%s/_manifests/%s", repo->name, digest);
	content_fault(repo->content, repo->host, object ? object : digest,
		      error, text);
	return -error;
}

/* 1: not met before.  What is named twice is asked for and walked once
 * (faults.md A20: indexes of indexes multiply). */
static int walk_meet(struct walk *k, const struct digest *d)
{
	char key[DIGEST_TEXT_MAX];
	int r;

	digest_format(d, key);
	if (map_find(k->seen, key))
		return 0;
	if (map_len(k->seen) >= IMAGE_ENTRIES_MAX)
		return walk_refuse(k, EFBIG, "the image has too many parts");
	r = map_put(k->seen, key, k, NULL);
	return r < 0 ? r : 1;
}

static int walk_add(struct walk *k, const struct digest *d, uint64_t size,
		    enum image_part part, const char *mediatype)
{
	struct image_entry e = {.digest = *d,
				.size_bytes = size,
				.part = part,
				.mediatype = mediatype};

	return vec_push(&k->parts.entries, e);
}

/* For who wonders why the image has a layer less. */
static void tell_foreign(const struct walk *k, const struct descriptor *d)
{
	const struct repo *repo = k->repo;
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(&d->digest, digest);
	object = str_printf("%s/_blobs/%s", repo->name, digest);
	content_fault(repo->content, repo->host, object ? object : digest,
		      ENOENT,
		      "a foreign layer that the registry does not have; its "
		      "urls are not followed");
}

/* A layer: one whose size only the registry knows, or that may be absent by
 * right (foreign layers are usually not pushed), is asked for. */
static int walk_layer(struct walk *k, const struct descriptor *d)
{
	uint64_t size = d->size_bytes;
	int r;

	r = walk_meet(k, &d->digest);
	if (r <= 0)
		return r;
	if (size == DESCRIPTOR_SIZE_UNKNOWN ||
	    mediatype_class(d->mediatype) == MEDIATYPE_FOREIGN) {
		r = blob_find(k->repo, &d->digest, k->wait, &size);
		if (r == -ENOENT)
			remember_absent(k->repo, &d->digest);
		if (r == -ENOENT && d->urls_len > 0)
			tell_foreign(k, d);
		if (r == -ENOENT ||
		    (r == -ENETDOWN && recall_absent(k->repo, &d->digest)))
			return 0;
		if (r < 0)
			return r;
	}
	return walk_add(k, &d->digest, size, PART_LAYER, d->mediatype);
}

static int walk_manifest(struct walk *k, const struct manifest *m, int depth);

/* Takes over doc, also on failure. */
static int walk_keep(struct walk *k, struct doc *doc)
{
	int r;

	k->bytes += doc_manifest(doc)->size_bytes;
	if (k->bytes > IMAGE_BYTES_MAX)
		r = walk_refuse(k, EFBIG, "the image has too large indexes");
	else
		r = vec_push(&k->parts.docs, doc);
	if (r < 0)
		doc_unref(doc);
	return r;
}

static int walk_child(struct walk *k, const struct descriptor *d, int depth)
{
	enum mediatype class = mediatype_class(d->mediatype);
	struct doc *doc;
	int r;

	if (!mediatype_is_document(class))
		return 0; /* image-spec: unknown entries are to be ignored */
	r = walk_meet(k, &d->digest);
	if (r <= 0)
		return r;
	r = doc_fetch_descriptor(k->repo, d, k->wait, &doc);
	if (r == -ENOENT)
		return 0; /* a sparse index, as mirrors leave them */
	if (r < 0)
		return r;
	r = walk_keep(k, doc);
	if (r == 0)
		r = walk_add(k, &d->digest, d->size_bytes,
			     class == MEDIATYPE_INDEX ? PART_INDEX
						      : PART_MANIFEST,
			     d->mediatype);
	return r < 0 ? r : walk_manifest(k, doc_manifest(doc), depth + 1);
}

static int walk_config(struct walk *k, const struct descriptor *d)
{
	int r = walk_meet(k, &d->digest);

	return r <= 0 ? r
		      : walk_add(k, &d->digest, d->size_bytes, PART_CONFIG,
				 d->mediatype);
}

static int walk_manifest(struct walk *k, const struct manifest *m, int depth)
{
	int r = 0;

	if (depth > MANIFEST_DEPTH_MAX)
		return walk_refuse(k, ELOOP, "indexes are nested too deep");
	if (m->class == MEDIATYPE_MANIFEST)
		r = walk_config(k, &m->config);
	for (size_t i = 0; i < m->children_len && r == 0; i++) {
		if (m->class == MEDIATYPE_INDEX)
			r = walk_child(k, &m->children[i], depth);
		else
			r = walk_layer(k, &m->children[i]);
	}
	return r;
}

static int entry_cmp(const void *pa, const void *pb)
{
	const struct image_entry *a = pa, *b = pb;

	if (a->part != b->part)
		return a->part < b->part ? -1 : 1;
	if (a->digest.alg != b->digest.alg)
		return a->digest.alg < b->digest.alg ? -1 : 1;
	return memcmp(a->digest.raw, b->digest.raw, HASH_MAX);
}

void image_parts_done(struct image_parts *p)
{
	for (size_t i = 0; i < p->docs.len; i++)
		doc_unref(p->docs.v[i]);
	vec_done(&p->docs);
	vec_done(&p->entries);
}

int walk_image(struct repo *repo, const struct manifest *root, struct wait *w,
	       struct image_parts *ret)
{
	struct walk k = {.repo = repo, .root = &root->digest, .wait = w};
	int r;

	r = map_new(&k.seen);
	if (r == 0)
		r = walk_meet(&k, &root->digest);
	if (r > 0)
		r = walk_add(&k, &root->digest, root->size_bytes, PART_ROOT,
			     root->mediatype);
	if (r == 0)
		r = walk_manifest(&k, root, 0);
	map_free(k.seen, NULL);
	if (r < 0) {
		image_parts_done(&k.parts);
		return r;
	}
	qsort(k.parts.entries.v, k.parts.entries.len,
	      sizeof(k.parts.entries.v[0]), entry_cmp);
	*ret = k.parts;
	return 0;
}
