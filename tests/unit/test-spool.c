/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of a layer that are larger than a span. */
#include "content/spool.h"

#include "stream-fixture.h"

static void test_big(void **state)
{
	/* The last: a frame that is just too large, and a small one. */
	static const struct {
		enum codec codec;
		size_t len, each, spacing;
	} big[] = {{CODEC_ZSTD, BIG, BIG, 0},
		   {CODEC_GZIP, BIG + 1, BIG + 1, 0},
		   {CODEC_ZSTD, BIG + 2, SPAN_MAX + 5, SPACING}};

	for (size_t i = 0; i < COUNT(big); i++) {
		size_t len = big[i].len, piece = 131072;
		unsigned long long got;
		struct layer l;

		layer_make(&l, big[i].codec, len, big[i].each, big[i].spacing);
		pass_all(&l);
		/* Piece after piece, as the kernel does: decoded once. */
		for (size_t off = 0; off < len; off += piece)
			reads(&l, len - off < piece ? len - off : piece, off);
		got = l.b->got;
		assert_in_range(got, blob_size(l.b) / 2, blob_size(l.b));
		reads(&l, len, 0);
		reads(&l, 5000, len - 5000);
		reads(&l, 300000, CHUNK_BYTES - 7);
		assert_int_equal(l.b->got, got);
		layer_done(&l);
	}
}

/* Not before the pass has said that the blob is right. */
static void test_big_waits(void **state)
{
	struct reader q;
	struct layer l;
	uint8_t byte;

	layer_make(&l, CODEC_ZSTD, BIG + 1000, BIG, SPACING);
	assert_false(pass_on(&l, 1));
	assert_int_equal(try_ms(&l, &byte, 1, 0, 20), -ETIMEDOUT);
	reader_start(&q, &l, 0, 1000, 5000);
	pass_all(&l);
	assert_int_equal(reader_join(&q), 0);
	layer_done(&l);
}

/* What is kept survives the stream, and a restart. */
static void test_big_kept(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_ZSTD, BIG, BIG, 0);
	pass_all(&l);
	reads(&l, BIG, 0);
	stream_free(l.s);
	tree_close(l.tree);
	shelf_close(&shelf);
	shelf_open(&shelf, true, 4 * SPAN_MAX);
	layer_start(&l);
	stream_finish(l.s, BIG, &l.diff_id);
	l.b->failure = -EIO;
	reads(&l, BIG, 0);
	layer_done(&l);
}

/* A reader leaves in the middle; the next one goes on from there. */
static void test_big_goes_on(void **state)
{
	struct reader q;
	struct layer l;

	layer_make(&l, CODEC_GZIP, BIG, BIG, 0);
	pass_all(&l);
	l.b->delay_ms = 30;
	reader_start(&q, &l, BIG - 1000, 1000, 60000);
	while (atomic_load(&l.b->reads) < 2)
		usleep(1000);
	wait_interrupt(&q.w);
	assert_int_equal(reader_join(&q), -EINTR);
	l.b->delay_ms = 0;
	reads(&l, 1000, BIG - 1000);
	assert_in_range(l.b->got, 1, blob_size(l.b));
	/* A failure of the network is no reason to begin anew either. */
	layer_done(&l);

	layer_make(&l, CODEC_GZIP, BIG + 1, BIG + 1, 0);
	pass_all(&l);
	reads(&l, 1000, 2 * MIB);
	l.b->failure = -EIO;
	assert_int_equal(try(&l, BIG), -EIO);
	l.b->failure = 0;
	reads(&l, 1000, BIG - 1000);
	assert_in_range(l.b->got, 1, blob_size(l.b));
	layer_done(&l);
}

/* Decoding is progress: a short patience is enough for a long way. */
static void test_big_patience(void **state)
{
	struct reader q, second;
	struct layer l;

	layer_make(&l, CODEC_GZIP, RING, RING, 0);
	pass_all(&l);
	l.b->delay_ms = 40; /* some ten times */
	reader_start(&q, &l, RING - 1000, 1000, 150);
	reader_start(&second, &l, RING - 2000, 1000, 150);
	assert_int_equal(reader_join(&q), 0);
	assert_int_equal(reader_join(&second), 0);
	assert_true(l.b->reads > 6);
	layer_done(&l);
}

static void test_big_damaged(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_ZSTD, BIG, BIG, 0);
	pass_all(&l);
	/* Not what the pass saw: the end of the frame does not come. */
	l.b->bytes.len -= 100000;
	assert_int_equal(try(&l, BIG - 1), -EBADMSG);
	reads(&l, 1000, 0);
	assert_int_equal(try(&l, BIG - 1), -EBADMSG);
	layer_done(&l);
}

/* What came before the damage can be had again. */
static void test_big_damaged_without_disk(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_ZSTD, RING, RING, 0);
	pass_all(&l);
	l.b->bytes.len -= 100000;
	assert_int_equal(try(&l, RING - 1), -EBADMSG);
	reads(&l, 1000, 0);
	assert_int_equal(try(&l, RING - 1), -EBADMSG);
	layer_done(&l);
}

static void test_big_without_disk(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_ZSTD, RING, RING, 0);
	pass_all(&l);
	reads(&l, 1000, RING - 1000);
	reads(&l, RING, 0);
	reads(&l, 1000, 10);
	reads(&l, 1000, RING - 1000);
	layer_done(&l);
}

/* The compressed bytes break off: what came before can be read. */
static void test_truncated(void **state)
{
	static const enum codec codecs[] = {CODEC_GZIP, CODEC_ZSTD};

	for (size_t i = 0; i < COUNT(codecs); i++) {
		size_t len = 0;
		struct layer l;

		layer_make(&l, codecs[i], BIG, BIG, 0);
		l.b->bytes.len = l.b->bytes.len / 10 * 9;
		l.io.in_len = l.b->bytes.len;
		for (int r = 0; r != -EBADMSG; l.passed = len) {
			uint8_t buf[4096];

			l.io.out = buf;
			l.io.out_len = sizeof(buf);
			r = decoder_run(l.pass, &l.io);
			len += sizeof(buf) - l.io.out_len;
		}
		stream_fail(l.s, -EBADMSG, l.passed);
		assert_true(len > SPAN_MAX);
		reads(&l, len, 0);
		reads(&l, 10000, len - 10000);
		assert_int_equal(try(&l, len), -EBADMSG);
		layer_done(&l);
	}
}

static void test_threads(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_ZSTD, BIG, BIG, 0);
	pass_all(&l);
	storm(&l, 100);
	assert_in_range(l.b->got, 1, blob_size(l.b));
	layer_done(&l);
}

static void test_threads_without_disk(void **state)
{
	struct layer l;

	layer_make(&l, CODEC_ZSTD, RING, RING, 0);
	pass_all(&l);
	storm(&l, 2);
	layer_done(&l);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define M(fn) cmocka_unit_test_setup_teardown(fn, setup_in_memory, teardown)
	const struct CMUnitTest tests[] = {
		T(test_big),
		T(test_big_waits),
		T(test_big_kept),
		T(test_big_goes_on),
		T(test_big_patience),
		T(test_big_damaged),
		M(test_big_damaged_without_disk),
		M(test_big_without_disk),
		T(test_truncated),
		T(test_threads),
		M(test_threads_without_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
