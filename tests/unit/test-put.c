/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/put.h"

#include "scripted.h"

#include <errno.h>

#include "oci/mediatype.h"
#include "registry/host.h"
#include "util/clock.h"

#define BODY "{\"schemaVersion\":2,\"layers\":[]}"
#define TAG "/v2/a/b/manifests/1.0"
#define NO_BODY "-"

/* How the fake registry behaves; zero is well. */
static struct {
	/* PUT: so many times this instead of 201. */
	int put, times;
	const char *code, *text; /* code NULL: an empty body */
	bool gone;		 /* no answer at all */
	unsigned delay_ms;
	bool stores_anyway; /* although it does not say so */
	bool stores_other, stores_nothing;
	unsigned shown_after; /* HEADs until what is stored can be seen */
	const char *header;   /* Docker-Content-Digest of the answer, or NULL */
	const char *subject;
	/* HEAD, likewise */
	int head, head_times;
	bool head_bare; /* no digest */
	int delete;
	const char *delete_code;
	/* What is there under the tag. */
	bool has, has_other;
	unsigned puts, heads, gets;
	char type[4096], last[256];
} act;

static void refuse_with(struct reply *p, int status, const char *code,
			const char *text)
{
	static char body[512];

	if (!code) {
		say(p, status, "");
		return;
	}
	snprintf(body, sizeof(body),
		 "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\"}]}", code,
		 text ? text : "");
	add_head(p, "Content-Type: application/json");
	say(p, status, body);
}

static const char *digest_text(const char *body)
{
	static _Thread_local char text[DIGEST_TEXT_MAX];
	struct digest d;

	digest_of(HASH_SHA256, body, strlen(body), &d);
	digest_format(&d, text);
	return text;
}

static void store(void)
{
	act.has = !act.stores_nothing && !act.stores_other;
	act.has_other = act.stores_other;
}

static void answer_put(const struct request *q, struct reply *p)
{
	act.puts++;
	snprintf(act.last, sizeof(act.last), "%s", q->body);
	head_value(q->head, "content-type", act.type);
	if (act.times > 0) {
		act.times--;
		if (act.stores_anyway)
			store();
		p->gone = act.gone;
		p->delay_ms = act.delay_ms;
		refuse_with(p, act.put, act.code, act.text);
		return;
	}
	store();
	if (act.header)
		add_head(p, "Docker-Content-Digest: %s", act.header);
	if (act.subject)
		add_head(p, "OCI-Subject: %s", act.subject);
	say(p, 201, "");
}

static void answer_get(const struct request *q, struct reply *p)
{
	bool head = strcmp(q->method, "HEAD") == 0;
	const char *body = act.has_other ? "{\"other\":1}" : BODY;

	if (head && act.heads++ < (unsigned)act.head_times) {
		refuse_with(p, act.head, NULL, NULL);
		return;
	}
	act.gets += !head;
	if ((!act.has && !act.has_other) || act.heads <= act.shown_after) {
		refuse_with(p, 404, "MANIFEST_UNKNOWN", "x");
		return;
	}
	add_head(p, "Content-Type: %s", MEDIATYPE_OCI_MANIFEST);
	if (!act.head_bare)
		add_head(p, "Docker-Content-Digest: %s", digest_text(body));
	say(p, 200, body);
}

