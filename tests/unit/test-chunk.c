/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of a blob: any order, wrong bytes, any size, many threads. */
#include "chunk-fixture.h"

static void test_orders(void **state)
{
	static const size_t orders[][N] = {
		{0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1, 0},
		{3, 0, 6, 1, 5, 4, 2}, {1, 2, 3, 4, 5, 6, 0},
		{0, 2, 4, 6, 5, 3, 1},
	};
	struct fixture *f = *state;

	for (size_t k = 0; k < sizeof(orders) / sizeof(*orders); k++) {
		struct chunks *c = open_blob(f);

		for (size_t i = 0; i < N; i++) {
			assert_false(chunks_ready(c, orders[k][i], false));
			assert_false(chunks_verified(c));
			assert_int_equal(chunks_present(c), i);
			assert_int_equal(put(c, f->bytes, orders[k][i]), 0);
			assert_true(chunks_ready(c, orders[k][i], false));
			assert_int_equal(chunks_ready(c, orders[k][i], true),
					 i == N - 1);
			assert_int_equal(put(c, f->bytes, orders[k][i]), 0);
		}
		assert_true(chunks_verified(c));
		assert_int_equal(chunks_present(c), chunks_count(c));
		check_all(c, f->bytes, true);
		chunks_close(c);
		/* Begin again as if never seen. */
		pthread_mutex_lock(&f->s->saving);
		chunk_release_idle(f->s, 0, true);
		pthread_mutex_unlock(&f->s->saving);
		assert_int_equal(blob_forget(f->s, &f->d), 0);
		assert_int_equal(unlink(f->path), 0);
	}
}

static void test_wrong_digest(void **state)
{
	static const size_t orders[][N] = {
		{0, 1, 2, 3, 4, 5, 6},
		{3, 0, 6, 1, 5, 4, 2},
		{6, 5, 4, 3, 2, 1, 0},
	};
	struct fixture *f = *state;

	for (size_t k = 0; k < sizeof(orders) / sizeof(*orders); k++) {
		for (size_t bad = 0; bad < N; bad += 3) {
			struct chunks *c = open_blob(f);
			uint8_t *wrong = malloc(SIZE);

			memcpy(wrong, f->bytes, SIZE);
			wrong[bad * CHUNK_BYTES + 77] ^= 1;
			for (size_t i = 0; i < N - 1; i++)
				assert_int_equal(put(c, wrong, orders[k][i]),
						 0);
			assert_int_equal(put(c, wrong, orders[k][N - 1]),
					 -EBADMSG);
			assert_true(chunks_failed(c));
			assert_false(chunks_verified(c));
			assert_int_equal(chunks_present(c), 0);
			for (size_t i = 0; i < N; i++)
				assert_false(chunks_ready(c, i, false));
			assert_int_equal(chunks_read(c, wrong, 1, 0), -ENODATA);
			/* What comes late is not taken for a new attempt. */
			assert_int_equal(put(c, wrong, 0), -EBADMSG);
			assert_int_equal(chunks_present(c), 0);
			chunks_clear_failed(c);
			assert_false(chunks_failed(c));
			free(wrong);
			if (bad == 3)
				put_all(c, f->bytes);
			assert_int_equal(chunks_drop(c), 0);
			/* Forget the states again. */
			chunks_close(c);
			store_close(f->s);
			remove_tree(f->cfg.dir);
			open_store(f);
		}
	}
}

static void test_reject(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);
	uint8_t *wrong = malloc(SIZE);

	memcpy(wrong, f->bytes, SIZE);
	wrong[77] ^= 1;
	for (size_t i = 0; i < N - 1; i++)
		assert_int_equal(put(c, wrong, i), 0);
	chunks_reject(c);
	assert_false(chunks_failed(c));
	assert_int_equal(chunks_present(c), 0);
	/* What was hashed of the wrong bytes is forgotten, too. */
	put_all(c, f->bytes);
	assert_true(chunks_verified(c));
	/* What is proven cannot be talked away. */
	chunks_reject(c);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), N);
	free(wrong);
	chunks_close(c);
}

