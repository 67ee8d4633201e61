/* SPDX-License-Identifier: Apache-2.0 */
#include "content/layerstream.h"

#include "stream-fixture.h"

static const struct shape {
	enum codec codec;
	size_t each;
} shapes[] = {
	{CODEC_NONE, SMALL},  {CODEC_GZIP, SMALL},  {CODEC_GZIP, 50000},
	{CODEC_GZIP, 700000}, {CODEC_ZSTD, 100000}, {CODEC_ZSTD, 700000},
	{CODEC_ZSTD, SMALL},
};

static void test_shapes(void **state)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		uint32_t seed = (uint32_t)i;
		struct layer l;

		layer_make(&l, shapes[i].codec, SMALL, shapes[i].each, SPACING);
		pass_all(&l);
		if (shapes[i].codec != CODEC_NONE && shapes[i].each < SMALL)
			assert_true(l.points > 3);
		reads(&l, SMALL, 0);
		reads(&l, 1, SMALL - 1);
		reads(&l, 0, SMALL);
		for (int k = 0; k < 60; k++) {
			size_t len = 1 + rnd(&seed) % 300000;

			reads(&l, len, rnd(&seed) % (SMALL - len));
		}
		assert_int_equal(try(&l, SMALL), -EBADMSG);
		assert_int_equal(try(&l, UINT64_MAX), -EBADMSG);
		layer_done(&l);
	}
}

/* A small read costs a small part of the blob, and once. */
static void test_cost(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	pass_all(&l);
	reads(&l, 4096, SMALL / 2);
	assert_int_equal(l.b->reads, 1);
	assert_in_range(l.b->got, 1000, 3 * SPACING);
	reads(&l, 4096, SMALL / 2);
	assert_int_equal(l.b->reads, 1);
	layer_done(&l);
}

/* From what is kept of an earlier pass. */
static void test_kept_points(void **state)
{
	struct tree_point *points;
	struct stream *fresh;
	struct layer l;
	size_t len;

	layer_make(&l, CODEC_GZIP, SMALL, 700000, SPACING);
	pass_all(&l);
	assert_int_equal(tree_points(l.tree, &points, &len), 0);
	assert_int_equal(len, l.points);
	assert_int_equal(
		stream_new(shelf.spans, shelf.store, l.codec, l.tree, &fresh),
		0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(stream_add_point(fresh, &points[i]), 0);
	assert_int_equal(stream_add_point(fresh, &points[0]), -EBADMSG);
	stream_finish(fresh, SMALL, &l.diff_id);
	stream_free(l.s);
	l.s = fresh;
	reads(&l, SMALL, 0);
	free(points);
	layer_done(&l);
}

/* Points that lie: an error or nothing, never other bytes as if all was well
 * and nothing worse. */
static void test_damaged_points(void **state)
{
	struct tree_point bad[] = {{1000, 200000, 0},
				   {1000, 200000, 3},
				   {1000, 200000, 9},
				   {UINT64_MAX, 200000, 0},
				   {SMALL * 2, 200000, 1}};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct layer l;

		layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
		(void)tree_add_point(l.tree, &bad[i], NULL, 0);
		assert_int_equal(stream_add_point(l.s, &bad[i]), 0);
		stream_finish(l.s, SMALL, &l.diff_id);
		reads(&l, 200000, 0); /* the part before is whole */
		assert_int_equal(try(&l, 200001), -EBADMSG);
		layer_done(&l);
	}
}

/* --- while the pass is under way --- */

static void test_follows_the_pass(void **state)
{
	struct reader near, far;
	struct layer l;
	uint8_t byte;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	assert_int_equal(try_ms(&l, &byte, 1, 0, 20), -ETIMEDOUT);
	assert_false(pass_on(&l, 2));
	reads(&l, SPACING, 0);
	reader_start(&near, &l, SPACING, 2 * SPACING, 5000);
	reader_start(&far, &l, SMALL - 10, 10, 5000);
	assert_false(pass_on(&l, 3));
	assert_int_equal(reader_join(&near), 0);
	assert_int_equal(far.w.interrupted_ms, 0);
	pass_all(&l);
	assert_int_equal(reader_join(&far), 0);
	layer_done(&l);
}

static void test_follows_a_plain_pass(void **state)
{
	struct reader q;
	struct layer l;
	uint8_t byte;

	layer_make(&l, CODEC_NONE, SMALL, SMALL, 0);
	stream_reached(l.s, 1000);
	reads(&l, 1000, 0);
	assert_int_equal(try_ms(&l, &byte, 1, 1000, 20), -ETIMEDOUT);
	reader_start(&q, &l, 0, 5000, 5000);
	stream_reached(l.s, 2000);
	stream_reached(l.s, 5000);
	assert_int_equal(reader_join(&q), 0);
	reader_start(&q, &l, 5000, 5000, 5000);
	stream_fail(l.s, -EIO, 6000);
	assert_int_equal(reader_join(&q), -EIO);
	reads(&l, 1000, 5000);
	assert_int_equal(try(&l, 6000), -EIO);
	layer_done(&l);
}

