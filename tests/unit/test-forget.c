/* SPDX-License-Identifier: Apache-2.0 */
/* What is forgotten at somebody's word, what stays, and how it is counted. */
#include "store-fixture.h"

#include "store/inventory.h"
#include "store/rows.h"
#include "store/tree.h"

static void reopen(struct fixture *f)
{
	store_close(f->s);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
}

/* A blob of this text, left open if `ret` is given. */
static struct digest add_blob(struct fixture *f, const char *text,
			      struct chunks **ret)
{
	struct chunks *c;
	struct digest d;

	digest_of(HASH_SHA256, text, strlen(text), &d);
	assert_int_equal(chunks_open(f->s, &d, strlen(text), &c), 0);
	assert_int_equal(chunks_put(c, 0, text, strlen(text)), 0);
	if (ret)
		*ret = c;
	else
		chunks_close(c);
	return d;
}

static void grant(struct fixture *f, const char *repository,
		  const char *identity, const struct digest *d)
{
	struct grant_row row = {
		.digest = *d, .kind = GRANT_BLOB, .size_bytes = 1};

	assert_int_equal(grant_put(f->s, "h.io", repository, identity, &row),
			 0);
}

static struct tree *add_tree(struct fixture *f, const char *kind,
			     const struct digest *d)
{
	char key[TREE_KEY_MAX + 1], hex[129];
	struct tree *t;

	digest_hex(d, hex);
	snprintf(key, sizeof(key), "%s-sha256-%s", kind, hex);
	assert_int_equal(tree_create(f->s, key, false, &t), 0);
	assert_int_equal(tree_seal(t), 0);
	return t;
}

static void forgets_a_blob(void **state)
{
	struct fixture *f = *state;
	struct digest d = add_blob(f, "hello", NULL), other;
	struct chunks *c = NULL;
	char byte;

	digest_of(HASH_SHA256, "x", 1, &other);
	assert_int_equal(store_blob_bytes(f->s, &d), 5);
	assert_int_equal(store_forget_blob(f->s, &other), 0);
	reopen(f);
	assert_int_equal(store_blob_bytes(f->s, &d), 5);
	assert_int_equal(store_forget_blob(f->s, &d), 5);
	assert_int_equal(store_blob_bytes(f->s, &d), 0);
	assert_int_equal(store_forget_blob(f->s, &d), 0);

	/* Under a reader: it is gone, and may come again. */
	add_blob(f, "hello", &c);
	assert_int_equal(store_forget_blob(f->s, &d), 5);
	assert_int_equal(chunks_read(c, &byte, 1, 0), -ENODATA);
	assert_int_equal(chunks_put(c, 0, "hellO", 5), -EBADMSG);
	assert_int_equal(chunks_put(c, 0, "hello", 5), 0);
	assert_int_equal(chunks_read(c, &byte, 1, 0), 1);
	chunks_close(c);
}

#define KIN 16 /* bytes that names of a family share */

/* One chunk of a blob that is never complete. */
static void add_part(struct fixture *f, enum hash_alg alg, uint8_t family,
		     uint8_t own, struct chunks **ret)
{
	static const uint8_t bytes[CHUNK_BYTES];
	struct digest d = {.alg = alg};
	struct chunks *c;

	d.raw[KIN - 1] = family;
	d.raw[KIN] = own;
	assert_int_equal(chunks_open(f->s, &d, 3 * CHUNK_BYTES, &c), 0);
	assert_int_equal(chunks_put(c, 1, bytes, sizeof(bytes)), 0);
	if (ret)
		*ret = c;
	else
		chunks_close(c);
}

static void forgets_a_family(void **state)
{
	struct fixture *f = *state;
	struct digest family = {.alg = HASH_SHA256, .raw[KIN - 1] = 7};
	struct chunks *c;
	struct inventory v;
	char byte;

	assert_int_equal(store_forget_family(f->s, &family, KIN), 0);
	add_part(f, HASH_SHA256, 7, 0, NULL);
	add_part(f, HASH_SHA256, 7, 255, NULL);
	reopen(f); /* known by their rows alone */
	add_part(f, HASH_SHA256, 7, 1, NULL);
	add_part(f, HASH_SHA256, 7, 2, &c);
	add_part(f, HASH_SHA256, 6, 255, NULL);
	add_part(f, HASH_SHA256, 8, 0, NULL);
	add_part(f, HASH_SHA512, 7, 0, NULL);
	assert_int_equal(store_forget_family(f->s, &family, KIN),
			 4 * CHUNK_BYTES);
	assert_int_equal(store_forget_family(f->s, &family, KIN), 0);
	assert_int_equal(chunks_read(c, &byte, 1, CHUNK_BYTES), -ENODATA);
	chunks_close(c);
	assert_int_equal(inventory_take(f->s, &v), 0);
	assert_int_equal(v.stats.bytes, 3 * CHUNK_BYTES);
	inventory_done(&v);
}