static void test_refused_after_drop(void **state)
{
	struct fixture *f = *state;
	enum hash_alg algs[] = {HASH_SHA256, HASH_SHA512};
	uint8_t *wrong = malloc(SIZE);

	for (size_t k = 0; k < 2; k++) {
		struct chunks *c;

		digest_of(algs[k], f->bytes, SIZE, &f->d);
		c = open_blob(f);
		put_all(c, f->bytes);
		assert_int_equal(chunks_drop(c), 0);
		assert_true(chunks_verified(c));
		assert_int_equal(chunks_present(c), 0);
		for (int restart = 0; restart < 2; restart++) {
			for (size_t i = 0; i < N; i++) {
				memcpy(wrong, f->bytes, SIZE);
				wrong[(i + 1) * CHUNK_BYTES > SIZE
					      ? SIZE - 1
					      : (i + 1) * CHUNK_BYTES - 1] ^= 8;
				assert_int_equal(put(c, wrong, i), -EBADMSG);
				assert_false(chunks_ready(c, i, false));
				assert_false(chunks_failed(c));
				assert_int_equal(put(c, f->bytes, i), 0);
				assert_true(chunks_ready(c, i, true));
			}
			check_all(c, f->bytes, true);
			assert_int_equal(chunks_drop(c), 0);
			chunks_close(c);
			reopen(f);
			c = open_blob(f);
			assert_true(chunks_verified(c));
		}
		chunks_close(c);
	}
	free(wrong);
}

/* A prefix that cannot be told right or wrong does not block for ever. */
static void test_unverified_mismatch(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);
	uint8_t *wrong = malloc(SIZE);

	memcpy(wrong, f->bytes, SIZE);
	wrong[5] ^= 1;
	assert_int_equal(put(c, wrong, 0), 0);
	assert_int_equal(put(c, wrong, 1), 0);
	assert_int_equal(chunks_drop(c), 0);
	assert_int_equal(put(c, f->bytes, 0), -EBADMSG);
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);
	free(wrong);
}

static void test_sizes(void **state)
{
	static const uint64_t sizes[] = {1,
					 63,
					 CHUNK_BYTES - 1,
					 CHUNK_BYTES,
					 CHUNK_BYTES + 1,
					 2 * CHUNK_BYTES};
	struct fixture *f = *state;
	struct chunks *c = NULL, *again = NULL;
	struct digest d;
	uint8_t b = 0;

	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		digest_of(HASH_SHA512, f->bytes, sizes[k], &d);
		assert_int_equal(chunks_open(f->s, &d, sizes[k], &c), 0);
		assert_int_equal(chunks_size(c), sizes[k]);
		assert_int_equal(chunks_count(c),
				 (sizes[k] + CHUNK_BYTES - 1) / CHUNK_BYTES);
		assert_int_equal(chunks_put(c, chunks_count(c), &b, 1),
				 -EINVAL);
		assert_int_equal(chunks_put(c, 0, f->bytes, CHUNK_BYTES + 1),
				 -EINVAL);
		assert_int_equal(chunks_put(c, 0, f->bytes, 0), -EINVAL);
		put_all(c, f->bytes);
		check_all(c, f->bytes, true);
		/* One object per digest, of one size. */
		assert_int_equal(chunks_open(f->s, &d, sizes[k] + 1, &again),
				 -EBADMSG);
		assert_int_equal(chunks_open(f->s, &d, sizes[k], &again), 0);
		assert_ptr_equal(c, again);
		chunks_close(again);
		chunks_close(c);
	}
	/* Nothing is right, or not, from the start. */
	digest_of(HASH_SHA256, "", 0, &d);
	assert_int_equal(chunks_open(f->s, &d, 0, &c), 0);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), chunks_count(c));
	assert_false(chunks_failed(c));
	assert_int_equal(chunks_read(c, &b, 1, 0), 0);
	chunks_close(c);
	d.raw[0] ^= 1;
	assert_int_equal(chunks_open(f->s, &d, 0, &c), 0);
	chunks_clear_failed(c);
	assert_true(chunks_failed(c));
	assert_false(chunks_verified(c));
	chunks_close(c);
}

static void test_other_size_later(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = NULL;

	/* Unverified: who comes later may be right. */
	assert_int_equal(chunks_open(f->s, &f->d, SIZE + 1, &c), 0);
	assert_int_equal(chunks_put(c, 0, f->bytes, CHUNK_BYTES), 0);
	chunks_close(c);
	reopen(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 0);
	put_all(c, f->bytes);
	chunks_close(c);
	reopen(f);
	assert_int_equal(f->s->bytes, SIZE);
	assert_int_equal(chunks_open(f->s, &f->d, SIZE + 1, &c), -EBADMSG);
	assert_int_equal(chunks_open(f->s, &f->d, UINT64_MAX, &c), -EFBIG);
}

