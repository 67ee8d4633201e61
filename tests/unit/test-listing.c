/* SPDX-License-Identifier: Apache-2.0 */
#include "content/listing.h"

#include "content-fixture.h"
#include "content/known.h"
#include "util/clock.h"

#define PAGE 5

static struct fixture *f;
/* What the registry lists. */
static const char *const *all;
static size_t all_len;
static bool fail_second; /* the second page, once */
static int status;	 /* of all pages, if not 0 */

static const char *const ordered[] = {"a", "b", "c", "d", "e", "f",
				      "g", "h", "i", "j", "k", "l"};
/* Out of order, and with doubles across pages. */
static const char *const wild[] = {"b", "a", "c", "z", "d", "a",
				   "z", "y", "b", "e", "x", "d"};

static void list_page(struct reply *p, size_t from)
{
	char s[512];
	size_t n = 0, end = from + PAGE < all_len ? from + PAGE : all_len;

	n += (size_t)snprintf(s, sizeof(s),
			      "{\"name\":\"" REPO "\",\"tags\":[");
	for (size_t i = from; i < end; i++)
		n += (size_t)snprintf(s + n, sizeof(s) - n, "%s\"%s\"",
				      i > from ? "," : "", all[i]);
	snprintf(s + n, sizeof(s) - n, "]}");
	if (end < all_len)
		add_head(p,
			 "Link: </v2/" REPO "/tags/list?from=%zu>; "
			 "rel=\"next\"",
			 end);
	say_made(p, 200, "%s", s);
}

static bool answer_tags(struct site *site, const struct request *q,
			struct reply *p)
{
	const char *from = strstr(q->target, "from=");

	if (!strstr(q->target, "/" TAGS))
		return false;
	p->hold = &site->hold_manifests;
	if (status) {
		refuse(p, status, "NAME_UNKNOWN");
	} else if (from && fail_second) {
		fail_second = false;
		refuse(p, 403, "DENIED");
	} else {
		list_page(p, from ? strtoul(from + 5, NULL, 10) : 0);
	}
	return true;
}

static int setup(void **state)
{
	f = fixture_new(true);
	f->here.hook = answer_tags;
	all = ordered;
	all_len = COUNT(ordered);
	fail_second = false;
	status = 0;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static unsigned pages(void)
{
	return asked(&f->c.s, TAGS);
}

static int at(struct listing *l, size_t i, const char **ret)
{
	struct wait w;

	wait_init(&w, 5000, 0);
	return listing_at(l, i, &w, ret);
}

static void holds(struct listing *l, const char *const *want, size_t n)
{
	const char *name;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(at(l, i, &name), 0);
		assert_string_equal(name, want[i]);
	}
	assert_int_equal(at(l, n, &name), -ENODATA);
	assert_int_equal(at(l, n + 100, &name), -ENODATA);
}

static void test_pages(void **state)
{
	struct listing *l;
	const char *name;

	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	assert_int_equal(pages(), 0);
	assert_int_equal(at(l, 2, &name), 0);
	assert_string_equal(name, "c");
	assert_int_equal(pages(), 1); /* no more than asked for */
	assert_int_equal(at(l, PAGE, &name), 0);
	assert_string_equal(name, "f");
	assert_int_equal(pages(), 2);
	holds(l, ordered, COUNT(ordered));
	assert_int_equal(pages(), 3);
	listing_unref(l);
}

static void test_doubles(void **state)
{
	static const char *const want[] = {"b", "a", "c", "z",
					   "d", "y", "e", "x"};
	struct listing *l;
	uint64_t fresh = 0;

	all = wild;
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	holds(l, want, COUNT(want));
	for (size_t i = 0; i < COUNT(want); i++)
		assert_true(listing_knows_tag(f->repo, want[i], &fresh));
	assert_false(listing_knows_tag(f->repo, "q", &fresh));
	listing_unref(l);
}

static void test_error_in_the_middle(void **state)
{
	struct listing *l;
	const char *name;
	uint64_t fresh;

	fail_second = true;
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	assert_int_equal(at(l, PAGE - 1, &name), 0);
	assert_int_equal(at(l, PAGE, &name), -EACCES);
	assert_int_equal(at(l, 0, &name), 0);
	assert_false(listing_knows_tag(f->repo, "a", &fresh));
	/* Asked again, from where it failed. */
	holds(l, ordered, COUNT(ordered));
	assert_int_equal(pages(), 4);
	listing_unref(l);
}

static void test_no_repository(void **state)
{
	struct listing *l;
	const char *name;

	status = 404;
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	assert_int_equal(at(l, 0, &name), -ENOENT);
	assert_int_equal(at(l, 0, &name), -ENOENT);
	assert_int_equal(pages(), 1);
	listing_unref(l);
	/* It may have been made since. */
	status = 0;
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	assert_int_equal(at(l, 0, &name), 0);
	listing_unref(l);
}

static void test_shared(void **state)
{
	struct listing *a, *b;
	const char *name;

	assert_int_equal(listing_open_tags(f->repo, &a), 0);
	assert_int_equal(at(a, 0, &name), 0);
	assert_int_equal(listing_open_tags(f->repo, &b), 0);
	assert_ptr_equal(a, b);
	listing_unref(b);
	f->options.tag_ttl_s = 0;
	assert_int_equal(listing_open_tags(f->repo, &b), 0);
	assert_ptr_not_equal(a, b);
	holds(b, ordered, COUNT(ordered));
	/* The old one goes on from where it is. */
	holds(a, ordered, COUNT(ordered));
	assert_int_equal(pages(), 6);
	listing_unref(a);
	listing_unref(b);
}

