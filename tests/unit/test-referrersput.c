/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/out/put.h"

#include "scripted.h"

#include <errno.h>

#include "oci/manifest.h"
#include "registry/host.h"
#include "registry/referrers.h"

#define A                                                                      \
	"sha256:"                                                              \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B                                                                      \
	"sha256:"                                                              \
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C                                                                      \
	"sha256:"                                                              \
	"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define ENTRY(d)                                                               \
	"{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST "\",\"digest\":\"" d        \
	"\",\"size\":712}"
#define OURS                                                                   \
	"{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST "\",\"digest\":\"" A        \
	"\",\"size\":712,\"artifactType\":\"a/\\\"b\",\"annotations\":"        \
	"{\"k\":\"v\",\"l\\u000a\":\"\"}}"
/* Spacing, order, escapes and members as nobody else would write them. */
#define ODD_HEAD                                                               \
	"{ \"annotations\" : {\"\\u00e9\":\"x\"}, \"x-new\": 1.50e1,\n"        \
	"\"schemaVersion\":2, \"mediaType\":\"" MEDIATYPE_OCI_INDEX            \
	"\", \"manifests\" : [ "
#define ODD_ENTRY                                                              \
	"{\"size\" :  7,\"digest\":\"" B                                       \
	"\",\"mediaType\":\"x/y\",\"data\":\"e30=\",\"z\":[{}]}"
#define ODD_TAIL "\n], \"subject\": null }\n"
#define EMPTY                                                                  \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX            \
	"\",\"manifests\":[%s]}"

static struct {
	char doc[65536]; /* under the tag; "": none */
	const char *type;
	bool etags, weak;
	unsigned races;	 /* somebody else writes between our GET and PUT */
	bool overwrites; /* and takes no notice of us */
	int put;	 /* instead of storing */
	bool lies;	 /* of the digest */
	int get;	 /* a status */
	unsigned gets, puts;
	char if_match[4096];
} act;

static const char *digest_text(const char *body)
{
	static _Thread_local char text[DIGEST_TEXT_MAX];
	struct digest d;

	digest_of(HASH_SHA256, body, strlen(body), &d);
	digest_format(&d, text);
	return text;
}

static void answer_get(const struct request *q, struct reply *p)
{
	if (strcmp(q->method, "GET") == 0)
		act.gets++;
	if (act.get) {
		refuse(p, act.get, "SOMETHING");
		return;
	}
	if (!*act.doc) {
		refuse(p, 404, "MANIFEST_UNKNOWN");
		return;
	}
	add_head(p, "Content-Type: %s", act.type);
	add_head(p, "Docker-Content-Digest: %s",
		 digest_text(act.lies ? "lie" : act.doc));
	if (act.etags)
		add_head(p, "ETag: %s\"%s\"", act.weak ? "W/" : "",
			 digest_text(act.doc));
	say_made(p, 200, "%s", act.doc);
	if (strcmp(q->method, "GET") == 0 && act.races > 0) {
		snprintf(act.doc, sizeof(act.doc), EMPTY "%*s", ENTRY(C),
			 (int)act.races--, "");
	}
}

static bool matches(const struct request *q)
{
	char want[160];

	if (!head_value(q->head, "if-match", act.if_match))
		return true;
	snprintf(want, sizeof(want), "\"%s\"",
		 *act.doc ? digest_text(act.doc) : "");
	return strcmp(act.if_match, want) == 0;
}

static void answer_put(const struct request *q, struct reply *p)
{
	act.puts++;
	if (act.put) {
		refuse(p, act.put, "DENIED");
		return;
	}
	if (!matches(q)) {
		refuse(p, 412, "PRECONDITION");
		return;
	}
	snprintf(act.doc, sizeof(act.doc), "%s", q->body);
	if (act.overwrites) {
		act.overwrites = false;
		snprintf(act.doc, sizeof(act.doc), EMPTY, ENTRY(C));
	}
	say(p, 201, "");
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	(void)s;
	add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (strcmp(q->target, "/v2/") == 0)
		say(p, 200, "{}");
	else if (!strstr(q->target, "/manifests/sha256-"))
		refuse(p, 400, "NAME_INVALID");
	else if (strcmp(q->method, "PUT") == 0)
		answer_put(q, p);
	else
		answer_get(q, p);
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	memset(&act, 0, sizeof(act));
	act.type = MEDIATYPE_OCI_INDEX;
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

static int add_digest(struct client *c, struct wait *w, const char *text)
{
	char k[] = "k", v[] = "v", l[] = "l\n", nothing[] = "";
	char mediatype[] = MEDIATYPE_OCI_MANIFEST, artifact_type[] = "a/\"b";
	struct annotation notes[] = {{.key = k, .value = v},
				     {.key = l, .value = nothing}};
	struct descriptor d = {.mediatype = mediatype,
			       .artifact_type = artifact_type,
			       .size_bytes = 712,
			       .annotations = notes,
			       .annotations_len = 2};
	struct digest subject;

	digest_of(HASH_SHA256, "x", 1, &subject);
	assert_int_equal(digest_parse(text, &d.digest), 0);
	return referrers_add(c->r, "a/b", &subject, &d, w);
}

static int add(struct client *c)
{
	int r;

	wait_init(&c->w, 5000, 0);
	script_sync(&c->s);
	r = add_digest(c, &c->w, A);
	script_sync(&c->s);
	return r;
}

static int take(struct client *c)
{
	struct digest subject, d;
	int r;

	wait_init(&c->w, 5000, 0);
	digest_of(HASH_SHA256, "x", 1, &subject);
	assert_int_equal(digest_parse(A, &d), 0);
	script_sync(&c->s);
	r = referrers_remove(c->r, "a/b", &subject, &d, &c->w);
	script_sync(&c->s);
	return r;
}

static void test_documents(void **state)
{
	static const struct {
		const char *before, *added, *removed; /* NULL: untouched */
		int result;
	} rows[] = {
		{"",
		 "{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX
		 "\",\"manifests\":[" OURS "]}",
		 NULL, 0},
		{ODD_HEAD ODD_ENTRY ODD_TAIL,
		 ODD_HEAD ODD_ENTRY "," OURS ODD_TAIL, NULL, 0},
		{ODD_HEAD ODD_TAIL,
		 "{ \"annotations\" : {\"\\u00e9\":\"x\"}, "
		 "\"x-new\": 1.50e1,\n\"schemaVersion\":2, "
		 "\"mediaType\":\"" MEDIATYPE_OCI_INDEX
		 "\", \"manifests\" : [" OURS " " ODD_TAIL,
		 NULL, 0},
		/* There already, in whatever words. */
		{ODD_HEAD ENTRY(A) "," ODD_ENTRY ODD_TAIL, NULL,
		 ODD_HEAD ODD_ENTRY ODD_TAIL, 0},
		{ODD_HEAD ODD_ENTRY " ,\n" ENTRY(A) ODD_TAIL, NULL,
		 ODD_HEAD ODD_ENTRY ODD_TAIL, 0},
		{ODD_HEAD ENTRY(A) ODD_TAIL, NULL, ODD_HEAD ODD_TAIL, 0},
		/* More than once. */
		{ODD_HEAD ENTRY(A) "," ODD_ENTRY "," OURS ODD_TAIL, NULL,
		 ODD_HEAD ODD_ENTRY ODD_TAIL, 0},
		/* Not what the tag should hold: not touched. */
		{"{\"schemaVersion\":2,\"config\":{},\"layers\":[]}", NULL,
		 NULL, -EIO},
		{"{\"manifests\":{}}", NULL, NULL, -EIO},
		{"<html>", NULL, NULL, -EIO},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		for (int k = 0; k < 2; k++) {
			const char *want = k ? rows[i].removed : rows[i].added;
			struct client *c;

			setup(state);
			c = *state;
			snprintf(act.doc, sizeof(act.doc), "%s",
				 rows[i].before);
			assert_int_equal(k ? take(c) : add(c), rows[i].result);
			assert_string_equal(act.doc,
					    want ? want : rows[i].before);
			assert_int_equal(act.puts, want != NULL);
			if (want)
				assert_non_null(strstr(
					last_asked(&c->s, "PUT"),
					"Content-Type: " MEDIATYPE_OCI_INDEX));
			teardown(state);
		}
	}
	setup(state);
}

static void test_types(void **state)
{
	static const struct {
		const char *type, *sent;
		int result;
	} rows[] = {
		{MEDIATYPE_OCI_INDEX "; charset=utf-8", MEDIATYPE_OCI_INDEX, 0},
		{"application/json", MEDIATYPE_OCI_INDEX, 0},
		{MEDIATYPE_DOCKER_LIST, MEDIATYPE_DOCKER_LIST, 0},
		{MEDIATYPE_OCI_MANIFEST, NULL, -EIO},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.type = rows[i].type;
		snprintf(act.doc, sizeof(act.doc), EMPTY, ENTRY(B));
		assert_int_equal(add(c), rows[i].result);
		if (rows[i].sent) {
			char line[256];

			snprintf(line, sizeof(line), "Content-Type: %s\r\n",
				 rows[i].sent);
			assert_non_null(strstr(last_asked(&c->s, "PUT"), line));
		}
		teardown(state);
	}
	setup(state);
}

static void test_races(void **state)
{
	static const struct {
		bool etags, weak, overwrites;
		unsigned races;
		int result;
		unsigned puts;
		bool sends_etag;
	} rows[] = {
		{false, false, false, 0, 0, 1, false},
		{true, false, false, 0, 0, 1, true},
		{true, true, false, 0, 0, 1, false},
		/* If-Match does not hold: the other's entry stays. */
		{true, false, false, 1, 0, 2, true},
		{true, false, false, 3, 0, 4, true},
		{true, false, false, 99, -EIO, 6, true},
		/* Ours is lost, and seen to be lost. */
		{false, false, true, 0, 0, 2, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.etags = rows[i].etags;
		act.weak = rows[i].weak;
		act.races = rows[i].races;
		act.overwrites = rows[i].overwrites;
		snprintf(act.doc, sizeof(act.doc), EMPTY, ENTRY(B));
		/* What the other writes is always news. */
		if (rows[i].races > 9)
			act.put = 412;
		assert_int_equal(add(c), rows[i].result);
		assert_int_equal(act.puts, rows[i].puts);
		assert_int_equal(asked(&c->s, "If-Match: ") > 0,
				 rows[i].sends_etag);
		if (rows[i].result == 0) {
			assert_non_null(strstr(act.doc, OURS));
			assert_non_null(strstr(
				act.doc, rows[i].races || rows[i].overwrites
						 ? ENTRY(C)
						 : ENTRY(B)));
		}
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		teardown(state);
	}
	setup(state);
}

static void test_failures(void **state)
{
	static const struct {
		int get, put;
		bool lies;
		int result;
	} rows[] = {
		{500, 0, false, -EIO},	  {403, 0, false, -EACCES},
		{0, 403, false, -EACCES}, {0, 413, false, -EFBIG},
		{0, 405, false, -EROFS},  {0, 0, true, -EIO},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.get = rows[i].get;
		act.put = rows[i].put;
		act.lies = rows[i].lies;
		snprintf(act.doc, sizeof(act.doc), EMPTY, ENTRY(B));
		assert_int_equal(add(c), rows[i].result);
		assert_int_equal(fault_log_count(c->faults), 1);
		assert_null(strstr(act.doc, A));
		teardown(state);
	}
	setup(state);
}

static void test_full(void **state)
{
	struct client *c = *state;
	size_t n = (size_t)snprintf(act.doc, sizeof(act.doc),
				    "{\"schemaVersion\":2,\"manifests\":[0");

	/* As many as are read again, and not one more. */
	for (size_t i = 1; i < MANIFEST_CHILDREN_MAX; i++, n += 2)
		memcpy(act.doc + n, ",0", 3);
	memcpy(act.doc + n, "]}", 3);
	assert_int_equal(add(c), -EFBIG);
	assert_int_equal(act.puts, 0);
}

struct adder {
	struct client *c;
	struct wait w;
	char digest[DIGEST_TEXT_MAX];
	int result;
};

static void *add_one(void *arg)
{
	struct adder *a = arg;

	a->result = add_digest(a->c, &a->w, a->digest);
	return NULL;
}

/* Without ETag, the uploads of one mount do not overwrite each other. */
static void test_together(void **state)
{
	struct client *c = *state;
	struct adder adders[6];
	pthread_t threads[6];

	for (size_t i = 0; i < COUNT(adders); i++) {
		struct adder *a = &adders[i];

		a->c = c;
		wait_init(&a->w, 5000, 0);
		snprintf(a->digest, sizeof(a->digest), "%s",
			 digest_text((char[]){(char)('a' + i), '\0'}));
		assert_int_equal(pthread_create(&threads[i], NULL, add_one, a),
				 0);
	}
	for (size_t i = 0; i < COUNT(adders); i++)
		pthread_join(threads[i], NULL);
	script_sync(&c->s);
	for (size_t i = 0; i < COUNT(adders); i++) {
		assert_int_equal(adders[i].result, 0);
		assert_non_null(strstr(act.doc, adders[i].digest));
	}
	assert_int_equal(act.puts, COUNT(adders));
	assert_int_equal(act.gets, COUNT(adders));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_documents, teardown),
		cmocka_unit_test_teardown(test_types, teardown),
		cmocka_unit_test_teardown(test_races, teardown),
		cmocka_unit_test_teardown(test_failures, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_together, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
