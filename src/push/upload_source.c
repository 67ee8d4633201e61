/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt at sending a blob: from a file that may still be growing, from
 * another repository by a relay, or from nowhere (then it has to be there, or
 * be mounted).  What is read is hashed on the way, and nothing is committed
 * that is not what the digest says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/known.h"
#include "push/relay.h"
#include "push/sending.h"
#include "registry/out/push.h"
#include "util/clock.h"

/* How often a file may change behind our back before we give it up. */
#define ANEW_MAX 8
/* Waiting for who writes the file: so often we look for a better source. */
#define STALL_MS 500

struct attempt {
	struct sending *s;
	struct upload *t;
	bool source_failed;
	bool session_open;
	int64_t session;
	/* of a feed */
	struct feed_reader reader;
	uint64_t end_off;    /* so far it was read */
	struct relay *relay; /* NULL until the first read */
	bool sent;	     /* it went through here, all of it */
	bool direct;	     /* counted as such */
};

static unsigned budget_ms(const struct attempt *a)
{
	return a->s->uploads->outbox->times.commit_budget;
}

/* Lock not held: who waits shall see that we get on. */
static void moved(struct attempt *a)
{
	struct uploads *u = a->s->uploads;

	autolock(&u->lock);
	a->s->steps++;
	u->steps++;
	pthread_cond_broadcast(&a->s->moved);
}

static int fault(struct attempt *a, int error, const char *text)
{
	autostr object = {0};

	upload_object(a->s, &object);
	return outbox_fault(a->s->uploads->outbox, a->s->repo, object.buf,
			    error, "%s", text);
}

/* --- the parts that any source has --- */

/* Without a source it is only what some document claims. */
static uint64_t source_size(const struct upload *t)
{
	if (!t->feed && !t->from)
		return FEED_SIZE_UNKNOWN;
	return t->feed ? feed_final_size(t->feed) : t->size_bytes;
}

static void on_progress(void *arg, uint64_t sent)
{
	struct attempt *a = arg;
	struct uploads *u = a->s->uploads;

	autolock(&u->lock);
	a->s->sent = sent;
	a->s->total = source_size(a->t);
	a->s->steps++;
	u->steps++;
	pthread_cond_broadcast(&a->s->moved);
}

static void on_session(void *arg, const char *url)
{
	struct attempt *a = arg;
	struct journal *j = a->s->uploads->outbox->journal;
	autofree char *place = NULL;

	if (a->session_open)
		journal_session_over(j, a->session);
	a->session_open = false;
	if (url &&
	    content_place(repo_content(a->s->repo), repo_host(a->s->repo),
			  &place) == 0 &&
	    journal_session_open(j, place, repo_name(a->s->repo), url,
				 &a->session) == 0)
		a->session_open = true;
}

/* --- a feed --- */

/* Another party has all bytes already. */
static bool has_better_source(struct attempt *a)
{
	const struct upload *best;

	autolock(&a->s->uploads->lock);
	best = sending_choose(a->s);
	return best && best != a->t && !ticket_is_growing(best) &&
	       (best->feed || best->from);
}

/* Waiting for the writer is nothing that the registry could be blamed for. */
static int stalled(struct attempt *a, ssize_t n, struct wait *w)
{
	w->deadline_ms = clock_ms() + STALL_MS;
	if (n != -ETIMEDOUT)
		return 1;
	return has_better_source(a) ? -EAGAIN : 0;
}

static ssize_t feed_source_read(void *arg, void *buf, size_t len, uint64_t off,
				struct wait *w)
{
	struct attempt *a = arg;
	ssize_t n;
	int r;

	w->deadline_ms = clock_ms() + STALL_MS;
	do {
		n = feed_next(a->t->feed, &a->reader, buf, len, off, w);
		r = stalled(a, n, w);
	} while (r == 0);
	w->deadline_ms = clock_ms() + budget_ms(a);
	if (r < 0)
		n = r;
	if (n < 0) {
		a->source_failed = true;
		return n;
	}
	if (off + (uint64_t)n > a->end_off)
		a->end_off = off + (uint64_t)n;
	moved(a);
	return n;
}

static uint64_t feed_source_size(void *arg)
{
	struct attempt *a = arg;

	return feed_final_size(a->t->feed);
}

/* The bytes of the file, and that they are still those that were sent. */
static int feed_source_check(void *arg, struct wait *w)
{
	struct attempt *a = arg;
	struct digest got;
	ssize_t n = 0;
	char byte;
	int r;

	r = feed_digest(a->t->feed, a->s->digest.alg, &got);
	w->deadline_ms = clock_ms() + budget_ms(a);
	if (r == 0)
		n = feed_next(a->t->feed, &a->reader, &byte, 1, a->end_off, w);
	if (n != 0)
		r = n > 0 ? -ESTALE : (int)n;
	if (r == 0 && !digest_equal(&got, &a->s->digest))
		r = fault(a, -EBADMSG,
			  "what was written is not what its name says");
	if (r < 0)
		a->source_failed = true;
	return r;
}

/* It changed under way: from the beginning, once it is complete. */
static int feed_begin_anew(struct attempt *a, struct wait *w)
{
	uint64_t size = 0;
	int n, r;

	w->deadline_ms = clock_ms() + STALL_MS;
	do {
		if (feed_size(a->t->feed) != size)
			moved(a);
		size = feed_size(a->t->feed);
		n = feed_wait_end(a->t->feed, w);
		r = stalled(a, n, w);
	} while (r == 0);
	w->deadline_ms = clock_ms() + budget_ms(a);
	memset(&a->reader, 0, sizeof(a->reader));
	a->end_off = 0;
	a->source_failed = r < 0 || n < 0;
	return r < 0 ? r : n;
}

