/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doing a job: one request, whose bytes go chunk by chunk into the store.  The
 * lock is taken only to tell of progress.
 */
#include "content/job.h"

#include <errno.h>
#include <stdlib.h>

#include "registry/fetch.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/clock.h"

/* Narrows the job to what is missing; false: nothing is.  No lock held. */
static bool job_trim(struct job *j)
{
	struct chunks *c = j->flight->chunks;
	size_t first = j->next, end = j->end;

	while (first < end && chunks_ready(c, first, false))
		first++;
	while (end > first && chunks_ready(c, end - 1, false))
		end--;
	autolock(&j->flight->flights->lock);
	j->next = first;
	j->end = end;
	pthread_cond_broadcast(&j->flight->moved);
	return first < end;
}

/* The whole-blob stream of the same host, if another job is it.  Lock held. */
static struct job *whole_of(const struct job *j)
{
	list_for(n, &j->flight->jobs) {
		struct job *o = container_of(n, struct job, in_flight);

		if (o != j && o->whole && !o->cancelled &&
		    o->repo->registry == j->repo->registry)
			return o;
	}
	return NULL;
}

/*
 * The stream begins elsewhere: the server ignored the range.  It becomes the
 * one whole-blob stream, unless there is one already.
 */
static int job_widen(struct job *j, uint64_t off)
{
	struct flight *f = j->flight;

	if (off != 0)
		return -EIO;
	autolock(&f->flights->lock);
	if (whole_of(j))
		return -EALREADY;
	j->whole = true;
	j->first = j->next = 0;
	j->end = chunks_count(f->chunks);
	return 0;
}

/*
 * Leaves it to the whole-blob stream.  If that has passed what this job is to
 * bring (it was evicted since), only the next stream will bring it.
 */
static int job_leave_to_whole(struct job *j)
{
	struct flights *fs = j->flight->flights;
	struct job *o;
	int r = 0;

	autolock(&fs->lock);
	while (r == 0 && (o = whole_of(j)) && o->next > j->next) {
		if (o->bytes != j->bytes)
			j->wait.deadline_ms =
				clock_ms() + fs->content->times.read_budget;
		j->bytes = o->bytes;
		r = wait_cond(&j->wait, &j->flight->moved, &fs->lock);
	}
	return r;
}

static size_t chunk_len(const struct chunks *c, size_t i)
{
	uint64_t left = chunks_size(c) - (uint64_t)i * CHUNK_BYTES;

	return left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
}

/* For who waits: they look now and then, and need not be woken. */
static void job_heard(struct job *j, size_t n)
{
	autolock(&j->flight->flights->lock);
	j->bytes += n;
}

static int read_chunk(struct job *j, struct fetch *fetch, char *buf, size_t len)
{
	uint64_t budget = j->flight->flights->content->times.read_budget;
	size_t have = 0;
	ssize_t n;

	while (have < len) {
		n = fetch_read(fetch, buf + have, len - have, &j->wait);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO; /* fetch_read says 0 only at fetch_end */
		have += (size_t)n;
		j->wait.deadline_ms = clock_ms() + budget;
		job_heard(j, (size_t)n);
	}
	return 0;
}

static int job_stream(struct job *j, struct fetch *fetch)
{
	struct flights *fs = j->flight->flights;
	struct chunks *c = j->flight->chunks;
	autofree char *buf = malloc(CHUNK_BYTES);
	size_t end = j->end;
	int r;

	if (!buf)
		return -ENOMEM;
	for (size_t i = j->next; i < end; i++) {
		size_t len = chunk_len(c, i);

		r = read_chunk(j, fetch, buf, len);
		if (r == 0 && chunks_failed(c))
			return 0; /* through others; who waits will see it */
		if (r == 0)
			r = chunks_put(c, i, buf, len);
		if (r < 0)
			return r;
		metric_add(METRIC_CHUNKS_FETCHED, 1);
		autolock(&fs->lock);
		j->next = i + 1;
		pthread_cond_broadcast(&j->flight->moved);
		if (j->cancelled)
			return -EINTR;
	}
	return 0;
}

