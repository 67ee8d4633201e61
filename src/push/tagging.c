/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each change is asked of the registry first, within the turn at the name, and
 * told to the mount after that was left.
 * Renaming is two changes: if the second fails both names are there, and the
 * records say so; nothing is taken back, for that could fail, too.
 */
#include "push/tagging.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "content/doc.h"
#include "content/known.h"
#include "content/resolve.h"
#include "oci/reference.h"
#include "push/outbox_private.h"
#include "push/pending_private.h"
#include "push/publish_private.h"
#include "push/turn.h"
#include "registry/out/put.h"

AUTOPTR_DEFINE(doc, doc_unref)

/* May this be removed? */
static int removable(struct outbox *o, struct repo *repo, const char *object)
{
	int r = outbox_writable(o, repo);

	if (r < 0)
		return r;
	if (o->options->allow_delete)
		return 0;
	return outbox_fault(o, repo, object, -EPERM,
			    "removing and renaming need the mount option "
			    "allow_delete");
}

static int enter(struct outbox *o, struct repo *repo, const char *name,
		 struct wait *w, struct turn **ret)
{
	return turn_take(o, repo_host(repo), repo_name(repo), name, w, ret);
}

/* In the tag's turn; the mount is told when that was left. */
static int put_tag(struct outbox *o, struct repo *repo, const char *tag,
		   const struct digest *d, struct wait *w)
{
	autoptr(doc) doc = NULL;
	const struct manifest *m;
	struct resolved was;
	bool known;
	int r;

	r = doc_fetch(repo, d, w, &doc);
	if (r < 0)
		return r;
	m = doc_manifest(doc);
	known = resolve_peek(repo, tag, &was) == 0;
	const struct put_manifest q = {.repository = repo_name(repo),
				       .reference = tag,
				       .digest = &m->digest,
				       .before = known ? &was.digest : NULL,
				       .mediatype = m->mediatype,
				       .bytes = m->bytes,
				       .len = m->size_bytes};

	r = put_manifest(repo_registry(repo), &q, w, NULL);
	if (r < 0)
		return r;
	learn_manifest(repo, m);
	learn_tag(repo, tag, m);
	pending_superseded(o, repo, tag);
	return 0;
}

int tagging_put(struct outbox *o, struct repo *repo, const char *tag,
		const struct digest *d, struct wait *w)
{
	struct turn *turn = NULL;
	int r = outbox_writable(o, repo);

	if (r == 0 && !reference_is_tag(tag))
		r = -EINVAL;
	if (r == 0)
		r = enter(o, repo, tag, w, &turn);
	if (r < 0)
		return r;
	r = put_tag(o, repo, tag, d, w);
	turn_leave(turn);
	if (r == 0)
		outbox_changed(o, repo, tag);
	return r;
}

/* In the tag's turn; the mount is told when that was left. */
static int remove_tag(struct outbox *o, struct repo *repo, const char *tag,
		      struct wait *w)
{
	int r = delete_tag(repo_registry(repo), repo_name(repo), tag, w);

	if (r < 0)
		return r;
	learn_no_tag(repo, tag);
	pending_superseded(o, repo, tag);
	return 0;
}

/* In the turns of both.  *ret_put: there is the new one. */
static int rename_tag(struct outbox *o, struct repo *repo, const char *from,
		      const char *to, struct wait *w, bool *ret_put)
{
	struct resolved was;
	int r;

	r = resolve_tag(repo, from, w, &was);
	if (r == 0)
		r = put_tag(o, repo, to, &was.digest, w);
	if (r < 0)
		return r;
	*ret_put = true;
	return remove_tag(o, repo, from, w);
}