static bool is_digest(void *arg, const struct digest *d)
{
	return digest_equal(arg, d);
}

static void forgets_trees(void **state)
{
	struct fixture *f = *state;
	struct digest a = add_blob(f, "a", NULL), b = add_blob(f, "b", NULL);
	uint64_t trees = 0, bytes = 0;
	struct inventory v;

	tree_close(add_tree(f, "layer", &a));
	tree_close(add_tree(f, "rootfs", &a));
	tree_close(add_tree(f, "layer", &b));
	assert_int_equal(
		store_forget_trees(f->s, is_digest, &a, &trees, &bytes), 0);
	assert_int_equal(trees, 2);
	assert_true(bytes > 0);
	assert_int_equal(inventory_take(f->s, &v), 0);
	assert_int_equal(v.stats.trees, 1);
	inventory_done(&v);
}

static void reads_keys(void **state)
{
	static const char *const bads[] = {"",
					   "layer",
					   "layer-",
					   "layer-sha256",
					   "layer-sha256-12",
					   "layer-md5-12",
					   "layer-sha25600-12"};
	struct digest d, want;
	char hex[129], key[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
		assert_int_equal(tree_key_digest(bads[i], &d), -EINVAL);
	digest_of(HASH_SHA512, "x", 1, &want);
	digest_hex(&want, hex);
	snprintf(key, sizeof(key), "toc-sha512-%s-0123", hex);
	assert_int_equal(tree_key_digest(key, &d), 0);
	assert_true(digest_equal(&d, &want));
}

static void prunes_what_is_not_in_use(void **state)
{
	struct fixture *f = *state;
	struct digest a, b = add_blob(f, "unused", NULL), m;
	struct chunks *c;
	struct tree *t;
	struct inventory v;
	uint64_t freed;

	a = add_blob(f, "in use", &c);
	t = add_tree(f, "layer", &a);
	tree_close(add_tree(f, "layer", &b));
	grant(f, "team/app", "", &a);
	digest_of(HASH_SHA256, "{}", 2, &m);
	assert_int_equal(document_put(f->s, &m, "x/y", "{}", 2), 0);
	assert_int_equal(store_prune(f->s, &freed), 0);
	assert_true(freed > 6);
	assert_int_equal(store_blob_bytes(f->s, &a), 6);
	assert_int_equal(store_blob_bytes(f->s, &b), 0);
	assert_int_equal(inventory_take(f->s, &v), 0);
	assert_int_equal(v.stats.trees, 1);
	assert_int_equal(v.stats.documents, 0);
	/* What was seen is known. */
	assert_int_equal(v.len, 1);
	inventory_done(&v);
	tree_close(t);
	chunks_close(c);
	assert_int_equal(store_prune(f->s, &freed), 0);
	assert_int_equal(store_blob_bytes(f->s, &a), 0);
	reopen(f);
	assert_int_equal(store_blob_bytes(f->s, &a), 0);
}

static void counts_by_repository(void **state)
{
	struct fixture *f = *state;
	struct digest a = add_blob(f, "four", NULL), b = add_blob(f, "b", NULL);
	struct inventory v;
	struct str text = {0};

	tree_close(add_tree(f, "layer", &a));
	grant(f, "team/app", "one", &a);
	grant(f, "team/app", "two", &a);
	grant(f, "team/app", "one", &b);
	grant(f, "team/web", "one", &a);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(inventory_take(f->s, &v), 0);
		assert_int_equal(v.stats.bytes, 5);
		assert_int_equal(v.stats.blobs, 2);
		assert_int_equal(v.stats.verified_blobs, 2);
		assert_int_equal(v.len, 2);
		assert_string_equal(v.lines[0].repository, "team/app");
		assert_int_equal(v.lines[0].blobs, 2);
		assert_int_equal(v.lines[0].blob_bytes, 5);
		assert_int_equal(v.lines[0].trees, 1);
		assert_string_equal(v.lines[1].repository, "team/web");
		assert_int_equal(v.lines[1].blob_bytes, 4);
		if (again)
			break;
		inventory_done(&v);
		reopen(f);
	}
	assert_int_equal(inventory_print(&v, 3, &text), 0);
	assert_non_null(strstr(text.buf, "3 images"));
	assert_non_null(strstr(text.buf, "h.io/team/web\n"));
	str_clear(&text);
	assert_int_equal(inventory_print_json(&v, 3, &text), 0);
	assert_non_null(strstr(text.buf, "\"pending\":3"));
	str_done(&text);
	inventory_done(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(forgets_a_blob, setup,
						teardown),
		cmocka_unit_test_setup_teardown(forgets_a_family, setup,
						teardown),
		cmocka_unit_test_setup_teardown(forgets_trees, setup, teardown),
		cmocka_unit_test(reads_keys),
		cmocka_unit_test_setup_teardown(prunes_what_is_not_in_use,
						setup, teardown),
		cmocka_unit_test_setup_teardown(counts_by_repository, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
