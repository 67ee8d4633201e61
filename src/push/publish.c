/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publication, in the order that keeps the name meaning one whole image:
 *
 *   walk -> blobs -> documents, children first -> the root under its name
 *     |       |                                              |
 *     |       |                 within the name's turn, if it is still wanted
 *     +-------+--> something is missing: -EAGAIN, nothing was put
 *
 * What the mount believes to be in the registry is not asked for again.  Should
 * the registry then say that something is not there, all of it is done once
 * more, believing nothing.
 */
#include "push/publish_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/known.h"
#include "oci/reference.h"
#include "push/outbox_private.h"
#include "push/upload.h"
#include "util/auto.h"
#include "util/clock.h"

void publish_object(struct repo *r, const char *name,
		    char out[PUBLISH_OBJECT_MAX])
{
	struct digest d;

	snprintf(out, PUBLISH_OBJECT_MAX, "%s/%s/%s", repo_name(r),
		 digest_parse(name, &d) == 0 ? "_manifests" : "_tags", name);
}

void publish_object_digest(struct repo *r, const struct digest *d,
			   char out[PUBLISH_OBJECT_MAX])
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	publish_object(r, text, out);
}

void publish_progress(const struct publication *p, struct wait *w)
{
	uint64_t deadline = clock_ms() + p->outbox->times.commit_budget;

	if (w->deadline_ms < deadline)
		w->deadline_ms = deadline;
}

/* --- blobs --- */

/* Begins what is not known to be there; NULL where nothing is to be done. */
static int blobs_begin(const struct closure_source *s, const struct closure *c,
		       struct upload **uploads)
{
	struct repo *repo = s->p->repo;
	uint64_t size;
	int r = 0;

	for (size_t i = 0; i < c->blobs.len && r == 0; i++) {
		const struct closure_blob *b = &c->blobs.v[i];
		const struct upload_spec spec = {
			.repo = repo,
			.digest = &b->d->digest,
			.feed = b->feed,
			.from = b->feed ? NULL : s->from,
			.size_bytes = b->d->size_bytes,
		};

		if (!s->strict && known_blob(repo, &b->d->digest, &size))
			continue;
		r = upload_begin(s->p->outbox, &spec, &uploads[i]);
	}
	return r;
}

/* The registry's own word for it, should what is known be somebody's claim. */
static int ask_size(const struct publication *p, const struct digest *d,
		    uint64_t claimed, struct wait *w, uint64_t *ret_size)
{
	int r = 0;

	if (!known_blob(p->repo, d, ret_size) || *ret_size == 0)
		*ret_size = claimed;
	if (*ret_size == claimed)
		return 0;
	learn_gone(p->repo, d);
	r = blob_find(p->repo, d, w, ret_size);
	/* Who may only write cannot ask. */
	if (r < 0)
		*ret_size = claimed;
	return r == -EINTR || r == -ENOMEM ? r : 0;
}

/* With a wrong size in it nobody could pull the image again. */
static int check_size(const struct closure_source *s,
		      const struct closure_blob *b, struct wait *w)
{
	const struct publication *p = s->p;
	char object[PUBLISH_OBJECT_MAX], text[DIGEST_TEXT_MAX];
	uint64_t size;
	int r = 0;

	if (b->feed)
		size = feed_size(b->feed);
	else
		r = ask_size(p, &b->d->digest, b->d->size_bytes, w, &size);
	if (r < 0 || size == b->d->size_bytes)
		return r;
	publish_object(p->repo, p->name, object);
	digest_format(&b->d->digest, text);
	return outbox_fault(p->outbox, p->repo, object, -EBADMSG,
			    "%s is of %" PRIu64 " bytes, and not of %" PRIu64,
			    text, size, b->d->size_bytes);
}

static int blob_wait(const struct closure_source *s, struct closure *c,
		     size_t i, struct upload *u, struct wait *w)
{
	const struct closure_blob *b = &c->blobs.v[i];
	char text[DIGEST_TEXT_MAX];
	int r = u ? upload_wait(u, w) : 0;

	if (r == 0) {
		publish_progress(s->p, w);
		return s->from ? 0 : check_size(s, b, w);
	}
	if (r != -ENOENT || b->feed || s->from)
		return r;
	/* Whatever was believed: it is not there. */
	learn_gone(s->p->repo, &b->d->digest);
	digest_format(&b->d->digest, text);
	return string_list_add_once(&c->missing, text);
}

