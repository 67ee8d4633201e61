/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads: made when something is queued and none is idle, gone after
 * half a minute without work.  A host's last place is for what is complete at
 * its source and waited for: so files that somebody is still writing, perhaps
 * never to end, hold up no close of another.
 */
#include <assert.h>
#include <errno.h>

#include "push/sending.h"
#include "util/clock.h"

#define HOST_SENDINGS_MAX 6
/* Of those that need no more than a question, as far as anybody knows: on a
 * long line each turn costs a round trip, so most images need only one. */
#define HOST_MOUNTS_MAX 12
#define SENDINGS_MAX 16
/* The rest of a host's connections is left to who reads from it. */
#define HOST_RELAYS_MAX 6
#define SCOUTS_MAX 4 /* two of each image */
#define WORKERS_MAX (SENDINGS_MAX + SCOUTS_MAX)
#define WORKER_IDLE_MS 30000

static struct upload_load *load_of(struct uploads *u, struct registry *registry)
{
	struct upload_load fresh = {.registry = registry};

	for (size_t i = 0; i < u->loads.len; i++)
		if (u->loads.v[i].registry == registry)
			return &u->loads.v[i];
	if (vec_push(&u->loads, fresh) < 0)
		return NULL;
	return &u->loads.v[u->loads.len - 1];
}

int upload_make_load(struct uploads *u, struct registry *to)
{
	return load_of(u, to) ? 0 : -ENOMEM;
}

/* It was made when the sending was. */
static struct upload_load *known_load(struct uploads *u,
				      struct registry *registry)
{
	struct upload_load *l = load_of(u, registry);

	assert(l);
	return l;
}

bool upload_relay_begin(struct uploads *u, struct registry *from)
{
	struct upload_load *l = load_of(u, from);

	if (!l || l->relays >= HOST_RELAYS_MAX)
		return false;
	l->relays++;
	return true;
}

void upload_relay_end(struct uploads *u, struct registry *from)
{
	known_load(u, from)->relays--;
}

static bool is_mount(const struct sending *s)
{
	const struct upload *t = sending_choose(s);

	return t && t->from && repo_registry(t->from) == repo_registry(s->repo);
}

static bool has_place(struct uploads *u, const struct sending *s, bool last)
{
	const struct upload_load *l = load_of(u, repo_registry(s->repo));
	unsigned max = is_mount(s) ? HOST_MOUNTS_MAX : HOST_SENDINGS_MAX;
	unsigned spare = last ? 0 : 1;

	return l && l->running + spare < max &&
	       u->running_len + spare < SENDINGS_MAX;
}

static bool host_is_waited_for(struct uploads *u, const struct sending *s)
{
	struct registry *registry = repo_registry(s->repo);

	list_for(n, &u->wanted) {
		const struct sending *other =
			container_of(n, struct sending, node);

		if (repo_registry(other->repo) == registry)
			return true;
	}
	return false;
}

static struct sending *queue_look(struct uploads *u)
{
	list_for(n, &u->wanted) {
		struct sending *s = container_of(n, struct sending, node);
		const struct upload *t = sending_choose(s);

		if (has_place(u, s, t && !ticket_is_growing(t)))
			return s;
	}
	list_for(n, &u->ahead) {
		struct sending *s = container_of(n, struct sending, node);

		if (has_place(u, s, false) && !host_is_waited_for(u, s))
			return s;
	}
	return NULL;
}

static bool has_work(struct uploads *u)
{
	return queue_look(u) ||
	       (u->scouting < SCOUTS_MAX && scout_is_queued(u));
}

/* --- one sending --- */

/* Lock held, but for the work itself.  Is there another source to try? */
static bool attempt(struct sending *s, struct list_node *dead, int *ret_result)
{
	struct uploads *u = s->uploads;
	struct upload *t = sending_choose(s);
	bool source = false;
	int r;

	t->refs++;
	wait_init(&s->wait, u->outbox->times.commit_budget, WAIT_CANCELLABLE);
	if (s->cancelled) /* before the wait was there */
		wait_interrupt(&s->wait);
	pthread_mutex_unlock(&u->lock);
	r = sending_attempt(s, t, &source);
	pthread_mutex_lock(&u->lock);
	if (r != -EAGAIN) {
		t->tried = source;
		t->result = r;
	}
	ticket_put(t, dead);
	*ret_result = r == -EAGAIN ? -EIO : r;
	return (source || r == -EAGAIN) && !s->cancelled && !u->stopping &&
	       sending_choose(s);
}

static void worker_do(struct uploads *u, struct sending *s)
{
	struct registry *registry = repo_registry(s->repo);
	LIST_HEAD(dead);
	int r = -EIO;

	s->refs++;
	list_del(&s->node);
	list_push_back(&u->running, &s->node);
	u->ahead_len -= !s->claimed;
	s->state = SENDING_RUNNING;
	s->started_ms = clock_ms();
	known_load(u, registry)->running++;
	u->running_len++;
	/* Who was woken for two has taken one: the other needs somebody. */
	if (has_work(u))
		upload_wake(u);
	while (attempt(s, &dead, &r))
		;
	known_load(u, registry)->running--; /* the vector may have moved */
	u->running_len--;
	u->steps++;
	sending_end(s, r, &dead);
	sending_unref(s);
	pthread_cond_broadcast(&u->work);
	pthread_mutex_unlock(&u->lock);
	tickets_bury(&dead);
	pthread_mutex_lock(&u->lock);
}

/* --- threads --- */

static void worker_scout(struct uploads *u, struct scout *c)
{
	u->scouting++;
	pthread_mutex_unlock(&u->lock);
	scout_run(u, c);
	pthread_mutex_lock(&u->lock);
	u->scouting--;
}

/* Lock held.  False: there was nothing to do.  Scouts go first: they have more
 * questions to ask than who sends, and enough others are there to send. */
static bool worker_step(struct uploads *u)
{
	bool may_scout = u->scouting < SCOUTS_MAX;
	struct scout *c = may_scout && u->workers > 1 ? scout_take(u) : NULL;
	struct sending *s = c ? NULL : queue_look(u);

	if (!c && !s && may_scout)
		c = scout_take(u);
	if (c)
		worker_scout(u, c);
	else if (s)
		worker_do(u, s);
	return c || s;
}

static void *worker_main(void *arg)
{
	struct uploads *u = arg;
	struct wait idle;
	int r = 0;

	pthread_mutex_lock(&u->lock);
	wait_init(&idle, WORKER_IDLE_MS, 0);
	while (!u->stopping && r == 0) {
		if (worker_step(u)) {
			wait_init(&idle, WORKER_IDLE_MS, 0);
			continue;
		}
		u->idle++;
		r = wait_cond(&idle, &u->work, &u->lock);
		u->idle--;
	}
	u->workers--;
	pthread_cond_broadcast(&u->gone);
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

int upload_wake(struct uploads *u)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_cond_broadcast(&u->work);
	if (u->idle > 0 || u->workers >= WORKERS_MAX)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, worker_main, u);
	pthread_attr_destroy(&attr);
	if (r == 0)
		u->workers++;
	return u->workers > 0 ? 0 : wait_thread_error(r);
}

void upload_join(struct uploads *u)
{
	pthread_cond_broadcast(&u->work);
	while (u->workers > 0)
		pthread_cond_wait(&u->gone, &u->lock);
}
