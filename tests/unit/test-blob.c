/* SPDX-License-Identifier: Apache-2.0 */
#include "content/blob.h"

#include "content-fixture.h"

#define SIZE ((size_t)(3 * CHUNK_BYTES + 1000))

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

static int setup_in_memory(void **state)
{
	f = fixture_new(false);
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

static void reads(struct repo *repo, uint64_t off, size_t len)
{
	size_t want = len < SIZE - off ? len : SIZE - off;
	char *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(read_blob(repo, &digest, SIZE, buf, len, off), want);
	assert_memory_equal(buf, bytes + off, want);
	free(buf);
}

static ssize_t try(struct repo *repo, uint64_t off)
{
	char buf[100];

	return read_blob(repo, &digest, SIZE, buf, sizeof(buf), off);
}

static void test_reads(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
	} cases[] = {
		{0, 1},		 {0, CHUNK_BYTES},	  {CHUNK_BYTES - 1, 2},
		{SIZE - 1, 100}, {1000, 2 * CHUNK_BYTES}, {0, SIZE + 5},
	};
	char buf[8];

	for (size_t i = 0; i < COUNT(cases); i++)
		reads(f->repo, cases[i].off, cases[i].len);
	assert_int_equal(
		read_blob(f->repo, &digest, SIZE, buf, sizeof(buf), SIZE), 0);
	assert_int_equal(
		read_blob(f->repo, &digest, SIZE, buf, sizeof(buf), 1u << 30),
		0);
	/* Every chunk once, and nobody was asked for more than bytes. */
	assert_int_equal(atomic_load(&f->here.sent), SIZE);
	assert_int_equal(asked(&f->c.s, "HEAD "), 0);
}

static void test_one_small_request(void **state)
{
	struct blob *b;

	reads(f->repo, 2 * CHUNK_BYTES + 10, 4096);
	assert_int_equal(asked(&f->c.s, "/blobs/"), 1);
	assert_int_equal(atomic_load(&f->here.sent), CHUNK_BYTES);
	assert_int_equal(blob_open(f->repo, &digest, SIZE, &b), 0);
	assert_int_equal(blob_cached_percent(b), 25);
	assert_false(blob_verified(b));
	assert_int_equal(blob_size(b), SIZE);
	blob_unref(b);
	reads(f->repo, 0, SIZE);
	assert_int_equal(blob_open(f->repo, &digest, SIZE, &b), 0);
	assert_int_equal(blob_cached_percent(b), 100);
	assert_true(blob_verified(b));
	blob_unref(b);
}

/* What one repository got is shown to another only after proof. */
static void test_not_granted(void **state)
{
	reads(f->repo, 0, SIZE);
	assert_int_equal(try(f->other, 0), -ENOENT);
	assert_int_equal(try(f->away, 0), -ENOENT);
	assert_int_equal(asked(&f->c.s, "HEAD /v2/other/app/blobs/"), 1);
	assert_int_equal(asked(&f->c.other, "HEAD /v2/" REPO "/blobs/"), 1);
	/* A refusal is no reason to refuse who may. */
	reads(f->repo, 0, 100);
}

static void test_granted_by_head(void **state)
{
	reads(f->repo, 0, SIZE);
	put_blob(f, &f->there, REPO, bytes, SIZE, NULL);
	reads(f->away, 0, SIZE);
	assert_int_equal(asked(&f->c.other, "HEAD /v2/"), 1);
	assert_int_equal(asked(&f->c.other, "GET /v2/" REPO "/blobs/"), 0);
	/* It is on record. */
	content_restart(f);
	reads(f->away, 5, 100);
	assert_int_equal(asked(&f->c.other, "/blobs/"), 1);
}

static void test_denied(void **state)
{
	reads(f->repo, 0, SIZE);
	f->there.status = 403;
	assert_int_equal(try(f->away, 0), -EACCES);
}