int publish_blobs(const struct closure_source *s, struct closure *c,
		  struct wait *w)
{
	struct upload **uploads;
	int r;

	if (c->blobs.len == 0)
		return 0;
	uploads = calloc(c->blobs.len, sizeof(struct upload *));
	if (!uploads)
		return -ENOMEM;
	r = blobs_begin(s, c, uploads);
	for (size_t i = 0; i < c->blobs.len && r == 0; i++)
		r = blob_wait(s, c, i, uploads[i], w);
	for (size_t i = 0; i < c->blobs.len; i++)
		upload_unref(uploads[i]);
	free(uploads);
	return r;
}

/* --- what is kept for later --- */

void publish_docs_done(struct publish_docs *d)
{
	for (size_t i = 0; i < d->len; i++)
		manifest_free(d->v[i]);
	free(d->v);
	memset(d, 0, sizeof(*d));
}

/* Takes the documents that were parsed here out of the closure. */
static int take_docs(struct closure *c, struct publish_docs *ret)
{
	struct manifest **v =
		calloc(c->docs.len + 1, sizeof(struct manifest *));
	size_t len = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < c->docs.len; i++)
		if (c->docs.v[i].own)
			v[len++] = steal(&c->docs.v[i].own);
	*ret = (struct publish_docs){.v = v, .len = len};
	return 0;
}

static int report_missing(struct closure *c, struct string_list *missing,
			  struct publish_docs *ret_docs)
{
	int r = ret_docs ? take_docs(c, ret_docs) : 0;

	if (r < 0)
		return r;
	if (missing) {
		string_list_done(missing);
		*missing = c->missing;
		c->missing = (struct string_list){.v = NULL};
	}
	return -EAGAIN;
}

/* --- the whole --- */

static int publish_check(const struct publication *p)
{
	char object[PUBLISH_OBJECT_MAX];
	struct digest d;

	if (digest_parse(p->name, &d) < 0) {
		if (reference_is_tag(p->name))
			return 0;
	} else if (digest_equal(&d, p->root)) {
		return 0;
	}
	publish_object(p->repo, p->name, object);
	return outbox_fault(p->outbox, p->repo, object, -EINVAL,
			    "the image to be put there has another digest, or "
			    "the name is no tag");
}

static int publish_closure(const struct closure_source *s, struct closure *c,
			   struct wait *w)
{
	int r = publish_put(s, c, w);

	if (r < 0 || !s->p->from || !s->p->outbox->options->copy_referrers)
		return r;
	return referral_copy(s->p, c, w) < 0;
}

static int publish_pass(const struct closure_source *s, struct wait *w,
			struct string_list *missing,
			struct publish_docs *ret_docs)
{
	struct closure c;
	int r;

	r = closure_walk(s, w, &c);
	if (r < 0)
		return r;
	r = publish_blobs(s, &c, w);
	if (r == 0 && c.missing.len > 0)
		r = report_missing(&c, missing, ret_docs);
	else if (r == 0)
		r = publish_closure(s, &c, w);
	closure_done(&c);
	return r;
}

int publish_with(const struct publication *p, const struct publish_docs *have,
		 struct wait *w, struct string_list *missing,
		 struct publish_docs *ret_docs)
{
	struct closure_source s = {.p = p, .have = have};
	int r;

	atomic_fetch_add(&p->outbox->publications, 1);
	r = publish_check(p);
	if (r == 0)
		r = publish_pass(&s, w, missing, ret_docs);
	if (r == -ENOENT) {
		s.strict = true;
		r = publish_pass(&s, w, missing, ret_docs);
	}
	atomic_fetch_sub(&p->outbox->publications, 1);
	return r;
}

int publish(const struct publication *p, struct wait *w,
	    struct string_list *missing, struct publish_docs *ret_docs)
{
	int r = publish_with(p, NULL, w, missing, ret_docs);

	return r > 0 ? -EIO : r;
}
