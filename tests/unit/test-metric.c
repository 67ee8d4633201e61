/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "util/json.h"
#include "util/metric.h"

static void *count(void *arg)
{
	for (int i = 0; i < 10000; i++)
		metric_add(METRIC_HTTP_RETRIES, 1);
	return arg;
}

static void counts(void **state)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_get(METRIC_HTTP_RETRIES), 40000);
	metric_add(METRIC_NODES, 5);
	metric_add(METRIC_NODES, -2);
	assert_int_equal(metric_get(METRIC_NODES), 3);
	metric_set(METRIC_NODES, 9);
	assert_int_equal(metric_get(METRIC_NODES), 9);
	assert_int_equal(metric_get(METRIC_HTTP_REQUESTS), 0);
}

static void prints_openmetrics(void **state)
{
	autostr s = {0};
	const char *p;
	int types = 0;

	metric_set(METRIC_TOKENS_FETCHED, 12);
	metric_set(METRIC_CACHE_BYTES, 1LL << 40);
	assert_int_equal(metric_print_openmetrics(&s), 0);
	assert_non_null(strstr(s.buf,
			       "# TYPE registryfs_tokens_fetched counter\n"
			       "# HELP registryfs_tokens_fetched Tokens"));
	assert_non_null(
		strstr(s.buf, "\nregistryfs_tokens_fetched_total 12\n"));
	assert_non_null(strstr(s.buf, "# TYPE registryfs_cache_bytes gauge\n"));
	assert_non_null(
		strstr(s.buf, "\nregistryfs_cache_bytes 1099511627776\n"));
	assert_true(str_suffix(s.buf, "\n# EOF\n"));
	for (p = s.buf; (p = strstr(p, "# TYPE ")); p++)
		types++;
	assert_int_equal(types, METRIC_COUNT);
}

static void prints_json(void **state)
{
	autostr s = {0};
	struct json *j = NULL;
	const struct json *v;
	const char *key;
	void *iter = NULL;
	uint64_t n = 0;
	int members = 0;

	metric_set(METRIC_FUSE_ERRORS, 7);
	assert_int_equal(metric_print_json(&s), 0);
	assert_int_equal(json_parse(s.buf, s.len, s.len, &j, NULL), 0);
	while (json_each(j, &iter, &key, &v))
		members++;
	assert_int_equal(members, METRIC_COUNT);
	assert_int_equal(json_need_u64(j, "fuse_errors", 99, &n, NULL), 0);
	assert_int_equal(n, 7);
	json_free(j);
}

static void unchanged_when_full(void **state)
{
	autostr s = {.max = 100};

	assert_int_equal(str_add(&s, "kept"), 0);
	assert_int_equal(metric_print_openmetrics(&s), -EFBIG);
	assert_int_equal(metric_print_json(&s), -EFBIG);
	assert_string_equal(s.buf, "kept");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(prints_openmetrics),
		cmocka_unit_test(prints_json),
		cmocka_unit_test(unchanged_when_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
