/* SPDX-License-Identifier: Apache-2.0 */
#include "publish-images.h"

#define SUBJECT                                                                \
	",\"subject\":{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST                \
	"\",\"digest\":\"%s\",\"size\":7},\"annotations\":{\"a\":\"b\"}"

static char *subject_text(const struct digest *d)
{
	char *s = str_printf(SUBJECT, text_of(d));

	assert_non_null(s);
	return s;
}

static void test_subject(void **state)
{
	struct image_made i = make_image("a", NULL), j;
	char *more = subject_text(&i.root.digest);

	j = make_image("signature", more);
	/* The list of referrers comes before the name. */
	assert_int_equal(publish_as("sig", &j.root, NULL, NULL), 0);
	assert_noted(1, "REFER team/app %s", text_of(&i.root.digest));
	assert_true(noted_before(CONFIG " 1", "PUT team/app sig"));
	assert_noted(1, "LEARN team/app referrers %s", text_of(&i.root.digest));
	/* A registry that does it itself. */
	world.indexes = true;
	assert_int_equal(publish_as("sig", &j.root, NULL, NULL), 0);
	assert_noted(1, "REFER");
	/* It fails: the name is not given. */
	world.indexes = false;
	world.referrers_error = -EACCES;
	assert_int_equal(publish_as("sig2", &j.root, NULL, NULL), -EACCES);
	assert_tag("sig2", NULL);
	free(more);
	free(i.root.bytes);
	free(j.root.bytes);
}

/* In another repository, with a blob of its own, which refers to `subject`. */
static struct part refer_there(const char *seed, const struct digest *subject)
{
	struct part config = blob_there(other, CONFIG, seed), p;
	char *more = subject_text(subject);

	p = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, more);
	manifest_there(other, &p);
	free(more);
	return p;
}

static int copy_as(const char *name, const struct part *root)
{
	const struct publication p = {.outbox = &world.outbox,
				      .repo = app,
				      .name = name,
				      .root = &root->digest,
				      .mediatype = root->type,
				      .find = hand_find,
				      .from = other};

	return publish(&p, &w, NULL, NULL);
}

static void test_copy_referrers(void **state)
{
	struct image_made i = make_image("a", NULL);
	struct part root, v[5];
	const struct digest *of;
	struct digest d;

	root = document(MEDIATYPE_OCI_INDEX, NULL, &i.root, 1, NULL);
	hand_add(root.bytes, &d);
	v[0] = refer_there("of the root", &root.digest);
	v[1] = refer_there("of a child", &i.root.digest);
	of = &v[0].digest;
	for (int k = 2; k < 5; k++) { /* of each other */
		char seed[16];

		snprintf(seed, sizeof(seed), "%d", k);
		v[k] = refer_there(seed, of);
		of = &v[k].digest;
	}
	assert_int_equal(copy_as("1.5", &root), 0);
	assert_noted(2, "PUT"); /* it was not asked for */
	world.options.copy_referrers = true;
	assert_int_equal(copy_as("1.5", &root), 0);
	for (int k = 0; k < 5; k++)
		assert_noted(k < 4, "PUT team/app %s", text_of(&v[k].digest));
	assert_noted(4, "REFER");
	assert_noted(4, "SENT");
	for (int k = 0; k < 5; k++)
		free(v[k].bytes);
	free(i.root.bytes);
	free(root.bytes);
}

/* The image is there, the others are copied, and it is said which was not. */
static void test_copy_referrers_fails(void **state)
{
	struct image_made i = make_image("a", NULL);
	struct part bad = refer_there("lost", &i.root.digest), good;

	for (size_t k = 0; k < world.len; k++)
		if (world.things[k].repo == other &&
		    world.things[k].kind == THING_BLOB)
			world.things[k].hidden = true;
	good = refer_there("good", &i.root.digest);
	world.options.copy_referrers = true;
	assert_int_equal(copy_as("1.5", &i.root), -EIO);
	assert_tag("1.5", &i.root.digest);
	assert_noted(1, "PUT team/app %s", text_of(&good.digest));
	assert_noted(0, "PUT team/app %s", text_of(&bad.digest));
	assert_noted(1, "FAULT team/app/_manifests/%s %d", text_of(&bad.digest),
		     -EIO);
	assert_noted(1, "FAULT");
	/* Not even which there are. */
	world.referrers_error = -EACCES;
	assert_int_equal(copy_as("1.5", &i.root), -EIO);
	free(i.root.bytes);
	free(bad.bytes);
	free(good.bytes);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_subject),
		TEST(test_copy_referrers),
		TEST(test_copy_referrers_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
