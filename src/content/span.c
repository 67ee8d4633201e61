/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of spans, made or being made:
 *
 *   ABANDONED --a user takes the lead--> LED --> READY
 *       ^                                 |----> FAILED (result)
 *       +-- as much is made as he wanted, |
 *           or the leader's own patience -+
 *
 * Invariants: what is LED, or ABANDONED with nothing made, has users; READY,
 * and ABANDONED with a part made, without users is in `idle`, the only place
 * from where spans go; FAILED is in no table, and lives until its last user has
 * seen the result.  What has memory is counted, from before it is allocated, so
 * makers make room first.
 */
#include "content/span.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "content/decoding.h"
#include "content/spool.h"
#include "util/auto.h"
#include "util/list.h"
#include "util/map.h"

enum span_state { SPAN_ABANDONED, SPAN_LED, SPAN_READY, SPAN_FAILED };

/* All but len protected by spans->lock.  While it is LED the leader fills
 * bytes from `done` on; those before it are constant, like the pointer as long
 * as there are users of a byte. */
struct span {
	struct list_node node; /* in spans->idle */
	enum span_state state;
	unsigned users;
	uint64_t steps; /* grows while its maker gets on */
	int result;
	uint8_t *bytes; /* NULL: not allocated yet, and not counted */
	size_t len, done;
	void *more; /* what its maker goes on with; or NULL */
	void (*drop)(void *more);
	size_t key_len;
	uint8_t key[];
};

struct spans {
	struct spools *spools;
	uint64_t max_bytes;
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t changed;
	struct map *table;     /* key and length -> span */
	struct list_node idle; /* least recently used first */
	uint64_t bytes;	       /* of all spans */
	uint64_t last_id;
};

struct span_key {
	size_t len;
	uint8_t bytes[SPAN_KEY_MAX + sizeof(size_t)];
};

int spans_new(uint64_t max_bytes, struct spans **ret)
{
	struct spans *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = map_new(&s->table);
	if (r == 0)
		r = spools_new(&s->spools);
	if (r < 0) {
		map_free(s->table, NULL);
		free(s);
		return r;
	}
	s->max_bytes = max_bytes;
	pthread_mutex_init(&s->lock, NULL);
	wait_cond_init(&s->changed);
	list_init(&s->idle);
	*ret = s;
	return 0;
}

struct spools *spans_spools(struct spans *s)
{
	return s->spools;
}

uint64_t spans_next_id(struct spans *s)
{
	autolock(&s->lock);
	return ++s->last_id;
}

static int key_make(const void *key, size_t key_len, size_t len,
		    struct span_key *ret)
{
	if (key_len > SPAN_KEY_MAX)
		return -EINVAL;
	memcpy(ret->bytes, key, key_len);
	memcpy(ret->bytes + key_len, &len, sizeof(len));
	ret->len = key_len + sizeof(len);
	return 0;
}

/* Lock held. */
static void span_empty(struct spans *s, struct span *sp)
{
	if (sp->more)
		sp->drop(sp->more);
	if (sp->bytes)
		s->bytes -= sp->len;
	free(sp->bytes);
	sp->bytes = NULL;
	sp->more = NULL;
	sp->done = 0;
}

static void span_free(struct spans *s, struct span *sp)
{
	span_empty(s, sp);
	free(sp);
}

/* Lock held: as far as there is something that nobody uses. */
static void trim_to(struct spans *s, uint64_t max_bytes)
{
	while (s->bytes > max_bytes && !list_empty(&s->idle)) {
		struct span *sp = container_of(s->idle.next, struct span, node);

		list_del(&sp->node);
		map_removen(s->table, sp->key, sp->key_len);
		span_free(s, sp);
	}
}

static void trim(struct spans *s)
{
	trim_to(s, s->max_bytes);
}

void spans_forget(struct spans *s)
{
	autolock(&s->lock);
	trim_to(s, 0);
}

