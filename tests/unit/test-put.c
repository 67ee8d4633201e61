/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests put, refused and deleted: what a registry says, and what is made of
 * it. */
#include "put-fixture.h"

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
static const struct {
	int put, times;
	const char *code, *text;
	int result;
	unsigned puts;
} answers[] = {
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
	{403, 9, "DENIED", "Quota has been exceeded on namespace", -EDQUOT, 1},
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

static void test_answers(void **state)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct client *c;

		setup(state);
		c = *state;
		act.put = answers[i].put;
		act.times = answers[i].times;
		act.code = answers[i].code;
		act.text = answers[i].text;
		assert_int_equal(put(c, "1.0", NULL), answers[i].result);
		assert_int_equal(act.puts, answers[i].puts);
		/* Said once, in the registry's words, however often tried. */
		assert_int_equal(fault_log_count(c->faults),
				 answers[i].result < 0);
		if (answers[i].result < 0)
			assert_non_null(strstr(errors(c), "/a/b/_tags/1.0: "));
		if (answers[i].result < 0 && answers[i].code && answers[i].text)
			assert_non_null(strstr(errors(c), answers[i].text));
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

/* Where the registry knows it by another algorithm. */
static void test_sha512(void **state)
{
	struct client *c = *state;
	struct digest d;
	struct put_manifest m = usual(&d);

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
	struct put_manifest m = usual(&d);

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
	struct put_manifest m = usual(&d);

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
