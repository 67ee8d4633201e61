/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change that the registry confirmed is recorded before whoever made it is
 * told.  Answers to questions that were asked before it may arrive later: the
 * epochs of a repository tell these from newer ones.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "content/doc.h"
#include "content/known.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"

/* Registries whose lists lag do so for seconds. */
#define CHANGE_MS 30000
#define CHANGES_MAX 256
/* Repositories asked for; those that we may not name are passed over. */
#define HOLDERS_MAX 64

static void learn_repository(struct repo *r)
{
	repo_mark_seen(r);
	catalogue_learn(r->content, r->host, r->name);
}

/* --- tags --- */

/* The oldest are forgotten: of them it is not known which tags they were. */
static void forget_changes(struct repo *r, size_t n)
{
	if (n == 0)
		return;
	r->known_epoch = r->changes.v[n - 1].epoch;
	r->changes.len -= n;
	memmove(r->changes.v, r->changes.v + n,
		r->changes.len * sizeof(*r->changes.v));
}

/* The repository's lock is held. */
static void note_change(struct repo *r, const char *tag, bool gone)
{
	uint64_t now = clock_ms();
	struct tag_change change = {.gone = gone,
				    .epoch = ++r->tag_epoch,
				    .until_ms = now + CHANGE_MS};
	size_t old = 0, kept = 0;

	snprintf(change.tag, sizeof(change.tag), "%s", tag);
	while (old < r->changes.len && r->changes.v[old].until_ms <= now)
		old++;
	if (old == 0 && r->changes.len == CHANGES_MAX)
		old = 1;
	forget_changes(r, old);
	for (size_t i = 0; i < r->changes.len; i++) {
		if (strcmp(r->changes.v[i].tag, tag) != 0)
			r->changes.v[kept++] = r->changes.v[i];
	}
	r->changes.len = kept;
	if (vec_push(&r->changes, change) < 0)
		r->known_epoch = r->tag_epoch;
}

bool repo_tag_changed(const struct repo *r, const char *tag, uint64_t epoch)
{
	if (r->known_epoch > epoch)
		return true;
	for (size_t i = r->changes.len; i > 0; i--) {
		const struct tag_change *c = &r->changes.v[i - 1];

		if (c->epoch <= epoch)
			break;
		if (strcmp(c->tag, tag) == 0)
			return true;
	}
	return false;
}

int repo_tag_changes(struct repo *r, struct string_list *ret_put,
		     struct string_list *ret_gone)
{
	uint64_t now = clock_ms();
	int e = 0;

	autolock(&r->lock);
	for (size_t i = 0; e == 0 && i < r->changes.len; i++) {
		const struct tag_change *c = &r->changes.v[i];

		if (c->until_ms > now)
			e = string_list_add(c->gone ? ret_gone : ret_put,
					    c->tag);
	}
	return e;
}

/* The row is what the tag means now; NULL: nothing. */
static void change_tag(struct repo *r, const char *tag,
		       const struct tag_row *row)
{
	struct store *s = r->content->store;
	struct listing *old;
	char identity[17];
	bool named = repo_identity(r, identity) == 0;

	pthread_mutex_lock(&r->lock);
	note_change(r, tag, !row);
	/* An older row must not outlive a newer one that cannot be kept. */
	if (!row || !named ||
	    tag_put(s, r->host, r->name, identity, tag, row) < 0)
		(void)tag_forget(s, r->host, r->name, tag);
	old = steal(&r->tags);
	pthread_mutex_unlock(&r->lock);
	listing_unref(old);
}

void learn_tag(struct repo *r, const char *tag, const struct manifest *m)
{
	struct tag_row row = {.digest = m->digest,
			      .size_bytes = m->size_bytes,
			      .wall = clock_wall()};

	learn_manifest(r, m);
	snprintf(row.mediatype, sizeof(row.mediatype), "%s", m->mediatype);
	change_tag(r, tag, &row);
}

void learn_no_tag(struct repo *r, const char *tag)
{
	change_tag(r, tag, NULL);
}

/* --- objects --- */

static void learn_grant(struct repo *r, const struct digest *d,
			enum grant_kind kind, uint64_t size_bytes)
{
	struct grant_row row = {
		.digest = *d, .kind = kind, .size_bytes = size_bytes};
	char identity[17];

