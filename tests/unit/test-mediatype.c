/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/mediatype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DOCKER "application/vnd.docker."
#define OCI "application/vnd.oci.image."

static const struct {
	const char *s;
	enum mediatype class;
	bool generic, known;
} rows[] = {
	{OCI "index.v1+json", MEDIATYPE_INDEX, false, true},
	{DOCKER "distribution.manifest.list.v2+json", MEDIATYPE_INDEX, false,
	 true},
	{OCI "manifest.v1+json", MEDIATYPE_MANIFEST, false, true},
	{DOCKER "distribution.manifest.v2+json", MEDIATYPE_MANIFEST, false,
	 true},
	{DOCKER "distribution.manifest.v1+json", MEDIATYPE_SCHEMA1, false,
	 true},
	{DOCKER "distribution.manifest.v1+prettyjws", MEDIATYPE_SCHEMA1, false,
	 true},
	{"application/vnd.oci.artifact.manifest.v1+json", MEDIATYPE_ARTIFACT,
	 false, true},
	{OCI "config.v1+json", MEDIATYPE_CONFIG, false, true},
	{DOCKER "container.image.v1+json", MEDIATYPE_CONFIG, false, true},
	{OCI "layer.v1.tar", MEDIATYPE_LAYER, false, true},
	{OCI "layer.v1.tar+gzip", MEDIATYPE_LAYER, false, true},
	{OCI "layer.v1.tar+zstd", MEDIATYPE_LAYER, false, true},
	{DOCKER "image.rootfs.diff.tar", MEDIATYPE_LAYER, false, true},
	{DOCKER "image.rootfs.diff.tar.gzip", MEDIATYPE_LAYER, false, true},
	{DOCKER "image.rootfs.diff.tar.zstd", MEDIATYPE_LAYER, false, true},
	{OCI "layer.nondistributable.v1.tar", MEDIATYPE_FOREIGN, false, true},
	{OCI "layer.nondistributable.v1.tar+gzip", MEDIATYPE_FOREIGN, false,
	 true},
	{OCI "layer.nondistributable.v1.tar+zstd", MEDIATYPE_FOREIGN, false,
	 true},
	{DOCKER "image.rootfs.foreign.diff.tar.gzip", MEDIATYPE_FOREIGN, false,
	 true},
	{OCI "index.v1+json; charset=utf-8", MEDIATYPE_INDEX, false, true},
	{OCI "index.v1+json ;a=b;c", MEDIATYPE_INDEX, false, true},
	{" \t" OCI "index.v1+json\t", MEDIATYPE_INDEX, false, true},
	{"Application/VND.OCI.image.Index.v1+JSON", MEDIATYPE_INDEX, false,
	 true},
	{OCI "index.v1+jso", MEDIATYPE_OTHER, false, false},
	{OCI "index.v1+jsonx", MEDIATYPE_OTHER, false, false},
	{OCI "index.v1", MEDIATYPE_OTHER, false, false},
	{"application/vnd.oci.empty.v1+json", MEDIATYPE_OTHER, false, false},
	{"application/vnd.cncf.helm.config.v1+json", MEDIATYPE_OTHER, false,
	 false},
	{"text/html", MEDIATYPE_OTHER, false, false},
	{"", MEDIATYPE_OTHER, true, false},
	{" ", MEDIATYPE_OTHER, true, false},
	{"; charset=utf-8", MEDIATYPE_OTHER, true, false},
	{"application/json", MEDIATYPE_OTHER, true, false},
	{"application/json; charset=utf-8", MEDIATYPE_OTHER, true, false},
	{"APPLICATION/JSON", MEDIATYPE_OTHER, true, false},
	{"text/plain;charset=utf-8", MEDIATYPE_OTHER, true, false},
	{"application/octet-stream", MEDIATYPE_OTHER, true, false},
	{"application/jsonp", MEDIATYPE_OTHER, false, false},
};

static void test_class(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *s = rows[i].s, *known = mediatype_known(s);

		if (mediatype_class(s) != rows[i].class ||
		    mediatype_is_generic(s) != rows[i].generic ||
		    (known != NULL) != rows[i].known)
			fail_msg("\"%s\"", s);
		if (known)
			assert_true(mediatype_equal(known, s));
	}
	assert_string_equal(mediatype_known("APPLICATION/vnd.OCI.image.index"
					    ".v1+json;x"),
			    MEDIATYPE_OCI_INDEX);
}

static void test_document(void **state)
{
	static const struct {
		enum mediatype m;
		bool document;
	} table[] = {
		{MEDIATYPE_OTHER, false},   {MEDIATYPE_INDEX, true},
		{MEDIATYPE_MANIFEST, true}, {MEDIATYPE_SCHEMA1, true},
		{MEDIATYPE_ARTIFACT, true}, {MEDIATYPE_CONFIG, false},
		{MEDIATYPE_LAYER, false},   {MEDIATYPE_FOREIGN, false},
	};

	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(mediatype_is_document(table[i].m),
				 table[i].document);
}

static void test_equal(void **state)
{
	assert_true(mediatype_equal("a/b", "A/B; x"));
	assert_true(mediatype_equal("", ";x"));
	assert_false(mediatype_equal("a/b", "a/bc"));
	assert_false(mediatype_equal("a/bc", "a/b"));
	assert_false(mediatype_equal("a/b", ""));
}

static void test_valid(void **state)
{
	char s[MEDIATYPE_MAX + 2];

	memset(s, 'a', sizeof(s));
	s[MEDIATYPE_MAX] = '\0';
	assert_true(mediatype_is_valid(s));
	s[MEDIATYPE_MAX] = 'a';
	s[MEDIATYPE_MAX + 1] = '\0';
	assert_false(mediatype_is_valid(s));
	assert_false(mediatype_is_valid(""));
	assert_true(mediatype_is_valid("a/b; c=d"));
	assert_false(mediatype_is_valid("a/b\r\nX: y"));
	assert_false(mediatype_is_valid("a/b\177"));
}

static void test_accept(void **state)
{
	static const char *const all[] = {
		MEDIATYPE_OCI_INDEX,
		MEDIATYPE_OCI_MANIFEST,
		MEDIATYPE_DOCKER_LIST,
		MEDIATYPE_DOCKER_MANIFEST,
		MEDIATYPE_DOCKER_SCHEMA1,
		MEDIATYPE_DOCKER_SCHEMA1_SIGNED,
		"*/*;q=0.1",
	};
	const char *accept = mediatype_accept();

	for (size_t i = 0; i < COUNT(all); i++)
		assert_non_null(strstr(accept, all[i]));
	assert_null(strchr(accept, '\n'));
	/* schema 1 is signed over other bytes: never preferred */
	assert_non_null(strstr(accept, "v1+prettyjws;q=0.5"));
	assert_non_null(strstr(accept, "manifest.v1+json;q=0.5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_class),  cmocka_unit_test(test_document),
		cmocka_unit_test(test_equal),  cmocka_unit_test(test_valid),
		cmocka_unit_test(test_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
