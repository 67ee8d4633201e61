/* SPDX-License-Identifier: Apache-2.0 */
#include "publish-images.h"

#include "util/clock.h"

/* After a media type, within its quotes. */
#define URLS "\",\"urls\":[\"https://example.com/x\"],\"x\":\""

/* The mount goes on believing that it is there. */
static void hide(enum thing_kind kind, const struct repo *r,
		 const struct digest *d)
{
	struct thing *t = thing_find(kind, r, d);

	assert_non_null(t);
	if (t)
		t->hidden = true;
}

/* --- tests --- */

static void test_one(void **state)
{
	struct image_made i = make_image("a", NULL);

	assert_int_equal(publish_as("1.5", &i.root, NULL, NULL), 0);
	assert_tag("1.5", &i.root.digest);
	/* All was known: nothing but the PUT was asked. */
	assert_noted(0, "BEGIN");
	assert_noted(0, "GET");
	assert_noted(1, "PUT team/app 1.5");
	assert_noted(1, "PUT");
	assert_noted(1, "LEARN team/app 1.5 = %s", text_of(&i.root.digest));
	assert_noted(1, "CHANGED team/app 1.5");
	assert_noted(1, "SUPERSEDED 1.5");
	free(i.root.bytes);
}

static void test_by_digest(void **state)
{
	struct image_made i = make_image("a", NULL);
	struct image_made j = make_image("b", NULL);

	assert_int_equal(
		publish_as(text_of(&i.root.digest), &i.root, NULL, NULL), 0);
	assert_noted(1, "PUT team/app %s", text_of(&i.root.digest));
	assert_noted(1, "CHANGED team/app %s", text_of(&i.root.digest));
	assert_int_equal(
		publish_as(text_of(&j.root.digest), &i.root, NULL, NULL),
		-EINVAL);
	assert_int_equal(publish_as("no tag", &i.root, NULL, NULL), -EINVAL);
	assert_noted(2, "FAULT");
	assert_noted(1, "PUT");
	free(i.root.bytes);
	free(j.root.bytes);
}

/* What is only at hand is sent; what is not known is asked for. */
static void test_blobs(void **state)
{
	struct part config = blob_there(app, CONFIG, "config"), layers[3], root;
	struct digest d;

	layers[0] = part_of(LAYER, "at hand");
	hand_add("at hand", &d);
	layers[1] = part_of(LAYER, "elsewhere");
	pthread_mutex_lock(&world.lock);
	thing_add(THING_BLOB, app, &layers[1].digest);
	pthread_mutex_unlock(&world.lock);
	layers[2] = layers[0]; /* named twice, sent once */
	root = document(MEDIATYPE_OCI_MANIFEST, &config, layers, 3, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), 0);
	assert_noted(1, "BEGIN team/app %s feed", text_of(&layers[0].digest));
	assert_noted(1, "BEGIN team/app %s", text_of(&layers[1].digest));
	assert_noted(2, "BEGIN");
	assert_noted(1, "SENT");
	assert_true(noted_before("SENT", "PUT"));
	free(root.bytes);
}

static void test_missing(void **state)
{
	struct part config = part_of(CONFIG, "config"), children[2], layers[2],
		    root;
	struct string_list missing = {.v = NULL};
	struct publish_docs docs = {.v = NULL};
	struct digest d;

	layers[0] = part_of(LAYER, "not there");
	layers[1] = blob_there(app, LAYER, "there");
	children[0] =
		document(MEDIATYPE_OCI_MANIFEST, &config, layers, 2, NULL);
	hand_add(children[0].bytes, &d);
	children[1] = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	root = document(MEDIATYPE_OCI_INDEX, NULL, children, 2, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(string_list_add(&missing, "stale"), 0);
	assert_int_equal(publish_as("1.5", &root, &missing, &docs), -EAGAIN);
	assert_int_equal(missing.len, 3);
	assert_true(string_list_has(&missing, text_of(&config.digest)));
	assert_true(string_list_has(&missing, text_of(&layers[0].digest)));
	assert_true(string_list_has(&missing, text_of(&children[1].digest)));
	assert_noted(0, "PUT");
	assert_tag("1.5", NULL);
	/* Those at hand are given, for the journal. */
	assert_int_equal(docs.len, 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(
			digest_equal(&docs.v[i]->digest, &root.digest) ||
			digest_equal(&docs.v[i]->digest, &children[0].digest));
	publish_docs_done(&docs);
	assert_null(docs.v);
	string_list_done(&missing);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), -EAGAIN);
	free(children[0].bytes);
	free(children[1].bytes);
	free(root.bytes);
}

