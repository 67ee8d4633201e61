/* SPDX-License-Identifier: Apache-2.0 */
/* A blob from a registry to whoever passes it on: in order, again, changed. */
#include "upload-fixture.h"

#include "push/relay.h"

#define MIB ((size_t)1 << 20)
#define KIB ((size_t)1 << 10)
#define PIECE (300 * KIB)
#define PATIENCE_MS 5000

static struct relay *open_relay(const struct digest *d, size_t len, bool direct)
{
	struct relay *r;

	assert_int_equal(relay_open(f->repo, d, len, direct, &r), 0);
	return r;
}

static ssize_t read_at(struct relay *r, char *buf, size_t len, size_t off)
{
	struct wait w;

	wait_init(&w, PATIENCE_MS, 0);
	return relay_read(r, buf, len, off, PATIENCE_MS, &w);
}

static int check(struct relay *r)
{
	struct wait w;

	wait_init(&w, PATIENCE_MS, 0);
	return relay_check(r, PATIENCE_MS, &w);
}

/* All of [off, end), which has to be as in `want`. */
static int read_span(struct relay *r, const char *want, size_t off, size_t end)
{
	char *buf = malloc(PIECE);
	ssize_t n = 1;

	assert_non_null(buf);
	while (off < end && n > 0) {
		n = read_at(r, buf, end - off < PIECE ? end - off : PIECE, off);
		if (n > 0)
			assert_memory_equal(buf, want + off, (size_t)n);
		off += n > 0 ? (size_t)n : 0;
	}
	free(buf);
	return n < 0 ? (int)n : 0;
}

static uint64_t cached(const struct digest *d, size_t len)
{
	struct blob *b;
	uint64_t bytes;

	assert_int_equal(blob_open(f->repo, d, len, &b), 0);
	bytes = blob_cached_bytes(b);
	blob_unref(b);
	return bytes;
}

/* From now on the registry says something else. */
static void change_body(const char *bytes)
{
	autolock(&f->c.s.lock);
	f->here.things[0].body = bytes;
}

static void it_passes_once_and_leaves_nothing(void **state)
{
	static const size_t lens[] = {0, 1, 64 * KIB, 5 * MIB + 3};

	(void)state;
	for (size_t i = 0; i < COUNT(lens); i++) {
		const char *bytes = random_bytes(f, lens[i] + 1, (unsigned)i);
		uint64_t before = atomic_load(&f->here.sent), size = 0;
		struct relay *r;
		struct digest d;
		char one;

		put_blob(f, &f->here, REPO, bytes, lens[i], &d);
		r = open_relay(&d, lens[i], true);
		assert_int_equal(read_span(r, bytes, 0, lens[i]), 0);
		assert_int_equal(read_at(r, &one, 1, lens[i]), 0);
		assert_int_equal(check(r), 0);
		relay_close(r);
		assert_int_equal(atomic_load(&f->here.sent) - before, lens[i]);
		assert_int_equal(cached(&d, lens[i]), 0);
		if (lens[i] == 0) /* which needs no request */
			continue;
		assert_true(known_blob(f->repo, &d, &size));
		assert_int_equal(size, lens[i]);
	}
}

/* Far enough for the states to be thinned out twice. */
static void going_back_costs_what_lies_between(void **state)
{
	static const size_t backs[] = {0, 1, 3 * MIB + 17, 20 * MIB, 39 * MIB};
	const size_t len = 40 * MIB + 11, seen = 40 * MIB;
	const char *bytes = random_bytes(f, len, 3);
	struct relay *r;
	struct digest d;

	(void)state;
	put_blob(f, &f->here, REPO, bytes, len, &d);
	r = open_relay(&d, len, true);
	assert_int_equal(read_span(r, bytes, 0, seen), 0);
	for (size_t i = 0; i < COUNT(backs); i++) {
		char range[64];

		assert_int_equal(read_span(r, bytes, backs[i], seen), 0);
		snprintf(range, sizeof(range), "Range: bytes=%zu-",
			 backs[i] / (256 * KIB) * (256 * KIB));
		assert_int_equal(asked(&f->c.s, range), backs[i] > 1);
	}
	assert_int_equal(check(r), 0);
	relay_close(r);
}

