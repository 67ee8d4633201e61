/* SPDX-License-Identifier: Apache-2.0 */
/* Flights: who wants which chunks, and what to fetch beyond; see job.h. */
#include "content/flight.h"

#include <errno.h>
#include <stdlib.h>

#include "content/job.h"
#include "util/auto.h"
#include "util/clock.h"

/* Read-ahead goes in aligned pieces of 1 to 16 MiB, a quarter of the window: on
 * a 30 ms link 4 MiB on four connections fill it, and registries that take
 * milliseconds to begin an answer want fewer, larger ones (measured). */
#define PIECE_CHUNKS_MIN 4
#define PIECE_CHUNKS_MAX 64

int flights_new(struct content *c, struct flights **ret)
{
	struct flights *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	r = map_new(&fs->open);
	if (r < 0) {
		free(fs);
		return r;
	}
	fs->content = c;
	pthread_mutex_init(&fs->lock, NULL);
	wait_cond_init(&fs->work);
	wait_cond_init(&fs->gone);
	list_init(&fs->wanted);
	list_init(&fs->ahead);
	*ret = fs;
	return 0;
}

static void flight_cancel_all(struct flight *f)
{
	list_for_safe(n, &f->jobs)
		job_cancel(container_of(n, struct job, in_flight));
}

void flights_free(struct flights *fs)
{
	struct flight *f;
	size_t pos = 0;

	if (!fs)
		return;
	pthread_mutex_lock(&fs->lock);
	fs->stopping = true;
	while ((f = map_next(fs->open, &pos, NULL)))
		flight_cancel_all(f);
	worker_join(fs);
	pthread_mutex_unlock(&fs->lock);
	map_free(fs->open, NULL);
	vec_done(&fs->loads);
	pthread_cond_destroy(&fs->work);
	pthread_cond_destroy(&fs->gone);
	pthread_mutex_destroy(&fs->lock);
	free(fs);
}

size_t flights_active(struct flights *fs)
{
	autolock(&fs->lock);
	return fs->running;
}

int flights_print(struct flights *fs, struct str *out)
{
	const char *key;
	struct flight *f;
	size_t pos = 0;
	int r = 0;

	autolock(&fs->lock);
	while ((f = map_next(fs->open, &pos, &key)))
		list_for(n, &f->jobs) {
			struct job *j = container_of(n, struct job, in_flight);

			if (j->state == JOB_RUNNING && r == 0)
				r = job_print(j, out);
		}
	return r;
}

static int flight_new(struct flights *fs, const struct digest *d,
		      struct chunks *chunks, struct flight **ret)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->flights = fs;
	f->chunks = chunks;
	f->digest = *d;
	f->refs = 1;
	list_init(&f->jobs);
	wait_cond_init(&f->moved);
	*ret = f;
	return 0;
}

static void flight_free(struct flight *f)
{
	chunks_close(f->chunks);
	pthread_cond_destroy(&f->moved);
	free(f);
}

int flight_open(struct flights *fs, const struct digest *d, uint64_t size_bytes,
		struct flight **ret)
{
	struct flight *found, *made = NULL;
	char key[DIGEST_TEXT_MAX];
	struct chunks *chunks;
	int r;

	r = chunks_open(fs->content->store, d, size_bytes, &chunks);
	if (r < 0)
		return r;
	/* Who opens it anew asks for a new attempt. */
	chunks_clear_failed(chunks);
	r = chunks_failed(chunks) ? -EBADMSG : 0; /* empty, and should not be */
	if (r == 0)
		r = flight_new(fs, d, chunks, &made);
	if (r < 0) {
		chunks_close(chunks);
		return r;
	}
	digest_format(d, key);
	pthread_mutex_lock(&fs->lock);
	found = map_find(fs->open, key);
	if (found) {
		found->refs++;
		found->failure.result = 0;
	} else {
		r = map_put(fs->open, key, made, NULL);
	}
	pthread_mutex_unlock(&fs->lock);
	if (found || r < 0)
		flight_free(made);
	if (r < 0)
		return r;
	*ret = found ? found : made;
	return 0;
}

void flight_close(struct flight *f)
{
	struct flights *fs;
	char key[DIGEST_TEXT_MAX];

	if (!f)
		return;
	fs = f->flights;
	pthread_mutex_lock(&fs->lock);
	if (--f->refs > 0) {
		pthread_mutex_unlock(&fs->lock);
		return;
	}
	digest_format(&f->digest, key);
	map_remove(fs->open, key);
	flight_cancel_all(f);
	/* Running jobs use the flight until they have noticed. */
	while (!list_empty(&f->jobs))
		pthread_cond_wait(&f->moved, &fs->lock);
	pthread_mutex_unlock(&fs->lock);
	flight_free(f);
}

