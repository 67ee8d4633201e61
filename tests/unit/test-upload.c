/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs on their way out: sources, tickets, places. */
#include "upload-fixture.h"

#define MIB ((size_t)1 << 20)

static bool is_known(struct repo *r, const struct digest *d, uint64_t want)
{
	uint64_t size = UINT64_MAX;

	return known_blob(r, d, &size) && size == want;
}

/* --- sources --- */

static void a_written_file_is_sent(void **state)
{
	static const size_t sizes[] = {0, 1, 100000, 9 * MIB};

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		const char *bytes =
			random_bytes(f, sizes[i] + 1, (unsigned)i + 1);
		struct digest d = digest_for(bytes, sizes[i]);
		struct feed *feed;

		assert_int_equal(feed_new(f->store, &feed), 0);
		assert_int_equal(feed_write(feed, bytes, sizes[i], 0), 0);
		feed_end(feed);
		assert_int_equal(finish(begin(f->away, &d, feed)), 0);
		assert_true(away_holds(bytes, sizes[i]));
		assert_true(is_known(f->away, &d, sizes[i]));
		feed_unref(feed);
	}
	assert_int_equal(taken.cancelled, 0);
}

static void a_file_is_sent_while_it_is_written(void **state)
{
	const size_t len = 6 * MIB, piece = MIB;
	const char *bytes = random_bytes(f, len, 5);
	struct digest d = digest_for(bytes, len);
	struct feed *feed = feed_of(f, bytes, piece, false);
	struct upload *u = begin(f->away, &d, feed);
	int result;

	(void)state;
	wait_asked(&f->c.other, "POST ", 1);
	for (size_t at = piece; at < len; at += piece) {
		assert_int_equal(feed_write(feed, bytes + at, piece, at), 0);
		usleep(2000);
	}
	assert_false(upload_done(u, &result));
	feed_end(feed);
	assert_int_equal(finish(u), 0);
	assert_true(away_holds(bytes, len));
	assert_true(is_known(f->away, &d, len));
	feed_unref(feed);
}

static void what_is_there_is_only_asked_for(void **state)
{
	struct digest d;
	struct feed *good = feed_of(f, "there", 5, true);
	struct feed *bad = feed_of(f, "other", 5, true);

	(void)state;
	put_blob(f, &f->there, REPO, "there", 5, &d);
	assert_int_equal(finish(begin(f->away, &d, NULL)), 0);
	assert_int_equal(finish(begin(f->away, &d, good)), 0);
	assert_true(is_known(f->away, &d, 5));
	/* But these bytes have another name. */
	assert_int_equal(finish(begin(f->away, &d, bad)), -EBADMSG);
	assert_true(errors_say(f, "not what its name says"));
	assert_int_equal(asked(&f->c.other, "HEAD "), 3);
	assert_int_equal(asked(&f->c.other, "POST "), 0);
	feed_unref(good);
	feed_unref(bad);
}

static void wrong_bytes_are_never_committed(void **state)
{
	struct digest d = digest_for("right", 5);
	struct feed *feed = feed_of(f, "wrong", 5, true);

	(void)state;
	assert_int_equal(finish(begin(f->away, &d, feed)), -EBADMSG);
	assert_int_equal(taken.committed, 0);
	assert_int_equal(asked(&f->c.other, "digest="), 0);
	assert_true(errors_say(f, "not what its name says"));
	assert_false(is_known(f->away, &d, 5));
	feed_unref(feed);
}

static void nothing_comes_from_nowhere(void **state)
{
	struct digest d = digest_for("nowhere", 7);

	(void)state;
	assert_int_equal(finish(begin(f->away, &d, NULL)), -ENOENT);
	assert_int_equal(asked(&f->c.other, "POST "), 0);
}

