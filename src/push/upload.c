/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets on sendings, from being asked for to the answer; see sending.h. */
#include "push/upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/known.h"
#include "push/sending.h"
#include "util/clock.h"

int uploads_new(struct outbox *o, struct uploads **ret)
{
	struct uploads *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	r = map_new(&u->open);
	if (r < 0) {
		free(u);
		return r;
	}
	u->outbox = o;
	pthread_mutex_init(&u->lock, NULL);
	wait_cond_init(&u->work);
	wait_cond_init(&u->gone);
	list_init(&u->wanted);
	list_init(&u->ahead);
	list_init(&u->running);
	list_init(&u->kept);
	list_init(&u->scouts);
	*ret = u;
	return 0;
}

static void cancel_all(struct uploads *u, struct list_node *dead)
{
	struct list_node *const lists[] = {&u->wanted, &u->ahead, &u->running};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_for_safe(n, lists[i])
			sending_cancel(container_of(n, struct sending, node),
				       dead);
	list_for_safe(n, &u->kept)
		sending_drop_kept(container_of(n, struct sending, node));
}

void uploads_stop(struct uploads *u)
{
	LIST_HEAD(dead);
	LIST_HEAD(scouts);

	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	u->stopping = true;
	scouts_stop(u, NULL, &scouts);
	cancel_all(u, &dead);
	upload_join(u);
	pthread_mutex_unlock(&u->lock);
	tickets_bury(&dead);
	scouts_bury(&scouts);
}

