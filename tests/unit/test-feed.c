/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds: what is hashed, what a reader behind the writer gets to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "push/feed.h"
#include "util/clock.h"
#include "util/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define KIB ((size_t)1024)
#define SPOOL_BYTES ((uint64_t)64 << 20)

static char dir[] = "/tmp/registryfs-test-XXXXXX";
static struct store *store;

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int set_up(void **state)
{
	struct store_config cfg = {.dir = dir,
				   .size_bytes = (uint64_t)1 << 30,
				   .spool_bytes = SPOOL_BYTES};

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	assert_non_null(mkdtemp(dir));
	return store_open(&cfg, &store, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	store_close(store);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct feed *begin(void)
{
	struct feed *f;

	assert_int_equal(feed_new(store, &f), 0);
	return f;
}

static uint32_t random_next(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*x >> 33);
}

static void fill(char *bytes, size_t len, unsigned seed)
{
	uint64_t x = seed;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)random_next(&x);
}

static void assert_digest(struct feed *f, enum hash_alg alg, const char *bytes,
			  size_t len)
{
	struct digest want, got;

	digest_of(alg, bytes, len, &want);
	assert_int_equal(feed_digest(f, alg, &got), 0);
	assert_true(digest_equal(&got, &want));
}

static void assert_holds(struct feed *f, const char *bytes, size_t len)
{
	char *got;
	size_t n;

	assert_int_equal(feed_size(f), len);
	assert_int_equal(feed_read_whole(f, len, &got, &n), 0);
	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
	assert_int_equal(got[n], 0);
	free(got);
	assert_digest(f, HASH_SHA256, bytes, len);
	assert_digest(f, HASH_SHA512, bytes, len);
}

static ssize_t next_at(struct feed *f, struct feed_reader *seen, char *buf,
		       size_t len, uint64_t off, uint64_t budget_ms)
{
	struct wait w;

	wait_init(&w, budget_ms, WAIT_CANCELLABLE);
	return feed_next(f, seen, buf, len, off, &w);
}

/* --- bytes and digests --- */

static void keeps_what_is_written_in_order(void **state)
{
	char bytes[100 * KIB];
	struct feed *f = begin();
	size_t n;
	char *whole;

	(void)state;
	fill(bytes, sizeof(bytes), 1);
	assert_false(feed_ended(f));
	assert_int_equal(feed_final_size(f), FEED_SIZE_UNKNOWN);
	for (size_t at = 0; at < sizeof(bytes); at += 10 * KIB)
		assert_int_equal(feed_write(f, bytes + at, 10 * KIB, at), 0);
	feed_end(f);
	assert_true(feed_ended(f));
	assert_int_equal(feed_final_size(f), sizeof(bytes));
	assert_holds(f, bytes, sizeof(bytes));
	assert_int_equal(feed_read_whole(f, sizeof(bytes) - 1, &whole, &n),
			 -EFBIG);
	feed_unref(feed_ref(f));
	feed_unref(f);
}

static void nothing_has_a_digest_too(void **state)
{
	struct feed_reader seen = {0};
	struct feed *f = begin();
	char byte;

	(void)state;
	feed_end(f);
	assert_int_equal(next_at(f, &seen, &byte, 1, 0, 1000), 0);
	assert_holds(f, "", 0);
	feed_unref(f);
}

static void hashes_by_the_algorithm_of_its_name(void **state)
{
	struct feed *f = begin();

	(void)state;
	feed_hash_by(f, HASH_SHA512);
	assert_int_equal(feed_write(f, "abc", 3, 0), 0);
	assert_holds(f, "abc", 3);
	assert_int_equal(feed_write(f, "def", 3, 3), 0);
	assert_holds(f, "abcdef", 6);
	feed_unref(f);
}

