/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which close means that a file is done?  A FLUSH comes from every process that
 * had the file, before the first byte and after the last, and also when the
 * writer was killed; the rules that tell them apart are faults.md 5.
 *
 * Invariants: outbox.writers counts the DIRTY.  FAILED and DROPPED are final.
 * One thread is busy with a writer at a time, and holds no lock meanwhile.
 */
#include "push/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/manifest.h"
#include "push/outbox_private.h"
#include "push/writer_private.h"
#include "util/clock.h"
#include "util/process.h"

int writer_enter(struct writer *w, struct wait *wait)
{
	int r = 0;

	autolock(&w->lock);
	while (w->busy && r == 0) {
		if (wait)
			r = wait_cond(wait, &w->idle, &w->lock);
		else
			pthread_cond_wait(&w->idle, &w->lock);
	}
	if (r == 0)
		w->busy = true;
	return r;
}

void writer_leave(struct writer *w)
{
	autolock(&w->lock);
	w->busy = false;
	pthread_cond_broadcast(&w->idle);
}

/* --- states --- */

static void set_state(struct writer *w, enum writer_state state)
{
	autolock(&w->lock);
	if (state == WRITER_DIRTY && w->state != WRITER_DIRTY)
		w->o->writers++;
	if (state != WRITER_DIRTY && w->state == WRITER_DIRTY)
		w->o->writers--;
	w->state = state;
}

void writer_set_dirty(struct writer *w)
{
	set_state(w, WRITER_DIRTY);
}

int writer_fail(struct writer *w, int error)
{
	set_state(w, WRITER_FAILED);
	w->error = error;
	return error;
}

int writer_check_state(const struct writer *w)
{
	if (w->state == WRITER_FAILED)
		return w->error;
	return w->state == WRITER_DROPPED ? -ECANCELED : 0;
}

bool writer_dirty(const struct writer *w)
{
	enum writer_state state = w->state;

	return state == WRITER_DIRTY || state == WRITER_FAILED;
}

enum draft_name writer_name(struct writer *w, struct digest *ret_digest)
{
	enum draft_name name = DRAFT_NAME_OWN;

	if (!w->draft) {
		*ret_digest = w->digest;
		return DRAFT_NAME_BLOB;
	}
	autolock(&w->draft->lock);
	(void)draft_name_parse(w->entry->path, &name, ret_digest);
	return name;
}

/* --- life --- */

static int writer_alloc(struct outbox *o, struct repo *repo, pid_t tid,
			struct writer **ret)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	wait_cond_init(&w->idle);
	w->o = o;
	w->repo = repo_ref(repo);
	(void)process_look(tid, &w->creator);
	*ret = w;
	return 0;
}

/* Files of the writer's own, and those that mean nothing, may be empty. */
static bool may_be_empty(struct writer *w)
{
	struct digest ignored;
	enum draft_name name = writer_name(w, &ignored);

	return name == DRAFT_NAME_OWN || name == DRAFT_NAME_MARKER ||
	       name == DRAFT_NAME_VIEW;
}

static bool had_bytes(struct writer *w)
{
	if (!w->draft)
		return false;
	autolock(&w->draft->lock);
	return w->entry->committed;
}

/* The empty blob is there once it was named, and what is emptied was changed:
 * no write will tell. */
static void expect_nothing(struct writer *w)
{
	struct digest name, nothing;

	if (had_bytes(w) && may_be_empty(w))
		writer_set_dirty(w);
	if (writer_name(w, &name) != DRAFT_NAME_BLOB)
		return;
	digest_of(name.alg, "", 0, &nothing);
	if (digest_equal(&name, &nothing))
		writer_set_dirty(w);
}

int writer_new_blob(struct outbox *o, struct repo *repo, const struct digest *d,
		    pid_t tid, struct writer **ret)
{
	struct writer *w;
	int r;

	r = outbox_writable(o, repo);
	if (r < 0)
		return r;
	r = writer_alloc(o, repo, tid, &w);
	if (r < 0)
		return r;
	w->digest = *d;
	w->truncated = true;
	expect_nothing(w);
	*ret = w;
	return 0;
}

