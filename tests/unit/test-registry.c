/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/registry.h"

#include "scripted.h"

#include <errno.h>

#include "registry/fetch.h"
#include "registry/host.h"
#include "util/clock.h"

#define DIGEST                                                                 \
	"sha256:"                                                              \
	"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
#define BLOB "/v2/a/b/blobs/" DIGEST

static int trouble, trouble_times; /* a status, so many times */
static const char *trouble_headers = "";

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (trouble && trouble_times-- > 0) {
		add_head(p, "%s", *trouble_headers ? trouble_headers : "X: y");
		refuse(p, trouble, "TROUBLE");
		return;
	}
	if (strcmp(q->target, "/v2/") == 0 ||
	    strncmp(q->target, "/v2/_catalog", 12) == 0) {
		say(p, 200, "{}");
	} else if (strncmp(q->target, BLOB, strlen(BLOB)) == 0) {
		add_head(p, "ratelimit-limit: 100;w=21600");
		add_head(p, "ratelimit-remaining: 76;w=21600");
		say(p, 200, "hello world");
	} else {
		refuse(p, 404, "BLOB_UNKNOWN");
	}
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	trouble = trouble_times = 0;
	trouble_headers = "";
	client_start(c, answer, answer);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	return 0;
}

static void test_names(void **state)
{
	struct client *c = *state;
	struct string_list hosts = {.v = NULL};
	struct registry *a, *b;

	assert_int_equal(registries_get(c->all, "nodots", &a), -EINVAL);
	assert_int_equal(registries_get(c->all, ".hidden", &a), -EINVAL);
	assert_int_equal(registries_get(c->all, "reg.test+5000", &a), 0);
	assert_int_equal(registries_get(c->all, "reg.test:5000", &b), 0);
	assert_ptr_equal(a, b);
	assert_string_equal(registry_host(a), "reg.test:5000");
	assert_int_equal(registries_list(c->all, &hosts), 0);
	assert_int_equal(hosts.len, 2);
	string_list_done(&hosts);
	assert_int_equal(c->s.asked, 0);
}

/* Loopback: https is tried first, once. */
static void test_plain_http(void **state)
{
	struct client *c = *state;

	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
	assert_int_equal(asked(&c->s, "HEAD " BLOB), 2);
	assert_int_equal(c->r->scheme, SCHEME_HTTP);
	/* HttpHeaders of the configuration are for registries. */
	assert_int_equal(asked(&c->s, "X-Canary: 1"), 2);
}

static void test_retries(void **state)
{
	static const struct {
		int status, times, result;
		unsigned asked;
	} rows[] = {
		{503, 1, 11, 2},      {502, 2, 11, 3},
		{504, 9, -EIO, 3},    {500, 1, 11, 2},
		{500, 9, -EIO, 2},    {408, 1, 11, 2},
		{429, 1, 11, 2},      {429, 9, -ETIMEDOUT, 3},
		{404, 1, -ENOENT, 1}, {403, 1, -EACCES, 1},
		{418, 1, -EIO, 1},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		trouble = rows[i].status;
		trouble_times = rows[i].times;
		assert_int_equal(client_blob_size(c, DIGEST), rows[i].result);
		assert_int_equal(c->s.asked, rows[i].asked);
		teardown(state);
	}
}

static void test_retry_after(void **state)
{
	struct client *c = *state;
	uint64_t start = clock_ms();
	struct str page = {.len = 0};

	/* More than we may wait: at once, and others do not knock, too. */
	trouble = 429;
	trouble_times = 1;
	trouble_headers = "Retry-After: 3600";
	wait_init(&c->w, 1000, 0);
	assert_int_equal(client_blob_size(c, DIGEST), -ETIMEDOUT);
	assert_int_equal(client_blob_size(c, DIGEST), -ETIMEDOUT);
	assert_int_equal(c->s.asked, 1);
	assert_true(clock_ms() - start < 900);
	assert_int_equal(registry_print(c->r, &page), 0);
	assert_non_null(strstr(page.buf, "told to wait"));
	str_done(&page);
}

/* Docker Hub's pull limit says when by other words, and stops only pulls. */
static void test_pull_limit(void **state)
{
	struct client *c = *state;

	trouble = 429;
	trouble_times = 1;
	trouble_headers = "ratelimit-remaining: 0;w=21600";
	assert_int_equal(client_blob_size(c, DIGEST), -ETIMEDOUT);
	assert_int_equal(c->s.asked, 1);
	assert_int_equal(client_blob_size(c, DIGEST), 11);
}

struct crowd {
	struct client *c;
	int good;
	pthread_mutex_t lock;
};

static void *one_of_many(void *arg)
{
	struct crowd *all = arg;
	struct digest d;
	uint64_t size;
	struct wait w;
	int r;

	wait_init(&w, 5000, 0);
	digest_parse(DIGEST, &d);
	r = fetch_blob_head(all->c->r, "a/b", &d, &w, &size);
	pthread_mutex_lock(&all->lock);
	all->good += r == 0;
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* After a 429 one asks, the others wait for what it hears. */
static void test_one_probe(void **state)
{
	struct client *c = *state;
	struct crowd all = {.c = c};
	pthread_t threads[12];

	trouble = 429;
	trouble_times = 2;
	c->r->wire.pause_ms = 100;
	pthread_mutex_init(&all.lock, NULL);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_create(&threads[i], NULL, one_of_many, &all);
		if (i == 0)
			while (asked(&c->s, BLOB) == 0)
				usleep(1000);
	}
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(all.good, 12);
	/* 12 good answers, 2 times "not now", and at most the few that were
	 * on their way when the first was said. */
	assert_in_range(c->s.asked, 14, 14);
}

