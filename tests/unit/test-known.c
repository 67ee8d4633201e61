/* SPDX-License-Identifier: Apache-2.0 */
/* What was changed through the mount is what the mount shows, at once. */
#include "content/known.h"

#include "content-fixture.h"

#include "content/catalogue.h"
#include "content/doc.h"
#include "content/image.h"
#include "content/listing.h"
#include "content/resolve.h"

#define MANIFEST(note)                                                         \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST "\","   \
	"\"annotations\":{\"note\":\"" note "\"},"                             \
	"\"config\":{\"mediaType\":\"" MEDIATYPE_OCI_CONFIG "\",\"size\":2,"   \
	"\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e83" \
	"10c060f61caaff8a\"},\"layers\":[]}"

static struct fixture *f;
/* What the registry lists, and what refers to anything. */
static const char *tags, *repositories, *referrers;
static bool unknown; /* it has not heard of the repository yet */

static bool answer_lists(struct site *site, const struct request *q,
			 struct reply *p)
{
	if (strstr(q->target, "/" TAGS)) {
		if (unknown)
			refuse(p, 404, "NAME_UNKNOWN");
		else
			say(p, 200, tags);
	} else if (strstr(q->target, "/_catalog")) {
		say(p, 200, repositories);
	} else if (strstr(q->target, "/referrers/")) {
		add_head(p, "Content-Type: " MEDIATYPE_OCI_INDEX);
		say(p, 200, referrers);
	} else {
		return false;
	}
	return true;
}

static int setup(void **state)
{
	f = fixture_new(true);
	f->here.hook = answer_lists;
	tags = "{\"tags\":[\"1.0\",\"2.0\"]}";
	repositories = "{\"repositories\":[\"lone\",\"other/app\"]}";
	referrers = "{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX
		    "\",\"manifests\":[]}";
	unknown = false;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static struct manifest *parse(const char *body)
{
	struct manifest *m = NULL;

	assert_int_equal(manifest_parse(body, strlen(body),
					MEDIATYPE_OCI_MANIFEST, HASH_SHA256, &m,
					NULL),
			 0);
	return m;
}

/* Puts it and says so; its digest. */
static struct digest tag(const char *name, const char *body)
{
	struct manifest *m = parse(body);
	struct digest d = m->digest;

	put_tag(f, &f->here, REPO, name, MEDIATYPE_OCI_MANIFEST, body, NULL);
	learn_tag(f->repo, name, m);
	manifest_free(m);
	return d;
}

/* The names a reader sees, divided by blanks. */
static const char *listed(void)
{
	static char text[256];
	struct listing *l;
	const char *name;
	int r;

	text[0] = '\0';
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	for (size_t i = 0; (r = listing_at(l, i, &f->c.w, &name)) == 0; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s%s", i ? " " : "", name);
	listing_unref(l);
	if (r != -ENODATA)
		snprintf(text, sizeof(text), "%d", r);
	return text;
}

static void test_tag(void **state)
{
	struct digest first, second;
	struct resolved res;
	struct doc *doc;

	put_tag(f, &f->here, REPO, "1.0", MEDIATYPE_OCI_MANIFEST,
		MANIFEST("first"), &first);
	assert_int_equal(resolve_tag(f->repo, "1.0", &f->c.w, &res), 0);
	assert_true(digest_equal(&res.digest, &first));
	second = tag("1.0", MANIFEST("second"));
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), 0);
	assert_true(digest_equal(&res.digest, &second));
	assert_int_equal(res.size_bytes, strlen(MANIFEST("second")));
	assert_string_equal(res.mediatype, MEDIATYPE_OCI_MANIFEST);
	assert_true(res.fresh_ms > 50000);
	assert_int_equal(doc_fetch(f->repo, &second, &f->c.w, &doc), 0);
	assert_string_equal(doc_manifest(doc)->bytes, MANIFEST("second"));
	doc_unref(doc);
	assert_int_equal(asked(&f->c.s, "/manifests/"), 1);
	/* Nobody else was given it. */
	assert_int_equal(doc_fetch(f->other, &second, &f->c.w, &doc), -ENOENT);
	/* It is kept. */
	content_restart(f);
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), 0);
	assert_true(digest_equal(&res.digest, &second));
}

static void *resolve_main(void *arg)
{
	struct resolved res;
	struct wait w;

	wait_init(&w, 5000, 0);
	if (resolve_tag(f->repo, "1.0", &w, &res) < 0)
		memset(&res.digest, 0, sizeof(res.digest));
	*(struct digest *)arg = res.digest;
	return NULL;
}

