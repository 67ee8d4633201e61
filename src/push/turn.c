/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn is made by the first who comes for a name, and goes with the last.
 * There are few at a time, so they share one lock and one condition.
 */
#include "push/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/list.h"
#include "util/str.h"

struct turns {
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct list_node list;
};

struct turn {
	struct list_node node;
	struct turns *turns;
	char *key;
	unsigned refs; /* inside or waiting; protected by the lock */
	bool taken;    /* likewise */
};

int turns_new(struct turns **ret)
{
	struct turns *g = calloc(1, sizeof(*g));
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

void turns_free(struct turns *g)
{
	if (!g)
		return;
	pthread_cond_destroy(&g->left);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* Lock held. */
static void turn_unref(struct turn *g)
{
	if (--g->refs > 0)
		return;
	list_del(&g->node);
	free(g->key);
	free(g);
}

/* Lock held.  Takes over key. */
static struct turn *turn_get(struct turns *turns, char **key)
{
	struct turn *g;

	list_for(n, &turns->list) {
		g = container_of(n, struct turn, node);
		if (strcmp(g->key, *key) == 0) {
			g->refs++;
			return g;
		}
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	*g = (struct turn){.turns = turns, .key = steal(key), .refs = 1};
	list_push_back(&turns->list, &g->node);
	return g;
}

int turn_take(struct outbox *o, const char *host, const char *repository,
	      const char *name, struct wait *w, struct turn **ret)
{
	struct turns *turns = o->turns;
	autofree char *key = str_printf("%s/%s %s", host, repository, name);
	struct turn *g;
	int r = 0;

	if (!key)
		return -ENOMEM;
	autolock(&turns->lock);
	g = turn_get(turns, &key);
	if (!g)
		return -ENOMEM;
	while (g->taken && r == 0)
		r = wait_cond(w, &turns->left, &turns->lock);
	if (r < 0) {
		turn_unref(g);
		return r;
	}
	g->taken = true;
	*ret = g;
	return 0;
}

void turn_leave(struct turn *g)
{
	struct turns *turns;

	if (!g)
		return;
	turns = g->turns;
	autolock(&turns->lock);
	g->taken = false;
	pthread_cond_broadcast(&turns->left);
	turn_unref(g);
}

void turn_pass(struct outbox *o, const char *host, const char *repository,
	       const char *name)
{
	struct turn *g;
	struct wait w;

	wait_init(&w, o->times.commit_budget, 0);
	if (turn_take(o, host, repository, name, &w, &g) == 0)
		turn_leave(g);
}

int turn_take_two(struct outbox *o, struct repo *repo, const char *a,
		  const char *b, struct wait *w, struct turn *ret[2])
{
	const bool turned = strcmp(a, b) > 0;
	struct turn *first = NULL;
	int r;

	r = turn_take(o, repo_host(repo), repo_name(repo), turned ? b : a, w,
		      &first);
	if (r < 0)
		return r;
	r = turn_take(o, repo_host(repo), repo_name(repo), turned ? a : b, w,
		      &ret[1]);
	if (r < 0)
		turn_leave(first);
	else
		ret[0] = first;
	return r;
}
