/* SPDX-License-Identifier: Apache-2.0 */
#include "content/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "content/context.h"
#include "util/clock.h"

struct thing {
	struct build build;
	atomic_int refs, runs;
	int result;
	unsigned steps, step_ms;
	atomic_int *side_by_side, *most;
	struct build *waits_for;
};

static struct thing *of(struct build *b)
{
	return container_of(b, struct thing, build);
}

static void thing_ref(struct build *b)
{
	atomic_fetch_add(&of(b)->refs, 1);
}

static void thing_unref(struct build *b)
{
	atomic_fetch_sub(&of(b)->refs, 1);
}

static void note_most(struct thing *t)
{
	int now = atomic_fetch_add(t->side_by_side, 1) + 1;
	int most = atomic_load(t->most);

	while (now > most && !atomic_compare_exchange_weak(t->most, &most, now))
		;
}

static int thing_run(struct build *b, struct wait *w)
{
	struct thing *t = of(b);
	int r = 0;

	atomic_fetch_add(&t->runs, 1);
	if (t->most)
		note_most(t);
	for (unsigned i = 0; i < t->steps && r == 0; i++) {
		w->deadline_ms = clock_ms() + 10000;
		r = wait_sleep(w, t->step_ms);
		build_progress(b, 1);
	}
	if (r == 0 && t->waits_for)
		r = build_wait(t->waits_for, w);
	if (t->most)
		atomic_fetch_sub(t->side_by_side, 1);
	return r < 0 ? r : t->result;
}

static void thing_init(struct thing *t)
{
	build_init(&t->build);
	t->build.run = thing_run;
	t->build.ref = thing_ref;
	t->build.unref = thing_unref;
}

static struct content content;

static struct builds *start(void)
{
	struct builds *bs;

	content.times.read_budget = 10000;
	assert_int_equal(builds_new(&content, &bs), 0);
	return bs;
}

static int wait_for(struct thing *t, uint64_t budget_ms)
{
	struct wait w;

	wait_init(&w, budget_ms, 0);
	return build_wait(&t->build, &w);
}

static void test_made_once(void **state)
{
	struct builds *bs = start();
	struct thing t = {.steps = 3, .step_ms = 10};

	thing_init(&t);
	assert_int_equal(build_state(&t.build), BUILD_IDLE);
	for (int i = 0; i < 5; i++)
		assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	assert_int_equal(wait_for(&t, 5000), 0);
	assert_int_equal(build_state(&t.build), BUILD_READY);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	assert_int_equal(atomic_load(&t.runs), 1);
	builds_free(bs);
	assert_int_equal(atomic_load(&t.refs), 0);
	build_done(&t.build);
}

static void test_failure_is_told(void **state)
{
	struct builds *bs = start();
	struct thing t = {.result = -EBADMSG};

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_LIGHT), 0);
	assert_int_equal(wait_for(&t, 5000), -EBADMSG);
	assert_int_equal(wait_for(&t, 5000), -EBADMSG);
	assert_int_equal(build_state(&t.build), BUILD_FAILED);
	builds_free(bs);
	build_done(&t.build);
}

/* Slower than the waiter's patience, but it goes on. */
static void test_progress_extends(void **state)
{
	struct builds *bs = start();
	struct thing t = {.steps = 8, .step_ms = 100};

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	assert_int_equal(wait_for(&t, 400), 0);
	builds_free(bs);
	build_done(&t.build);
}

static void test_no_progress_times_out(void **state)
{
	struct builds *bs = start();
	struct thing t = {.steps = 1, .step_ms = 1500};

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	assert_int_equal(wait_for(&t, 250), -ETIMEDOUT);
	/* It goes on without him. */
	assert_int_equal(wait_for(&t, 5000), 0);
	assert_int_equal(atomic_load(&t.runs), 1);
	builds_free(bs);
	build_done(&t.build);
}

static void test_progress_is_seen(void **state)
{
	struct builds *bs = start();
	struct thing t = {.steps = 4, .step_ms = 30};
	uint64_t seen = 0, last = 0;
	struct wait w;
	int rounds = 0;

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	wait_init(&w, 5000, 0);
	while (build_state(&t.build) == BUILD_RUNNING && rounds < 100) {
		assert_int_equal(build_wait_progress(&t.build, &seen, &w), 0);
		assert_true(seen >= last);
		last = seen;
		rounds++;
	}
	assert_in_range(rounds, 2, 10);
	builds_free(bs);
	build_done(&t.build);
}

#define MANY 40

