/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/manifest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/encode.h"
#include "util/json.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define H1 "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define H2 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

#define OINDEX MEDIATYPE_OCI_INDEX
#define OMAN MEDIATYPE_OCI_MANIFEST
#define DLIST MEDIATYPE_DOCKER_LIST
#define DMAN MEDIATYPE_DOCKER_MANIFEST
#define S1 MEDIATYPE_DOCKER_SCHEMA1
#define S1SIGNED MEDIATYPE_DOCKER_SCHEMA1_SIGNED
#define ART MEDIATYPE_OCI_ARTIFACT

#define MT(t) "\"mediaType\":\"" t "\""
#define DESC(t) "{" MT(t) ",\"digest\":\"sha256:" H1 "\",\"size\":2}"
#define DESC2(t) "{" MT(t) ",\"digest\":\"sha256:" H2 "\",\"size\":3}"
#define CONFIG "\"config\":" DESC(MEDIATYPE_OCI_CONFIG)
#define LAYERS "\"layers\":[" DESC("a/1") "," DESC2("a/2") "]"
#define MANIFESTS "\"manifests\":[" DESC(OMAN) "," DESC2("x/y") "]"
#define BLOBS "\"blobs\":[" DESC("a/1") "]"
#define FSLAYERS                                                               \
	"\"fsLayers\":[{\"blobSum\":\"sha256:" H2 "\"},"                       \
	"{\"blobSum\":\"sha256:" H1 "\"}]"
#define V1 "\"schemaVersion\":1"
#define V2 "\"schemaVersion\":2"

static int parse(const char *text, const char *given, struct manifest **ret,
		 struct json_error *err)
{
	return manifest_parse(text, strlen(text), given, HASH_SHA256, ret, err);
}

static const struct {
	const char *given, *text;
	const char *mediatype; /* NULL: refused */
	enum mediatype class;
	size_t children;
} good[] = {
	{OMAN, "{" V2 "," MT(OMAN) "," CONFIG "," LAYERS "}", OMAN,
	 MEDIATYPE_MANIFEST, 2},
	{OMAN, "{" V2 "," CONFIG "," LAYERS "}", OMAN, MEDIATYPE_MANIFEST, 2},
	{"", "{" V2 "," CONFIG "," LAYERS "}", OMAN, MEDIATYPE_MANIFEST, 2},
	{"application/json; charset=utf-8",
	 "{" V2 "," CONFIG "," LAYERS "," MT(DMAN) "}", DMAN,
	 MEDIATYPE_MANIFEST, 2},
	{"text/plain", "{" V2 "," CONFIG "," LAYERS "}", OMAN,
	 MEDIATYPE_MANIFEST, 2},
	{"Application/vnd.OCI.image.manifest.v1+json; charset=utf-8",
	 "{" V2 "," MT(OMAN) "," CONFIG "," LAYERS "}", OMAN,
	 MEDIATYPE_MANIFEST, 2},
	{DMAN, "{" V2 "," MT(DMAN) "," CONFIG "," LAYERS "}", DMAN,
	 MEDIATYPE_MANIFEST, 2},
	{OMAN, "{" V2 "," CONFIG ",\"layers\":[]}", OMAN, MEDIATYPE_MANIFEST,
	 0},
	{OMAN, "{" V2 "," CONFIG ",\"layers\":null}", OMAN, MEDIATYPE_MANIFEST,
	 0},
	{OMAN, "{" V2 "," CONFIG "}", OMAN, MEDIATYPE_MANIFEST, 0},
	{OMAN, "{" V2 "," CONFIG "," LAYERS ",\"manifests\":null}", OMAN,
	 MEDIATYPE_MANIFEST, 2},
	{OMAN, "{" V2 ",\"mediaType\":\"\"," CONFIG "," LAYERS "}", OMAN,
	 MEDIATYPE_MANIFEST, 2},
	{OINDEX, "{" V2 "," MT(OINDEX) "," MANIFESTS "}", OINDEX,
	 MEDIATYPE_INDEX, 2},
	{"", "{" V2 "," MANIFESTS "}", OINDEX, MEDIATYPE_INDEX, 2},
	{"application/octet-stream", "{" V2 "," MT(DLIST) "," MANIFESTS "}",
	 DLIST, MEDIATYPE_INDEX, 2},
	{OINDEX, "{" V2 ",\"manifests\":[]}", OINDEX, MEDIATYPE_INDEX, 0},
	{OINDEX, "{" V2 ",\"manifests\":null}", OINDEX, MEDIATYPE_INDEX, 0},
	{"", "{" V1 "," FSLAYERS "}", S1, MEDIATYPE_SCHEMA1, 2},
	{S1, "{" V1 "," FSLAYERS ",\"signatures\":[]}", S1, MEDIATYPE_SCHEMA1,
	 2},
	{ART, "{" MT(ART) "," BLOBS "}", ART, MEDIATYPE_ARTIFACT, 1},
	{"", "{" MT(ART) ",\"blobs\":null}", ART, MEDIATYPE_ARTIFACT, 0},
	{"", "{" MT(ART) "}", ART, MEDIATYPE_ARTIFACT, 0},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		const char *text = good[i].text;
		struct json_error err = {.text = ""};
		struct manifest *m = NULL;
		struct digest d;

		if (parse(text, good[i].given, &m, &err) != 0)
			fail_msg("%s: %s: %s", good[i].given, text, err.text);
		assert_string_equal(m->mediatype, good[i].mediatype);
		assert_int_equal(m->class, good[i].class);
		assert_int_equal(m->children_len, good[i].children);
		assert_int_equal(m->size_bytes, strlen(text));
		assert_string_equal(m->bytes, text);
		digest_of(HASH_SHA256, text, strlen(text), &d);
		assert_true(digest_equal(&m->digest, &d));
		assert_false(m->has_subject);
		manifest_free(m);
	}
	manifest_free(NULL);
}

