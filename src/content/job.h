/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A job streams chunks [next, end) of one blob through one request:
 *
 *   QUEUED --a worker takes it--> RUNNING --> DONE (result)
 *
 * Invariants: chunks below `next` were delivered or were there before; no two
 * jobs of a flight and a host that are not DONE overlap, but for a server that
 * ignores ranges, whose one whole-blob stream then replaces the others.
 * `wanted` jobs (somebody waits) go before read-ahead, and read-ahead never
 * takes a host's last places.  All of this is under one lock, which is never
 * held while waiting for the network, hashing or writing.
 */
#include "content/context.h"
#include "content/flight.h"
#include "store/chunk.h"
#include "util/vec.h"

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE };

struct job {
	struct list_node in_flight, in_queue;
	struct flight *flight;
	struct repo *repo;
	struct wait wait; /* the worker's patience */
	size_t first, next, end;
	enum job_state state;
	unsigned refs; /* one until it has ended, and one a waiter */
	unsigned waiters;
	bool ahead, cancelled, whole;
	int result;
	uint64_t bytes, started_ms;
};

struct flight {
	struct flights *flights;
	struct chunks *chunks;
	struct digest digest;
	unsigned refs;
	pthread_cond_t moved;
	struct list_node jobs;
	bool mirrored; /* some bytes came from a mirror */
	/* What a reader was last told.  The kernel asks again at once, page by
	 * page, when its read-ahead failed: that is answered alike, or the
	 * caller would wait for several patiences. */
	struct {
		const struct registry *registry;
		size_t chunk;
		int result; /* 0: none */
		uint64_t at_ms;
	} failure;
};

#define FAILURE_MEMORY_MS 1000

struct host_load {
	struct registry *registry;
	unsigned running, ahead;
};

struct flights {
	struct content *content;
	pthread_mutex_t lock;		/* protects all of this file */
	pthread_cond_t work;		/* the queue or a host's load changed */
	struct map *open;		/* digest -> flight */
	struct list_node wanted, ahead; /* queued jobs */
	VEC(struct host_load) loads;
	unsigned workers, idle;
	size_t running;
	bool stopping;
	pthread_cond_t gone; /* a worker has ended */
};

/* --- job.c; the lock is held --- */

/* Queues a job for the chunks [i, end), or fewer. */
int job_start(struct flight *f, struct repo *repo, size_t i, size_t end,
	      bool ahead, struct job **ret);
/* The job that will bring chunk i from the repository's host; NULL: none. */
struct job *job_find(struct flight *f, const struct repo *repo, size_t i);
/* A queued read-ahead that somebody waits for now goes to the front row. */
void job_promote(struct job *j);
/* Waits until the job has passed chunk i or ended.  0 also if it failed in a
 * way that says nothing about this repository: look again. */
int job_wait(struct job *j, const struct repo *repo, size_t i, struct wait *w);
/* Remembers it for a moment, if it is of a kind that may pass. */
void job_note_failure(struct flight *f, const struct registry *registry,
		      size_t chunk, int r);
void job_end(struct job *j, int result);
void job_cancel(struct job *j);
void job_unref(struct job *j);
int job_print(const struct job *j, struct str *out);

/* --- download.c; the lock is not held --- */

/* Does the work of a running job. */
int download_run(struct job *j);

/* --- worker.c; the lock is held --- */

/* Before a job for there is queued, for no worker could say that there is no
 * memory: -ENOMEM. */
int worker_make_load(struct flights *fs, struct registry *registry);
/* Sees to it that somebody takes the queued jobs. */
int worker_wake(struct flights *fs);
/* Waits until all workers have ended (fs->stopping is set). */
void worker_join(struct flights *fs);