/* The root itself is not there, and may not be seen. */
static void test_no_root(void **state)
{
	struct part root = part_of(MEDIATYPE_OCI_MANIFEST, "{}");
	struct string_list missing = {.v = NULL};

	assert_int_equal(publish_as("1.5", &root, &missing, NULL), -EAGAIN);
	assert_int_equal(missing.len, 1);
	world.fetch_error = -EACCES;
	assert_int_equal(publish_as("1.5", &root, &missing, NULL), -EAGAIN);
	assert_int_equal(missing.len, 1);
	world.fetch_error = -ETIMEDOUT;
	assert_int_equal(publish_as("1.5", &root, &missing, NULL), -ETIMEDOUT);
	string_list_done(&missing);
}

/* Children first; many at once, but not before theirs. */
static void test_index(void **state)
{
	struct part children[9], nested, tops[2], root;
	struct image_made i[9];
	char seed[16];
	struct digest d;

	for (int k = 0; k < 9; k++) {
		snprintf(seed, sizeof(seed), "%d", k);
		i[k] = make_image(seed, NULL);
		children[k] = i[k].root;
	}
	nested = document(MEDIATYPE_OCI_INDEX, NULL, children, 8, NULL);
	hand_add(nested.bytes, &d);
	tops[0] = nested;
	tops[1] = children[8];
	root = document(MEDIATYPE_OCI_INDEX, NULL, tops, 2, NULL);
	hand_add(root.bytes, &d);
	world.slow_ms = 5;
	world.watched = true;
	world.caller = pthread_self();
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), 0);
	/* Only the caller knows what it must not wait for. */
	assert_int_equal(world.told_elsewhere, 0);
	assert_noted(11, "CHANGED");
	assert_tag("1.5", &root.digest);
	assert_noted(11, "PUT");
	assert_true(world.busy_max > 1);
	for (int k = 0; k < 9; k++)
		assert_noted(1, "LEARN team/app %s",
			     text_of(&children[k].digest));
	for (int k = 0; k < 9; k++)
		free(i[k].root.bytes);
	free(nested.bytes);
	free(root.bytes);
}

/* One that fails ends it; the name is not touched. */
static void test_child_refused(void **state)
{
	struct part children[4], root;
	struct image_made i[4];
	char seed[16];
	struct digest d;

	for (int k = 0; k < 4; k++) {
		snprintf(seed, sizeof(seed), "%d", k);
		i[k] = make_image(seed, NULL);
		children[k] = i[k].root;
	}
	root = document(MEDIATYPE_OCI_INDEX, NULL, children, 4, NULL);
	hand_add(root.bytes, &d);
	world.put_error = -EACCES;
	snprintf(world.put_error_for, sizeof(world.put_error_for), "%s",
		 text_of(&children[2].digest));
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), -EACCES);
	assert_noted(0, "PUT team/app 1.5");
	assert_noted(0, "SUPERSEDED");
	for (int k = 0; k < 4; k++)
		free(i[k].root.bytes);
	free(root.bytes);
}

static void *interrupt_soon(void *arg)
{
	usleep(20000);
	wait_interrupt(&w);
	return NULL;
}

/* Who is interrupted does not wait for the registry. */
static void test_interrupted(void **state)
{
	atomic_bool hold = true;
	struct part children[3], root;
	struct image_made i[3];
	pthread_t thread;
	struct digest d;
	char seed[16];
	uint64_t began;

	for (int k = 0; k < 3; k++) {
		snprintf(seed, sizeof(seed), "%d", k);
		i[k] = make_image(seed, NULL);
		children[k] = i[k].root;
	}
	root = document(MEDIATYPE_OCI_INDEX, NULL, children, 3, NULL);
	hand_add(root.bytes, &d);
	world.hold = &hold;
	w.tid = WAIT_CANCELLABLE;
	began = clock_ms();
	assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, NULL),
			 0);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), -EINTR);
	assert_true(clock_ms() - began < 3000);
	pthread_join(thread, NULL);
	assert_noted(0, "PUT");
	for (int k = 0; k < 3; k++)
		free(i[k].root.bytes);
	free(root.bytes);
}

/* A child that the registry has is neither walked nor put. */
static void test_child_there(void **state)
{
	struct part config = part_of(CONFIG, "config"), child, root;
	struct digest d;

	child = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	manifest_there(app, &child);
	root = document(MEDIATYPE_OCI_INDEX, NULL, &child, 1, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), 0);
	assert_noted(1, "GET team/app %s", text_of(&child.digest));
	assert_noted(1, "PUT");
	assert_noted(0, "BEGIN");
	free(child.bytes);
	free(root.bytes);
}