#define HEAD_MAN "{" V2 "," CONFIG ",\"layers\":["

static const struct {
	const char *given, *text;
	const char *error; /* what the text starts with */
} bad[] = {
	/* no document */
	{"", "", ""},
	{"", "[]", "not an object"},
	{"", "null", ""},
	{"", "{}", "not a manifest"},
	{"", "{" V2 "}", "not a manifest"},
	{"", "{" V2 "," CONFIG "," LAYERS "", ""},
	{"", "{" V2 "," CONFIG "," LAYERS "}{}", ""},
	{"", "{" V2 "," CONFIG "," LAYERS "," V2 "}", ""},
	{"", "{" V2 "," CONFIG "," LAYERS ",\"x\":\"\\u0000\"}", ""},
	{"", "{" V2 "," CONFIG "," LAYERS ",\"x\":\"\377\"}", ""},
	/* what was given and what it is */
	{"text/html", "{" V2 "," MT(OMAN) "," CONFIG "," LAYERS "}", "given"},
	{MEDIATYPE_OCI_CONFIG, "{" V2 "," CONFIG "," LAYERS "}", "given"},
	{DMAN, "{" V2 "," MT(OMAN) "," CONFIG "," LAYERS "}", "given"},
	{OMAN, "{" V2 "," MT(DMAN) "," CONFIG "," LAYERS "}", "given"},
	{OINDEX, "{" V2 "," MT(OMAN) "," CONFIG "," LAYERS "}", "given"},
	{OINDEX, "{" V2 "," MT(DLIST) "," MANIFESTS "}", "given"},
	{OMAN, "{" V2 "," MT("a/b") "," CONFIG "," LAYERS "}", "mediaType"},
	{OMAN, "{" V2 ",\"mediaType\":7," CONFIG "," LAYERS "}", "mediaType"},
	{"", "{" V2 "," MT("application/json") "," CONFIG "," LAYERS "}",
	 "mediaType"},
	{"",
	 "{" V2 "," MT("Application/vnd.oci.image.manifest.v1+json") "," CONFIG
								     "," LAYERS
								     "}",
	 "mediaType"},
	{"", "{" V2 "," MT(OMAN "; x") "," CONFIG "," LAYERS "}", "mediaType"},
	{"", "{" V2 "," MT(MEDIATYPE_OCI_CONFIG) "," CONFIG "," LAYERS "}",
	 "mediaType"},
	/* type and shape */
	{OINDEX, "{" V2 "," CONFIG "," LAYERS "}", ""},
	{OMAN, "{" V2 "," MANIFESTS "}", ""},
	{OINDEX, "{" V2 "," MT(OINDEX) "}", "manifests: missing"},
	{OMAN, "{" V2 "," LAYERS "}", "config: missing"},
	{OMAN, "{" V2 ",\"config\":null," LAYERS "}", "config: missing"},
	{"", "{" V2 "," LAYERS "}", "not a manifest"},
	{S1, "{" V1 ",\"name\":\"a\"}", "fsLayers: missing"},
	/* read two ways */
	{"", "{" V2 "," MANIFESTS "," CONFIG "," LAYERS "}", "config: in"},
	{OINDEX, "{" V2 "," MT(OINDEX) "," MANIFESTS "," LAYERS "}",
	 "layers: in"},
	{OINDEX, "{" V2 "," MANIFESTS "," CONFIG "}", "config: in"},
	{OMAN, "{" V2 "," MANIFESTS "," CONFIG "," LAYERS "}", "manifests: in"},
	{DMAN, "{" V2 "," MT(DMAN) ",\"manifests\":[]," CONFIG "," LAYERS "}",
	 "manifests: in"},
	{DLIST, "{" V2 "," MT(DLIST) "," MANIFESTS ",\"layers\":[]}",
	 "layers: in"},
	{"", "{" V2 "," CONFIG "," LAYERS "," FSLAYERS "}", "fsLayers: in"},
	{OINDEX, "{" V2 "," MANIFESTS "," FSLAYERS "}", "fsLayers: in"},
	{"", "{" V1 "," FSLAYERS "," LAYERS "}", "layers: in"},
	{S1, "{" V1 "," FSLAYERS "," MANIFESTS "}", "manifests: in"},
	{OMAN, "{" V2 "," CONFIG "," LAYERS "," BLOBS "}", "blobs: in"},
	{ART, "{" MT(ART) "," BLOBS "," LAYERS "}", "layers: in"},
	/* what must name itself */
	{DMAN, "{" V2 "," CONFIG "," LAYERS "}", "mediaType: missing"},
	{DLIST, "{" V2 "," MANIFESTS "}", "mediaType: missing"},
	{ART, "{" BLOBS "}", "mediaType: missing"},
	{"", "{" BLOBS "}", "not a manifest"},
	/* versions */
	{OMAN, "{" CONFIG "," LAYERS "}", "schemaVersion"},
	{OMAN, "{" V1 "," CONFIG "," LAYERS "}", "schemaVersion"},
	{OMAN, "{\"schemaVersion\":3," CONFIG "," LAYERS "}", "schemaVersion"},
	{OMAN, "{\"schemaVersion\":2.0," CONFIG "," LAYERS "}",
	 "schemaVersion"},
	{OMAN, "{\"schemaVersion\":\"2\"," CONFIG "," LAYERS "}",
	 "schemaVersion"},
	{OINDEX, "{\"schemaVersion\":-2," MANIFESTS "}", "schemaVersion"},
	{S1, "{" V2 "," FSLAYERS "}", "schemaVersion"},
	/* members */
	{OMAN, "{" V2 ",\"config\":[]," LAYERS "}", "config"},
	{OMAN, "{" V2 ",\"config\":{}," LAYERS "}", "config.mediaType"},
	{OMAN, "{" V2 "," CONFIG ",\"layers\":{}}", "layers"},
	{OMAN, HEAD_MAN "1]}", "layers[0]: not an object"},
	{OMAN, HEAD_MAN "null]}", "layers[0]: not an object"},
	{OMAN, HEAD_MAN DESC("a/b") ",{" MT("a/b") ",\"size\":1}]}",
	 "layers[1].digest"},
	{OMAN,
	 HEAD_MAN "{" MT("a/b") ",\"digest\":\"sha256:" H1 "\",\"size\":-1}]}",
	 "layers[0].size"},
	{OMAN,
	 HEAD_MAN "{" MT("a/b") ",\"digest\":\"sha256:" H1 "\",\"size\":1.5}]}",
	 "layers[0].size"},
	{OMAN,
	 HEAD_MAN "{" MT("a/b") ",\"digest\":\"sha256:" H1
				"\",\"size\":9223372036854775807}]}",
	 "layers[0].size"},
	{OMAN,
	 HEAD_MAN "{" MT("a/b") ",\"digest\":\"sha256:" H1
				"\",\"size\":9223372036854775808}]}",
	 ""},
	{OINDEX,
	 "{" V2 ",\"manifests\":[{" MT(
		 "a/b") ",\"digest\":\"sha256:" H1
			"\",\"size\":1,\"platform\":{\"os\":{}}}]}",
	 "manifests[0].platform.os"},
	{OMAN, "{" V2 "," CONFIG "," LAYERS ",\"subject\":[]}", "subject"},
	{OMAN, "{" V2 "," CONFIG "," LAYERS ",\"subject\":{}}",
	 "subject.mediaType"},
	{OMAN, "{" V2 "," CONFIG "," LAYERS ",\"annotations\":{\"a\":1}}",
	 "annotations"},
	{OMAN, "{" V2 "," CONFIG "," LAYERS ",\"artifactType\":{}}",
	 "artifactType"},
	{OMAN, "{" V2 "," CONFIG "," LAYERS ",\"artifactType\":\"a\\nb\"}",
	 "artifactType"},
	{S1, "{" V1 ",\"fsLayers\":[{\"blobSum\":\"x\"}]}",
	 "fsLayers[0].blobSum"},
	{S1, "{" V1 ",\"fsLayers\":[{}]}", "fsLayers[0].blobSum"},
	{S1, "{" V1 ",\"fsLayers\":[7]}", "fsLayers[0]"},
	{S1, "{" V1 ",\"fsLayers\":{}}", "fsLayers"},
	{S1SIGNED, "{" V1 "," FSLAYERS "}", "signatures: missing"},
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct json_error err = {.text = ""};
		struct manifest *m = NULL;
		int r = parse(bad[i].text, bad[i].given, &m, &err);

		if (r != -EBADMSG)
			fail_msg("%s: %s: %d", bad[i].given, bad[i].text, r);
		assert_null(m);
		if (!err.text[0] || strstr(err.text, bad[i].error) != err.text)
			fail_msg("%s: \"%s\"", bad[i].text, err.text);
		assert_int_equal(parse(bad[i].text, bad[i].given, &m, NULL),
				 -EBADMSG);
	}
}

