/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "fs/inode.h"
#include "util/metric.h"

static int freed;

static void count_done(struct node *n)
{
	(void)n;
	freed++;
}

static const struct node_ops dir_ops = {.type = S_IFDIR, .done = count_done};
static const struct node_ops file_ops = {.type = S_IFREG, .done = count_done};

struct tree {
	struct inodes *t;
	struct node *root;
};

static int setup(void **state)
{
	static struct tree tree;

	freed = 0;
	if (inodes_new(&tree.t) < 0 ||
	    node_new(&dir_ops, sizeof(struct node), NULL, "", NODE_RANK_PLAIN,
		     &tree.root) < 0)
		return -1;
	inodes_add_root(tree.t, tree.root);
	*state = &tree;
	return 0;
}

static int teardown(void **state)
{
	inodes_free(((struct tree *)*state)->t);
	return 0;
}

static struct node *make(struct node *parent, const char *name,
			 const struct node_ops *ops, uint64_t version)
{
	struct node *n;

	assert_int_equal(
		node_new(ops, sizeof(*n), parent, name, NODE_RANK_PLAIN, &n),
		0);
	n->version = version;
	return n;
}

static void test_found_by_id_and_name(void **state)
{
	struct tree *k = *state;
	struct node *a = inode_enter(k->t, make(k->root, "a", &dir_ops, 0));
	struct node *again;

	assert_int_not_equal(a->id, k->root->id);
	again = inode_get(k->t, a->id);
	assert_ptr_equal(again, a);
	inode_put(k->t, again);
	again = inode_known(k->t, k->root, "a");
	assert_ptr_equal(again, a);
	inode_put(k->t, again);
	assert_null(inode_known(k->t, k->root, "b"));
	assert_null(inode_get(k->t, 999));
	inode_put(k->t, a);
	inode_forget(k->t, a->id, 1);
	assert_int_equal(freed, 1);
	assert_int_equal(inodes_len(k->t), 1);
}

/* Two look-ups of one name at the same time come to one node. */
static void test_same_name_and_version_is_one(void **state)
{
	struct tree *k = *state;
	struct node *a = inode_enter(k->t, make(k->root, "a", &dir_ops, 5));
	struct node *b = inode_enter(k->t, make(k->root, "a", &dir_ops, 5));
	uint64_t id = a->id;

	assert_ptr_equal(a, b);
	assert_int_equal(freed, 1);
	inode_put(k->t, a);
	inode_put(k->t, b);
	inode_forget(k->t, id, 1);
	assert_int_equal(freed, 1);
	inode_forget(k->t, id, 1);
	assert_int_equal(freed, 2);
}

/* A tag that moved: a new node, the old one stays for who holds it. */
static void test_new_version_replaces_the_name(void **state)
{
	struct tree *k = *state;
	struct node *old = inode_enter(k->t, make(k->root, "t", &dir_ops, 1));
	struct node *inside = inode_enter(k->t, make(old, "f", &file_ops, 0));
	struct node *now = inode_enter(k->t, make(k->root, "t", &dir_ops, 2));
	struct node *found;

	assert_ptr_not_equal(old, now);
	assert_int_not_equal(old->id, now->id);
	assert_int_equal(old->ino, now->ino);
	found = inode_known(k->t, k->root, "t");
	assert_ptr_equal(found, now);
	inode_put(k->t, found);
	found = inode_known(k->t, old, "f");
	assert_ptr_equal(found, inside);
	inode_put(k->t, found);

	inode_put(k->t, old);
	inode_put(k->t, now);
	inode_forget(k->t, old->id, 1);
	assert_int_equal(freed, 0); /* its child lives */
	inode_put(k->t, inside);
	inode_forget(k->t, inside->id, 1);
	assert_int_equal(freed, 2);
	/* The end of the old one did not take the name from the new one. */
	found = inode_known(k->t, k->root, "t");
	assert_ptr_equal(found, now);
	inode_put(k->t, found);
}