/* The registry has lost what the mount believes to be there. */
static void test_lost(void **state)
{
	struct part config = blob_there(app, CONFIG, "config"), layer, child,
		    root;
	struct string_list missing = {.v = NULL};
	struct digest d;

	layer = blob_there(app, LAYER, "layer");
	child = document(MEDIATYPE_OCI_MANIFEST, &config, &layer, 1, NULL);
	manifest_there(app, &child);
	root = document(MEDIATYPE_OCI_INDEX, NULL, &child, 1, NULL);
	hand_add(root.bytes, &d);
	hand_add("layer", &d);
	/* The child and one of its layers: both can be had again. */
	hide(THING_MANIFEST, app, &child.digest);
	hide(THING_BLOB, app, &layer.digest);
	assert_int_equal(publish_as("1.5", &root, &missing, NULL), 0);
	assert_noted(1, "SENT");
	assert_noted(2, "PUT team/app 1.5");
	assert_noted(1, "PUT team/app %s", text_of(&child.digest));
	/* Not again. */
	hide(THING_BLOB, app, &config.digest);
	hide(THING_MANIFEST, app, &child.digest);
	assert_int_equal(publish_as("1.6", &root, &missing, NULL), -EAGAIN);
	assert_int_equal(missing.len, 1);
	assert_string_equal(missing.v[0], text_of(&config.digest));
	assert_noted(1, "LEARN team/app gone %s", text_of(&config.digest));
	assert_tag("1.6", NULL);
	string_list_done(&missing);
	free(child.bytes);
	free(root.bytes);
}

/* It is never asked more than once more. */
static void test_no_repository(void **state)
{
	struct image_made i = make_image("a", NULL);

	world.put_error = -ENOENT;
	assert_int_equal(publish_as("1.5", &i.root, NULL, NULL), -ENOENT);
	assert_noted(2, "PUT");
	free(i.root.bytes);
}

/* Nobody could pull it again. */
static void test_wrong_blob_size(void **state)
{
	struct part config = blob_there(app, CONFIG, "config"), root;
	struct part layer = part_of(LAYER, "at hand");
	struct digest d;

	hand_add("at hand", &d);
	layer.size++;
	root = document(MEDIATYPE_OCI_MANIFEST, &config, &layer, 1, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), -EBADMSG);
	assert_noted(0, "PUT");
	free(root.bytes);
}

static void test_foreign(void **state)
{
	struct part config = blob_there(app, CONFIG, "config"), layers[2], root;
	struct digest d;

	layers[0] = part_of(FOREIGN URLS, "foreign");
	layers[1] = part_of(FOREIGN URLS, "foreign, at hand");
	hand_add("foreign, at hand", &d);
	root = document(MEDIATYPE_OCI_MANIFEST, &config, layers, 2, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), 0);
	assert_noted(1, "BEGIN");
	assert_noted(1, "SENT team/app %s", text_of(&layers[1].digest));
	free(root.bytes);
}

/* Whoever pulls a layer that may be distributed expects it here. */
static void test_urls(void **state)
{
	static const char *const types[] = {
		(LAYER URLS), ("application/vnd.example.layer" URLS), FOREIGN};

	for (size_t i = 0; i < COUNT(types); i++) {
		struct part config = blob_there(app, CONFIG, "config"), root;
		const struct part layer = part_of(types[i], "elsewhere");
		struct string_list missing = {.v = NULL};
		struct digest d;

		root = document(MEDIATYPE_OCI_MANIFEST, &config, &layer, 1,
				NULL);
		hand_add(root.bytes, &d);
		assert_int_equal(publish_as("1.5", &root, &missing, NULL),
				 -EAGAIN);
		assert_int_equal(missing.len, 1);
		assert_noted(0, "PUT");
		string_list_done(&missing);
		free(root.bytes);
	}
}

/* An entry of an unknown kind binds nobody. */
static void test_odd_entry(void **state)
{
	struct part parts[2], root;
	struct image_made i = make_image("a", NULL);
	struct digest d;

	parts[0] = part_of("application/vnd.example.thing", "thing");
	parts[1] = i.root;
	root = document(MEDIATYPE_OCI_INDEX, NULL, parts, 2, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), 0);
	assert_noted(0, "BEGIN");
	free(i.root.bytes);
	free(root.bytes);
}

/* A manifest that some tool has sent as a blob. */
static void test_sent_as_blob(void **state)
{
	struct part config = blob_there(app, CONFIG, "config"), child, root;
	struct digest d;

	child = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	blob_there(app, child.type, child.bytes);
	world.things[world.len - 1].bytes = strdup(child.bytes);
	world.things[world.len - 1].len = child.size;
	root = document(MEDIATYPE_OCI_INDEX, NULL, &child, 1, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), 0);
	assert_noted(1, "PUT team/app %s", text_of(&child.digest));
	free(child.bytes);
	free(root.bytes);
}