/* Bytes that came between open and read are served after proof only. */
static void test_others_download(void **state)
{
	struct blob *b;
	struct wait w;
	char buf[10];

	put_blob(f, &f->here, "other/app", bytes, SIZE, NULL);
	assert_int_equal(blob_open(f->repo, &digest, SIZE, &b), 0);
	reads(f->other, 0, 100);
	wait_init(&w, 5000, 0);
	assert_int_equal(blob_read(b, NULL, buf, 10, 0, &w), 10);
	assert_memory_equal(buf, bytes, 10);
	assert_int_equal(asked(&f->c.s, "HEAD /v2/" REPO "/blobs/"), 1);
	blob_unref(b);
}

static void test_find(void **state)
{
	uint64_t size = 0;

	assert_int_equal(blob_find(f->repo, &digest, &f->c.w, &size), 0);
	assert_int_equal(size, SIZE);
	size = 0;
	assert_int_equal(blob_find(f->repo, &digest, &f->c.w, &size), 0);
	assert_int_equal(size, SIZE);
	assert_int_equal(asked(&f->c.s, "HEAD "), 1);
	assert_int_equal(blob_find(f->away, &digest, &f->c.w, &size), -ENOENT);
}

static void test_wrong_digest(void **state)
{
	struct blob *held;

	assert_int_equal(blob_open(f->repo, &digest, SIZE, &held), 0);
	atomic_store(&f->here.spoil, true);
	assert_int_equal(try(f->repo, 0), 100); /* nobody knows yet */
	assert_int_equal(try(f->repo, CHUNK_BYTES), 100);
	assert_int_equal(try(f->repo, 2 * CHUNK_BYTES), 100);
	assert_int_equal(try(f->repo, SIZE - 10), -EBADMSG);
	assert_int_equal(blob_cached_percent(held), 0);
	atomic_store(&f->here.spoil, false);
	/* Although somebody still has it open. */
	reads(f->repo, 0, SIZE);
	assert_true(blob_verified(held));
	blob_unref(held);
}

static void test_wrong_size(void **state)
{
	struct digest empty;
	struct blob *b;
	char *whole = NULL;

	/* Larger and smaller than it is: never bytes as if all were well. */
	assert_true(read_blob(f->repo, &digest, SIZE - 1, (char[8]){0}, 8,
			      SIZE - 9) < 0);
	assert_int_equal(blob_open(f->repo, &digest, 0, &b), -EBADMSG);
	digest_of(HASH_SHA256, "", 0, &empty);
	assert_int_equal(
		blob_read_whole(f->repo, &empty, 0, 10, &f->c.w, &whole), 0);
	assert_string_equal(whole, "");
	free(whole);
}

/* Another registry, another content of that digest: HEAD tells here. */
static void test_size_against_head(void **state)
{
	struct thing *t = &f->there.things[0];
	struct blob *b;
	char buf[8];

	put_blob(f, &f->there, REPO, random_bytes(f, SIZE + 1, 5), SIZE + 1,
		 NULL);
	memcpy(t->digest, text, sizeof(text));
	assert_int_equal(blob_open(f->away, &digest, SIZE + 1, &b), 0);
	assert_int_equal(blob_read(b, NULL, buf, 8, 0, &f->c.w), 8);
	assert_int_equal(read_blob(f->repo, &digest, SIZE + 1, buf, 8, 0),
			 -EBADMSG);
	blob_unref(b);
}

static void test_whole(void **state)
{
	struct digest small, absent;
	char *whole = NULL;

	put_blob(f, &f->here, REPO, "{\"a\":1}", 7, &small);
	digest_of(HASH_SHA256, "x", 1, &absent);
	assert_int_equal(
		blob_read_whole(f->repo, &small, 7, 6, &f->c.w, &whole),
		-EFBIG);
	assert_int_equal(
		blob_read_whole(f->repo, &absent, 1, 10, &f->c.w, &whole),
		-ENOENT);
	assert_null(whole);
	assert_int_equal(
		blob_read_whole(f->repo, &small, 7, 7, &f->c.w, &whole), 0);
	assert_string_equal(whole, "{\"a\":1}");
	free(whole);
}