/* The answer to an older question does not undo a newer change. */
static void test_late_answer(void **state)
{
	struct digest seen, second;
	struct resolved res;
	pthread_t thread;

	put_tag(f, &f->here, REPO, "1.0", MEDIATYPE_OCI_MANIFEST,
		MANIFEST("first"), NULL);
	atomic_store(&f->here.hold_manifests, true);
	pthread_create(&thread, NULL, resolve_main, &seen);
	wait_asked(&f->c.s, "/manifests/1.0", 1);
	usleep(10000);
	second = tag("1.0", MANIFEST("second"));
	/* Others do not matter. */
	tag("2.0", MANIFEST("other"));
	atomic_store(&f->here.hold_manifests, false);
	pthread_join(thread, NULL);
	assert_true(digest_equal(&seen, &second));
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), 0);
	assert_true(digest_equal(&res.digest, &second));
	assert_int_equal(asked(&f->c.s, "/manifests/1.0"), 2);
}

static void test_late_absence(void **state)
{
	struct digest seen, second;
	struct resolved res;
	pthread_t thread;

	put_tag(f, &f->here, REPO, "1.0", MEDIATYPE_OCI_MANIFEST,
		MANIFEST("first"), NULL);
	atomic_store(&f->here.hold_manifests, true);
	pthread_create(&thread, NULL, resolve_main, &seen);
	wait_asked(&f->c.s, "/manifests/1.0", 1);
	usleep(10000);
	take_away(f, &f->here, "1.0");
	learn_no_tag(f->repo, "1.0");
	atomic_store(&f->here.hold_manifests, false);
	pthread_join(thread, NULL);
	memset(&second, 0, sizeof(second));
	assert_true(digest_equal(&seen, &second));
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), -ENOENT);
}

static void test_unrelated_change(void **state)
{
	struct digest seen, first;
	pthread_t thread;

	put_tag(f, &f->here, REPO, "1.0", MEDIATYPE_OCI_MANIFEST,
		MANIFEST("first"), &first);
	atomic_store(&f->here.hold_manifests, true);
	pthread_create(&thread, NULL, resolve_main, &seen);
	wait_asked(&f->c.s, "/manifests/1.0", 1);
	usleep(10000);
	tag("2.0", MANIFEST("other"));
	learn_no_tag(f->repo, "3.0");
	atomic_store(&f->here.hold_manifests, false);
	pthread_join(thread, NULL);
	assert_true(digest_equal(&seen, &first));
	assert_int_equal(asked(&f->c.s, "/manifests/1.0"), 1);
}

/* More changes than are remembered one by one. */
static void test_many_changes(void **state)
{
	struct manifest *m = parse(MANIFEST("first"));
	uint64_t before = f->repo->tag_epoch;
	char name[16];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "t%03d", i);
		learn_tag(f->repo, name, m);
	}
	manifest_free(m);
	pthread_mutex_lock(&f->repo->lock);
	assert_int_equal(f->repo->changes.len, 256);
	assert_true(repo_tag_changed(f->repo, "nothing", before));
	assert_false(repo_tag_changed(f->repo, "nothing", before + 44));
	assert_true(repo_tag_changed(f->repo, "t044", before + 44));
	assert_false(repo_tag_changed(f->repo, "t044", before + 45));
	/* as after half a minute */
	for (size_t i = 0; i < 100; i++)
		f->repo->changes.v[i].until_ms = 1;
	pthread_mutex_unlock(&f->repo->lock);
	learn_no_tag(f->repo, "t299");
	pthread_mutex_lock(&f->repo->lock);
	assert_int_equal(f->repo->changes.len, 156);
	assert_true(repo_tag_changed(f->repo, "nothing", before + 143));
	assert_false(repo_tag_changed(f->repo, "nothing", before + 144));
	pthread_mutex_unlock(&f->repo->lock);
	tags = "{\"tags\":[\"t000\",\"t298\",\"t299\"]}";
	assert_int_equal(strncmp(listed(), "t000 t298 t144 t145", 19), 0);
	assert_null(strstr(listed(), "t299"));
}

