/* SPDX-License-Identifier: Apache-2.0 */
#include "content/piece.h"

#include "span-fixture.h"

#define MEMBER ((size_t)100000)
#define SMALL ((size_t)700000)
#define BIG (SPAN_MAX + 1000000)
#define THREADS 6

static struct shelf shelf;
static struct bytes plain;

static int setup(void **state)
{
	shelf_open(&shelf, true, 4 * SPAN_MAX);
	plain = sample(BIG + 5000, 7);
	return 0;
}

static int setup_in_memory(void **state)
{
	shelf_open(&shelf, false, 4 * SPAN_MAX);
	plain = sample(18 * MIB, 7);
	return 0;
}

static int teardown(void **state)
{
	bytes_done(&plain);
	shelf_close(&shelf);
	shelf_remove(&shelf);
	return 0;
}

/* `bytes` bytes from `from` on of the plain ones, in one member. */
static struct tree_piece piece_of(const struct blob *b, uint64_t src_off,
				  uint64_t src_end, size_t from, size_t inner,
				  size_t bytes)
{
	struct tree_piece p = {.bytes = bytes,
			       .src_off = src_off,
			       .src_end = src_end ? src_end : blob_size(b),
			       .inner_off = inner,
			       .has_digest = true};
	struct digest d;

	digest_of(HASH_SHA256, plain.v + from + inner, bytes, &d);
	memcpy(p.digest, d.raw, sizeof(p.digest));
	return p;
}

static int try_ms(struct blob *b, enum codec c, const struct tree_piece *p,
		  void *buf, size_t len, uint64_t off, unsigned ms)
{
	struct wait w;

	wait_init(&w, ms, 0);
	return piece_read(shelf.spans, shelf.store, b, c, p, NULL, buf, len,
			  off, &w);
}

static int try(struct blob *b, enum codec c, const struct tree_piece *p)
{
	uint8_t byte;

	return try_ms(b, c, p, &byte, 1, 0, 10000);
}

/* `from`: where the piece begins in the plain bytes. */
static void reads(struct blob *b, enum codec c, const struct tree_piece *p,
		  size_t from, size_t len, uint64_t off)
{
	uint8_t *buf = malloc(len + 1);

	assert_non_null(buf);
	assert_int_equal(try_ms(b, c, p, buf, len, off, 10000), 0);
	assert_memory_equal(buf, plain.v + from + off, len);
	free(buf);
}

static void test_codecs(void **state)
{
	for (enum codec c = 0; c < CODECS; c++) {
		struct bytes tail = {.v = plain.v + MEMBER,
				     .len = plain.len - MEMBER};
		struct bytes first = {.v = plain.v, .len = MEMBER};
		struct bytes all = compress_all(c, &first, MEMBER);
		size_t second = all.len;
		struct bytes rest = compress_all(c, &tail, 300000);
		struct tree_piece p;
		struct blob *b;

		bytes_append(&all, rest.v, rest.len);
		bytes_done(&rest);
		b = blob_make(all);
		p = piece_of(b, 0, second, 0, 0, MEMBER);
		reads(b, c, &p, 0, MEMBER, 0);
		reads(b, c, &p, 0, 1, MEMBER - 1);
		/* A later one, inside its member, ending in the next. */
		p = piece_of(b, second, 0, MEMBER, 1234, SMALL);
		reads(b, c, &p, MEMBER + 1234, SMALL, 0);
		reads(b, c, &p, MEMBER + 1234, 4096, 555555);
		reads(b, c, &p, MEMBER + 1234, 0, SMALL);
		assert_in_range(b->reads, 2, 8); /* decoded once each */
		blob_unmake(b);
	}
}

static void test_bad_arguments(void **state)
{
	struct blob *b = blob_make(compress_all(CODEC_ZSTD, &plain, BIG));
	struct tree_piece p = piece_of(b, 0, 0, 0, 0, 1000);
	uint8_t buf[100];

	assert_int_equal(try_ms(b, CODEC_ZSTD, &p, buf, 1, 1000, 1000),
			 -EINVAL);
	assert_int_equal(try_ms(b, CODEC_ZSTD, &p, buf, 2, 999, 1000), -EINVAL);
	assert_int_equal(try_ms(b, CODEC_ZSTD, &p, buf, 1, UINT64_MAX, 1000),
			 -EINVAL);
	blob_unmake(b);
}