static void test_heavy_ones_queue(void **state)
{
	struct builds *bs = start();
	atomic_int now = 0, most = 0;
	struct thing t[MANY] = {{.steps = 0}};
	struct thing light = {.waits_for = &t[MANY - 1].build};

	thing_init(&light);
	for (size_t i = 0; i < MANY; i++) {
		t[i].steps = 1;
		t[i].step_ms = 20;
		t[i].side_by_side = &now;
		t[i].most = &most;
		thing_init(&t[i]);
		assert_int_equal(build_start(bs, &t[i].build, BUILD_HEAVY), 0);
	}
	/* One that waits for the last of them needs no place among them. */
	assert_int_equal(build_start(bs, &light.build, BUILD_LIGHT), 0);
	assert_int_equal(wait_for(&light, 20000), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(wait_for(&t[i], 20000), 0);
	assert_in_range(atomic_load(&most), 1, 16);
	builds_free(bs);
	for (size_t i = 0; i < MANY; i++)
		build_done(&t[i].build);
	build_done(&light.build);
}

static void test_end_cancels(void **state)
{
	struct builds *bs = start();
	struct thing t = {.steps = 1000, .step_ms = 50};
	uint64_t began = clock_ms();

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	usleep(20000);
	builds_free(bs);
	assert_true(clock_ms() - began < 5000);
	assert_int_equal(build_state(&t.build), BUILD_FAILED);
	assert_int_equal(atomic_load(&t.refs), 0);
	build_done(&t.build);
}

/* Who waits for one that has no place yet waits on while the others work. */
static void test_queued_ones_wait(void **state)
{
	struct builds *bs = start();
	struct thing t[MANY] = {{.steps = 0}};

	for (size_t i = 0; i < MANY; i++) {
		t[i].steps = 6;
		t[i].step_ms = 20;
		thing_init(&t[i]);
		assert_int_equal(build_start(bs, &t[i].build, BUILD_HEAVY), 0);
	}
	assert_int_equal(wait_for(&t[MANY - 1], 400), 0);
	builds_free(bs);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(atomic_load(&t[i].refs), 0);
		build_done(&t[i].build);
	}
}

/* A dead host leaves the others places. */
static void test_hosts_share(void **state)
{
	struct builds *bs = start();
	struct thing t[MANY] = {{.steps = 0}}, other = {.steps = 1};
	uint64_t began = clock_ms();

	for (size_t i = 0; i < MANY; i++) {
		t[i].steps = 1000;
		t[i].step_ms = 50;
		thing_init(&t[i]);
		t[i].build.host = "dead.example.com";
		assert_int_equal(build_start(bs, &t[i].build, BUILD_HEAVY), 0);
	}
	thing_init(&other);
	other.build.host = "live.example.com";
	assert_int_equal(build_start(bs, &other.build, BUILD_HEAVY), 0);
	assert_int_equal(wait_for(&other, 3000), 0);
	builds_free(bs);
	assert_true(clock_ms() - began < 5000);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(build_state(&t[i].build), BUILD_FAILED);
		assert_int_equal(atomic_load(&t[i].refs), 0);
		build_done(&t[i].build);
	}
	build_done(&other.build);
}

static void test_local_work_is_waited_for(void **state)
{
	struct builds *bs = start();
	struct thing t = {.steps = 1, .step_ms = 1000};
	uint64_t seen = 0;
	struct wait w;

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	build_local(&t.build, true);
	wait_init(&w, 250, 0);
	/* Told of now and then, so that it can be passed on. */
	assert_int_equal(build_wait_progress(&t.build, &seen, &w), 0);
	assert_int_equal(build_state(&t.build), BUILD_RUNNING);
	assert_int_equal(wait_for(&t, 250), 0);
	builds_free(bs);
	build_done(&t.build);
}

static void test_spent(void **state)
{
	static const struct {
		int error;
		unsigned after_ms;
		bool spent;
	} cases[] = {{-EIO, 0, false},	      {-EIO, 1000, true},
		     {-EBADMSG, 1000, false}, {-EBADMSG, 5000, true},
		     {-EFBIG, 1000, false},   {-EFBIG, 30000, true}};
	struct builds *bs = start();
	struct thing t = {.steps = 0};

	thing_init(&t);
	assert_int_equal(build_start(bs, &t.build, BUILD_HEAVY), 0);
	assert_int_equal(wait_for(&t, 5000), 0);
	assert_false(build_spent(&t.build));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		t.build.state = BUILD_READY;
		build_spoil(&t.build, cases[i].error);
		assert_int_equal(build_state(&t.build), BUILD_FAILED);
		t.build.failed_ms -= cases[i].after_ms;
		assert_int_equal(build_spent(&t.build), cases[i].spent);
	}
	builds_free(bs);
	build_done(&t.build);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_once),
		cmocka_unit_test(test_failure_is_told),
		cmocka_unit_test(test_progress_extends),
		cmocka_unit_test(test_no_progress_times_out),
		cmocka_unit_test(test_progress_is_seen),
		cmocka_unit_test(test_heavy_ones_queue),
		cmocka_unit_test(test_end_cancels),
		cmocka_unit_test(test_queued_ones_wait),
		cmocka_unit_test(test_hosts_share),
		cmocka_unit_test(test_local_work_is_waited_for),
		cmocka_unit_test(test_spent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
