/* SPDX-License-Identifier: Apache-2.0 */
/* Trying to publish a pending image, and what is said of the result. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/known.h"
#include "push/draft.h"
#include "push/pending_private.h"
#include "push/publish_private.h"
#include "registry/fetch.h"
#include "util/auto.h"
#include "util/clock.h"

#define ROUNDS_MAX 4
#define TEXT_MAX 1024

/* --- whose turn it is --- */

int pending_seize(struct pending *e, struct wait *w)
{
	struct pendings *p = e->pendings;
	int r;

	while (e->busy && !e->gone && !e->superseded) {
		r = wait_cond(w, &p->changed, &p->lock);
		if (r < 0)
			return r;
	}
	if (e->gone || e->superseded)
		return 1;
	e->busy = true;
	return 0;
}

void pending_release(struct pending *e)
{
	e->busy = false;
	pthread_cond_broadcast(&e->pendings->changed);
}

void pending_make_due(struct pending *e)
{
	e->due_ms = 1;
	pthread_cond_broadcast(&e->pendings->changed);
}

/* --- what has arrived --- */

/* Busy.  1: it has come since the list was made, and is kept. */
static int has_arrived(struct pending *e, const struct publication *pub,
		       const char *text)
{
	autoptr(feed) feed = NULL;
	struct digest d;
	uint64_t size;
	int r;

	if (digest_parse(text, &d) < 0)
		return 0;
	if (known_blob(pub->repo, &d, &size))
		return 1;
	r = pub->find ? pub->find(pub->arg, &d, &feed) : -ENOENT;
	if (r < 0 || !feed_ended(feed))
		return 0;
	r = pending_save_feed(e, &d, feed);
	return r < 0 ? r : 1;
}

/* Takes off the list what poked in vain; true: nothing is left on it. */
static bool recheck(struct pending *e, const struct publication *pub)
{
	size_t i = 0;

	while (i < e->missing.len) {
		/* Only who is busy takes something off. */
		if (has_arrived(e, pub, e->missing.v[i]) <= 0) {
			i++;
			continue;
		}
		autolock(&e->pendings->lock);
		free(e->missing.v[i]);
		e->missing.v[i] = e->missing.v[--e->missing.len];
	}
	return e->missing.len == 0;
}

/* Documents that were written and not journaled: the root may come last, and
 * only it says which others belong to the image. */
static int find_in_draft(void *arg, const struct digest *d, struct feed **ret)
{
	char path[16 + DIGEST_TEXT_MAX], hex[129];
	autoptr(feed) feed = NULL;

	digest_hex(d, hex);
	snprintf(path, sizeof(path), "blobs/%s/%s", digest_alg_name(d), hex);
	/* Empty is what nothing was committed to yet. */
	if (draft_read(arg, path, &feed) < 0 || feed_size(feed) == 0)
		return -ENOENT;
	*ret = steal(&feed);
	return 0;
}

/* --- one try --- */

/* Busy.  Adds v's documents to those that are had. */
static int docs_move(struct publish_docs *docs, struct publish_docs *v)
{
	struct manifest **all =
		realloc(docs->v, (docs->len + v->len + 1) * sizeof(*all));

	if (!all)
		return -ENOMEM;
	docs->v = all;
	for (size_t i = 0; i < v->len; i++)
		all[docs->len++] = v->v[i];
	v->len = 0;
	return 0;
}

/* What was found missing; 1: all of it has arrived since. */
static int note_missing(struct pending *e, const struct publication *pub,
			struct string_list *missing, struct publish_docs *docs,
			struct publish_docs *fresh)
{
	int r = pending_save_docs(e, fresh, docs);

	if (r == 0)
		r = docs_move(docs, fresh);
	if (r < 0)
		return r;
	{
		struct string_list old;

		autolock(&e->pendings->lock);
		old = e->missing;
		e->missing = *missing;
		*missing = old;
		e->tried = true;
	}
	return recheck(e, pub);
}

/* *ret_again: what was missing has arrived meanwhile. */
static int try_round(struct pending *e, const struct publication *pub,
		     struct publish_docs *docs, struct wait *w, bool *ret_again)
{
	struct string_list missing = {.v = NULL};
	struct publish_docs fresh = {.v = NULL};
	int r, complete;

