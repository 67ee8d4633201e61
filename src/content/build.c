/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heavy builds take a processor each, so only a few run side by side and the
 * rest queues; light ones (which wait for heavy ones) start at once, or they
 * could fill the places of those they wait for.
 */
#include "content/build.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "content/context.h"
#include "util/auto.h"
#include "util/clock.h"

#define HEAVY_MIN 4
#define HEAVY_MAX 16

struct builds {
	struct content *content;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list_node running; /* struct build, queued ones too; protected
				     by lock, like all below */
	unsigned threads, heavy, heavy_max;
	bool stopping;
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
	list_init(&bs->running);
	pthread_mutex_init(&bs->lock, NULL);
	wait_cond_init(&bs->changed);
	*ret = bs;
	return 0;
}

void builds_free(struct builds *bs)
{
	if (!bs)
		return;
	pthread_mutex_lock(&bs->lock);
	bs->stopping = true;
	list_for(n, &bs->running)
		wait_interrupt(&container_of(n, struct build, all)->wait);
	pthread_cond_broadcast(&bs->changed);
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

static void build_finish(struct build *b, int r)
{
	autolock(&b->lock);
	b->state = r < 0 ? BUILD_FAILED : BUILD_READY;
	b->error = r < 0 ? r : 0;
	b->failed_ms = clock_ms();
	b->progress++;
	pthread_cond_broadcast(&b->changed);
}

/* false: it is all over. */
static bool take_place(struct builds *bs, enum build_weight weight)
{
	autolock(&bs->lock);
	if (weight == BUILD_LIGHT)
		return !bs->stopping;
	while (!bs->stopping && bs->heavy >= bs->heavy_max)
		pthread_cond_wait(&bs->changed, &bs->lock);
	bs->heavy++;
	return !bs->stopping;
}

static void *build_main(void *arg)
{
	struct build_thread t = *(struct build_thread *)arg;
	struct builds *bs = t.builds;
	int r = -EINTR;

	free(arg);
	if (take_place(bs, t.weight))
		r = t.build->run(t.build, &t.build->wait);
	build_finish(t.build, r);
	pthread_mutex_lock(&bs->lock);
	list_del(&t.build->all);
	pthread_mutex_unlock(&bs->lock);
	t.build->unref(t.build);
	pthread_mutex_lock(&bs->lock);
	if (t.weight == BUILD_HEAVY)
		bs->heavy--;
	bs->threads--;
	pthread_cond_broadcast(&bs->changed);
	pthread_mutex_unlock(&bs->lock);
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
	r = -pthread_create(&thread, &attr, build_main, t);
	pthread_attr_destroy(&attr);
	return r;
}

static int build_launch(struct builds *bs, struct build *b,
			enum build_weight weight)
{
	struct build_thread *t = malloc(sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct build_thread){bs, b, weight};
	wait_init(&b->wait, bs->content->times.read_budget, WAIT_CANCELLABLE);
	b->ref(b);
	{
		autolock(&bs->lock);
		r = bs->stopping ? -EINTR : build_spawn(t);
		if (r == 0) {
			bs->threads++;
			list_push_back(&bs->running, &b->all);
			return 0;
		}
	}
	b->unref(b);
	free(t);
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
	}
	r = build_launch(bs, b, weight);
	if (r < 0)
		build_finish(b, r);
	return r;
}

enum build_state build_state(struct build *b)
{
	autolock(&b->lock);
	return b->state;
}

void build_progress(struct build *b, uint64_t n)
{
	autolock(&b->lock);
	b->progress += n;
	pthread_cond_broadcast(&b->changed);
}

static int build_wait_until(struct build *b, uint64_t *seen, bool once,
			    struct wait *w)
{
	uint64_t budget_ms = wait_left_ms(w);
	int r = 0;

	autolock(&b->lock);
	while (b->state == BUILD_RUNNING && r == 0) {
		if (b->progress != *seen) {
			*seen = b->progress;
			w->deadline_ms = clock_ms() + budget_ms;
			if (once)
				return 0;
		}
		r = wait_cond(w, &b->changed, &b->lock);
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