static void test_huge(void **state)
{
	struct fixture *f = *state;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	uint64_t size = (uint64_t)50 << 30;
	size_t last = (size_t)(size / CHUNK_BYTES) - 1;
	struct chunks *c = NULL;
	uint8_t buf[8];

	assert_int_equal(chunks_open(f->s, &f->d, size, &c), 0);
	assert_int_equal(chunks_put(c, last, f->bytes, CHUNK_BYTES), 0);
	assert_int_equal(chunks_put(c, 0, f->bytes, CHUNK_BYTES), 0);
	assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before <
		    10 * MIB);
	chunks_close(c);
	reopen(f);
	assert_int_equal(chunks_open(f->s, &f->d, size, &c), 0);
	assert_true(chunks_ready(c, last, false));
	assert_int_equal(chunks_read(c, buf, 8, size - 8), 8);
	assert_memory_equal(buf, f->bytes + CHUNK_BYTES - 8, 8);
	chunks_close(c);

	f->d.raw[0] ^= 1;
	size = (uint64_t)1 << 50;
	assert_int_equal(chunks_open(f->s, &f->d, size, &c), 0);
	assert_int_equal(chunks_put(c, 0, f->bytes, CHUNK_BYTES), 0);
	assert_false(chunks_ready(c, chunks_count(c) - 1, false));
	chunks_close(c);
}

/* States that lie in more than one segment (1 GiB each). */
static void test_segments(void **state)
{
	size_t per = SEGMENT_CHUNKS, n = per + 3;
	struct chunkmap m;
	struct digest d = {.alg = HASH_SHA256};
	uint8_t v[HASH_STATE_MAX] = {0};
	struct fixture *f = *state;
	struct chunks *c = NULL;

	assert_int_equal(chunkmap_init(&m, &d, n * CHUNK_BYTES), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(chunkmap_prepare(&m, i + 1, true), 0);
		memcpy(v, &i, sizeof(i));
		chunkmap_advance(&m, v);
	}
	assert_true(chunkmap_verified(&m));
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(chunkmap_state(&m, i + 1), &i, sizeof(i));
	assert_int_equal(chunkmap_states_in(&m, 0), per);
	assert_int_equal(chunkmap_states_in(&m, 1), 4);
	chunkmap_done(&m);

	/* Through the database: put there by hand, with the right end. */
	f->d.raw[3] ^= 1;
	assert_int_equal(chunks_open(f->s, &f->d, n * CHUNK_BYTES, &c), 0);
	pthread_mutex_lock(&f->s->lock);
	for (size_t i = 0; i < n; i++) {
		chunkmap_prepare(&c->map, i + 1, true);
		memcpy(v, &i, sizeof(i));
		chunkmap_advance(&c->map, i == n - 1 ? f->d.raw : v);
	}
	c->dirty = true;
	pthread_mutex_unlock(&f->s->lock);
	chunks_close(c);
	reopen(f);
	assert_int_equal(chunks_open(f->s, &f->d, n * CHUNK_BYTES, &c), 0);
	assert_true(chunks_verified(c));
	for (size_t i = 0; i < n - 1; i++)
		assert_memory_equal(chunkmap_state(&c->map, i + 1), &i,
				    sizeof(i));
	chunks_close(c);
}

#define THREADS 8
#define HN 24 /* chunks of their blob */
#define HROUNDS 120

struct hammer {
	struct fixture *f;
	struct chunks *c;
	const uint8_t *bytes;
	unsigned int seed;
	atomic_int *wrong;
};

static void hammer_read(struct hammer *h, size_t i)
{
	static _Thread_local uint8_t buf[2 * CHUNK_BYTES];
	size_t n = 1 + (size_t)rand_r(&h->seed) % (CHUNK_BYTES + 1000);
	uint64_t off = i * CHUNK_BYTES + (size_t)rand_r(&h->seed) % CHUNK_BYTES;
	ssize_t r = chunks_read(h->c, buf, n, off);

	if (r < 0) {
		if (r != -ENODATA)
			atomic_fetch_add(h->wrong, 1);
		return;
	}
	if (memcmp(buf, h->bytes + off, (size_t)r) != 0)
		atomic_fetch_add(h->wrong, 1);
}