static void test_listing(void **state)
{
	struct resolved res;
	uint64_t fresh;

	assert_string_equal(listed(), "1.0 2.0");
	assert_true(listing_knows_tag(f->repo, "2.0", &fresh));
	/* The registry takes a while until it lists what it has. */
	tag("1.5", MANIFEST("new"));
	assert_string_equal(listed(), "1.0 2.0 1.5");
	tag("2.0", MANIFEST("again"));
	assert_string_equal(listed(), "1.0 2.0 1.5");
	learn_no_tag(f->repo, "2.0");
	assert_false(listing_knows_tag(f->repo, "2.0", &fresh));
	assert_string_equal(listed(), "1.0 1.5");
	assert_int_equal(resolve_peek(f->repo, "2.0", &res), -ENOENT);
	learn_no_tag(f->repo, "1.5");
	assert_string_equal(listed(), "1.0");
	tag("2.0", MANIFEST("again"));
	assert_string_equal(listed(), "1.0 2.0");
	assert_int_equal(asked(&f->c.s, TAGS), 6);
	/* later, what it lists counts */
	f->repo->changes.v[0].until_ms = 1;
	f->repo->changes.v[1].until_ms = 1;
	learn_no_tag(f->repo, "x");
	tags = "{\"tags\":[\"1.5\"]}";
	assert_string_equal(listed(), "1.5");
}

static void test_listing_new_repository(void **state)
{
	unknown = true;
	assert_string_equal(listed(), "-2");
	tag("1.0", MANIFEST("new"));
	assert_string_equal(listed(), "1.0");
}

static void test_listing_offline(void **state)
{
	tag("1.0", MANIFEST("a"));
	tag("2.0", MANIFEST("b"));
	f->options.offline = true;
	assert_string_equal(listed(), "1.0 2.0");
	learn_no_tag(f->repo, "1.0");
	assert_string_equal(listed(), "2.0");
	assert_int_equal(asked(&f->c.s, TAGS), 0);
}

static void test_catalogue(void **state)
{
	struct catalogue *t;
	const char *name;
	struct digest d;

	digest_of(HASH_SHA256, "x", 1, &d);
	assert_int_equal(catalogue_open(f->content, f->c.s.host, &t), 0);
	assert_int_equal(catalogue_child(t, "", 0, &f->c.w, &name), 0);
	assert_string_equal(name, "lone");
	learn_blob(f->repo, &d, 1);
	assert_int_equal(catalogue_child(t, "", 2, &f->c.w, &name), 0);
	assert_string_equal(name, "team");
	assert_int_equal(catalogue_child(t, "team", 0, &f->c.w, &name), 0);
	assert_string_equal(name, "app");
	/* once */
	learn_blob(f->repo, &d, 1);
	learn_blob(f->other, &d, 1);
	assert_int_equal(catalogue_child(t, "", 3, &f->c.w, &name), -ENODATA);
	assert_int_equal(catalogue_child(t, "team", 1, &f->c.w, &name),
			 -ENODATA);
	catalogue_unref(t);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 1);
}

static void test_blob(void **state)
{
	struct manifest *m = parse(MANIFEST("a"));
	char text[8] = "";
	struct digest d;
	uint64_t size = 0;

	put_blob(f, &f->here, REPO, "content", 7, &d);
	assert_false(known_blob(f->repo, &d, &size));
	learn_blob(f->repo, &d, 7);
	assert_true(known_blob(f->repo, &d, &size));
	assert_int_equal(size, 7);
	assert_true(known_blob(f->repo, &d, NULL));
	assert_false(known_blob(f->other, &d, NULL));
	assert_false(known_blob(f->away, &d, NULL));
	assert_int_equal(asked(&f->c.s, "/blobs/"), 0);
	/* readable without another question whether it may be */
	assert_int_equal(read_blob(f->repo, &d, 7, text, 7, 0), 7);
	assert_string_equal(text, "content");
	assert_int_equal(asked(&f->c.s, "HEAD"), 0);
	/* A manifest is no blob, but one document can be both. */
	learn_manifest(f->repo, m);
	assert_false(known_blob(f->repo, &m->digest, NULL));
	learn_blob(f->repo, &m->digest, m->size_bytes);
	assert_true(known_blob(f->repo, &m->digest, &size));
	assert_int_equal(size, m->size_bytes);
	manifest_free(m);
}

static void grant_as(const char *host, const char *repository,
		     const char *identity, const struct digest *d)
{
	struct grant_row row = {
		.digest = *d, .kind = GRANT_BLOB, .size_bytes = 7};

	assert_int_equal(grant_put(f->store, host, repository, identity, &row),
			 0);
}

