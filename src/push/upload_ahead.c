/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who copies one blob of an image will ask for the others next.  Which those
 * are the source's registry may have to be asked (the manifests of an index):
 * a scout does that, in a worker thread, and begins to send what it finds.
 * Another asks for the referrers, whose directory comes with the image: where
 * there is no API for them it takes two questions, one after the other, so
 * they are begun first.
 *
 *   QUEUED -> RUNNING -> DONE (remembered for a while: every blob of the copy
 *   asks for the same)
 */
#include <errno.h>
#include <stdlib.h>

#include "content/image.h"
#include "content/known.h"
#include "push/sending.h"
#include "util/clock.h"

#define SCOUTS_LEN_MAX 64
#define SCOUT_KEPT_MS 30000

enum scout_state { SCOUT_QUEUED, SCOUT_RUNNING, SCOUT_DONE };

struct scout {
	struct list_node node; /* on uploads->scouts, oldest first */
	struct repo *to;
	struct image *from;
	bool referrers; /* asks for these, else for the blobs */
	enum scout_state state;
	bool stop;
	uint64_t asked_ms; /* when somebody last asked for it */
	struct wait wait;
};

static void scout_free(struct scout *c)
{
	image_unref(c->from);
	repo_unref(c->to);
	free(c);
}

void scouts_bury(struct list_node *dead)
{
	list_for_safe(n, dead) {
		list_del(n);
		scout_free(container_of(n, struct scout, node));
	}
}

static void scout_drop(struct uploads *u, struct scout *c,
		       struct list_node *dead)
{
	list_del(&c->node);
	u->scouts_len--;
	list_push_back(dead, &c->node);
}

static struct scout *scout_find(struct uploads *u, const struct repo *to,
				const struct image *from, bool referrers)
{
	list_for(n, &u->scouts) {
		struct scout *c = container_of(n, struct scout, node);

		if (c->to == to && !c->stop && c->referrers == referrers &&
		    image_repo(c->from) == image_repo(from) &&
		    digest_equal(image_digest(c->from), image_digest(from)))
			return c;
	}
	return NULL;
}

static void drop_old(struct uploads *u, struct list_node *dead)
{
	list_for_safe(n, &u->scouts) {
		struct scout *c = container_of(n, struct scout, node);

		if (c->state == SCOUT_DONE &&
		    clock_ms() - c->asked_ms >= SCOUT_KEPT_MS)
			scout_drop(u, c, dead);
	}
}

/* Lock held. */
static void scout_send(struct outbox *o, struct repo *to, struct image *from,
		       bool referrers)
{
	struct uploads *u = o->uploads;
	struct scout *found = scout_find(u, to, from, referrers), *c = NULL;

	if (found)
		found->asked_ms = clock_ms();
	else if (!u->stopping && !atomic_load(&o->draining) &&
		 u->scouts_len < SCOUTS_LEN_MAX)
		c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->to = repo_ref(to);
	c->from = image_ref(from);
	c->referrers = referrers;
	c->asked_ms = clock_ms();
	list_push_back(&u->scouts, &c->node);
	u->scouts_len++;
	upload_wake(u);
}

void upload_siblings(struct outbox *o, struct repo *to, struct image *from)
{
	struct uploads *u = o->uploads;
	LIST_HEAD(dead);

	pthread_mutex_lock(&u->lock);
	drop_old(u, &dead);
	scout_send(o, to, from, true);
	scout_send(o, to, from, false);
	pthread_mutex_unlock(&u->lock);
	scouts_bury(&dead);
}

static struct scout *next_queued(const struct uploads *u)
{
	list_for(n, &u->scouts) {
		struct scout *c = container_of(n, struct scout, node);

		if (c->state == SCOUT_QUEUED)
			return c;
	}
	return NULL;
}

bool scout_is_queued(const struct uploads *u)
{
	return next_queued(u);
}

struct scout *scout_take(struct uploads *u)
{
	struct scout *c = next_queued(u);

	if (!c)
		return NULL;
	c->state = SCOUT_RUNNING;
	wait_init(&c->wait, u->outbox->times.commit_budget, WAIT_CANCELLABLE);
	return c;
}