/* Whatever is done, in whatever order: it is the file that one would have. */
static void is_the_file_that_one_would_have(void **state)
{
	enum { MAX = 64 * 1024 };
	static char model[MAX], piece[MAX];
	uint64_t x = 7;

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		struct feed *f = begin();
		size_t size = 0;

		memset(model, 0, sizeof(model));
		for (unsigned op = 0; op < 30; op++) {
			size_t off = random_next(&x) % (MAX / 2);
			size_t len = random_next(&x) % (MAX / 4) + 1;

			switch (random_next(&x) % 8) {
			case 0:
				if (off < size)
					memset(model + off, 0, size - off);
				size = off;
				assert_int_equal(feed_truncate(f, off), 0);
				continue;
			case 1:
				feed_end(f);
				continue;
			case 2:
				assert_digest(f, HASH_SHA256, model, size);
				continue;
			case 3:
			case 4:
				off = size < MAX / 2 ? size : off;
				break;
			default:
				break;
			}
			fill(piece, len, random_next(&x));
			memcpy(model + off, piece, len);
			if (off + len > size)
				size = off + len;
			assert_int_equal(feed_write(f, piece, len, off), 0);
		}
		feed_end(f);
		assert_holds(f, model, size);
		feed_unref(f);
	}
}

struct part {
	struct feed *f;
	const char *bytes;
	size_t first, step, len;
};

#define PART_BYTES (16 * KIB)

static void *write_parts(void *arg)
{
	const struct part *p = arg;

	for (size_t at = p->first; at < p->len; at += p->step)
		if (feed_write(p->f, p->bytes + at, PART_BYTES, at) < 0)
			abort();
	return NULL;
}

static void takes_writes_from_several_threads(void **state)
{
	enum { LEN = 4 << 20 };
	static char bytes[LEN];
	struct feed *f = begin();
	struct part parts[4];
	pthread_t threads[4];

	(void)state;
	fill(bytes, LEN, 3);
	for (size_t i = 0; i < COUNT(parts); i++) {
		parts[i] = (struct part){f, bytes, i * PART_BYTES,
					 COUNT(parts) * PART_BYTES, LEN};
		assert_int_equal(pthread_create(&threads[i], NULL, write_parts,
						&parts[i]),
				 0);
	}
	for (size_t i = 0; i < COUNT(parts); i++)
		pthread_join(threads[i], NULL);
	feed_end(f);
	assert_holds(f, bytes, LEN);
	feed_unref(f);
}

static void a_full_spool_is_said_before_anything_is_lost(void **state)
{
	static char bytes[1 << 20];
	struct feed *f = begin();
	uint64_t off = 0;
	int r;

	(void)state;
	fill(bytes, sizeof(bytes), 4);
	while ((r = feed_write(f, bytes, sizeof(bytes), off)) == 0)
		off += sizeof(bytes);
	assert_int_equal(r, -ENOSPC);
	assert_true(off > 0 && off <= SPOOL_BYTES);
	assert_int_equal(feed_size(f), off);
	assert_int_equal(feed_truncate(f, 3), 0);
	assert_holds(f, bytes, 3);
	feed_unref(f);
}