void spans_free(struct spans *s)
{
	if (!s)
		return;
	trim_to(s, 0);
	spools_free(s->spools);
	map_free(s->table, NULL);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Lock held: the span of this key, made if need be, with one more user. */
static int span_join(struct spans *s, const struct span_key *key, size_t len,
		     struct span **ret)
{
	struct span *sp = map_findn(s->table, key->bytes, key->len);
	int r;

	if (!sp) {
		sp = calloc(1, sizeof(*sp) + key->len);
		if (!sp)
			return -ENOMEM;
		list_init(&sp->node);
		sp->state = SPAN_ABANDONED;
		sp->len = len;
		sp->key_len = key->len;
		memcpy(sp->key, key->bytes, key->len);
		r = map_putn(s->table, key->bytes, key->len, sp, NULL);
		if (r < 0) {
			free(sp);
			return r;
		}
	}
	list_del(&sp->node);
	sp->users++;
	*ret = sp;
	return 0;
}

/* Lock held. */
static void span_leave(struct spans *s, struct span *sp)
{
	if (--sp->users > 0)
		return;
	if (sp->state == SPAN_READY ||
	    (sp->state == SPAN_ABANDONED && sp->done > 0)) {
		list_push_back(&s->idle, &sp->node);
		trim(s);
		return;
	}
	if (sp->state == SPAN_ABANDONED)
		map_removen(s->table, sp->key, sp->key_len);
	span_free(s, sp);
}

/* Lock held; given up while room is found. */
static int span_allocate(struct spans *s, struct span *sp)
{
	uint8_t *bytes;

	if (sp->bytes)
		return 0;
	s->bytes += sp->len;
	trim(s);
	pthread_mutex_unlock(&s->lock);
	bytes = malloc(sp->len ? sp->len : 1);
	pthread_mutex_lock(&s->lock);
	if (!bytes)
		s->bytes -= sp->len;
	sp->bytes = bytes;
	return bytes ? 0 : -ENOMEM;
}

/* Lock held; given up while it is made. */
static int span_make(struct spans *s, struct span *sp, size_t until,
		     const struct span_maker *m, struct wait *w)
{
	struct span_work work = {.bytes = sp->bytes,
				 .len = sp->len,
				 .done = sp->done,
				 .more = sp->more};
	int r;

	pthread_mutex_unlock(&s->lock);
	r = m->make(m->arg, &work, until, w);
	pthread_mutex_lock(&s->lock);
	sp->done = work.done;
	sp->more = work.more;
	sp->drop = m->drop;
	return r;
}

/* Lock held; given up meanwhile. */
static int span_lead(struct spans *s, struct span *sp, size_t until,
		     const struct span_maker *m, struct wait *w)
{
	int r;

	sp->state = SPAN_LED;
	r = span_allocate(s, sp);
	if (r == 0)
		r = span_make(s, sp, until, m, w);
	sp->state = SPAN_ABANDONED;
	if (r == 0 && sp->done == sp->len)
		sp->state = SPAN_READY;
	if (r < 0 && sp->done == 0)
		span_empty(s, sp);
	if (r < 0 && wait_check(w) == 0) {
		sp->result = r;
		sp->state = SPAN_FAILED;
		map_removen(s->table, sp->key, sp->key_len);
	}
	pthread_cond_broadcast(&s->changed);
	return r;
}

/* Lock held: is there what is wanted of it? */
static bool span_reaches(const struct span *sp, size_t until)
{
	return sp->state == SPAN_READY || (until > 0 && sp->done >= until);
}

/* Lock held: until there is, or nobody makes it (any more). */
static int span_await(struct spans *s, struct span *sp, size_t until,
		      struct wait *w)
{
	struct patience patience;
	uint64_t steps = sp->steps;
	int r = 0;

	patience_init(&patience, w);
	while (sp->state == SPAN_LED && !span_reaches(sp, until) && r == 0) {
		r = wait_cond(w, &s->changed, &s->lock);
		if (sp->steps != steps)
			patience_renew(&patience);
		steps = sp->steps;
	}
	return sp->state == SPAN_LED && !span_reaches(sp, until) ? r : 0;
}

int span_get_until(struct spans *s, const struct span_want *want,
		   const struct span_maker *m, struct wait *w,
		   struct span **ret)
{
	struct span_key k;
	struct span *sp;
	int r;

	r = key_make(want->key, want->key_len, want->len, &k);
	if (r < 0)
		return r;
	autolock(&s->lock);
	r = span_join(s, &k, want->len, &sp);
	if (r < 0)
		return r;
	while (r == 0 && !span_reaches(sp, want->until)) {
		r = span_await(s, sp, want->until, w);
		if (r == 0 && sp->state == SPAN_ABANDONED &&
		    !span_reaches(sp, want->until))
			r = span_lead(s, sp, want->until, m, w);
		else if (r == 0 && sp->state == SPAN_FAILED)
			r = sp->result;
	}
	if (r < 0) {
		span_leave(s, sp);
		return r;
	}
	*ret = sp;
	return 0;
}

/* --- made at once --- */

struct whole {
	span_make_fn make;
	void *arg;
};

static int make_whole(void *arg, struct span_work *work, size_t want,
		      struct wait *w)
{
	const struct whole *whole = arg;
	int r;

	(void)want;
	r = whole->make(whole->arg, work->bytes, work->len, w);
	if (r == 0)
		work->done = work->len;
	return r;
}

int span_get(struct spans *s, const void *key, size_t key_len, size_t len,
	     span_make_fn make, void *arg, struct wait *w, struct span **ret)
{
	struct whole whole = {make, arg};
	struct span_maker m = {.make = make_whole, .arg = &whole};
	struct span_want want = {
		.key = key, .key_len = key_len, .len = len, .until = len};

	return span_get_until(s, &want, &m, w, ret);
}

void span_gets_on(struct spans *s, const void *key, size_t key_len, size_t len)
{
	struct span_key k;
	struct span *sp;

	if (key_make(key, key_len, len, &k) < 0)
		return;
	autolock(&s->lock);
	sp = map_findn(s->table, k.bytes, k.len);
	if (!sp)
		return;
	sp->steps++;
	pthread_cond_broadcast(&s->changed);
}

const uint8_t *span_bytes(const struct span *sp)
{
	return sp->bytes;
}

void span_put(struct spans *s, struct span *sp)
{
	if (!sp)
		return;
	autolock(&s->lock);
	span_leave(s, sp);
}
