/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a commit does, by the name that the file has.  A manifest among the
 * blobs is only kept: it can be put when all that it references is there, and
 * that is when index.json says which image is meant.
 *
 * No lock is held across any of this.  Images of one name are published one
 * after the other (`publishing`), so that the one written last is what remains.
 */
#include <errno.h>
#include <string.h>

#include "content/known.h"
#include "oci/manifest.h"
#include "push/draft_image.h"
#include "push/outbox_private.h"
#include "push/pending.h"
#include "push/publish.h"

#define LOOKS_MAX 3

AUTOPTR_DEFINE(manifest, manifest_free)

/* --- blobs --- */

/* Is it a document of an image?  1: yes, and *ret_digest its digest. */
static int parse_document(struct feed *f, enum hash_alg alg,
			  struct digest *ret_digest)
{
	autoptr(manifest) m = NULL;
	autofree char *bytes = NULL;
	size_t len, blank;
	int r;

	if (feed_size(f) > MANIFEST_BYTES_MAX)
		return 0;
	r = feed_read_whole(f, MANIFEST_BYTES_MAX, &bytes, &len);
	if (r < 0)
		return r;
	blank = strspn(bytes, " \t\r\n");
	if (blank >= len || bytes[blank] != '{')
		return 0;
	r = manifest_parse(bytes, len, "", alg, &m, NULL);
	if (r == -EBADMSG)
		return 0;
	if (r < 0)
		return r;
	if (!mediatype_is_document(m->class))
		return 0;
	*ret_digest = m->digest;
	return 1;
}

static int mismatch(const struct draft_blob *b, const struct digest *got)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(got, text);
	return outbox_fault(b->outbox, b->repo, b->object, -EBADMSG,
			    "the bytes written are %s", text);
}

static int send(const struct draft_blob *b, struct upload **u, struct wait *w)
{
	struct upload_spec spec = {
		.repo = b->repo, .digest = b->digest, .feed = b->feed};
	autoptr(upload) mine = steal(u);
	int r = -ESTALE;

	if (mine)
		r = upload_wait(mine, w);
	/* One that had read what was changed after that; or nobody's any
	 * more, and so cancelled. */
	if (r != -ESTALE && r != -ECANCELED)
		return r;
	upload_unref(steal(&mine));
	r = upload_begin(b->outbox, &spec, &mine);
	return r < 0 ? r : upload_wait(mine, w);
}

int draft_commit_blob(const struct draft_blob *b, struct upload **u,
		      struct wait *w, struct draft_outcome *ret)
{
	struct digest got, whole;
	bool document;
	int r;

	feed_end(b->feed);
	r = feed_digest(b->feed, b->digest->alg, &got);
	if (r < 0)
		return r;
	whole = got;
	r = b->documents ? parse_document(b->feed, b->digest->alg, &got) : 0;
	if (r < 0)
		return r;
	document = r > 0;
	/* A signed schema 1 document is named by its payload. */
	if (!digest_equal(&got, b->digest) && !digest_equal(&whole, b->digest))
		return mismatch(b, &whole);
	if (!document) {
		r = send(b, u, w);
		if (r < 0)
			return r;
	}
	*ret = (struct draft_outcome){
		.feed = document ? b->feed : NULL,
		.size_bytes = feed_size(b->feed),
		.confirmed = !document,
		.document = document,
		.held = document && known_manifest(b->repo, b->digest)};
	return 0;
}

int draft_poke(struct draft *d, const struct digest *digest,
	       const struct draft_outcome *out, struct wait *w)
{
	return pending_poke(d->o, d->repo, digest,
			    out->document ? out->feed : NULL, w);
}

/* --- publishing --- */

static int enter(struct draft *d, struct wait *w)
{
	int r = 0;

	autolock(&d->lock);
	while (d->publishing && r == 0)
		r = wait_cond(w, &d->idle, &d->lock);
	if (r == 0)
		d->publishing = true;
	return r;
}

static void leave(struct draft *d)
{
	autolock(&d->lock);
	d->publishing = false;
	pthread_cond_broadcast(&d->idle);
}

/* What arrived while it was being recorded that it is missing told nobody. */
static int poke_arrived(struct draft_image *c,
			const struct string_list *missing, struct wait *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < missing->len; i++) {
		autoptr(feed) f = NULL;
		struct digest digest;
		uint64_t size;

		if (digest_parse(missing->v[i], &digest) < 0)
			continue;
		if (draft_image_find(c, &digest, &f) == 0 ||
		    known_blob(c->d->repo, &digest, &size))
			r = pending_poke(c->d->o, c->d->repo, &digest, f, w);
	}
	return r;
}

static int become_pending(struct draft_image *c, const struct publication *p,
			  const struct string_list *missing,
			  const struct publish_docs *docs)
{
	int r;

	r = pending_add(p, missing, docs);
	if (r < 0)
		return r;
	autolock(&c->d->lock);
	c->d->pending = c->d->acknowledged = true;
	c->d->root = c->digest;
	return 0;
}