	if (repo_identity(r, identity) == 0)
		(void)grant_put(r->content->store, r->host, r->name, identity,
				&row);
	learn_repository(r);
}

void learn_blob(struct repo *r, const struct digest *d, uint64_t size_bytes)
{
	learn_grant(r, d, GRANT_BLOB, size_bytes);
}

void learn_blob_claimed(struct repo *r, const struct digest *d,
			uint64_t size_bytes)
{
	learn_grant(r, d, GRANT_CLAIM, size_bytes);
}

void learn_manifest(struct repo *r, const struct manifest *m)
{
	struct manifest *copy;
	struct doc *doc;

	/* Without memory it is asked for again. */
	if (manifest_parse(m->bytes, m->size_bytes, m->mediatype, m->digest.alg,
			   &copy, NULL) == 0 &&
	    doc_adopt(r, copy, &doc) == 0)
		doc_unref(doc);
	learn_repository(r);
}

void learn_gone(struct repo *r, const struct digest *d)
{
	struct store *s = r->content->store;
	struct listing *old;

	/* Its tags went with it, whichever they were. */
	pthread_mutex_lock(&r->lock);
	r->known_epoch = ++r->tag_epoch;
	(void)grant_forget(s, r->host, r->name, d);
	(void)tag_forget_digest(s, r->host, r->name, d);
	old = steal(&r->tags);
	pthread_mutex_unlock(&r->lock);
	listing_unref(old);
}

void learn_referrers(struct repo *r, const struct digest *subject)
{
	(void)subject; /* one that was asked for anew too often does no harm */
	autolock(&r->lock);
	r->referrers_epoch++;
}

/* --- questions --- */

static bool is_granted(struct repo *r, const struct digest *d,
		       struct grant_row *ret)
{
	char identity[17];

	return repo_identity(r, identity) == 0 &&
	       grant_has(r->content->store, r->host, r->name, identity, d, ret);
}

bool known_manifest(struct repo *r, const struct digest *d)
{
	struct grant_row row;

	return is_granted(r, d, &row) && row.kind == GRANT_MANIFEST;
}

bool known_blob(struct repo *r, const struct digest *d,
		uint64_t *ret_size_bytes)
{
	struct grant_row row;

	if (!is_granted(r, d, &row) || row.kind == GRANT_MANIFEST)
		return false;
	if (ret_size_bytes)
		*ret_size_bytes = row.size_bytes;
	return true;
}

struct holder {
	char *repository;
	char identity[17];
};

struct holders {
	VEC(struct holder) list;
	const char *except;
};

static void holders_done(struct holders *h)
{
	for (size_t i = 0; i < h->list.len; i++)
		free(h->list.v[i].repository);
	vec_done(&h->list);
}

static int add_holder(void *arg, const char *repository, const char *identity)
{
	struct holders *h = arg;
	struct holder one;
	int r;

	if (strcmp(repository, h->except) == 0)
		return 0;
	snprintf(one.identity, sizeof(one.identity), "%s", identity);
	one.repository = strdup(repository);
	if (!one.repository)
		return -ENOMEM;
	r = vec_push(&h->list, one);
	if (r < 0)
		free(one.repository);
	return r;
}

/* With the credential that we would use today, it was we who were given it. */
static bool may_name(struct repo *r, const struct holder *h)
{
	char identity[17];

	return allow_exact(r->content->allow, r->host, h->repository) &&
	       registry_identity(r->registry, h->repository, identity) == 0 &&
	       strcmp(identity, h->identity) == 0;
}

int known_holder(struct repo *r, const struct digest *d, char **ret)
{
	__attribute__((cleanup(holders_done))) struct holders h = {
		.except = r->name};
	int e = grant_holders(r->content->store, r->host, d, HOLDERS_MAX,
			      add_holder, &h);

	if (e < 0)
		return e;
	/* Identities may need a credential helper: not under a lock. */
	for (size_t i = 0; i < h.list.len; i++) {
		if (!may_name(r, &h.list.v[i]))
			continue;
		*ret = steal(&h.list.v[i].repository);
		return 0;
	}
	return -ENOENT;
}
