/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents in memory, least recently used go first; an unused one may be
 * dropped at any time, for the store has it.  A document is immutable, and so
 * can be shared by repositories; whether a repository may have it is asked
 * anew each time (grants).
 */
#include "content/doc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "content/remember.h"
#include "registry/fetch.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/json.h"

#define DOCS_BYTES_MAX ((size_t)8 << 20)
#define ENTRY_BYTES 96 /* an entry of a map; a few allocations */

struct doc {
	atomic_uint refs;
	struct manifest *manifest;
	struct list_node
		used; /* in content->docs_used; protected by docs_lock */
	bool cached;  /* protected by docs_lock */
};

AUTOPTR_DEFINE(manifest, manifest_free)

struct doc *doc_ref(struct doc *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

void doc_unref(struct doc *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
		return;
	manifest_free(d->manifest);
	free(d);
}

const struct manifest *doc_manifest(const struct doc *d)
{
	return d->manifest;
}

/* What it takes, about: parsed, all of its text is there a second time. */
static size_t cost(const struct doc *d)
{
	const struct manifest *m = d->manifest;

	return sizeof(*d) + sizeof(*m) + 2 * m->size_bytes + ENTRY_BYTES +
	       m->children_len * (sizeof(*m->children) + ENTRY_BYTES) +
	       m->annotations_len * (sizeof(*m->annotations) + ENTRY_BYTES);
}

/* Takes it out of the memory cache; docs_lock is held. */
static void docs_drop(struct content *c, struct doc *d)
{
	char key[DIGEST_TEXT_MAX];

	digest_format(&d->manifest->digest, key);
	map_remove(c->docs, key);
	list_del(&d->used);
	c->docs_bytes -= cost(d);
	d->cached = false;
	doc_unref(d);
}

void doc_forget_all(struct content *c)
{
	autolock(&c->docs_lock);
	list_for_safe(n, &c->docs_used)
		docs_drop(c, container_of(n, struct doc, used));
}

static struct doc *docs_find(struct content *c, const struct digest *digest)
{
	char key[DIGEST_TEXT_MAX];
	struct doc *d;

	digest_format(digest, key);
	autolock(&c->docs_lock);
	d = map_find(c->docs, key);
	if (!d)
		return NULL;
	list_del(&d->used);
	list_push_back(&c->docs_used, &d->used);
	return doc_ref(d);
}

/* Wraps and caches; consumes m, also on failure. */
static int docs_add(struct content *c, struct manifest *m, struct doc **ret)
{
	autoptr(manifest) owned = m;
	char key[DIGEST_TEXT_MAX];
	struct doc *d, *old;

	old = docs_find(c, &m->digest);
	if (old) {
		*ret = old;
		return 0;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	atomic_init(&d->refs, 1);
	list_init(&d->used);
	d->manifest = steal(&owned);
	*ret = d;

	digest_format(&d->manifest->digest, key);
	autolock(&c->docs_lock);
	if (map_find(c->docs, key) || map_put(c->docs, key, d, NULL) < 0)
		return 0; /* somebody else's is cached; this one serves too */
	d->cached = true;
	doc_ref(d);
	list_push_back(&c->docs_used, &d->used);
	c->docs_bytes += cost(d);
	while (c->docs_bytes > DOCS_BYTES_MAX && c->docs_used.next != &d->used)
		docs_drop(c, container_of(c->docs_used.next, struct doc, used));
	return 0;
}

int doc_adopt(struct repo *r, struct manifest *m, struct doc **ret)
{
	struct content *c = r->content;
	struct grant_row row = {.digest = m->digest,
				.kind = GRANT_MANIFEST,
				.size_bytes = m->size_bytes};
	char identity[17];
	int e;

	/* Failing to remember is no reason to fail: it was logged there. */
	if (document_put(c->store, &m->digest, m->mediatype, m->bytes,
			 m->size_bytes) == 0 &&
	    repo_identity(r, identity) == 0)
		grant_put(c->store, r->host, r->name, identity, &row);
	repo_mark_seen(r);
	e = docs_add(c, m, ret);
	return e;
}

/* From the store, if this repository may have it. */
static int doc_load(struct repo *r, const struct digest *d, struct doc **ret)
{
	struct content *c = r->content;
	autofree char *bytes = NULL, *type = NULL;
	struct json_error err;
	struct manifest *m;
	char identity[17];
	size_t len;
	int e;

	e = repo_identity(r, identity);
	if (e < 0)
		return e;
	if (!grant_has(c->store, r->host, r->name, identity, d, NULL))
		return -ENOENT;
	*ret = docs_find(c, d);
	if (*ret)
		return 0;
	e = document_get(c->store, d, &type, &bytes, &len);
	if (e < 0)
		return e;
	e = manifest_parse(bytes, len, type, d->alg, &m, &err);
	if (e < 0)
		return e;
	if (!digest_equal(&m->digest, d)) { /* damaged on disk */
		manifest_free(m);
		return -ENOENT;
	}
	return docs_add(c, m, ret);
}

struct doc_request {
	struct repo *repo;
	const struct digest *digest;
	struct doc *doc;
};

static int doc_request_run(void *arg, struct wait *w)
{
	struct doc_request *q = arg;
	char ref[DIGEST_TEXT_MAX];
	struct manifest *m;
	int r;

	/* Another leader may just have brought it. */
	if (doc_load(q->repo, q->digest, &q->doc) == 0)
		return 0;
	digest_format(q->digest, ref);
	r = fetch_manifest(q->repo->registry, q->repo->name, ref, w, &m);
	if (r < 0)
		return r;
	return doc_adopt(q->repo, m, &q->doc);
}

int doc_fetch(struct repo *r, const struct digest *d, struct wait *w,
	      struct doc **ret)
{
	struct content *c = r->content;
	struct doc_request q = {.repo = r, .digest = d};
	char ref[DIGEST_TEXT_MAX];
	autofree char *key = NULL;
	bool led;
	int e;

	if (doc_load(r, d, ret) == 0)
		return 0;
	digest_format(d, ref);
	key = str_printf("doc %s/%s@%s", r->host, r->name, ref);
	if (!key)
		return -ENOMEM;
	e = gate_enter(&c->gate, r->host);
	if (e < 0)
		return e;
	e = single_run(c->single, key, w, doc_request_run, &q, &led);
	/* Fetched by another; without a working store that is of no use. */
	if (e == 0 && !led && doc_load(r, d, &q.doc) < 0)
		e = doc_request_run(&q, w);
	gate_leave(&c->gate, r->host);
	if (e == 0)
		*ret = q.doc;
	return e;
}

int doc_fetch_descriptor(struct repo *r, const struct descriptor *d,
			 struct wait *w, struct doc **ret)
{
	const struct manifest *m;
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;
	struct doc *doc;
	int e;

	e = doc_fetch(r, &d->digest, w, &doc);
	if (e == -ENOENT)
		remember_absent(r, &d->digest);
	if (e == -ENETDOWN && recall_absent(r, &d->digest))
		return -ENOENT;
	if (e < 0)
		return e;
	m = doc_manifest(doc);
	if (m->size_bytes == d->size_bytes &&
	    mediatype_equal(m->mediatype, d->mediatype)) {
		*ret = doc;
		return 0;
	}
	digest_format(&d->digest, digest);
	object = str_printf("%s/_manifests/%s", r->name, digest);
	content_fault(r->content, r->host, object ? object : digest, EBADMSG,
		      "size or media type differs from the descriptor's");
	doc_unref(doc);
	return -EBADMSG;
}
