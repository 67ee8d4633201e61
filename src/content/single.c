/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of what is under way.  An entry lives from its leader's start until
 * the last waiter has taken the result.
 *
 *   leader: LED -> run -> DONE (result) or ABANDONED (nobody leads: the first
 *   waiter that wakes takes the lead)
 */
#include "content/single.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/auto.h"
#include "util/map.h"

enum single_state { SINGLE_LED, SINGLE_ABANDONED, SINGLE_DONE };

struct single_entry {
	enum single_state state;
	unsigned users;
	int result;
};

struct single {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct map *entries; /* key -> single_entry; protected by lock */
};

int single_new(struct single **ret)
{
	struct single *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = map_new(&s->entries);
	if (r < 0) {
		free(s);
		return r;
	}
	pthread_mutex_init(&s->lock, NULL);
	wait_cond_init(&s->changed);
	*ret = s;
	return 0;
}

void single_free(struct single *s)
{
	if (!s)
		return;
	map_free(s->entries, free);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* The entry of this key, made if need be, with one more user. */
static int single_join(struct single *s, const char *key,
		       struct single_entry **ret)
{
	struct single_entry *e = map_find(s->entries, key);
	int r;

	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->state = SINGLE_ABANDONED;
		r = map_put(s->entries, key, e, NULL);
		if (r < 0) {
			free(e);
			return r;
		}
	}
	e->users++;
	*ret = e;
	return 0;
}

static void single_leave(struct single *s, const char *key,
			 struct single_entry *e)
{
	if (--e->users > 0)
		return;
	/* A finished entry was already taken out of the table. */
	if (map_find(s->entries, key) == e)
		map_remove(s->entries, key);
	free(e);
}

static void single_finish(struct single *s, const char *key,
			  struct single_entry *e, int result, bool gave_up)
{
	e->result = result;
	if (gave_up) {
		e->state = SINGLE_ABANDONED;
	} else {
		e->state = SINGLE_DONE;
		map_remove(s->entries, key); /* newcomers start anew */
	}
	pthread_cond_broadcast(&s->changed);
}

int single_run(struct single *s, const char *key, struct wait *w,
	       int (*fn)(void *arg, struct wait *w), void *arg, bool *ret_led)
{
	struct single_entry *e;
	int r;

	*ret_led = false;
	pthread_mutex_lock(&s->lock);
	r = single_join(s, key, &e);
	if (r < 0) {
		pthread_mutex_unlock(&s->lock);
		return r;
	}
	while (e->state == SINGLE_LED && r == 0)
		r = wait_cond(w, &s->changed, &s->lock);
	if (e->state == SINGLE_DONE) {
		r = e->result;
	} else if (r == 0) {
		e->state = SINGLE_LED;
		*ret_led = true;
		pthread_mutex_unlock(&s->lock);
		r = fn(arg, w);
		pthread_mutex_lock(&s->lock);
		single_finish(s, key, e, r, r < 0 && wait_check(w) < 0);
	}
	single_leave(s, key, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}
