/* SPDX-License-Identifier: Apache-2.0 */
#include "publish-fixture.h"

#include "push/pending_private.h"
#include "push/tagging.h"

static struct repo *app;
static struct part config, image;
static struct wait w;

void pending_superseded(struct outbox *o, struct repo *r, const char *name)
{
	pthread_mutex_lock(&world.lock);
	note("SUPERSEDED %s", name);
	pthread_mutex_unlock(&world.lock);
}

static int setup(void **state)
{
	struct thing *t;

	world_start();
	app = repo_make("team/app");
	world.options.allow_delete = true;
	world.alone = true;
	wait_init(&w, 20000, 0);
	config = blob_there(app, CONFIG, "config");
	image = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	manifest_there(app, &image);
	t = thing_add(THING_TAG, app, &image.digest);
	t->name = strdup("1.5");
	return 0;
}

static int teardown(void **state)
{
	free(image.bytes);
	world_stop();
	return 0;
}

static const struct digest *tag_of(const char *tag)
{
	const struct thing *t = tag_find(app, tag);

	return t ? &t->digest : NULL;
}

static void test_put(void **state)
{
	struct digest absent = image.digest;

	absent.raw[0] ^= 1;
	assert_int_equal(
		tagging_put(&world.outbox, app, "stable", &image.digest, &w),
		0);
	assert_true(digest_equal(tag_of("stable"), &image.digest));
	assert_int_equal(noted("LEARN team/app stable = sha256:"), 1);
	assert_int_equal(noted("CHANGED team/app stable"), 1);
	assert_int_equal(noted("SUPERSEDED stable"), 1);
	/* A tag needs no permission to delete. */
	world.options.allow_delete = false;
	assert_int_equal(
		tagging_put(&world.outbox, app, "1.5", &image.digest, &w), 0);
	assert_int_equal(tagging_put(&world.outbox, app, "x", &absent, &w),
			 -ENOENT);
	assert_int_equal(
		tagging_put(&world.outbox, app, "no tag", &image.digest, &w),
		-EINVAL);
	world.put_error = -EPERM;
	assert_int_equal(
		tagging_put(&world.outbox, app, "y", &image.digest, &w),
		-EPERM);
	assert_int_equal(noted("CHANGED team/app y"), 0);
	world.writable_error = -EROFS;
	assert_int_equal(
		tagging_put(&world.outbox, app, "z", &image.digest, &w),
		-EROFS);
	assert_int_equal(noted("PUT team/app z"), 0);
}

static void test_rename(void **state)
{
	assert_int_equal(tagging_rename(&world.outbox, app, "1.5", "2.0", &w),
			 0);
	assert_true(digest_equal(tag_of("2.0"), &image.digest));
	assert_true(
		noted_before("PUT team/app 2.0", "DELETE team/app tag 1.5"));
	assert_int_equal(noted("LEARN team/app no 1.5"), 1);
	assert_int_equal(noted("CHANGED team/app 1.5"), 1);
	assert_int_equal(noted("CHANGED team/app 2.0"), 1);
	assert_int_equal(tagging_rename(&world.outbox, app, "gone", "x", &w),
			 -ENOENT);
	assert_int_equal(tagging_rename(&world.outbox, app, "a b", "x", &w),
			 -EINVAL);
	/* To itself: nothing, above all no removal. */
	assert_int_equal(tagging_rename(&world.outbox, app, "2.0", "2.0", &w),
			 0);
	assert_int_equal(noted("DELETE"), 1);
}

static void *put_image(void *arg)
{
	struct wait mine;

	wait_init(&mine, 20000, 0);
	assert_int_equal(
		tagging_put(&world.outbox, app, arg, &image.digest, &mine), 0);
	return NULL;
}

/* One name is changed by one at a time, two are by two. */
static void test_crowd(void **state)
{
	static char tags[][4] = {"x", "x", "x", "y", "z"};
	pthread_t v[COUNT(tags)];

	world.alone = false;
	world.slow_ms = 30;
	for (size_t n = 3; n <= COUNT(tags); n += 2) {
		world.busy_max = 0;
		for (size_t i = n - 3; i < n; i++)
			assert_int_equal(
				pthread_create(&v[i], NULL, put_image, tags[i]),
				0);
		for (size_t i = n - 3; i < n; i++)
			pthread_join(v[i], NULL);
		assert_int_equal(world.busy_max, n == 3 ? 1 : 3);
	}
}

/* Nobody waits for ever. */
static void test_occupied(void **state)
{
	struct turn *turns[2];

	wait_init(&w, 20000, 0);
	assert_int_equal(
		turn_take_two(&world.outbox, app, "1.5", "1.4", &w, turns), 0);
	wait_init(&w, 20, 0);
	assert_int_equal(
		tagging_put(&world.outbox, app, "1.5", &image.digest, &w),
		-ETIMEDOUT);
	assert_int_equal(tagging_remove(&world.outbox, app, "1.4", &w),
			 -ETIMEDOUT);
	assert_int_equal(tagging_rename(&world.outbox, app, "1.5", "1.6", &w),
			 -ETIMEDOUT);
	assert_int_equal(noted("PUT") + noted("DELETE"), 0);
	turn_leave(turns[0]);
	turn_leave(turns[1]);
	wait_init(&w, 20000, 0);
	assert_int_equal(tagging_rename(&world.outbox, app, "1.5", "1.4", &w),
			 0);
}