/* faults.md N12: gone while it is open, and for who comes later. */
static void test_gone(void **state)
{
	struct blob *b;
	char buf[10];

	assert_int_equal(blob_open(f->repo, &digest, SIZE, &b), 0);
	assert_int_equal(blob_read(b, NULL, buf, 10, 0, &f->c.w), 10);
	take_away(f, &f->here, text);
	assert_int_equal(blob_read(b, NULL, buf, 10, CHUNK_BYTES, &f->c.w),
			 -ESTALE);
	/* What was got is kept for who has it open. */
	assert_int_equal(blob_read(b, NULL, buf, 10, 5, &f->c.w), 10);
	assert_memory_equal(buf, bytes + 5, 10);
	assert_int_equal(try(f->repo, 0), -ENOENT);
	blob_unref(b);
}

static void test_strict(void **state)
{
	f->options.verify = VERIFY_STRICT;
	atomic_store(&f->here.spoil, true);
	assert_int_equal(try(f->repo, 0), -EBADMSG);
	atomic_store(&f->here.spoil, false);
	reads(f->repo, CHUNK_BYTES, 10);
}

/* What is open is evicted again and again. */
static void *evictor(void *arg)
{
	struct chunks *c;
	atomic_bool *stop = arg;

	assert(chunks_open(f->store, &digest, SIZE, &c) == 0);
	for (int i = 0; i < 300 && !atomic_load(stop); i++) {
		chunks_drop(c);
		usleep(1500);
	}
	chunks_close(c);
	return NULL;
}

static void test_evicted(void **state)
{
	atomic_bool stop = false;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, evictor, &stop), 0);
	for (uint64_t off = 0; off < SIZE - CHUNK_BYTES; off += 10000)
		reads(f->repo, off, CHUNK_BYTES);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	reads(f->repo, 0, SIZE);
}

/* More than the memory that stands in for a disk. */
static void test_ring(void **state)
{
	size_t size = (size_t)20 << 20, n = (size_t)1 << 20;
	char *big = random_bytes(f, size, 2);
	char *buf = malloc(n);
	struct digest d;

	assert_non_null(buf);
	put_blob(f, &f->here, REPO, big, size, &d);
	for (int pass = 0; pass < 2; pass++)
		for (size_t off = 0; off < size; off += n) {
			assert_int_equal(
				read_blob(f->repo, &d, size, buf, n, off), n);
			assert_memory_equal(buf, big + off, n);
		}
	free(buf);
}

/* The same, and every miss costs a stream from the beginning. */
static void *ring_main(void *arg)
{
	static const unsigned mib[] = {0, 17, 0, 8, 16};
	const char *big = arg;
	size_t size = (size_t)18 << 20;
	struct digest d;
	char buf[100];

	digest_of(HASH_SHA256, big, size, &d);
	for (size_t i = 0; i < COUNT(mib); i++) {
		uint64_t off = (uint64_t)mib[i] << 20;

		if (read_blob(f->repo, &d, size, buf, 100, off) != 100 ||
		    memcmp(buf, big + off, 100) != 0)
			return arg;
	}
	return NULL;
}

static void test_ring_without_ranges(void **state)
{
	size_t size = (size_t)18 << 20;
	char *big = random_bytes(f, size, 2);
	pthread_t threads[3];
	void *bad;

	put_blob(f, &f->here, REPO, big, size, NULL);
	f->here.ignores_range = true;
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, ring_main, big);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
}

static void test_unreachable(void **state)
{
	reads(f->repo, 0, 100);
	f->here.status = 500;
	/* What is cached needs nobody. */
	content_restart(f);
	reads(f->repo, 0, 100);
	assert_true(try(f->repo, CHUNK_BYTES) < 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_reads),
		T(test_one_small_request),
		T(test_not_granted),
		T(test_granted_by_head),
		T(test_denied),
		T(test_others_download),
		T(test_find),
		T(test_wrong_digest),
		T(test_wrong_size),
		T(test_size_against_head),
		T(test_whole),
		T(test_gone),
		T(test_strict),
		T(test_evicted),
		cmocka_unit_test_setup_teardown(test_ring, setup_in_memory,
						teardown),
		cmocka_unit_test_setup_teardown(test_ring_without_ranges,
						setup_in_memory, teardown),
		T(test_unreachable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
