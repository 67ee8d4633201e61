/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories in use: one object a name, and what each is known to hold. */
#include "content-fixture.h"

#include "util/str.h"

#define THREADS 4
#define ROUNDS 200

static int setup(void **state)
{
	*state = fixture_new(true);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct repo *open_here(struct fixture *f, const char *name)
{
	struct repo *r = NULL;

	assert_int_equal(repo_open(f->content, f->c.s.host, name, &r), 0);
	return r;
}

static void one_a_name(void **state)
{
	struct fixture *f = *state;
	struct repo *a = open_here(f, "a/b"), *b = open_here(f, "a/c");

	assert_ptr_equal(open_here(f, "a/b"), a);
	assert_ptr_equal(repo_ref(a), a);
	assert_ptr_not_equal(a, b);
	assert_string_equal(repo_host(a), f->c.s.host);
	assert_string_equal(repo_name(b), "a/c");
	assert_ptr_equal(repo_content(a), f->content);
	assert_ptr_equal(repo_registry(a), repo_registry(b));
	assert_ptr_not_equal(repo_registry(f->away), repo_registry(a));
	repo_unref(a);
	repo_unref(a);
	/* The last one is still ours. */
	assert_int_equal(map_len(f->content->repos), 5);
	assert_ptr_equal(open_here(f, "a/b"), a);
	repo_unref(a);
	repo_unref(a);
	assert_int_equal(map_len(f->content->repos), 4);
	repo_unref(b);
	repo_unref(NULL);
	assert_int_equal(map_len(f->content->repos), 3);
}

static void not_allowed(void **state)
{
	struct fixture *f = *state;
	struct repo *r = (struct repo *)-1;
	struct options only = {.timeout_s = 2};
	struct allow *all = f->content->allow, *allow;

	assert_int_equal(string_list_add(&only.allow, "a.test/team"), 0);
	assert_int_equal(allow_new(&only, f->c.auth, &allow), 0);
	f->content->allow = allow;
	assert_int_equal(repo_open(f->content, f->c.s.host, REPO, &r), -EPERM);
	assert_int_equal(repo_open(f->content, "a.test", "other", &r), -EPERM);
	assert_ptr_equal(r, (struct repo *)-1);
	assert_int_equal(repo_open(f->content, "a.test", "team", &r), 0);
	repo_unref(r);
	f->content->allow = all;
	allow_free(allow);
	options_done(&only);
}

/* A host that no registry can be made for. */
static void no_registry(void **state)
{
	struct fixture *f = *state;
	struct repo *r = (struct repo *)-1;
	size_t before = map_len(f->content->repos);

	log_set_level((enum log_level) - 1);
	assert_true(repo_open(f->content, "not a host", "x", &r) < 0);
	assert_ptr_equal(r, (struct repo *)-1);
	assert_int_equal(map_len(f->content->repos), before);
}

static void digests_are(struct repo *r, bool manifests, const char *expected)
{
	struct string_list got = {.len = 0};
	autostr text = {.max = 0};

	assert_int_equal(repo_digests(r, manifests, &got), 0);
	for (size_t i = 0; i < got.len; i++)
		str_addf(&text, "%.9s ", got.v[i] + strlen("sha256:"));
	assert_string_equal(text.buf ? text.buf : "", expected);
	string_list_done(&got);
}

static void grant(struct repo *r, const char *identity, enum grant_kind kind,
		  const char *text)
{
	struct grant_row row = {.kind = kind};

	digest_of(HASH_SHA256, text, strlen(text), &row.digest);
	assert_int_equal(grant_put(repo_content(r)->store, repo_host(r),
				   repo_name(r), identity, &row),
			 0);
}

/* What one was given nobody else gets to know. */
static void what_it_holds(void **state)
{
	struct fixture *f = *state;
	char identity[17];

	assert_int_equal(repo_identity(f->repo, identity), 0);
	digests_are(f->repo, true, "");
	grant(f->repo, identity, GRANT_MANIFEST, "m");
	grant(f->repo, identity, GRANT_BLOB, "b");
	grant(f->repo, "somebody else", GRANT_BLOB, "c");
	digests_are(f->repo, true, "62c66a7a5 ");
	digests_are(f->repo, false, "3e23e8160 ");
	digests_are(f->other, true, "");
	digests_are(f->away, false, "");
}

/* --- many at once --- */

struct opener {
	struct fixture *f;
	atomic_uint wrong;
};

static void *open_and_close(void *arg)
{
	struct opener *o = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct repo *a, *b;

		if (repo_open(o->f->content, o->f->c.s.host, "many", &a) < 0) {
			atomic_fetch_add(&o->wrong, 1);
			continue;
		}
		if (repo_open(o->f->content, o->f->c.s.host, "many", &b) < 0 ||
		    a != b || strcmp(repo_name(a), "many") != 0)
			atomic_fetch_add(&o->wrong, 1);
		else
			repo_unref(b);
		repo_unref(a);
	}
	return NULL;
}

static void together(void **state)
{
	struct fixture *f = *state;
	struct opener o = {.f = f};
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, open_and_close, &o),
			0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&o.wrong), 0);
	assert_int_equal(map_len(f->content->repos), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(not_allowed, setup, teardown),
		cmocka_unit_test_setup_teardown(no_registry, setup, teardown),
		cmocka_unit_test_setup_teardown(what_it_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(together, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
