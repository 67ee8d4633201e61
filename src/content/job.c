/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a job, from being asked for to its last waiter; see job.h. */
#include "content/job.h"

#include <errno.h>
#include <stdlib.h>

#include "util/clock.h"

#define BAR_CELLS 20

void job_unref(struct job *j)
{
	if (--j->refs > 0)
		return;
	free(j);
}

void job_note_failure(struct flight *f, const struct registry *registry,
		      size_t chunk, int r)
{
	if (r != -ETIMEDOUT && r != -EIO && r != -ECONNREFUSED &&
	    r != -EHOSTUNREACH)
		return;
	f->failure.registry = registry;
	f->failure.chunk = chunk;
	f->failure.result = r;
	f->failure.at_ms = clock_ms();
}

void job_end(struct job *j, int result)
{
	j->state = JOB_DONE;
	j->result = result;
	list_del(&j->in_queue);
	list_del(&j->in_flight);
	pthread_cond_broadcast(&j->flight->moved);
}

void job_cancel(struct job *j)
{
	j->cancelled = true;
	if (j->state == JOB_RUNNING) {
		wait_interrupt(&j->wait);
		return;
	}
	job_end(j, -EINTR);
	repo_unref(j->repo);
	job_unref(j);
}

static bool job_covers(const struct job *j, size_t i)
{
	return !j->cancelled && i >= j->next && i < j->end;
}

struct job *job_find(struct flight *f, const struct repo *repo, size_t i)
{
	list_for(n, &f->jobs) {
		struct job *j = container_of(n, struct job, in_flight);

		if (job_covers(j, i) && j->repo->registry == repo->registry)
			return j;
	}
	return NULL;
}

/* Where a job from chunk i must stop: another's begin, or the blob's end. */
static size_t flight_gap_end(struct flight *f, const struct repo *repo,
			     size_t i, size_t end)
{
	list_for(n, &f->jobs) {
		struct job *j = container_of(n, struct job, in_flight);

		if (!j->cancelled && j->next > i && j->next < end &&
		    j->repo->registry == repo->registry)
			end = j->next;
	}
	return end;
}

/* Queues a job for the chunks [i, end). */
int job_start(struct flight *f, struct repo *repo, size_t i, size_t end,
	      bool ahead, struct job **ret)
{
	struct flights *fs = f->flights;
	struct job *j;
	int r;

	if (fs->stopping)
		return -EINTR;
	r = worker_make_load(fs, repo->registry);
	if (r < 0)
		return r;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->flight = f;
	j->repo = repo;
	j->first = j->next = i;
	j->end = flight_gap_end(f, repo, i, end);
	j->ahead = ahead;
	j->refs = 1;
	list_init(&j->in_queue);
	list_push_back(&f->jobs, &j->in_flight);
	list_push_back(ahead ? &fs->ahead : &fs->wanted, &j->in_queue);
	r = worker_wake(fs);
	if (r < 0) {
		list_del(&j->in_flight);
		list_del(&j->in_queue);
		free(j);
		return r;
	}
	repo_ref(repo);
	*ret = j;
	return 0;
}

/* A queued read-ahead that somebody waits for now goes to the front row. */
void job_promote(struct job *j)
{
	if (j->state != JOB_QUEUED || !j->ahead)
		return;
	j->ahead = false;
	list_del(&j->in_queue);
	list_push_back(&j->flight->flights->wanted, &j->in_queue);
	worker_wake(j->flight->flights);
}

/* Waits until the job has passed chunk i or ended. */
int job_wait(struct job *j, const struct repo *repo, size_t i, struct wait *w)
{
	struct flights *fs = j->flight->flights;
	uint64_t bytes = j->bytes;
	int r = 0;

	j->refs++;
	j->waiters++;
	while (r == 0 && j->state != JOB_DONE && job_covers(j, i)) {
		r = wait_cond(w, &j->flight->moved, &fs->lock);
		if (j->bytes != bytes) {
			bytes = j->bytes;
			w->deadline_ms =
				clock_ms() + fs->content->times.read_budget;
		}
	}
	j->waiters--;
	if (r < 0 && j->state != JOB_DONE && j->waiters == 0 && !j->ahead)
		job_cancel(j);
	/* What was cancelled says nothing about the blob, and what another
	 * repository was refused says nothing about this one. */
	if (r == 0 && j->state == JOB_DONE && j->next <= i && !j->cancelled &&
	    j->repo == repo)
		r = j->result;
	job_unref(j);
	return r;
}

int job_print(const struct job *j, struct str *out)
{
	static const char full[] = "####################";
	uint64_t ms = clock_ms() - j->started_ms;
	uint64_t rate = ms ? j->bytes * 1000 / ms : 0;
	uint64_t total = (uint64_t)(j->end - j->first) * CHUNK_BYTES;
	uint64_t left = total > j->bytes ? total - j->bytes : 0;
	int cells = total ? (int)((total - left) * BAR_CELLS / total) : 0;
	char digest[24];

	digest_short(&j->flight->digest, digest);
	return str_addf(out,
			"[%-*.*s] %s/%s %s at %llu: %llu of %llu bytes, "
			"%llu bytes/s, %llu s left%s\n",
			BAR_CELLS, cells, full, j->repo->host, j->repo->name,
			digest, (unsigned long long)j->first * CHUNK_BYTES,
			(unsigned long long)j->bytes, (unsigned long long)total,
			(unsigned long long)rate,
			(unsigned long long)(rate ? left / rate : 0),
			j->ahead ? ", read-ahead" : "");
}