static void a_file_that_changes_is_sent_anew(void **state)
{
	const size_t len = 3 * MIB;
	char *bytes = random_bytes(f, len, 6);
	struct feed *feed = feed_of(f, bytes, len, false);
	struct upload *u;
	struct digest d;

	(void)state;
	bytes[7] ^= 1;
	d = digest_for(bytes, len);
	u = begin(f->away, &d, feed);
	wait_asked(&f->c.other, "POST ", 1);
	usleep(50000); /* it is read; a request is on record at its end */
	assert_int_equal(feed_write(feed, bytes + 7, 1, 7), 0);
	usleep(5000);
	feed_end(feed);
	assert_int_equal(finish(u), 0);
	assert_true(away_holds(bytes, len));
	assert_int_equal(taken.committed, 1);
	feed_unref(feed);
}

static void a_blob_is_mounted_within_a_registry(void **state)
{
	struct digest d, e;
	struct feed *feed = feed_of(f, "elsewhere", 9, true);

	(void)state;
	put_blob(f, &f->here, "other/app", "mounted", 7, &d);
	assert_int_equal(finish(begin_from(f->repo, &d, f->other, 7, false)),
			 0);
	assert_true(holds(&f->here, &f->c.s, REPO, &d, "mounted", 7));
	assert_true(is_known(f->repo, &d, 7));
	/* Known to be in another repository, though the bytes are at hand. */
	put_blob(f, &f->here, "other/app", "elsewhere", 9, &e);
	learn_blob(f->other, &e, 9);
	assert_int_equal(finish(begin(f->repo, &e, feed)), 0);
	assert_int_equal(taken.mounted, 2);
	assert_int_equal(atomic_load(&taken.received), 0);
	assert_int_equal(atomic_load(&f->here.sent), 0);
	feed_unref(feed);
}

/* That somebody knows a name is no reason to give him what it names. */
static void a_name_alone_mounts_nothing(void **state)
{
	struct feed *wrong = feed_of(f, "wrong.", 6, true);
	struct feed *byte = feed_of(f, "x", 1, false);
	struct upload *u;
	struct digest d;

	(void)state;
	put_blob(f, &f->here, "other/app", "secret", 6, &d);
	learn_blob(f->other, &d, 6);
	assert_int_equal(finish(begin(f->repo, &d, NULL)), -ENOENT);
	assert_int_equal(finish(begin(f->repo, &d, wrong)), -EBADMSG);
	u = begin(f->repo, &d, byte);
	usleep(50000);
	feed_end(byte);
	assert_int_equal(finish(u), -EBADMSG);
	/* Said to be in another registry. */
	assert_true(finish(begin_from(f->repo, &d, f->away, 6, false)) < 0);
	assert_int_equal(taken.mounted, 0);
	assert_int_equal(asked(&f->c.s, "mount="), 0);
	assert_false(holds(&f->here, &f->c.s, REPO, &d, "secret", 6));
	assert_false(is_known(f->repo, &d, 6));
	feed_unref(wrong);
	feed_unref(byte);
}

/* Who writes what another repository holds sends nothing: that is decided when
 * all of it is there. */
static void a_mount_waits_for_the_last_byte(void **state)
{
	struct feed *feed = feed_of(f, "sec", 3, false);
	struct upload *u;
	struct digest d;

	(void)state;
	put_blob(f, &f->here, "other/app", "secret", 6, &d);
	learn_blob(f->other, &d, 6);
	u = begin(f->repo, &d, feed);
	usleep(100000);
	assert_int_equal(asked(&f->c.s, "POST "), 0);
	assert_int_equal(feed_write(feed, "ret", 3, 3), 0);
	feed_end(feed);
	assert_int_equal(finish(u), 0);
	assert_int_equal(taken.mounted, 1);
	assert_int_equal(atomic_load(&taken.received), 0);
	assert_true(holds(&f->here, &f->c.s, REPO, &d, "secret", 6));
	feed_unref(feed);
}

static void without_mounts_it_is_copied(void **state)
{
	struct digest d;

	(void)state;
	taken.no_mount = true;
	put_blob(f, &f->here, "other/app", "copied", 6, &d);
	assert_int_equal(finish(begin_from(f->repo, &d, f->other, 6, false)),
			 0);
	assert_true(holds(&f->here, &f->c.s, REPO, &d, "copied", 6));
	assert_int_equal(atomic_load(&taken.received), 6);
}

