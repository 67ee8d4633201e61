/* SPDX-License-Identifier: Apache-2.0 */
#include "content/span.h"

#include "span-fixture.h"

#define THREADS 12
#define LEN 1000

static struct spans *spans;

static int setup(void **state)
{
	assert_int_equal(spans_new(10 * LEN, &spans), 0);
	return 0;
}

static int teardown(void **state)
{
	spans_free(spans);
	return 0;
}

/* What a maker does, and how often it was asked. */
struct job {
	int key;
	unsigned sleep_ms,
		rounds; /* so many sleeps, progress told after each */
	int result;
	bool quiet; /* tells of no progress */
	atomic_int made;
	atomic_bool hold;
};

static int make(void *arg, uint8_t *buf, size_t len, struct wait *w)
{
	struct job *j = arg;
	int r = 0;

	atomic_fetch_add(&j->made, 1);
	while (atomic_load(&j->hold) && r == 0)
		r = wait_sleep(w, 1);
	for (unsigned i = 0; i < j->rounds && r == 0; i++) {
		struct wait own;

		wait_init(&own, 10000, 0);
		r = wait_sleep(&own, j->sleep_ms);
		if (!j->quiet)
			span_gets_on(spans, &j->key, sizeof(j->key), len);
	}
	if (r < 0 || j->result < 0)
		return r < 0 ? r : j->result;
	memset(buf, j->key, len);
	return 0;
}

static int get(struct job *j, size_t len, unsigned budget_ms)
{
	struct span *sp;
	struct wait w;
	int r;

	wait_init(&w, budget_ms, 0);
	r = span_get(spans, &j->key, sizeof(j->key), len, make, j, &w, &sp);
	if (r < 0)
		return r;
	for (size_t i = 0; i < len; i++)
		assert_int_equal(span_bytes(sp)[i], j->key);
	span_put(spans, sp);
	return 0;
}

static void test_made_once(void **state)
{
	struct job a = {.key = 1}, b = {.key = 2};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(get(&a, LEN, 1000), 0);
		assert_int_equal(get(&b, LEN, 1000), 0);
	}
	assert_int_equal(a.made, 1);
	assert_int_equal(b.made, 1);
	/* Another length is another span. */
	assert_int_equal(get(&a, LEN - 1, 1000), 0);
	assert_int_equal(a.made, 2);
}

static void test_least_recently_used_goes(void **state)
{
	struct job jobs[11];

	for (int i = 0; i < 11; i++)
		jobs[i] = (struct job){.key = i + 1};
	for (int i = 0; i < 10; i++)
		assert_int_equal(get(&jobs[i], LEN, 1000), 0);
	assert_int_equal(get(&jobs[0], LEN, 1000), 0);
	assert_int_equal(get(&jobs[10], LEN, 1000), 0); /* takes 1's place */
	assert_int_equal(get(&jobs[0], LEN, 1000), 0);
	assert_int_equal(jobs[0].made, 1);
	assert_int_equal(get(&jobs[1], LEN, 1000), 0);
	assert_int_equal(jobs[1].made, 2);
	assert_int_equal(get(&jobs[10], LEN, 1000), 0);
	assert_int_equal(jobs[10].made, 1);
}

/* What came to nothing takes no room. */
static void test_failures_are_not_kept(void **state)
{
	struct job bad = {.key = 99, .result = -EIO}, jobs[10];

	for (int i = 0; i < 20; i++)
		assert_int_equal(get(&bad, LEN, 1000), -EIO);
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < 10; i++) {
			if (k == 0)
				jobs[i] = (struct job){.key = i + 1};
			assert_int_equal(get(&jobs[i], LEN, 1000), 0);
			assert_int_equal(jobs[i].made, 1);
		}
	assert_int_equal(bad.made, 20);
}

/* Larger than all there may be: served, not kept. */
static void test_too_large_to_keep(void **state)
{
	struct job a = {.key = 1}, b = {.key = 2};

	assert_int_equal(get(&b, LEN, 1000), 0);
	assert_int_equal(get(&a, 11 * LEN, 1000), 0);
	assert_int_equal(get(&a, 11 * LEN, 1000), 0);
	assert_int_equal(a.made, 2);
	assert_int_equal(get(&b, LEN, 1000), 0);
	assert_int_equal(b.made, 2); /* went to make room */
}

static void test_in_use_stays(void **state)
{
	struct span *held[12];
	struct job jobs[12];
	struct wait w;

	wait_init(&w, 1000, 0);
	for (int i = 0; i < 12; i++) {
		jobs[i] = (struct job){.key = i + 1};
		assert_int_equal(span_get(spans, &jobs[i].key,
					  sizeof(jobs[i].key), LEN, make,
					  &jobs[i], &w, &held[i]),
				 0);
	}
	for (int i = 0; i < 12; i++)
		assert_int_equal(span_bytes(held[i])[LEN - 1], i + 1);
	for (int i = 0; i < 12; i++)
		span_put(spans, held[i]);
	/* The two that were too much are gone, the first to come idle. */
	for (int i = 11; i >= 0; i--)
		assert_int_equal(get(&jobs[i], LEN, 1000), 0);
	assert_int_equal(jobs[11].made, 1);
	assert_int_equal(jobs[2].made, 1);
	assert_int_equal(jobs[1].made, 2);
	assert_int_equal(jobs[0].made, 2);
}