/* The registry has given this repository bytes of this blob. */
static void job_grant(struct job *j)
{
	struct grant_row row = {.digest = j->flight->digest,
				.kind = GRANT_BLOB,
				.size_bytes = chunks_size(j->flight->chunks)};
	struct repo *repo = j->repo;
	char identity[17];

	if (repo_identity(repo, identity) == 0)
		grant_put(repo->content->store, repo->host, repo->name,
			  identity, &row);
	repo_mark_seen(repo);
}

/* It says that it has no such blob (any more): who asks next is to hear it. */
static void job_revoke(struct job *j)
{
	grant_forget(j->repo->content->store, j->repo->host, j->repo->name,
		     &j->flight->digest);
}

static void job_report_mismatch(struct job *j)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(&j->flight->digest, digest);
	object = str_printf("%s/_blobs/%s", j->repo->name, digest);
	content_fault(j->repo->content, j->repo->host, object ? object : digest,
		      EBADMSG, "the bytes do not match the digest; dropped");
}

/*
 * A mirror's fault is not the blob's: its place is taken by another, unless
 * somebody may have read of the bytes that turned out to be wrong.
 */
static bool job_may_go_elsewhere(struct job *j)
{
	struct chunks *c = j->flight->chunks;
	const struct options *o = j->flight->flights->content->options;

	if (!chunks_failed(c))
		return true; /* refused before it could be read */
	if (chunks_count(c) > 1 && o->verify != VERIFY_STRICT)
		return false;
	chunks_clear_failed(c);
	autolock(&j->flight->flights->lock);
	j->next = j->first;
	pthread_cond_broadcast(&j->flight->moved);
	return true;
}

static void job_note_mirror(struct job *j)
{
	autolock(&j->flight->flights->lock);
	j->flight->mirrored = true;
}

/* Once: what comes after is of others. */
static bool take_mirrored(struct job *j)
{
	bool ret;

	autolock(&j->flight->flights->lock);
	ret = j->flight->mirrored;
	j->flight->mirrored = false;
	return ret;
}

/* Whose bytes they were is known if all are of this stream, or the chunk was
 * refused; otherwise every mirror may have brought some. */
static bool distrust(struct job *j, struct fetch *fetch)
{
	if (fetch_mirrored(fetch))
		fetch_distrust(fetch);
	else if (chunks_failed(j->flight->chunks) && take_mirrored(j))
		fetch_distrust_mirrors(j->repo->registry);
	else
		return false;
	return job_may_go_elsewhere(j);
}

static int job_fetch(struct job *j, uint64_t off, uint64_t len,
		     bool *ret_elsewhere)
{
	uint64_t size = chunks_size(j->flight->chunks);
	struct fetch *fetch;
	int r;

	r = fetch_blob(j->repo->registry, j->repo->name, &j->flight->digest,
		       size, off, len, &j->wait, &fetch);
	if (r == -ENOENT)
		job_revoke(j);
	if (r < 0)
		return r;
	if (fetch_off(fetch) != off)
		r = job_widen(j, fetch_off(fetch));
	if (r == 0) {
		job_grant(j);
		r = job_stream(j, fetch);
	}
	if (fetch_mirrored(fetch))
		job_note_mirror(j);
	if (r == -EBADMSG)
		*ret_elsewhere = distrust(j, fetch);
	fetch_close(fetch);
	return r;
}

int download_run(struct job *j)
{
	uint64_t off, end, size = chunks_size(j->flight->chunks);
	bool elsewhere;
	int r;

	do {
		elsewhere = false;
		if (!job_trim(j))
			return 0;
		if (!fetch_has_ranges(j->repo->registry) && !j->whole) {
			r = job_widen(j, 0);
			if (r < 0)
				return r == -EALREADY ? job_leave_to_whole(j)
						      : r;
		}
		off = (uint64_t)j->next * CHUNK_BYTES;
		end = (uint64_t)j->end * CHUNK_BYTES;
		if (end > size)
			end = size;
		r = job_fetch(j, off, end - off, &elsewhere);
	} while (elsewhere);
	if (r == -EBADMSG)
		job_report_mismatch(j);
	return r == -EALREADY ? job_leave_to_whole(j) : r;
}