static void test_members(void **state)
{
	static const char text[] =
		"{" V2 "," CONFIG "," LAYERS ",\"artifactType\":\"x/y\","
		"\"subject\":" DESC2(OMAN) ",\"annotations\":{\"k\":\"v\"}}";
	struct manifest *m;
	struct digest d;

	assert_int_equal(parse(text, OMAN, &m, NULL), 0);
	assert_string_equal(m->artifact_type, "x/y");
	assert_true(m->has_subject);
	digest_of(HASH_SHA256, "abc", 3, &d);
	assert_true(digest_equal(&m->subject.digest, &d));
	assert_string_equal(manifest_annotation(m, "k"), "v");
	assert_null(manifest_annotation(m, "l"));
	assert_string_equal(m->config.mediatype, MEDIATYPE_OCI_CONFIG);
	assert_string_equal(m->children[0].mediatype, "a/1");
	assert_string_equal(m->children[1].mediatype, "a/2");
	assert_int_equal(m->children[1].size_bytes, 3);
	manifest_free(m);

	assert_int_equal(
		manifest_parse(text, strlen(text), OMAN, HASH_SHA512, &m, NULL),
		0);
	digest_of(HASH_SHA512, text, strlen(text), &d);
	assert_true(digest_equal(&m->digest, &d));
	manifest_free(m);
}