static void test_breaker(void **state)
{
	struct client *c = *state;
	struct registry *dead;
	struct scripted gone;
	char host[32];
	uint64_t start, size;
	struct digest d;

	script_init(&gone, answer);
	snprintf(host, sizeof(host), "%s", gone.host);
	script_done(&gone);
	assert_int_equal(registries_get(c->all, host, &dead), 0);
	digest_parse(DIGEST, &d);
	assert_int_equal(fetch_blob_head(dead, "a/b", &d, &c->w, &size),
			 -ECONNREFUSED);
	assert_int_equal(fetch_blob_head(dead, "a/b", &d, &c->w, &size),
			 -ECONNREFUSED);
	start = clock_ms();
	for (int i = 0; i < 100; i++)
		assert_int_equal(fetch_blob_head(dead, "a/b", &d, &c->w, &size),
				 -ECONNREFUSED);
	assert_true(clock_ms() - start < 200);
	assert_non_null(strstr(client_errors(c), "ECONNREFUSED"));
	/* The other host is not concerned. */
	assert_int_equal(client_blob_size(c, DIGEST), 11);
}

static bool was_told_to_wait(struct registry *r)
{
	struct str out = {.len = 0};
	bool ret;

	assert_int_equal(registry_print(r, &out), 0);
	ret = strstr(out.buf, "told to wait") != NULL;
	str_done(&out);
	return ret;
}

/* Two names at one place: what it bears is not doubled. */
static void test_one_place(void **state)
{
	static const char *const names[] = {"one.test", "two.test"};
	struct client *c = *state;
	struct registry *at[2];
	pthread_t thread;
	struct crowd all = {.c = c};
	struct digest d;
	struct wait w;
	uint64_t size;

	for (size_t i = 0; i < 2; i++) {
		char path[256];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", c->home, names[i]);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/%s/hosts.toml", c->home,
			 names[i]);
		f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, "server = \"http://%s\"\n", c->s.host);
		fclose(f);
		assert_int_equal(registries_get(c->all, names[i], &at[i]), 0);
	}
	assert_ptr_equal(at[0]->lanes, at[1]->lanes);
	assert_ptr_equal(at[0]->lanes, c->r->lanes);
	digest_parse(DIGEST, &d);
	assert_int_equal(fetch_blob_head(at[1], "a/b", &d, &c->w, &size), 0);
	pthread_mutex_init(&all.lock, NULL);
	trouble = 429;
	trouble_times = 1;
	c->r = at[0];
	at[0]->wire.pause_ms = 800;
	pthread_create(&thread, NULL, one_of_many, &all);
	while (!was_told_to_wait(at[0]))
		usleep(1000);
	wait_init(&w, 100, 0);
	assert_int_equal(fetch_blob_head(at[1], "a/b", &d, &w, &size),
			 -ETIMEDOUT);
	assert_int_equal(asked(&c->s, BLOB), 2);
	pthread_join(thread, NULL);
	assert_int_equal(all.good, 1);
}

static void test_offline(void **state)
{
	struct client *c = *state;
	struct registries_config cfg = {.http = c->http,
					.hosts = c->hosts,
					.auth = c->auth,
					.faults = c->faults,
					.offline = true};
	struct registries *all;
	struct registry *r;
	struct digest d;
	uint64_t size;

	assert_int_equal(registries_new(&cfg, &all), 0);
	assert_int_equal(registries_get(all, c->s.host, &r), 0);
	digest_parse(DIGEST, &d);
	assert_int_equal(fetch_blob_head(r, "a/b", &d, &c->w, &size),
			 -ENETDOWN);
	assert_int_equal(c->s.asked, 0);
	assert_int_equal(fault_log_count(c->faults), 0);
	registries_free(all);
}

static void test_slots(void **state)
{
	struct slots s;
	struct wait w;

	assert_int_equal(slots_init(&s, 3), 0);
	wait_init(&w, 20, 0);
	assert_int_equal(slots_take(&s, true, &w), 0);
	assert_int_equal(slots_take(&s, true, &w), 0);
	/* The last one is not for bulk. */
	assert_int_equal(slots_take(&s, true, &w), -ETIMEDOUT);
	wait_init(&w, 20, 0);
	assert_int_equal(slots_take(&s, false, &w), 0);
	assert_int_equal(slots_take(&s, false, &w), -ETIMEDOUT);
	slots_give(&s, true);
	wait_init(&w, 20, 0);
	assert_int_equal(slots_take(&s, false, &w), 0);
	assert_int_equal(slots_used(&s), 3);
	slots_done(&s);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_names),
		WITH(test_plain_http),
		cmocka_unit_test(test_retries),
		WITH(test_retry_after),
		WITH(test_pull_limit),
		WITH(test_one_probe),
		WITH(test_breaker),
		WITH(test_one_place),
		WITH(test_offline),
		cmocka_unit_test(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
