/* SPDX-License-Identifier: Apache-2.0 */
/* What a name means in the end, when several want it, and with a journal in
 * trouble. */
#include "pending-fixture.h"
#include "store/journal_private.h"

/* Another image of the same layers and child, at hand. */
static struct part make_root(const char *seed)
{
	char more[80];
	struct part p;
	struct digest d;

	snprintf(more, sizeof(more), ",\"annotations\":{\"a\":\"%s\"}", seed);
	p = document(MEDIATYPE_OCI_INDEX, NULL, &img.child, 1, more);
	hand_add(p.bytes, &d);
	return p;
}

static void assert_tag(const char *tag, const struct digest *want)
{
	const struct thing *t;

	pthread_mutex_lock(&world.lock);
	t = tag_find(app, tag);
	assert_int_equal(t != NULL, want != NULL);
	if (want)
		assert_true(digest_equal(&t->digest, want));
	pthread_mutex_unlock(&world.lock);
}

static void tag_it(const char *tag, const struct digest *d)
{
	struct thing *t;

	pthread_mutex_lock(&world.lock);
	t = tag_find(app, tag);
	if (!t) {
		t = thing_add(THING_TAG, app, d);
		t->name = strdup(tag);
	}
	t->digest = *d;
	pthread_mutex_unlock(&world.lock);
}

/* By another client. */
static void blobs_there(void)
{
	pthread_mutex_lock(&world.lock);
	thing_add(THING_BLOB, app, &img.config.digest);
	thing_add(THING_BLOB, app, &img.layers[0].digest);
	thing_add(THING_BLOB, app, &img.layers[1].digest);
	pthread_mutex_unlock(&world.lock);
}

static void wait_held(unsigned n)
{
	for (int i = 0; i < 5000; i++) {
		unsigned held;

		pthread_mutex_lock(&world.lock);
		held = world.held;
		pthread_mutex_unlock(&world.lock);
		if (held >= n)
			return;
		usleep(1000);
	}
	fail_msg("nothing is held");
}

static void *bring_last(void *arg)
{
	struct wait mine;

	wait_init(&mine, 10000, 0);
	pthread_mutex_lock(&world.lock);
	thing_add(THING_BLOB, app, &img.layers[1].digest);
	know(app, &img.layers[1].digest);
	pthread_mutex_unlock(&world.lock);
	assert_int_equal(pending_poke(&world.outbox, app, &img.layers[1].digest,
				      NULL, &mine),
			 0);
	return NULL;
}

static void begin_slowly(atomic_bool *hold, pthread_t *ret)
{
	make_image();
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(write_index("1.5"), 0);
	snprintf(world.hold_for, sizeof(world.hold_for), "%s",
		 text_of(&img.child.digest));
	world.hold = hold;
	assert_int_equal(pthread_create(ret, NULL, bring_last, NULL), 0);
	wait_held(1);
}

/* A name does not go back to an image that was begun earlier. */
static void test_superseded(void **state)
{
	struct digest first, d;
	struct part config, whole;
	const struct thing *t;
	struct publication p;

	make_image();
	first = img.root.digest;
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(write_index("1.6"), 0);
	config = blob_there(app, CONFIG, "another");
	whole = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	hand_add(whole.bytes, &d);
	p = publication("1.5");
	p.root = &d;
	p.mediatype = MEDIATYPE_OCI_MANIFEST;
	assert_int_equal(publish(&p, &w, NULL, NULL), 0);
	assert_int_equal(pending_count(), 1);
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(bring(&img.layers[1]), 0);
	assert_int_equal(pending_count(), 0);
	t = tag_find(app, "1.5");
	assert_true(t && digest_equal(&t->digest, &d));
	t = tag_find(app, "1.6");
	assert_true(t && digest_equal(&t->digest, &first));
	free(whole.bytes);
	free_image();
}

