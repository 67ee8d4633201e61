/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/push_form.h"

#include "push-fixture.h"

static const struct {
	struct habits habits;
	size_t size;
	bool unknown;
	/* What the upload that worked looked like. */
	bool ranged, whole;
	size_t largest_patch; /* at most */
} refusals[] = {
	/* No stream: chunks. */
	{{.stream = 400}, 6 * MIB, false, true, false, 6 * MIB},
	{{.stream = 405}, 6 * MIB, false, true, false, 6 * MIB},
	{{.stream = 416}, 6 * MIB, true, true, false, 16 * MIB},
	{{.stream = 404}, 6 * MIB, false, true, false, 6 * MIB},
	{{.stream = 501}, 17 * MIB, true, true, false, 17 * MIB},
	/* Its length is known by then. */
	{{.unsized = 411}, 6 * MIB, true, false, false, 6 * MIB},
	{{.unsized = 411}, 6 * MIB, false, false, false, 6 * MIB},
	/* Chunks have a maximum. */
	{{.stream = 400, .chunk_max = 4 * MIB},
	 9 * MIB,
	 false,
	 true,
	 false,
	 4 * MIB},
	{{.stream = 413, .chunk_max = 4 * MIB, .too_large = 413},
	 9 * MIB,
	 true,
	 true,
	 false,
	 4 * MIB},
	{{.stream = 400, .chunk_max = 6 * MIB, .chunk_min = 5 * MIB},
	 16 * MIB,
	 false,
	 true,
	 false,
	 5 * MIB},
	/* One piece or nothing. */
	{{.stream = 405, .chunks = 405}, 6 * MIB, false, false, true, 0},
	{{.stream = 404, .chunks = 404}, 6 * MIB, true, false, true, 0},
	/* Small ones, not in one piece. */
	{{.put_body = 400}, 100, false, false, false, 6 * MIB},
	{{.put_body = 404}, 100, true, false, false, 6 * MIB},
	{{.put_body = 411, .stream = 400}, 100, false, true, false, 6 * MIB},
	/* The tail comes with the PUT. */
	{{.empty_put = 400}, 6 * MIB, false, false, false, 6 * MIB},
	{{.empty_put = 411}, 6 * MIB, true, false, false, 6 * MIB},
	{{.empty_put = 500}, 6 * MIB, true, false, false, 6 * MIB},
	{{.empty_put = 500, .stream = 400},
	 6 * MIB,
	 false,
	 true,
	 false,
	 6 * MIB},
	{{.empty_put = 400, .put_body = 0}, 100, false, false, true, 6 * MIB},
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct fixture *f = fixture_new();
		unsigned posts, open = 0;

		f->size = refusals[i].size;
		f->unknown = refusals[i].unknown;
		f->s.habits = refusals[i].habits;
		assert_int_equal(push(f), 0);
		assert_int_equal(f->s.ranged > 0, refusals[i].ranged);
		assert_true(f->s.largest_patch <= refusals[i].largest_patch);
		if (refusals[i].whole)
			assert_int_equal(f->s.last_put, f->size);
		if (refusals[i].habits.empty_put)
			assert_true(f->s.last_put > 0);
		assert_int_equal(fault_log_count(f->c.faults), 0);
		/* Nothing is left behind. */
		for (unsigned k = 0; k < f->s.opened; k++)
			open += f->s.sessions[k].open;
		assert_int_equal(open, 0);
		/* Next time it is known. */
		posts = f->s.posts;
		f->s.stored = 0;
		assert_int_equal(push(f), 0);
		assert_int_equal(f->s.posts, posts + 1);
		fixture_free(f);
	}
}

static void test_no_form(void **state)
{
	static const struct {
		int status, result;
	} rows[] = {{405, -EROFS}, {413, -EFBIG}, {400, -EROFS}, {501, -EIO}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture *f = fixture_new();

		f->size = 6 * MIB;
		f->s.habits = (struct habits){.stream = rows[i].status,
					      .chunks = rows[i].status,
					      .put_body = rows[i].status};
		assert_int_equal(push(f), rows[i].result);
		assert_int_equal(fault_log_count(f->c.faults), 1);
		assert_true(f->s.posts <= 6);
		assert_non_null(strstr(errors(f), "a/b/_blobs/sha256:"));
		fixture_free(f);
	}
}

