/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which image a newly written index.json means, and where its documents are.
 * Of several descriptors the new one is meant: that can only be seen beside the
 * file that was there before, which may be in the draft, or that of the image
 * that the name means now.
 */
#include "push/draft_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/resolve.h"
#include "oci/layout.h"
#include "oci/manifest.h"
#include "push/outbox_private.h"
#include "push/publish.h"
#include "util/json.h"

AUTOPTR_DEFINE(manifest, manifest_free)

void draft_image_done(struct draft_image *c)
{
	free(c->bytes);
	free(c->mediatype);
}

/* What `index.json` was: the one in the draft, and that of the image that the
 * name means now.  Empty if there is none. */
static int old_in_draft(struct draft *d, struct str *out)
{
	autoptr(feed) f = NULL;
	autofree char *bytes = NULL;
	size_t len;
	int r;

	{
		autolock(&d->lock);
		const struct draft_entry *e = draft_entry_find(d, "index.json");

		if (e && e->committed && e->feed)
			f = feed_ref(e->feed);
	}
	if (!f)
		return 0;
	r = feed_read_whole(f, MANIFEST_BYTES_MAX, &bytes, &len);
	return r < 0 ? r : str_addn(out, bytes, len);
}

static int old_published(struct draft *d, struct wait *w, struct str *out)
{
	struct descriptor desc = {0};
	struct resolved res;
	int r;

	if (strchr(d->name, ':'))
		return 0;
	r = resolve_tag(d->repo, d->name, w, &res);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	desc.mediatype = res.mediatype;
	desc.digest = res.digest;
	desc.size_bytes = res.size_bytes;
	return layout_index(&desc, d->name, out);
}

static int choose(struct draft_image *c, const struct str *old, struct str *why)
{
	struct descriptor root = {0};
	bool itself = false;
	int r;

	str_clear(why);
	r = publish_choose(c->bytes, c->len, old->len ? old->buf : NULL,
			   old->len, c->d->name, &root, &itself, why);
	if (r < 0)
		return r;
	c->itself = itself;
	if (itself)
		digest_of(HASH_SHA256, c->bytes, c->len, &c->digest);
	else
		c->digest = root.digest;
	c->mediatype = strdup(!itself && root.mediatype ? root.mediatype : "");
	descriptor_done(&root);
	return c->mediatype ? 0 : -ENOMEM;
}

static bool lists_several(const struct draft_image *c)
{
	autoptr(manifest) m = NULL;

	return manifest_parse(c->bytes, c->len, "", HASH_SHA256, &m, NULL) ==
		       0 &&
	       m->class == MEDIATYPE_INDEX && m->children_len > 1;
}

/* Which of several is new can only be seen beside the old one. */
static int choose_beside(struct draft_image *c, struct wait *w, struct str *why)
{
	autostr old = {0};
	int r;

	r = old_in_draft(c->d, &old);
	if (r < 0)
		return r;
	if (old.len || !lists_several(c)) {
		r = choose(c, &old, why);
		if (r != -EINVAL || !old.len)
			return r;
	}
	str_clear(&old);
	r = old_published(c->d, w, &old);
	return r < 0 ? r : choose(c, &old, why);
}

static int choose_index(struct draft_image *c, struct wait *w)
{
	autofree char *object = NULL;
	autostr why = {0};
	int r;

	r = choose_beside(c, w, &why);
	if (r != -EINVAL)
		return r;
	object = draft_object(c->d, "index.json");
	if (!object)
		return -ENOMEM;
	return outbox_fault(c->d->o, c->d->repo, object, -EINVAL, "%s",
			    why.len ? why.buf : "no image index");
}

/* manifest.json is the document. */
static int choose_manifest(struct draft_image *c)
{
	autoptr(manifest) m = NULL;
	autofree char *object = NULL;
	struct json_error err = {{0}};
	struct digest name;
	enum hash_alg alg = HASH_SHA256;
	int r;

	if (digest_parse(c->d->name, &name) == 0)
		alg = name.alg;
	r = manifest_parse(c->bytes, c->len, "", alg, &m, &err);
	if (r == -EBADMSG) {
		object = draft_object(c->d, "manifest.json");
		return object ? outbox_fault(c->d->o, c->d->repo, object,
					     -EINVAL, "%s", err.text)
			      : -ENOMEM;
	}
	if (r < 0)
		return r;
	c->itself = true;
	c->digest = m->digest;
	c->mediatype = strdup(m->mediatype);
	return c->mediatype ? 0 : -ENOMEM;
}

int draft_image_choose(struct draft_image *c, struct wait *w)
{
	return c->kind == DRAFT_NAME_INDEX ? choose_index(c, w)
					   : choose_manifest(c);
}

/* --- what is at hand --- */

int draft_image_find(void *arg, const struct digest *digest, struct feed **ret)
{
	const struct draft_image *c = arg;
	const struct draft_entry *e;
	char path[160];

	if (c->itself && digest_equal(digest, &c->digest)) {
		*ret = feed_ref(c->feed);
		return 0;
	}
	draft_name_blob(digest, path);
	autolock(&c->d->lock);
	e = draft_entry_find(c->d, path);
	if (!e || !e->committed || !e->feed)
		return -ENOENT;
	*ret = feed_ref(e->feed);
	return 0;
}