static void what_was_not_read_is_checked_too(void **state)
{
	const size_t len = 3 * MIB;
	const char *bytes = random_bytes(f, len, 4);
	struct relay *r;
	struct digest d;

	(void)state;
	put_blob(f, &f->here, REPO, bytes, len, &d);
	r = open_relay(&d, len, true);
	assert_int_equal(read_span(r, bytes, 0, MIB), 0);
	assert_int_equal(read_span(r, bytes, KIB, 2 * KIB), 0);
	assert_int_equal(check(r), 0);
	relay_close(r);
}

static void other_bytes_are_noticed(void **state)
{
	const size_t len = 3 * MIB;
	const char *bytes = random_bytes(f, len, 5);
	char *changed = random_bytes(f, len, 5);
	struct relay *r;
	struct digest d;

	(void)state;
	put_blob(f, &f->here, REPO, bytes, len, &d);
	changed[len - 1] ^= 1;
	change_body(changed);
	for (int direct = 1; direct >= 0; direct--) {
		r = open_relay(&d, len, direct);
		assert_true(read_span(r, changed, 0, len) == 0 || !direct);
		assert_int_equal(check(r), -EBADMSG);
		relay_close(r);
	}
	assert_true(errors_say(f, "not what its digest says"));
}

/* Else what was sent might be a mixture of two answers. */
static void other_bytes_the_second_time_are_noticed(void **state)
{
	const size_t len = 12 * MIB, place = 3 * MIB + 5;
	const char *bytes = random_bytes(f, len, 6);
	char *changed = random_bytes(f, len, 6);
	struct relay *r;
	struct digest d;

	(void)state;
	changed[place] ^= 1;
	put_blob(f, &f->here, REPO, changed, len, &d);
	r = open_relay(&d, len, true);
	assert_int_equal(read_span(r, changed, 0, 5 * MIB), 0);
	change_body(bytes);
	assert_int_equal(read_span(r, bytes, 3 * MIB, 5 * MIB - 1), 0);
	assert_int_equal(read_span(r, bytes, 5 * MIB - 1, 5 * MIB), -EBADMSG);
	relay_close(r);
}

static void a_server_without_ranges_begins_anew(void **state)
{
	const size_t len = 5 * MIB;
	const char *bytes = random_bytes(f, len, 7);
	struct relay *r;
	struct digest d;

	(void)state;
	f->here.ignores_range = true;
	put_blob(f, &f->here, REPO, bytes, len, &d);
	r = open_relay(&d, len, true);
	assert_int_equal(read_span(r, bytes, 0, 4 * MIB), 0);
	assert_int_equal(read_span(r, bytes, 2 * MIB + 1, len), 0);
	assert_int_equal(check(r), 0);
	relay_close(r);
}

static void what_is_cached_is_not_fetched_again(void **state)
{
	const size_t len = 4 * MIB;
	const char *bytes = random_bytes(f, len, 8);
	struct relay *r;
	struct digest d;
	char *buf = malloc(len);
	uint64_t sent = 0;

	(void)state;
	assert_non_null(buf);
	put_blob(f, &f->here, REPO, bytes, len, &d);
	for (unsigned part = 2; part > 0; part--) {
		assert_int_equal(
			read_blob(f->repo, &d, len, buf, len / part, 0),
			len / part);
		sent = atomic_load(&f->here.sent);
		r = open_relay(&d, len, true);
		assert_int_equal(read_span(r, bytes, 0, len), 0);
		assert_int_equal(check(r), 0);
		relay_close(r);
		assert_true(atomic_load(&f->here.sent) - sent < len);
	}
	assert_int_equal(atomic_load(&f->here.sent), sent);
	free(buf);
}

static void what_the_registry_refuses_is_the_answer(void **state)
{
	struct digest d = digest_for("gone", 4);
	struct relay *r = open_relay(&d, 4, true);
	char buf[4];

	(void)state;
	assert_int_equal(read_at(r, buf, 4, 0), -ENOENT);
	f->here.status = 403;
	assert_int_equal(read_at(r, buf, 4, 0), -EACCES);
	relay_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_passes_once_and_leaves_nothing),
		T(going_back_costs_what_lies_between),
		T(what_was_not_read_is_checked_too),
		T(other_bytes_are_noticed),
		T(other_bytes_the_second_time_are_noticed),
		T(a_server_without_ranges_begins_anew),
		T(what_is_cached_is_not_fetched_again),
		T(what_the_registry_refuses_is_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