	*ret_again = false;
	r = publish_with(pub, docs, w, &missing, &fresh);
	if (r == -EAGAIN) {
		complete = note_missing(e, pub, &missing, docs, &fresh);
		*ret_again = complete > 0;
		r = complete < 0 ? complete : r;
	}
	string_list_done(&missing);
	publish_docs_done(&fresh);
	return r;
}

struct attempt {
	struct pending *e;
	struct repo *repo;
	enum pending_cause cause;
	bool settled;
};

static bool is_history(struct pending *e)
{
	autolock(&e->pendings->lock);
	return e->gone || e->superseded;
}

/* What it replaces is what its writer has seen; nobody has when time has
 * passed and another client has put something there.  0, or -ESTALE. */
static int compare(const struct attempt *a, int found, const struct digest *now)
{
	const struct pending *e = a->e;
	char object[PUBLISH_OBJECT_MAX];
	bool same;

	if (found == 0)
		same = digest_equal(now, &e->root) ||
		       (e->before == JOURNAL_BEFORE_IMAGE &&
			digest_equal(now, &e->was));
	else
		same = e->before != JOURNAL_BEFORE_IMAGE;
	if (same)
		return 0;
	publish_object(a->repo, e->name, object);
	return outbox_fault(e->pendings->outbox, a->repo, object, -ESTALE,
			    "the tag was changed by somebody else meanwhile");
}

static int check_name(const struct attempt *a, struct wait *w)
{
	struct fetch_resolved now = {.manifest = NULL};
	const struct pending *e = a->e;
	struct digest d;
	int r;

	if (digest_parse(e->name, &d) == 0)
		return 0;
	fetch_outdate(repo_registry(a->repo), e->repository, e->name);
	r = fetch_resolve(repo_registry(a->repo), e->repository, e->name, w,
			  &now);
	manifest_free(now.manifest);
	if (r == 0 || r == -ENOENT)
		return compare(a, r, &now.digest);
	/* Who may only write could not ask then, either. */
	return r == -EACCES && e->before == JOURNAL_BEFORE_UNKNOWN ? 0 : r;
}

/* In the turn at the name. */
static int still_wanted(void *arg, struct wait *w)
{
	const struct attempt *a = arg;

	if (is_history(a->e))
		return -ECANCELED;
	return a->cause == PENDING_ASKED ? 0 : check_name(a, w);
}

static void note_success(struct pending *e);

static void was_put(void *arg)
{
	struct attempt *a = arg;

	note_success(a->e);
	a->settled = true;
}

/* Of an earlier run's.  Another mirror= shows other images under that name:
 * what refers to this one is left to who copies it by hand. */
static int open_origin(struct pending *e)
{
	struct outbox *o = e->pendings->outbox;
	autofree char *host = NULL;
	int r;

	if (e->from || !e->from_host)
		return 0;
	r = outbox_host_of(o, e->from_host, &host);
	if (r == 0)
		r = repo_open(o->content, host, e->from_repository, &e->from);
	return r == -ENOMEM ? r : 0;
}

static int try_rounds(struct attempt *a, struct wait *w)
{
	struct pending *e = a->e;
	struct publish_docs docs = {.v = NULL};
	struct draft *draft = NULL;
	struct publication pub = {.outbox = e->pendings->outbox,
				  .repo = a->repo,
				  .wanted = still_wanted,
				  .settled = was_put,
				  .owner = a,
				  .name = e->name,
				  .root = &e->root,
				  .mediatype = e->mediatype};
	bool again = true;
	int r;

	r = open_origin(e);
	pub.from = e->from;
	if (r == 0)
		r = pending_load_docs(e, &docs);
	if (r < 0)
		return r;
	if (draft_find(pub.outbox, a->repo, e->name, &draft) == 0) {
		pub.find = find_in_draft;
		pub.arg = draft;
	}
	for (int i = 0; i < ROUNDS_MAX && again; i++)
		r = try_round(e, &pub, &docs, w, &again);
	if (draft)
		draft_unref(draft);
	publish_docs_done(&docs);
	/* It comes and goes: the thread looks at it later. */
	return again ? -EBUSY : r;
}

