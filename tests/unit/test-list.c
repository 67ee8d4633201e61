/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/list.h"

struct item {
	int value;
	struct list_node node;
};

static void assert_values(struct list_node *head, const int *values, int n)
{
	struct list_node *back = head->prev;
	int i = 0;

	for (struct list_node *p = head->next; p != head; p = p->next) {
		assert_true(i < n);
		assert_ptr_equal(p->next->prev, p);
		assert_int_equal(container_of(p, struct item, node)->value,
				 values[i++]);
	}
	assert_int_equal(i, n);
	for (; back != head; back = back->prev)
		i--;
	assert_int_equal(i, 0);
}

static void pushes_both_ends(void **state)
{
	LIST_HEAD(head);
	struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};

	assert_true(list_empty(&head));
	list_push_back(&head, &b.node);
	list_push_back(&head, &c.node);
	list_push_front(&head, &a.node);
	assert_false(list_empty(&head));
	assert_values(&head, (const int[]){1, 2, 3}, 3);
}

static void deletes(void **state)
{
	LIST_HEAD(head);
	struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};

	list_push_back(&head, &a.node);
	list_push_back(&head, &b.node);
	list_push_back(&head, &c.node);
	list_del(&b.node);
	assert_values(&head, (const int[]){1, 3}, 2);
	/* Once more does no harm. */
	list_del(&b.node);
	assert_values(&head, (const int[]){1, 3}, 2);
	list_del(&a.node);
	list_del(&c.node);
	assert_true(list_empty(&head));
}

static void deletes_unlisted(void **state)
{
	struct item a = {.value = 1};

	list_init(&a.node);
	list_del(&a.node);
	assert_true(list_empty(&a.node));
}

static void walks_while_deleting(void **state)
{
	LIST_HEAD(head);
	struct item items[10];
	int sum = 0;

	for (int i = 0; i < 10; i++) {
		items[i].value = i;
		list_push_back(&head, &items[i].node);
	}
	list_for_safe(p, &head) {
		if (container_of(p, struct item, node)->value % 2) {
			list_del(p);
			p->next = NULL;
		}
	}
	list_for(p, &head)
		sum += container_of(p, struct item, node)->value;
	assert_int_equal(sum, 20);
	assert_values(&head, (const int[]){0, 2, 4, 6, 8}, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes_both_ends),
		cmocka_unit_test(deletes),
		cmocka_unit_test(deletes_unlisted),
		cmocka_unit_test(walks_while_deleting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