/* The same version but another kind of node is another thing. */
/* What was removed is not found, also while the kernel still holds it. */
static void test_removed_name(void **state)
{
	struct tree *k = *state;
	struct node *a = inode_enter(k->t, make(k->root, "a", &file_ops, 0));
	struct node *b;

	inode_unname(k->t, k->root, "b");
	inode_unname(k->t, k->root, "a");
	assert_null(inode_known(k->t, k->root, "a"));
	inode_unname(k->t, k->root, "a");
	b = inode_enter(k->t, make(k->root, "a", &file_ops, 0));
	assert_int_not_equal(a->id, b->id);
	inode_put(k->t, a);
	inode_forget(k->t, a->id, 1);
	assert_int_equal(freed, 1);
	a = inode_known(k->t, k->root, "a");
	assert_ptr_equal(a, b);
	inode_put(k->t, a);
	inode_put(k->t, b);
	inode_forget(k->t, b->id, 1);
	assert_int_equal(freed, 2);
}

static void test_kind_change_is_a_new_node(void **state)
{
	struct tree *k = *state;
	struct node *a = inode_enter(k->t, make(k->root, "x", &dir_ops, 0));
	struct node *b = inode_enter(k->t, make(k->root, "x", &file_ops, 0));

	assert_ptr_not_equal(a, b);
	inode_put(k->t, a);
	inode_put(k->t, b);
}

static void test_forget_more_than_known(void **state)
{
	struct tree *k = *state;
	struct node *a = inode_enter(k->t, make(k->root, "a", &dir_ops, 0));
	uint64_t id = a->id;

	inode_put(k->t, a);
	inode_forget(k->t, id, 1000);
	assert_int_equal(freed, 1);
	inode_forget(k->t, id, 1); /* unknown now: nothing happens */
	assert_int_equal(freed, 1);
}

static void test_numbers_depend_on_path_only(void **state)
{
	struct tree *k = *state;
	struct node *a = inode_enter(k->t, make(k->root, "a", &dir_ops, 0));
	struct node *b = inode_enter(k->t, make(k->root, "b", &dir_ops, 0));
	uint64_t in_a = node_child_ino(a, "x", NODE_RANK_PLAIN);

	assert_int_not_equal(a->ino, b->ino);
	assert_int_not_equal(in_a, node_child_ino(b, "x", NODE_RANK_PLAIN));
	assert_int_equal(in_a, node_child_ino(a, "x", NODE_RANK_PLAIN));
	/* cp goes by number: what is pointed at comes first. */
	assert_true(node_child_ino(a, "blobs", NODE_RANK_FIRST) < in_a);
	assert_true(in_a < node_child_ino(a, "index.json", NODE_RANK_LAST));
	inode_put(k->t, a);
	inode_put(k->t, b);
}

/* Many more than the tables begin with, entered and forgotten in any order. */
static void test_many(void **state)
{
	enum { MANY = 5000, STRIDE = 1777 };
	static uint64_t ids[MANY];
	struct tree *k = *state;
	char name[16];

	for (int i = 0; i < MANY; i++) {
		struct node *n;

		snprintf(name, sizeof(name), "n%d", i);
		n = inode_enter(k->t, make(k->root, name, &file_ops, 0));
		ids[i] = n->id;
		inode_put(k->t, n);
	}
	assert_int_equal(inodes_len(k->t), MANY + 1);
	for (int i = 0; i < MANY; i++) {
		int at = (i * STRIDE) % MANY;
		struct node *n, *same;

		snprintf(name, sizeof(name), "n%d", at);
		n = inode_known(k->t, k->root, name);
		assert_non_null(n);
		assert_int_equal(n->id, ids[at]);
		same = inode_get(k->t, ids[at]);
		assert_ptr_equal(n, same);
		inode_put(k->t, n);
		inode_forget(k->t, ids[at], 1);
		assert_int_equal(freed, i); /* there is a reference */
		inode_put(k->t, same);
		assert_int_equal(freed, i + 1);
		assert_null(inode_known(k->t, k->root, name));
	}
	assert_int_equal(inodes_len(k->t), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found_by_id_and_name,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_same_name_and_version_is_one, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_new_version_replaces_the_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_name, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_kind_change_is_a_new_node,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget_more_than_known,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_numbers_depend_on_path_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