/* Docker's specs have no subject: what is called so is something else. */
static void test_docker_members(void **state)
{
	struct manifest *m;

	assert_int_equal(
		parse("{" V2 "," MT(DMAN) "," CONFIG "," LAYERS
					  ",\"subject\":5,\"artifactType\":5}",
		      DMAN, &m, NULL),
		0);
	assert_false(m->has_subject);
	assert_null(m->artifact_type);
	manifest_free(m);
}

static char *many(const char *before, size_t n, const char *item,
		  const char *after)
{
	struct str s = {.buf = NULL};

	assert_int_equal(str_add(&s, before), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(str_addf(&s, "%s%s", i ? "," : "", item), 0);
	assert_int_equal(str_add(&s, after), 0);
	return str_steal(&s);
}

static void test_counts(void **state)
{
	static const struct {
		const char *before, *item, *after;
		size_t max;
	} rows[] = {
		{"{" V2 ",\"manifests\":[", DESC("a/b"), "]}",
		 MANIFEST_CHILDREN_MAX},
		{HEAD_MAN, DESC("a/b"), "]}", MANIFEST_LAYERS_MAX},
		{"{" MT(ART) ",\"blobs\":[", DESC("a/b"), "]}",
		 MANIFEST_LAYERS_MAX},
		{"{" V1 ",\"fsLayers\":[", "{\"blobSum\":\"sha256:" H1 "\"}",
		 "]}", MANIFEST_LAYERS_MAX},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_error err;
		struct manifest *m;
		char *text;

		text = many(rows[i].before, rows[i].max, rows[i].item,
			    rows[i].after);
		assert_int_equal(parse(text, "", &m, &err), 0);
		assert_int_equal(m->children_len, rows[i].max);
		manifest_free(m);
		free(text);
		text = many(rows[i].before, rows[i].max + 1, rows[i].item,
			    rows[i].after);
		assert_int_equal(parse(text, "", &m, &err), -EBADMSG);
		assert_non_null(strstr(err.text, "more than"));
		free(text);
	}
}

static void test_size(void **state)
{
	static const char text[] = "{" V2 "," CONFIG "," LAYERS "}";
	size_t n = MANIFEST_BYTES_MAX + 1;
	char *padded = malloc(n);
	struct json_error err = {.text = ""};
	struct manifest *m;

	assert_non_null(padded);
	memset(padded, ' ', n);
	memcpy(padded, text, strlen(text));
	assert_int_equal(manifest_parse(padded, n, OMAN, HASH_SHA256, &m, &err),
			 -EFBIG);
	assert_non_null(strstr(err.text, "larger"));
	assert_int_equal(
		manifest_parse(padded, n - 1, OMAN, HASH_SHA256, &m, &err), 0);
	assert_int_equal(m->size_bytes, MANIFEST_BYTES_MAX);
	manifest_free(m);
	free(padded);
}

/* Schema 1 */

#define PAYLOAD                                                                \
	"{\n   " V1                                                            \
	",\n   \"name\": \"a/b\",\n   \"tag\": \"1\",\n   " FSLAYERS "\n}"

/* {"formatLength":LENGTH,"formatTail":TAIL} in base64url, twice over. */
static void add_protected(struct str *s, size_t length, const char *tail)
{
	struct str b = {.buf = NULL}, header = {.buf = NULL};

	assert_int_equal(base64_encode(tail, strlen(tail), &b), 0);
	assert_int_equal(str_addf(&header,
				  "{\"formatLength\":%zu,\"formatTail\":"
				  "\"%s\",\"time\":\"2015\"}",
				  length, b.buf ? b.buf : ""),
			 0);
	str_clear(&b);
	assert_int_equal(base64_encode(header.buf, header.len, &b), 0);
	assert_int_equal(str_addf(s,
				  "{\"header\":{},\"signature\":\"x\","
				  "\"protected\":\"%s\"}",
				  b.buf),
			 0);
	str_done(&b);
	str_done(&header);
}

struct signed_row {
	const char *name;
	const char *head; /* the document up to the signatures */
	size_t length;
	const char *tail;
	size_t length2; /* of a second signature; 0: there is none */
	const char *tail2;
	const char *error; /* NULL: fine */
};

static char *make_signed(const struct signed_row *row)
{
	struct str s = {.buf = NULL};

	assert_int_equal(str_addf(&s, "%s,\n   \"signatures\": [", row->head),
			 0);
	add_protected(&s, row->length, row->tail);
	if (row->length2) {
		assert_int_equal(str_addc(&s, ','), 0);
		add_protected(&s, row->length2, row->tail2);
	}
	assert_int_equal(str_add(&s, "]\n}"), 0);
	return str_steal(&s);
}

#define HEAD_S1 "{\n   " V1 ",\n   " FSLAYERS
#define N (sizeof(HEAD_S1) - 1)
/* outside of the payload: a layer that no signature covers */
#define SMUGGLED "{" V1 ",\"fsLayers\":[{\"blobSum\":\"sha256:" H1 "\"}]"

static const struct signed_row signed_rows[] = {
	{"plain", HEAD_S1, N, "\n}", 0, NULL, NULL},
	{"twice", HEAD_S1, N, "\n}", N, "\n}", NULL},
	{"other length", HEAD_S1, N, "\n}", N - 1, "\n}", "signatures[1]"},
	{"other tail", HEAD_S1, N, "\n}", N, "}", "signatures[1]"},
	{"longer tail", HEAD_S1, N, "\n}", N, "\n}\n", "signatures[1]"},
	{"too long", HEAD_S1, 100000, "\n}", 0, NULL, "signatures[0]."},
	{"no length", HEAD_S1, 0, "\n}", 0, NULL, "signatures[0]."},
	{"no tail", HEAD_S1, N, "", 0, NULL, "signatures[0]."},
	{"cut short", HEAD_S1, N - 4, "\n}", 0, NULL, ""},
	{"payload of another kind", HEAD_S1, 1, V2 "," MANIFESTS "}", 0, NULL,
	 ""},
	{"payload with a duplicate", HEAD_S1, N, "," V1 "}", 0, NULL, ""},
	{"smuggled", SMUGGLED, 1, V1 "," FSLAYERS "}", 0, NULL, NULL},
};

static void check_signed(const struct signed_row *row, const char *text,
			 const char *given, const char *mediatype)
{
	struct json_error err = {.text = ""};
	struct str payload = {.buf = NULL};
	struct manifest *m = NULL;
	struct digest d;
	int r = parse(text, given, &m, &err);

	if (r != (row->error ? -EBADMSG : 0))
		fail_msg("%s: %d %s", row->name, r, err.text);
	if (row->error) {
		if (strstr(err.text, row->error) != err.text || !err.text[0])
			fail_msg("%s: \"%s\"", row->name, err.text);
		return;
	}
	assert_string_equal(m->mediatype, mediatype);
	assert_int_equal(m->class, MEDIATYPE_SCHEMA1);
	assert_int_equal(str_addn(&payload, text, row->length), 0);
	assert_int_equal(str_add(&payload, row->tail), 0);
	digest_of(HASH_SHA256, payload.buf, payload.len, &d);
	if (!digest_equal(&m->digest, &d))
		fail_msg("%s: not the digest of the payload", row->name);
	str_done(&payload);
	/* base first: the document has the top first */
	assert_int_equal(m->children_len, 2);
	digest_of(HASH_SHA256, "{}", 2, &d);
	assert_true(digest_equal(&m->children[0].digest, &d));
	digest_of(HASH_SHA256, "abc", 3, &d);
	assert_true(digest_equal(&m->children[1].digest, &d));
	assert_true(m->children[0].size_bytes == DESCRIPTOR_SIZE_UNKNOWN);
	assert_int_equal(mediatype_class(m->children[0].mediatype),
			 MEDIATYPE_LAYER);
	assert_string_equal(m->bytes, text);
	manifest_free(m);
}

static void test_signed(void **state)
{
	for (size_t i = 0; i < COUNT(signed_rows); i++) {
		char *text = make_signed(&signed_rows[i]);

		check_signed(&signed_rows[i], text, S1SIGNED, S1SIGNED);
		check_signed(&signed_rows[i], text, "application/json",
			     S1SIGNED);
		check_signed(&signed_rows[i], text, S1, S1);
		free(text);
	}
}

static void test_signed_malformed(void **state)
{
	static const char *const signatures[] = {
		"[7]",
		"[{}]",
		"[{\"protected\":7}]",
		"[{\"protected\":\"\"}]",
		"[{\"protected\":\"*\"}]",
		"[{\"protected\":\"W10\"}]",			     /* [] */
		"[{\"protected\":\"e30\"}]",			     /* {} */
		"[{\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjEuNX0\"}]", /* 1.5 */
	};

	for (size_t i = 0; i < COUNT(signatures); i++) {
		struct json_error err = {.text = ""};
		struct str s = {.buf = NULL};
		struct manifest *m = NULL;

		assert_int_equal(
			str_addf(&s, "{" V1 "," FSLAYERS ",\"signatures\":%s}",
				 signatures[i]),
			0);
		if (parse(s.buf, S1SIGNED, &m, &err) != -EBADMSG)
			fail_msg("%s", signatures[i]);
		if (strncmp(err.text, "signatures[0]", 13) != 0)
			fail_msg("%s: %s", signatures[i], err.text);
		str_done(&s);
	}
}

static void test_signed_count(void **state)
{
	char *text =
		many("{" V1 "," FSLAYERS ",\"signatures\":[", 65, "{}", "]}");
	struct json_error err;
	struct manifest *m;

	assert_int_equal(parse(text, S1SIGNED, &m, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "more than"));
	free(text);
}

/* Choosing: each entry is "TYPE OS/ARCH[/VARIANT] [MARK]". */

struct entry {
	const char *type, *os, *arch, *variant;
	const char *more; /* further members, with the comma */
};

#define ATTEST                                                                 \
	",\"annotations\":{\"vnd.docker.reference.type\":"                     \
	"\"attestation-manifest\"}"
#define SOCI ",\"artifactType\":\"application/vnd.amazon.soci.index.v2+json\""

static const struct {
	const char *want;
	int chosen; /* -1: none */
	struct entry entries[4];
} choose_rows[] = {
	{"linux/amd64",
	 1,
	 {{OMAN, "linux", "arm64", "", ""}, {OMAN, "linux", "amd64", "", ""}}},
	{"linux/amd64",
	 0,
	 {{OMAN, "linux", "amd64", "", ""}, {OMAN, "linux", "amd64", "", ""}}},
	{"linux/arm/v7",
	 2,
	 {{OMAN, "linux", "arm", "v5", ""},
	  {OMAN, "linux", "arm", "v6", ""},
	  {DMAN, "linux", "arm", "v7", ""}}},
	{"linux/arm/v6",
	 1,
	 {{OMAN, "linux", "arm", "v7", ""}, {OMAN, "linux", "arm", "v6", ""}}},
	{"linux/amd64", -1, {{OMAN, "linux", "arm64", "", ""}}},
	{"linux/amd64", -1, {{NULL, NULL, NULL, NULL, NULL}}},
	{"linux/amd64",
	 1,
	 {{OMAN, "linux", "amd64", "", ATTEST},
	  {OMAN, "linux", "amd64", "", ""}}},
	{"linux/amd64",
	 1,
	 {{OMAN, "linux", "amd64", "", SOCI},
	  {OMAN, "linux", "amd64", "", ""}}},
	{"linux/amd64", 0, {{OMAN, "linux", "amd64", "", SOCI}}},
	{"unknown/unknown", -1, {{OMAN, "unknown", "unknown", "", ""}}},
	{"linux/amd64",
	 1,
	 {{"x/y", "linux", "amd64", "", ""},
	  {OINDEX, "linux", "amd64", "", ""}}},
	/* without a platform: only as the only one */
	{"linux/amd64", 0, {{OMAN, NULL, NULL, NULL, ""}}},
	{"linux/amd64", 0, {{OMAN, "", "", "", ""}}},
	{"linux/amd64",
	 0,
	 {{OMAN, NULL, NULL, NULL, ""},
	  {OMAN, "unknown", "unknown", "", ""},
	  {"x/y", NULL, NULL, NULL, ""},
	  {OMAN, NULL, NULL, NULL, ATTEST}}},
	{"linux/amd64",
	 -1,
	 {{OMAN, NULL, NULL, NULL, ""}, {OMAN, NULL, NULL, NULL, ""}}},
	{"linux/amd64",
	 -1,
	 {{OMAN, NULL, NULL, NULL, ""}, {OMAN, "linux", "arm64", "", ""}}},
	{"linux/arm64",
	 1,
	 {{OMAN, NULL, NULL, NULL, ""}, {OMAN, "linux", "arm64", "", ""}}},
};

static void add_entry(struct str *s, const struct entry *e)
{
	assert_int_equal(str_addf(s,
				  "%s{\"mediaType\":\"%s\",\"digest\":"
				  "\"sha256:" H1 "\",\"size\":2%s",
				  s->buf[s->len - 1] == '[' ? "" : ",", e->type,
				  e->more),
			 0);
	if (e->os)
		assert_int_equal(str_addf(s,
					  ",\"platform\":{\"os\":\"%s\","
					  "\"architecture\":\"%s\","
					  "\"variant\":\"%s\"}",
					  e->os, e->arch, e->variant),
				 0);
	assert_int_equal(str_addc(s, '}'), 0);
}

static void test_choose(void **state)
{
	for (size_t i = 0; i < COUNT(choose_rows); i++) {
		const struct descriptor *d;
		struct str s = {.buf = NULL};
		struct platform want;
		struct manifest *m;

		assert_int_equal(str_add(&s, "{" V2 ",\"manifests\":["), 0);
		for (size_t j = 0; j < 4 && choose_rows[i].entries[j].type; j++)
			add_entry(&s, &choose_rows[i].entries[j]);
		assert_int_equal(str_add(&s, "]}"), 0);
		assert_int_equal(parse(s.buf, "", &m, NULL), 0);
		str_done(&s);
		assert_int_equal(platform_parse(choose_rows[i].want, &want), 0);
		d = manifest_choose(m, &want);
		if ((d ? d - m->children : -1) != choose_rows[i].chosen)
			fail_msg("row %zu: %td", i, d ? d - m->children : -1);
		manifest_free(m);
	}
}

static void test_choose_no_index(void **state)
{
	struct platform want;
	struct manifest *m;

	assert_int_equal(platform_parse("linux/amd64", &want), 0);
	assert_int_equal(parse("{" V2 "," CONFIG
			       ",\"layers\":[" DESC(OMAN) "]}",
			       OMAN, &m, NULL),
			 0);
	assert_null(manifest_choose(m, &want));
	manifest_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_docker_members),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_signed_malformed),
		cmocka_unit_test(test_signed_count),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_choose_no_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