int tagging_rename(struct outbox *o, struct repo *repo, const char *from,
		   const char *to, struct wait *w)
{
	struct turn *turns[2] = {NULL, NULL};
	char object[PUBLISH_OBJECT_MAX];
	bool put = false;
	int r;

	if (!reference_is_tag(from) || !reference_is_tag(to))
		return -EINVAL;
	publish_object(repo, from, object);
	r = removable(o, repo, object);
	if (r < 0 || strcmp(from, to) == 0)
		return r;
	r = turn_take_two(o, repo, from, to, w, turns);
	if (r < 0)
		return r;
	r = rename_tag(o, repo, from, to, w, &put);
	turn_leave(turns[1]);
	turn_leave(turns[0]);
	if (put)
		outbox_changed(o, repo, to);
	if (r == 0)
		outbox_changed(o, repo, from);
	if (r == 0 || !put)
		return r;
	publish_object(repo, to, object);
	return outbox_fault(o, repo, object, r,
			    "the image is also still under its old name %s",
			    from);
}

int tagging_remove(struct outbox *o, struct repo *repo, const char *tag,
		   struct wait *w)
{
	char object[PUBLISH_OBJECT_MAX];
	struct turn *turn = NULL;
	int r;

	if (!reference_is_tag(tag))
		return -EINVAL;
	publish_object(repo, tag, object);
	r = removable(o, repo, object);
	if (r == 0)
		r = enter(o, repo, tag, w, &turn);
	if (r < 0)
		return r;
	r = remove_tag(o, repo, tag, w);
	turn_leave(turn);
	if (r == 0)
		outbox_changed(o, repo, tag);
	return r;
}

/* --- by digest --- */

/* A registry without the API keeps a list, in which it must not stay. */
static int leave_subject(struct outbox *o, struct repo *repo,
			 const struct manifest *m, struct wait *w)
{
	char object[PUBLISH_OBJECT_MAX];
	int r;

	r = referrers_remove(repo_registry(repo), repo_name(repo),
			     &m->subject.digest, &m->digest, w);
	learn_referrers(repo, &m->subject.digest);
	if (r == 0)
		return 0;
	publish_object_digest(repo, &m->subject.digest, object);
	return outbox_fault(o, repo, object, r,
			    "a removed referrer is still listed");
}

/* In its turn.  *ret_gone: it is gone, be there trouble or not. */
static int remove_manifest(struct outbox *o, struct repo *repo,
			   const struct digest *d, const char *text,
			   struct wait *w, bool *ret_gone)
{
	autoptr(doc) doc = NULL;
	const struct manifest *m;
	int r;

	/* Afterwards nobody can tell any more what it referred to. */
	r = doc_fetch(repo, d, w, &doc);
	if (r < 0 && r != -ENOENT)
		return r;
	r = delete_manifest(repo_registry(repo), repo_name(repo), d, w);
	if (r < 0)
		return r;
	*ret_gone = true;
	learn_gone(repo, d);
	pending_superseded(o, repo, text);
	m = doc ? doc_manifest(doc) : NULL;
	if (m && m->has_subject)
		r = leave_subject(o, repo, m, w);
	return r;
}

int tagging_remove_manifest(struct outbox *o, struct repo *repo,
			    const struct digest *d, struct wait *w)
{
	char object[PUBLISH_OBJECT_MAX], text[DIGEST_TEXT_MAX];
	struct turn *turn = NULL;
	bool gone = false;
	int r;

	publish_object_digest(repo, d, object);
	digest_format(d, text);
	r = removable(o, repo, object);
	if (r == 0)
		r = enter(o, repo, text, w, &turn);
	if (r < 0)
		return r;
	r = remove_manifest(o, repo, d, text, w, &gone);
	turn_leave(turn);
	if (gone)
		outbox_changed(o, repo, text);
	return r;
}

int tagging_remove_blob(struct outbox *o, struct repo *repo,
			const struct digest *d, struct wait *w)
{
	char object[PUBLISH_OBJECT_MAX], text[DIGEST_TEXT_MAX];
	int r;

	digest_format(d, text);
	snprintf(object, sizeof(object), "%s/_blobs/%s", repo_name(repo), text);
	r = removable(o, repo, object);
	if (r == 0)
		r = delete_blob(repo_registry(repo), repo_name(repo), d, w);
	if (r < 0)
		return r;
	learn_gone(repo, d);
	outbox_changed(o, repo, text);
	return 0;
}