void uploads_free(struct uploads *u)
{
	if (!u)
		return;
	uploads_stop(u);
	map_free(u->open, NULL);
	vec_done(&u->loads);
	pthread_cond_destroy(&u->work);
	pthread_cond_destroy(&u->gone);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

bool uploads_busy(struct uploads *u)
{
	autolock(&u->lock);
	list_for(n, &u->running)
		if (sending_is_waited_for(
			    container_of(n, struct sending, node)))
			return true;
	return !list_empty(&u->wanted);
}

/* --- tickets --- */

static struct upload *ticket_new(const struct upload_spec *spec)
{
	struct upload *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->refs = t->holders = 1;
	t->ahead = spec->ahead;
	t->size_bytes = spec->size_bytes;
	t->feed = spec->feed ? feed_ref(spec->feed) : NULL;
	t->from = spec->from ? repo_ref(spec->from) : NULL;
	list_init(&t->node);
	return t;
}

static void ticket_free(struct upload *t)
{
	feed_unref(t->feed);
	repo_unref(t->from);
	free(t);
}

void tickets_bury(struct list_node *dead)
{
	list_for_safe(n, dead) {
		list_del(n);
		ticket_free(container_of(n, struct upload, node));
	}
}

void ticket_put(struct upload *t, struct list_node *dead)
{
	if (--t->refs > 0)
		return;
	list_del(&t->node);
	list_push_back(dead, &t->node);
	sending_unref(t->sending);
}

static void ticket_join(struct upload *t, struct sending *s)
{
	struct uploads *u = s->uploads;
	bool was_claimed = s->claimed;

	t->sending = s;
	s->refs++;
	if (!t->ahead)
		s->claimed = true;
	if (s->state == SENDING_DONE) {
		if (s->claimed)
			sending_drop_kept(s);
		return;
	}
	list_push_back(&s->tickets, &t->node);
	if (t->ahead)
		t->refs++;
	if (s->state == SENDING_QUEUED && s->claimed && !was_claimed) {
		u->ahead_len--;
		list_del(&s->node);
		list_push_back(&u->wanted, &s->node);
	}
}

/* What the registry once confirmed it may have lost since: known_blob is no
 * proof, only what was confirmed a moment ago and is not known to be gone. */
static bool kept_is_fresh(const struct sending *s)
{
	uint64_t size;

	return clock_ms() - s->done_ms < UPLOAD_KEPT_MS &&
	       known_blob(s->repo, &s->digest, &size);
}

static void drop_old(struct uploads *u)
{
	list_for_safe(n, &u->kept) {
		struct sending *s = container_of(n, struct sending, node);

		if (clock_ms() - s->done_ms < UPLOAD_KEPT_MS)
			return;
		sending_drop_kept(s);
	}
}

static int sending_start(struct uploads *u, const struct upload_spec *spec,
			 char **key, struct sending **ret)
{
	struct sending *s = NULL;
	int r;

	if (spec->ahead && u->ahead_len >= UPLOAD_AHEAD_MAX)
		return -EBUSY;
	r = upload_make_load(u, repo_registry(spec->repo));
	if (r == 0)
		r = sending_new(u, spec, *key, &s);
	if (r < 0)
		return r;
	*key = NULL;
	r = map_put(u->open, s->key, s, NULL);
	if (r < 0) {
		sending_unref(s);
		return r;
	}
	s->claimed = !spec->ahead;
	u->ahead_len += spec->ahead;
	list_push_back(spec->ahead ? &u->ahead : &u->wanted, &s->node);
	*ret = s;
	return 0;
}

/* Lock held. */
static int begin(struct uploads *u, const struct upload_spec *spec, char **key,
		 struct upload *t, struct list_node *dead)
{
	struct sending *s;
	int r = 0;

	if (u->stopping)
		return -ESHUTDOWN;
	drop_old(u);
	s = map_find(u->open, *key);
	if (s && s->state == SENDING_DONE && !kept_is_fresh(s)) {
		sending_drop_kept(s);
		s = NULL;
	}
	if (!s)
		r = sending_start(u, spec, key, &s);
	if (r < 0)
		return r;
	ticket_join(t, s);
	if (s->state == SENDING_QUEUED && upload_wake(u) < 0)
		sending_end(s, -ENOMEM, dead);
	return 0;
}

int upload_begin(struct outbox *o, const struct upload_spec *spec,
		 struct upload **ret)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *key = NULL;
	struct upload *t;
	LIST_HEAD(dead);
	int r;

	if (spec->ahead && atomic_load(&o->draining))
		return -ESHUTDOWN;
	digest_format(spec->digest, digest);
	key = sending_key(spec->repo, digest);
	t = ticket_new(spec);
	if (!key || !t) {
		if (t)
			ticket_free(t);
		return -ENOMEM;
	}
	pthread_mutex_lock(&o->uploads->lock);
	r = begin(o->uploads, spec, &key, t, &dead);
	pthread_mutex_unlock(&o->uploads->lock);
	tickets_bury(&dead);
	if (r < 0) {
		ticket_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct upload *upload_ref(struct upload *t)
{
	autolock(&t->sending->uploads->lock);
	t->refs++;
	t->holders++;
	return t;
}

void upload_unref(struct upload *t)
{
	struct sending *s;
	LIST_HEAD(dead);

	if (!t)
		return;
	s = t->sending;
	struct uploads *u = s->uploads;

	pthread_mutex_lock(&u->lock);
	if (--t->holders == 0 && !t->ahead && s->state != SENDING_DONE) {
		list_del(&t->node);
		if (list_empty(&s->tickets))
			sending_cancel(s, &dead);
	}
	ticket_put(t, &dead);
	pthread_mutex_unlock(&u->lock);
	tickets_bury(&dead);
}

/* --- the answer --- */

bool upload_done(const struct upload *t, int *ret_result)
{
	autolock(&t->sending->uploads->lock);
	if (t->sending->state != SENDING_DONE)
		return false;
	*ret_result = t->sending->result ? t->result : 0;
	return true;
}

/* More than the sender's: it may have to find out what became of its last
 * request, and says best what went wrong. */
static unsigned patience_ms(const struct uploads *u)
{
	return u->outbox->times.commit_budget / 2 * 3;
}

/* Lock held.  One that is queued moves on while any other does. */
static int wait_done(struct sending *s, struct wait *w)
{
	struct uploads *u = s->uploads;
	uint64_t steps = UINT64_MAX, now;
	int r;

	while (s->state != SENDING_DONE) {
		now = s->state == SENDING_QUEUED ? u->steps : s->steps;
		if (now != steps)
			w->deadline_ms = clock_ms() + patience_ms(u);
		steps = now;
		r = wait_cond(w, &s->moved, &u->lock);
		if (r < 0)
			return r;
	}
	return 0;
}

/* It may have been there before, or another's bytes were sent: that these are
 * what they are called is another question. */
static int check_bytes(struct upload *t)
{
	struct sending *s = t->sending;
	struct digest got;
	autostr object = {0};
	int r;

	if (!t->feed)
		return 0;
	r = feed_digest(t->feed, s->digest.alg, &got);
	if (r < 0)
		return r;
	if (digest_equal(&got, &s->digest)) {
		sending_learn(s, feed_size(t->feed));
		return 0;
	}
	upload_object(s, &object);
	return outbox_fault(s->uploads->outbox, s->repo, object.buf, -EBADMSG,
			    "what was written is not what its name says");
}

int upload_wait(struct upload *t, struct wait *w)
{
	struct sending *s = t->sending;
	autostr object = {0};
	int r;

	{
		autolock(&s->uploads->lock);
		/* Its source may have become complete since it was queued. */
		if (s->state == SENDING_QUEUED)
			upload_wake(s->uploads);
		r = wait_done(s, w);
		if (r == 0 && s->result < 0)
			return t->result;
	}
	if (r == 0)
		return check_bytes(t);
	upload_object(s, &object);
	return r == -ETIMEDOUT
		       ? outbox_fault(s->uploads->outbox, s->repo, object.buf,
				      r, "nothing moved for too long")
		       : r;
}
