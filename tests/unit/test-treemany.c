/* SPDX-License-Identifier: Apache-2.0 */
/* Trees that are larger than the cache of pages, and read while they grow. */
#include "tree-fixture.h"

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* gcc says it by macros, clang by features. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||           \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MANY 30000
#define MANY_KIB (1 << 20)
#else
#define MANY 250000
#define MANY_KIB (16 << 10)
#endif

/* More than the cache of pages holds: written out and read back meanwhile. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	long before = resident_kib();
	struct tree_inode i;
	char name[32];

	fill(t, MANY);
	assert_true(resident_kib() - before < MANY_KIB);
	for (unsigned k = 0; k < MANY; k += 777) {
		assert_int_equal(tree_get(t, 2 + k + k / 10 + 1, &i), 0);
		assert_int_equal(i.uid, k);
	}
	assert_int_equal(tree_seal(t), 0);
	assert_true(tree_bytes(t) < (uint64_t)MANY * 100);
	tree_close(t);
	t = must_open(f, KEY);
	assert_int_equal(nlink_of(t, 1), 2 + MANY / 10);
	for (unsigned k = 0; k < MANY; k += 777) {
		snprintf(name, sizeof(name), "f%u", k);
		assert_int_equal(tree_find(t, 2 + (k / 10) * 11, name, &i), 0);
		assert_int_equal(i.uid, k);
		assert_int_equal(i.data_off, (uint64_t)k << 20);
	}
	tree_close(t);
}

struct reader {
	struct tree *t;
	atomic_bool stop;
	atomic_uint seen;
};

static void *read_on(void *arg)
{
	struct reader *rd = arg;
	struct tree_name *v = NULL;
	size_t len = 0, last = 0;
	struct tree_inode i;

	while (!atomic_load(&rd->stop)) {
		if (tree_list(rd->t, 1, NULL, SIZE_MAX, &v, &len) < 0)
			abort();
		if (len < last)
			abort();
		last = len;
		for (size_t n = 0; n < len; n += 50) {
			if (tree_find(rd->t, 1, v[n].name, &i) < 0 ||
			    i.ino != v[n].ino || !S_ISDIR(i.mode))
				abort();
		}
		tree_names_free(v, len);
		atomic_fetch_add(&rd->seen, 1);
	}
	return NULL;
}

static void test_read_while_building(void **state)
{
	struct fixture *f = *state;
	struct reader rd = {.t = must_create(f, KEY)};
	pthread_t threads[2];
	unsigned seen;

	for (size_t n = 0; n < 2; n++)
		assert_int_equal(
			pthread_create(&threads[n], NULL, read_on, &rd), 0);
	fill(rd.t, 5000);
	assert_int_equal(tree_seal(rd.t), 0);
	/* And some more of the sealed one. */
	seen = atomic_load(&rd.seen);
	while (atomic_load(&rd.seen) < seen + 4)
		usleep(1000);
	atomic_store(&rd.stop, true);
	for (size_t n = 0; n < 2; n++)
		pthread_join(threads[n], NULL);
	assert_int_equal(nlink_of(rd.t, 1), 502);
	tree_close(rd.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_many),
		T(test_read_while_building),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
