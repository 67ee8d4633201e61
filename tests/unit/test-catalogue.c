/* SPDX-License-Identifier: Apache-2.0 */
#include "content/catalogue.h"

#include "content-fixture.h"

static struct fixture *f;
static bool fail_second;

/* "team" is a repository and the way to some; "lone" is one without children;
 * the second page brings "way" only as a way. */
static bool answer_catalog(struct site *site, const struct request *q,
			   struct reply *p)
{
	if (!strstr(q->target, "/_catalog"))
		return false;
	p->hold = &site->hold_manifests;
	if (!strstr(q->target, "from=2")) {
		add_head(p, "Link: </v2/_catalog?from=2>; rel=\"next\"");
		say(p, 200,
		    "{\"repositories\":[\"lone\",\"team/app\",\"team/app/sub\","
		    "\"team\"]}");
	} else if (fail_second) {
		fail_second = false;
		refuse(p, 409, "CONFLICT");
	} else {
		say(p, 200,
		    "{\"repositories\":[\"team/lib\",\"team/app\",\"way/to/x\","
		    "\"BAD NAME\"]}");
	}
	return true;
}

static bool refuse_catalog(struct site *site, const struct request *q,
			   struct reply *p)
{
	if (!strstr(q->target, "/_catalog"))
		return false;
	refuse(p, 401, "UNAUTHORIZED");
	return true;
}

static int setup(void **state)
{
	f = fixture_new(true);
	f->here.hook = answer_catalog;
	fail_second = false;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static struct catalogue *open_catalogue(void)
{
	struct catalogue *t;

	assert_int_equal(catalogue_open(f->content, f->c.s.host, &t), 0);
	return t;
}

static void has(struct catalogue *t, const char *path, const char *const *want,
		size_t n)
{
	const char *name;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(catalogue_child(t, path, i, &f->c.w, &name),
				 0);
		assert_string_equal(name, want[i]);
	}
	assert_int_equal(catalogue_child(t, path, n, &f->c.w, &name), -ENODATA);
}

#define HAS(t, path, ...)                                                      \
	has(t, path, (const char *const[]){__VA_ARGS__},                       \
	    COUNT(((const char *const[]){__VA_ARGS__})))

static enum catalogue_answer find(struct catalogue *t, const char *path)
{
	enum catalogue_answer a;

	assert_int_equal(catalogue_find(t, path, &f->c.w, &a), 0);
	return a;
}

static void test_tree(void **state)
{
	struct catalogue *t = open_catalogue();

	HAS(t, "", "lone", "team", "way");
	HAS(t, "team", "app", "lib");
	HAS(t, "team/app", "sub");
	HAS(t, "way", "to");
	HAS(t, "way/to", "x");
	has(t, "lone", NULL, 0);
	has(t, "absent", NULL, 0);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 2);
	catalogue_unref(t);
}

static void test_find(void **state)
{
	struct catalogue *t = open_catalogue();

	assert_int_equal(find(t, "team"), CATALOGUE_REPOSITORY);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 1);
	assert_int_equal(find(t, "lone"), CATALOGUE_REPOSITORY);
	assert_int_equal(find(t, "team/app"), CATALOGUE_REPOSITORY);
	assert_int_equal(find(t, "team/app/sub"), CATALOGUE_REPOSITORY);
	assert_int_equal(find(t, "way"), CATALOGUE_PREFIX);
	assert_int_equal(find(t, "way/to"), CATALOGUE_PREFIX);
	assert_int_equal(find(t, "way/to/x"), CATALOGUE_REPOSITORY);
	assert_int_equal(find(t, "tea"), CATALOGUE_ABSENT);
	assert_int_equal(find(t, "team/app/su"), CATALOGUE_ABSENT);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 2);
	catalogue_unref(t);
}

static void test_error_in_the_middle(void **state)
{
	struct catalogue *t = open_catalogue();
	enum catalogue_answer a;
	const char *name;

	fail_second = true;
	assert_int_equal(catalogue_child(t, "", 0, &f->c.w, &name), 0);
	assert_true(catalogue_find(t, "way", &f->c.w, &a) < 0);
	assert_int_equal(find(t, "way"), CATALOGUE_PREFIX);
	HAS(t, "", "lone", "team", "way");
	assert_int_equal(asked(&f->c.s, "from=2"), 2);
	catalogue_unref(t);
}

