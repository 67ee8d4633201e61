/* SPDX-License-Identifier: Apache-2.0 */
#include "content/doc.h"

#include "content-fixture.h"

static const char manifest[] =
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST "\","
	"\"config\":{\"mediaType\":\"" MEDIATYPE_OCI_CONFIG "\",\"size\":2,"
	"\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310"
	"c060f61caaff8a\"},\"layers\":[]}";
static struct fixture *f;
static struct digest digest;

static int setup(void **state)
{
	f = fixture_new(true);
	put_manifest(f, &f->here, REPO, MEDIATYPE_OCI_MANIFEST, manifest,
		     &digest);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static int fetch(struct repo *repo)
{
	struct doc *d;
	int r = doc_fetch(repo, &digest, &f->c.w, &d);

	if (r == 0) {
		assert_string_equal(doc_manifest(d)->bytes, manifest);
		assert_true(digest_equal(&doc_manifest(d)->digest, &digest));
		doc_unref(d);
	}
	return r;
}

static unsigned got(void)
{
	return asked(&f->c.s, "GET /v2/" REPO "/manifests/");
}

static void test_once(void **state)
{
	struct doc *d, *again;

	assert_int_equal(doc_fetch(f->repo, &digest, &f->c.w, &d), 0);
	assert_int_equal(doc_fetch(f->repo, &digest, &f->c.w, &again), 0);
	assert_ptr_equal(d, again);
	doc_unref(d);
	doc_unref(again);
	/* From the store, after a new mount. */
	content_restart(f);
	assert_int_equal(fetch(f->repo), 0);
	assert_int_equal(got(), 1);
}

static void *fetch_main(void *arg)
{
	struct wait w;
	struct doc *d;

	wait_init(&w, 5000, 0);
	*(int *)arg = doc_fetch(f->repo, &digest, &w, &d);
	if (*(int *)arg == 0)
		doc_unref(d);
	return NULL;
}

static void test_together(void **state)
{
	pthread_t threads[16];
	int results[COUNT(threads)];

	atomic_store(&f->here.hold_manifests, true);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, fetch_main, &results[i]);
	wait_asked(&f->c.s, "/manifests/", 1);
	usleep(20000);
	atomic_store(&f->here.hold_manifests, false);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], 0);
	}
	assert_int_equal(got(), 1);
}

/* Known here, but the others have to show that they have it, too. */
static void test_grants(void **state)
{
	assert_int_equal(fetch(f->repo), 0);
	assert_int_equal(fetch(f->other), -ENOENT);
	assert_int_equal(fetch(f->away), -ENOENT);
	put_manifest(f, &f->there, REPO, MEDIATYPE_OCI_MANIFEST, manifest,
		     NULL);
	assert_int_equal(fetch(f->away), 0);
	assert_int_equal(fetch(f->away), 0);
	assert_int_equal(asked(&f->c.other, "GET /v2/" REPO "/manifests/"), 2);
	f->there.status = 403;
	assert_int_equal(fetch(f->away), 0);
}

static void test_wrong_bytes(void **state)
{
	char type[] = MEDIATYPE_OCI_MANIFEST;
	struct digest d;
	struct doc *doc;

	digest_of(HASH_SHA256, "other", 5, &d);
	put_manifest(f, &f->here, REPO, type, manifest, NULL);
	digest_format(&d, f->here.things[1].digest);
	assert_int_equal(doc_fetch(f->repo, &d, &f->c.w, &doc), -EBADMSG);
	/* Nothing of it was kept. */
	content_restart(f);
	assert_int_equal(doc_fetch(f->repo, &d, &f->c.w, &doc), -EBADMSG);
}

static int by_descriptor(uint64_t size, const char *type)
{
	char *copy = strdup(type);
	struct descriptor d = {
		.mediatype = copy, .digest = digest, .size_bytes = size};
	struct doc *doc;
	int r = doc_fetch_descriptor(f->repo, &d, &f->c.w, &doc);

	if (r == 0)
		doc_unref(doc);
	free(copy);
	return r;
}

static void test_descriptor(void **state)
{
	static const struct {
		int off;
		const char *type;
		int want;
	} cases[] = {
		{0, MEDIATYPE_OCI_MANIFEST, 0},
		{1, MEDIATYPE_OCI_MANIFEST, -EBADMSG},
		{-1, MEDIATYPE_OCI_MANIFEST, -EBADMSG},
		{0, MEDIATYPE_OCI_INDEX, -EBADMSG},
		{0, MEDIATYPE_DOCKER_MANIFEST, -EBADMSG},
	};
	autostr text = {.max = 4096};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(
			by_descriptor(strlen(manifest) + (uint64_t)cases[i].off,
				      cases[i].type),
			cases[i].want);
	assert_int_equal(got(), 1);
	assert_int_equal(
		content_last_error(f->content, f->c.s.host, REPO, &text), 0);
	assert_non_null(strstr(text.buf, "descriptor"));
}

/* More than memory keeps: the store has them. */
static void test_many(void **state)
{
	enum { N = 12, PAD = 1 << 20 };
	struct digest d[N];
	struct doc *doc;

	for (int i = 0; i < N; i++) {
		char *body = keep(f, malloc(PAD + 400));
		int n = snprintf(body, 400, "%.*s,\"annotations\":{\"n%d\":\"",
				 (int)strlen(manifest) - 1, manifest, i);

		memset(body + n, 'x', PAD);
		memcpy(body + n + PAD, "\"}}", 4);
		put_manifest(f, &f->here, REPO, MEDIATYPE_OCI_MANIFEST, body,
			     &d[i]);
	}
	for (int i = 0; i < 2 * N; i++) {
		assert_int_equal(doc_fetch(f->repo, &d[i % N], &f->c.w, &doc),
				 0);
		doc_unref(doc);
		assert_true(f->content->docs_bytes <= (size_t)8 << 20);
	}
	assert_int_equal(got(), N);
}

/* Parsed, a small document takes several times the bytes of its text. */
static void test_small(void **state)
{
	enum { N = 20 };

	for (int i = 0; i < N; i++) {
		struct digest d;
		struct doc *doc;
		char *body = keep(f, malloc(600));

		snprintf(body, 600, "%.*s,\"annotations\":{\"n\":\"%d\"}}",
			 (int)strlen(manifest) - 1, manifest, i);
		put_manifest(f, &f->here, REPO, MEDIATYPE_OCI_MANIFEST, body,
			     &d);
		assert_int_equal(doc_fetch(f->repo, &d, &f->c.w, &doc), 0);
		doc_unref(doc);
	}
	assert_true(f->content->docs_bytes >=
		    N * (strlen(manifest) + sizeof(struct manifest)));
}

static void test_not_there(void **state)
{
	struct digest d;
	struct doc *doc;

	digest_of(HASH_SHA256, "?", 1, &d);
	assert_int_equal(doc_fetch(f->repo, &d, &f->c.w, &doc), -ENOENT);
	f->here.status = 401;
	assert_int_equal(doc_fetch(f->repo, &d, &f->c.w, &doc), -EACCES);
	f->content->gate.max = 0;
	assert_int_equal(doc_fetch(f->repo, &d, &f->c.w, &doc), -EBUSY);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_once),	     T(test_together),	 T(test_grants),
		T(test_wrong_bytes), T(test_descriptor), T(test_many),
		T(test_small),	     T(test_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
