/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heavy builds take a processor each, so only a few run side by side, fewer of
 * one host (a dead one leaves the others theirs), and the rest queues, without
 * threads; light ones (which wait for heavy ones) start at once, or they could
 * fill the places of those they wait for.
 */
#include "content/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "content/context.h"
#include "util/auto.h"
#include "util/clock.h"

#define HEAVY_MIN 4
#define HEAVY_MAX 16
/* Hosts are told apart by a hash; NULL is one, too. */
#define HOSTS 256
#define FAILURE_MEMORY_MS 1000
#define DAMAGE_MEMORY_MS 5000
#define LIMIT_MEMORY_MS 30000

struct builds {
	struct content *content;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list_node running; /* struct build; protected by lock, like all
				     below */
	struct list_node queued;  /* heavy ones, in their order */
	unsigned threads, heavy, heavy_max, host_max;
	unsigned host_heavy[HOSTS];
	bool stopping;
	_Atomic uint64_t progress; /* of all heavy ones */
};

struct build_thread {
	struct builds *builds;
	struct build *build;
	enum build_weight weight;
};

int builds_new(struct content *c, struct builds **ret)
{
	struct builds *bs = calloc(1, sizeof(*bs));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!bs)
		return -ENOMEM;
	bs->content = c;
	bs->heavy_max = cpus < HEAVY_MIN   ? HEAVY_MIN
			: cpus > HEAVY_MAX ? HEAVY_MAX
					   : (unsigned)cpus;
	bs->host_max = bs->heavy_max - bs->heavy_max / 4;
	list_init(&bs->running);
	list_init(&bs->queued);
	pthread_mutex_init(&bs->lock, NULL);
	wait_cond_init(&bs->changed);
	*ret = bs;
	return 0;
}

static void build_finish(struct build *b, int r)
{
	autolock(&b->lock);
	b->state = r < 0 ? BUILD_FAILED : BUILD_READY;
	b->error = r < 0 ? r : 0;
	b->failed_ms = clock_ms();
	b->local = false;
	b->progress++;
	pthread_cond_broadcast(&b->changed);
}

/* Lock held, and let go of meanwhile. */
static void forget_queued(struct builds *bs)
{
	struct build *b;

	while (!list_empty(&bs->queued)) {
		b = container_of(bs->queued.next, struct build, all);
		list_del(&b->all);
		pthread_mutex_unlock(&bs->lock);
		build_finish(b, -EINTR);
		b->unref(b);
		pthread_mutex_lock(&bs->lock);
	}
}

void builds_free(struct builds *bs)
{
	if (!bs)
		return;
	pthread_mutex_lock(&bs->lock);
	bs->stopping = true;
	list_for(n, &bs->running)
		wait_interrupt(&container_of(n, struct build, all)->wait);
	forget_queued(bs);
	while (bs->threads > 0)
		pthread_cond_wait(&bs->changed, &bs->lock);
	pthread_mutex_unlock(&bs->lock);
	pthread_cond_destroy(&bs->changed);
	pthread_mutex_destroy(&bs->lock);
	free(bs);
}

void build_init(struct build *b)
{
	pthread_mutex_init(&b->lock, NULL);
	wait_cond_init(&b->changed);
	b->state = BUILD_IDLE;
}

void build_done(struct build *b)
{
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
}

/* --- places; the lock is held --- */

static unsigned *host_load(struct builds *bs, const struct build *b)
{
	const char *host = b->host ? b->host : "";

	return &bs->host_heavy[map_hash(host, strlen(host)) % HOSTS];
}

static bool has_place(struct builds *bs, const struct build *b)
{
	return bs->heavy < bs->heavy_max && *host_load(bs, b) < bs->host_max;
}

static void take_place(struct builds *bs, struct build *b)
{
	bs->heavy++;
	(*host_load(bs, b))++;
	atomic_store(&b->queued, false);
	list_push_back(&bs->running, &b->all);
}

/* The first that may have one; NULL: there is none. */
static struct build *take_queued(struct builds *bs)
{
	struct build *b;

	if (bs->stopping)
		return NULL;
	list_for(n, &bs->queued) {
		b = container_of(n, struct build, all);
		if (!has_place(bs, b))
			continue;
		list_del(&b->all);
		take_place(bs, b);
		return b;
	}
	return NULL;
}

/* --- threads --- */

static void build_work(struct builds *bs, struct build *b,
		       enum build_weight weight)
{
	unsigned *load = host_load(bs, b);

	b->wait.deadline_ms = clock_ms() + bs->content->times.read_budget;
	build_finish(b, b->run(b, &b->wait));
	pthread_mutex_lock(&bs->lock);
	list_del(&b->all);
	pthread_mutex_unlock(&bs->lock);
	b->unref(b);
	if (weight == BUILD_LIGHT)
		return;
	autolock(&bs->lock);
	bs->heavy--;
	(*load)--;
}

static void *build_main(void *arg)
{
	struct build_thread t = *(struct build_thread *)arg;
	struct builds *bs = t.builds;

	free(arg);
	do {
		build_work(bs, t.build, t.weight);
		pthread_mutex_lock(&bs->lock);
		t.build = t.weight == BUILD_HEAVY ? take_queued(bs) : NULL;
		if (!t.build) {
			bs->threads--;
			pthread_cond_broadcast(&bs->changed);
		}
		pthread_mutex_unlock(&bs->lock);
	} while (t.build);
	return NULL;
}