static void from_registry_to_registry(bool disk, size_t len)
{
	const char *bytes = random_bytes(f, len, 8);
	struct digest d;

	(void)disk;
	put_blob(f, &f->here, REPO, bytes, len, &d);
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, len, false)),
			 0);
	assert_true(away_holds(bytes, len));
	assert_int_equal(atomic_load(&f->here.sent), len);
}

static void a_blob_streams_between_registries(void **state)
{
	(void)state;
	from_registry_to_registry(true, 12 * MIB + 5);
}

static void a_cache_without_room_is_no_obstacle(void **state)
{
	(void)state;
	upload_fixture_free(f);
	f = upload_fixture_new(false);
	from_registry_to_registry(false, 24 * MIB);
}

static void a_blob_that_is_not_what_it_should_be(void **state)
{
	const size_t len = MIB; /* one answer */
	const char *bytes = random_bytes(f, len, 9);
	struct digest d;

	(void)state;
	put_blob(f, &f->here, REPO, bytes, len, &d);
	atomic_store(&f->here.spoil, true);
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, len, false)),
			 -EBADMSG);
	assert_int_equal(taken.committed, 0);
}

static void what_the_source_refuses_is_the_answer(void **state)
{
	struct digest d = digest_for("gone", 4);

	(void)state;
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 4, false)),
			 -ENOENT);
	f->here.status = 403;
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 4, false)),
			 -EACCES);
	f->here.status = 0;
	f->there.status = 403;
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 4, false)),
			 -EACCES);
	assert_true(errors_say(f, "said DENIED"));
}

/* --- tickets --- */

static void who_wants_the_same_shares_the_work(void **state)
{
	struct digest d = digest_for("shared", 6);
	struct feed *feed = feed_of(f, "shared", 6, true);
	struct upload *u[3];

	(void)state;
	atomic_store(&taken.hold_posts, true);
	u[0] = begin(f->away, &d, feed);
	wait_asked(&f->c.other, "POST ", 1);
	u[1] = begin(f->away, &d, feed);
	u[2] = upload_ref(u[0]);
	atomic_store(&taken.hold_posts, false);
	for (size_t i = 0; i < COUNT(u); i++)
		assert_int_equal(finish(u[i]), 0);
	assert_int_equal(asked(&f->c.other, "POST "), 1);
	/* The next one asks: the registry may have lost it. */
	assert_int_equal(finish(begin(f->away, &d, feed)), 0);
	assert_int_equal(asked(&f->c.other, "HEAD "), 2);
	feed_unref(feed);
}

static void another_party_has_the_bytes(void **state)
{
	const size_t len = 2 * MIB;
	const char *bytes = random_bytes(f, len, 10);
	struct digest d = digest_for(bytes, len);
	struct feed *first = feed_of(f, bytes, 100, false);
	struct feed *wrong = feed_of(f, bytes, 100, true);
	struct feed *whole = feed_of(f, bytes, len, true);
	struct upload *u[3] = {begin(f->away, &d, first)};

	(void)state;
	wait_asked(&f->c.other, "POST ", 1);
	u[1] = begin(f->away, &d, wrong);
	u[2] = begin(f->away, &d, whole);
	feed_abort(first);
	assert_int_equal(finish(u[2]), 0);
	assert_int_equal(finish(u[1]), -EBADMSG);
	upload_unref(u[0]);
	assert_true(away_holds(bytes, len));
	feed_unref(first);
	feed_unref(wrong);
	feed_unref(whole);
}

static void a_writer_who_stopped_holds_up_nobody(void **state)
{
	const size_t len = 2 * MIB;
	const char *bytes = random_bytes(f, len, 11);
	struct digest d = digest_for(bytes, len);
	struct feed *stopped = feed_of(f, bytes, len / 2, false);
	struct feed *whole = feed_of(f, bytes, len, true);
	struct upload *u = begin(f->away, &d, stopped);

	(void)state;
	wait_asked(&f->c.other, "POST ", 1);
	assert_int_equal(finish(begin(f->away, &d, whole)), 0);
	assert_true(away_holds(bytes, len));
	upload_unref(u);
	feed_unref(stopped);
	feed_unref(whole);
}

