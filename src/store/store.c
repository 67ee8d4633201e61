/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing, and the janitor: a thread that every two seconds, or
 * when woken because a limit is near, saves maps, evicts, closes what nobody
 * uses, and looks whether the directory is still there.
 */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/state.h"
#include "store/treestate.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metric.h"
#include "util/str.h"
#include "util/wait.h"

#define JANITOR_MS 2000
#define KICK_MS 20

static void destroy(struct store *s)
{
	if (!s)
		return;
	db_close(s->db);
	storedir_close(s);
	map_free(s->table, NULL);
	pthread_cond_destroy(&s->kick);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->pool_lock);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->opening);
	pthread_mutex_destroy(&s->maintenance);
	pthread_mutex_destroy(&s->saving);
	pthread_mutex_destroy(&s->staging);
	free(s);
}
AUTOPTR_DEFINE(store, destroy)

static int new_store(const struct store_config *cfg, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->dirfd = s->lockfd = -1;
	s->pid = getpid();
	s->size_bytes = cfg->size_bytes;
	s->min_free_bytes = cfg->min_free_bytes;
	s->spool_bytes = cfg->spool_bytes;
	list_init(&s->open);
	list_init(&s->trees);
	list_init(&s->pool);
	s->idle_max = s->pool_max = store_open_max();
	pthread_mutex_init(&s->pool_lock, NULL);
	pthread_mutex_init(&s->staging, NULL);
	pthread_mutex_init(&s->saving, NULL);
	pthread_mutex_init(&s->maintenance, NULL);
	pthread_mutex_init(&s->opening, NULL);
	pthread_mutex_init(&s->lock, NULL);
	wait_cond_init(&s->changed);
	wait_cond_init(&s->kick);
	r = map_new(&s->table);
	if (r < 0) {
		destroy(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* Not the directory's fault, or one nobody should work around. */
static bool is_fatal(int r)
{
	return r == -EBUSY || r == -EPERM || r == -ELOOP || r == -ENOTDIR ||
	       r == -ENOMEM || r == -EINVAL || r == -ENAMETOOLONG;
}

/* On a disk that is full what is cached makes room: the database knows which
 * of it was used last, but cannot be asked. */
static int open_db(struct store *s)
{
	autofree char *path = str_printf("%s/meta.db", s->dir);
	int r = path ? db_open(path, &s->db) : -ENOMEM;

	if (r == 0 || r == -ENOMEM || !storedir_make_room(s))
		return r;
	r = db_open(path, &s->db);
	return r == -ENOSPC || r == -EIO ? db_open_later(path, &s->db) : r;
}

static void open_late(struct store *s)
{
	if (s->dirfd >= 0 && db_is_late(s->db) && storedir_has_room(s) &&
	    db_reopen(s->db) == 0 && !db_is_late(s->db))
		log_warning("cache %s: there is room again", s->dir);
}

static int open_dir(struct store *s, const char *dir, int *ret_pid)
{
	autofree char *why = NULL;
	int r = storedir_open(s, dir, &why, ret_pid);

	if (r == 0)
		r = open_db(s);
	/* Who holds it may be about to leave: the caller knows, and tells. */
	if (r < 0 && r != -EBUSY && is_fatal(r))
		log_error("cache %s: %s", dir, why ? why : strerror(-r));
	if (r == 0 || is_fatal(r))
		return r;
	log_warning("cache %s cannot be used: %s; going on in memory", dir,
		    strerror(-r));
	s->was_full = r == -ENOSPC;
	storedir_close(s);
	return 0;
}

int store_open(const struct store_config *cfg, struct store **ret, int *ret_pid)
{
	autoptr(store) s = NULL;
	int r = new_store(cfg, &s);

	if (r < 0)
		return r;
	if (cfg->dir)
		r = open_dir(s, cfg->dir, ret_pid);
	if (r == 0 && !s->db)
		r = db_open(NULL, &s->db);
	if (r < 0)
		return r;
	/* Without these two the cache is only larger for a while. */
	(void)rows_prune(s, clock_wall());
	(void)blob_totals(s, &s->bytes, &s->tick);
	s->swept_generation = db_generation(s->db);
	if (db_unclean(s->db)) {
		autolock(&s->saving);

		storedir_sweep(s);
	}
	treefile_sweep(s);
	stage_sweep(s);
	treefile_evict(s, 0);
	metric_set(METRIC_CACHE_BYTES, (int64_t)s->bytes);
	*ret = steal(&s);
	return 0;
}

/* All rows were lost: what is open is saved anew, other files go. */
static void check_generation(struct store *s)
{
	uint64_t generation = db_generation(s->db), bytes = 0;

	if (generation == s->swept_generation)
		return;
	s->swept_generation = generation;
	save_again(s);
	pthread_mutex_lock(&s->opening);
	pthread_mutex_lock(&s->lock);
	list_for(node, &s->open) {
		bytes += container_of(node, struct chunks, node)->file_bytes;
	}
	s->bytes = bytes;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->opening);
	storedir_sweep(s);
}

int store_maintain(struct store *s)
{
	int r;

	autolock(&s->saving);
	pthread_mutex_lock(&s->maintenance);
	storedir_revive(s);
	open_late(s);
	pthread_mutex_unlock(&s->maintenance);
	check_generation(s);
	r = save_all(s);
	/* Saving may have found the database damaged. */
	if (db_generation(s->db) != s->swept_generation) {
		check_generation(s);
		r = save_all(s);
	}
	return r;
}

static uint64_t before(uint64_t now_ms, uint64_t ms)
{
	return now_ms > ms ? now_ms - ms : 0;
}

static void tidy(struct store *s)
{
	uint64_t now = clock_ms();
	bool starved;

	evict_check(s, now);
	pthread_mutex_lock(&s->lock);
	starved = s->starved;
	pthread_mutex_unlock(&s->lock);
	if (starved)
		treefile_evict(s, 0);
	(void)store_maintain(s);
	(void)treepool_shrink(s, s->pool_max, before(now, TREE_IDLE_MS));
	autolock(&s->saving);
	chunk_release_idle(s, before(now, IDLE_MS), false);
}

/* Until the time has come, or somebody needs room; false: to stop. */
static bool janitor_sleep(struct store *s, uint64_t from_ms, uint64_t until_ms)
{
	autolock(&s->lock);

	for (;;) {
		uint64_t now = clock_ms(), end = until_ms;
		struct timespec at;

		if (s->stop)
			return false;
		/* Kicks may come by the thousand. */
		if (s->kicked && from_ms < until_ms)
			end = from_ms;
		if (now >= end)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_sec += (time_t)((end - now) / 1000);
		at.tv_nsec += (long)((end - now) % 1000) * 1000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_sec++;
			at.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&s->kick, &s->lock, &at);
	}
}

static void *janitor(void *arg)
{
	struct store *s = arg;
	/* At once: the limits may be lower than in the last run. */
	uint64_t now = clock_ms(), next = now;

	while (janitor_sleep(s, now + KICK_MS, next)) {
		pthread_mutex_lock(&s->lock);
		s->kicked = false;
		pthread_mutex_unlock(&s->lock);
		now = clock_ms();
		if (now >= next) {
			tidy(s);
			now = clock_ms();
			next = now + JANITOR_MS;
		} else {
			evict_check(s, now);
		}
	}
	return NULL;
}

int store_start(struct store *s)
{
	int r;

	if (s->started)
		return 0;
	/* SQLite's locks stayed with the process that daemonised. */
	if (s->pid != getpid()) {
		s->pid = getpid();
		storedir_note_pid(s);
		r = db_reopen(s->db);
		if (r < 0)
			return r;
	}
	r = pthread_create(&s->janitor, NULL, janitor, s);
	if (r != 0)
		return -r;
	s->started = true;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->started) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->kick);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->janitor, NULL);
	}
	(void)store_maintain(s);
	pthread_mutex_lock(&s->saving);
	chunk_release_idle(s, 0, true);
	pthread_mutex_unlock(&s->saving);
	destroy(s);
}

