/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What refers to an image (signatures, SBOMs) goes along with a copy of it:
 * for each document of the image, each manifest that names it as its subject
 * in the place that it was copied from, and what refers to that in turn.  Each
 * is published by its digest, with everything from the source repository.
 *
 * The image itself is there by now.  A referrer that cannot be had is named in
 * the records, the others are copied, and the whole is -EIO.
 */
#include "push/publish_private.h"

#include <errno.h>
#include <string.h>

#include "content/image.h"
#include "push/outbox_private.h"

struct referral {
	const struct publication *p; /* of the image */
	struct wait *wait;
	struct map *seen; /* subjects and referrers */
	size_t copied;
	bool failed;
};

/* 1: not met before. */
static int referral_meet(struct referral *k, const struct digest *d)
{
	char key[DIGEST_TEXT_MAX];
	int r;

	digest_format(d, key);
	if (map_find(k->seen, key))
		return 0;
	r = map_put(k->seen, key, k, NULL);
	return r < 0 ? r : 1;
}

/* What ends the copying altogether. */
static bool is_end(int error)
{
	return error == -EINTR || error == -ENOMEM || error == -ESHUTDOWN;
}

static int referral_fault(struct referral *k, const struct digest *d,
			  const char *what, int error)
{
	char object[PUBLISH_OBJECT_MAX];

	if (is_end(error))
		return error;
	k->failed = true;
	publish_object_digest(k->p->repo, d, object);
	outbox_fault(k->p->outbox, k->p->repo, object, -EIO, "%s: %s", what,
		     strerror(-error));
	return 0;
}

static int referral_publish(struct referral *k, const struct descriptor *d)
{
	char name[DIGEST_TEXT_MAX];
	const struct publication p = {.outbox = k->p->outbox,
				      .repo = k->p->repo,
				      .name = name,
				      .root = &d->digest,
				      .mediatype = d->mediatype};
	const struct closure_source s = {.p = &p, .from = k->p->from};
	struct closure c;
	int r;

	digest_format(&d->digest, name);
	r = closure_walk(&s, k->wait, &c);
	if (r < 0)
		return r;
	if (c.missing.len > 0)
		r = -ENOENT;
	if (r == 0)
		r = publish_blobs(&s, &c, k->wait);
	if (r == 0)
		r = publish_put(&s, &c, k->wait);
	closure_done(&c);
	return r;
}

static int referral_of(struct referral *k, const struct digest *subject,
		       unsigned depth);

static int referral_one(struct referral *k, const struct descriptor *d,
			unsigned depth)
{
	int r = referral_meet(k, &d->digest);

	if (r <= 0)
		return r;
	if (k->copied >= REFERRAL_MAX)
		return referral_fault(k, &d->digest,
				      "one referrer too many, not copied",
				      -EFBIG);
	k->copied++;
	r = referral_publish(k, d);
	if (r < 0)
		return referral_fault(k, &d->digest, "referrer not copied", r);
	return depth < REFERRAL_DEPTH_MAX
		       ? referral_of(k, &d->digest, depth + 1)
		       : 0;
}

static int referral_of(struct referral *k, const struct digest *subject,
		       unsigned depth)
{
	const struct descriptor *v;
	struct image *image;
	size_t len;
	int r;

	r = image_open(k->p->from, subject, NULL, &image);
	if (r < 0)
		return r;
	r = image_referrers(image, k->wait, &v, &len);
	if (r < 0)
		r = referral_fault(k, subject, "its referrers are not known",
				   r);
	else
		for (size_t i = 0; i < len && r == 0; i++)
			r = referral_one(k, &v[i], depth);
	image_unref(image);
	return r;
}

static bool is_same(struct repo *a, struct repo *b)
{
	return strcmp(repo_host(a), repo_host(b)) == 0 &&
	       strcmp(repo_name(a), repo_name(b)) == 0;
}

int referral_copy(const struct publication *p, const struct closure *c,
		  struct wait *w)
{
	struct referral k = {.p = p, .wait = w};
	int r;

	if (is_same(p->repo, p->from))
		return 0;
	r = map_new(&k.seen);
	for (size_t i = 0; i < c->docs.len && r == 0; i++)
		r = referral_meet(&k, &c->docs.v[i].m->digest) < 0 ? -ENOMEM
								   : 0;
	for (size_t i = 0; i < c->docs.len && r == 0; i++)
		r = referral_of(&k, &c->docs.v[i].m->digest, 1);
	map_free(k.seen, NULL);
	if (r == 0 && k.failed)
		r = -EIO;
	return r;
}