/* Both names are there then, and that is said. */
static void test_rename_half(void **state)
{
	world.delete_error = -EROFS;
	assert_int_equal(tagging_rename(&world.outbox, app, "1.5", "2.0", &w),
			 -EROFS);
	assert_non_null(tag_of("2.0"));
	assert_int_equal(noted("FAULT team/app/_tags/2.0 -30 the image is also "
			       "still under its old name 1.5"),
			 1);
	assert_int_equal(noted("LEARN team/app no 1.5"), 0);
	/* The first half fails: nothing is removed. */
	world.put_error = -EACCES;
	assert_int_equal(tagging_rename(&world.outbox, app, "1.5", "3.0", &w),
			 -EACCES);
	assert_int_equal(noted("DELETE"), 1);
}

static void test_remove(void **state)
{
	char digest[DIGEST_TEXT_MAX];
	char line[256];

	digest_format(&image.digest, digest);
	assert_int_equal(tagging_remove(&world.outbox, app, "1.5", &w), 0);
	assert_int_equal(noted("DELETE team/app tag 1.5"), 1);
	assert_int_equal(noted("LEARN team/app no 1.5"), 1);
	assert_int_equal(noted("SUPERSEDED 1.5"), 1);
	assert_int_equal(noted("CHANGED team/app 1.5"), 1);
	assert_int_equal(
		tagging_remove_manifest(&world.outbox, app, &image.digest, &w),
		0);
	snprintf(line, sizeof(line), "DELETE team/app manifest %s", digest);
	assert_int_equal(noted(line), 1);
	snprintf(line, sizeof(line), "LEARN team/app gone %s", digest);
	assert_int_equal(noted(line), 1);
	snprintf(line, sizeof(line), "CHANGED team/app %s", digest);
	assert_int_equal(noted(line), 1);
	assert_int_equal(noted("UNREFER"), 0);
	assert_int_equal(
		tagging_remove_blob(&world.outbox, app, &config.digest, &w), 0);
	assert_int_equal(noted("DELETE team/app blob"), 1);
	digest_format(&config.digest, digest);
	snprintf(line, sizeof(line), "LEARN team/app gone %s", digest);
	assert_int_equal(noted(line), 1);
	assert_int_equal(tagging_remove(&world.outbox, app, "a b", &w),
			 -EINVAL);
}

static void test_remove_fails(void **state)
{
	world.delete_error = -EPERM;
	assert_int_equal(tagging_remove(&world.outbox, app, "1.5", &w), -EPERM);
	assert_int_equal(
		tagging_remove_manifest(&world.outbox, app, &image.digest, &w),
		-EPERM);
	assert_int_equal(
		tagging_remove_blob(&world.outbox, app, &config.digest, &w),
		-EPERM);
	assert_int_equal(noted("DELETE"), 3);
	assert_int_equal(noted("LEARN"), 0);
	assert_int_equal(noted("CHANGED"), 0);
	assert_int_equal(noted("SUPERSEDED"), 0);
}

/* A registry that keeps a list of referrers must not be left with it. */
static void test_remove_referrer(void **state)
{
	char *more = str_printf(
		",\"subject\":{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST
		"\",\"digest\":\"%s\",\"size\":7}",
		text_of(&image.digest));
	struct part p =
		document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, more);
	char line[256];

	manifest_there(app, &p);
	assert_int_equal(
		tagging_remove_manifest(&world.outbox, app, &p.digest, &w), 0);
	snprintf(line, sizeof(line), "UNREFER team/app %s %s",
		 text_of(&image.digest), text_of(&p.digest));
	assert_int_equal(noted(line), 1);
	assert_true(noted_before("DELETE", "UNREFER"));
	assert_int_equal(noted("LEARN team/app referrers"), 1);
	world.referrers_error = -EACCES;
	assert_int_equal(
		tagging_remove_manifest(&world.outbox, app, &p.digest, &w),
		-EACCES);
	assert_int_equal(noted("FAULT team/app/_manifests/sha256:"), 1);
	/* It is gone all the same. */
	assert_int_equal(noted("LEARN team/app gone"), 2);
	/* What it refers to cannot be found out: then it is not removed. */
	world.fetch_error = -ETIMEDOUT;
	assert_int_equal(
		tagging_remove_manifest(&world.outbox, app, &p.digest, &w),
		-ETIMEDOUT);
	assert_int_equal(noted("DELETE"), 2);
	free(p.bytes);
	free(more);
}

static void test_not_allowed(void **state)
{
	world.options.allow_delete = false;
	assert_int_equal(tagging_remove(&world.outbox, app, "1.5", &w), -EPERM);
	assert_int_equal(tagging_rename(&world.outbox, app, "1.5", "2.0", &w),
			 -EPERM);
	assert_int_equal(
		tagging_remove_manifest(&world.outbox, app, &image.digest, &w),
		-EPERM);
	assert_int_equal(
		tagging_remove_blob(&world.outbox, app, &config.digest, &w),
		-EPERM);
	assert_int_equal(noted("FAULT team/app/_tags/1.5 -1 removing"), 2);
	assert_int_equal(noted("FAULT team/app/_manifests/sha256:"), 1);
	assert_int_equal(noted("FAULT team/app/_blobs/sha256:"), 1);
	world.options.allow_delete = true;
	world.writable_error = -ENETDOWN;
	assert_int_equal(tagging_remove(&world.outbox, app, "1.5", &w),
			 -ENETDOWN);
	assert_int_equal(noted("DELETE"), 0);
	assert_int_equal(noted("PUT"), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_put),		 TEST(test_rename),
		TEST(test_rename_half),	 TEST(test_remove),
		TEST(test_remove_fails), TEST(test_remove_referrer),
		TEST(test_not_allowed),	 TEST(test_crowd),
		TEST(test_occupied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
