/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "content/single.h"

#define THREADS 16

struct work {
	struct single *single;
	const char *key;
	unsigned budget_ms;
	unsigned sleep_ms;
	int result;	 /* what the work itself comes to */
	atomic_int runs; /* how often it was done */
	atomic_int got[THREADS];
	atomic_int led;
};

struct thread_arg {
	struct work *work;
	int i;
};

static int do_work(void *arg, struct wait *w)
{
	struct work *k = arg;
	int r;

	atomic_fetch_add(&k->runs, 1);
	r = wait_sleep(w, k->sleep_ms);
	return r < 0 ? r : k->result;
}

static void *run_one(void *arg)
{
	struct thread_arg *a = arg;
	struct work *k = a->work;
	struct wait w;
	bool led;
	int r;

	wait_init(&w, k->budget_ms, 0);
	r = single_run(k->single, k->key, &w, do_work, k, &led);
	atomic_store(&k->got[a->i], r);
	if (led)
		atomic_fetch_add(&k->led, 1);
	return NULL;
}

static void run_all(struct work *k, int n)
{
	struct thread_arg args[THREADS];
	pthread_t threads[THREADS];

	assert_int_equal(single_new(&k->single), 0);
	for (int i = 0; i < n; i++) {
		args[i] = (struct thread_arg){k, i};
		pthread_create(&threads[i], NULL, run_one, &args[i]);
	}
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	single_free(k->single);
}

static void test_one_does_it_for_all(void **state)
{
	struct work k = {
		.key = "a", .budget_ms = 5000, .sleep_ms = 200, .result = 7};

	run_all(&k, THREADS);
	assert_int_equal(k.runs, 1);
	assert_int_equal(k.led, 1);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(k.got[i], 7);
}

static void test_failure_reaches_all(void **state)
{
	struct work k = {.key = "a",
			 .budget_ms = 5000,
			 .sleep_ms = 200,
			 .result = -EACCES};

	run_all(&k, THREADS);
	assert_int_equal(k.runs, 1);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(k.got[i], -EACCES);
}

/* The work itself says ETIMEDOUT: that is a result, not a reason to go on. */
static void test_timeout_as_result(void **state)
{
	struct work k = {.key = "a",
			 .budget_ms = 5000,
			 .sleep_ms = 200,
			 .result = -ETIMEDOUT};

	run_all(&k, 4);
	assert_int_equal(k.runs, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(k.got[i], -ETIMEDOUT);
}

struct relay {
	struct single *single;
	atomic_int runs;
	int result;
};

static int relay_work(void *arg, struct wait *w)
{
	struct relay *k = arg;

	/* The first leader runs out of patience; the next one succeeds. */
	if (atomic_fetch_add(&k->runs, 1) == 0)
		return wait_sleep(w, 10000);
	return k->result;
}

static void *relay_impatient(void *arg)
{
	struct relay *k = arg;
	struct wait w;
	bool led;

	wait_init(&w, 300, 0);
	assert_int_equal(single_run(k->single, "a", &w, relay_work, k, &led),
			 -ETIMEDOUT);
	assert_true(led);
	return NULL;
}

static void test_lead_is_handed_on(void **state)
{
	struct relay k = {.result = 3};
	pthread_t first;
	struct wait w;
	bool led;

	assert_int_equal(single_new(&k.single), 0);
	pthread_create(&first, NULL, relay_impatient, &k);
	while (atomic_load(&k.runs) == 0)
		sched_yield();
	wait_init(&w, 5000, 0);
	assert_int_equal(single_run(k.single, "a", &w, relay_work, &k, &led),
			 3);
	assert_true(led);
	pthread_join(first, NULL);
	assert_int_equal(k.runs, 2);
	single_free(k.single);
}

static void test_next_time_anew(void **state)
{
	struct work k = {.key = "a", .budget_ms = 1000, .result = 1};
	struct wait w;
	bool led;

	assert_int_equal(single_new(&k.single), 0);
	for (int i = 1; i <= 3; i++) {
		wait_init(&w, 1000, 0);
		assert_int_equal(
			single_run(k.single, "a", &w, do_work, &k, &led), 1);
		assert_true(led);
		assert_int_equal(k.runs, i);
	}
	single_free(k.single);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_does_it_for_all),
		cmocka_unit_test(test_failure_reaches_all),
		cmocka_unit_test(test_timeout_as_result),
		cmocka_unit_test(test_lead_is_handed_on),
		cmocka_unit_test(test_next_time_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
