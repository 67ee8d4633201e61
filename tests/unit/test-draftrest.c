/* SPDX-License-Identifier: Apache-2.0 */
/* What is left in a draft, and when it goes. */
#include "draft-put.h"
#include "push/draft_private.h"

static void age(struct draft *d, uint64_t hours)
{
	pthread_mutex_lock(&d->lock);
	d->used_ms -= hours * 3600 * 1000;
	pthread_mutex_unlock(&d->lock);
}

static void age_entry(struct draft *d, const char *path)
{
	struct draft_entry *e;
	char real[256];

	pthread_mutex_lock(&d->lock);
	e = draft_entry_find(d, script_path(path, real));
	assert_non_null(e);
	e->committed_ms -= 3600 * 1000;
	pthread_mutex_unlock(&d->lock);
}

static bool has(struct draft *d, const char *path)
{
	struct draft_stat st;
	char real[256];

	return draft_stat(d, script_path(path, real), &st) == 0;
}

static void test_expiry(void **state)
{
	struct draft *d = begin(), *e;
	struct writer *w;

	(void)state;
	box.times.commit_budget = 5000;
	put(d, "x", 'X');
	age(d, 23);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), 0);
	draft_unref(e);
	assert_int_equal(draft_write(d, "y", true, 10, &w), 0);
	age(d, 25);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), 0);
	draft_unref(e);
	writer_close(w);
	age(d, 25);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), -ENOENT);
	draft_unref(d);

	/* A blob that belongs to nothing, beside an image that is there. */
	digest_format(&contents[0].digest, fake.published);
	d = begin();
	put(d, "@L", 'L');
	assert_int_equal(draft_find(&box, &here, "1.5", &e), 0);
	draft_unref(e);
	age(d, 1);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), -ENOENT);
	draft_unref(d);
}

/* What a copy that failed has left goes with the next image of that name. */
static void test_relics(void **state)
{
	struct draft *d = begin();
	struct writer *other;
	char path[256];

	(void)state;
	put(d, "@N", 'N');
	put(d, "@L", 'L');
	put(d, "@C", 'C');
	put(d, "@M", 'M');
	/* Somebody may be about to need it. */
	put(d, "index.json", 'I');
	assert_true(has(d, "@N"));
	age_entry(d, "@N");
	assert_int_equal(
		draft_write(d, script_path("@K", path), true, 20, &other), 0);
	put(d, "@M", 'M');
	put(d, "index.json", 'I');
	assert_true(has(d, "@N"));
	assert_false(has(d, "@M"));
	writer_close(other);
	put(d, "@M", 'M');
	put(d, "index.json", 'I');
	assert_false(has(d, "@N"));
	draft_unref(d);
}

/* rsync: index.json is first, and all is there; the manifest follows. */
static void test_written_afterwards(void **state)
{
	struct draft *d = begin(), *e;

	(void)state;
	put(d, "@L", 'L');
	put(d, "@C", 'C');
	put(d, "@M", 'M');
	put(d, "index.json", 'I');
	put(d, "@M", 'M');
	put(d, "oci-layout", 'X');
	assert_int_equal(draft_find(&box, &here, "1.5", &e), 0);
	draft_unref(e);
	age(d, 1);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), -ENOENT);
	/* One that the registry does not have stays. */
	put(d, "@N", 'N');
	age(d, 1);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), 0);
	draft_unref(e);
	draft_unref(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		TEST(test_expiry),
		TEST(test_relics),
		TEST(test_written_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
