/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate is made by the first who comes for a name, and goes with the last.
 * There are few at a time, so they share one lock and one condition.
 */
#include "push/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/list.h"
#include "util/str.h"

struct gates {
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct list_node list;
};

struct gate {
	struct list_node node;
	struct gates *gates;
	char *key;
	unsigned refs; /* inside or waiting; protected by the lock */
	bool taken;    /* likewise */
};

int gates_new(struct gates **ret)
{
	struct gates *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	r = wait_cond_init(&g->left);
	if (r < 0) {
		free(g);
		return r;
	}
	pthread_mutex_init(&g->lock, NULL);
	list_init(&g->list);
	*ret = g;
	return 0;
}

void gates_free(struct gates *g)
{
	if (!g)
		return;
	pthread_cond_destroy(&g->left);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* Lock held. */
static void gate_unref(struct gate *g)
{
	if (--g->refs > 0)
		return;
	list_del(&g->node);
	free(g->key);
	free(g);
}

/* Lock held.  Takes over key. */
static struct gate *gate_get(struct gates *gates, char **key)
{
	struct gate *g;

	list_for(n, &gates->list) {
		g = container_of(n, struct gate, node);
		if (strcmp(g->key, *key) == 0) {
			g->refs++;
			return g;
		}
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	*g = (struct gate){.gates = gates, .key = steal(key), .refs = 1};
	list_push_back(&gates->list, &g->node);
	return g;
}

int gate_enter(struct outbox *o, const char *host, const char *repository,
	       const char *name, struct wait *w, struct gate **ret)
{
	struct gates *gates = o->gates;
	autofree char *key = str_printf("%s/%s %s", host, repository, name);
	struct gate *g;
	int r = 0;

	if (!key)
		return -ENOMEM;
	autolock(&gates->lock);
	g = gate_get(gates, &key);
	if (!g)
		return -ENOMEM;
	while (g->taken && r == 0)
		r = wait_cond(w, &gates->left, &gates->lock);
	if (r < 0) {
		gate_unref(g);
		return r;
	}
	g->taken = true;
	*ret = g;
	return 0;
}

void gate_leave(struct gate *g)
{
	struct gates *gates;

	if (!g)
		return;
	gates = g->gates;
	autolock(&gates->lock);
	g->taken = false;
	pthread_cond_broadcast(&gates->left);
	gate_unref(g);
}

void gate_pass(struct outbox *o, const char *host, const char *repository,
	       const char *name)
{
	struct gate *g;
	struct wait w;

	wait_init(&w, o->times.commit_budget, 0);
	if (gate_enter(o, host, repository, name, &w, &g) == 0)
		gate_leave(g);
}

int gate_enter_two(struct outbox *o, struct repo *repo, const char *a,
		   const char *b, struct wait *w, struct gate *ret[2])
{
	const bool turned = strcmp(a, b) > 0;
	struct gate *first = NULL;
	int r;

	r = gate_enter(o, repo_host(repo), repo_name(repo), turned ? b : a, w,
		       &first);
	if (r < 0)
		return r;
	r = gate_enter(o, repo_host(repo), repo_name(repo), turned ? a : b, w,
		       &ret[1]);
	if (r < 0)
		gate_leave(first);
	else
		ret[0] = first;
	return r;
}