/* One that was closed with success in here: nobody is going to write it again,
 * so the image would be pending for ever. */
static const char *find_lost(struct draft *d, const struct string_list *missing)
{
	const struct draft_entry *e;
	struct digest digest;
	char path[160];

	autolock(&d->lock);
	for (size_t i = 0; i < missing->len; i++) {
		if (digest_parse(missing->v[i], &digest) < 0)
			continue;
		draft_name_blob(&digest, path);
		e = draft_entry_find(d, path);
		if (e && e->confirmed)
			return missing->v[i];
	}
	return NULL;
}

static int report_lost(struct draft *d, const char *digest)
{
	autofree char *object = draft_object(d, "index.json");

	if (!object)
		return -ENOMEM;
	return outbox_fault(d->o, d->repo, object, -ENOENT,
			    "the registry has lost what it confirmed: %s",
			    digest);
}

/* What somebody confirms while it is looked for is no loss: once more then. */
static int publish_what_is_there(struct draft *d, const struct publication *p,
				 struct wait *w, struct string_list *missing,
				 struct publish_docs *docs)
{
	const char *lost = NULL;
	int r;

	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		string_list_done(missing);
		publish_docs_done(docs);
		r = publish(p, w, missing, docs);
		lost = r == -EAGAIN ? find_lost(d, missing) : NULL;
		if (!lost)
			return r;
	}
	return report_lost(d, lost);
}

static struct repo *copied_from(struct draft *d)
{
	autolock(&d->lock);
	return d->from ? repo_ref(d->from) : NULL;
}

static int publish_root(struct draft_image *c, struct wait *w,
			enum draft_root *ret)
{
	autoptr(repo) from = copied_from(c->d);
	struct publication p = {.outbox = c->d->o,
				.repo = c->d->repo,
				.name = c->d->name,
				.root = &c->digest,
				.mediatype = c->mediatype,
				.find = draft_image_find,
				.arg = c,
				.from = from};
	autostrings missing = {0};
	struct publish_docs docs = {0};
	int r;

	r = publish_what_is_there(c->d, &p, w, &missing, &docs);
	if (r == -EAGAIN) {
		r = become_pending(c, &p, &missing, &docs);
		publish_docs_done(&docs);
		if (r < 0)
			return r;
		*ret = DRAFT_ROOT_PENDING;
		return poke_arrived(c, &missing, w);
	}
	publish_docs_done(&docs);
	if (r < 0)
		return r;
	/* Those of this name were written earlier. */
	pending_forget(c->d->o, c->d->repo, c->d->name);
	*ret = DRAFT_ROOT_PUBLISHED;
	r = draft_image_leave(c, true);
	if (r == 0)
		draft_image_forget(c);
	return r;
}

static int report_large(const struct draft_image *c)
{
	autofree char *object = draft_object(c->d, c->kind == DRAFT_NAME_INDEX
							   ? "index.json"
							   : "manifest.json");

	return object ? outbox_fault(c->d->o, c->d->repo, object, -EFBIG,
				     "over %zu bytes", MANIFEST_BYTES_MAX)
		      : -ENOMEM;
}

static int commit_root(struct draft_image *c, struct wait *w,
		       enum draft_root *ret)
{
	int r;

	*ret = DRAFT_ROOT_KEPT;
	r = feed_read_whole(c->feed, MANIFEST_BYTES_MAX, &c->bytes, &c->len);
	if (r == -EFBIG)
		return report_large(c);
	if (r < 0)
		return r;
	r = draft_image_choose(c, w);
	if (r == -ENODATA)
		return 0;
	return r < 0 ? r : publish_root(c, w, ret);
}

int draft_commit_root(struct draft *d, enum draft_name kind, struct feed *f,
		      struct wait *w, enum draft_root *ret)
{
	struct draft_image c = {.d = d, .kind = kind, .feed = f};
	enum draft_root become;
	int r;

	feed_end(f);
	r = enter(d, w);
	if (r < 0)
		return r;
	r = commit_root(&c, w, &become);
	draft_note_root(d, r);
	leave(d);
	draft_image_done(&c);
	if (r == 0)
		*ret = become;
	return r;
}

void draft_note_root(struct draft *d, int error)
{
	autolock(&d->lock);
	/* A caller that was interrupted is not the one who asks. */
	d->failed = error == -EINTR ? -EIO : error;
}

int draft_keep_root(struct draft *d, struct draft_entry *e,
		    const struct draft_outcome *out, enum draft_root become)
{
	int r;

	if (become == DRAFT_ROOT_PUBLISHED)
		return 0;
	r = draft_entry_commit(d, e, out);
	if (r < 0 || become != DRAFT_ROOT_PENDING)
		return r;
	/* Its last blob may have come meanwhile. */
	autolock(&d->lock);
	if (!d->pending)
		draft_entry_unlink(d, e, false);
	return 0;
}
