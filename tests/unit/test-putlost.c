/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests of which it is not certain that they have arrived: lost on the way,
 * overtaken, late, or there only in the registry's words. */
#include "put-fixture.h"

#include "util/clock.h"

/* N23: lost on the way, or trouble, after it was sent. */
static void test_indeterminate(void **state)
{
	static const struct {
		int put, times;
		bool gone, stores_anyway;
		int head, head_times;
		unsigned shown_after;
		int result;
		unsigned puts;
	} rows[] = {
		/* It was done. */
		{504, 9, false, true, 0, 0, 0, 0, 1},
		{500, 9, false, true, 0, 0, 0, 0, 1},
		{503, 9, false, true, 503, 2, 0, 0, 1},
		/* Nobody tells whether for a while, then it was. */
		{502, 9, false, true, 502, 8, 0, 0, 1},
		/* It was not; then it is. */
		{504, 1, false, false, 0, 0, 0, 0, 2},
		{408, 1, false, false, 0, 0, 0, 0, 2},
		{500, 1, false, false, 503, 1, 0, 0, 2},
		/* It never is. */
		{504, 9, false, false, 0, 0, 0, -EIO, 3},
		{500, 9, false, false, 0, 0, 0, -EIO, 2},
		/* Nobody ever tells. */
		{504, 9, false, true, 503, 999, 0, -EIO, 1},
		/* It is seen long after the last PUT. */
		{504, 9, false, true, 0, 0, 5, 0, 3},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.put = rows[i].put;
		act.times = rows[i].times;
		act.gone = rows[i].gone;
		act.stores_anyway = rows[i].stores_anyway;
		act.head = rows[i].head;
		act.head_times = rows[i].head_times;
		act.shown_after = rows[i].shown_after;
		assert_int_equal(put(c, "1.0", NULL), rows[i].result);
		assert_int_equal(act.puts, rows[i].puts);
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		teardown(state);
	}
	setup(state);
}

/* What nobody knows the fate of is not put over what somebody else did. */
static void test_overtaken(void **state)
{
	static const struct {
		const char *before; /* what the tag meant */
		int put, result;
		unsigned puts;
	} rows[] = {
		{NULL, 502, -EIO, 1},
		{NULL, 500, -EIO, 1},
		{"{\"third\":1}", 502, -EIO, 1},
		{"{\"other\":1}", 502, 0, 2},
	};

	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		const char *text = rows[i / 2].before;
		struct digest d, before;
		struct put_manifest m = usual(&d);
		struct client *c;

		setup(state);
		c = *state;
		act.put = rows[i / 2].put;
		act.times = 1;
		act.has_other = true;
		act.head_bare = i % 2;
		if (text) {
			digest_of(HASH_SHA256, text, strlen(text), &before);
			m.before = &before;
		}
		wait_init(&c->w, 5000, 0);
		assert_int_equal(put_it(c, &m), rows[i / 2].result);
		assert_int_equal(act.puts, rows[i / 2].puts);
		assert_int_equal(act.has_other, rows[i / 2].result < 0);
		if (text && rows[i / 2].result < 0)
			assert_non_null(strstr(errors(c), "changed meanwhile"));
		teardown(state);
	}
	setup(state);
}

/* The connection is lost; libcurl tries a kept one once more by itself. */
static void test_lost(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct client *c;
		uint64_t before;

		setup(state);
		c = *state;
		act.gone = true;
		act.put = 200;
		act.times = i == 2 ? 99 : 2;
		act.stores_anyway = i == 1;
		before = clock_ms();
		assert_int_equal(put(c, "1.0", NULL), i == 2 ? -EIO : 0);
		if (i == 1)
			assert_true(act.heads >= 1);
		if (i == 2) /* a quarter of what is allowed, not all */
			assert_true(clock_ms() - before < 1000);
		teardown(state);
	}
	setup(state);
}

/* The patience was over; what was sent is still looked after. */
static void test_late(void **state)
{
	struct client *c = *state;
	struct digest d;
	struct put_manifest m = usual(&d);

	assert_int_equal(put(c, "1.0", NULL), 0);
	act.has = false;
	act.put = 201;
	act.times = 1;
	act.delay_ms = 200;
	act.stores_anyway = true;
	wait_init(&c->w, 50, 0);
	assert_int_equal(put_it(c, &m), 0);
	assert_int_equal(act.puts, 2);
}

/* N24: it says yes, and it is not so. */
static void test_confirmed(void **state)
{
	static const struct {
		bool nothing, other, bare, header_lies;
		unsigned shown_after;
		int head, head_times;
		bool says_digest;
		int result;
		const char *text;
	} rows[] = {
		{.result = 0},
		{.nothing = true, .result = -EIO, .text = "not there"},
		{.other = true, .result = -EIO, .text = "another one"},
		{.header_lies = true, .result = -EIO, .text = "another digest"},
		{.shown_after = 2, .result = 0},
		/* HEAD tells too little, or is not offered. */
		{.bare = true, .result = 0},
		{.bare = true, .other = true, .result = -EIO},
		{.head = 405, .head_times = 99, .result = 0},
		/* It may be written, and not be read. */
		{.head = 403, .head_times = 99, .says_digest = true},
		{.head = 403,
		 .head_times = 99,
		 .result = -EIO,
		 .text = "cannot be confirmed"},
		/* Trouble passes, or does not. */
		{.head = 503, .head_times = 5, .result = 0},
		{.head = 503,
		 .head_times = 999,
		 .result = -EIO,
		 .text = "cannot be confirmed"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.stores_nothing = rows[i].nothing;
		act.stores_other = rows[i].other;
		act.head_bare = rows[i].bare;
		act.shown_after = rows[i].shown_after;
		act.head = rows[i].head;
		act.head_times = rows[i].head_times;
		if (rows[i].header_lies)
			act.header = digest_text("x");
		if (rows[i].says_digest)
			act.header = digest_text(BODY);
		assert_int_equal(put(c, "1.0", NULL), rows[i].result);
		assert_int_equal(act.puts, 1);
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		if (rows[i].text)
			assert_non_null(strstr(errors(c), rows[i].text));
		teardown(state);
	}
	setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_indeterminate, teardown),
		cmocka_unit_test_teardown(test_overtaken, teardown),
		cmocka_unit_test_teardown(test_lost, teardown),
		cmocka_unit_test_setup_teardown(test_late, setup, teardown),
		cmocka_unit_test_teardown(test_confirmed, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