/* What a table of contents may lie about. */
static void test_lies(void **state)
{
	for (enum codec c = 0; c < CODECS; c++) {
		struct bytes some = {.v = plain.v, .len = SMALL};
		struct blob *b = blob_make(compress_all(c, &some, SMALL));
		const struct tree_piece good =
			piece_of(b, 0, 0, 0, 10, SMALL - 10);
		struct tree_piece p = good;

		reads(b, c, &good, 10, SMALL - 10, 0);
		p.digest[31] ^= 1;
		assert_int_equal(b->rejected, 0);
		assert_int_equal(try(b, c, &p), -EBADMSG);
		assert_int_equal(b->rejected, 1);
		p = good;
		p.inner_off = 9;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p = good;
		p.bytes++;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p.inner_off = UINT64_MAX;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p = good;
		p.src_end = blob_size(b) / 2;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p.src_end = 0;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p = good;
		p.src_off = blob_size(b);
		p.src_end = UINT64_MAX;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p.src_off = UINT64_MAX;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p = good;
		p.src_end = UINT64_MAX; /* only reads what is there */
		reads(b, c, &p, 10, SMALL - 10, 0);
		p = good;
		p.bytes = (uint64_t)1 << 49;
		assert_int_equal(try(b, c, &p), -EBADMSG);
		p.bytes = UINT64_MAX;
		assert_int_equal(try(b, c, &p), -EFBIG);
		blob_unmake(b);
	}
}

static void test_without_digest(void **state)
{
	size_t sizes[] = {SMALL, BIG};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct blob *b =
			blob_make(compress_all(CODEC_GZIP, &plain, plain.len));
		struct tree_piece p = piece_of(b, 0, 0, 0, 5, sizes[i]);

		p.has_digest = false;
		memset(p.digest, 0, sizeof(p.digest));
		reads(b, CODEC_GZIP, &p, 5, sizes[i], 0);
		reads(b, CODEC_GZIP, &p, 5, 10, sizes[i] - 10);
		blob_unmake(b);
	}
}

/* Damaged or held-up bytes are given to nobody, and not remembered. */
static void test_failures_pass(void **state)
{
	struct bytes some = {.v = plain.v, .len = SMALL};
	struct blob *b = blob_make(compress_all(CODEC_ZSTD, &some, SMALL));
	struct tree_piece p = piece_of(b, 0, 0, 0, 0, SMALL);
	uint8_t byte;

	b->spoil_at = blob_size(b) / 2;
	assert_int_equal(try(b, CODEC_ZSTD, &p), -EBADMSG);
	b->spoil_at = SIZE_MAX;
	b->failure = -ESTALE;
	assert_int_equal(try(b, CODEC_ZSTD, &p), -ESTALE);
	b->failure = 0;
	b->hold = true;
	assert_int_equal(try_ms(b, CODEC_ZSTD, &p, &byte, 1, 0, 20),
			 -ETIMEDOUT);
	b->hold = false;
	reads(b, CODEC_ZSTD, &p, 0, SMALL, 0);
	/* From now on without the blob. */
	b->failure = -EIO;
	reads(b, CODEC_ZSTD, &p, 0, SMALL, 0);
	blob_unmake(b);
}

/* Who names the digest of another blob's piece has to have it himself. */
static void test_no_detour(void **state)
{
	size_t sizes[] = {SMALL, BIG};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct bytes junk = {.v = NULL};
		struct blob *b, *evil;
		struct tree_piece p;

		b = blob_make(compress_all(CODEC_ZSTD, &plain, plain.len));
		bytes_append(&junk, b->bytes.v, b->bytes.len);
		memset(junk.v + 100, 'x', junk.len - 100);
		evil = blob_make(junk);
		p = piece_of(b, 0, 0, 0, 0, sizes[i]);
		reads(b, CODEC_ZSTD, &p, 0, 100, 0);
		assert_int_equal(try(evil, CODEC_ZSTD, &p), -EBADMSG);
		reads(b, CODEC_ZSTD, &p, 0, 100, 0);
		blob_unmake(b);
		blob_unmake(evil);
	}
}

static void test_big(void **state)
{
	for (enum codec c = 0; c < CODECS; c++) {
		struct blob *b = blob_make(compress_all(c, &plain, plain.len));
		struct tree_piece p = piece_of(b, 0, 0, 0, 77, BIG);
		unsigned long long got;

		reads(b, c, &p, 77, 1000, BIG - 1000);
		got = b->got;
		assert_in_range(got, 1, blob_size(b));
		reads(b, c, &p, 77, BIG, 0);
		for (size_t off = 0; off < BIG - 3000; off += 400000)
			reads(b, c, &p, 77, 3000, off);
		assert_int_equal(b->got, got); /* from the store */
		blob_unmake(b);
	}
}

static void test_big_bad_digest(void **state)
{
	struct blob *b = blob_make(compress_all(CODEC_ZSTD, &plain, plain.len));
	struct tree_piece p = piece_of(b, 0, 0, 0, 77, BIG);
	unsigned long long got;

	p.digest[0] ^= 1;
	assert_int_equal(try(b, CODEC_ZSTD, &p), -EBADMSG);
	/* And for a moment nobody tries again. */
	got = b->got;
	assert_int_equal(try(b, CODEC_ZSTD, &p), -EBADMSG);
	assert_int_equal(b->got, got);
	blob_unmake(b);
}

