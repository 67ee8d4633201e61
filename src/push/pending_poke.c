/* SPDX-License-Identifier: Apache-2.0 */
/* What is written makes images pending, completes them, asks for them and
 * replaces them: each by the names that it concerns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/pending_private.h"
#include "push/publish_private.h"
#include "push/turn.h"
#include "registry/fetch.h"
#include "util/auto.h"

#define TOLD_MISSING_MAX 3

struct key {
	const char *host, *repository;
	const char *name; /* NULL: any */
};

static bool key_match(const struct pending *e, const void *arg)
{
	const struct key *k = arg;

	return strcmp(e->host, k->host) == 0 &&
	       strcmp(e->repository, k->repository) == 0 &&
	       (!k->name || strcmp(e->name, k->name) == 0);
}

/* --- what comes --- */

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

/* What a name means that the registry does not tell is not known. */
static int ask_past(const struct publication *pub, struct wait *w,
		    struct pending_past *ret)
{
	struct fetch_resolved now = {.manifest = NULL};
	struct digest d;
	int r;

	*ret = (struct pending_past){.before = JOURNAL_BEFORE_UNKNOWN};
	if (digest_parse(pub->name, &d) == 0)
		return 0;
	fetch_outdate(repo_registry(pub->repo), repo_name(pub->repo),
		      pub->name);
	r = fetch_resolve(repo_registry(pub->repo), repo_name(pub->repo),
			  pub->name, w, &now);
	manifest_free(now.manifest);
	if (r == -ENOENT)
		ret->before = JOURNAL_BEFORE_NOTHING;
	else if (r == 0)
		*ret = (struct pending_past){.before = JOURNAL_BEFORE_IMAGE,
					     .was = now.digest};
	return r == -ENOMEM || r == -EINTR ? r : 0;
}

static int docs_lend(struct publish_docs *all, const struct publish_docs *v)
{
	struct manifest **more;

	if (!v || v->len == 0)
		return 0;
	more = realloc(all->v, (all->len + v->len) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	all->v = more;
	memcpy(all->v + all->len, v->v, v->len * sizeof(*more));
	all->len += v->len;
	return 0;
}

/* With what was kept for the same image before: it may not be at hand now. */
static int insert_with(struct pendings *p, const struct publication *pub,
		       const struct pending_past *past,
		       const struct publish_docs *docs,
		       const struct publish_docs *old, struct pending **ret)
{
	struct publish_docs all = {.v = NULL};
	int r;

	r = docs_lend(&all, old);
	if (r == 0)
		r = docs_lend(&all, docs);
	if (r == 0)
		r = pending_insert(p, pub, past, &all, ret);
	free(all.v);
	return r;
}

/* What is kept is not missing, but what it names may be.  All of this is only
 * for those who come with it: the thread finds out how it really is. */
static void inherit(struct pending *e, const struct pending *same,
		    const struct publish_docs *old)
{
	char text[DIGEST_TEXT_MAX];

	autolock(&e->pendings->lock);
	for (size_t i = 0; i < old->len; i++) {
		digest_format(&old->v[i]->digest, text);
		(void)missing_take(e, text);
	}
	for (size_t i = 0; i < same->missing.len; i++)
		(void)string_list_add_once(&e->missing, same->missing.v[i]);
	e->due_ms = 1;
}

/* Nobody else has seen it yet; on failure it is undone. */
static int note_missing(struct pending *e, const struct string_list *missing)
{
	int r = 0;

	for (size_t i = 0; i < missing->len && r == 0; i++)
		r = string_list_add(&e->missing, missing->v[i]);
	if (r < 0) {
		journal_remove(e->pendings->outbox->journal, e->id);
		pending_free(e);
	}
	return r;
}

static int insert_new(struct pendings *p, const struct publication *pub,
		      const struct pending_past *past,
		      const struct publish_docs *docs,
		      const struct string_list *missing,
		      const struct pending_snapshot *elders,
		      struct pending **ret)
{
	const struct pending *same = NULL;
	struct publish_docs old = {.v = NULL};
	int r = 0;

	for (size_t i = 0; i < elders->len; i++)
		if (digest_equal(&elders->v[i]->root, pub->root))
			same = elders->v[i];
	if (same)
		r = pending_load_docs(same, &old);
	if (r == 0)
		r = insert_with(p, pub, past, docs, &old, ret);
	if (r == 0)
		r = note_missing(*ret, missing);
	if (r == 0 && same)
		inherit(*ret, same, &old);
	publish_docs_done(&old);
	return r;
}

/* In the turn at the name. */
static int pending_begin(struct pendings *p, const struct publication *pub,
			 const struct string_list *missing,
			 const struct publish_docs *docs,
			 const struct pending_snapshot *elders, struct wait *w)
{
	struct pending_past past;
	struct pending *e = NULL;
	int r;

	r = ask_past(pub, w, &past);
	if (r == 0)
		r = insert_new(p, pub, &past, docs, missing, elders, &e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < elders->len; i++)
		pending_remove(elders->v[i]);
	{
		autolock(&p->lock);
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
				.name = pub->name};
	struct pending_snapshot s;
	struct turn *turn;
	struct wait w;
	int r;

	wait_init(&w, pub->outbox->times.commit_budget, 0);
	r = turn_take(pub->outbox, key.host, key.repository, key.name, &w,
		      &turn);
	if (r < 0)
		return r;
	r = pending_snapshot(p, key_match, &key, &s);
	if (r == 0) {
		r = pending_begin(p, pub, missing, docs, &s, &w);
		pending_snapshot_done(p, &s);
	}
	turn_leave(turn);
	return r;
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
		r = pending_try(e, w, PENDING_POKED);
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
	r = pending_try(e, w, PENDING_ASKED);
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

/* Returns how many there were. */
static size_t remove_all(struct outbox *o, struct repo *repo, const char *name)
{
	const struct key key = {.host = repo_host(repo),
				.repository = repo_name(repo),
				.name = name};
	struct pendings *p = o->pendings;
	struct pending_snapshot s;

	size_t n;

	if (pending_snapshot(p, key_match, &key, &s) < 0)
		return 0;
	n = s.len;
	for (size_t i = 0; i < n; i++)
		pending_remove(s.v[i]);
	pending_snapshot_done(p, &s);
	return n;
}

/* What is decided already is waited for: afterwards nothing comes any more. */
void pending_forget(struct outbox *o, struct repo *repo, const char *name)
{
	if (remove_all(o, repo, name) > 0)
		turn_pass(o, repo_host(repo), repo_name(repo), name);
}

/* A later writer was faster: to show the earlier image now would turn the name
 * back. */
void pending_superseded(struct outbox *o, struct repo *repo, const char *name)
{
	(void)remove_all(o, repo, name);
}
