/* SPDX-License-Identifier: Apache-2.0 */
#include "content/flight.h"
#include "content/job.h"

#include "content-fixture.h"

#define SIZE ((size_t)(5 * CHUNK_BYTES + 1000))
#define READERS 48

static struct fixture *f;
static char *bytes;
static struct digest digest;
static char text[DIGEST_TEXT_MAX];

static int setup(void **state)
{
	f = fixture_new(true);
	bytes = random_bytes(f, SIZE, 1);
	put_blob(f, &f->here, REPO, bytes, SIZE, &digest);
	digest_format(&digest, text);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

/* --- readers in threads --- */

struct reader {
	pthread_t thread;
	struct repo *repo;
	struct blob *blob; /* or NULL: opens one */
	struct ahead *ahead;
	uint64_t off;
	size_t len;
	unsigned budget_ms; /* 0: plenty */
	bool is_request;    /* and not one of our own threads */
	struct wait w;
	ssize_t got;
	bool right;
	atomic_bool done;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	char *buf = malloc(r->len);
	struct blob *b = r->blob;

	assert(buf);
	if (!b)
		assert(blob_open(r->repo, &digest, SIZE, &b) == 0);
	r->got = blob_read(b, r->ahead, buf, r->len, r->off, &r->w);
	r->right = r->got == (ssize_t)r->len &&
		   memcmp(buf, bytes + r->off, r->len) == 0;
	if (!r->blob)
		blob_unref(b);
	free(buf);
	atomic_store(&r->done, true);
	return NULL;
}

static void reader_start(struct reader *r, struct repo *repo, uint64_t off,
			 size_t len)
{
	r->repo = repo;
	r->off = off;
	r->len = len;
	wait_init(&r->w, r->budget_ms ? r->budget_ms : 10000,
		  r->is_request ? 0 : WAIT_CANCELLABLE);
	assert_int_equal(pthread_create(&r->thread, NULL, reader_main, r), 0);
}

static void reader_join(struct reader *r, ssize_t want)
{
	pthread_join(r->thread, NULL);
	assert_int_equal(r->got, want);
	assert_int_equal(r->right, want > 0);
}

static void wait_idle(void)
{
	for (int i = 0; i < 3000 && flights_active(f->content->flights); i++)
		usleep(1000);
	assert_int_equal(flights_active(f->content->flights), 0);
}

/* --- tests --- */

static void test_one_download(void **state)
{
	struct reader r[READERS] = {0};

	atomic_store(&f->here.hold_blobs, true);
	for (int i = 0; i < READERS; i++)
		reader_start(&r[i], f->repo, 0, SIZE);
	wait_asked(&f->c.s, text, 3);
	atomic_store(&f->here.hold_blobs, false);
	for (int i = 0; i < READERS; i++)
		reader_join(&r[i], (ssize_t)SIZE);
	assert_int_equal(atomic_load(&f->here.sent), SIZE);
	assert_int_equal(asked(&f->c.s, "HEAD "), 0);
}

static void test_last_waiter_cancels(void **state)
{
	struct reader r[3] = {0};
	struct blob *b;

	atomic_store(&f->here.hold_blobs, true);
	assert_int_equal(blob_open(f->repo, &digest, SIZE, &b), 0);
	for (size_t i = 0; i < COUNT(r); i++) {
		r[i].blob = b;
		reader_start(&r[i], f->repo, 0, 100);
	}
	wait_asked(&f->c.s, text, 1);
	wait_interrupt(&r[0].w);
	reader_join(&r[0], -EINTR);
	wait_interrupt(&r[1].w);
	reader_join(&r[1], -EINTR);
	/* One is left. */
	assert_int_equal(flights_active(f->content->flights), 1);
	assert_int_equal(asked(&f->c.s, text), 1);
	wait_interrupt(&r[2].w);
	reader_join(&r[2], -EINTR);
	wait_idle();
	/* And who comes then starts anew. */
	atomic_store(&f->here.hold_blobs, false);
	assert_int_equal(read_blob(f->repo, &digest, SIZE, (char[9]){0}, 9, 0),
			 9);
	assert_int_equal(asked(&f->c.s, text), 2);
	blob_unref(b);
}

static void test_close_cancels(void **state)
{
	struct flight *fl;

	atomic_store(&f->here.hold_blobs, true);
	assert_int_equal(flight_open(f->content->flights, &digest, SIZE, &fl),
			 0);
	flight_ahead(fl, f->repo, 0, SIZE);
	wait_asked(&f->c.s, text, 1);
	assert_true(flights_active(f->content->flights) > 0);
	assert_false(flight_busy(fl, f->repo));
	assert_true(flight_busy(fl, f->other));
	flight_close(fl);
	assert_int_equal(flights_active(f->content->flights), 0);
}

static void test_ahead_goes_on(void **state)
{
	struct reader r = {0};
	struct flight *fl;
	struct blob *b;
	int i;

	atomic_store(&f->here.hold_blobs, true);
	assert_int_equal(blob_open(f->repo, &digest, SIZE, &b), 0);
	assert_int_equal(flight_open(f->content->flights, &digest, SIZE, &fl),
			 0);
	flight_ahead(fl, f->repo, 0, SIZE);
	wait_asked(&f->c.s, text, 1);
	r.blob = b;
	reader_start(&r, f->repo, 100, 100);
	usleep(20000);
	wait_interrupt(&r.w);
	reader_join(&r, -EINTR);
	atomic_store(&f->here.hold_blobs, false);
	for (i = 0; i < 3000 && chunks_present(flight_chunks(fl)) <
					chunks_count(flight_chunks(fl));
	     i++)
		usleep(1000);
	assert_true(chunks_verified(flight_chunks(fl)));
	assert_int_equal(atomic_load(&f->here.sent), SIZE);
	flight_close(fl);
	blob_unref(b);
}

/* Patience ends, and the download with it. */
static void test_deadline(void **state)
{
	struct reader r = {.budget_ms = 300};
	autostr errors = {.max = 4096};

	atomic_store(&f->here.hold_blobs, true);
	reader_start(&r, f->repo, 0, 100);
	wait_asked(&f->c.s, text, 1);
	reader_join(&r, -ETIMEDOUT);
	wait_idle();
	assert_int_equal(content_print_errors(f->content, &errors), 0);
	assert_non_null(strstr(errors.buf, "ETIMEDOUT"));
	assert_non_null(strstr(errors.buf, REPO "/_blobs/sha256:"));
}

/* T14: neither another blob nor this very one suffers from a dead host. */
static void test_dead_host(void **state)
{
	size_t size = 20 * CHUNK_BYTES;
	char *big = random_bytes(f, size, 7);
	struct digest d;
	struct flight *fl;
	struct reader r = {0};
	char *buf = keep(f, malloc(size));

	put_blob(f, &f->there, REPO, bytes, SIZE, NULL);
	put_blob(f, &f->there, REPO, big, size, NULL);
	put_blob(f, &f->here, REPO, big, size, &d);
	atomic_store(&f->there.hold_blobs, true);
	assert_int_equal(flight_open(f->content->flights, &d, size, &fl), 0);
	for (size_t i = 0; i < 20; i += 2)
		flight_ahead(fl, f->away, i, 1);
	reader_start(&r, f->away, 0, 100);
	wait_asked(&f->c.other, text, 1);

	assert_int_equal(read_blob(f->repo, &digest, SIZE, buf, 100, 0), 100);
	assert_memory_equal(buf, bytes, 100);
	assert_int_equal(read_blob(f->repo, &d, size, buf, size, 0), size);
	assert_memory_equal(buf, big, size);
	assert_false(atomic_load(&r.done));
	atomic_store(&f->there.hold_blobs, false);
	reader_join(&r, 100);
	flight_close(fl);
}

/* One idle worker woken for two jobs: the second does not wait for the first.
 */
static void test_idle_worker(void **state)
{
	struct chunks *c;
	struct flight *fl;

	put_blob(f, &f->there, REPO, bytes, SIZE, NULL);
	atomic_store(&f->there.hold_blobs, true);
	for (int round = 0; round < 3; round++) {
		/* Leaves an idle worker. */
		assert_int_equal(
			read_blob(f->repo, &digest, SIZE, (char[9]){0}, 9, 0),
			9);
		assert_int_equal(
			flight_open(f->content->flights, &digest, SIZE, &fl),
			0);
		c = flight_chunks(fl);
		flight_ahead(fl, f->away, 1, 1);
		flight_ahead(fl, f->repo, 2, 1);
		for (int i = 0; i < 1000 && !chunks_ready(c, 2, false); i++)
			usleep(1000);
		assert_true(chunks_ready(c, 2, false));
		chunks_drop(c);
		flight_close(fl);
	}
}

/* faults.md N7 */
static void test_no_ranges(void **state)
{
	struct reader r[8] = {0};

	f->here.ignores_range = true;
	for (size_t i = 0; i < COUNT(r); i++)
		reader_start(&r[i], f->repo, (i % 6) * CHUNK_BYTES, 900);
	for (size_t i = 0; i < COUNT(r); i++)
		reader_join(&r[i], 900);
	assert_true(atomic_load(&f->here.sent) >= SIZE);
}

static void test_no_ranges_known(void **state)
{
	struct reader r[8] = {0};
	char *small = random_bytes(f, 2 * CHUNK_BYTES, 3);
	struct digest d;

	/* The host shows itself with one blob; from then on one stream each. */
	put_blob(f, &f->here, REPO, small, 2 * CHUNK_BYTES, &d);
	f->here.ignores_range = true;
	assert_int_equal(read_blob(f->repo, &d, 2 * CHUNK_BYTES, (char[9]){0},
				   9, CHUNK_BYTES),
			 9);
	wait_idle();
	atomic_store(&f->here.sent, 0);
	atomic_store(&f->here.hold_blobs, true);
	for (size_t i = 0; i < COUNT(r); i++)
		reader_start(&r[i], f->repo, (i % 6) * CHUNK_BYTES, 900);
	wait_asked(&f->c.s, text, 1);
	usleep(50000);
	atomic_store(&f->here.hold_blobs, false);
	for (size_t i = 0; i < COUNT(r); i++)
		reader_join(&r[i], 900);
	assert_int_equal(atomic_load(&f->here.sent), SIZE);
}

static void wait_waiters(struct flight *fl, unsigned want)
{
	for (int n = 0; n < 20000; n++) {
		unsigned waiters = 0;

		pthread_mutex_lock(&fl->flights->lock);
		list_for(at, &fl->jobs)
			waiters += container_of(at, struct job, in_flight)
					   ->waiters;
		pthread_mutex_unlock(&fl->flights->lock);
		if (waiters >= want)
			return;
		usleep(1000);
	}
	fail_msg("too few wait");
}

static void test_wrong_digest_for_all(void **state)
{
	struct reader r[READERS] = {0};
	size_t last = SIZE - 1000;
	struct flight *held;
	char buf[100];
	unsigned n;

	/* Only the last chunk is missing, and it will be wrong. */
	assert_int_equal(read_blob(f->repo, &digest, SIZE, (char[1]){0}, 1, 0),
			 1);
	for (uint64_t off = 0; off < last; off += CHUNK_BYTES)
		assert_int_equal(read_blob(f->repo, &digest, SIZE, buf, 1, off),
				 1);
	atomic_store(&f->here.spoil, true);
	atomic_store(&f->here.hold_blobs, true);
	assert_int_equal(flight_open(f->content->flights, &digest, SIZE, &held),
			 0);
	for (int i = 0; i < READERS; i++)
		reader_start(&r[i], f->repo, last, 100);
	/* Who comes later asks anew, and may be served. */
	wait_waiters(held, READERS);
	atomic_store(&f->here.hold_blobs, false);
	for (int i = 0; i < READERS; i++)
		reader_join(&r[i], -EBADMSG);
	/* What is known to be wrong is not read ahead. */
	n = asked(&f->c.s, text);
	flight_ahead(held, f->repo, 0, SIZE);
	usleep(20000);
	assert_int_equal(asked(&f->c.s, text), n);
	flight_close(held);
	atomic_store(&f->here.spoil, false);
	assert_int_equal(read_blob(f->repo, &digest, SIZE, buf, 100, last),
			 100);
	assert_memory_equal(buf, bytes + last, 100);
}

static bool refuse_other(struct site *site, const struct request *q,
			 struct reply *p)
{
	if (strncmp(q->target, "/v2/other/app/", 14) != 0)
		return false;
	p->hold = &site->hold_blobs;
	refuse(p, 403, "DENIED");
	return true;
}

/* What one repository was refused is not held against another. */
static void test_others_refusal(void **state)
{
	struct reader r[2] = {0};

	f->here.hook = refuse_other;
	atomic_store(&f->here.hold_blobs, true);
	reader_start(&r[0], f->other, 0, 100);
	wait_asked(&f->c.s, "GET /v2/other/app/blobs/", 1);
	reader_start(&r[1], f->repo, 0, 100);
	wait_asked(&f->c.s, "HEAD /v2/" REPO "/blobs/", 1);
	usleep(20000);
	/* It waits for the other's download. */
	assert_int_equal(asked(&f->c.s, "GET /v2/" REPO "/blobs/"), 0);
	atomic_store(&f->here.hold_blobs, false);
	reader_join(&r[0], -EACCES);
	reader_join(&r[1], 100);
}

static void test_gate(void **state)
{
	struct reader r = {.is_request = true}, ours = {0};

	f->content->gate.max = 1;
	atomic_store(&f->here.hold_blobs, true);
	reader_start(&r, f->repo, 0, 100);
	wait_asked(&f->c.s, text, 1);
	assert_int_equal(
		read_blob(f->repo, &digest, SIZE, (char[9]){0}, 9, CHUNK_BYTES),
		-EBUSY);
	/* A pass, say: requests may be waiting for it. */
	reader_start(&ours, f->repo, CHUNK_BYTES, 100);
	usleep(20000);
	atomic_store(&f->here.hold_blobs, false);
	reader_join(&ours, 100);
	reader_join(&r, 100);
	/* What is cached needs no room. */
	f->content->gate.max = 0;
	assert_int_equal(read_blob(f->repo, &digest, SIZE, (char[9]){0}, 9, 0),
			 9);
}

static void test_sequential(void **state)
{
	size_t size = 40 * CHUNK_BYTES, n = 128 << 10;
	char *big = random_bytes(f, size, 9), *buf = keep(f, malloc(n));
	struct ahead a;
	struct digest d;
	struct blob *b;

	put_blob(f, &f->here, REPO, big, size, &d);
	assert_int_equal(blob_open(f->repo, &d, size, &b), 0);
	ahead_init(&a, content_ahead_limit(f->content), false);
	for (size_t off = 0; off < size; off += n) {
		assert_int_equal(blob_read(b, &a, buf, n, off, &f->c.w), n);
		assert_memory_equal(buf, big + off, n);
	}
	ahead_done(&a);
	assert_true(blob_verified(b));
	blob_unref(b);
	assert_int_equal(atomic_load(&f->here.sent), size);
	assert_true(asked(&f->c.s, "/blobs/") <= 16);
}

static void test_print(void **state)
{
	autostr out = {.max = 65536};
	struct reader r = {0};

	atomic_store(&f->here.hold_blobs, true);
	reader_start(&r, f->repo, 0, 100);
	wait_asked(&f->c.s, text, 1);
	assert_int_equal(content_print_transfers(f->content, &out), 0);
	assert_non_null(strstr(out.buf, REPO " sha256:"));
	assert_int_equal(content_print_status(f->content, &out), 0);
	assert_int_equal(content_print_status_json(f->content, &out), 0);
	atomic_store(&f->here.hold_blobs, false);
	reader_join(&r, 100);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_download),	 T(test_last_waiter_cancels),
		T(test_close_cancels),	 T(test_ahead_goes_on),
		T(test_deadline),	 T(test_dead_host),
		T(test_idle_worker),	 T(test_no_ranges),
		T(test_no_ranges_known), T(test_wrong_digest_for_all),
		T(test_others_refusal),	 T(test_gate),
		T(test_sequential),	 T(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