/* While its parts are being put another image gets the name. */
static void test_overtaken_by_image(void **state)
{
	struct part config, whole;
	struct publication p;
	atomic_bool hold = true;
	struct digest d;
	pthread_t thread;

	begin_slowly(&hold, &thread);
	config = blob_there(app, CONFIG, "another");
	whole = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	hand_add(whole.bytes, &d);
	p = publication("1.5");
	p.root = &d;
	p.mediatype = MEDIATYPE_OCI_MANIFEST;
	assert_int_equal(publish(&p, &w, NULL, NULL), 0);
	atomic_store(&hold, false);
	pthread_join(thread, NULL);
	assert_tag("1.5", &d);
	assert_int_equal(noted("PUT team/app 1.5"), 1);
	assert_int_equal(pending_count(), 0);
	free(whole.bytes);
	free_image();
}

/* ... or it is told to go. */
static void test_overtaken_by_removal(void **state)
{
	atomic_bool hold = true;
	pthread_t thread;

	begin_slowly(&hold, &thread);
	assert_int_equal(pending_drop(&world.outbox, ENTRY), 0);
	atomic_store(&hold, false);
	pthread_join(thread, NULL);
	assert_tag("1.5", NULL);
	assert_int_equal(noted("PUT team/app 1.5"), 0);
	free_image();
}

static void *drop(void *arg)
{
	assert_int_equal(pending_drop(&world.outbox, ENTRY), 0);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* What is just being put cannot be taken back: it is waited for. */
static void test_removal_waits(void **state)
{
	atomic_bool hold = true, done = false;
	pthread_t thread, dropping;

	make_image();
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(write_index("1.5"), 0);
	snprintf(world.hold_for, sizeof(world.hold_for), "1.5");
	world.hold = &hold;
	assert_int_equal(pthread_create(&thread, NULL, bring_last, NULL), 0);
	wait_held(1);
	assert_int_equal(pthread_create(&dropping, NULL, drop, &done), 0);
	usleep(50000);
	assert_false(atomic_load(&done));
	atomic_store(&hold, false);
	pthread_join(dropping, NULL);
	assert_tag("1.5", &img.root.digest);
	pthread_join(thread, NULL);
	free_image();
}

/* R1, R2, and R1 again: the last that was acknowledged is meant. */
static void test_back_again(void **state)
{
	struct part first, second;

	make_image();
	first = img.root;
	second = make_root("second");
	assert_int_equal(write_index("1.5"), 0);
	img.root = second;
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pending_count(), 1);
	img.root = first;
	assert_int_equal(write_index("1.5"), 0);
	assert_int_equal(pending_count(), 1);
	assert_non_null(strstr(print(ENTRY), text_of(&first.digest)));
	/* Also for the next run. */
	restart();
	blobs_there();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	wait_count(0);
	assert_tag("1.5", &first.digest);
	assert_int_equal(noted("PUT team/app 1.5"), 1);
	free(second.bytes);
	free_image();
}

/* Both rows are there after a crash. */
static void test_crash_between(void **state)
{
	struct publish_docs none = {.v = NULL};
	struct pending_past past = {.before = JOURNAL_BEFORE_NOTHING};
	struct part first, second;
	struct publication p;
	struct pending *e;

	make_image();
	first = img.root;
	second = make_root("second");
	assert_int_equal(write_index("1.5"), 0);
	p = publication("1.5");
	p.root = &second.digest;
	assert_int_equal(
		pending_insert(world.outbox.pendings, &p, &past, &none, &e), 0);
	pending_free(e);
	restart();
	blobs_there();
	manifest_there(app, &img.child);
	manifest_there(app, &second);
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	wait_count(0);
	assert_tag("1.5", &second.digest);
	assert_int_equal(noted("PUT team/app 1.5"), 1);
	free(first.bytes);
	free(img.child.bytes);
	free(second.bytes);
}

