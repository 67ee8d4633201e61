/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blob bytes as a stream that survives broken connections.
 *
 *   begin: where the first request started (0 if ranges were ignored)
 *   pos:   next byte to be given out; begin <= pos <= end <= size
 *   skip:  bytes of the present answer that lie before pos (only where a host
 *          without ranges made us start at 0 again)
 *
 * An answer is used only if its head promises exactly the bytes that were
 * asked for, or the whole blob (faults.md A14, N6, N7).  One that promises
 * others is asked for once more; if it was a range the host then counts as one
 * without them, and the whole blob has to be right at once.
 * `dead` is final; a caller whose patience ends leaves the stream usable.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/header.h"
#include "registry/call.h"
#include "registry/fetch.h"
#include "registry/host.h"
#include "registry/mirror.h"
#include "registry/object.h"
#include "util/auto.h"
#include "util/metric.h"

#define PROGRESS                                                               \
	((uint64_t)1 << 20) /* after that much, attempts count anew            \
			     */
#define SKIP_BUFFER 65536
#define LIES_MAX 2

struct fetch {
	struct round round;
	struct registry *r; /* whom we ask now, and by which name */
	const char *repository;
	struct digest digest;
	struct registry *mirror; /* the last one that gave bytes, or NULL */
	struct object o;
	char *key; /* of the redirect target */
	uint64_t size, begin, pos, end, skip;
	struct call *c; /* NULL: no answer is open */
	bool started;	/* an answer was accepted */
	unsigned lies, attempts;
	uint64_t mark; /* pos when attempts were last counted anew */
	int dead;
};

bool fetch_has_ranges(const struct registry *r)
{
	/* The lock is no part of what is const. */
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&r->lock;

	autolock(lock);
	return !r->no_ranges;
}

static int ask(struct fetch *f, bool range, struct wait *w, struct call **ret)
{
	char text[64];
	struct call_spec spec = {.method = "GET",
				 .path = f->o.path,
				 .repository = f->repository,
				 .scope = f->o.scope,
				 .object = f->o.name,
				 .remember = f->key,
				 .max_body_bytes = f->size,
				 .bulk = true,
				 .missing_is_news = true};

	if (range) {
		snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64,
			 f->pos, f->end - 1);
		spec.range = text;
		metric_add(METRIC_RANGE_REQUESTS, 1);
	}
	return call_run(f->r, &spec, w, ret);
}

/* Content-Length: absent (chunked) is fine, anything but `want` is not. */
static bool is_length(const struct call *c, uint64_t want)
{
	const char *s = call_header(c, "content-length", 0);
	unsigned long long n;

	return !s || (str_to_u64(s, ~0ull, &n) == 0 && n == want);
}

static bool is_our_range(const struct fetch *f, const struct call *c)
{
	const char *s = call_header(c, "content-range", 0);
	struct content_range cr;

	return s && !call_header(c, "content-range", 1) &&
	       header_parse_content_range(s, &cr) == 0 && cr.first == f->pos &&
	       cr.last == f->end - 1 && cr.total == f->size &&
	       is_length(c, f->end - f->pos);
}

/* The whole blob instead of a range, or because it was asked for. */
static void take_whole(struct fetch *f, bool range)
{
	if (range)
		registry_set_no_ranges(f->r);
	if (f->started) {
		f->skip = f->pos;
		return;
	}
	f->begin = f->pos = f->mark = 0;
	f->end = f->size;
}

/* 1: ask again; else -EIO, recorded. */
static int lied(struct fetch *f, bool range, struct call *c)
{
	int r = 1;

	if (f->key)
		redirects_drop(f->r->redirects, f->key, call_url(c));
	if (range && ++f->lies >= LIES_MAX)
		registry_set_no_ranges(f->r);
	/* Where there are mirrors, others are asked instead. */
	if (!range && (f->r->is_mirror || ++f->lies >= LIES_MAX))
		r = call_broken(c, -EIO, "the answer is not the blob's size");
	call_close(c);
	return r;
}

/* 1: ask again. */
static int accept_answer(struct fetch *f, bool range, struct call *c,
			 struct wait *w)
{
	int status = call_status(c), r;

	f->skip = 0;
	if (status == 200 && is_length(c, f->size)) {
		take_whole(f, range);
	} else if (status == 206 && range && is_our_range(f, c)) {
		/* Just what was asked for. */
	} else if (status == 200 || status == 206 || status == 416) {
		return lied(f, range, c);
	} else {
		r = call_fault(c, w);
		call_close(c);
		return r;
	}
	f->started = true;
	f->c = c;
	return 0;
}

static int open_there(struct fetch *f, struct wait *w)
{
	struct call *c;
	int r = 1;

	while (r == 1) {
		bool range = fetch_has_ranges(f->r) &&
			     !(f->pos == 0 && f->end == f->size);

		r = ask(f, range, w, &c);
		if (r == 0)
			r = accept_answer(f, range, c, w);
	}
	return r;
}

/* Whom the round has come to. */
static int turn_to(struct fetch *f)
{
	char digest[DIGEST_TEXT_MAX];
	int r;

	if (f->r == f->round.registry && f->key)
		return 0;
	object_done(&f->o);
	free(f->key);
	f->key = NULL;
	f->r = f->round.registry;
	f->repository = f->round.repository;
	f->lies = f->attempts = 0;
	digest_format(&f->digest, digest);
	r = object_init(&f->o, f->repository, "blobs", digest);
	if (r < 0)
		return r;
	f->key = str_printf("GET %s", f->o.path);
	return f->key ? 0 : -ENOMEM;
}

