/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents go out by height: those of one height name none of each other, so
 * a crew of threads puts them side by side, and the next height begins when all
 * of them are there.  The caller only watches its own patience; when that ends
 * it interrupts the crew, and leaves after the last of them.
 */
#include "push/publish_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "content/known.h"
#include "content/resolve.h"
#include "push/outbox_private.h"
#include "push/pending_private.h"
#include "push/turn.h"
#include "registry/out/put.h"
#include "util/auto.h"
#include "util/clock.h"

#define CREW_MAX 6

/* --- one document --- */

static int put_bytes(const struct publication *p, const struct manifest *m,
		     const char *reference, const struct digest *before,
		     struct wait *w, bool *ret_subject)
{
	const struct put_manifest q = {.repository = repo_name(p->repo),
				       .reference = reference,
				       .digest = &m->digest,
				       .before = before,
				       .mediatype = m->mediatype,
				       .bytes = m->bytes,
				       .len = m->size_bytes};

	return put_manifest(repo_registry(p->repo), &q, w, ret_subject);
}

/* A registry that does not index referrers has it done by its clients
 * (registries.md A.5). */
static int put_subject(const struct publication *p, const struct manifest *m,
		       bool indexed, struct wait *w)
{
	const struct descriptor d = {
		.mediatype = m->mediatype,
		.artifact_type = m->artifact_type ? m->artifact_type
						  : m->config.mediatype,
		.digest = m->digest,
		.size_bytes = m->size_bytes,
		.annotations = m->annotations,
		.annotations_len = m->annotations_len,
	};
	int r = 0;

	if (!indexed)
		r = referrers_add(repo_registry(p->repo), repo_name(p->repo),
				  &m->subject.digest, &d, w);
	if (r == 0)
		learn_referrers(p->repo, &m->subject.digest);
	return r;
}

/* By its digest; the mount is not told.  *ret_put: it is there. */
static int put_quietly(const struct publication *p, const struct manifest *m,
		       struct wait *w, bool *ret_put)
{
	bool indexed = false;
	int r;

	r = put_bytes(p, m, NULL, NULL, w, &indexed);
	if (r < 0)
		return r;
	*ret_put = true;
	learn_manifest(p->repo, m);
	return m->has_subject ? put_subject(p, m, indexed, w) : 0;
}

static int put_document(const struct publication *p, const struct manifest *m,
			struct wait *w)
{
	char text[DIGEST_TEXT_MAX];
	bool put = false;
	int r = put_quietly(p, m, w, &put);

	digest_format(&m->digest, text);
	if (put)
		outbox_changed(p->outbox, p->repo, text);
	return r;
}

static int put_tag(const struct publication *p, const struct manifest *m,
		   struct wait *w, bool *ret_put)
{
	struct resolved was;
	bool known = resolve_peek(p->repo, p->name, &was) == 0;
	int r;

	r = put_bytes(p, m, p->name, known ? &was.digest : NULL, w, NULL);
	if (r < 0)
		return r;
	*ret_put = true;
	learn_manifest(p->repo, m);
	learn_tag(p->repo, p->name, m);
	return 0;
}

/* Within the turn at the name. */
static int put_wanted(const struct publication *p,
		      const struct closure_doc *root, bool by_digest,
		      struct wait *w, bool *ret_put)
{
	int r = p->wanted ? p->wanted(p->owner, w) : 0;

	if (r == 0 && !by_digest)
		r = put_tag(p, root->m, w, ret_put);
	else if (r == 0 && root->put)
		r = put_quietly(p, root->m, w, ret_put);
	if (r < 0)
		return r;
	if (p->settled)
		p->settled(p->owner);
	else
		pending_superseded(p->outbox, p->repo, p->name);
	return 0;
}

static int no_turn(const struct publication *p, int error)
{
	char object[PUBLISH_OBJECT_MAX];

	if (error != -ETIMEDOUT)
		return error;
	publish_object(p->repo, p->name, object);
	return outbox_fault(p->outbox, p->repo, object, error,
			    "another image was still being put there");
}

/* The last step, which makes the name mean this image. */
static int put_root(const struct publication *p, const struct closure_doc *root,
		    struct wait *w)
{
	struct turn *turn = NULL;
	struct digest d;
	bool by_digest = digest_parse(p->name, &d) == 0, put = false;
	int r = 0;

	/* What refers to something is to be found before it has a name. */
	if (root->put && !by_digest && root->m->has_subject)
		r = put_document(p, root->m, w);
	if (r < 0)
		return r;
	r = turn_take(p->outbox, repo_host(p->repo), repo_name(p->repo),
		      p->name, w, &turn);
	if (r < 0)
		return no_turn(p, r);
	publish_progress(p, w);
	r = put_wanted(p, root, by_digest, w, &put);
	turn_leave(turn);
	if (put)
		outbox_changed(p->outbox, p->repo, p->name);
	return r;
}

/* --- many at once --- */