static void test_holder(void **state)
{
	struct allow *strict, *open = f->content->allow;
	const char *host = f->c.s.host;
	char *name = NULL, pattern[300];
	struct options o = {.timeout_s = 2};
	struct digest d;

	digest_of(HASH_SHA256, "x", 1, &d);
	assert_int_equal(known_holder(f->repo, &d, &name), -ENOENT);
	learn_blob(f->repo, &d, 7);
	assert_int_equal(known_holder(f->repo, &d, &name), -ENOENT);
	learn_blob(f->away, &d, 7);
	assert_int_equal(known_holder(f->repo, &d, &name), -ENOENT);
	/* somebody else's */
	grant_as(host, "secret/app", "0000000000000000", &d);
	assert_int_equal(known_holder(f->repo, &d, &name), -ENOENT);
	learn_blob(f->other, &d, 7);
	assert_int_equal(known_holder(f->repo, &d, &name), 0);
	assert_string_equal(name, "other/app");
	free(name);
	assert_int_equal(known_holder(f->other, &d, &name), 0);
	assert_string_equal(name, REPO);
	free(name);
	/* off the list */
	snprintf(pattern, sizeof(pattern), "%s/team/**", host);
	assert_int_equal(string_list_add(&o.allow, pattern), 0);
	assert_int_equal(allow_new(&o, f->c.auth, &strict), 0);
	f->content->allow = strict;
	assert_int_equal(known_holder(f->repo, &d, &name), -ENOENT);
	f->content->allow = open;
	allow_free(strict);
	string_list_done(&o.allow);
	learn_gone(f->other, &d);
	assert_int_equal(known_holder(f->repo, &d, &name), -ENOENT);
}

static void test_gone(void **state)
{
	struct digest first = tag("1.0", MANIFEST("first")), second;
	struct resolved res;
	struct doc *doc;

	tag("latest", MANIFEST("first"));
	second = tag("2.0", MANIFEST("second"));
	learn_blob(f->repo, &first, 7);
	take_away(f, &f->here, "1.0");
	take_away(f, &f->here, "latest");
	for (size_t i = 0; i < f->here.len; i++)
		if (strcmp(f->here.things[i].body, MANIFEST("first")) == 0)
			f->here.things[i].kind = "gone";
	learn_gone(f->repo, &first);
	assert_false(known_blob(f->repo, &first, NULL));
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), -ENOENT);
	assert_int_equal(resolve_peek(f->repo, "latest", &res), -ENOENT);
	assert_int_equal(resolve_peek(f->repo, "2.0", &res), 0);
	assert_true(digest_equal(&res.digest, &second));
	assert_int_equal(doc_fetch(f->repo, &first, &f->c.w, &doc), -ENOENT);
	assert_int_equal(doc_fetch(f->repo, &second, &f->c.w, &doc), 0);
	doc_unref(doc);
}

static void test_referrers(void **state)
{
	static char one[512];
	const struct descriptor *before, *after;
	struct digest d = tag("1.0", MANIFEST("first"));
	struct image *i;
	size_t n;

	snprintf(one, sizeof(one),
		 "{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX
		 "\",\"manifests\":[{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST
		 "\",\"size\":7,\"digest\":\"sha256:%064d\"}]}",
		 1);
	referrers = one;
	assert_int_equal(image_open(f->repo, &d, NULL, &i), 0);
	assert_int_equal(image_referrers(i, &f->c.w, &before, &n), 0);
	assert_int_equal(n, 1);
	referrers = "{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX
		    "\",\"manifests\":[]}";
	assert_int_equal(image_referrers(i, &f->c.w, &after, &n), 0);
	assert_ptr_equal(after, before);
	learn_referrers(f->repo, &d);
	assert_int_equal(image_referrers(i, &f->c.w, &after, &n), 0);
	assert_int_equal(n, 0);
	/* What was handed out lives as long as the image. */
	assert_int_equal(before->size_bytes, 7);
	assert_int_equal(image_referrers(i, &f->c.w, &after, &n), 0);
	assert_int_equal(asked(&f->c.s, "/referrers/"), 2);
	image_unref(i);
}

static void test_registry(void **state)
{
	assert_ptr_equal(repo_registry(f->repo), f->repo->registry);
	assert_string_equal(registry_host(repo_registry(f->away)),
			    f->c.other.host);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tag),
		T(test_late_answer),
		T(test_late_absence),
		T(test_unrelated_change),
		T(test_many_changes),
		T(test_listing),
		T(test_listing_new_repository),
		T(test_listing_offline),
		T(test_catalogue),
		T(test_blob),
		T(test_holder),
		T(test_gone),
		T(test_referrers),
		T(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
