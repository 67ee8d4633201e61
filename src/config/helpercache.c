/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One answer per helper and server:
 *
 *   (none) --asked--> BUSY --helper done--> known until `until_ms` --> asked
 * again
 *
 * While an answer is BUSY the thread that runs the helper owns it and nobody
 * removes it; others sleep, and look it up afresh when they wake.
 */
#include "config/helpercache.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "config/credhelper.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/map.h"
#include "util/str.h"

/* Anybody who may look up host names makes answers. */
#define ANSWERS_MAX 1024

struct answer {
	bool busy;
	bool stale; /* forgotten while busy */
	int error;
	uint64_t until_ms;
	struct credential credential;
};

struct helpercache {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct map *answers; /* protected by lock; "NAME SERVER" */
};

static void answer_free(void *p)
{
	struct answer *a = p;

	credential_done(&a->credential);
	free(a);
}

int helpercache_new(struct helpercache **ret)
{
	struct helpercache *c = calloc(1, sizeof(*c));

	if (!c || map_new(&c->answers) < 0) {
		free(c);
		return -ENOMEM;
	}
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->done, NULL);
	*ret = c;
	return 0;
}

void helpercache_free(struct helpercache *c)
{
	if (!c)
		return;
	map_free(c->answers, answer_free);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* A removal may disturb an iteration, so each one starts afresh. */
static bool drop_one(struct helpercache *c)
{
	const char *key;
	struct answer *a;
	size_t pos = 0;

	while ((a = map_next(c->answers, &pos, &key))) {
		if (a->busy)
			continue;
		map_remove(c->answers, key);
		answer_free(a);
		return true;
	}
	return false;
}

static int make_answer(struct helpercache *c, const char *key,
		       struct answer **ret)
{
	struct answer *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	if (map_len(c->answers) >= ANSWERS_MAX)
		drop_one(c);
	r = map_put(c->answers, key, a, NULL);
	if (r < 0) {
		free(a);
		return r;
	}
	*ret = a;
	return 0;
}

/* Runs the helper without the lock; `a` is busy meanwhile. */
static void ask(struct helpercache *c, struct answer *a, const char *name,
		const char *server, uint64_t now)
{
	struct credential fresh = {.kind = CREDENTIAL_NONE};
	uint64_t start = clock_ms(), life;
	int r;

	a->busy = true;
	pthread_mutex_unlock(&c->lock);
	r = credhelper_get(name, server, &fresh);
	pthread_mutex_lock(&c->lock);

	credential_done(&a->credential);
	a->credential = fresh;
	a->error = r;
	life = r == 0 && fresh.kind != CREDENTIAL_NONE ? HELPERCACHE_GOOD_MS
						       : HELPERCACHE_BAD_MS;
	/* From the end on: a helper may take longer than its failure lasts. */
	a->until_ms = a->stale ? 0 : now + (clock_ms() - start) + life;
	a->stale = false;
	a->busy = false;
	pthread_cond_broadcast(&c->done);
}

int helpercache_get(struct helpercache *c, const char *name, const char *server,
		    uint64_t now, struct credential *ret)
{
	autofree char *key = str_printf("%s %s", name, server);
	struct answer *a;
	int r;

	if (!key)
		return -ENOMEM;
	autolock(&c->lock);
	while ((a = map_find(c->answers, key)) && a->busy)
		pthread_cond_wait(&c->done, &c->lock);
	if (!a) {
		r = make_answer(c, key, &a);
		if (r < 0)
			return r;
	}
	if (now >= a->until_ms)
		ask(c, a, name, server, now);
	return a->error < 0 ? a->error : credential_copy(&a->credential, ret);
}

void helpercache_forget(struct helpercache *c)
{
	const char *key;
	struct answer *a;
	size_t pos = 0;

	autolock(&c->lock);
	while ((a = map_next(c->answers, &pos, &key))) {
		a->stale = a->busy;
		a->until_ms = 0;
	}
}
