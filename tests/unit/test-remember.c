/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are kept for a mount that is offline. */
#include "content/remember.h"

#include "content-fixture.h"
#include "registry/referrers.h"

static struct fixture *f;

static int setup(void **state)
{
	f = fixture_new(true);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static struct digest digest_of_text(const char *text)
{
	struct digest d;

	digest_of(HASH_SHA256, text, strlen(text), &d);
	return d;
}

static void recalls_what_referred(void **state)
{
	char type[] = "application/x", kind[] = "a \"kind\"", key[] = "k",
	     value[] = "v\n\x01", none[] = "";
	struct annotation notes[] = {{key, value}, {kind, none}};
	struct descriptor v[] = {
		{.mediatype = type,
		 .artifact_type = kind,
		 .digest = digest_of_text("1"),
		 .size_bytes = 12,
		 .annotations = notes,
		 .annotations_len = 2},
		{.mediatype = type,
		 .digest = digest_of_text("2"),
		 .size_bytes = DESCRIPTOR_SIZE_MAX},
	};
	struct digest subject = digest_of_text("subject");
	struct descriptor *got = NULL;
	size_t len = 0;

	assert_int_equal(recall_referrers(f->repo, &subject, &got, &len),
			 -ENOENT);
	remember_referrers(f->repo, &subject, v, 2);
	assert_int_equal(recall_referrers(f->repo, &subject, &got, &len), 0);
	assert_int_equal(len, 2);
	for (size_t i = 0; i < len; i++) {
		assert_string_equal(got[i].mediatype, type);
		assert_true(digest_equal(&got[i].digest, &v[i].digest));
		assert_true(got[i].size_bytes == v[i].size_bytes);
	}
	assert_string_equal(got[0].artifact_type, kind);
	assert_null(got[1].artifact_type);
	assert_int_equal(got[0].annotations_len, 2);
	assert_string_equal(descriptor_annotation(&got[0], key), value);
	assert_string_equal(descriptor_annotation(&got[0], kind), "");
	referrers_free(got, len);

	/* None is an answer, too; and of this repository only. */
	remember_referrers(f->repo, &subject, NULL, 0);
	assert_int_equal(recall_referrers(f->repo, &subject, &got, &len), 0);
	assert_int_equal(len, 0);
	referrers_free(got, len);
	assert_int_equal(recall_referrers(f->other, &subject, &got, &len),
			 -ENOENT);
}

static void recalls_no_damage(void **state)
{
	static const char *const bad[] = {"", "{", "[]",
					  "{\"manifests\":[{\"size\":1}]}",
					  "{\"manifests\":7}"};
	struct digest subject = digest_of_text("subject");
	char text[DIGEST_TEXT_MAX], identity[17];
	struct descriptor *got = NULL;
	size_t len = 0;
	char *key;

	digest_format(&subject, text);
	assert_int_equal(repo_identity(f->repo, identity), 0);
	key = str_printf("referrers %s %s/%s@%s", identity, f->repo->host,
			 f->repo->name, text);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			list_put(f->store, key, bad[i], strlen(bad[i])), 0);
		assert_int_equal(
			recall_referrers(f->repo, &subject, &got, &len),
			-ENOENT);
		assert_null(got);
	}
	free(key);
}

static void absence_counts_offline(void **state)
{
	struct digest d = digest_of_text("gone");

	remember_absent(f->repo, &d);
	assert_false(recall_absent(f->repo, &d));
	f->options.offline = true;
	assert_true(recall_absent(f->repo, &d));
	assert_false(recall_absent(f->other, &d));
	d = digest_of_text("other");
	assert_false(recall_absent(f->repo, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(recalls_what_referred, setup,
						teardown),
		cmocka_unit_test_setup_teardown(recalls_no_damage, setup,
						teardown),
		cmocka_unit_test_setup_teardown(absence_counts_offline, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