static void test_patience(void **state)
{
	struct reader q;
	struct layer l;

	layer_make(&l, CODEC_ZSTD, SMALL, SMALL, 0);
	reader_start(&q, &l, 5, 1000, 150);
	for (int i = 1; i <= 10; i++) {
		usleep(25000);
		stream_reached(l.s, (uint64_t)i * 1000);
	}
	pass_all(&l);
	assert_int_equal(reader_join(&q), 0);
	layer_done(&l);

	layer_make(&l, CODEC_ZSTD, SMALL, SMALL, 0);
	reader_start(&q, &l, 5, 1000, 150);
	usleep(25000);
	stream_reached(l.s, 1000);
	assert_int_equal(reader_join(&q), -ETIMEDOUT);
	layer_done(&l);
}

static void test_interrupted(void **state)
{
	struct reader q;
	struct layer l;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	reader_start(&q, &l, 0, 1000, 60000);
	wait_interrupt(&q.w);
	assert_int_equal(reader_join(&q), -EINTR);
	layer_done(&l);
}

static void test_failed_pass(void **state)
{
	struct reader q;
	struct layer l;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	assert_false(pass_on(&l, 3));
	reader_start(&q, &l, SMALL - 10, 10, 5000);
	stream_fail(l.s, -EBADMSG, 1000000);
	assert_int_equal(reader_join(&q), -EBADMSG);
	reads(&l, 1000000, 0);
	assert_int_equal(try(&l, 1000000), -EBADMSG);
	layer_done(&l);

	/* Less was taken than there are points for. */
	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	assert_false(pass_on(&l, 3));
	stream_fail(l.s, -EIO, 10);
	reads(&l, 2 * SPACING, 0);
	assert_int_equal(try(&l, SMALL / 2), -EIO);
	layer_done(&l);
}

/* --- failures of the blob --- */

static void test_blob_fails(void **state)
{
	struct reader q;
	struct layer l;
	uint8_t byte;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	pass_all(&l);
	l.b->failure = -EHOSTUNREACH;
	assert_int_equal(try(&l, 0), -EHOSTUNREACH);
	l.b->failure = 0;
	l.b->hold = true;
	assert_int_equal(try_ms(&l, &byte, 1, 0, 20), -ETIMEDOUT);
	reader_start(&q, &l, 0, 1000, 60000);
	wait_interrupt(&q.w);
	assert_int_equal(reader_join(&q), -EINTR);
	l.b->hold = false;
	reads(&l, SMALL, 0);
	layer_done(&l);
}

static void test_one_for_all(void **state)
{
	struct reader readers[THREADS];
	struct layer l;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	pass_all(&l);
	l.b->hold = true;
	for (int i = 0; i < THREADS; i++)
		reader_start(&readers[i], &l, (uint64_t)i, 1000, 5000);
	usleep(20000);
	l.b->hold = false;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(reader_join(&readers[i]), 0);
	assert_int_equal(l.b->reads, 1);
	layer_done(&l);
}

/* Who waits for another's download waits on while that gets on. */
static void test_slow_download(void **state)
{
	struct reader maker, waiter;
	struct layer l = {.codec = CODEC_GZIP};
	uint32_t seed = 1;

	l.plain = (struct bytes){.v = malloc(SPAN_MAX), .len = SPAN_MAX};
	for (size_t i = 0; i < SPAN_MAX; i++)
		l.plain.v[i] = (uint8_t)rnd(&seed);
	l.b = blob_make(compress_all(l.codec, &l.plain, SPAN_MAX));
	layer_start(&l);
	stream_finish(l.s, SPAN_MAX, &l.diff_id);
	l.b->delay_ms = 80;
	reader_start(&maker, &l, SPAN_MAX - 1000, 1000, 5000);
	while (atomic_load(&l.b->reads) < 1)
		usleep(1000);
	reader_start(&waiter, &l, SPAN_MAX - 1000, 1000, 250);
	assert_int_equal(reader_join(&waiter), 0);
	assert_int_equal(reader_join(&maker), 0);
	assert_in_range(l.b->reads, 4, 6);
	layer_done(&l);
}

/* A look at one place costs what is before it; more is made once. */
static void test_one_place(void **state)
{
	struct layer l;
	unsigned n;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SMALL);
	pass_all(&l);
	l.b->reads = 0;
	assert_int_equal(try(&l, 0), 0);
	assert_int_equal(try(&l, 1000), 0);
	assert_int_equal(l.b->reads, 1);
	reads(&l, SMALL / 2, 0);
	n = (unsigned)l.b->reads;
	assert_in_range(n, 2, 4);
	reads(&l, SMALL, 0);
	assert_int_equal(l.b->reads, n);
	layer_done(&l);
}

static void test_threads(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_GZIP, SMALL, SMALL, SPACING);
	pass_all(&l);
	storm(&l, 200);
	layer_done(&l);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_shapes),		  T(test_cost),
		T(test_kept_points),	  T(test_damaged_points),
		T(test_follows_the_pass), T(test_follows_a_plain_pass),
		T(test_patience),	  T(test_interrupted),
		T(test_failed_pass),	  T(test_blob_fails),
		T(test_one_for_all),	  T(test_slow_download),
		T(test_one_place),	  T(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