/* --- what came of it --- */

/* A registry that says this today will say it tomorrow. */
static bool is_final(int error)
{
	return error == -EACCES || error == -EPERM || error == -EINVAL ||
	       error == -EBADMSG || error == -EFBIG || error == -ELOOP ||
	       error == -EROFS || error == -ESTALE;
}

uint64_t pending_next_try(unsigned tries)
{
	uint64_t ms = PENDING_RETRY_MAX_MS;

	if (tries < 9)
		ms = (uint64_t)PENDING_RETRY_MS << tries;
	return clock_ms() +
	       (ms < PENDING_RETRY_MAX_MS ? ms : PENDING_RETRY_MAX_MS);
}

static char *why(const struct pending *e, int error)
{
	autostr text = {.max = TEXT_MAX};

	if (error == 0 || error == -EAGAIN)
		return strdup("");
	if (content_last_error(e->pendings->outbox->content, e->host,
			       e->repository, &text) < 0 ||
	    !text.buf)
		return strdup("");
	return strdup(text.buf);
}

/* It was the caller or the mount that had no time: nothing to tell. */
static bool is_broken_off(int error)
{
	return error == -EINTR || error == -ECANCELED || error == -ESHUTDOWN;
}

/* Busy.  What `.registryfs/pending` will say. */
static void note_result(struct pending *e, int error)
{
	struct pendings *p = e->pendings;
	const int shown = error == -EAGAIN ? 0 : -error;
	char *text = why(e, error);
	bool changed;

	if (text)
		text[strcspn(text, "\n")] = '\0';
	{
		autolock(&p->lock);
		changed = shown != e->error;
		e->error = shown;
		free(e->text);
		e->text = text;
		e->due_ms = 0;
		if (error == -EAGAIN || is_final(error))
			e->tries = 0;
		else
			e->due_ms = pending_next_try(e->tries++);
	}
	if (changed)
		journal_note(p->outbox->journal, e->id, shown,
			     text ? text : "");
}

static void note_break(struct pending *e)
{
	autolock(&e->pendings->lock);
	e->due_ms = pending_next_try(e->tries);
}

struct elder {
	const struct pending *than;
};

static bool elder_match(const struct pending *e, const void *arg)
{
	const struct pending *than = ((const struct elder *)arg)->than;

	return e->id < than->id && strcmp(e->name, than->name) == 0 &&
	       strcmp(e->repository, than->repository) == 0 &&
	       strcmp(e->host, than->host) == 0;
}

/* It is published; what was begun before it under this name is history.  In the
 * turn at the name. */
static void note_success(struct pending *e)
{
	const struct elder elder = {.than = e};
	struct pendings *p = e->pendings;
	struct pending_snapshot s;

	pending_remove(e);
	if (pending_snapshot(p, elder_match, &elder, &s) < 0)
		return;
	for (size_t i = 0; i < s.len; i++)
		pending_remove(s.v[i]);
	pending_snapshot_done(p, &s);
}

int pending_try(struct pending *e, struct wait *w, enum pending_cause cause)
{
	struct outbox *o = e->pendings->outbox;
	struct attempt a = {.e = e, .cause = cause};
	struct repo *repo = NULL;
	int r;

	r = repo_open(o->content, e->host, e->repository, &repo);
	if (r == 0 && cause == PENDING_DUE)
		r = outbox_writable(o, repo);
	/* So is this mount, whatever the registry would say. */
	if (r == -EROFS || r == -ENETDOWN)
		r = -ESHUTDOWN;
	a.repo = repo;
	if (r == 0)
		r = try_rounds(&a, w);
	if (a.settled)
		draft_published(o, repo, e->name, &e->root);
	else if (r < 0 && is_history(e))
		r = 0; /* nobody wants it, nor to know */
	repo_unref(repo);
	if (r < 0 && is_broken_off(r))
		note_break(e);
	else if (r < 0)
		note_result(e, r);
	return r > 0 ? -EIO : r;
}
