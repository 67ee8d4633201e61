/* SPDX-License-Identifier: Apache-2.0 */
/* What is written makes images pending, completes them, asks for them and
 * replaces them: each by the names that it concerns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/pending_private.h"
#include "push/publish_private.h"
#include "util/auto.h"

#define TOLD_MISSING_MAX 3

struct key {
	const char *host, *repository;
	const char *name;	   /* NULL: any */
	const struct digest *root; /* NULL: any */
};

static bool key_match(const struct pending *e, const void *arg)
{
	const struct key *k = arg;

	return strcmp(e->host, k->host) == 0 &&
	       strcmp(e->repository, k->repository) == 0 &&
	       (!k->name || strcmp(e->name, k->name) == 0) &&
	       (!k->root || digest_equal(&e->root, k->root));
}

/* --- what comes --- */

/* It is there already: what it lacks is added to it, and it is tried again. */
static int pending_renew(struct pending *e, const struct publish_docs *docs)
{
	struct publish_docs old;
	int r;

	r = pending_load_docs(e, &old);
	if (r < 0)
		return r;
	r = pending_save_docs(e, docs, &old);
	publish_docs_done(&old);
	autolock(&e->pendings->lock);
	if (e->gone)
		return 0; /* published, just now */
	if (r == 0)
		pending_make_due(e);
	return r;
}

static int pending_begin(struct pendings *p, const struct publication *pub,
			 const struct string_list *missing,
			 const struct publish_docs *docs)
{
	struct string_list copy = {.v = NULL};
	struct pending *e = NULL;
	int r = 0;

	for (size_t i = 0; i < missing->len && r == 0; i++)
		r = string_list_add(&copy, missing->v[i]);
	if (r == 0)
		r = pending_insert(p, pub, docs, &e);
	if (r < 0) {
		string_list_done(&copy);
		return r;
	}
	{
		autolock(&p->lock);
		e->missing = copy;
		e->tried = true;
		r = pending_enlist(p, e);
	}
	if (r < 0) {
		journal_remove(p->outbox->journal, e->id);
		pending_free(e);
	}
	return r;
}

int pending_add(const struct publication *pub,
		const struct string_list *missing,
		const struct publish_docs *docs)
{
	struct pendings *p = pub->outbox->pendings;
	const struct key key = {.host = repo_host(pub->repo),
				.repository = repo_name(pub->repo),
				.name = pub->name,
				.root = pub->root};
	struct pending_snapshot s;
	int r;

	r = pending_snapshot(p, key_match, &key, &s);
	if (r < 0)
		return r;
	r = s.len > 0 ? pending_renew(s.v[0], docs)
		      : pending_begin(p, pub, missing, docs);
	pending_snapshot_done(p, &s);
	return r;
}

static bool missing_take(struct pending *e, const char *text)
{
	struct string_list *l = &e->missing;

	for (size_t i = 0; i < l->len; i++) {
		if (strcmp(l->v[i], text) != 0)
			continue;
		free(l->v[i]);
		l->v[i] = l->v[--l->len];
		return true;
	}
	return false;
}

/* Lock held.  1: busy with what has arrived, which is off the list. */
static int poke_seize(struct pending *e, const char *text, struct wait *w)
{
	int r;

	/* Nobody knows yet what it waits for; the thread will find out. */
	if (!e->tried && !e->busy)
		pending_make_due(e);
	if (!string_list_has(&e->missing, text))
		return 0;
	r = pending_seize(e, w);
	if (r != 0)
		return r < 0 ? r : 0;
	if (missing_take(e, text))
		return 1;
	pending_release(e);
	return 0;
}

static int poke_one(struct pending *e, const struct digest *d,
		    struct feed *feed, struct wait *w)
{
	struct pendings *p = e->pendings;
	char text[DIGEST_TEXT_MAX];
	bool complete, lost;
	int r;

	digest_format(d, text);
	{
		autolock(&p->lock);
		r = poke_seize(e, text, w);
		complete = e->missing.len == 0;
	}
	if (r <= 0)
		return r;
	r = feed ? pending_save_feed(e, d, feed) : 0;
	lost = r < 0;
	if (!lost && complete)
		r = pending_try(e, w, false);
	autolock(&p->lock);
	if (lost) /* not kept: then it is still missing */
		string_list_add_once(&e->missing, text);
	pending_release(e);
	return r == -EAGAIN ? 0 : r;
}

int pending_poke(struct outbox *o, struct repo *repo, const struct digest *d,
		 struct feed *feed, struct wait *w)
{
	const struct key key = {.host = repo_host(repo),
				.repository = repo_name(repo)};
	struct pending_snapshot s;
	int result = 0, r;

	r = pending_snapshot(o->pendings, key_match, &key, &s);
	if (r < 0 || s.len == 0)
		return r;
	for (size_t i = 0; i < s.len; i++) {
		r = poke_one(s.v[i], d, feed, w);
		if (r < 0 && result == 0)
			result = r;
	}
	pending_snapshot_done(o->pendings, &s);
	return result;
}

/* --- what is asked for --- */

static int tell_missing(struct pending *e, struct repo *repo)
{
	struct pendings *p = e->pendings;
	char object[PUBLISH_OBJECT_MAX];
	autostr text = {.max = 1024};
	int r = 0;

	{
		autolock(&p->lock);
		for (size_t i = 0; i < e->missing.len && r == 0; i++) {
			if (i == TOLD_MISSING_MAX) {
				r = str_addf(&text, " and %zu more",
					     e->missing.len - i);
				break;
			}
			r = str_addf(&text, " %s", e->missing.v[i]);
		}
	}
	publish_object(repo, e->name, object);
	return outbox_fault(p->outbox, repo, object, -EIO,
			    "not published, still missing:%s",
			    text.buf ? text.buf : "");
}

static int sync_one(struct pending *e, struct repo *repo, struct wait *w)
{
	struct pendings *p = e->pendings;
	int r;

	{
		autolock(&p->lock);
		r = pending_seize(e, w);
	}
	if (r != 0)
		return r < 0 ? r : 0;
	r = pending_try(e, w, false);
	if (r == -EAGAIN)
		r = tell_missing(e, repo);
	autolock(&p->lock);
	pending_release(e);
	return r;
}

int pending_sync(struct outbox *o, struct repo *repo, const char *name,
		 struct wait *w)
{
	const struct key key = {.host = repo_host(repo),
				.repository = repo_name(repo),
				.name = name};
	struct pending_snapshot s;
	int result = 0, r;

	r = pending_snapshot(o->pendings, key_match, &key, &s);
	if (r < 0 || s.len == 0)
		return r;
	for (size_t i = 0; i < s.len; i++) {
		r = sync_one(s.v[i], repo, w);
		if (r < 0 && result == 0)
			result = r;
	}
	pending_snapshot_done(o->pendings, &s);
	return result;
}

void pending_forget(struct outbox *o, struct repo *repo, const char *name)
{
	const struct key key = {.host = repo_host(repo),
				.repository = repo_name(repo),
				.name = name};
	struct pendings *p = o->pendings;
	struct pending_snapshot s;

	if (pending_snapshot(p, key_match, &key, &s) < 0 || s.len == 0)
		return;
	for (size_t i = 0; i < s.len; i++)
		pending_remove(s.v[i]);
	pending_snapshot_done(p, &s);
}

/* A later writer was faster: to show the earlier image now would turn the name
 * back. */
void pending_superseded(struct outbox *o, struct repo *repo, const char *name)
{
	pending_forget(o, repo, name);
}