static void test_knows(void **state)
{
	struct listing *l;
	const char *name;
	uint64_t fresh = 0;

	assert_false(listing_knows_tag(f->repo, "a", &fresh));
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	assert_int_equal(at(l, 0, &name), 0);
	assert_false(
		listing_knows_tag(f->repo, "a", &fresh)); /* not complete */
	holds(l, ordered, COUNT(ordered));
	listing_unref(l);
	assert_true(listing_knows_tag(f->repo, "k", &fresh));
	assert_in_range(fresh, 50000, 60000);
	assert_false(listing_knows_tag(f->repo, "kk", &fresh));
	f->options.tag_ttl_s = 0;
	assert_false(listing_knows_tag(f->repo, "k", &fresh));
}

static pthread_barrier_t together;

static void *list_main(void *arg)
{
	struct listing *l = NULL;
	const char *name;
	size_t i = 0;
	int r;

	pthread_barrier_wait(&together);
	r = listing_open_tags(f->repo, &l);
	while (r == 0) {
		r = at(l, i, &name);
		if (r == 0 && strcmp(name, ordered[i++]) != 0)
			r = -EBADMSG;
	}
	if (r != -EBADMSG && i != COUNT(ordered))
		r = -EIO;
	listing_unref(l);
	*(int *)arg = r;
	return NULL;
}

static void test_together(void **state)
{
	pthread_t threads[16];
	int results[COUNT(threads)];

	atomic_store(&f->here.hold_manifests, true);
	pthread_barrier_init(&together, NULL, COUNT(threads));
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, list_main, &results[i]);
	wait_asked(&f->c.s, TAGS, 1);
	usleep(20000);
	atomic_store(&f->here.hold_manifests, false);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], -ENODATA);
	}
	pthread_barrier_destroy(&together);
	assert_int_equal(pages(), 3);
}

/* Who waits for another's page has patience of his own. */
static void test_impatient(void **state)
{
	pthread_t thread;
	struct listing *l;
	const char *name;
	struct wait w;
	int result;

	atomic_store(&f->here.hold_manifests, true);
	pthread_barrier_init(&together, NULL, 1);
	pthread_create(&thread, NULL, list_main, &result);
	wait_asked(&f->c.s, TAGS, 1);
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	wait_init(&w, 30, 0);
	assert_int_equal(listing_at(l, 0, &w, &name), -ETIMEDOUT);
	/* Waiting for another counts as waiting. */
	f->content->gate.max = 1;
	wait_init(&w, 1000, 0);
	assert_int_equal(listing_at(l, 0, &w, &name), -EBUSY);
	f->content->gate.max = 100;
	listing_unref(l);
	atomic_store(&f->here.hold_manifests, false);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&together);
	assert_int_equal(result, -ENODATA);
}

static void test_offline(void **state)
{
	static const char *const want[] = {"1.0"};
	struct tag_row row = {.size_bytes = 2, .mediatype = "a/b"};
	char identity[17];
	struct listing *l;

	assert_int_equal(repo_identity(f->repo, identity), 0);
	digest_of(HASH_SHA256, "x", 1, &row.digest);
	assert_int_equal(
		tag_put(f->store, f->c.s.host, REPO, identity, "1.0", &row), 0);
	f->options.offline = true;
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	holds(l, want, 1);
	listing_unref(l);
	assert_int_equal(pages(), 0);
}

static void *open_main(void *arg)
{
	struct listing *l;

	(void)arg;
	pthread_barrier_wait(&together);
	assert_int_equal(listing_open_tags(f->repo, &l), 0);
	listing_unref(l);
	return NULL;
}

/* What is shared was begun after all that was changed before it is asked for,
 * though another began one while that changed. */
static void test_changed_meanwhile(void **state)
{
	struct tag_row row = {.size_bytes = 2, .mediatype = "a/b"};
	char identity[17], name[16];
	const char *got;
	pthread_t thread;
	struct listing *l;

	assert_int_equal(repo_identity(f->repo, identity), 0);
	digest_of(HASH_SHA256, "x", 1, &row.digest);
	row.wall = clock_wall();
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "t%03u", i);
		assert_int_equal(tag_put(f->store, f->c.s.host, REPO, identity,
					 name, &row),
				 0);
	}
	f->options.offline = true;
	pthread_barrier_init(&together, NULL, 2);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "t%03u", i);
		pthread_create(&thread, NULL, open_main, NULL);
		pthread_barrier_wait(&together);
		usleep(i % 10 * 20);
		learn_no_tag(f->repo, name);
		pthread_join(thread, NULL);
		assert_int_equal(listing_open_tags(f->repo, &l), 0);
		for (size_t j = 0; at(l, j, &got) == 0; j++)
			assert_string_not_equal(got, name);
		listing_unref(l);
		learn_no_tag(f->repo, "none");
	}
	pthread_barrier_destroy(&together);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_pages),
		T(test_doubles),
		T(test_error_in_the_middle),
		T(test_no_repository),
		T(test_shared),
		T(test_knows),
		T(test_together),
		T(test_impatient),
		T(test_offline),
		T(test_changed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