static int open_answer(struct fetch *f, struct wait *w)
{
	int r;

	do {
		r = turn_to(f);
		if (r < 0)
			return r;
		round_enter(&f->round, w);
		r = open_there(f, w);
		round_leave(&f->round);
	} while (r < 0 && round_go_on(&f->round, r, w));
	if (r == 0 && f->r->is_mirror)
		f->mirror = f->r;
	return r;
}

static void hang_up(struct fetch *f)
{
	call_close(f->c);
	f->c = NULL;
}

int fetch_blob(struct registry *r, const char *repository,
	       const struct digest *d, uint64_t size_bytes, uint64_t off,
	       uint64_t len, struct wait *w, struct fetch **ret)
{
	char digest[DIGEST_TEXT_MAX];
	struct fetch *f;
	int e;

	if (size_bytes > DESCRIPTOR_SIZE_MAX || off > size_bytes ||
	    len > size_bytes - off || (len == 0 && size_bytes != 0))
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->digest = *d;
	f->size = size_bytes;
	f->begin = f->pos = f->mark = off;
	f->end = off + len;
	digest_format(d, digest);
	e = round_begin_for(&f->round, r, repository, digest);
	if (e == 0)
		e = open_answer(f, w);
	if (e == 0 && f->pos == f->end)
		hang_up(f);
	if (e < 0)
		fetch_close(f);
	else
		*ret = f;
	return e;
}

uint64_t fetch_off(const struct fetch *f)
{
	return f->pos;
}

uint64_t fetch_end(const struct fetch *f)
{
	return f->end;
}

/* Bytes before pos are read and dropped.  As call_read. */
static ssize_t drop_skipped(struct fetch *f, struct wait *w,
			    struct outcome *out)
{
	char buf[SKIP_BUFFER];
	ssize_t n = 1;

	while (f->skip && n > 0) {
		size_t want =
			f->skip < sizeof(buf) ? (size_t)f->skip : sizeof(buf);

		n = call_read(f->c, buf, want, w, out);
		if (n > 0)
			f->skip -= (uint64_t)n;
	}
	return n;
}

/* The last bytes are in: there must be no more than were promised. */
static bool has_more(struct fetch *f, struct wait *w)
{
	struct outcome out;
	char one;

	/* A whole blob for a part of it goes on, of course. */
	if (f->end != f->size && call_status(f->c) == 200)
		return false;
	return call_read(f->c, &one, 1, w, &out) > 0;
}

/* Bytes; 0: the answer ended too early; as call_read. */
static ssize_t read_some(struct fetch *f, void *buf, size_t len, struct wait *w,
			 struct outcome *out)
{
	ssize_t n = drop_skipped(f, w, out);

	if (n <= 0)
		return n;
	if (len > f->end - f->pos)
		len = (size_t)(f->end - f->pos);
	n = call_read(f->c, buf, len, w, out);
	if (n > 0 && (uint64_t)n == f->end - f->pos && has_more(f, w)) {
		out->fail = HTTP_FAIL_TOO_LARGE;
		outcome_set(out, -EIO, "more bytes than the blob has");
		return -EIO;
	}
	return n;
}

static void note_progress(struct fetch *f, size_t n)
{
	f->pos += n;
	/* Without ranges every break costs all of it again. */
	if (f->pos - f->mark >= PROGRESS && fetch_has_ranges(f->r)) {
		f->mark = f->pos;
		f->attempts = 0;
	}
	if (f->pos == f->end)
		hang_up(f);
}

/* 0: go on; else what fetch_read returns. */
static int recover(struct fetch *f, struct outcome *out, struct wait *w)
{
	int ended = 0;

	hang_up(f);
	if (wait_check(w) == 0 && round_go_on(&f->round, -EIO, w))
		return 0;
	if (call_again(f->r, out, ++f->attempts, w, &ended))
		return 0;
	if (ended == -EINTR)
		return ended;
	/* What does not fit is no document too large, it is a broken blob. */
	f->dead = out->error == -EFBIG ? -EIO : out->error;
	out->error = f->dead;
	metric_add(METRIC_HTTP_FAILURES, 1);
	registry_fault(f->r, f->o.name, out);
	return f->dead;
}

static int reopen(struct fetch *f, struct wait *w)
{
	int r = open_answer(f, w);

	if (r < 0 && r != -EINTR && r != -ETIMEDOUT)
		f->dead = r;
	return r;
}

ssize_t fetch_read(struct fetch *f, void *buf, size_t len, struct wait *w)
{
	struct outcome out = {.error = 0};
	ssize_t n;
	int r = f->dead;

	while (r == 0 && f->pos < f->end && len > 0) {
		if (!f->c) {
			r = reopen(f, w);
			continue;
		}
		n = read_some(f, buf, len, w, &out);
		if (n > 0) {
			note_progress(f, (size_t)n);
			return n;
		}
		if (n == 0) {
			out = (struct outcome){.fail = HTTP_FAIL_SHORT};
			outcome_set(&out, -EIO, "the body ended too early");
		} else if (n != -EIO) {
			return n;
		}
		r = recover(f, &out, w);
	}
	return r;
}

bool fetch_mirrored(const struct fetch *f)
{
	return f->mirror;
}

void fetch_distrust(struct fetch *f)
{
	if (f->mirror)
		mirror_distrust(f->mirror);
}

void fetch_close(struct fetch *f)
{
	if (!f)
		return;
	call_close(f->c);
	object_done(&f->o);
	round_done(&f->round);
	free(f->key);
	free(f);
}
