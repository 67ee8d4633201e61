/* SPDX-License-Identifier: Apache-2.0 */
/* What is begun ahead, what is shown, and the outbox as a whole. */
#include "upload-fixture.h"

#include "push/sending.h"

/* --- ahead --- */

static void what_was_begun_ahead_is_there_when_asked_for(void **state)
{
	struct digest d;

	(void)state;
	put_blob(f, &f->here, REPO, "ahead", 5, &d);
	upload_unref(begin_from(f->away, &d, f->repo, 5, true));
	wait_idle();
	assert_true(away_holds("ahead", 5));
	/* Asked for once, this is as good as having waited for it. */
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 5, false)), 0);
	assert_int_equal(asked(&f->c.other, "HEAD "), 1);
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 5, false)), 0);
	assert_int_equal(asked(&f->c.other, "HEAD "), 2);
	/* Unless it is known to be gone. */
	upload_unref(begin_from(f->away, &d, f->repo, 5, true));
	wait_idle();
	learn_gone(f->away, &d);
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 5, false)), 0);
	assert_int_equal(asked(&f->c.other, "HEAD "), 4);
}

static void who_is_waited_for_goes_first(void **state)
{
	static const char *const bodies[] = {"a0", "a1", "a2", "a3",
					     "a4", "a5", "a6", "a7"};
	struct digest d[COUNT(bodies)], e;
	struct upload *wanted, *promoted;
	struct feed *feed = feed_of(f, "wanted", 6, true);

	(void)state;
	e = digest_for("wanted", 6);
	atomic_store(&taken.hold_posts, true);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		put_blob(f, &f->here, REPO, bodies[i], 2, &d[i]);
		upload_unref(begin_from(f->away, &d[i], f->repo, 2, true));
	}
	wait_asked(&f->c.other, "POST ", 5);
	wanted = begin(f->away, &e, feed);
	wait_asked(&f->c.other, "POST ", 6);
	promoted = begin_from(f->away, &d[7], f->repo, 2, false);
	usleep(20000);
	/* All places are taken, and the last one by who is waited for. */
	assert_int_equal(asked(&f->c.other, "POST "), 6);
	upload_forget_ahead(outbox, f->away);
	atomic_store(&taken.hold_posts, false);
	assert_int_equal(finish(wanted), 0);
	assert_int_equal(finish(promoted), 0);
	wait_idle();
	assert_true(away_holds("a7", 2));
	assert_false(away_holds("a0", 2));
	assert_false(away_holds("a5", 2));
	feed_unref(feed);
}

static void nothing_is_begun_ahead_while_draining(void **state)
{
	struct digest d = digest_for("there", 5);
	struct upload_spec spec = {
		.repo = f->away, .digest = &d, .ahead = true};
	struct upload *u;

	(void)state;
	outbox_drain(outbox);
	assert_int_equal(upload_begin(outbox, &spec, &u), -ESHUTDOWN);
	assert_int_equal(outbox_writable(outbox, f->away), -ESHUTDOWN);
	put_blob(f, &f->there, REPO, "there", 5, NULL);
	assert_int_equal(finish(begin(f->away, &d, NULL)), 0);
}

#define MANIFEST                                                               \
	"{\"schemaVersion\":2,\"config\":{\"mediaType\":"                      \
	"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\","      \
	"\"size\":2},\"layers\":[{\"mediaType\":"                              \
	"\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\","        \
	"\"size\":3},{\"mediaType\":"                                          \
	"\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\","        \
	"\"size\":4}]}"

static struct image *put_image(void)
{
	static const char *const bodies[] = {"{}", "abc", "defg"};
	char text[COUNT(bodies)][DIGEST_TEXT_MAX];
	struct image *image;
	struct digest d;
	char *body;

	for (size_t i = 0; i < COUNT(bodies); i++) {
		put_blob(f, &f->here, REPO, bodies[i], strlen(bodies[i]), &d);
		digest_format(&d, text[i]);
	}
	body = keep(f, str_printf(MANIFEST, text[0], text[1], text[2]));
	put_manifest(f, &f->here, REPO,
		     "application/vnd.oci.image.manifest.v1+json", body, &d);
	assert_int_equal(image_open(f->repo, &d, NULL, &image), 0);
	return image;
}

static void the_rest_of_an_image_follows(void **state)
{
	struct image *image = put_image();
	struct digest d = digest_for("abc", 3);

	(void)state;
	upload_siblings(outbox, f->away, image);
	upload_siblings(outbox, f->away, image);
	assert_int_equal(finish(begin_from(f->away, &d, f->repo, 3, false)), 0);
	for (int i = 0;
	     i < 3000 && !(away_holds("{}", 2) && away_holds("defg", 4)); i++)
		usleep(1000);
	wait_idle();
	assert_true(away_holds("{}", 2));
	assert_true(away_holds("defg", 4));
	assert_int_equal(taken.committed, 3);
	assert_int_equal(asked(&f->c.s, "/manifests/sha256:"), 1);
	/* What refers to it will be asked for, too. */
	wait_asked(&f->c.s, "/referrers/", 1);
	image_unref(image);
}

static size_t queued_ahead(struct digest *ret, size_t max)
{
	struct uploads *u = outbox->uploads;
	size_t n = 0;

	autolock(&u->lock);
	list_for(node, &u->ahead) {
		assert_true(n < max);
		ret[n++] = container_of(node, struct sending, node)->digest;
	}
	return n;
}

