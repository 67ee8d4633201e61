/* SPDX-License-Identifier: Apache-2.0 */
/* Publications that wait for what is still missing. */
#include "pending-fixture.h"
#include "util/clock.h"

static void test_last_blob(void **state)
{
	make_image();
	/* Nothing is pending, nothing happens. */
	assert_int_equal(bring(&img.config), 0);
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pending_count(), 1);
	assert_int_equal(bring(&img.layers[0]), 0);
	assert_int_equal(pending_count(), 1);
	assert_int_equal(noted("PUT"), 0);
	/* Of another repository: nobody waits for that. */
	assert_int_equal(pending_poke(&world.outbox, other,
				      &img.layers[1].digest, NULL, &w),
			 0);
	assert_int_equal(pending_count(), 1);
	assert_int_equal(bring(&img.layers[1]), 0);
	assert_int_equal(pending_count(), 0);
	assert_true(has_tag("1.5"));
	assert_int_equal(noted("DRAFT 1.5"), 1);
	restart();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(pending_count(), 0);
	free_image();
}

/* The registry's refusal is that of the close which completed the image. */
static void test_refused(void **state)
{
	make_image();
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(write_index("1.5"), 0);
	world.put_error = -EPERM;
	assert_int_equal(bring(&img.layers[1]), -EPERM);
	assert_int_equal(pending_count(), 1);
	assert_non_null(strstr(print(ENTRY), "it said: quota\n"));
	assert_null(strstr(print(ENTRY), "and more"));
	assert_non_null(strstr(print(ENTRY), strerror(EPERM)));
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), -EPERM);
	world.put_error = 0;
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), 0);
	assert_true(has_tag("1.5"));
	assert_int_equal(pending_count(), 0);
	free_image();
}

/* Index first, then its manifest as a file, then what that names. */
static void test_documents_later(void **state)
{
	struct feed *child;

	make_image();
	child = feed_ref(world.hand[0]);
	hand_drop(&img.child.digest);
	assert_int_equal(write_index("1.5"), 0);
	assert_non_null(strstr(print(ENTRY), text_of(&img.child.digest)));
	assert_int_equal(
		pending_poke(&world.outbox, app, &img.child.digest, child, &w),
		0);
	assert_null(strstr(print(ENTRY), text_of(&img.child.digest)));
	assert_non_null(strstr(print(ENTRY), text_of(&img.layers[1].digest)));
	feed_unref(child);
	hand_drop(&img.root.digest);
	/* Nothing is at hand any more: the journal has both. */
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(bring(&img.layers[1]), 0);
	assert_true(has_tag("1.5"));
	assert_int_equal(pending_count(), 0);
	free_image();
}

/* A manifest was written before anybody could know what it is for. */
static void test_document_in_draft(void **state)
{
	struct feed *root;

	make_image();
	world.draft = feed_ref(world.hand[0]);
	world.draft_digest = img.child.digest;
	world.has_draft = true;
	root = feed_ref(world.hand[1]);
	hand_drop(&img.child.digest);
	hand_drop(&img.root.digest);
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(
		pending_poke(&world.outbox, app, &img.root.digest, root, &w),
		0);
	feed_unref(root);
	assert_non_null(strstr(print(ENTRY), text_of(&img.layers[1].digest)));
	/* By now it has been journaled. */
	world.has_draft = false;
	assert_int_equal(bring(&img.layers[1]), 0);
	assert_true(has_tag("1.5"));
	free_image();
}

/* The process dies; the next one finishes what can be. */
static void test_crash(void **state)
{
	make_image();
	assert_int_equal(write_index("1.5"), 0);
	hand_drop(&img.child.digest);
	hand_drop(&img.root.digest);
	restart();
	blob_there(app, CONFIG, "config");
	blob_there(app, LAYER, "layer 0");
	assert_int_equal(pending_count(), 0);
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(pending_count(), 1);
	wait_noted("BEGIN team/app", 4);
	wait_said(ENTRY, text_of(&img.layers[1].digest));
	assert_false(has_tag("1.5"));
	restart();
	blob_there(app, LAYER, "layer 1");
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	wait_count(0);
	assert_true(has_tag("1.5"));
	restart();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(pending_count(), 0);
	free_image();
}