static void files_being_written_leave_a_place(void **state)
{
	struct feed *growing[8], *whole = feed_of(f, "whole", 5, true);
	struct digest d = digest_for("whole", 5);
	struct upload *u[COUNT(growing)];
	struct upload_counts n;

	(void)state;
	for (size_t i = 0; i < COUNT(growing); i++) {
		char text[16];
		struct digest e;
		int len = snprintf(text, sizeof(text), "growing %zu", i);

		growing[i] = feed_of(f, text, (size_t)len, false);
		e = digest_for(text, (size_t)len);
		u[i] = begin(f->away, &e, growing[i]);
	}
	wait_asked(&f->c.other, "POST ", 5);
	assert_int_equal(finish(begin(f->away, &d, whole)), 0);
	uploads_count(outbox->uploads, &n);
	assert_int_equal(n.running, 5);
	assert_int_equal(n.queued, COUNT(growing) - 5);
	/* One that was queued while it grew takes that place at its end. */
	feed_end(growing[7]);
	assert_int_equal(finish(u[7]), 0);
	for (size_t i = 0; i < 7; i++)
		feed_end(growing[i]);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(finish(u[i]), 0);
	for (size_t i = 0; i < COUNT(growing); i++)
		feed_unref(growing[i]);
	feed_unref(whole);
}

static void the_last_one_out_calls_it_off(void **state)
{
	struct digest d = digest_for("never", 5);
	struct feed *feed = feed_of(f, "nev", 3, false);
	struct upload *u = begin(f->away, &d, feed);

	(void)state;
	wait_asked(&f->c.other, "POST ", 1);
	upload_unref(upload_ref(u));
	assert_true(outbox_busy(outbox));
	upload_unref(u);
	wait_idle();
	assert_false(outbox_busy(outbox));
	wait_asked(&f->c.other, "DELETE ", 1);
	/* The next one begins anew, even while that one is dying. */
	assert_int_equal(feed_write(feed, "er", 2, 3), 0);
	feed_end(feed);
	assert_int_equal(finish(begin(f->away, &d, feed)), 0);
	feed_unref(feed);
}

static void *write_slowly(void *arg)
{
	static const char text[] = "patience";
	struct feed *feed = arg;

	for (size_t i = 1; i < sizeof(text) - 1; i++) {
		usleep(80000);
		if (feed_write(feed, text + i, 1, i) < 0)
			abort();
	}
	feed_end(feed);
	return NULL;
}

static void who_waits_has_patience_with_what_moves(void **state)
{
	struct digest d = digest_for("patience", 8);
	struct feed *feed = feed_of(f, "p", 1, false);
	struct upload *u;
	pthread_t thread;
	struct wait w;

	(void)state;
	outbox->times.commit_budget = 250;
	u = begin(f->away, &d, feed);
	wait_init(&w, 300, WAIT_CANCELLABLE);
	assert_int_equal(upload_wait(u, &w), -ETIMEDOUT);
	assert_true(errors_say(f, "nothing moved"));
	wait_init(&w, 5000, WAIT_CANCELLABLE);
	wait_interrupt(&w);
	assert_int_equal(upload_wait(u, &w), -EINTR);
	/* The writer takes twice as long, but never stops for so long. */
	assert_int_equal(pthread_create(&thread, NULL, write_slowly, feed), 0);
	wait_init(&w, 250, WAIT_CANCELLABLE);
	assert_int_equal(upload_wait(u, &w), 0);
	pthread_join(thread, NULL);
	upload_unref(u);
	feed_unref(feed);
}

