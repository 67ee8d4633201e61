/* SPDX-License-Identifier: Apache-2.0 */
/* What writing index.json does to the image that was there, what it says when
 * it fails, and what fsync says of it afterwards. */
#include "draft-put.h"
#include "push/draft_private.h"

/* The new one is told from those of the image that was there. */
static void test_old_index(void **state)
{
	struct draft *d;

	(void)state;
	contents_setup();
	digest_format(&contents[content_at('M')].digest, fake.published);
	d = begin();
	put(d, "@C", 'C');
	put(d, "@K", 'K');
	put(d, "@N", 'N');
	put(d, "index.json", 'B');
	assert_non_null(strstr(fake.old, fake.published));
	assert_true(in_registry(&contents[content_at('N')].digest));
	/* Of one there is no doubt, and nothing to ask. */
	put(d, "@N", 'N');
	put(d, "index.json", 'J');
	assert_string_equal(fake.old, "");
	draft_unref(d);
}

static void test_old_index_in_draft(void **state)
{
	struct draft *d = begin();

	(void)state;
	put(d, "index.json", 'I');
	assert_int_equal(fake.pendings, 1);
	put(d, "@K", 'K');
	put(d, "@C", 'C');
	put(d, "@N", 'N');
	put(d, "index.json", 'B');
	assert_non_null(strstr(fake.old, "manifests"));
	/* What was written last is what the name means. */
	assert_int_equal(fake.pendings, 0);
	draft_unref(d);
}

static void test_refused(void **state)
{
	struct draft *d = begin();
	struct writer *w;
	struct wait wait;
	struct feed *f;
	size_t i = content_at('I');

	(void)state;
	wait_init(&wait, 5000, 0);
	put(d, "@L", 'L');
	put(d, "@C", 'C');
	put(d, "@M", 'M');
	fake.publish_error = -EACCES;
	assert_int_equal(draft_write(d, "index.json", true, 10, &w), 0);
	assert_int_equal(writer_write(w, contents[i].text, contents[i].len, 0,
				      &patience),
			 0);
	assert_int_equal(writer_flush(w, 10, &wait), -EACCES);
	writer_close(w);
	assert_int_equal(draft_read(d, "index.json", &f), -ENOENT);
	/* What is there is there still. */
	fake.publish_error = 0;
	put(d, "index.json", 'I');
	assert_true(in_registry(&contents[content_at('M')].digest));
	draft_unref(d);
}

static int sync_of(struct draft *d)
{
	return draft_sync(d, &patience);
}

static void put_refused(struct draft *d, int error)
{
	size_t i = content_at('I');
	struct writer *w;

	fake.publish_error = error;
	assert_int_equal(draft_write(d, "index.json", true, 10, &w), 0);
	assert_int_equal(writer_write(w, contents[i].text, contents[i].len, 0,
				      &patience),
			 0);
	assert_int_equal(writer_flush(w, 10, &patience), error);
	writer_close(w);
	fake.publish_error = 0;
}

/* A name that means something already is no excuse. */
static void test_sync(void **state)
{
	struct draft *d;
	struct wait brief;

	(void)state;
	contents_setup();
	digest_format(&contents[content_at('N')].digest, fake.published);
	object_add(fake.objects, &fake.objects_len,
		   contents[content_at('N')].text,
		   contents[content_at('N')].len,
		   &contents[content_at('N')].digest);
	d = begin();
	assert_int_equal(sync_of(d), 0);
	/* Nothing is left of it but that it failed. */
	put_refused(d, -EACCES);
	draft_unref(d);
	assert_int_equal(draft_find(&box, &here, "1.5", &d), 0);
	assert_int_equal(sync_of(d), -EACCES);
	assert_int_equal(sync_of(d), -EACCES);
	put_refused(d, -EINTR);
	assert_int_equal(sync_of(d), -EIO);
	put(d, "@L", 'L');
	put(d, "@C", 'C');
	put(d, "@M", 'M');
	put(d, "index.json", 'I');
	assert_int_equal(sync_of(d), 0);
	/* Parts of what is there, and then something else. */
	put(d, "@K", 'K');
	put(d, "oci-layout", 'X');
	assert_int_equal(sync_of(d), 0);
	put(d, "@X", 'X');
	assert_int_equal(sync_of(d), -EIO);
	assert_int_equal(draft_unlink(d, script_path("@X", (char[256]){0})), 0);
	assert_int_equal(sync_of(d), 0);
	put(d, "x", 'X');
	assert_int_equal(sync_of(d), -EIO);
	assert_int_equal(draft_unlink(d, "x"), 0);
	/* While it is being published nobody knows. */
	d->publishing = true;
	wait_init(&brief, 20, 0);
	assert_int_equal(draft_sync(d, &brief), -ETIMEDOUT);
	d->publishing = false;
	draft_discard(d);
	draft_unref(d);
}

/* Forgetting what is pending does not publish it. */
static void test_sync_dropped(void **state)
{
	struct draft *d;

	(void)state;
	contents_setup();
	digest_format(&contents[content_at('N')].digest, fake.published);
	d = begin();
	put(d, "@C", 'C');
	put(d, "@M", 'M');
	put(d, "index.json", 'I');
	assert_int_equal(fake.pendings, 1);
	assert_int_equal(sync_of(d), -EIO);
	fake.pendings = 0;
	fake.missing_len = 0;
	assert_int_equal(sync_of(d), -EIO);
	draft_discard(d);
	assert_int_equal(sync_of(d), 0);
	draft_unref(d);
}

static void test_poke_fails(void **state)
{
	struct draft *d = begin();
	struct writer *w;
	struct wait wait;
	char path[256];

	(void)state;
	wait_init(&wait, 5000, 0);
	fake.poke_error = -EPERM;
	assert_int_equal(draft_write(d, script_path("@C", path), true, 10, &w),
			 0);
	assert_int_equal(writer_write(w, "{}", 2, 0, &patience), 0);
	assert_int_equal(writer_flush(w, 10, &wait), -EPERM);
	writer_close(w);
	draft_unref(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		TEST(test_old_index),
		TEST(test_refused),
		TEST(test_sync),
		TEST(test_sync_dropped),
		TEST(test_old_index_in_draft),
		TEST(test_poke_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