static void test_chunk_minimum(void **state)
{
	struct fixture *f = *state;

	f->size = 9 * MIB + 5;
	f->unknown = true;
	f->s.habits.stream = 400;
	f->s.habits.chunk_min = 5 * MIB;
	f->s.habits.chunk_max = 6 * MIB;
	assert_int_equal(push(f), 0);
	/* After what was too large for it. */
	assert_int_equal(f->s.sessions[f->s.opened - 1].len, f->size);
	assert_int_equal(f->r->habits.chunk_min_bytes, 5 * MIB);
	assert_int_equal(f->r->habits.chunk_max_bytes, 5 * MIB);
}

/* --- what is pure --- */

static void test_range(void **state)
{
	static const struct {
		const char *value;
		uint64_t sent;
		int result;
		uint64_t stored;
	} rows[] = {
		{"0-0", 0, 0, 0},
		{"0-0", 1, 0, 1},
		{"0-0", 500, 0, 0},
		{"0-1", 500, 0, 2},
		{"0-499", 500, 0, 500},
		{"bytes=0-499", 500, 0, 500},
		{"bytes 0-499", 500, 0, 500},
		{"bytes=0--1", 500, 0, 0},
		{"0--1", 500, 0, 0},
		{"0-9223372036854775807", 1, 0, (uint64_t)INT64_MAX + 1},
		{"0-9223372036854775808", 1, -EBADMSG, 0},
		{"0--2", 1, -EBADMSG, 0},
		{"1-2", 1, -EBADMSG, 0},
		{"0-", 1, -EBADMSG, 0},
		{"", 1, -EBADMSG, 0},
		{"0-1 ", 1, -EBADMSG, 0},
		{"0-1/2", 1, -EBADMSG, 0},
		{"bytes=bytes=0-1", 1, -EBADMSG, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t stored = 77;

		assert_int_equal(
			push_parse_range(rows[i].value, rows[i].sent, &stored),
			rows[i].result);
		assert_true(stored == (rows[i].result ? 77 : rows[i].stored));
	}
}

static void test_hosts(void **state)
{
	static const struct {
		const char *host;
		bool sized;
		enum push_form form;
		uint64_t chunk; /* of 100 MiB */
	} rows[] = {
		{"docker.io", true, PUSH_STREAM, 100 * MIB},
		{"ghcr.io", true, PUSH_STREAM, 4 * MIB},
		{"GHCR.io", false, PUSH_STREAM, 4 * MIB},
		{"evil-ghcr.io", false, PUSH_STREAM, 100 * MIB},
		{"us-docker.pkg.dev", true, PUSH_WHOLE, 100 * MIB},
		{"us-docker.pkg.dev", false, PUSH_STREAM, 100 * MIB},
		{"eu.gcr.io", true, PUSH_WHOLE, 100 * MIB},
		{"gcr.io", true, PUSH_WHOLE, 100 * MIB},
		{"1.dkr.ecr.eu-west-1.amazonaws.com", true, PUSH_STREAM,
		 20 * MIB},
		{"1.dkr-ecr.eu-west-1.on.aws", true, PUSH_STREAM, 20 * MIB},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct push_habits h;

		push_habits_init(&h, rows[i].host);
		assert_int_equal(push_form_choose(&h, rows[i].sized, false),
				 rows[i].form);
		assert_true(push_chunk_bytes(&h, 100 * MIB) == rows[i].chunk);
	}
}

/* Whatever is refused, in whatever order: it ends. */
static void test_refused_ends(void **state)
{
	static const int statuses[] = {400, 404, 411, 413, 416, 501};
	unsigned seed = 1;

	(void)state;
	for (int n = 0; n < 1000; n++) {
		struct push_habits h = {.chunk_min_bytes = 0};
		struct push_part part = {.form = PUSH_NO_FORM};
		int rounds = 0;

		do {
			seed = seed * 1103515245 + 12345;
			part.form = push_form_choose(&h, seed & 0x10000,
						     seed & 0x20000);
			if (seed & 0x40000 && !h.no_empty_put)
				part.form = PUSH_COMMIT;
			part.to = seed & 0x80000 ? PUSH_TO_END : 8 * MIB;
			if (part.form == PUSH_CHUNKS)
				part.to = push_chunk_bytes(&h, 8 * MIB);
			rounds++;
		} while (
			push_habits_refused(&h, &part, statuses[seed / 7 % 6]));
		assert_true(rounds < 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_form),
		cmocka_unit_test_setup_teardown(test_chunk_minimum, setup,
						teardown),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_refused_ends),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
