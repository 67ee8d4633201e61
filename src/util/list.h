/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Intrusive circular doubly linked list; a head is a list_node of its own. */
#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next;
};

#define LIST_HEAD(name) struct list_node name = {&(name), &(name)}
#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list_node *n)
{
	n->prev = n->next = n;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_add_before_(struct list_node *pos, struct list_node *n)
{
	n->prev = pos->prev;
	n->next = pos;
	pos->prev->next = n;
	pos->prev = n;
}

static inline void list_push_back(struct list_node *head, struct list_node *n)
{
	list_add_before_(head, n);
}

static inline void list_push_front(struct list_node *head, struct list_node *n)
{
	list_add_before_(head->next, n);
}

/* Safe on a node that was initialised and is on no list. */
static inline void list_del(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_for(pos, head)                                                    \
	for (struct list_node *pos = (head)->next; pos != (head);              \
	     pos = pos->next)
/* The body may remove `pos`. */
#define list_for_safe(pos, head)                                               \
	for (struct list_node *pos = (head)->next, *pos##_next = pos->next;    \
	     pos != (head); pos = pos##_next, pos##_next = pos->next)