/* Another client has changed the tag since. */
static void test_changed(void **state)
{
	static const struct {
		const char *before, *now; /* seeds; NULL: nothing */
		int head_error;		  /* when it was acknowledged */
		int head_error_now;
		bool put;
	} rows[] = {
		{NULL, NULL, 0, 0, true},
		{"x", "x", 0, 0, true},
		{NULL, "ours", 0, 0, true},
		{NULL, "x", 0, 0, false},
		{"x", "y", 0, 0, false},
		{"x", NULL, 0, 0, false},
		{"x", "x", -EACCES, 0, false},
		{"x", "x", -EACCES, -EACCES, true},
		{"x", "x", 0, -EACCES, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct part x, y;

		setup(state);
		make_image();
		x = part_of(LAYER, "x");
		y = part_of(LAYER, "y");
		if (rows[i].before)
			tag_it("1.5", &x.digest);
		world.head_error = rows[i].head_error;
		assert_int_equal(write_index("1.5"), 0);
		restart();
		blobs_there();
		world.head_error = rows[i].head_error_now;
		if (rows[i].now)
			tag_it("1.5", rows[i].now[0] == 'x' ? &x.digest
				      : rows[i].now[0] == 'y'
					      ? &y.digest
					      : &img.root.digest);
		else if (rows[i].before)
			tag_find(app, "1.5")->kind = THING_REFERRER;
		assert_int_equal(pendings_start(world.outbox.pendings), 0);
		if (rows[i].put) {
			wait_count(0);
			assert_tag("1.5", &img.root.digest);
		} else {
			wait_said(ENTRY, "error: ");
			assert_int_equal(noted("PUT team/app 1.5"), 0);
			if (!rows[i].head_error_now)
				assert_non_null(
					strstr(print(ENTRY), strerror(ESTALE)));
			/* Who asks for it means it. */
			assert_int_equal(
				pending_sync(&world.outbox, app, "1.5", &w), 0);
			assert_tag("1.5", &img.root.digest);
			assert_int_equal(pending_count(), 0);
		}
		free_image();
		teardown(state);
	}
	setup(state);
}

/* --- a journal in trouble --- */

static void move_journal(bool away)
{
	char from[96], to[96];

	snprintf(from, sizeof(from), "%s/journal.db", dir);
	snprintf(to, sizeof(to), "%s/away.db", dir);
	assert_int_equal(rename(away ? from : to, away ? to : from), 0);
}

/* What cannot be removed from it is not published for that. */
static void test_not_removed(void **state)
{
	make_image();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(write_index("1.5"), 0);
	move_journal(true);
	assert_int_equal(pending_drop(&world.outbox, ENTRY), -EROFS);
	assert_int_equal(pending_count(), 1);
	assert_non_null(strstr(print(ENTRY), "not be published any more"));
	bring(&img.config);
	bring(&img.layers[0]);
	assert_int_equal(bring(&img.layers[1]), 0);
	assert_int_equal(pending_sync(&world.outbox, app, "1.5", &w), 0);
	assert_tag("1.5", NULL);
	assert_int_equal(pending_count(), 1);
	move_journal(false);
	wait_count(0);
	assert_tag("1.5", NULL);
	restart();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	assert_int_equal(pending_count(), 0);
	free_image();
}

/* A document that is damaged is missing, and can be written again. */
static void test_damaged(void **state)
{
	struct db *db = world.outbox.journal->db;

	make_image();
	assert_int_equal(write_index("1.5"), 0);
	db_lock(db);
	assert_int_equal(db_exec(db, "UPDATE document SET sum=zeroblob(16) "
				     "WHERE instr(body, 'layers')"),
			 0);
	db_unlock(db);
	restart();
	blobs_there();
	assert_int_equal(pendings_start(world.outbox.pendings), 0);
	wait_said(ENTRY, "missing: ");
	assert_non_null(strstr(print(ENTRY), text_of(&img.child.digest)));
	assert_int_equal(pending_poke(&world.outbox, app, &img.child.digest,
				      world.hand[0], &w),
			 0);
	assert_tag("1.5", &img.root.digest);
	free_image();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_superseded),
		TEST(test_overtaken_by_image),
		TEST(test_overtaken_by_removal),
		TEST(test_removal_waits),
		TEST(test_back_again),
		TEST(test_crash_between),
		TEST(test_not_removed),
		TEST(test_damaged),
		cmocka_unit_test_teardown(test_changed, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