static void answer_delete(const struct request *q, struct reply *p)
{
	if (act.delete < 300)
		say(p, act.delete, "");
	else
		refuse_with(p, act.delete,
			    strcmp(act.delete_code, NO_BODY) == 0
				    ? NULL
				    : act.delete_code,
			    "the operation is unsupported");
	(void)q;
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	(void)s;
	if (strcmp(q->target, "/v2/") == 0) {
		add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
		say(p, 200, "{}");
	} else if (strcmp(q->method, "PUT") == 0) {
		answer_put(q, p);
	} else if (strcmp(q->method, "DELETE") == 0) {
		answer_delete(q, p);
	} else {
		answer_get(q, p);
	}
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	memset(&act, 0, sizeof(act));
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

static int put_it(struct client *c, const struct put_manifest *m)
{
	int r;

	script_sync(&c->s);
	r = put_manifest(c->r, m, &c->w, NULL);
	script_sync(&c->s);
	return r;
}

static int untag(struct client *c, const char *tag)
{
	script_sync(&c->s);
	return delete_tag(c->r, "a/b", tag, &c->w);
}

static int take(struct client *c,
		int (*by)(struct registry *, const char *,
			  const struct digest *, struct wait *),
		const struct digest *d)
{
	script_sync(&c->s);
	return by(c->r, "a/b", d, &c->w);
}

static int put(struct client *c, const char *tag, bool *ret_subject)
{
	struct digest d;
	struct put_manifest m = {.repository = "a/b",
				 .reference = tag,
				 .digest = &d,
				 .mediatype = MEDIATYPE_OCI_MANIFEST,
				 .bytes = BODY,
				 .len = strlen(BODY)};
	int r;

	digest_of(HASH_SHA256, BODY, strlen(BODY), &d);
	wait_init(&c->w, 5000, 0);
	script_sync(&c->s);
	r = put_manifest(c->r, &m, &c->w, ret_subject);
	script_sync(&c->s);
	return r;
}

static const char *errors(struct client *c)
{
	static char text[4096];
	struct str out = {.len = 0};

	assert_int_equal(fault_log_print(c->faults, &out), 0);
	snprintf(text, sizeof(text), "%s", out.buf ? out.buf : "");
	str_done(&out);
	return text;
}

static void test_put(void **state)
{
	struct client *c = *state;
	bool subject = true;

	act.header = digest_text(BODY);
	assert_int_equal(put(c, "1.0", &subject), 0);
	assert_false(subject);
	assert_string_equal(act.last, BODY);
	assert_string_equal(act.type, MEDIATYPE_OCI_MANIFEST);
	assert_int_equal(asked(&c->s, "PUT " TAG " "), 1);
	assert_int_equal(asked(&c->s, "HEAD " TAG " "), 1);
	assert_int_equal(act.gets, 0);
	/* By digest. */
	act.subject = digest_text(BODY);
	assert_int_equal(put(c, NULL, &subject), 0);
	assert_true(subject);
	assert_non_null(strstr(last_asked(&c->s, "PUT"), digest_text(BODY)));
	assert_int_equal(registry_referrers(c->r), SUPPORT_YES);
	assert_int_equal(fault_log_count(c->faults), 0);
}

/* What a registry says and does, and what is made of it. */
static void test_answers(void **state)
{
	static const struct {
		int put, times;
		const char *code, *text;
		int result;
		unsigned puts;
	} rows[] = {
		{400, 9, "MANIFEST_INVALID", "x", -EINVAL, 1},
		{400, 9, "TAG_INVALID", "no such tag", -EINVAL, 1},
		{400, 9, "NAME_INVALID", "x", -EINVAL, 1},
		{400, 9, "DIGEST_INVALID", "x", -EINVAL, 1},
		{415, 9, NULL, NULL, -EINVAL, 1},
		{400, 9, "TAG_INVALID",
		 "The image tag '1.0' already exists in the 'a/b' repository "
		 "and cannot be overwritten because the repository is "
		 "immutable.",
		 -EPERM, 1},
		{403, 9, "DENIED", "Tag 1.0 is immutable", -EPERM, 1},
		{403, 9, "DENIED", "this is a protected tag", -EPERM, 1},
		{409, 9, "TAG_IMMUTABLE", "x", -EPERM, 1},
		{412, 9, "PRECONDITION", "configured as immutable.", -EPERM, 1},
		{413, 9, NULL, NULL, -EFBIG, 1},
		{413, 9, "MANIFEST_INVALID", "exceeds quota", -EFBIG, 1},
		{403, 9, "DENIED", "x", -EACCES, 1},
		{401, 9, NULL, NULL, -EACCES, 1},
		{403, 9, "DENIED",
		 "adding 1.0 MiB of storage resource will exceed the "
		 "configured upper limit",
		 -EDQUOT, 1},
		{403, 9, "DENIED", "Quota has been exceeded on namespace",
		 -EDQUOT, 1},
		{507, 9, NULL, NULL, -EDQUOT, 1},
		{405, 9, "UNSUPPORTED", "x", -EROFS, 1},
		{405, 9, NULL, NULL, -EROFS, 1},
		{404, 9, "NAME_UNKNOWN", "x", -ENOENT, 1},
		{404, 9, NULL, "", -ENOENT, 3},
		{400, 9, "MANIFEST_BLOB_UNKNOWN", "x", -ENOENT, 3},
		{404, 9, "MANIFEST_BLOB_UNKNOWN", "x", -ENOENT, 3},
		{400, 9, "BLOB_UNKNOWN", "x", -ENOENT, 3},
		{404, 9, "MANIFEST_UNKNOWN", "a child", -ENOENT, 3},
		{400, 1, "MANIFEST_BLOB_UNKNOWN", "x", 0, 2},
		{404, 2, "BLOB_UNKNOWN", "x", 0, 3},
		{429, 1, "TOOMANYREQUESTS", "x", 0, 2},
		{429, 9, "TOOMANYREQUESTS", "x", -ETIMEDOUT, 3},
		{503, 1, "UNAVAILABLE", "x", 0, 2},
		{503, 9, "UNAVAILABLE", "x", -EIO, 3},
		{500, 9, "UNKNOWN", "x", -EIO, 2},
		{302, 9, NULL, NULL, -EIO, 1},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.put = rows[i].put;
		act.times = rows[i].times;
		act.code = rows[i].code;
		act.text = rows[i].text;
		assert_int_equal(put(c, "1.0", NULL), rows[i].result);
		assert_int_equal(act.puts, rows[i].puts);
		/* Said once, in the registry's words, however often tried. */
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		if (rows[i].result < 0)
			assert_non_null(strstr(errors(c), "/a/b/_tags/1.0: "));
		if (rows[i].result < 0 && rows[i].code && rows[i].text)
			assert_non_null(strstr(errors(c), rows[i].text));
		teardown(state);
	}
	setup(state);
}

/* Immutable, but it is what it is to be. */
static void test_immutable_same(void **state)
{
	static const struct {
		const char *tag;
		bool has, has_other;
		int result;
	} rows[] = {
		{"1.0", true, false, 0},
		{"1.0", false, true, -EPERM},
		{"1.0", false, false, -EPERM},
		{NULL, true, false, -EPERM},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.put = 409;
		act.times = 9;
		act.code = "TAG_IMMUTABLE";
		act.has = rows[i].has;
		act.has_other = rows[i].has_other;
		assert_int_equal(put(c, rows[i].tag, NULL), rows[i].result);
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		teardown(state);
	}
	setup(state);
}

/* N23: lost on the way, or trouble, after it was sent. */
static void test_indeterminate(void **state)
{
	static const struct {
		int put, times;
		bool gone, stores_anyway;
		int head, head_times;
		unsigned shown_after;
		int result;
		unsigned puts;
	} rows[] = {
		/* It was done. */
		{504, 9, false, true, 0, 0, 0, 0, 1},
		{500, 9, false, true, 0, 0, 0, 0, 1},
		{503, 9, false, true, 503, 2, 0, 0, 1},
		/* Nobody tells whether for a while, then it was. */
		{502, 9, false, true, 502, 8, 0, 0, 1},
		/* It was not; then it is. */
		{504, 1, false, false, 0, 0, 0, 0, 2},
		{408, 1, false, false, 0, 0, 0, 0, 2},
		{500, 1, false, false, 503, 1, 0, 0, 2},
		/* It never is. */
		{504, 9, false, false, 0, 0, 0, -EIO, 3},
		{500, 9, false, false, 0, 0, 0, -EIO, 2},
		/* Nobody ever tells. */
		{504, 9, false, true, 503, 999, 0, -EIO, 1},
		/* It is seen long after the last PUT. */
		{504, 9, false, true, 0, 0, 5, 0, 3},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.put = rows[i].put;
		act.times = rows[i].times;
		act.gone = rows[i].gone;
		act.stores_anyway = rows[i].stores_anyway;
		act.head = rows[i].head;
		act.head_times = rows[i].head_times;
		act.shown_after = rows[i].shown_after;
		assert_int_equal(put(c, "1.0", NULL), rows[i].result);
		assert_int_equal(act.puts, rows[i].puts);
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		teardown(state);
	}
	setup(state);
}

/* The connection is lost; libcurl tries a kept one once more by itself. */
static void test_lost(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct client *c;
		uint64_t before;

		setup(state);
		c = *state;
		act.gone = true;
		act.put = 200;
		act.times = i == 2 ? 99 : 2;
		act.stores_anyway = i == 1;
		before = clock_ms();
		assert_int_equal(put(c, "1.0", NULL), i == 2 ? -EIO : 0);
		if (i == 1)
			assert_true(act.heads >= 1);
		if (i == 2) /* a quarter of what is allowed, not all */
			assert_true(clock_ms() - before < 1000);
		teardown(state);
	}
	setup(state);
}