/* --- what is not what it is said to be --- */

static void check_bad(const struct part *child, int error, const char *object)
{
	struct part root;
	struct digest d;

	root = document(MEDIATYPE_OCI_INDEX, NULL, child, 1, NULL);
	hand_add(root.bytes, &d);
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), error);
	assert_noted(0, "PUT");
	assert_noted(1, "FAULT team/app/_manifests/%s %d", object, error);
	free(root.bytes);
}

static void test_wrong_size(void **state)
{
	struct image_made i = make_image("a", NULL);

	i.root.size++;
	check_bad(&i.root, -EBADMSG, text_of(&i.root.digest));
	free(i.root.bytes);
}

static void test_wrong_type(void **state)
{
	struct image_made i = make_image("a", NULL);

	i.root.type = MEDIATYPE_OCI_INDEX;
	check_bad(&i.root, -EINVAL, text_of(&i.root.digest));
	free(i.root.bytes);
}

static void test_wrong_bytes(void **state)
{
	struct image_made i = make_image("a", NULL);
	struct part p = part_of(MEDIATYPE_OCI_MANIFEST, "something else");

	/* At hand under another's digest. */
	world.hand_digest[0] = p.digest;
	p.size = i.root.size;
	check_bad(&p, -EBADMSG, text_of(&p.digest));
	free(i.root.bytes);
}

static void test_rubbish(void **state)
{
	struct part p = part_of(MEDIATYPE_OCI_MANIFEST, "{\"rubbish\":true}");
	struct digest d;

	hand_add("{\"rubbish\":true}", &d);
	check_bad(&p, -EINVAL, text_of(&p.digest));
}

static void test_too_large(void **state)
{
	size_t len = MANIFEST_BYTES_MAX + 1;
	char *bytes = malloc(len + 1);
	struct part p;
	struct digest d;

	assert_non_null(bytes);
	memset(bytes, ' ', len);
	bytes[len] = '\0';
	p = part_of(MEDIATYPE_OCI_MANIFEST, bytes);
	hand_add(bytes, &d);
	check_bad(&p, -EFBIG, text_of(&p.digest));
	free(bytes);
}

static void test_too_deep(void **state)
{
	struct part p[MANIFEST_DEPTH_MAX + 2];
	struct digest d;
	int r;

	p[0] = make_image("a", NULL).root;
	for (int k = 1; k < MANIFEST_DEPTH_MAX + 2; k++) {
		p[k] = document(MEDIATYPE_OCI_INDEX, NULL, &p[k - 1], 1, NULL);
		hand_add(p[k].bytes, &d);
		r = publish_as("1.5", &p[k], NULL, NULL);
		assert_int_equal(r, k > MANIFEST_DEPTH_MAX ? -ELOOP : 0);
	}
	for (int k = 0; k < MANIFEST_DEPTH_MAX + 2; k++)
		free(p[k].bytes);
}

/* A file that is still being written is not at hand. */
static void test_growing(void **state)
{
	struct image_made i = make_image("a", NULL);

	world.hand[0]->ended = false;
	assert_int_equal(publish_as("1.5", &i.root, NULL, NULL), -EAGAIN);
	world.hand[0]->ended = true;
	assert_int_equal(publish_as("1.5", &i.root, NULL, NULL), 0);
	free(i.root.bytes);
}

static void test_upload_fails(void **state)
{
	struct part config = part_of(CONFIG, "config"), root;
	struct digest d;

	hand_add("config", &d);
	root = document(MEDIATYPE_OCI_MANIFEST, &config, NULL, 0, NULL);
	hand_add(root.bytes, &d);
	world.upload_error = -EDQUOT;
	assert_int_equal(publish_as("1.5", &root, NULL, NULL), -EDQUOT);
	assert_noted(0, "PUT");
	free(root.bytes);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one),
		TEST(test_by_digest),
		TEST(test_blobs),
		TEST(test_missing),
		TEST(test_no_root),
		TEST(test_index),
		TEST(test_child_refused),
		TEST(test_interrupted),
		TEST(test_child_there),
		TEST(test_lost),
		TEST(test_no_repository),
		TEST(test_foreign),
		TEST(test_odd_entry),
		TEST(test_sent_as_blob),
		TEST(test_wrong_blob_size),
		TEST(test_urls),
		TEST(test_wrong_size),
		TEST(test_wrong_type),
		TEST(test_wrong_bytes),
		TEST(test_rubbish),
		TEST(test_too_large),
		TEST(test_too_deep),
		TEST(test_growing),
		TEST(test_upload_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
