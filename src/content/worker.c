/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads: made when a job is queued and none is idle, gone after half
 * a minute without work.  A host gets only so many at once, so that a dead one
 * leaves the others theirs.
 */
#include "content/job.h"

#include <assert.h>
#include <errno.h>

#include "util/auto.h"
#include "util/clock.h"

#define HOST_JOBS_MAX 6
#define HOST_AHEAD_MAX 4
#define WORKERS_MAX 64
#define WORKER_IDLE_MS 30000

static struct host_load *load_of(struct flights *fs, struct registry *registry)
{
	struct host_load fresh = {.registry = registry};

	for (size_t i = 0; i < fs->loads.len; i++)
		if (fs->loads.v[i].registry == registry)
			return &fs->loads.v[i];
	if (vec_push(&fs->loads, fresh) < 0)
		return NULL;
	return &fs->loads.v[fs->loads.len - 1];
}

int worker_make_load(struct flights *fs, struct registry *registry)
{
	return load_of(fs, registry) ? 0 : -ENOMEM;
}

static struct job *queue_take(struct flights *fs)
{
	list_for(n, &fs->wanted) {
		struct job *j = container_of(n, struct job, in_queue);
		struct host_load *l = load_of(fs, j->repo->registry);

		if (l && l->running < HOST_JOBS_MAX)
			return j;
	}
	list_for(n, &fs->ahead) {
		struct job *j = container_of(n, struct job, in_queue);
		struct host_load *l = load_of(fs, j->repo->registry);

		if (l && l->ahead < HOST_AHEAD_MAX &&
		    l->running < HOST_JOBS_MAX)
			return j;
	}
	return NULL;
}

static void worker_do(struct flights *fs, struct job *j)
{
	struct registry *registry = j->repo->registry;
	struct host_load *load = load_of(fs, registry);
	struct repo *repo = j->repo;
	bool ahead = j->ahead;
	int r;

	assert(load); /* or it would not have been taken */
	list_del(&j->in_queue);
	j->state = JOB_RUNNING;
	j->started_ms = clock_ms();
	load->running++;
	load->ahead += ahead;
	fs->running++;
	wait_init(&j->wait, fs->content->times.read_budget, WAIT_CANCELLABLE);
	/* Who was woken for two jobs has taken one: the other needs somebody.
	 */
	if (queue_take(fs))
		worker_wake(fs);
	pthread_mutex_unlock(&fs->lock);

	r = download_run(j);

	pthread_mutex_lock(&fs->lock);
	load = load_of(fs, registry); /* the vector may have moved */
	load->running--;
	load->ahead -= ahead;
	fs->running--;
	if (!j->ahead && !j->cancelled)
		job_note_failure(j->flight, registry, j->next, r);
	job_end(j, r);
	job_unref(j);
	pthread_cond_broadcast(&fs->work);
	pthread_mutex_unlock(&fs->lock);
	repo_unref(repo);
	pthread_mutex_lock(&fs->lock);
}

static void *worker_main(void *arg)
{
	struct flights *fs = arg;
	struct wait idle;
	struct job *j;

	pthread_mutex_lock(&fs->lock);
	wait_init(&idle, WORKER_IDLE_MS, 0);
	while (!fs->stopping) {
		j = queue_take(fs);
		if (j) {
			worker_do(fs, j);
			wait_init(&idle, WORKER_IDLE_MS, 0);
			continue;
		}
		fs->idle++;
		if (wait_cond(&idle, &fs->work, &fs->lock) < 0) {
			fs->idle--;
			break;
		}
		fs->idle--;
	}
	fs->workers--;
	pthread_cond_broadcast(&fs->gone);
	pthread_mutex_unlock(&fs->lock);
	return NULL;
}

int worker_wake(struct flights *fs)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_cond_broadcast(&fs->work);
	if (fs->idle > 0 || fs->workers >= WORKERS_MAX)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, worker_main, fs);
	pthread_attr_destroy(&attr);
	if (r == 0)
		fs->workers++;
	return fs->workers > 0 ? 0 : wait_thread_error(r);
}

void worker_join(struct flights *fs)
{
	pthread_cond_broadcast(&fs->work);
	while (fs->workers > 0)
		pthread_cond_wait(&fs->gone, &fs->lock);
}
