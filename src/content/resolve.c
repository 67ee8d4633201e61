/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The age of an answer is kept in the store, with the answer: it outlives the
 * mount, and a restart costs no requests.
 */
#include "content/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "content/context.h"
#include "content/doc.h"
#include "registry/fetch.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/clock.h"

#define ABSENT_MS 1000

/* ms for which the row may still be believed; a clock set back ends it. */
static uint64_t row_fresh_ms(const struct content *c, const struct tag_row *row)
{
	int64_t age = clock_wall() - row->wall;

	if (age < 0 || age >= (int64_t)c->options->tag_ttl_s)
		return 0;
	return ((uint64_t)c->options->tag_ttl_s - (uint64_t)age) * 1000;
}

static void resolved_from_row(const struct tag_row *row, uint64_t fresh_ms,
			      struct resolved *ret)
{
	ret->digest = row->digest;
	ret->size_bytes = row->size_bytes;
	ret->fresh_ms = fresh_ms;
	memcpy(ret->mediatype, row->mediatype, sizeof(ret->mediatype));
}

struct resolve_request {
	struct repo *repo;
	const char *tag;
	bool known;
	struct tag_row row;
};

static void row_from_manifest(struct tag_row *row, const struct manifest *m)
{
	row->digest = m->digest;
	row->size_bytes = m->size_bytes;
	snprintf(row->mediatype, sizeof(row->mediatype), "%s", m->mediatype);
}

static int resolve_by_get(struct resolve_request *q, struct wait *w)
{
	struct manifest *m;
	struct doc *doc;
	int r;

	r = fetch_manifest(q->repo->registry, q->repo->name, q->tag, w, &m);
	if (r < 0)
		return r;
	row_from_manifest(&q->row, m);
	r = doc_adopt(q->repo, m, &doc);
	if (r < 0)
		return r;
	doc_unref(doc);
	return 0;
}

static int resolve_by_head(struct resolve_request *q, struct wait *w)
{
	struct fetch_resolved f = {0};
	struct doc *doc;
	int r;

	r = fetch_resolve(q->repo->registry, q->repo->name, q->tag, w, &f);
	if (r < 0)
		return r;
	q->row.digest = f.digest;
	q->row.size_bytes = f.size_bytes;
	memcpy(q->row.mediatype, f.mediatype, sizeof(q->row.mediatype));
	if (!f.manifest)
		return 0;
	r = doc_adopt(q->repo, f.manifest, &doc);
	if (r < 0)
		return r;
	doc_unref(doc);
	return 0;
}

static uint64_t tag_epoch(struct repo *repo)
{
	autolock(&repo->lock);
	return repo->tag_epoch;
}

/* Records the answer to a question that was asked in that epoch; false: it may
 * be older than what was put from here meanwhile. */
static bool resolve_record(struct resolve_request *q, const char *identity,
			   uint64_t epoch, int result)
{
	struct repo *repo = q->repo;

	autolock(&repo->lock);
	if (repo_tag_changed(repo, q->tag, epoch))
		return false;
	/* Failures were logged, and cost a request later. */
	if (result == -ENOENT) {
		(void)tag_forget(repo->content->store, repo->host, repo->name,
				 q->tag);
		snprintf(repo->absent.tag, sizeof(repo->absent.tag), "%s",
			 q->tag);
		repo->absent.epoch = epoch;
		repo->absent.at_ms = clock_ms();
	} else {
		(void)tag_put(repo->content->store, repo->host, repo->name,
			      identity, q->tag, &q->row);
	}
	return true;
}

static int resolve_run(void *arg, struct wait *w)
{
	struct resolve_request *q = arg;
	struct repo *repo = q->repo;
	char identity[17];
	uint64_t epoch;
	int r, e;

	do {
		epoch = tag_epoch(repo);
		r = q->known ? resolve_by_head(q, w) : resolve_by_get(q, w);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0)
			repo_mark_seen(repo);
		q->row.wall = clock_wall();
		e = repo_identity(repo, identity);
		if (e < 0)
			return r < 0 ? r : e;
	} while (!resolve_record(q, identity, epoch, r));
	return r;
}

static int resolve_ask(struct resolve_request *q, struct wait *w)
{
	struct content *c = q->repo->content;
	autofree char *key = str_printf("tag %s/%s:%s", q->repo->host,
					q->repo->name, q->tag);
	char identity[17];
	bool led;
	int r;

	if (!key)
		return -ENOMEM;
	r = gate_enter(&c->gate, q->repo->host);
	if (r < 0)
		return r;
	r = single_run(c->single, key, w, resolve_run, q, &led);
	if (r == 0 && !led) {
		r = repo_identity(q->repo, identity);
		if (r == 0 && tag_get(c->store, q->repo->host, q->repo->name,
				      identity, q->tag, &q->row) < 0)
			r = resolve_run(q, w); /* no store to leave it in */
	}
	gate_leave(&c->gate, q->repo->host);
	return r;
}

/* What the store has of it, and whether that may be used as it is. */
static int resolve_known(struct repo *r, struct resolve_request *q,
			 bool *ret_usable, uint64_t *ret_fresh_ms)
{
	struct content *c = r->content;
	char identity[17];
	int e;

	*ret_usable = false;
	*ret_fresh_ms = 0;
	e = repo_identity(r, identity);
	if (e < 0)
		return e;
	q->known = tag_get(c->store, r->host, r->name, identity, q->tag,
			   &q->row) == 0;
	if (q->known) {
		*ret_fresh_ms = row_fresh_ms(c, &q->row);
		*ret_usable = *ret_fresh_ms > 0 || c->options->offline;
	}
	return 0;
}

bool resolve_is_absent(struct repo *r, const char *tag)
{
	autolock(&r->lock);
	return r->content->options->tag_ttl_s > 0 &&
	       strcmp(r->absent.tag, tag) == 0 &&
	       clock_ms() - r->absent.at_ms < ABSENT_MS &&
	       !repo_tag_changed(r, tag, r->absent.epoch);
}

int resolve_peek(struct repo *r, const char *tag, struct resolved *ret)
{
	struct resolve_request q = {.repo = r, .tag = tag};
	uint64_t fresh;
	bool usable;
	int e;

	e = resolve_known(r, &q, &usable, &fresh);
	if (e < 0)
		return e;
	if (!usable)
		return -ENOENT;
	resolved_from_row(&q.row, fresh, ret);
	return 0;
}

int resolve_tag(struct repo *r, const char *tag, struct wait *w,
		struct resolved *ret)
{
	struct resolve_request q = {.repo = r, .tag = tag};
	uint64_t fresh;
	bool usable;
	int e;

	e = resolve_known(r, &q, &usable, &fresh);
	if (e < 0)
		return e;
	if (!usable) {
		e = resolve_ask(&q, w);
		if (e < 0)
			return e;
		fresh = (uint64_t)r->content->options->tag_ttl_s * 1000;
	}
	resolved_from_row(&q.row, fresh, ret);
	return 0;
}