struct crew {
	const struct publication *p;
	const struct closure_doc *docs;
	pthread_mutex_t lock;
	pthread_cond_t stepped;
	size_t next, end; /* protected by lock */
	size_t left;	  /* members at work; protected by lock */
	int result;	  /* the first failure; protected by lock */
};

struct member {
	struct crew *crew;
	struct wait wait;
	pthread_t thread;
};

/* The next to be put, after `failed` (or 0) of the one before. */
static const struct closure_doc *crew_next(struct crew *c, int failed)
{
	const struct closure_doc *d = NULL;

	autolock(&c->lock);
	if (failed < 0 && c->result == 0)
		c->result = failed;
	while (c->next < c->end && c->result == 0 && !d) {
		d = &c->docs[c->next++];
		if (!d->put)
			d = NULL;
	}
	if (!d)
		c->left--;
	pthread_cond_signal(&c->stepped);
	return d;
}

static void *member_run(void *arg)
{
	struct member *m = arg;
	const struct closure_doc *d;
	bool put;
	int r = 0;

	while ((d = crew_next(m->crew, r))) {
		publish_progress(m->crew->p, &m->wait);
		r = put_quietly(m->crew->p, d->m, &m->wait, &put);
	}
	return NULL;
}

/* Its members find out for themselves that nothing moves, and perhaps what
 * became of it, and say so: this is only for one that does not. */
static void crew_patience(const struct crew *c, struct wait *w)
{
	uint64_t deadline = clock_ms() + 2 * c->p->outbox->times.commit_budget;

	if (w->deadline_ms < deadline)
		w->deadline_ms = deadline;
}

/* Waits for the crew; members is how many there are. */
static void crew_watch(struct crew *c, struct member *v, size_t members,
		       struct wait *w)
{
	size_t seen = SIZE_MAX;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	while (c->left > 0 && r == 0) {
		if (c->next != seen)
			crew_patience(c, w);
		seen = c->next;
		r = wait_cond(w, &c->stepped, &c->lock);
	}
	if (r < 0 && c->result == 0)
		c->result = r;
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < members; i++) {
		if (r < 0)
			wait_interrupt(&v[i].wait);
	}
	for (size_t i = 0; i < members; i++)
		pthread_join(v[i].thread, NULL);
}

static size_t crew_start(struct crew *c, struct member *v, size_t want,
			 const struct wait *w)
{
	size_t n = 0;

	autolock(&c->lock);
	for (; n < want; n++) {
		v[n] = (struct member){.crew = c};
		wait_init(&v[n].wait, wait_left_ms(w), WAIT_CANCELLABLE);
		if (pthread_create(&v[n].thread, NULL, member_run, &v[n]))
			break;
	}
	c->left = n;
	return n;
}

/* docs[from, end), in one thread. */
static int put_here(const struct crew *c, size_t from, size_t end,
		    struct wait *w)
{
	int r = 0;

	for (size_t i = from; i < end && r == 0; i++) {
		if (!c->docs[i].put)
			continue;
		r = put_document(c->p, c->docs[i].m, w);
		if (r == 0)
			publish_progress(c->p, w);
	}
	return r;
}

/* By the caller's own thread, which knows what it must not wait for.  Those
 * that were not put are as they were. */
static void tell_put(const struct crew *c, size_t from, size_t end)
{
	char text[DIGEST_TEXT_MAX];

	for (size_t i = from; i < end; i++) {
		if (!c->docs[i].put)
			continue;
		digest_format(&c->docs[i].m->digest, text);
		outbox_changed(c->p->outbox, c->p->repo, text);
	}
}

static int put_height(struct crew *c, size_t from, size_t end, struct wait *w)
{
	struct member v[CREW_MAX];
	size_t n = end - from;

	c->next = from;
	c->end = end;
	c->result = 0;
	if (n > 1)
		n = crew_start(c, v, n < CREW_MAX ? n : CREW_MAX, w);
	else
		n = 0;
	if (n == 0)
		return put_here(c, from, end, w);
	crew_watch(c, v, n, w);
	tell_put(c, from, end);
	return c->result;
}

int publish_put(const struct closure_source *s, const struct closure *c,
		struct wait *w)
{
	struct crew crew = {.p = s->p, .docs = c->docs.v};
	const size_t last = c->docs.len - 1;
	size_t end;
	int r = 0;

	pthread_mutex_init(&crew.lock, NULL);
	r = wait_cond_init(&crew.stepped);
	if (r < 0) {
		pthread_mutex_destroy(&crew.lock);
		return r;
	}
	for (size_t from = 0; from < last && r == 0; from = end) {
		end = from + 1;
		while (end < last &&
		       c->docs.v[end].height == c->docs.v[from].height)
			end++;
		r = put_height(&crew, from, end, w);
	}
	pthread_cond_destroy(&crew.stepped);
	pthread_mutex_destroy(&crew.lock);
	return r < 0 ? r : put_root(s->p, &c->docs.v[last], w);
}