/* Its repository may not be touched any more: it is kept, and said so. */
static void test_not_allowed(void **state)
{
	make_image();
	assert_int_equal(write_index("1.5"), 0);
	restart();
	world.open_error = -EPERM;
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	wait_said(ENTRY, strerror(EPERM));
	assert_int_equal(pending_count(), 1);
	assert_int_equal(noted("GET"), 0);
	/* The next run still has it, and what was wrong: that it is offline is
	 * no news of the image. */
	restart();
	world.open_error = 0;
	world.writable_error = -ENETDOWN;
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	usleep(20000);
	assert_non_null(strstr(print(ENTRY), strerror(EPERM)));
	assert_null(strstr(print(ENTRY), strerror(ENETDOWN)));
	free_image();
}

/* Trouble that passes is waited out. */
static void test_backoff(void **state)
{
	make_image();
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	world.put_error = -EIO;
	assert_int_equal(bring(&img.layers[1]), -EIO);
	pthread_mutex_lock(&world.lock);
	world.put_error = 0;
	pthread_mutex_unlock(&world.lock);
	wait_count(0);
	assert_true(has_tag("1.5"));
	free_image();
}

static void test_sync(void **state)
{
	make_image();
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), 0);
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pending_sync(&world.outbox, app, "1.6", &w), 0);
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), -EIO);
	assert_int_equal(noted("FAULT team/app/_tags/1.5 -5 not published, "
			       "still missing: sha256:"),
			 1);
	/* By another client. */
	pthread_mutex_lock(&world.lock);
	thing_add(THING_BLOB, app, &img.config.digest);
	thing_add(THING_BLOB, app, &img.layers[0].digest);
	thing_add(THING_BLOB, app, &img.layers[1].digest);
	pthread_mutex_unlock(&world.lock);
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), 0);
	assert_true(has_tag("1.5"));
	free_image();
}

/* The same again adds to what is known, and never takes away. */
static void test_again(void **state)
{
	struct string_list names = {.v = NULL};

	make_image();
	assert_int_equal(write_index("1.5"), 0);
	hand_drop(&img.child.digest); /* only the first time at hand */
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pending_count(), 1);
	assert_int_equal(pending_names(&world.outbox, &names), 0);
	assert_int_equal(names.len, 1);
	assert_string_equal(names.v[0], ENTRY);
	string_list_done(&names);
	hand_drop(&img.root.digest);
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(bring(&img.layers[1]), 0);
	assert_true(has_tag("1.5"));
	free_image();
}

/* The second time there is more of it at hand. */
static void test_again_with_more(void **state)
{
	struct feed *child;

	make_image();
	child = world.hand[0];
	world.hand[0] = NULL;
	assert_int_equal(write_index("1.5"), 0);
	world.hand[0] = child;
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pending_count(), 1);
	hand_drop(&img.child.digest);
	hand_drop(&img.root.digest);
	bring(&img.config);
	bring(&img.layers[0]);
	bring(&img.layers[1]);
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), 0);
	assert_true(has_tag("1.5"));
	free_image();
}

/* It comes while the others are still being asked for: its poke finds nothing
 * that waits for it. */
static void test_meanwhile(void **state)
{
	make_image();
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(write_index("1.5"), 0);
	world.arrives = img.layers[1].digest;
	world.arrives_late = true;
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), 0);
	assert_true(has_tag("1.5"));
	free_image();
}

/* Names that look alike. */
static void test_names(void **state)
{
	struct string_list names = {.v = NULL};
	struct str s = {.buf = NULL};
	struct part first;

	make_image();
	first = img.root;
	assert_int_equal(write_index("1.5"), 0);
	img.root = document(MEDIATYPE_OCI_INDEX, NULL, &img.child, 1,
			    ",\"annotations\":{\"a\":\"b\"}");
	hand_add(img.root.bytes, &first.digest);
	assert_int_equal(write_index("1_5"), 0);
	assert_int_equal(write_index(text_of(&img.root.digest)), 0);
	assert_int_equal(pending_names(&world.outbox, &names), 0);
	assert_int_equal(names.len, 3);
	assert_string_equal(names.v[0], ENTRY);
	assert_string_equal(names.v[1], NTH);
	assert_non_null(strstr(names.v[2], "team_app_sha256_"));
	assert_null(strpbrk(names.v[2], "/:@"));
	assert_non_null(strstr(print(names.v[2]), "app@sha256:"));
	assert_non_null(strstr(print(ENTRY), "image: reg.example.com/team/"
					     "app:1.5\nroot: sha256:"));
	assert_int_equal(pending_print(&world.outbox, "nothing", &s), -ENOENT);
	assert_int_equal(pending_drop(&world.outbox, "nothing"), -ENOENT);
	assert_int_equal(pending_drop(&world.outbox, ENTRY), 0);
	assert_int_equal(pending_count(), 2);
	/* The others keep their names. */
	assert_non_null(strstr(print(NTH), "app:1_5"));
	pending_forget(&world.outbox, app, "1_5");
	assert_int_equal(pending_count(), 1);
	restart();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(pending_count(), 1);
	string_list_done(&names);
	free(first.bytes);
	free_image();
}

