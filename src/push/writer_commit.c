/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a writer's bytes to what the file's name means.  Bytes that were copied
 * within the mount are never here: their commit is to wait for their upload.
 */
#include <errno.h>
#include <string.h>

#include "push/outbox_private.h"
#include "push/pending.h"
#include "push/writer_private.h"

static int need_feed(struct writer *w, struct wait *wait)
{
	return w->feed ? 0 : writer_own_feed(w, wait);
}

/* The bytes are a blob of a registry, all of it or a part. */
static int send_extent(struct writer *w, const struct digest *name,
		       const char *object, struct wait *wait)
{
	struct upload_spec spec = {.repo = w->repo,
				   .digest = name,
				   .from = w->extent.repo,
				   .size_bytes = w->extent.size_bytes};
	int r;

	if (w->extent.got != w->extent.size_bytes ||
	    !digest_equal(name, &w->extent.digest))
		return outbox_fault(w->o, w->repo, object, -EBADMSG,
				    "%llu of %llu bytes were copied",
				    (unsigned long long)w->extent.got,
				    (unsigned long long)w->extent.size_bytes);
	r = w->upload ? 0 : upload_begin(w->o, &spec, &w->upload);
	if (r == 0)
		r = upload_wait(w->upload, wait);
	writer_stop_upload(w);
	return r;
}

static int send_feed(struct writer *w, const struct digest *name,
		     const char *object, struct wait *wait,
		     struct draft_outcome *ret)
{
	struct draft_blob b = {.outbox = w->o,
			       .repo = w->repo,
			       .digest = name,
			       .object = object,
			       .documents = w->draft != NULL};
	int r;

	r = need_feed(w, wait);
	if (r < 0)
		return r;
	if (w->upload && !digest_equal(&w->upload_for, name))
		writer_stop_upload(w);
	b.feed = w->feed;
	return draft_commit_blob(&b, &w->upload, wait, ret);
}

/* The spool is not needed for what the registry has: whoever changes it now
 * reads it again. */
static void give_up_feed(struct writer *w, const struct digest *name)
{
	if (!w->feed)
		return;
	writer_forget_extent(w);
	w->extent.repo = repo_ref(w->repo);
	w->extent.digest = *name;
	w->extent.size_bytes = w->extent.got = feed_size(w->feed);
	feed_unref(steal(&w->feed));
	w->given = false;
}

static char *blob_object(struct writer *w, const struct digest *name)
{
	char text[DIGEST_TEXT_MAX], path[160];

	if (w->draft) {
		draft_name_blob(name, path);
		return draft_object(w->draft, path);
	}
	digest_format(name, text);
	return str_printf("%s/_blobs/%s", repo_name(w->repo), text);
}

static int send_blob(struct writer *w, const struct digest *name,
		     struct wait *wait, struct draft_outcome *ret)
{
	autofree char *object = blob_object(w, name);
	int r;

	if (!object)
		return -ENOMEM;
	if (!w->extent.repo)
		return send_feed(w, name, object, wait, ret);
	r = send_extent(w, name, object, wait);
	if (r == 0)
		*ret = (struct draft_outcome){
			.size_bytes = w->extent.size_bytes, .confirmed = true};
	return r;
}

static int commit_blob(struct writer *w, const struct digest *name,
		       struct wait *wait)
{
	struct draft_outcome out = {0};
	int r;

	r = send_blob(w, name, wait, &out);
	if (r == 0 && w->draft)
		r = draft_entry_commit(w->draft, w->entry, &out);
	if (r < 0)
		return r;
	w->given = out.feed != NULL;
	r = pending_poke(w->o, w->repo, name, out.feed, wait);
	if (out.confirmed)
		give_up_feed(w, name);
	return r;
}

static int commit_root(struct writer *w, enum draft_name name,
		       struct wait *wait)
{
	struct draft_outcome out = {0};
	enum draft_root become = DRAFT_ROOT_KEPT;
	int r;

	r = need_feed(w, wait);
	if (r == 0)
		r = draft_commit_root(w->draft, name, w->feed, wait, &become);
	if (r < 0)
		return r;
	w->given = true;
	out.feed = w->feed;
	out.size_bytes = feed_size(w->feed);
	return draft_keep_root(w->draft, w->entry, &out, become);
}

static int commit_own(struct writer *w, struct wait *wait)
{
	/* One that was made and not written is told of by its RELEASE, which
	 * may come when somebody has opened it again, and written it. */
	struct draft_outcome out = {.only_new = w->state == WRITER_CLEAN};
	int r;

	/* One that was opened under a blob's name. */
	writer_stop_upload(w);
	r = need_feed(w, wait);
	if (r < 0)
		return r;
	feed_end(w->feed);
	out.feed = w->feed;
	out.size_bytes = feed_size(w->feed);
	r = draft_entry_commit(w->draft, w->entry, &out);
	if (r == 0)
		w->given = true;
	return r;
}

static bool is_removed(struct writer *w)
{
	if (!w->draft)
		return false;
	autolock(&w->draft->lock);
	return w->entry->removed;
}

/* Nobody is told that something was published that never was. */
static int commit_removed(struct writer *w, enum draft_name name)
{
	if (!draft_name_commits(name))
		return 0;
	writer_report(w, -ENOENT,
		      "not written: its directory was removed meanwhile");
	return -ENOENT;
}

int writer_commit(struct writer *w, struct wait *wait)
{
	struct digest digest;
	enum draft_name name;

	name = writer_name(w, &digest);
	if (is_removed(w))
		return commit_removed(w, name);
	switch (name) {
	case DRAFT_NAME_BLOB:
		return commit_blob(w, &digest, wait);
	case DRAFT_NAME_INDEX:
	case DRAFT_NAME_MANIFEST:
		return commit_root(w, name, wait);
	case DRAFT_NAME_TOP:
	case DRAFT_NAME_BLOBS:
	case DRAFT_NAME_MARKER:
	case DRAFT_NAME_VIEW:
	case DRAFT_NAME_OWN:
		break;
	}
	return commit_own(w, wait);
}
