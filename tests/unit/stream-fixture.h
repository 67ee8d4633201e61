/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A layer whose pass goes step by step, and readers of it. */
#include "span-fixture.h"

#include "content/layerstream.h"

#define SPACING ((size_t)128 << 10)
#define SMALL ((size_t)3000000)
#define BIG (SPAN_MAX + 2500000)
#define RING ((size_t)17 << 20) /* more than a store without a disk holds */
#define THREADS 6

static struct shelf shelf;

/* One layer: the archive, the blob, and what the pass has left of it. */
struct layer {
	struct bytes plain;
	struct blob *b;
	enum codec codec;
	struct tree *tree;
	struct stream *s;
	struct decoder *pass; /* under way */
	struct decoder_io io;
	uint64_t passed;
	size_t points;
	struct digest diff_id;
};

UNUSED static int setup(void **state)
{
	shelf_open(&shelf, true, 4 * SPAN_MAX);
	return 0;
}

UNUSED static int setup_in_memory(void **state)
{
	shelf_open(&shelf, false, 4 * SPAN_MAX);
	return 0;
}

UNUSED static int teardown(void **state)
{
	shelf_close(&shelf);
	shelf_remove(&shelf);
	return 0;
}

/* --- a pass, step by step --- */

UNUSED static void layer_start(struct layer *l)
{
	assert_int_equal(tree_create(shelf.store, "test", true, &l->tree), 0);
	assert_int_equal(
		stream_new(shelf.spans, shelf.store, l->codec, l->tree, &l->s),
		0);
}

/* Members or frames of `each` bytes; `spacing` 0: without points. */
UNUSED static void layer_make(struct layer *l, enum codec c, size_t len,
			      size_t each, size_t spacing)
{
	*l = (struct layer){.plain = sample(len, (uint32_t)len), .codec = c};
	l->b = blob_make(compress_all(c, &l->plain, each));
	digest_of(HASH_SHA256, l->plain.v, len, &l->diff_id);
	layer_start(l);
	assert_int_equal(decoder_new(c, spacing, &l->pass), 0);
	l->io.in = l->b->bytes.v;
	l->io.in_len = l->b->bytes.len;
	l->io.in_last = true;
}

UNUSED static void pass_point(struct layer *l)
{
	uint8_t window[CODEC_WINDOW_MAX], *packed;
	size_t len, packed_len;
	struct codec_point at;
	struct tree_point p;

	decoder_point(l->pass, &at, window, &len);
	assert_int_equal(window_pack(window, len, &packed, &packed_len), 0);
	p = (struct tree_point){at.in_off, at.out_off, at.bits};
	assert_int_equal(tree_add_point(l->tree, &p, packed, packed_len), 0);
	assert_int_equal(stream_add_point(l->s, &p), 0);
	l->points++;
	free(packed);
}

/* So many points further, or to the end (true). */
UNUSED static bool pass_on(struct layer *l, size_t points)
{
	uint8_t *out = malloc(MIB);
	int r = 0;

	assert_non_null(out);
	while (points > 0 && r != DECODER_END) {
		l->io.out = out;
		l->io.out_len = MIB;
		r = decoder_run(l->pass, &l->io);
		assert_true(r >= 0);
		l->passed += MIB - l->io.out_len;
		if (r == DECODER_POINT) {
			pass_point(l);
			points--;
		}
	}
	free(out);
	return r == DECODER_END;
}

UNUSED static void pass_all(struct layer *l)
{
	assert_true(pass_on(l, SIZE_MAX));
	assert_int_equal(l->passed, l->plain.len);
	stream_finish(l->s, l->passed, &l->diff_id);
}

UNUSED static void layer_done(struct layer *l)
{
	stream_free(l->s);
	tree_close(l->tree);
	decoder_free(l->pass);
	blob_unmake(l->b);
	bytes_done(&l->plain);
}

/* --- reading it --- */

UNUSED static int try_ms(struct layer *l, void *buf, size_t len, uint64_t off,
			 unsigned ms)
{
	struct wait w;

	wait_init(&w, ms, 0);
	return stream_read(l->s, l->b, NULL, buf, len, off, &w);
}

UNUSED static int try(struct layer *l, uint64_t off)
{
	uint8_t byte;

	return try_ms(l, &byte, 1, off, 10000);
}

UNUSED static bool same(struct layer *l, size_t len, uint64_t off)
{
	uint8_t *buf = malloc(len + 1);
	bool good;

	good = try_ms(l, buf, len, off, 10000) == 0 &&
	       memcmp(buf, l->plain.v + off, len) == 0;
	free(buf);
	return good;
}

#define reads(l, len, off) assert_true(same(l, len, off))

struct reader {
	struct layer *l;
	uint64_t off;
	size_t len;
	unsigned budget_ms;
	struct wait w;
	int result;
	atomic_bool began;
	pthread_t thread;
};

UNUSED static void *reader_run(void *arg)
{
	struct reader *q = arg;
	uint8_t *buf = malloc(q->len);

	atomic_store(&q->began, true);
	q->result =
		stream_read(q->l->s, q->l->b, NULL, buf, q->len, q->off, &q->w);
	if (q->result == 0 && memcmp(buf, q->l->plain.v + q->off, q->len) != 0)
		q->result = -EILSEQ;
	free(buf);
	return NULL;
}

UNUSED static void reader_start(struct reader *q, struct layer *l, uint64_t off,
				size_t len, unsigned ms)
{
	*q = (struct reader){.l = l, .off = off, .len = len};
	wait_init(&q->w, ms, WAIT_CANCELLABLE);
	pthread_create(&q->thread, NULL, reader_run, q);
	while (!atomic_load(&q->began))
		usleep(100);
}

UNUSED static int reader_join(struct reader *q)
{
	pthread_join(q->thread, NULL);
	return q->result;
}

struct storm {
	struct layer *l;
	uint32_t seed;
	int rounds, errors;
};

UNUSED static void *storm_run(void *arg)
{
	struct storm *q = arg;

	for (int i = 0; i < q->rounds; i++) {
		uint64_t off = (uint64_t)rnd(&q->seed) * 64 + rnd(&q->seed);

		q->errors +=
			!same(q->l, 70000, off % (q->l->plain.len - 70000));
	}
	return NULL;
}

UNUSED static void storm(struct layer *l, int rounds)
{
	pthread_t threads[THREADS];
	struct storm q[THREADS];

	for (int i = 0; i < THREADS; i++) {
		q[i] = (struct storm){l, (uint32_t)i, rounds, 0};
		pthread_create(&threads[i], NULL, storm_run, &q[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(q[i].errors, 0);
	}
}
