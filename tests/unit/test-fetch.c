/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/fetch.h"

#include "scripted.h"

#include <errno.h>

#define CONFIG                                                                 \
	"{\"mediaType\":\"" MEDIATYPE_OCI_CONFIG "\",\"size\":2,\"digest\":"   \
	"\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c"  \
	"aaff8a\"}"
#define MANIFEST                                                               \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST         \
	"\",\"config\":" CONFIG ",\"layers\":[]}"
#define INDEX_OF(members)                                                      \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX            \
	"\",\"manifests\":[" members "]}"
#define CHILD                                                                  \
	"{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST                             \
	"\",\"size\":712,\"artifactType\":\"a/b\",\"digest\":"                 \
	"\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c"  \
	"aaff8a\"}"

static struct {
	int status;
	const char *type, *body, *digest;
	bool head_poor, wants_plain;
} doc;

static void answer_manifest(const struct request *q, struct reply *p)
{
	char accept[4096];

	head_value(q->head, "Accept", accept);
	if (doc.wants_plain && strstr(accept, ";q=")) {
		add_head(p, "Content-Type: application/json");
		say(p, 404,
		    "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":"
		    "\"OCI index found, but accept header does not support OCI "
		    "indexes\"}]}");
		return;
	}
	if (strcmp(q->method, "HEAD") == 0 && doc.head_poor) {
		say(p, 200, "");
		return;
	}
	if (doc.type)
		add_head(p, "Content-Type: %s", doc.type);
	if (doc.digest)
		add_head(p, "Docker-Content-Digest: %s", doc.digest);
	say(p, doc.status, doc.body);
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	if (strcmp(q->target, "/v2/") == 0)
		say(p, 200, "{}");
	else if (strstr(q->target, "/manifests/"))
		answer_manifest(q, p);
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	memset(&doc, 0, sizeof(doc));
	doc.status = 200;
	doc.type = MEDIATYPE_OCI_MANIFEST;
	doc.body = MANIFEST;
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

static int get(struct client *c, const char *ref)
{
	struct manifest *m;
	int r = fetch_manifest(c->r, "a/b", ref, &c->w, &m);

	if (r < 0)
		return r;
	r = (int)m->class;
	manifest_free(m);
	return r;
}

static const char *digest_of_text(const char *text, enum hash_alg alg)
{
	static char out[4][DIGEST_TEXT_MAX];
	static unsigned next;
	char *s = out[next++ % COUNT(out)];
	struct digest d;

	digest_of(alg, text, strlen(text), &d);
	digest_format(&d, s);
	return s;
}

static void test_manifest(void **state)
{
	const char *good = digest_of_text(MANIFEST, HASH_SHA256);
	const char *good512 = digest_of_text(MANIFEST, HASH_SHA512);
	const char *bad = digest_of_text("x", HASH_SHA256);
	const struct {
		const char *ref;
		int status;
		const char *type, *body, *digest;
		int result;
	} rows[] = {
		{"1.4", 200, MEDIATYPE_OCI_MANIFEST, MANIFEST, NULL,
		 MEDIATYPE_MANIFEST},
		{"1.4", 200, MEDIATYPE_OCI_MANIFEST "; charset=utf-8", MANIFEST,
		 good, MEDIATYPE_MANIFEST},
		{"1.4", 200, "text/plain", MANIFEST, good512,
		 MEDIATYPE_MANIFEST},
		{"1.4", 200, NULL, MANIFEST, "md5:nonsense",
		 MEDIATYPE_MANIFEST},
		{"1.4", 200, MEDIATYPE_OCI_MANIFEST, MANIFEST, bad, -EBADMSG},
		{good, 200, MEDIATYPE_OCI_MANIFEST, MANIFEST, bad,
		 MEDIATYPE_MANIFEST},
		{good512, 200, MEDIATYPE_OCI_MANIFEST, MANIFEST, good,
		 MEDIATYPE_MANIFEST},
		{bad, 200, MEDIATYPE_OCI_MANIFEST, MANIFEST, bad, -EBADMSG},
		{"1.4", 200, MEDIATYPE_OCI_INDEX, MANIFEST, NULL, -EIO},
		{"1.4", 200, "text/html", "<html>", NULL, -EIO},
		{"1.4", 200, MEDIATYPE_OCI_INDEX, INDEX_OF(CHILD), NULL,
		 MEDIATYPE_INDEX},
		{"1.4", 404, "application/json",
		 "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}", NULL,
		 -ENOENT},
		{"1.4", 404, "application/json",
		 "{\"errors\":[{\"status\":404,\"message\":\"no\"}]}", NULL,
		 -ENOENT},
		{"1.4", 404, "text/html", "<html>", NULL, -EIO},
		{"1.4", 404, "text/plain", "<html>", NULL, -EIO},
		{"1.4", 404, NULL, "404 page not found", NULL, -EIO},
		{"1.4", 404, NULL, "", NULL, -ENOENT},
		{"1.4", 401, NULL, "", NULL, -EACCES},
		{"1.4", 403, NULL, "", NULL, -EACCES},
		{"1.4", 500, NULL, "", NULL, -EIO},
		{"no tag", 200, NULL, MANIFEST, NULL, -EINVAL},
		{"sha256:abc", 200, NULL, MANIFEST, NULL, -EINVAL},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		doc.status = rows[i].status;
		doc.type = rows[i].type;
		doc.body = rows[i].body;
		doc.digest = rows[i].digest;
		assert_int_equal(get(c, rows[i].ref), rows[i].result);
		teardown(state);
	}
}

static void test_large_manifest(void **state)
{
	struct client *c = *state;
	static char big[MANIFEST_BYTES_MAX + 10];

	memset(big, ' ', MANIFEST_BYTES_MAX + 9);
	big[MANIFEST_BYTES_MAX + 9] = '\0';
	doc.body = big;
	assert_int_equal(get(c, "1.4"), -EFBIG);
	assert_int_equal(asked(&c->s, "GET"), 1);
}

static void test_plain_accept(void **state)
{
	struct client *c = *state;
	char value[4096];

	doc.wants_plain = true;
	assert_int_equal(get(c, "1.4"), MEDIATYPE_MANIFEST);
	assert_int_equal(asked(&c->s, "GET"), 2);
	head_value(last_asked(&c->s, "GET"), "Accept", value);
	assert_null(strstr(value, ";"));
	assert_null(strstr(value, "*"));
	assert_non_null(strstr(value, MEDIATYPE_OCI_INDEX ", "));
	assert_non_null(strstr(value, ", application/json"));
}

static void test_resolve(void **state)
{
	const char *good = digest_of_text(MANIFEST, HASH_SHA256);
	const struct {
		int status;
		const char *type, *digest;
		bool poor;
		int result;
		unsigned gets;
	} rows[] = {
		{200, MEDIATYPE_OCI_MANIFEST, good, false, 0, 0},
		{200, MEDIATYPE_OCI_MANIFEST "; charset=utf-8", good, false, 0,
		 0},
		{200, MEDIATYPE_OCI_MANIFEST, NULL, false, 0, 1},
		{200, "text/plain", good, false, 0, 1},
		{200, MEDIATYPE_OCI_MANIFEST, good, true, 0, 1},
		{404, "application/json", NULL, false, -ENOENT, 0},
		{404, NULL, NULL, false, -ENOENT, 0},
		{404, "text/html", NULL, false, -EIO, 1},
		{405, NULL, NULL, false, -EROFS, 1},
		{401, NULL, NULL, false, -EACCES, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fetch_resolved found = {.size_bytes = 0};
		char text[DIGEST_TEXT_MAX];
		struct client *c;

		setup(state);
		c = *state;
		doc.status = rows[i].status;
		doc.type = rows[i].type;
		doc.digest = rows[i].digest;
		doc.head_poor = rows[i].poor;
		assert_int_equal(
			fetch_resolve(c->r, "a/b", "1.4", &c->w, &found),
			rows[i].result);
		assert_int_equal(asked(&c->s, "GET /v2/a/b/"), rows[i].gets);
		if (rows[i].result == 0) {
			digest_format(&found.digest, text);
			assert_string_equal(text, good);
			assert_string_equal(found.mediatype,
					    MEDIATYPE_OCI_MANIFEST);
			assert_int_equal(found.size_bytes, strlen(MANIFEST));
			assert_int_equal(found.manifest != NULL, rows[i].gets);
		}
		manifest_free(found.manifest);
		teardown(state);
	}
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest),
		WITH(test_large_manifest),
		WITH(test_plain_accept),
		cmocka_unit_test(test_resolve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