/* The bytes that the file has. */
static void take_bytes(struct writer *w)
{
	const struct draft_entry *e = w->entry;
	struct writer_extent *x = &w->extent;
	enum draft_name name;

	autolock(&w->draft->lock);
	if (e->confirmed && draft_name_parse(e->path, &name, &x->digest) == 0) {
		x->repo = repo_ref(w->repo);
		x->size_bytes = x->got = e->size_bytes;
		writer_set_size(w, e->size_bytes);
	} else if (e->feed) {
		w->feed = feed_ref(e->feed);
		w->given = true;
		writer_set_size(w, feed_size(w->feed));
	}
}

int writer_new(struct draft *d, struct draft_entry *e, bool truncate, pid_t tid,
	       struct writer **ret)
{
	struct writer *w;
	int r;

	r = writer_alloc(d->o, d->repo, tid, &w);
	if (r < 0)
		return r;
	w->draft = draft_ref(d);
	w->entry = e;
	w->counted = true;
	w->truncated = truncate;
	if (truncate) {
		writer_set_size(w, 0);
		expect_nothing(w);
	} else {
		take_bytes(w);
	}
	*ret = w;
	return 0;
}

/* It will not commit (again): a new name that nobody has committed goes. */
static void leave_entry(struct writer *w)
{
	if (!w->counted)
		return;
	w->counted = false;
	autolock(&w->draft->lock);
	draft_entry_leave(w->draft, w->entry);
}

static void leave_draft(struct writer *w)
{
	struct draft *d = w->draft;

	leave_entry(w);
	{
		autolock(&d->lock);
		draft_entry_put(d, w->entry);
		d->writers--;
		d->used_ms = clock_ms();
	}
	draft_settle(d);
	draft_unref(d);
}