static void sizes_have_an_end(void **state)
{
	struct feed *f = begin();

	(void)state;
	assert_int_equal(feed_write(f, "x", 1, INT64_MAX), -EFBIG);
	assert_int_equal(feed_write(f, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(feed_truncate(f, UINT64_MAX), -EFBIG);
	feed_unref(f);
}

/* --- behind the writer --- */

struct slow {
	struct feed *f;
	const char *bytes;
	size_t len;
};

static void *write_slowly(void *arg)
{
	const struct slow *s = arg;

	for (size_t at = 0; at < s->len; at += 1000) {
		size_t n = s->len - at < 1000 ? s->len - at : 1000;

		if (feed_write(s->f, s->bytes + at, n, at) < 0)
			abort();
		if (at % 16000 == 0)
			usleep(500);
	}
	feed_end(s->f);
	return NULL;
}

static void a_reader_follows_the_writer(void **state)
{
	static char bytes[500000], got[sizeof(bytes) + 1];
	struct slow s = {begin(), bytes, sizeof(bytes)};
	struct feed_reader seen = {0};
	pthread_t thread;
	size_t at = 0;
	ssize_t n;

	(void)state;
	fill(bytes, sizeof(bytes), 5);
	assert_int_equal(pthread_create(&thread, NULL, write_slowly, &s), 0);
	while ((n = next_at(s.f, &seen, got + at, sizeof(got) - at, at, 5000)) >
	       0)
		at += (size_t)n;
	pthread_join(thread, NULL);
	assert_int_equal(n, 0);
	assert_int_equal(at, sizeof(bytes));
	assert_memory_equal(got, bytes, at);
	assert_int_equal(next_at(s.f, &seen, got, 10, 100, 1000), 10);
	assert_memory_equal(got, bytes + 100, 10);
	feed_unref(s.f);
}

static void a_gap_is_nothing_until_it_is_filled_or_the_end(void **state)
{
	struct feed_reader seen = {0};
	struct feed *f = begin();
	char buf[32];

	(void)state;
	assert_int_equal(feed_write(f, "ab", 2, 0), 0);
	assert_int_equal(feed_write(f, "ij", 2, 8), 0);
	assert_int_equal(feed_write(f, "ef", 2, 4), 0);
	assert_int_equal(next_at(f, &seen, buf, sizeof(buf), 0, 1000), 2);
	assert_int_equal(next_at(f, &seen, buf, sizeof(buf), 2, 1), -ETIMEDOUT);
	assert_int_equal(feed_write(f, "cd", 2, 2), 0);
	assert_int_equal(next_at(f, &seen, buf, sizeof(buf), 2, 1000), 4);
	assert_memory_equal(buf, "cdef", 4);
	feed_end(f);
	assert_int_equal(next_at(f, &seen, buf, sizeof(buf), 6, 1000), 4);
	assert_memory_equal(buf, "\0\0ij", 4);
	assert_int_equal(next_at(f, &seen, buf, sizeof(buf), 10, 1000), 0);
	assert_holds(f, "abcdef\0\0ij", 10);
	feed_unref(f);
}

static void more_gaps_than_it_can_remember(void **state)
{
	static char bytes[200], got[200];
	struct feed_reader seen = {0};
	struct feed *f = begin();

	(void)state;
	fill(bytes, sizeof(bytes), 6);
	for (size_t i = 1; i < sizeof(bytes); i += 2)
		assert_int_equal(feed_write(f, bytes + i, 1, i), 0);
	for (size_t i = 0; i < sizeof(bytes); i += 2)
		assert_int_equal(feed_write(f, bytes + i, 1, i), 0);
	feed_end(f);
	assert_int_equal(next_at(f, &seen, got, sizeof(got), 0, 1000),
			 sizeof(got));
	assert_memory_equal(got, bytes, sizeof(got));
	assert_holds(f, bytes, sizeof(bytes));
	feed_unref(f);
}

enum change { APPEND, OVERWRITE, OVERWRITE_LATER, CUT, CUT_LATER, GROW };

/* The file has 8 bytes, the reader has had `had` of them, or the end too. */
static const struct {
	enum change change;
	unsigned had;
	bool end;
	ssize_t then;
} changes[] = {
	{APPEND, 8, false, 2},
	{APPEND, 8, true, -ESTALE},
	{APPEND, 4, true, 6},
	{OVERWRITE, 8, false, -ESTALE},
	{OVERWRITE, 4, true, -ESTALE},
	{OVERWRITE, 8, true, -ESTALE},
	{OVERWRITE, 0, true, 8},
	{OVERWRITE_LATER, 4, true, 4},
	{OVERWRITE_LATER, 8, false, -ESTALE},
	{CUT, 4, true, -ESTALE},
	{CUT, 4, false, -ESTALE},
	{CUT_LATER, 4, true, 2},
	{GROW, 8, true, -ESTALE},
	{GROW, 4, true, 6},
};

static void make_change(struct feed *f, enum change change)
{
	int r = 0;

	switch (change) {
	case APPEND:
		r = feed_write(f, "89", 2, 8);
		break;
	case OVERWRITE:
		r = feed_write(f, "x", 1, 1);
		break;
	case OVERWRITE_LATER:
		r = feed_write(f, "x", 1, 5);
		break;
	case CUT:
		r = feed_truncate(f, 2);
		break;
	case CUT_LATER:
		r = feed_truncate(f, 6);
		break;
	case GROW:
		r = feed_truncate(f, 10);
		break;
	}
	assert_int_equal(r, 0);
}

static void what_was_read_is_promised(void **state)
{
	char buf[16];

	(void)state;
	for (size_t i = 0; i < COUNT(changes); i++) {
		struct feed_reader seen = {0}, fresh = {0};
		struct feed *f = begin();
		unsigned had = changes[i].had;
		ssize_t n;

		assert_int_equal(feed_write(f, "01234567", 8, 0), 0);
		if (changes[i].end)
			feed_end(f);
		if (had > 0)
			assert_int_equal(next_at(f, &seen, buf, had, 0, 1000),
					 had);
		if (had == 8 && changes[i].end)
			assert_int_equal(next_at(f, &seen, buf, 1, 8, 1000), 0);
		make_change(f, changes[i].change);
		assert_false(feed_ended(f));
		feed_end(f);
		n = next_at(f, &seen, buf, sizeof(buf), had, 1000);
		if (n != changes[i].then)
			fail_msg("change %zu: %zd", i, n);
		/* From the beginning, all is as it is now. */
		n = next_at(f, &fresh, buf, sizeof(buf), 0, 1000);
		assert_int_equal(n, feed_size(f));
		feed_unref(f);
	}
}

/* --- waits --- */

struct waiter {
	struct feed *f;
	struct wait w;
	ssize_t result;
	int end_result;
};

static void *wait_for_more(void *arg)
{
	struct waiter *t = arg;
	struct feed_reader seen = {0};
	char byte;

	t->result = feed_next(t->f, &seen, &byte, 1, 0, &t->w);
	t->end_result = feed_wait_end(t->f, &t->w);
	return NULL;
}

static void who_waits_can_be_called_off(void **state)
{
	enum how { ABORT, INTERRUPT, BYTES, TIME } how;
	static const struct {
		ssize_t result;
		int end_result;
	} want[] = {[ABORT] = {-ECANCELED, -ECANCELED},
		    [INTERRUPT] = {-EINTR, -EINTR},
		    [BYTES] = {1, 0},
		    [TIME] = {-ETIMEDOUT, -ETIMEDOUT}};

	(void)state;
	for (how = ABORT; how <= TIME; how++) {
		struct waiter t = {.f = begin()};
		pthread_t thread;

		wait_init(&t.w, how == TIME ? 30 : 5000, WAIT_CANCELLABLE);
		assert_int_equal(
			pthread_create(&thread, NULL, wait_for_more, &t), 0);
		usleep(5000);
		if (how == ABORT)
			feed_abort(t.f);
		if (how == INTERRUPT)
			wait_interrupt(&t.w);
		if (how == BYTES) {
			assert_int_equal(feed_write(t.f, "x", 1, 0), 0);
			usleep(5000);
			feed_end(t.f);
		}
		pthread_join(thread, NULL);
		assert_int_equal(t.result, want[how].result);
		assert_int_equal(t.end_result, want[how].end_result);
		if (how == ABORT)
			assert_int_equal(feed_write(t.f, "x", 1, 0), -EIO);
		feed_unref(t.f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_is_written_in_order),
		cmocka_unit_test(nothing_has_a_digest_too),
		cmocka_unit_test(hashes_by_the_algorithm_of_its_name),
		cmocka_unit_test(is_the_file_that_one_would_have),
		cmocka_unit_test(takes_writes_from_several_threads),
		cmocka_unit_test(a_full_spool_is_said_before_anything_is_lost),
		cmocka_unit_test(sizes_have_an_end),
		cmocka_unit_test(a_reader_follows_the_writer),
		cmocka_unit_test(
			a_gap_is_nothing_until_it_is_filled_or_the_end),
		cmocka_unit_test(more_gaps_than_it_can_remember),
		cmocka_unit_test(what_was_read_is_promised),
		cmocka_unit_test(who_waits_can_be_called_off),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