/* The patience was over; what was sent is still looked after. */
static void test_late(void **state)
{
	struct client *c = *state;
	struct digest d;
	struct put_manifest m = {.repository = "a/b",
				 .reference = "1.0",
				 .digest = &d,
				 .mediatype = MEDIATYPE_OCI_MANIFEST,
				 .bytes = BODY,
				 .len = strlen(BODY)};

	digest_of(HASH_SHA256, BODY, strlen(BODY), &d);
	assert_int_equal(put(c, "1.0", NULL), 0);
	act.has = false;
	act.put = 201;
	act.times = 1;
	act.delay_ms = 200;
	act.stores_anyway = true;
	wait_init(&c->w, 50, 0);
	assert_int_equal(put_it(c, &m), 0);
	assert_int_equal(act.puts, 2);
}

/* N24: it says yes, and it is not so. */
static void test_confirmed(void **state)
{
	static const struct {
		bool nothing, other, bare, header_lies;
		unsigned shown_after;
		int head, head_times;
		bool says_digest;
		int result;
		const char *text;
	} rows[] = {
		{.result = 0},
		{.nothing = true, .result = -EIO, .text = "not there"},
		{.other = true, .result = -EIO, .text = "another one"},
		{.header_lies = true, .result = -EIO, .text = "another digest"},
		{.shown_after = 2, .result = 0},
		/* HEAD tells too little, or is not offered. */
		{.bare = true, .result = 0},
		{.bare = true, .other = true, .result = -EIO},
		{.head = 405, .head_times = 99, .result = 0},
		/* It may be written, and not be read. */
		{.head = 403, .head_times = 99, .says_digest = true},
		{.head = 403,
		 .head_times = 99,
		 .result = -EIO,
		 .text = "cannot be confirmed"},
		/* Trouble passes, or does not. */
		{.head = 503, .head_times = 5, .result = 0},
		{.head = 503,
		 .head_times = 999,
		 .result = -EIO,
		 .text = "cannot be confirmed"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.stores_nothing = rows[i].nothing;
		act.stores_other = rows[i].other;
		act.head_bare = rows[i].bare;
		act.shown_after = rows[i].shown_after;
		act.head = rows[i].head;
		act.head_times = rows[i].head_times;
		if (rows[i].header_lies)
			act.header = digest_text("x");
		if (rows[i].says_digest)
			act.header = digest_text(BODY);
		assert_int_equal(put(c, "1.0", NULL), rows[i].result);
		assert_int_equal(act.puts, 1);
		assert_int_equal(fault_log_count(c->faults),
				 rows[i].result < 0);
		if (rows[i].text)
			assert_non_null(strstr(errors(c), rows[i].text));
		teardown(state);
	}
	setup(state);
}

/* Where the registry knows it by another algorithm. */
static void test_sha512(void **state)
{
	struct client *c = *state;
	struct digest d;
	struct put_manifest m = {.repository = "a/b",
				 .reference = "1.0",
				 .digest = &d,
				 .mediatype = MEDIATYPE_OCI_MANIFEST,
				 .bytes = BODY,
				 .len = strlen(BODY)};

	act.header = digest_text(BODY);
	digest_of(HASH_SHA512, BODY, strlen(BODY), &d);
	assert_int_equal(put_it(c, &m), 0);
	m.reference = NULL;
	assert_int_equal(put_it(c, &m), 0);
	assert_non_null(strstr(last_asked(&c->s, "PUT"), "/sha512:"));
	/* Another one, whatever the algorithm. */
	digest_of(HASH_SHA512, "x", 1, &d);
	m.bytes = "x";
	m.len = 1;
	assert_int_equal(put_it(c, &m), -EIO);
}

static void test_bad_arguments(void **state)
{
	struct client *c = *state;
	struct digest d;
	struct put_manifest m = {.repository = "a/b",
				 .reference = "1.0",
				 .digest = &d,
				 .mediatype = MEDIATYPE_OCI_MANIFEST,
				 .bytes = BODY,
				 .len = strlen(BODY)};

	digest_of(HASH_SHA256, BODY, strlen(BODY), &d);
	m.repository = "../a";
	assert_int_equal(put_it(c, &m), -EINVAL);
	m.repository = "a/b";
	m.reference = "a tag";
	assert_int_equal(put_it(c, &m), -EINVAL);
	m.reference = "1.0";
	m.mediatype = "a\r\nb";
	assert_int_equal(put_it(c, &m), -EINVAL);
	m.mediatype = "a/b";
	m.len = ((size_t)4 << 20) + 1;
	assert_int_equal(put_it(c, &m), -EFBIG);
	assert_int_equal(untag(c, digest_text(BODY)), -EINVAL);
	assert_int_equal(c->s.asked, 0);
	/* A type nobody has heard of is asked for by its name. */
	m.len = strlen(BODY);
	assert_int_equal(put_it(c, &m), 0);
	assert_non_null(strstr(last_asked(&c->s, "HEAD"), "Accept: a/b, "));
}

static void test_gone_caller(void **state)
{
	struct client *c = *state;
	struct digest d;
	struct put_manifest m = {.repository = "a/b",
				 .reference = "1.0",
				 .digest = &d,
				 .mediatype = MEDIATYPE_OCI_MANIFEST,
				 .bytes = BODY,
				 .len = strlen(BODY)};

	digest_of(HASH_SHA256, BODY, strlen(BODY), &d);
	wait_init(&c->w, 5000, WAIT_CANCELLABLE);
	wait_interrupt(&c->w);
	assert_int_equal(put_it(c, &m), -EINTR);
	assert_int_equal(fault_log_count(c->faults), 0);
}

static void test_delete(void **state)
{
	static const struct {
		int status;
		const char *code;
		int by_digest, by_tag;
	} rows[] = {
		{202, "", 0, 0},
		{200, "", 0, 0},
		{204, "", 0, 0},
		{404, "MANIFEST_UNKNOWN", 0, 0},
		{404, "NAME_UNKNOWN", 0, 0},
		{405, "UNSUPPORTED", -EROFS, -EPERM},
		{405, NO_BODY, -EROFS, -EPERM},
		{400, "UNSUPPORTED", -EROFS, -EPERM},
		{400, "DIGEST_INVALID", -EINVAL, -EPERM},
		{400, NO_BODY, -EIO, -EPERM},
		{400, "TAG_INVALID", -EINVAL, -EINVAL},
		{403, "DENIED", -EACCES, -EACCES},
		{401, "UNAUTHORIZED", -EACCES, -EACCES},
		{500, "UNKNOWN", -EIO, -EIO},
	};
	struct digest d;

	digest_of(HASH_SHA256, BODY, strlen(BODY), &d);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.delete = rows[i].status;
		act.delete_code = rows[i].code;
		assert_int_equal(take(c, delete_manifest, &d),
				 rows[i].by_digest);
		assert_int_equal(asked(&c->s, "DELETE /v2/a/b/manifests/sha"),
				 rows[i].status == 500 ? 2 : 1);
		assert_int_equal(take(c, delete_blob, &d), rows[i].by_digest);
		assert_int_equal(asked(&c->s, "DELETE /v2/a/b/blobs/sha"),
				 rows[i].status == 500 ? 2 : 1);
		assert_int_equal(untag(c, "1.0"), rows[i].by_tag);
		/* Never by way of the digest. */
		assert_int_equal(asked(&c->s, "DELETE /v2/a/b/manifests/sha"),
				 rows[i].status == 500 ? 2 : 1);
		if (rows[i].by_tag < 0)
			assert_non_null(strstr(errors(c), "/a/b/_tags/1.0: "));
		teardown(state);
	}
	setup(state);
}

/* "Not found" is said, and it is there: it was looked for by digest. */
static void test_delete_lies(void **state)
{
	struct client *c = *state;

	act.delete = 404;
	act.delete_code = "MANIFEST_UNKNOWN";
	act.has = true;
	assert_int_equal(untag(c, "1.0"), -EPERM);
	/* A page of a proxy is no word of the registry's. */
	act.delete_code = NO_BODY;
	assert_int_equal(untag(c, "1.0"), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_put, setup, teardown),
		cmocka_unit_test_teardown(test_answers, teardown),
		cmocka_unit_test_teardown(test_immutable_same, teardown),
		cmocka_unit_test_teardown(test_indeterminate, teardown),
		cmocka_unit_test_teardown(test_lost, teardown),
		cmocka_unit_test_setup_teardown(test_late, setup, teardown),
		cmocka_unit_test_teardown(test_confirmed, teardown),
		cmocka_unit_test_setup_teardown(test_sha512, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_arguments, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_gone_caller, setup,
						teardown),
		cmocka_unit_test_teardown(test_delete, teardown),
		cmocka_unit_test_setup_teardown(test_delete_lies, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
