/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/imageconf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define D1                                                                     \
	"\"sha256:"                                                            \
	"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\""
#define D2                                                                     \
	"\"sha256:"                                                            \
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"

static int parse(const char *text, size_t layers, struct imageconf **ret,
		 struct json_error *err)
{
	return imageconf_parse(text, strlen(text), layers, ret, err);
}

static void test_full(void **state)
{
	static const char text[] =
		"{\"created\":\"2024-05-01T10:00:00.5Z\",\"os\":\"linux\","
		"\"architecture\":\"arm\",\"variant\":\"v7\"," ROOTFS(
			D1
			"," D2) ",\"config\":{\"Env\":null},"
				"\"history\":["
				"{\"created\":\"2024-05-01T09:00:00Z\","
				"\"created_by\":\"ADD\"},"
				"{\"created_by\":\"ENV\",\"empty_layer\":true,"
				"\"comment\":\"c\"},"
				"{\"created\":\"yesterday\",\"empty_layer\":"
				"false}]}";
	struct imageconf *c;
	char name[3 * PLATFORM_PART_MAX];
	struct digest d;

	assert_int_equal(parse(text, 2, &c, NULL), 0);
	assert_true(c->has_created);
	assert_int_equal(c->created.tv_sec, 1714557600);
	assert_int_equal(c->created.tv_nsec, 500000000);
	platform_name(&c->platform, name);
	assert_string_equal(name, "linux-arm-v7");

	assert_int_equal(c->diff_ids_len, 2);
	digest_of(HASH_SHA256, "{}", 2, &d);
	assert_true(digest_equal(&c->diff_ids[0], &d));
	digest_of(HASH_SHA256, "abc", 3, &d);
	assert_true(digest_equal(&c->diff_ids[1], &d));

	assert_int_equal(c->steps_len, 3);
	assert_int_equal(c->steps[0].layer, 0);
	assert_true(c->steps[0].has_created);
	assert_int_equal(c->steps[0].created.tv_sec, 1714554000);
	assert_string_equal(c->steps[0].created_by, "ADD");
	assert_null(c->steps[0].comment);
	assert_int_equal(c->steps[1].layer, -1);
	assert_true(c->steps[1].empty_layer);
	assert_false(c->steps[1].has_created);
	assert_string_equal(c->steps[1].comment, "c");
	assert_int_equal(c->steps[2].layer, 1);
	assert_false(c->steps[2].has_created);
	assert_null(c->steps[2].created_by);
	imageconf_free(c);
}

static const struct {
	const char *text;
	size_t layers;
	int r;
	size_t diff_ids, steps;
} rows[] = {
	{"{}", 0, 0, 0, 0},
	{"{\"created\":null,\"os\":null,\"rootfs\":null,\"history\":null}", 1,
	 0, 0, 0},
	{"{" ROOTFS(D1) "}", 1, 0, 1, 0},
	/* told apart from the layers by whoever compares */
	{"{" ROOTFS(D1) "}", 2, 0, 1, 0},
	{"{" ROOTFS("") "}", 0, 0, 0, 0},
	{"{\"rootfs\":{\"diff_ids\":null}}", 0, 0, 0, 0},
	/* history that does not fit the layers is none */
	{"{\"history\":[{}]}", 1, 0, 0, 1},
	{"{\"history\":[{}]}", 2, 0, 0, 0},
	{"{\"history\":[{},{}]}", 1, 0, 0, 0},
	{"{\"history\":[{\"empty_layer\":true}]}", 1, 0, 0, 0},
	{"{\"history\":[{\"empty_layer\":true}]}", 0, 0, 0, 1},
	{"{\"history\":[{\"empty_layer\":null}]}", 1, 0, 0, 1},
	{"{\"history\":[]}", 0, 0, 0, 0},
	/* artifacts: members of other types are as good as absent */
	{"{\"created\":5,\"os\":[],\"architecture\":{},\"rootfs\":\"x\","
	 "\"history\":{}}",
	 0, 0, 0, 0},
	{"{\"rootfs\":[]}", 0, 0, 0, 0},
	{"{\"rootfs\":{\"diff_ids\":{}}}", 0, 0, 0, 0},
	{"{" ROOTFS(D1 ",\"md5:x\"") "}", 2, 0, 0, 0},
	{"{" ROOTFS(D1 ",7") "}", 2, 0, 0, 0},
	{"{" ROOTFS(D1 ",null") "}", 2, 0, 0, 0},
	{"{\"history\":[{},null]}", 2, 0, 0, 0},
	{"{\"history\":[{\"created_by\":\"x\"},7]}", 1, 0, 0, 0},
	{"{\"history\":[{\"created_by\":[]}]}", 1, 0, 0, 1},
	{"{\"history\":[{\"created_by\":\"x\"},{\"empty_layer\":1}]}", 1, 0, 0,
	 0},
	{"{\"name\":\"chart\",\"version\":\"1.0\"}", 1, 0, 0, 0},
	/* what is no JSON object */
	{"", 0, -EBADMSG, 0, 0},
	{"null", 0, -EBADMSG, 0, 0},
	{"[]", 0, -EBADMSG, 0, 0},
	{"\"x\"", 0, -EBADMSG, 0, 0},
	{"{", 0, -EBADMSG, 0, 0},
	{"{}x", 0, -EBADMSG, 0, 0},
	{"{\"os\":\"a\",\"os\":\"b\"}", 0, -EBADMSG, 0, 0},
	{"\037\213\b", 0, -EBADMSG, 0, 0},
};

static void test_table(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_error err = {.text = ""};
		struct imageconf *c = NULL;
		int r = parse(rows[i].text, rows[i].layers, &c, &err);

		if (r != rows[i].r)
			fail_msg("%s: %d %s", rows[i].text, r, err.text);
		if (r < 0) {
			assert_null(c);
			assert_string_not_equal(err.text, "");
			continue;
		}
		if (c->diff_ids_len != rows[i].diff_ids ||
		    c->steps_len != rows[i].steps)
			fail_msg("%s, %zu layers: %zu, %zu", rows[i].text,
				 rows[i].layers, c->diff_ids_len, c->steps_len);
		assert_false(c->has_created);
		assert_string_equal(c->platform.os, "");
		imageconf_free(c);
	}
	imageconf_free(NULL);
}

static void test_size(void **state)
{
	size_t n = IMAGECONF_BYTES_MAX + 1;
	struct imageconf *c;
	char *text = malloc(n);

	assert_non_null(text);
	memset(text, ' ', n);
	memcpy(text, "{}", 2);
	assert_int_equal(imageconf_parse(text, n, 0, &c, NULL), -EBADMSG);
	assert_int_equal(imageconf_parse(text, n - 1, 0, &c, NULL), 0);
	imageconf_free(c);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