struct crowd {
	struct job *job;
	unsigned budget_ms;
	int results[THREADS];
	struct member {
		struct crowd *crowd;
		int i;
	} members[THREADS];
	pthread_t threads[THREADS];
};

static void *crowd_member(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;

	c->results[m->i] = get(c->job, LEN, c->budget_ms);
	return NULL;
}

static void crowd_start(struct crowd *c, struct job *j, unsigned budget_ms)
{
	c->job = j;
	c->budget_ms = budget_ms;
	for (int i = 0; i < THREADS; i++) {
		c->members[i] = (struct member){c, i};
		pthread_create(&c->threads[i], NULL, crowd_member,
			       &c->members[i]);
	}
}

static int crowd_join(struct crowd *c, int result)
{
	int n = 0;

	for (int i = 0; i < THREADS; i++)
		pthread_join(c->threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		n += c->results[i] == result;
	return n;
}

static void wait_made(struct job *j, int n)
{
	while (atomic_load(&j->made) < n)
		usleep(500);
}

static void test_one_maker(void **state)
{
	struct job j = {.key = 3, .hold = true};
	struct crowd c;

	crowd_start(&c, &j, 5000);
	wait_made(&j, 1);
	usleep(20000);
	atomic_store(&j.hold, false);
	assert_int_equal(crowd_join(&c, 0), THREADS);
	assert_int_equal(j.made, 1);
}

static void test_failure_reaches_waiters_once(void **state)
{
	struct job j = {.key = 3, .hold = true, .result = -EBADMSG};
	struct crowd c;

	crowd_start(&c, &j, 5000);
	wait_made(&j, 1);
	usleep(50000);
	atomic_store(&j.hold, false);
	assert_int_equal(crowd_join(&c, -EBADMSG), THREADS);
	assert_in_range(j.made, 1, 3); /* latecomers try again */
	j.result = 0;
	assert_int_equal(get(&j, LEN, 1000), 0);
}

static void *impatient(void *arg)
{
	assert_int_equal(get(arg, LEN, 50), -ETIMEDOUT);
	return NULL;
}

/* A maker whose own time is up leaves the lead to who waits. */
static void test_lead_is_handed_on(void **state)
{
	struct job j = {.key = 3, .hold = true};
	pthread_t first;
	struct crowd c;

	pthread_create(&first, NULL, impatient, &j);
	wait_made(&j, 1);
	crowd_start(&c, &j, 5000);
	pthread_join(first, NULL);
	wait_made(&j, 2);
	atomic_store(&j.hold, false);
	assert_int_equal(crowd_join(&c, 0), THREADS);
	assert_int_equal(j.made, 2);
}

static void *waiter(void *arg)
{
	struct member *m = arg;

	m->i = get(m->crowd->job, LEN, 160);
	return NULL;
}

/* Waiting is prolonged while the maker gets on, and only then. */
static void test_patience(void **state)
{
	for (int quiet = 0; quiet < 2; quiet++) {
		struct job j = {.key = 3 + quiet,
				.sleep_ms = 40,
				.rounds = 8,
				.quiet = quiet};
		struct crowd c = {.job = &j};
		struct member m = {.crowd = &c};
		pthread_t maker, second;
		struct member first = {.crowd = &c};

		pthread_create(&maker, NULL, waiter, &first);
		wait_made(&j, 1);
		pthread_create(&second, NULL, waiter, &m);
		pthread_join(second, NULL);
		pthread_join(maker, NULL);
		assert_int_equal(m.i, quiet ? -ETIMEDOUT : 0);
		assert_int_equal(first.i, 0);
		assert_int_equal(j.made, 1);
	}
}

static void *storm(void *arg)
{
	struct job *jobs = arg;
	uint32_t seed = (uint32_t)(uintptr_t)&seed;

	for (int i = 0; i < 3000; i++) {
		uint32_t k = rnd(&seed) % 20;
		int want = jobs[k].result;

		assert_int_equal(get(&jobs[k], LEN, 5000), want);
	}
	return NULL;
}

static void test_storm(void **state)
{
	pthread_t threads[THREADS];
	struct job jobs[20];

	for (int i = 0; i < 20; i++)
		jobs[i] = (struct job){.key = i + 1,
				       .result = i % 7 == 6 ? -EIO : 0};
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, storm, jobs);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void test_ids_and_keys(void **state)
{
	char key[SPAN_KEY_MAX + 1] = {0};
	struct job j = {.key = 1};
	struct span *sp;
	struct wait w;

	assert_true(spans_next_id(spans) != spans_next_id(spans));
	wait_init(&w, 1000, 0);
	assert_int_equal(
		span_get(spans, key, sizeof(key), LEN, make, &j, &w, &sp),
		-EINVAL);
	assert_int_equal(
		span_get(spans, key, sizeof(key) - 1, LEN, make, &j, &w, &sp),
		0);
	span_put(spans, sp);
	span_put(spans, NULL);
	span_gets_on(spans, key, 3, 9); /* nobody */
	spans_free(NULL);
}

/* --- made in parts --- */

struct part_job {
	int key;
	size_t fail_from; /* no byte from here on can be made; 0: all can */
	int failure;
	atomic_int made;
};

static atomic_int continued, dropped;

static void part_drop(void *more)
{
	atomic_fetch_add(&dropped, 1);
	free(more);
}

static uint8_t part_byte(const struct part_job *j, size_t i)
{
	return (uint8_t)((size_t)j->key * 7 + i);
}

static int part_make(void *arg, struct span_work *k, size_t want,
		     struct wait *w)
{
	struct part_job *j = arg;
	size_t *at = k->more;
	int r = 0;

	(void)w;
	atomic_fetch_add(&j->made, 1);
	if (at)
		atomic_fetch_add(&continued, 1);
	else
		at = calloc(1, sizeof(*at));
	assert_non_null(at);
	assert_int_equal(*at, k->done);
	for (; k->done < want && r == 0; k->done += r == 0) {
		if (j->fail_from && k->done >= j->fail_from)
			r = j->failure;
		else
			k->bytes[k->done] = part_byte(j, k->done);
	}
	*at = k->done;
	k->more = k->done < k->len && k->done > 0 ? at : NULL;
	if (!k->more)
		free(at);
	return r;
}

static int get_part(struct part_job *j, size_t until)
{
	const struct span_maker m = {
		.make = part_make, .drop = part_drop, .arg = j};
	const struct span_want want = {.key = &j->key,
				       .key_len = sizeof(j->key),
				       .len = LEN,
				       .until = until};
	struct span *sp;
	struct wait w;
	int r;

	wait_init(&w, 10000, 0);
	r = span_get_until(spans, &want, &m, &w, &sp);
	if (r < 0)
		return r;
	for (size_t i = 0; i < until; i++)
		assert_int_equal(span_bytes(sp)[i], part_byte(j, i));
	span_put(spans, sp);
	return 0;
}

static void test_parts(void **state)
{
	struct part_job j = {.key = 1};

	assert_int_equal(get_part(&j, 100), 0);
	assert_int_equal(get_part(&j, 100), 0);
	assert_int_equal(get_part(&j, 1), 0);
	assert_int_equal(j.made, 1);
	assert_int_equal(get_part(&j, LEN), 0);
	assert_int_equal(get_part(&j, 500), 0);
	assert_int_equal(j.made, 2);
	assert_int_equal(continued, 1);
}

/* A part is as much in the way of others as the whole. */
static void test_part_goes(void **state)
{
	struct part_job j = {.key = 1};

	atomic_store(&dropped, 0);
	assert_int_equal(get_part(&j, 10), 0);
	for (int key = 100; key < 110; key++) {
		struct job other = {.key = key};

		assert_int_equal(get(&other, LEN, 1000), 0);
	}
	assert_int_equal(dropped, 1);
	assert_int_equal(get_part(&j, 10), 0);
	assert_int_equal(j.made, 2);
	spans_forget(spans);
	assert_int_equal(dropped, 2);
}

/* What there is can be had, whatever is wrong behind it. */
static void test_part_fails(void **state)
{
	struct part_job j = {.key = 1, .fail_from = 300, .failure = -EIO};

	assert_int_equal(get_part(&j, 200), 0);
	assert_int_equal(get_part(&j, 400), -EIO);
	assert_int_equal(get_part(&j, 300), 0); /* made anew */
	assert_int_equal(j.made, 3);
	j.fail_from = 0;
	assert_int_equal(get_part(&j, LEN), 0);
}

static void *part_reader(void *arg)
{
	struct part_job *jobs = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;

	for (int i = 0; i < 300; i++) {
		struct part_job *j = &jobs[rand_r(&seed) % 20];

		assert_int_equal(get_part(j, 1 + rand_r(&seed) % LEN), 0);
	}
	return NULL;
}

static void test_part_storm(void **state)
{
	struct part_job jobs[20] = {0};
	pthread_t t[THREADS];

	for (int i = 0; i < 20; i++)
		jobs[i].key = i;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, part_reader, jobs),
				 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_made_once),
		T(test_least_recently_used_goes),
		T(test_failures_are_not_kept),
		T(test_too_large_to_keep),
		T(test_in_use_stays),
		T(test_one_maker),
		T(test_failure_reaches_waiters_once),
		T(test_lead_is_handed_on),
		T(test_patience),
		T(test_storm),
		T(test_ids_and_keys),
		T(test_parts),
		T(test_part_goes),
		T(test_part_fails),
		T(test_part_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
