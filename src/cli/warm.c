/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads, the queue, and the line on the terminal.  What was found last
 * is done first, so a walk down a tree keeps in memory only what is beside its
 * way.  Between phases all threads are gone.
 *
 * An interrupt ends the process: what it waits for in the mount ends with it.
 */
#include "cli/warm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/str.h"
#include "util/wait.h"

#define THREADS 6
#define SHOW_MS 250
#define LOOK_MS 1000
#define RATE_MS 5000
#define RATE_SHOWS (RATE_MS / SHOW_MS)

/* --- for tasks --- */

int warm_push(struct warm *w, enum warm_phase phase, const struct warm_task *t)
{
	struct warm_task copy = *t;
	int r;

	copy.path = strdup(t->path);
	copy.layer = t->layer ? strdup(t->layer) : NULL;
	r = copy.path && (copy.layer || !t->layer) ? 0 : -ENOMEM;
	if (r == 0) {
		autolock(&w->lock);
		r = vec_push(&w->tasks[phase], copy);
		pthread_cond_signal(&w->changed);
	}
	if (r < 0) {
		free(copy.path);
		free(copy.layer);
	}
	return r;
}

bool warm_first(struct warm *w, const char *key)
{
	autolock(&w->lock);
	if (map_find(w->seen, key))
		return false;
	/* Without memory it is done twice. */
	(void)map_put(w->seen, key, w, NULL);
	return true;
}

static const char *explain(int r)
{
	switch (r) {
	case -ENETDOWN:
		return "the mount is offline, and this is not cached";
	case -ENOSPC:
		return "the cache has no room to keep it";
	default:
		return strerror(-r);
	}
}

static void clear_line(const struct warm *w)
{
	if (w->terminal)
		fputs("\r\033[K", stderr);
}

void warm_fail(struct warm *w, const char *path, int r, const char *text)
{
	autolock(&w->lock);
	/* What follows from having stopped is no news. */
	if (w->stop)
		return;
	clear_line(w);
	fprintf(stderr, "registryfs: %s: %s\n", path, text ? text : explain(r));
	w->failed++;
}

void warm_found(struct warm *w, uint64_t bytes)
{
	autolock(&w->lock);
	w->blobs++;
	w->bytes += bytes;
}

void warm_did(struct warm *w, uint64_t bytes)
{
	autolock(&w->lock);
	w->bytes_done += bytes;
}

void warm_did_one(struct warm *w)
{
	autolock(&w->lock);
	w->blobs_done++;
}

bool warm_stopped(struct warm *w)
{
	autolock(&w->lock);
	return w->stop;
}

static void give_up(struct warm *w, const char *text)
{
	warm_fail(w, w->mount->top, 0, text);
	autolock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->changed);
}

/* --- threads --- */

/* False: the phase is over. */
static bool take(struct warm *w, struct warm_task *ret)
{
	autolock(&w->lock);
	for (;;) {
		if (w->stop)
			return false;
		if (w->tasks[w->phase].len > 0) {
			*ret = w->tasks[w->phase].v[--w->tasks[w->phase].len];
			w->running++;
			return true;
		}
		if (w->running == 0)
			return false;
		pthread_cond_wait(&w->changed, &w->lock);
	}
}

static void task_done(struct warm_task *t)
{
	free(t->path);
	free(t->layer);
}

static void *work(void *arg)
{
	struct warm *w = arg;
	struct warm_task t;
	int r;

	while (take(w, &t)) {
		r = t.run(w, &t);
		if (r < 0)
			warm_fail(w, t.path, r, NULL);
		task_done(&t);
		autolock(&w->lock);
		w->running--;
		pthread_cond_broadcast(&w->changed);
	}
	return NULL;
}

/* --- what is shown --- */

struct rate {
	uint64_t bytes[RATE_SHOWS], at_ms[RATE_SHOWS];
	size_t n;
};

/* Bytes a second over the last few. */
static double rate_of(struct rate *rate, uint64_t bytes)
{
	size_t i = rate->n++ % RATE_SHOWS;
	size_t old = rate->n > RATE_SHOWS ? rate->n % RATE_SHOWS : 0;
	uint64_t now = clock_ms();

	rate->bytes[i] = bytes;
	rate->at_ms[i] = now;
	if (now == rate->at_ms[old])
		return 0;
	return (double)(bytes - rate->bytes[old]) * 1000 /
	       (double)(now - rate->at_ms[old]);
}

static void show_left(double per_second, uint64_t left)
{
	uint64_t s = per_second > 0 ? (uint64_t)((double)left / per_second) : 0;

	if (per_second <= 0 || s > 99 * 3600)
		return;
	if (s >= 3600)
		fprintf(stderr, ", %llu h %llu min left",
			(unsigned long long)(s / 3600),
			(unsigned long long)(s / 60 % 60));
	else if (s >= 60)
		fprintf(stderr, ", %llu min %llu s left",
			(unsigned long long)(s / 60),
			(unsigned long long)(s % 60));
	else
		fprintf(stderr, ", %llu s left", (unsigned long long)s);
}

static void show(struct warm *w, struct rate *rate)
{
	char done[STR_BYTES_MAX], all[STR_BYTES_MAX], speed[STR_BYTES_MAX];
	double per_second;

	if (!w->terminal)
		return;
	autolock(&w->lock);
	clear_line(w);
	if (w->phase == WARM_PLAN) {
		fprintf(stderr, "looking: %zu files, %s", w->blobs,
			str_bytes(w->bytes, all));
		return;
	}
	per_second = rate_of(rate, w->bytes_done);
	fprintf(stderr, "%zu of %zu files, %s of %s", w->blobs_done, w->blobs,
		str_bytes(w->bytes_done, done), str_bytes(w->bytes, all));
	if (w->phase == WARM_MERGE) {
		fputs(", indexing", stderr);
		return;
	}
	fprintf(stderr, ", %s/s",
		str_bytes((unsigned long long)per_second, speed));
	if (w->bytes > w->bytes_done)
		show_left(per_second, w->bytes - w->bytes_done);
}

