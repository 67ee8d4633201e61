/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves a draft with an image that was published: all that the mount
 * shows as parts of the image now.  What others have written meanwhile stays:
 * their temporary files, and manifests that their own index.json is to come
 * for.
 */
#include <errno.h>
#include <string.h>

#include "content/doc.h"
#include "oci/manifest.h"
#include "push/draft_image.h"
#include "util/clock.h"

AUTOPTR_DEFINE(manifest, manifest_free)

static int mark(struct map *closure, const struct digest *digest)
{
	char path[160];

	draft_name_blob(digest, path);
	return map_put(closure, path, closure, NULL);
}

struct closure_walk {
	struct draft_image *image;
	struct wait *wait; /* or NULL */
	struct map *closure;
};

static int walk(const struct closure_walk *c, const struct digest *digest,
		unsigned depth);

static int walk_children(const struct closure_walk *c, const struct manifest *m,
			 unsigned depth)
{
	int r = 0;

	if (m->class == MEDIATYPE_MANIFEST)
		r = mark(c->closure, &m->config.digest);
	for (size_t i = 0; r == 0 && i < m->children_len; i++) {
		const struct digest *child = &m->children[i].digest;

		r = m->class == MEDIATYPE_INDEX ? walk(c, child, depth + 1)
						: mark(c->closure, child);
	}
	return r;
}

static int walk_at_hand(const struct closure_walk *c, struct feed *f,
			const struct digest *digest, unsigned depth)
{
	autoptr(manifest) m = NULL;
	autofree char *bytes = NULL;
	size_t len;

	if (feed_read_whole(f, MANIFEST_BYTES_MAX, &bytes, &len) < 0 ||
	    manifest_parse(bytes, len, "", digest->alg, &m, NULL) < 0)
		return 0;
	return walk_children(c, m, depth);
}

static int walk_registry(const struct closure_walk *c,
			 const struct digest *digest, unsigned depth)
{
	struct doc *doc = NULL;
	int r;

	r = doc_fetch(c->image->d->repo, digest, c->wait, &doc);
	if (r < 0)
		return r;
	r = walk_children(c, doc_manifest(doc), depth);
	doc_unref(doc);
	return r;
}

/* All that the image references, as far as its documents are at hand. */
static int walk(const struct closure_walk *c, const struct digest *digest,
		unsigned depth)
{
	autoptr(feed) f = NULL;
	char path[160];
	int r;

	draft_name_blob(digest, path);
	if (depth > MANIFEST_DEPTH_MAX || map_find(c->closure, path))
		return 0;
	r = mark(c->closure, digest);
	if (r < 0)
		return r;
	if (draft_image_find(c->image, digest, &f) == 0)
		return walk_at_hand(c, f, digest, depth);
	return c->wait ? walk_registry(c, digest, depth) : 0;
}

int draft_image_closure(struct draft_image *i, struct wait *w,
			struct map *closure)
{
	const struct closure_walk c = {
		.image = i, .wait = w, .closure = closure};

	return walk(&c, &i->digest, 0);
}

/* May this entry go? */
static bool leaves(const struct draft_entry *e, const struct map *closure,
		   bool index)
{
	struct digest ignored;
	enum draft_name name;

	if (e->busy || draft_name_parse(e->path, &name, &ignored) < 0)
		return false;
	switch (name) {
	case DRAFT_NAME_BLOB:
		return map_find(closure, e->path) != NULL;
	case DRAFT_NAME_INDEX:
	case DRAFT_NAME_MANIFEST:
		return index || S_ISLNK(e->type);
	case DRAFT_NAME_MARKER:
	case DRAFT_NAME_VIEW:
		return true;
	case DRAFT_NAME_TOP:
	case DRAFT_NAME_BLOBS:
	case DRAFT_NAME_OWN:
		break;
	}
	return false;
}

/* Directories that the image has too, the deeper ones first. */
static void clear_directories(struct draft *d)
{
	static const char *const names[] = {"blobs/sha256", "blobs/sha512",
					    "blobs"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct draft_entry *e = draft_entry_find(d, names[i]);

		if (e && !draft_has_beneath(d, names[i]))
			draft_entry_unlink(d, e, false);
	}
}

/* Is anything left that somebody may come back to? */
static bool is_unfinished(struct draft *d)
{
	const struct draft_entry *e;
	size_t pos = 0;

	while ((e = map_next(d->entries, &pos, NULL))) {
		if (S_ISREG(e->type) && !e->confirmed)
			return true;
	}
	return false;
}

static void clear_published(struct draft *d, const struct map *closure,
			    bool index)
{
	struct draft_entry *e;
	size_t pos = 0;
	bool rest;

	autolock(&d->lock);
	while ((e = map_next(d->entries, &pos, NULL))) {
		if (leaves(e, closure, index))
			draft_entry_unlink(d, e, false);
	}
	rest = !is_unfinished(d);
	pos = 0;
	while (rest && (e = map_next(d->entries, &pos, NULL))) {
		if (e->confirmed && !e->busy)
			draft_entry_unlink(d, e, false);
	}
	clear_directories(d);
	d->made = false;
	d->acknowledged = true;
	if (index)
		d->pending = false;
}

int draft_image_leave(struct draft_image *c, bool index)
{
	struct map *closure;
	int r;

	r = map_new(&closure);
	if (r < 0)
		return r;
	r = draft_image_closure(c, NULL, closure);
	if (r == 0)
		clear_published(c->d, closure, index);
	map_free(closure, NULL);
	return r;
}

/* A slow copy may have begun with its manifest: while anybody else writes here,
 * or a moment ago, none is in nobody's way. */
void draft_image_forget(struct draft_image *c)
{
	struct draft *d = c->d;
	uint64_t now = clock_ms();
	struct draft_entry *e;
	size_t pos = 0;

	autolock(&d->lock);
	if (d->writers > 1)
		return;
	while ((e = map_next(d->entries, &pos, NULL))) {
		if (e->document && !e->busy && e->writers == 0 &&
		    (int64_t)(now - e->committed_ms) > DRAFT_REST_MS)
			draft_entry_unlink(d, e, false);
	}
}

/* The file that was the image, if it was none of the blobs. */
static void find_itself(struct draft_image *c)
{
	static const char *const names[] = {"index.json", "manifest.json"};

	for (size_t i = 0; i < 2 && !c->itself; i++) {
		const struct draft_entry *e;
		struct digest got;

		{
			autolock(&c->d->lock);
			e = draft_entry_find(c->d, names[i]);
			c->feed = e && e->committed && e->feed
					  ? feed_ref(e->feed)
					  : NULL;
		}
		c->itself = c->feed &&
			    feed_digest(c->feed, c->digest.alg, &got) == 0 &&
			    digest_equal(&got, &c->digest);
		if (!c->itself)
			feed_unref(steal(&c->feed));
	}
}

void draft_published(struct outbox *o, struct repo *repo, const char *name,
		     const struct digest *digest)
{
	struct draft_image c = {.digest = *digest};
	autoptr(draft) d = NULL;
	bool index;

	if (draft_find(o, repo, name, &d) < 0)
		return;
	c.d = d;
	{
		autolock(&d->lock);
		index = d->pending && digest_equal(&d->root, digest);
	}
	find_itself(&c);
	(void)draft_image_leave(&c, index);
	feed_unref(c.feed);
	draft_settle(d);
}