/* It arrived while it was being recorded that it is missing. */
static void test_overtaken(void **state)
{
	const struct publication p = publication("1.5");
	struct string_list missing = {.v = NULL};
	struct publish_docs docs = {.v = NULL};

	make_image();
	assert_int_equal(publish(&p, &w, &missing, &docs), -EAGAIN);
	bring(&img.config);
	bring(&img.layers[0]);
	bring(&img.layers[1]);
	assert_int_equal(pending_add(&p, &missing, &docs), 0);
	assert_int_equal(pending_count(), 1);
	for (size_t i = 0; i < missing.len; i++) {
		struct digest d;

		assert_int_equal(digest_parse(missing.v[i], &d), 0);
		assert_int_equal(pending_poke(&world.outbox, app, &d, NULL, &w),
				 0);
	}
	publish_docs_done(&docs);
	string_list_done(&missing);
	assert_int_equal(pending_count(), 0);
	assert_true(has_tag("1.5"));
	free_image();
}

/* --- many at once --- */

static void *bring_one(void *arg)
{
	struct wait mine;
	struct part *p = arg;

	wait_init(&mine, 10000, 0);
	pthread_mutex_lock(&world.lock);
	thing_add(THING_BLOB, app, &p->digest);
	know(app, &p->digest);
	pthread_mutex_unlock(&world.lock);
	assert_int_equal(
		pending_poke(&world.outbox, app, &p->digest, NULL, &mine), 0);
	return NULL;
}

static void *sync_one(void *arg)
{
	struct wait mine;
	int r;

	wait_init(&mine, 10000, 0);
	r = pending_sync(&world.outbox, app, "1.5", &mine);
	assert_true(r == 0 || r == -EIO);
	return NULL;
}

static void test_crowd(void **state)
{
	struct part *const parts[] = {&img.config, &img.layers[0],
				      &img.layers[1]};
	pthread_t v[6];

	make_image();
	world.slow_ms = 5;
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(write_index("1.5"), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&v[i], NULL,
						i < 3 ? bring_one : sync_one,
						i < 3 ? parts[i] : NULL),
				 0);
	for (int i = 0; i < 6; i++)
		pthread_join(v[i], NULL);
	wait_count(0);
	assert_true(has_tag("1.5"));
	assert_int_equal(noted("PUT team/app 1.5"), 1);
	free_image();
}

/* The mount goes while a try hangs. */
static void test_stop(void **state)
{
	atomic_bool hold = true;
	uint64_t began;

	make_image();
	assert_int_equal(write_index("1.5"), 0);
	restart();
	blob_there(app, CONFIG, "config");
	blob_there(app, LAYER, "layer 0");
	blob_there(app, LAYER, "layer 1");
	world.hold = &hold;
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	for (int i = 0; i < 5000; i++) {
		bool busy;

		pthread_mutex_lock(&world.lock);
		busy = world.busy > 0;
		pthread_mutex_unlock(&world.lock);
		if (busy)
			break;
		usleep(1000);
	}
	began = clock_ms();
	restart();
	assert_true(clock_ms() - began < 3000);
	world.hold = NULL;
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	wait_count(0);
	assert_true(has_tag("1.5"));
	free_image();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_last_blob),
		TEST(test_refused),
		TEST(test_documents_later),
		TEST(test_document_in_draft),
		TEST(test_crash),
		TEST(test_not_allowed),
		TEST(test_backoff),
		TEST(test_sync),
		TEST(test_again),
		TEST(test_again_with_more),
		TEST(test_meanwhile),
		TEST(test_names),
		TEST(test_overtaken),
		TEST(test_crowd),
		TEST(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