/* Or it would go on alone when all others are done. */
static void the_largest_goes_first(void **state)
{
	static const char *const bodies[] = {"b0", "b1", "b2", "b3", "b4"};
	struct image *image = put_image();
	struct digest d[8], abc = digest_for("abc", 3),
			    defg = digest_for("defg", 4);

	(void)state;
	atomic_store(&taken.hold_posts, true);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		put_blob(f, &f->here, REPO, bodies[i], 2, &d[0]);
		upload_unref(begin_from(f->away, &d[0], f->repo, 2, true));
	}
	wait_asked(&f->c.other, "POST ", COUNT(bodies));
	upload_siblings(outbox, f->away, image);
	for (int i = 0; i < 3000 && queued_ahead(d, COUNT(d)) < 3; i++)
		usleep(1000);
	assert_int_equal(queued_ahead(d, COUNT(d)), 3);
	assert_true(digest_equal(&d[0], &defg));
	assert_true(digest_equal(&d[1], &abc));
	image_unref(image);
}

static void the_rest_is_forgotten_when_nobody_comes(void **state)
{
	struct image *image = put_image();

	(void)state;
	atomic_store(&taken.hold_posts, true);
	upload_siblings(outbox, f->away, image);
	wait_asked(&f->c.other, "POST ", 1);
	upload_forget_ahead(outbox, f->away);
	atomic_store(&taken.hold_posts, false);
	wait_idle();
	assert_int_equal(taken.committed, 0);
	/* And begun again when somebody does. */
	upload_siblings(outbox, f->away, image);
	for (int i = 0; i < 3000 && !away_holds("defg", 4); i++)
		usleep(1000);
	assert_true(away_holds("defg", 4));
	image_unref(image);
}

/* --- what is shown --- */

static void transfers_are_listed(void **state)
{
	struct digest d = digest_for("shown", 5), e;
	struct feed *feed = feed_of(f, "shown", 5, true);
	autostr out = {0}, status = {0}, json = {0};
	struct upload *u;

	(void)state;
	put_blob(f, &f->here, REPO, "ahead", 5, &e);
	atomic_store(&taken.hold_posts, true);
	u = begin(f->away, &d, feed);
	upload_unref(begin_from(f->away, &e, f->repo, 5, true));
	wait_asked(&f->c.other, "POST ", 2);
	assert_int_equal(outbox_print_transfers(outbox, &out), 0);
	assert_non_null(strstr(out.buf, "[                    ] 127.0.0.1:"));
	assert_non_null(strstr(out.buf, REPO " sha256:"));
	assert_non_null(strstr(out.buf, " out: 0 of 5 bytes, 0 bytes/s, 0 s "
					"left\n"));
	assert_non_null(strstr(out.buf, " s left, ahead\n"));
	assert_int_equal(outbox_print_status(outbox, &status), 0);
	assert_non_null(strstr(status.buf, "2 uploads, 0 queued"));
	assert_int_equal(outbox_print_json(outbox, &json), 0);
	assert_non_null(strstr(json.buf, "\"outgoing\":{\"uploads\":2,"));
	atomic_store(&taken.hold_posts, false);
	assert_int_equal(finish(u), 0);
	feed_unref(feed);
}

/* --- the outbox --- */

static void sessions_of_an_earlier_run_are_cancelled(void **state)
{
	char url[128];
	int64_t id;

	(void)state;
	snprintf(url, sizeof(url), "%s/v2/%s/blobs/uploads/7",
		 f->c.other.origin, REPO);
	taken.sessions[7].open = true;
	assert_int_equal(
		journal_session_open(journal, f->c.other.host, REPO, url, &id),
		0);
	outbox_end();
	outbox_begin(f);
	assert_int_equal(outbox_start(outbox), 0);
	wait_asked(&f->c.other, "DELETE /v2/" REPO "/blobs/uploads/7", 1);
	outbox_end();
	outbox_begin(f);
	assert_int_equal(outbox_start(outbox), 0);
	usleep(20000);
	assert_int_equal(asked(&f->c.other, "DELETE "), 1);
}

static void what_is_over_leaves_no_session(void **state)
{
	struct digest d = digest_for("session", 7);
	struct feed *feed = feed_of(f, "session", 7, true);

	(void)state;
	assert_int_equal(finish(begin(f->away, &d, feed)), 0);
	assert_int_equal(asked(&f->c.other, "POST "), 1);
	outbox_end();
	outbox_begin(f);
	assert_int_equal(outbox_start(outbox), 0);
	usleep(20000);
	assert_int_equal(asked(&f->c.other, "DELETE "), 0);
	feed_unref(feed);
}

static void not_every_mount_can_be_written(void **state)
{
	(void)state;
	assert_int_equal(outbox_writable(outbox, f->away), 0);
	f->options.read_only = true;
	assert_int_equal(outbox_writable(outbox, f->away), -EROFS);
	f->options.read_only = false;
	f->options.offline = true;
	assert_int_equal(outbox_writable(outbox, f->away), -ENETDOWN);
	f->options.offline = false;
	upload_fixture_free(f);
	f = upload_fixture_new(false);
	assert_int_equal(outbox_writable(outbox, f->away), -EROFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_was_begun_ahead_is_there_when_asked_for),
		T(who_is_waited_for_goes_first),
		T(nothing_is_begun_ahead_while_draining),
		T(the_rest_of_an_image_follows),
		T(the_largest_goes_first),
		T(the_rest_is_forgotten_when_nobody_comes),
		T(transfers_are_listed),
		T(sessions_of_an_earlier_run_are_cancelled),
		T(what_is_over_leaves_no_session),
		T(not_every_mount_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
