/* SPDX-License-Identifier: Apache-2.0 */
/* Documents, tags, repositories, grants, lists: what is put is got, by the
 * whole key only. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oci/descriptor.h"
#include "store/rows.h"
#include "store/state.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

static int setup(void **state)
{
	struct store_config cfg = {.size_bytes = 1 << 20};

	log_set_level(LOG_LEVEL_ERROR);
	return store_open(&cfg, (struct store **)state, NULL);
}

static int teardown(void **state)
{
	store_close(*state);
	return 0;
}

static struct digest digest(const char *text, enum hash_alg alg)
{
	struct digest d;

	digest_of(alg, text, strlen(text), &d);
	return d;
}

static void test_documents(void **state)
{
	static const struct {
		const char *body, *type;
		enum hash_alg alg;
	} rows[] = {
		{"{}", MEDIATYPE_OCI_EMPTY, HASH_SHA256},
		{"{\"a\":1}", MEDIATYPE_OCI_INDEX, HASH_SHA512},
		{"", "", HASH_SHA256},
	};
	struct store *s = *state;
	char *type = NULL, *body = NULL;
	struct digest d;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		d = digest(rows[i].body, rows[i].alg);
		assert_int_equal(document_get(s, &d, &type, &body, &len),
				 -ENOENT);
		assert_int_equal(document_put(s, &d, rows[i].type, rows[i].body,
					      strlen(rows[i].body)),
				 0);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		d = digest(rows[i].body, rows[i].alg);
		assert_int_equal(document_get(s, &d, &type, &body, &len), 0);
		assert_string_equal(type, rows[i].type);
		assert_string_equal(body, rows[i].body);
		assert_int_equal(len, strlen(rows[i].body));
		free(type);
		free(body);
	}
	d = digest("{}", HASH_SHA256);
	assert_int_equal(document_put(s, &d, "new/type", "{}", 2), 0);
	assert_int_equal(document_get(s, &d, &type, &body, &len), 0);
	assert_string_equal(type, "new/type");
	free(type);
	free(body);
	assert_int_equal(document_get(s, &d, NULL, &body, &len), 0);
	free(body);
	assert_int_equal(document_put(s, &d, "t", "", (size_t)1 << 30), -EFBIG);
}

/* Damage that SQLite does not see: the document is as good as absent. */
static void test_damaged_document(void **state)
{
	struct store *s = *state;
	struct digest d = digest("right", HASH_SHA256);
	char *body = NULL;
	size_t len = 0;

	assert_int_equal(document_put(s, &d, "t/t", "wrong", 5), 0);
	assert_int_equal(document_get(s, &d, NULL, &body, &len), -ENOENT);
	assert_int_equal(document_put(s, &d, "t/t", "right", 5), 0);
	assert_int_equal(document_get(s, &d, NULL, &body, &len), 0);
	free(body);
	db_lock(s->db);
	assert_int_equal(db_exec(s->db, "UPDATE document SET mediatype=7"), 0);
	db_unlock(s->db);
	assert_int_equal(document_get(s, &d, NULL, &body, &len), 0);
	free(body);
	db_lock(s->db);
	assert_int_equal(db_exec(s->db, "UPDATE document SET body='text'"), 0);
	db_unlock(s->db);
	assert_int_equal(document_get(s, &d, NULL, &body, &len), -ENOENT);
}

/* In memory there is room for 64 MiB: old documents make way for new ones. */
static void test_many_documents(void **state)
{
	size_t size = (size_t)4 << 20, len = 0;
	struct store *s = *state;
	struct digest d = {.alg = HASH_SHA256};
	char *body = calloc(1, size), *got = NULL;

	for (uint8_t i = 0; i < 24; i++) {
		body[0] = (char)i;
		digest_of(HASH_SHA256, body, size, &d);
		assert_int_equal(document_put(s, &d, "t", body, size), 0);
	}
	assert_int_equal(document_get(s, &d, NULL, &got, &len), 0);
	assert_int_equal(len, size);
	assert_memory_equal(got, body, size);
	free(got);
	free(body);
}

static int collect(void *arg, const char *name)
{
	struct str *out = arg;

	str_addf(out, "%s ", name);
	return strcmp(name, "stop") == 0 ? 42 : 0;
}