static int build_spawn(struct build_thread *t)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	r = -pthread_attr_init(&attr);
	if (r < 0)
		return r;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = wait_thread_error(pthread_create(&thread, &attr, build_main, t));
	pthread_attr_destroy(&attr);
	return r;
}

/* Lock held: gives it a thread (which takes t), or a place in the queue. */
static int build_enter(struct build_thread *t, bool *ret_running)
{
	enum build_weight weight = t->weight;
	struct builds *bs = t->builds;
	struct build *b = t->build;
	int r;

	*ret_running = false;
	if (bs->stopping)
		return -EINTR;
	if (weight == BUILD_LIGHT || has_place(bs, b)) {
		/* From then on, t is the thread's. */
		r = build_spawn(t);
		if (r == 0) {
			bs->threads++;
			if (weight == BUILD_HEAVY)
				take_place(bs, b);
			else
				list_push_back(&bs->running, &b->all);
			*ret_running = true;
			return 0;
		}
		/* Who has a thread will come to it. */
		if (weight == BUILD_LIGHT || bs->heavy == 0)
			return r;
	}
	atomic_store(&b->queued, true);
	list_push_back(&bs->queued, &b->all);
	return 0;
}

static int build_launch(struct builds *bs, struct build *b,
			enum build_weight weight)
{
	struct build_thread *t = malloc(sizeof(*t));
	bool running;
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct build_thread){bs, b, weight};
	wait_init(&b->wait, bs->content->times.read_budget, WAIT_CANCELLABLE);
	b->ref(b);
	pthread_mutex_lock(&bs->lock);
	r = build_enter(t, &running);
	pthread_mutex_unlock(&bs->lock);
	if (!running)
		free(t);
	if (r < 0)
		b->unref(b);
	return r;
}

int build_start(struct builds *bs, struct build *b, enum build_weight weight)
{
	int r;

	{
		autolock(&b->lock);
		if (b->state != BUILD_IDLE)
			return 0;
		b->state = BUILD_RUNNING;
		b->builds = bs;
		b->weight = weight;
	}
	r = build_launch(bs, b, weight);
	if (r < 0)
		build_finish(b, r);
	return r;
}

/* --- looking --- */

enum build_state build_state(struct build *b)
{
	autolock(&b->lock);
	return b->state;
}

bool build_spent(struct build *b)
{
	uint64_t memory_ms = FAILURE_MEMORY_MS;

	autolock(&b->lock);
	if (b->error == -EBADMSG)
		memory_ms = DAMAGE_MEMORY_MS;
	if (b->error == -EFBIG)
		memory_ms = LIMIT_MEMORY_MS;
	return b->state == BUILD_FAILED &&
	       (b->renewed || clock_ms() - b->failed_ms >= memory_ms);
}

void build_spoil(struct build *b, int error)
{
	if (build_state(b) == BUILD_READY)
		build_finish(b, error);
}

void build_renew(struct build *b)
{
	autolock(&b->lock);
	if (b->state != BUILD_READY)
		return;
	b->state = BUILD_FAILED;
	b->error = -EIO;
	b->renewed = true;
}

void build_progress(struct build *b, uint64_t n)
{
	autolock(&b->lock);
	b->progress += n;
	/* Light ones only pass on what they see. */
	if (b->builds && b->weight == BUILD_HEAVY)
		atomic_fetch_add(&b->builds->progress, n);
	pthread_cond_broadcast(&b->changed);
}

void build_local(struct build *b, bool on)
{
	autolock(&b->lock);
	b->local = on;
}

static uint64_t others_progress(const struct build *b)
{
	return b->builds ? atomic_load(&b->builds->progress) : 0;
}

/* The lock is held. */
static bool gets_on(struct build *b, uint64_t *others)
{
	uint64_t before = *others;

	*others = others_progress(b);
	return b->local || (atomic_load(&b->queued) && *others != before);
}

static int build_wait_until(struct build *b, uint64_t *seen, bool once,
			    struct wait *w)
{
	uint64_t budget_ms = wait_left_ms(w), others;
	bool news, slept = false;
	int r = 0;

	autolock(&b->lock);
	others = others_progress(b);
	while (b->state == BUILD_RUNNING && r == 0) {
		news = b->progress != *seen;
		*seen = b->progress;
		if (gets_on(b, &others) || news) {
			w->deadline_ms = clock_ms() + budget_ms;
			if (once && (news || slept))
				return 0;
		}
		r = wait_cond(w, &b->changed, &b->lock);
		slept = true;
	}
	if (b->state == BUILD_RUNNING)
		return r;
	return b->state == BUILD_FAILED ? b->error : 0;
}

int build_wait(struct build *b, struct wait *w)
{
	uint64_t seen = 0;

	return build_wait_until(b, &seen, false, w);
}

int build_wait_progress(struct build *b, uint64_t *seen, struct wait *w)
{
	return build_wait_until(b, seen, true, w);
}