static void writer_free(struct writer *w)
{
	/* An upload that others share must not wait for more of it. */
	if (w->feed && !w->given && w->state != WRITER_COMMITTED)
		feed_abort(w->feed);
	writer_stop_upload(w);
	set_state(w, WRITER_DROPPED);
	writer_forget_extent(w);
	feed_unref(w->feed);
	if (w->draft)
		leave_draft(w);
	repo_unref(w->repo);
	pthread_cond_destroy(&w->idle);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* --- commits --- */

/* Its process was killed: whatever is there is not what it meant. */
static void drop(struct writer *w)
{
	bool siblings = false;

	set_state(w, WRITER_DROPPED);
	if (w->feed && !w->given)
		feed_abort(w->feed);
	writer_stop_upload(w);
	writer_forget_extent(w);
	leave_entry(w);
	if (w->draft) {
		autolock(&w->draft->lock);
		siblings = w->draft->siblings;
		w->draft->siblings = false;
	}
	if (siblings)
		upload_forget_ahead(w->o, w->repo);
}

static int commit(struct writer *w, struct wait *wait)
{
	int r;

	r = writer_commit(w, wait);
	if (r < 0)
		return writer_fail(w, r);
	w->killed = false;
	set_state(w, WRITER_COMMITTED);
	return 0;
}

/* No part of a JSON document is one. */
static bool is_whole(struct writer *w)
{
	autofree char *bytes = NULL;
	struct manifest *m = NULL;
	size_t len;

	if (!w->feed ||
	    feed_read_whole(w->feed, MANIFEST_BYTES_MAX, &bytes, &len) < 0 ||
	    manifest_parse(bytes, len, "", HASH_SHA256, &m, NULL) < 0)
		return false;
	manifest_free(m);
	return true;
}

/* Nobody knows whose FLUSH it is.  A blob is harmless, its name says what it
 * is: if it is not that (yet), a later one will do.  So it is with a document
 * of which the end is still to come. */
static int flush_unknown(struct writer *w, struct wait *wait)
{
	struct digest ignored;
	enum draft_name name = writer_name(w, &ignored);
	int r;

	if ((name == DRAFT_NAME_INDEX || name == DRAFT_NAME_MANIFEST) &&
	    !is_whole(w))
		return 0;
	r = writer_commit(w, wait);
	if (r == -EBADMSG && name == DRAFT_NAME_BLOB) {
		/* It was told that this is the end. */
		writer_stop_upload(w);
		return 0;
	}
	if (r < 0)
		return writer_fail(w, r);
	set_state(w, WRITER_COMMITTED);
	return 0;
}

/* dash opens the file, its child writes it and looks at the close: who it is
 * does not matter once the bytes are what the name says. */
static bool is_whole_blob(struct writer *w)
{
	struct digest name, got;

	return w->feed && writer_name(w, &name) == DRAFT_NAME_BLOB &&
	       feed_digest(w->feed, name.alg, &got) == 0 &&
	       digest_equal(&got, &name);
}

static int flush_dirty(struct writer *w, pid_t tid, struct wait *wait)
{
	pid_t pid = 0;
	enum process_state state = process_look(tid, &pid);

	if (state == PROCESS_UNKNOWN || pid == 0 || w->creator == 0)
		return flush_unknown(w, wait);
	if (state == PROCESS_DYING)
		w->killed = true;
	if (pid != w->creator)
		return state != PROCESS_DYING && is_whole_blob(w)
			       ? commit(w, wait)
			       : 0;
	if (state == PROCESS_DYING) {
		drop(w);
		return 0;
	}
	return commit(w, wait);
}

int writer_flush(struct writer *w, pid_t tid, struct wait *wait)
{
	int r;

	r = writer_enter(w, wait);
	if (r < 0)
		return r;
	if (w->state == WRITER_DIRTY)
		r = flush_dirty(w, tid, wait);
	else if (w->state == WRITER_FAILED)
		r = w->error;
	writer_leave(w);
	return r;
}

int writer_sync(struct writer *w, struct wait *wait)
{
	int r;

	r = writer_enter(w, wait);
	if (r < 0)
		return r;
	r = w->state == WRITER_DIRTY ? commit(w, wait) : writer_check_state(w);
	writer_leave(w);
	return r;
}

static bool creator_is_dying(const struct writer *w)
{
	pid_t pid = 0;

	return w->creator > 0 &&
	       process_look(w->creator, &pid) == PROCESS_DYING &&
	       pid == w->creator;
}

void writer_report(struct writer *w, int error, const char *text)
{
	struct digest name;
	autofree char *path = NULL, *object = NULL;
	char digest[DIGEST_TEXT_MAX];

	if (w->draft) {
		{
			autolock(&w->draft->lock);
			path = strdup(w->entry->path);
		}
		object = path ? draft_object(w->draft, path) : NULL;
	} else {
		(void)writer_name(w, &name);
		digest_format(&name, digest);
		object = str_printf("%s/_blobs/%s", repo_name(w->repo), digest);
	}
	if (object)
		(void)outbox_fault(w->o, w->repo, object, error, "%s", text);
}

bool writer_lacks_bytes(struct writer *w, pid_t tid)
{
	enum process_state state;
	pid_t pid = 0;

	if (w->state != WRITER_CLEAN || !w->truncated || may_be_empty(w))
		return false;
	state = process_look(tid, &pid);
	if (state != PROCESS_ALIVE && state != PROCESS_EXITED)
		return false;
	return pid > 0 && pid == w->creator;
}

int writer_report_empty(struct writer *w)
{
	struct digest ignored;
	int error = writer_name(w, &ignored) == DRAFT_NAME_BLOB ? -EBADMSG
								: -EINVAL;

	writer_report(w, error, "it is empty");
	return error;
}

/* Whoever opened it is gone, and of those who wrote it one was killed, or
 * failed: nobody else can say that it is whole. */
static void give_up(struct writer *w)
{
	if (w->killed)
		writer_report(w, -ECANCELED,
			      "not written: who wrote it was killed or failed");
	drop(w);
}

void writer_close(struct writer *w)
{
	struct wait wait;
	int r = 0;

	if (!w)
		return;
	(void)writer_enter(w, NULL);
	wait_init(&wait, w->o->times.commit_budget, 0);
	if (w->state == WRITER_DIRTY && (w->killed || creator_is_dying(w)))
		give_up(w);
	else if (w->state == WRITER_DIRTY)
		r = commit(w, &wait);
	else if (w->state == WRITER_CLEAN && w->truncated && w->draft &&
		 may_be_empty(w))
		r = commit(w, &wait);
	if (r < 0)
		writer_report(w, r, "not written; nobody could be told");
	writer_leave(w);
	writer_free(w);
}
