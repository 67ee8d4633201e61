/* SPDX-License-Identifier: Apache-2.0 */
/* Many trees are held, few are open. */
#include "tree-fixture.h"

#include <sys/resource.h>

#include "store/treestate.h"
#include "util/clock.h"

#define TREES 12
#define OPEN 3

struct held {
	struct tree *v[TREES];
};

static const char *key_of(unsigned n)
{
	static _Thread_local char key[32];

	snprintf(key, sizeof(key), "layer-%u", n);
	return key;
}

static void hold_all(struct fixture *f, struct held *h)
{
	f->s->pool_max = OPEN;
	for (unsigned n = 0; n < TREES; n++) {
		seal_filled(f, key_of(n), 10 + n);
		h->v[n] = must_open(f, key_of(n));
	}
}

static void drop_all(struct held *h)
{
	for (unsigned n = 0; n < TREES; n++)
		tree_close(h->v[n]);
}

static unsigned count_open(struct held *h)
{
	unsigned open = 0;

	for (unsigned n = 0; n < TREES; n++)
		open += h->v[n]->fd >= 0;
	return open;
}

static int entries(struct tree *t)
{
	int64_t v = 0;
	int r = tree_get_int(t, "entries", &v);

	return r < 0 ? r : (int)v;
}

static void test_few_are_open(void **state)
{
	struct fixture *f = *state;
	struct held h;

	hold_all(f, &h);
	assert_int_equal(count_open(&h), OPEN);
	for (unsigned n = 0; n < 3 * TREES; n++) {
		assert_int_equal(entries(h.v[n % TREES]), 10 + n % TREES);
		assert_int_equal(count_open(&h), OPEN);
		assert_int_equal(f->s->pool_len, OPEN);
	}
	drop_all(&h);
	assert_int_equal(f->s->pool_len, 0);
}

/* One that was just sealed, too; what is being built, or in memory, does not
 * count. */
static void test_which_count(void **state)
{
	struct fixture *f = *state;
	struct tree *building, *memory;
	struct held h;

	hold_all(f, &h);
	building = must_create(f, "building");
	assert_int_equal(tree_create(f->s, "memory", true, &memory), 0);
	assert_int_equal(tree_seal(memory), 0);
	assert_int_equal(f->s->pool_len, OPEN);
	assert_int_equal(tree_seal(building), 0);
	assert_int_equal(f->s->pool_len, OPEN);
	assert_true(building->fd >= 0);
	assert_int_equal(treepool_shrink(f->s, 0, 0), OPEN);
	assert_int_equal(building->fd, -1);
	assert_int_equal(nlink_of(building, 1), 2);
	assert_int_equal(nlink_of(memory, 1), 2);
	tree_close(building);
	tree_close(memory);
	drop_all(&h);
}

static void test_idle(void **state)
{
	struct fixture *f = *state;
	struct held h;

	hold_all(f, &h);
	assert_int_equal(treepool_shrink(f->s, OPEN, 0), 0);
	assert_int_equal(treepool_shrink(f->s, OPEN, clock_ms() + 1), OPEN);
	assert_int_equal(count_open(&h), 0);
	assert_int_equal(entries(h.v[5]), 15);
	drop_all(&h);
}

/* Nobody else's tree is taken for it, and it does not come back. */
static void test_lost(void **state)
{
	struct fixture *f = *state;
	char path[400], other[400];
	struct held h;

	hold_all(f, &h);
	treepool_shrink(f->s, 0, 0);
	path_of(f, key_of(0), path);
	assert_int_equal(unlink(path), 0);
	seal_filled(f, key_of(1), 33);
	path_of(f, key_of(2), path);
	path_of(f, key_of(3), other);
	assert_int_equal(rename(path, other), 0);
	path_of(f, key_of(4), path);
	assert_int_equal(truncate(path, 4096), 0);
	for (unsigned n = 0; n < 5; n++) {
		assert_false(tree_lost(h.v[n]));
		assert_int_equal(entries(h.v[n]), -EBADMSG);
		assert_true(tree_lost(h.v[n]));
	}
	assert_int_equal(entries(h.v[5]), 15);
	/* What took its place is not removed. */
	assert_true(tree_kept(f->s, key_of(1)));
	assert_true(tree_kept(f->s, key_of(3)));
	drop_all(&h);
}

/* What was removed while it was open is read on. */
static void test_removed_while_open(void **state)
{
	struct fixture *f = *state;
	struct held h;
	char path[400];

	hold_all(f, &h);
	path_of(f, key_of(TREES - 1), path);
	assert_int_equal(unlink(path), 0);
	for (unsigned n = 0; n < 2 * TREES; n++)
		assert_int_equal(entries(h.v[n % TREES]), 10 + n % TREES);
	drop_all(&h);
}

/* Nobody has a descriptor for it now; later somebody has. */
static void test_no_descriptor(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, none;
	struct tree *t = NULL;
	struct held h;

	hold_all(f, &h);
	treepool_shrink(f->s, 0, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(entries(h.v[0]), -ENFILE);
	assert_false(tree_lost(h.v[0]));
	assert_int_equal(tree_open(f->s, key_of(0), &t), -ENFILE);
	assert_int_equal(tree_create(f->s, "new", false, &t), -ENFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(entries(h.v[0]), 10);
	drop_all(&h);
}

struct reader {
	struct fixture *f;
	struct held *h;
	unsigned seed, wrong;
};

static void *read_main(void *arg)
{
	struct reader *rd = arg;

	for (unsigned n = 0; n < 300; n++) {
		unsigned k = (n * 7 + rd->seed * 5) % TREES;
		struct tree *t = NULL;

		rd->wrong += entries(rd->h->v[k]) != (int)(10 + k);
		if (n % 16 != rd->seed)
			continue;
		rd->wrong += tree_open(rd->f->s, key_of(k), &t) < 0;
		rd->wrong += t && entries(t) != (int)(10 + k);
		tree_close(t);
	}
	return NULL;
}

/* As many threads as you like. */
static void test_at_once(void **state)
{
	struct fixture *f = *state;
	struct reader rd[4];
	pthread_t threads[4];
	struct held h;

	hold_all(f, &h);
	for (unsigned n = 0; n < 4; n++) {
		rd[n] = (struct reader){.f = f, .h = &h, .seed = n};
		assert_int_equal(
			pthread_create(&threads[n], NULL, read_main, &rd[n]),
			0);
	}
	for (unsigned n = 0; n < 4; n++) {
		pthread_join(threads[n], NULL);
		assert_int_equal(rd[n].wrong, 0);
	}
	assert_true(f->s->pool_len <= OPEN + 4);
	drop_all(&h);
	assert_int_equal(f->s->pool_len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_few_are_open),
		T(test_which_count),
		T(test_idle),
		T(test_lost),
		T(test_removed_while_open),
		T(test_no_descriptor),
		T(test_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