/* What is on its way, or was confirmed once, is left to who asks for it. */
static bool is_under_way(struct uploads *u, const struct scout *c,
			 const struct image_entry *e)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *key = NULL;
	uint64_t size;

	digest_format(&e->digest, digest);
	key = sending_key(c->to, digest);
	if (!key || known_blob(c->to, &e->digest, &size))
		return true;
	autolock(&u->lock);
	return map_find(u->open, key);
}

static bool is_stopped(struct uploads *u, const struct scout *c)
{
	autolock(&u->lock);
	return c->stop || u->stopping;
}

/* The largest first: begun last, it would go on alone when all others are
 * done. */
static int by_size(const void *a, const void *b)
{
	const struct image_entry *x = *(const struct image_entry *const *)a;
	const struct image_entry *y = *(const struct image_entry *const *)b;

	return x->size_bytes < y->size_bytes ? 1
					     : -(x->size_bytes > y->size_bytes);
}

static void begin_all(struct uploads *u, struct scout *c,
		      const struct image_entry **entries, size_t len)
{
	struct upload_spec spec = {
		.repo = c->to, .from = image_repo(c->from), .ahead = true};
	struct upload *t;

	qsort(entries, len, sizeof(entries[0]), by_size);
	for (size_t i = 0; i < len; i++) {
		const struct image_entry *e = entries[i];

		if (is_under_way(u, c, e))
			continue;
		if (is_stopped(u, c))
			return;
		spec.digest = &e->digest;
		spec.size_bytes = e->size_bytes;
		if (upload_begin(u->outbox, &spec, &t) < 0)
			return;
		upload_unref(t);
	}
}

static void begin_blobs(struct uploads *u, struct scout *c,
			const struct image_entry *entries, size_t len)
{
	autofree const struct image_entry **blobs =
		malloc((len + 1) * sizeof(*blobs));
	size_t n = 0;

	for (size_t i = 0; blobs && i < len; i++)
		if (entries[i].part == PART_LAYER ||
		    entries[i].part == PART_CONFIG)
			blobs[n++] = &entries[i];
	if (blobs)
		begin_all(u, c, blobs, n);
}

void scout_run(struct uploads *u, struct scout *c)
{
	const struct descriptor *referrers;
	const struct image_entry *entries;
	LIST_HEAD(dead);
	size_t len;

	/* A failure is no news: who wants these blobs will meet it again. */
	if (c->referrers)
		(void)image_referrers(c->from, &c->wait, &referrers, &len);
	else if (image_entries(c->from, &c->wait, &entries, &len) == 0)
		begin_blobs(u, c, entries, len);
	pthread_mutex_lock(&u->lock);
	c->state = SCOUT_DONE;
	if (c->stop || u->stopping)
		scout_drop(u, c, &dead);
	pthread_mutex_unlock(&u->lock);
	scouts_bury(&dead);
}

void scouts_stop(struct uploads *u, const struct repo *to,
		 struct list_node *dead)
{
	list_for_safe(n, &u->scouts) {
		struct scout *c = container_of(n, struct scout, node);

		if (to && c->to != to)
			continue;
		c->stop = true;
		if (c->state == SCOUT_RUNNING)
			wait_interrupt(&c->wait);
		else
			scout_drop(u, c, dead);
	}
}

/* Lock held. */
static void forget_on(struct list_node *list, const struct repo *to,
		      struct list_node *dead)
{
	list_for_safe(n, list) {
		struct sending *s = container_of(n, struct sending, node);

		if (s->repo != to || s->claimed)
			continue;
		if (s->state == SENDING_DONE)
			sending_drop_kept(s);
		else
			sending_cancel(s, dead);
	}
}

void upload_forget_ahead(struct outbox *o, struct repo *to)
{
	struct uploads *u = o->uploads;
	LIST_HEAD(dead);
	LIST_HEAD(scouts);

	pthread_mutex_lock(&u->lock);
	scouts_stop(u, to, &scouts);
	forget_on(&u->ahead, to, &dead);
	forget_on(&u->running, to, &dead);
	forget_on(&u->kept, to, &dead);
	pthread_mutex_unlock(&u->lock);
	tickets_bury(&dead);
	scouts_bury(&scouts);
}