struct chunks *flight_chunks(struct flight *f)
{
	return f->chunks;
}

bool flight_busy(struct flight *f, const struct repo *r)
{
	autolock(&f->flights->lock);
	list_for(n, &f->jobs)
		if (container_of(n, struct job, in_flight)->repo != r)
			return true;
	return false;
}

/* One attempt at getting chunk i. */
static int flight_get(struct flight *f, struct repo *repo, size_t i,
		      struct wait *w)
{
	struct job *j;
	int r;

	autolock(&f->flights->lock);
	j = job_find(f, repo, i);
	if (!j && f->failure.result < 0 && f->failure.chunk == i &&
	    f->failure.registry == repo->registry &&
	    clock_ms() - f->failure.at_ms < FAILURE_MEMORY_MS)
		return f->failure.result;
	if (!j) {
		r = job_start(f, repo, i, i + 1, false, &j);
		if (r < 0)
			return r;
	}
	job_promote(j);
	return job_wait(j, repo, i, w);
}

/* The registry's own failures were recorded where they happened. */
static void report_timeout(struct flight *f, struct repo *r, size_t i)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	{
		autolock(&f->flights->lock);
		job_note_failure(f, r->registry, i, -ETIMEDOUT);
	}
	digest_format(&f->digest, digest);
	object = str_printf("%s/_blobs/%s", r->name, digest);
	content_fault(r->content, r->host, object ? object : digest, ETIMEDOUT,
		      "no byte came within the reader's patience");
}

static bool is_running(const struct flight *f, const struct repo *r)
{
	list_for(n, &f->jobs) {
		const struct job *j = container_of(n, struct job, in_flight);

		if (j->state == JOB_RUNNING && j->repo->registry == r->registry)
			return true;
	}
	return false;
}

/* While somebody is at it a failure is not the last word: he may go elsewhere,
 * and who is told too early would ask the same liar again. */
static int flight_verdict(struct flight *f, const struct repo *r,
			  struct wait *w)
{
	int e = 0;

	if (!chunks_failed(f->chunks))
		return 0;
	autolock(&f->flights->lock);
	while (e == 0 && chunks_failed(f->chunks) && is_running(f, r))
		e = wait_cond(w, &f->moved, &f->flights->lock);
	if (e < 0)
		return e;
	return chunks_failed(f->chunks) ? -EBADMSG : 0;
}

int flight_need(struct flight *f, struct repo *r, size_t i, struct wait *w)
{
	struct gate *gate = &f->flights->content->gate;
	int e;

	while (!chunks_ready(f->chunks, i, false)) {
		e = wait_check(w);
		if (e == 0)
			e = gate_enter_as(gate, r->host, w);
		if (e < 0)
			return e;
		e = flight_verdict(f, r, w);
		if (e == 0)
			e = flight_get(f, r, i, w);
		gate_leave_as(gate, r->host, w);
		if (e == -ETIMEDOUT && wait_left_ms(w) == 0)
			report_timeout(f, r, i);
		if (e < 0)
			return e;
	}
	return 0;
}

static size_t piece_chunks(size_t window_chunks)
{
	size_t piece = PIECE_CHUNKS_MIN;

	while (piece < PIECE_CHUNKS_MAX && piece * 4 < window_chunks)
		piece *= 2;
	return piece;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Starts one piece, or finds it under way; returns where to go on.  It stops at
 * what is there already. */
static size_t start_piece(struct flight *f, struct repo *r, size_t i,
			  size_t stop, bool ahead)
{
	struct job *j;

	if (chunks_ready(f->chunks, i, false))
		return i + 1;
	for (size_t k = i + 1; k < stop; k++)
		if (chunks_ready(f->chunks, k, false))
			stop = k;
	autolock(&f->flights->lock);
	j = job_find(f, r, i);
	if (!j && job_start(f, r, i, stop, ahead, &j) < 0)
		return SIZE_MAX;
	return j->end;
}

void flight_want(struct flight *f, struct repo *r, size_t i, size_t end)
{
	size_t count = chunks_count(f->chunks);

	if (end > count)
		end = count;
	if (chunks_failed(f->chunks))
		return;
	while (i < end)
		i = start_piece(
			f, r, i,
			end - i < PIECE_CHUNKS_MAX ? end : i + PIECE_CHUNKS_MAX,
			false);
}

void flight_ahead(struct flight *f, struct repo *r, size_t i, uint64_t bytes)
{
	size_t window = (size_t)((bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
	size_t piece = piece_chunks(window);
	size_t count = chunks_count(f->chunks);
	size_t end = round_up(i + window, piece);

	if (end > count)
		end = count;
	if (chunks_failed(f->chunks))
		return;
	while (i < end) {
		size_t stop = round_up(i + 1, piece);

		i = start_piece(f, r, i, stop < end ? stop : end, true);
	}
}