/* --- a blob of another repository --- */

static int open_relay(struct attempt *a)
{
	struct uploads *u = a->s->uploads;
	int r;

	if (a->relay)
		return 0;
	{
		autolock(&u->lock);
		a->direct = upload_relay_begin(u, repo_registry(a->t->from));
	}
	r = relay_open(a->t->from, &a->s->digest, a->t->size_bytes, a->direct,
		       &a->relay);
	if (r < 0)
		a->source_failed = true;
	return r;
}

static void close_relay(struct attempt *a)
{
	struct uploads *u = a->s->uploads;

	relay_close(a->relay);
	if (!a->direct)
		return;
	autolock(&u->lock);
	upload_relay_end(u, repo_registry(a->t->from));
}

static ssize_t blob_source_read(void *arg, void *buf, size_t len, uint64_t off,
				struct wait *w)
{
	struct attempt *a = arg;
	ssize_t n = open_relay(a);

	if (n == 0)
		n = relay_read(a->relay, buf, len, off, budget_ms(a), w);
	if (n < 0)
		a->source_failed = true;
	else
		moved(a);
	return n;
}

static uint64_t blob_source_size(void *arg)
{
	struct attempt *a = arg;

	return a->t->size_bytes;
}

static int blob_source_check(void *arg, struct wait *w)
{
	struct attempt *a = arg;
	int r = open_relay(a);

	if (r == 0)
		r = relay_check(a->relay, budget_ms(a), w);
	if (r < 0)
		a->source_failed = true;
	return r;
}

/* --- the attempt --- */

/* A repository of that registry which somebody copies it from. */
static char *copied_from(struct attempt *a)
{
	struct sending *s = a->s;

	autolock(&s->uploads->lock);
	list_for(n, &s->tickets) {
		const struct upload *t = container_of(n, struct upload, node);

		if (t->from && t->from != s->repo &&
		    repo_registry(t->from) == repo_registry(s->repo))
			return strdup(repo_name(t->from));
	}
	return NULL;
}

/* 1: its writer has these bytes.  0: not, or they are no longer all. */
static int has_bytes(struct attempt *a)
{
	struct digest got;
	int r;

	if (!feed_ended(a->t->feed))
		return 0;
	r = feed_digest(a->t->feed, a->s->digest.alg, &got);
	return r < 0 ? r : digest_equal(&got, &a->s->digest);
}

/*
 * Another repository of that registry, to be mounted from.  Where it is known
 * to be is no secret to us, but who only names a digest must not get it out of
 * a repository that others cannot read: he has to have the bytes, all of them,
 * which is worth waiting for.
 */
static int mount_from(struct attempt *a, char **ret)
{
	struct sending *s = a->s;
	autofree char *name = copied_from(a);
	int r = 1;

	if (!name && a->t->feed &&
	    known_holder(s->repo, &s->digest, &name) == 0) {
		r = ticket_is_growing(a->t) ? feed_begin_anew(a, &s->wait) : 0;
		if (r == 0)
			r = has_bytes(a);
		if (r < 0)
			return r;
	}
	if (r == 1)
		*ret = steal(&name);
	return 0;
}

static int push(struct attempt *a)
{
	static const struct push_source feed_ops = {
		.read = feed_source_read,
		.size = feed_source_size,
		.check = feed_source_check,
		.progress = on_progress,
		.session = on_session,
	};
	static const struct push_source blob_ops = {
		.read = blob_source_read,
		.size = blob_source_size,
		.check = blob_source_check,
		.progress = on_progress,
		.session = on_session,
	};
	autofree char *from = NULL;
	struct sending *s = a->s;
	struct push_spec spec = {.repository = repo_name(s->repo),
				 .digest = &s->digest};
	struct push_source source = a->t->feed ? feed_ops : blob_ops;
	enum push_result how;
	int r = mount_from(a, &from);

	if (r < 0)
		return r;
	spec.from = from;
	source.arg = a;
	spec.source = a->t->feed || a->t->from ? &source : NULL;
	for (unsigned i = 0;; i++) {
		r = push_blob(repo_registry(s->repo), &spec, &s->wait, &how);
		if (r != -ESTALE || !a->t->feed || i == ANEW_MAX)
			break;
		r = feed_begin_anew(a, &s->wait);
		if (r < 0)
			break;
	}
	a->sent = r == 0 && how == PUSH_UPLOADED;
	if (r == -ENOENT && !spec.source)
		a->source_failed = true;
	return r;
}

int sending_attempt(struct sending *s, struct upload *t, bool *ret_source)
{
	struct attempt a = {.s = s, .t = t};
	int r;

	{
		autolock(&s->uploads->lock);
		s->total = source_size(t);
		s->sent = 0;
	}
	r = push(&a);
	close_relay(&a);
	/* A file that was not needed is yet to be looked at (upload_wait). */
	if (a.sent)
		sending_learn(s, source_size(t));
	else if (r == 0 && !t->feed)
		sending_learn_claimed(s, source_size(t));
	*ret_source = r < 0 && a.source_failed;
	return r;
}