bool store_has_disk(struct store *s)
{
	uint64_t free_bytes;

	return s->dirfd >= 0 && storedir_free(s, &free_bytes) == 0 &&
	       free_bytes > s->min_free_bytes;
}

int store_writable(struct store *s)
{
	if (s->dirfd >= 0)
		return 0;
	return s->was_full ? -ENOSPC : -EROFS;
}

uint64_t store_room(struct store *s)
{
	uint64_t free_bytes, room;

	if (s->dirfd < 0 || storedir_free(s, &free_bytes) < 0)
		return 0;
	room = free_bytes > s->min_free_bytes ? free_bytes - s->min_free_bytes
					      : 0;
	autolock(&s->lock);
	room += s->bytes;
	return room < s->size_bytes ? room : s->size_bytes;
}

int store_stats(struct store *s, struct store_stats *ret)
{
	struct store_stats st = {.in_memory = s->dirfd < 0};
	int r = rows_stats(s, &st);

	if (r < 0)
		return r;
	(void)storedir_free(s, &st.disk_free_bytes);
	treefile_stats(s, &st.trees, &st.tree_bytes);
	st.size_bytes = s->size_bytes;
	autolock(&s->lock);
	st.bytes = s->bytes;
	st.evicted_bytes = s->evicted_bytes;
	*ret = st;
	return 0;
}
