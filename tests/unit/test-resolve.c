/* SPDX-License-Identifier: Apache-2.0 */
#include "content/resolve.h"

#include "content-fixture.h"

#include "content/known.h"

#define MANIFEST(note)                                                         \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST "\","   \
	"\"annotations\":{\"note\":\"" note "\"},"                             \
	"\"config\":{\"mediaType\":\"" MEDIATYPE_OCI_CONFIG "\",\"size\":2,"   \
	"\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e83" \
	"10c060f61caaff8a\"},\"layers\":[]}"

static struct fixture *f;
static struct digest first, second;

static void set_tag(const char *body, struct digest *ret)
{
	put_tag(f, &f->here, REPO, "1.0", MEDIATYPE_OCI_MANIFEST, body, ret);
}

static int setup(void **state)
{
	f = fixture_new(true);
	set_tag(MANIFEST("first"), &first);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static uint64_t resolves(const struct digest *want)
{
	struct resolved res = {.fresh_ms = 0};

	assert_int_equal(resolve_tag(f->repo, "1.0", &f->c.w, &res), 0);
	assert_true(digest_equal(&res.digest, want));
	assert_string_equal(res.mediatype, MEDIATYPE_OCI_MANIFEST);
	return res.fresh_ms;
}

static unsigned got(void)
{
	return asked(&f->c.s, "GET /v2/" REPO "/manifests/");
}

static unsigned heads(void)
{
	return asked(&f->c.s, "HEAD /v2/" REPO "/manifests/1.0");
}

static void test_fresh(void **state)
{
	struct resolved res;

	assert_int_equal(resolve_peek(f->repo, "1.0", &res), -ENOENT);
	assert_int_equal(resolves(&first), 60000);
	set_tag(MANIFEST("later"), &second);
	assert_true(resolves(&first) > 58000);
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), 0);
	assert_int_equal(res.size_bytes, strlen(MANIFEST("first")));
	/* The age is in the store. */
	content_restart(f);
	assert_true(resolves(&first) > 58000);
	assert_int_equal(got(), 1);
	assert_int_equal(heads(), 0);
}

/* tag_ttl=0: each look-up asks, by HEAD once it is known. */
static void test_stale(void **state)
{
	f->options.tag_ttl_s = 0;
	assert_int_equal(resolves(&first), 0);
	assert_int_equal(resolves(&first), 0);
	assert_int_equal(resolves(&first), 0);
	assert_int_equal(got(), 1);
	assert_int_equal(heads(), 2);
}

static void test_moved(void **state)
{
	struct resolved res;

	f->options.tag_ttl_s = 0;
	resolves(&first);
	set_tag(MANIFEST("second"), &second);
	resolves(&second);
	assert_int_equal(heads(), 1);
	f->options.tag_ttl_s = 60;
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), 0);
	assert_true(digest_equal(&res.digest, &second));
}

static int count(void *arg, const char *name)
{
	++*(int *)arg;
	return 0;
}

static int known_tags(void)
{
	char identity[17];
	int n = 0;

	assert_int_equal(repo_identity(f->repo, identity), 0);
	tag_each(f->store, f->c.s.host, REPO, identity, count, &n);
	return n;
}

static void test_forgotten(void **state)
{
	struct resolved res;

	resolves(&first);
	assert_int_equal(known_tags(), 1);
	f->options.tag_ttl_s = 0;
	take_away(f, &f->here, "1.0");
	assert_int_equal(resolve_tag(f->repo, "1.0", &f->c.w, &res), -ENOENT);
	f->options.tag_ttl_s = 60;
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), -ENOENT);
	assert_int_equal(known_tags(), 0);
}

/* A mkdir looks twice; but what was put meanwhile is there, and with
 * tag_ttl=0 each look-up asks. */
static void test_absent(void **state)
{
	struct resolved res;

	assert_false(resolve_is_absent(f->repo, "none"));
	assert_int_equal(resolve_tag(f->repo, "none", &f->c.w, &res), -ENOENT);
	assert_true(resolve_is_absent(f->repo, "none"));
	assert_false(resolve_is_absent(f->repo, "1.0"));
	f->options.tag_ttl_s = 0;
	assert_false(resolve_is_absent(f->repo, "none"));
	f->options.tag_ttl_s = 60;
	learn_no_tag(f->repo, "none");
	assert_false(resolve_is_absent(f->repo, "none"));
}

/* "Could not ask" is not "is not there". */
static void test_trouble(void **state)
{
	struct resolved res;

	resolves(&first);
	f->options.tag_ttl_s = 0;
	f->here.status = 403;
	assert_int_equal(resolve_tag(f->repo, "1.0", &f->c.w, &res), -EACCES);
	assert_int_equal(known_tags(), 1);
	f->content->gate.max = 0;
	assert_int_equal(resolve_tag(f->repo, "1.0", &f->c.w, &res), -EBUSY);
}

static void test_offline(void **state)
{
	struct resolved res;

	resolves(&first);
	f->options.tag_ttl_s = 0;
	f->options.offline = true;
	assert_int_equal(resolves(&first), 0);
	assert_int_equal(resolve_peek(f->repo, "1.0", &res), 0);
	assert_int_equal(got() + heads(), 1);
}

/* HEAD is useless here: a GET tells, and what came with it is kept. */
static bool no_head(struct site *site, const struct request *q, struct reply *p)
{
	if (strcmp(q->method, "HEAD") != 0)
		return false;
	p->status = 405;
	return true;
}

static void test_no_head(void **state)
{
	f->here.hook = no_head;
	f->options.tag_ttl_s = 0;
	resolves(&first);
	set_tag(MANIFEST("second"), &second);
	resolves(&second);
	assert_int_equal(got(), 2);
}

static void *resolve_main(void *arg)
{
	struct resolved res;
	struct wait w;

	wait_init(&w, 5000, 0);
	*(int *)arg = resolve_tag(f->repo, "1.0", &w, &res);
	if (*(int *)arg == 0 && !digest_equal(&res.digest, &first))
		*(int *)arg = -EBADMSG;
	return NULL;
}

static void test_together(void **state)
{
	pthread_t threads[16];
	int results[COUNT(threads)];

	atomic_store(&f->here.hold_manifests, true);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, resolve_main, &results[i]);
	wait_asked(&f->c.s, "/manifests/1.0", 1);
	usleep(20000);
	atomic_store(&f->here.hold_manifests, false);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], 0);
	}
	assert_int_equal(asked(&f->c.s, "/manifests/1.0"), 1);
}

/* Another repository of the same name elsewhere is another tag. */
static void test_apart(void **state)
{
	struct resolved res;

	resolves(&first);
	assert_int_equal(resolve_peek(f->away, "1.0", &res), -ENOENT);
	assert_int_equal(resolve_tag(f->away, "1.0", &f->c.w, &res), -ENOENT);
	assert_int_equal(resolve_tag(f->other, "1.0", &f->c.w, &res), -ENOENT);
	resolves(&first);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fresh),	   T(test_stale),   T(test_moved),
		T(test_forgotten), T(test_absent),  T(test_trouble),
		T(test_offline),   T(test_no_head), T(test_together),
		T(test_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