static void test_tags(void **state)
{
	struct store *s = *state;
	struct tag_row row = {.size_bytes = 7, .wall = 1000}, got;
	autostr names = {0};

	row.digest = digest("x", HASH_SHA256);
	snprintf(row.mediatype, sizeof(row.mediatype), MEDIATYPE_OCI_INDEX);
	assert_int_equal(tag_put(s, "h", "r", "me", "b", &row), 0);
	row.size_bytes = DESCRIPTOR_SIZE_UNKNOWN;
	assert_int_equal(tag_put(s, "h", "r", "me", "a", &row), 0);
	assert_int_equal(tag_put(s, "h", "r", NULL, "anonymous", &row), 0);
	assert_int_equal(tag_put(s, "h", "r2", "me", "other", &row), 0);

	assert_int_equal(tag_get(s, "h", "r", "me", "b", &got), 0);
	assert_true(digest_equal(&got.digest, &row.digest));
	assert_string_equal(got.mediatype, MEDIATYPE_OCI_INDEX);
	assert_int_equal(got.size_bytes, 7);
	assert_int_equal(got.wall, 1000);
	assert_int_equal(tag_get(s, "h", "r", "me", "a", &got), 0);
	assert_true(got.size_bytes == DESCRIPTOR_SIZE_UNKNOWN);
	assert_int_equal(tag_get(s, "h", "r", "", "b", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "me", "c", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h2", "r", "me", "b", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "", "anonymous", &got), 0);

	assert_int_equal(tag_each(s, "h", "r", "me", collect, &names), 0);
	assert_string_equal(names.buf, "a b ");
	row.wall = 2000;
	assert_int_equal(tag_put(s, "h", "r", "me", "b", &row), 0);
	assert_int_equal(tag_get(s, "h", "r", "me", "b", &got), 0);
	assert_int_equal(got.wall, 2000);
	assert_int_equal(tag_put(s, "h", "r", "you", "b", &row), 0);
	assert_int_equal(tag_forget(s, "h", "r", "b"), 0);
	assert_int_equal(tag_get(s, "h", "r", "me", "b", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "you", "b", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "me", "a", &got), 0);
}

/* Values out of bounds do not come out. */
static void test_damaged_tags(void **state)
{
	static const char *const damages[] = {
		"UPDATE tag SET size=-2",
		"UPDATE tag SET size=1125899906842625",
		"UPDATE tag SET size='many'",
		"UPDATE tag SET wall=-1",
		"UPDATE tag SET digest=x'00'",
		"UPDATE tag SET digest=x'0901'",
		"UPDATE tag SET digest=zeroblob(34)",
		"UPDATE tag SET digest=zeroblob(100)",
		"UPDATE tag SET mediatype=x'00'",
		"UPDATE tag SET mediatype=hex(zeroblob(200))",
		"UPDATE tag SET mediatype='a'||char(0)||'b'",
	};
	struct store *s = *state;
	struct tag_row row = {.size_bytes = 7, .wall = 1}, got;

	row.digest = digest("x", HASH_SHA256);
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		assert_int_equal(tag_put(s, "h", "r", "", "t", &row), 0);
		assert_int_equal(tag_get(s, "h", "r", "", "t", &got), 0);
		db_lock(s->db);
		assert_int_equal(db_exec(s->db, damages[i]), 0);
		db_unlock(s->db);
		assert_int_equal(tag_get(s, "h", "r", "", "t", &got), -ENOENT);
	}
}

static void test_repositories(void **state)
{
	struct store *s = *state;
	autostr names = {0};

	assert_int_equal(host_each(s, collect, &names), 0);
	assert_int_equal(names.len, 0);
	assert_int_equal(repository_seen(s, "b.example", "x/y"), 0);
	assert_int_equal(repository_seen(s, "b.example", "a"), 0);
	assert_int_equal(repository_seen(s, "b.example", "a"), 0);
	assert_int_equal(repository_seen(s, "a.example", "stop"), 0);
	assert_int_equal(repository_seen(s, "a.example", "zzz"), 0);
	assert_int_equal(host_each(s, collect, &names), 0);
	assert_string_equal(names.buf, "a.example b.example ");
	str_clear(&names);
	assert_int_equal(repository_each(s, "b.example", collect, &names), 0);
	assert_string_equal(names.buf, "a x/y ");
	str_clear(&names);
	assert_int_equal(repository_each(s, "a.example", collect, &names), 42);
	assert_string_equal(names.buf, "stop ");
}

static int count(void *arg, const struct grant_row *row)
{
	int *n = arg;

	assert_int_equal(row->kind, GRANT_BLOB);
	++*n;
	return *n == 3 ? -EINTR : 0;
}

static void test_grants(void **state)
{
	struct store *s = *state;
	struct grant_row row = {.kind = GRANT_BLOB, .size_bytes = 9}, got;
	struct digest d = digest("x", HASH_SHA512), e = digest("y", 0);
	int n = 0;

	row.digest = d;
	assert_false(grant_has(s, "h", "r", "me", &d, NULL));
	assert_int_equal(grant_put(s, "h", "r", "me", &row), 0);
	assert_int_equal(grant_put(s, "h", "r", "me", &row), 0);
	assert_true(grant_has(s, "h", "r", "me", &d, &got));
	assert_true(digest_equal(&got.digest, &d));
	assert_int_equal(got.kind, GRANT_BLOB);
	assert_int_equal(got.size_bytes, 9);
	/* Not for anybody else, anywhere else, anything else. */
	assert_false(grant_has(s, "h", "r", "you", &d, NULL));
	assert_false(grant_has(s, "h", "r", NULL, &d, NULL));
	assert_false(grant_has(s, "h", "r2", "me", &d, NULL));
	assert_false(grant_has(s, "h2", "r", "me", &d, NULL));
	assert_false(grant_has(s, "h", "r", "me", &e, NULL));
	row.size_bytes = 10;
	assert_int_equal(grant_put(s, "h", "r", "me", &row), 0);
	assert_true(grant_has(s, "h", "r", "me", &d, &got));
	assert_int_equal(got.size_bytes, 10);

	row.kind = GRANT_MANIFEST;
	row.digest = e;
	assert_int_equal(grant_put(s, "h", "r", "me", &row), 0);
	assert_int_equal(grant_each(s, "h", "r", "me", GRANT_BLOB, count, &n),
			 0);
	assert_int_equal(n, 1);
	row.kind = GRANT_BLOB;
	for (uint8_t i = 0; i < 5; i++) {
		row.digest.raw[0] = i;
		assert_int_equal(grant_put(s, "h", "r", "me", &row), 0);
	}
	n = 0;
	assert_int_equal(grant_each(s, "h", "r", "me", GRANT_BLOB, count, &n),
			 -EINTR);
	assert_int_equal(grant_put(s, "h", "r", "you", &row), 0);
	assert_int_equal(grant_forget(s, "h", "r", &row.digest), 0);
	assert_false(grant_has(s, "h", "r", "me", &row.digest, NULL));
	assert_false(grant_has(s, "h", "r", "you", &row.digest, NULL));
	assert_true(grant_has(s, "h", "r", "me", &d, NULL));
	db_lock(s->db);
	assert_int_equal(db_exec(s->db, "UPDATE granted SET kind=7"), 0);
	db_unlock(s->db);
	assert_false(grant_has(s, "h", "r", "me", &d, NULL));
}

struct holders {
	struct str text;
	int stop; /* at the n-th */
};

static int add_holder(void *arg, const char *repository, const char *identity)
{
	struct holders *h = arg;

	assert_int_equal(str_addf(&h->text, "%s:%s ", repository, identity), 0);
	return --h->stop == 0 ? 42 : 0;
}

static void holders_are(struct store *s, const struct digest *d, unsigned max,
			const char *expected)
{
	struct holders h = {.stop = 0};

	assert_int_equal(grant_holders(s, "h", d, max, add_holder, &h), 0);
	assert_string_equal(h.text.buf ? h.text.buf : "", expected);
	str_done(&h.text);
}

static void set_wall(struct store *s, const char *sql)
{
	autodb(s->db);
	assert_int_equal(db_exec(s->db, sql), 0);
}

static void test_holders(void **state)
{
	struct store *s = *state;
	struct digest d = digest("d", HASH_SHA256),
		      e = digest("e", HASH_SHA512);
	struct grant_row row = {.kind = GRANT_BLOB, .size_bytes = 9};
	struct holders h = {.stop = 2};

	row.digest = d;
	holders_are(s, &d, 9, "");
	assert_int_equal(grant_put(s, "h", "a", "me", &row), 0);
	assert_int_equal(grant_put(s, "h", "b", "you", &row), 0);
	assert_int_equal(grant_put(s, "h", "c", "me", &row), 0);
	assert_int_equal(grant_put(s, "i", "other", "me", &row), 0);
	row.digest = e;
	assert_int_equal(grant_put(s, "h", "else", "me", &row), 0);
	/* A manifest cannot be mounted. */
	row.digest = d;
	row.kind = GRANT_MANIFEST;
	assert_int_equal(grant_put(s, "h", "m", "me", &row), 0);
	set_wall(s, "UPDATE granted SET wall=1000");
	set_wall(s, "UPDATE granted SET wall=3000 WHERE repository='b'");
	set_wall(s, "UPDATE granted SET wall=2000 WHERE repository='c'");
	holders_are(s, &d, 9, "b:you c:me a:me ");
	holders_are(s, &d, 2, "b:you c:me ");
	holders_are(s, &e, 9, "else:me ");
	assert_int_equal(grant_holders(s, "h", &d, 9, add_holder, &h), 42);
	assert_string_equal(h.text.buf, "b:you c:me ");
	str_done(&h.text);
	set_wall(s, "UPDATE granted SET identity=x'00' WHERE repository='c'");
	holders_are(s, &d, 9, "b:you a:me ");
	assert_int_equal(grant_forget(s, "h", "b", &d), 0);
	holders_are(s, &d, 9, "a:me ");
}

static void test_forget_digest(void **state)
{
	struct store *s = *state;
	struct tag_row row = {.digest = digest("d", HASH_SHA256),
			      .mediatype = "x/y"},
		       other = row, got;

	other.digest = digest("e", HASH_SHA256);
	assert_int_equal(tag_put(s, "h", "r", "me", "1", &row), 0);
	assert_int_equal(tag_put(s, "h", "r", "you", "2", &row), 0);
	assert_int_equal(tag_put(s, "h", "r", "me", "3", &other), 0);
	assert_int_equal(tag_put(s, "h", "q", "me", "1", &row), 0);
	assert_int_equal(tag_put(s, "i", "r", "me", "1", &row), 0);
	assert_int_equal(tag_forget_digest(s, "h", "r", &row.digest), 0);
	assert_int_equal(tag_get(s, "h", "r", "me", "1", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "you", "2", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "me", "3", &got), 0);
	assert_int_equal(tag_get(s, "h", "q", "me", "1", &got), 0);
	assert_int_equal(tag_get(s, "i", "r", "me", "1", &got), 0);
}

static void test_lists(void **state)
{
	struct store *s = *state;
	int64_t before = clock_wall(), wall = 0;
	char *body = NULL;
	size_t len = 0;

	assert_int_equal(list_get(s, "k", &wall, &body, &len), -ENOENT);
	assert_int_equal(list_put(s, "k", "[1]", 3), 0);
	assert_int_equal(list_put(s, "k2", "", 0), 0);
	assert_int_equal(list_get(s, "k", &wall, &body, &len), 0);
	assert_string_equal(body, "[1]");
	assert_int_equal(len, 3);
	assert_true(wall >= before && wall <= before + 5);
	free(body);
	assert_int_equal(list_put(s, "k", "a\0b", 3), 0);
	assert_int_equal(list_get(s, "k", NULL, &body, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(body, "a\0b", 4);
	free(body);
	assert_int_equal(list_get(s, "k2", NULL, &body, &len), 0);
	assert_int_equal(len, 0);
	free(body);
}

static void test_prune(void **state)
{
	struct store *s = *state;
	struct tag_row row = {.wall = 1000}, got;
	int64_t now = clock_wall();
	char *body = NULL;
	size_t len = 0;

	row.digest = digest("x", HASH_SHA256);
	assert_int_equal(tag_put(s, "h", "r", "", "old", &row), 0);
	row.wall = now;
	assert_int_equal(tag_put(s, "h", "r", "", "new", &row), 0);
	assert_int_equal(list_put(s, "k", "[1]", 3), 0);
	assert_int_equal(rows_prune(s, now), 0);
	assert_int_equal(tag_get(s, "h", "r", "", "old", &got), -ENOENT);
	assert_int_equal(tag_get(s, "h", "r", "", "new", &got), 0);
	assert_int_equal(list_get(s, "k", NULL, &body, &len), 0);
	free(body);
	assert_int_equal(rows_prune(s, now + 91 * 86400), 0);
	assert_int_equal(list_get(s, "k", NULL, &body, &len), -ENOENT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_documents),	T(test_damaged_document),
		T(test_many_documents), T(test_tags),
		T(test_damaged_tags),	T(test_repositories),
		T(test_grants),		T(test_lists),
		T(test_prune),		T(test_holders),
		T(test_forget_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