static void the_end_of_the_outbox_ends_all(void **state)
{
	struct digest d = digest_for("cut", 3), e = digest_for("there", 5);
	struct feed *feed = feed_of(f, "cu", 2, false);
	struct upload *u = begin(f->away, &d, feed);
	struct upload_spec spec = {.repo = f->away, .digest = &e};
	uint64_t since = clock_ms();
	int result = 0;

	(void)state;
	wait_asked(&f->c.other, "POST ", 1);
	uploads_stop(outbox->uploads);
	assert_true(clock_ms() - since < 3000);
	assert_true(upload_done(u, &result));
	assert_int_not_equal(result, 0);
	upload_unref(u);
	assert_int_equal(upload_begin(outbox, &spec, &u), -ESHUTDOWN);
	feed_unref(feed);
}

/* --- a crowd --- */

#define CROWD_BLOBS 6
#define CROWD_ROUNDS 12

static char crowd_bodies[CROWD_BLOBS][16];

static void crowd_one(unsigned x)
{
	const char *body = crowd_bodies[x % CROWD_BLOBS];
	size_t len = strlen(body);
	struct digest d = digest_for(body, len);
	bool ahead = x % 3 == 0 && x % 2 == 0;
	struct feed *feed = NULL;
	struct upload *u;
	int r;

	if (x % 3 == 0) {
		u = begin_from(f->away, &d, f->repo, len, ahead);
	} else {
		feed = feed_of(f, body, len - 1, false);
		u = begin(f->away, &d, feed);
		if (feed_write(feed, body + len - 1, 1, len - 1) < 0)
			abort();
		feed_end(feed);
	}
	r = 0;
	if (x % 5 == 0)
		upload_unref(u);
	else
		r = finish(u);
	/* What was begun ahead others may have forgotten. */
	if (r != 0 && !(ahead && (r == -ECANCELED || r == -EINTR))) {
		fprintf(stderr, "%u: %d\n", x, r);
		abort();
	}
	if (x % 7 == 0)
		upload_forget_ahead(outbox, f->away);
	feed_unref(feed);
}

static void *crowd_main(void *arg)
{
	unsigned x = *(unsigned *)arg;

	for (unsigned i = 0; i < CROWD_ROUNDS; i++) {
		x = x * 1664525 + 1013904223;
		crowd_one(x >> 8);
	}
	return NULL;
}

static void a_crowd_is_served(void **state)
{
	unsigned seeds[] = {1, 2, 3, 4};
	pthread_t threads[COUNT(seeds)];
	struct digest d;

	(void)state;
	taken.forgetful = true; /* so that there is always something to do */
	for (unsigned i = 0; i < CROWD_BLOBS; i++) {
		snprintf(crowd_bodies[i], sizeof(crowd_bodies[i]), "crowd %u",
			 i);
		put_blob(f, &f->here, REPO, crowd_bodies[i],
			 strlen(crowd_bodies[i]), &d);
	}
	for (size_t i = 0; i < COUNT(seeds); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_main,
						&seeds[i]),
				 0);
	for (size_t i = 0; i < COUNT(seeds); i++)
		pthread_join(threads[i], NULL);
	wait_idle();
	assert_true(taken.committed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_written_file_is_sent),
		T(a_file_is_sent_while_it_is_written),
		T(what_is_there_is_only_asked_for),
		T(wrong_bytes_are_never_committed),
		T(nothing_comes_from_nowhere),
		T(a_file_that_changes_is_sent_anew),
		T(a_blob_is_mounted_within_a_registry),
		T(a_name_alone_mounts_nothing),
		T(a_mount_waits_for_the_last_byte),
		T(without_mounts_it_is_copied),
		T(a_blob_streams_between_registries),
		T(a_cache_without_room_is_no_obstacle),
		T(a_blob_that_is_not_what_it_should_be),
		T(what_the_source_refuses_is_the_answer),
		T(who_wants_the_same_shares_the_work),
		T(another_party_has_the_bytes),
		T(a_writer_who_stopped_holds_up_nobody),
		T(files_being_written_leave_a_place),
		T(the_last_one_out_calls_it_off),
		T(who_waits_has_patience_with_what_moves),
		T(the_end_of_the_outbox_ends_all),
		T(a_crowd_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