/* What is left of an earlier run is not believed. */
static void test_big_after_restart(void **state)
{
	struct blob *b = blob_make(compress_all(CODEC_ZSTD, &plain, plain.len));
	struct tree_piece p = piece_of(b, 0, 0, 0, 0, BIG);
	struct digest name;
	char text[DIGEST_TEXT_MAX], want[DIGEST_TEXT_MAX];
	size_t count = BIG / CHUNK_BYTES + 1;
	struct chunks *c;
	struct digest d = {.alg = HASH_SHA256};
	uint8_t *zeros = calloc(1, CHUNK_BYTES);

	memcpy(d.raw, p.digest, sizeof(p.digest));
	digest_format(&d, want);
	digest_format(&b->digest, text);
	assert_int_equal(spool_name(&name, &b->digest,
				    "piece %s: 0 to %llu, 0: %llu of %s", text,
				    (unsigned long long)blob_size(b),
				    (unsigned long long)BIG, want),
			 0);
	assert_int_equal(
		chunks_open(shelf.store, &name, (count + 1) * CHUNK_BYTES, &c),
		0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(chunks_put(c, i, zeros, CHUNK_BYTES), 0);
	chunks_close(c);
	shelf_close(&shelf);
	shelf_open(&shelf, true, 4 * SPAN_MAX);
	reads(b, CODEC_ZSTD, &p, 0, BIG, 0);
	/* The name is the one that is used. */
	assert_int_equal(
		chunks_open(shelf.store, &name, (count + 1) * CHUNK_BYTES, &c),
		0);
	assert_int_equal(chunks_present(c), count);
	chunks_close(c);
	free(zeros);
	blob_unmake(b);
}

/* A store of a few chunks: decoded again and again, and always right. */
static void test_big_without_disk(void **state)
{
	size_t bytes = 17 * MIB;
	struct blob *b = blob_make(compress_all(CODEC_ZSTD, &plain, plain.len));
	struct tree_piece p = piece_of(b, 0, 0, 0, 1, bytes);

	reads(b, CODEC_ZSTD, &p, 1, 1000, bytes - 1000);
	reads(b, CODEC_ZSTD, &p, 1, bytes, 0);
	reads(b, CODEC_ZSTD, &p, 1, 100000, 3 * MIB);
	/* The registry says something else now. */
	atomic_store(&b->spoil_at, 1000);
	assert_int_equal(try(b, CODEC_ZSTD, &p), -EBADMSG);
	blob_unmake(b);
}

/* Stored, so that only the sums can tell that a byte is not what it was. */
static void test_big_changes_its_mind(void **state)
{
	size_t bytes = 17 * MIB;
	struct bytes all = {.v = NULL};
	struct tree_piece p;
	struct blob *b;
	uint8_t byte;

	bytes_append(&all, plain.v, plain.len);
	b = blob_make(all);
	p = piece_of(b, 0, 0, 0, 0, bytes);
	reads(b, CODEC_NONE, &p, 0, 1000, bytes - 1000);
	atomic_store(&b->spoil_at, CHUNK_BYTES + 1);
	reads(b, CODEC_NONE, &p, 0, 1000, 0);
	assert_int_equal(try_ms(b, CODEC_NONE, &p, &byte, 1, CHUNK_BYTES, 1000),
			 -EBADMSG);
	reads(b, CODEC_NONE, &p, 0, 1000, 0);
	blob_unmake(b);
}

struct reader {
	struct blob *b;
	struct tree_piece p;
	uint32_t seed;
	int errors;
};

static void *reader_run(void *arg)
{
	struct reader *q = arg;
	uint8_t *buf = malloc(100000);

	for (int i = 0; i < 40; i++) {
		size_t off = ((size_t)rnd(&q->seed) * 64 + rnd(&q->seed)) %
			     (q->p.bytes - 100000);

		if (try_ms(q->b, CODEC_ZSTD, &q->p, buf, 100000, off, 10000) ||
		    memcmp(buf, plain.v + off, 100000) != 0)
			q->errors++;
	}
	free(buf);
	return NULL;
}

static void test_big_threads(void **state)
{
	struct blob *b = blob_make(compress_all(CODEC_ZSTD, &plain, plain.len));
	struct reader readers[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){.b = b,
					     .p = piece_of(b, 0, 0, 0, 0, BIG),
					     .seed = (uint32_t)i};
		pthread_create(&threads[i], NULL, reader_run, &readers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].errors, 0);
	}
	assert_in_range(b->got, 1, blob_size(b)); /* one of them for all */
	blob_unmake(b);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define M(fn) cmocka_unit_test_setup_teardown(fn, setup_in_memory, teardown)
	const struct CMUnitTest tests[] = {
		T(test_codecs),
		T(test_bad_arguments),
		T(test_lies),
		T(test_without_digest),
		T(test_failures_pass),
		T(test_no_detour),
		T(test_big),
		T(test_big_bad_digest),
		T(test_big_after_restart),
		M(test_big_without_disk),
		M(test_big_changes_its_mind),
		T(test_big_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