/* Who does not list shows what was seen, and keeps learning. */
static void test_unlistable(void **state)
{
	struct catalogue *t;

	f->here.hook = refuse_catalog;
	repository_seen(f->store, f->c.s.host, "seen/one");
	t = open_catalogue();
	HAS(t, "", "seen");
	assert_int_equal(find(t, "seen/one"), CATALOGUE_REPOSITORY);
	assert_int_equal(find(t, "seen"), CATALOGUE_PREFIX);
	assert_int_equal(find(t, "seen/two"), CATALOGUE_UNKNOWN);
	catalogue_unref(t);
	repository_seen(f->store, f->c.s.host, "seen/two");
	t = open_catalogue();
	HAS(t, "seen", "one", "two");
	catalogue_unref(t);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 1);
}

static void test_not_asked(void **state)
{
	struct catalogue *t;

	repository_seen(f->store, f->c.s.host, "seen/one");
	f->options.offline = true;
	t = open_catalogue();
	HAS(t, "", "seen");
	catalogue_unref(t);
	f->options.offline = false;
	f->options.nolist = true;
	t = open_catalogue();
	HAS(t, "", "seen");
	catalogue_unref(t);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 0);
}

static void test_allow(void **state)
{
	char pattern[64];
	struct catalogue *t;

	content_stop(f);
	allow_free(f->allow);
	snprintf(pattern, sizeof(pattern), "%s/team/app", f->c.s.host);
	assert_int_equal(string_list_add(&f->options.allow, pattern), 0);
	assert_int_equal(allow_new(&f->options, f->c.auth, &f->allow), 0);
	assert_int_equal(content_new(
				 &(struct content_config){
					 .options = &f->options,
					 .registries = f->c.all,
					 .store = f->store,
					 .allow = f->allow,
					 .faults = f->c.faults,
				 },
				 &f->content),
			 0);
	f->repo = f->other = f->away = NULL;
	t = open_catalogue();
	HAS(t, "", "team");
	HAS(t, "team", "app");
	catalogue_unref(t);
	assert_int_equal(repo_open(f->content, f->c.s.host, "lone", &f->other),
			 -EPERM);
	string_list_done(&f->options.allow);
}

static void *read_main(void *arg)
{
	struct catalogue *t = NULL;
	const char *name;
	struct wait w;
	size_t n = 0;
	int r;

	wait_init(&w, 5000, 0);
	r = catalogue_open(f->content, f->c.s.host, &t);
	while (r == 0) {
		r = catalogue_child(t, "team", n, &w, &name);
		n += r == 0;
	}
	catalogue_unref(t);
	*(int *)arg = n == 2 ? r : -EIO;
	return NULL;
}

static void test_together(void **state)
{
	pthread_t threads[16];
	int results[COUNT(threads)];
	struct catalogue *t;

	atomic_store(&f->here.hold_manifests, true);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, read_main, &results[i]);
	wait_asked(&f->c.s, "/_catalog", 1);
	usleep(20000);
	atomic_store(&f->here.hold_manifests, false);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], -ENODATA);
	}
	assert_int_equal(asked(&f->c.s, "/_catalog"), 2);
	/* Once it is too old another is made. */
	f->options.tag_ttl_s = 0;
	t = open_catalogue();
	HAS(t, "", "lone", "team", "way");
	catalogue_unref(t);
	assert_int_equal(asked(&f->c.s, "/_catalog"), 4);
}

static void test_hosts(void **state)
{
	struct string_list l = {0};
	bool here = false;

	repository_seen(f->store, "seen.example.com", "a");
	assert_int_equal(content_hosts(f->content, &l), 0);
	for (size_t i = 0; i < l.len; i++) {
		here |= strcmp(l.v[i], f->c.s.host) == 0;
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(l.v[i], l.v[k]);
	}
	assert_true(here);
	assert_string_equal(l.v[l.len - 1], "seen.example.com");
	string_list_done(&l);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tree),
		T(test_find),
		T(test_error_in_the_middle),
		T(test_unlistable),
		T(test_not_asked),
		T(test_allow),
		T(test_together),
		T(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