/* --- room --- */

static int read_cache(const struct warm *w, uint64_t *ret_bytes,
		      uint64_t *ret_evicted, uint64_t *ret_room)
{
	const struct json *cache = NULL;
	struct json *j;
	bool in_memory = false;
	int r;

	r = mounted_status(w->mount, &j);
	if (r < 0)
		return r;
	r = json_opt_object(j, "cache", &cache, NULL);
	if (r == 0 && !cache)
		r = -EBADMSG;
	if (r == 0)
		r = json_need_u64(cache, "bytes", UINT64_MAX, ret_bytes, NULL);
	if (r == 0)
		r = json_need_u64(cache, "evicted", UINT64_MAX, ret_evicted,
				  NULL);
	if (r == 0)
		r = json_need_u64(cache, "room", UINT64_MAX, ret_room, NULL);
	if (r == 0)
		r = json_opt_bool(cache, "in_memory", &in_memory, NULL);
	json_free(j);
	return r == 0 && in_memory ? -ENOSPC : r;
}

/* Once more was evicted than was there before, it is of what was fetched. */
static void look_at_room(struct warm *w)
{
	uint64_t bytes, evicted, room;

	if (read_cache(w, &bytes, &evicted, &room) < 0)
		return; /* a mount that is gone fails the tasks */
	if (evicted - w->evicted_before > w->bytes_before)
		give_up(w, "the cache is too small: what was just fetched is "
			   "being evicted (cache_size, cache_min_free)");
}

static void check_need(struct warm *w)
{
	char need[STR_BYTES_MAX], has[STR_BYTES_MAX];
	uint64_t bytes, evicted, room = UINT64_MAX;
	char text[128];

	if (read_cache(w, &bytes, &evicted, &room) < 0 || w->need_bytes <= room)
		return;
	snprintf(text, sizeof(text),
		 "the cache is too small: %s are to be kept, and it has room "
		 "for %s (cache_size, cache_min_free)",
		 str_bytes(w->need_bytes, need), str_bytes(room, has));
	give_up(w, text);
}

/* --- phases --- */

/* Until the phase is over, or it is time to show something. */
static bool is_over(struct warm *w)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SHOW_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	autolock(&w->lock);
	while (w->running > 0 || (w->tasks[w->phase].len > 0 && !w->stop))
		if (pthread_cond_timedwait(&w->changed, &w->lock, &until) != 0)
			return false;
	return true;
}

static int run_phase(struct warm *w)
{
	pthread_t threads[THREADS];
	struct rate rate = {{0}, {0}, 0};
	uint64_t looked_ms = clock_ms();
	size_t n = 0;
	int r = 0;

	while (n < THREADS && r == 0) {
		r = pthread_create(&threads[n], NULL, work, w);
		n += r == 0;
	}
	while (n > 0 && !is_over(w)) {
		show(w, &rate);
		if (clock_ms() - looked_ms < LOOK_MS)
			continue;
		look_at_room(w);
		looked_ms = clock_ms();
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return n > 0 ? 0 : -r;
}

static int run_phases(struct warm *w)
{
	int r = 0;

	for (int phase = 0; phase < WARM_PHASES && r == 0; phase++) {
		w->phase = (enum warm_phase)phase;
		r = run_phase(w);
		if (phase == WARM_PLAN)
			check_need(w);
	}
	if (!w->stop)
		look_at_room(w);
	return r;
}

static int prepare(struct warm *w, char *const *paths, size_t len)
{
	struct warm_task t = {.run = warm_plan};
	uint64_t room;
	int r;

	r = read_cache(w, &w->bytes_before, &w->evicted_before, &room);
	if (r == -ENOSPC) {
		give_up(w, "the mount has no cache on disk to keep anything");
		return 0;
	}
	if (r == 0)
		r = map_new(&w->seen);
	for (size_t i = 0; i < len && r == 0; i++) {
		t.path = paths[i];
		r = warm_push(w, WARM_PLAN, &t);
	}
	return r;
}

static void report(struct warm *w)
{
	char bytes[STR_BYTES_MAX];

	clear_line(w);
	if (w->terminal && w->failed == 0)
		fprintf(stderr, "%zu files, %s are in the cache\n",
			w->blobs_done, str_bytes(w->bytes_done, bytes));
}

int warm_run(const struct warm_config *config, const struct mounted *mount,
	     char *const *paths, size_t len)
{
	struct warm w = {.config = config,
			 .mount = mount,
			 .terminal = !config->quiet && isatty(STDERR_FILENO)};
	int r;

	pthread_mutex_init(&w.lock, NULL);
	wait_cond_init(&w.changed);
	r = prepare(&w, paths, len);
	if (r == 0 && !w.stop)
		r = run_phases(&w);
	if (r < 0)
		warm_fail(&w, mount->top, r, NULL);
	report(&w);
	for (int phase = 0; phase < WARM_PHASES; phase++) {
		for (size_t i = 0; i < w.tasks[phase].len; i++)
			task_done(&w.tasks[phase].v[i]);
		vec_done(&w.tasks[phase]);
	}
	map_free(w.seen, NULL);
	pthread_cond_destroy(&w.changed);
	pthread_mutex_destroy(&w.lock);
	return w.failed > 0 ? 2 : 0;
}