static void *hammer(void *arg)
{
	struct hammer *h = arg;

	for (int k = 0; k < HROUNDS; k++) {
		size_t i = (size_t)rand_r(&h->seed) % HN;
		int what = rand_r(&h->seed) % 100;

		if (what < 55) {
			if (put(h->c, h->bytes, i) != 0)
				atomic_fetch_add(h->wrong, 1);
		} else if (what < 90) {
			if (chunks_ready(h->c, i, what & 1))
				hammer_read(h, i);
			/* Never whole and not known to be right. */
			if (chunks_present(h->c) == chunks_count(h->c) &&
			    !chunks_verified(h->c))
				atomic_fetch_add(h->wrong, 1);
		} else if (what < 94) {
			evict_to(h->f->s, HN / 2 * CHUNK_BYTES, UINT32_MAX,
				 what & 1);
		} else if (what < 96) {
			store_maintain(h->f->s);
		} else if (what < 97) {
			chunks_drop(h->c);
		} else {
			struct chunks *c = NULL;

			if (chunks_open(h->f->s, &h->c->digest,
					chunks_size(h->c), &c) != 0)
				atomic_fetch_add(h->wrong, 1);
			chunks_touch(c);
			chunks_close(c);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	size_t size = HN * CHUNK_BYTES - 999;
	uint8_t *bytes = malloc(size + 2 * CHUNK_BYTES);
	struct hammer h[THREADS];
	pthread_t t[THREADS];
	struct chunks *c = NULL;
	atomic_int wrong = 0;
	struct digest d;

	fill(bytes, size, 5);
	digest_of(HASH_SHA256, bytes, size, &d);
	assert_int_equal(store_start(f->s), 0);
	assert_int_equal(chunks_open(f->s, &d, size, &c), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		h[i] = (struct hammer){f, c, bytes, i + 1, &wrong};
		assert_int_equal(pthread_create(&t[i], NULL, hammer, &h[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(wrong, 0);
	for (size_t i = 0; i < HN; i++)
		assert_int_equal(put(c, bytes, i), 0);
	assert_true(chunks_verified(c));
	check_all(c, bytes, true);
	assert_int_equal(f->s->bytes, size);
	assert_int_equal(c->file_bytes, size);
	chunks_close(c);
	reopen(f);
	assert_int_equal(f->s->bytes, size);
	assert_int_equal(chunks_open(f->s, &d, size, &c), 0);
	check_all(c, bytes, true);
	chunks_close(c);
	free(bytes);
}

/* All put at once, one of them wrong: nobody may be told that it is whole. */
static void *put_some(void *arg)
{
	struct hammer *h = arg;

	for (size_t k = 0; k < HN; k += 1) {
		size_t i = (k * 7 + h->seed * 3) % HN;
		int r = put(h->c, h->bytes, i);

		if (r != 0 && r != -EBADMSG)
			atomic_fetch_add(h->wrong, 1);
		if (chunks_present(h->c) == chunks_count(h->c))
			atomic_fetch_add(h->wrong, 1);
	}
	return NULL;
}

static void test_threads_wrong(void **state)
{
	struct fixture *f = *state;
	size_t size = HN * CHUNK_BYTES - 999;
	uint8_t *bytes = malloc(size);
	struct hammer h[THREADS];
	pthread_t t[THREADS];
	struct chunks *c = NULL;
	atomic_int wrong = 0;
	struct digest d;

	fill(bytes, size, 6);
	digest_of(HASH_SHA256, bytes, size, &d);
	bytes[size / 2] ^= 4;
	log_set_level((enum log_level) - 1);
	assert_int_equal(chunks_open(f->s, &d, size, &c), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		h[i] = (struct hammer){f, c, bytes, i + 1, &wrong};
		assert_int_equal(pthread_create(&t[i], NULL, put_some, &h[i]),
				 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(chunks_failed(c));
	assert_true(chunks_present(c) < chunks_count(c));
	bytes[size / 2] ^= 4;
	chunks_clear_failed(c);
	assert_int_equal(chunks_drop(c), 0);
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < HN; i++)
			put(c, bytes, i);
	}
	assert_true(chunks_verified(c));
	check_all(c, bytes, true);
	chunks_close(c);
	free(bytes);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_orders),
		T(test_wrong_digest),
		T(test_refused_after_drop),
		T(test_unverified_mismatch),
		T(test_sizes),
		T(test_reject),
		T(test_other_size_later),
		T(test_huge),
		T(test_segments),
		T(test_threads),
		T(test_threads_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
