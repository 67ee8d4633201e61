/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token cache.  An entry goes
 *
 *   empty --first asks--> asking --answered--> held --life is over--> empty
 *                            |                   +-----dropped---------^
 *                            +--failed--> empty, those who waited share it
 *
 * unless the asker failed for reasons of its own (it gave up, its time was
 * over): then the next of those who wait asks.  Entries under way or waited
 * for are never evicted.  The lock is not held while asking.
 */
#include "registry/login/token.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/map.h"

#define EARLY_MS 10000

struct token_entry {
	char *value; /* NULL: none is held */
	uint64_t since_ms, renew_ms, until_ms;
	bool asking;
	unsigned waiting;
	uint64_t round; /* raised when somebody has asked */
	bool failed;	/* the last round, with `outcome` */
	struct outcome outcome;
};

struct tokens {
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t answered;
	struct map *map; /* key -> struct token_entry */
};

static void entry_free(void *p)
{
	struct token_entry *e = p;

	if (!e)
		return;
	token_forget(e->value);
	free(e);
}

int tokens_new(struct tokens **ret)
{
	struct tokens *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = map_new(&t->map);
	if (r == 0)
		r = wait_cond_init(&t->answered);
	if (r < 0) {
		map_free(t->map, NULL);
		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	map_free(t->map, entry_free);
	pthread_cond_destroy(&t->answered);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static int make_key(const struct token_want *want, char **ret)
{
	char identity[17];

	credential_identity(want->credential, identity);
	*ret = str_printf("%s\n%s\n%s\n%s\n%s", want->origin, want->realm,
			  want->service ? want->service : "", want->scope,
			  identity);
	return *ret ? 0 : -ENOMEM;
}

static bool is_idle(const struct token_entry *e)
{
	return !e->asking && e->waiting == 0;
}

/* What is over goes first, then what comes to hand. */
static void make_room(struct tokens *t, uint64_t now)
{
	struct token_entry *e;
	const char *key;
	size_t pos = 0;

	if (map_len(t->map) < TOKENS_MAX)
		return;
	while ((e = map_next(t->map, &pos, &key))) {
		if (is_idle(e) && (!e->value || now >= e->renew_ms))
			entry_free(map_remove(t->map, key));
	}
	pos = 0;
	while (map_len(t->map) >= TOKENS_MAX &&
	       (e = map_next(t->map, &pos, &key))) {
		if (is_idle(e))
			entry_free(map_remove(t->map, key));
	}
}

static int find_entry(struct tokens *t, const char *key,
		      struct token_entry **ret)
{
	struct token_entry *e = map_find(t->map, key);
	int r;

	if (!e) {
		make_room(t, clock_ms());
		e = calloc(1, sizeof(*e));
		r = e ? map_put(t->map, key, e, NULL) : -ENOMEM;
		if (r < 0) {
			free(e);
			return r;
		}
	}
	*ret = e;
	return 0;
}

static void hold(struct token_entry *e, char *value, uint64_t life_s)
{
	uint64_t now = clock_ms(), life_ms = life_s * 1000;
	uint64_t early = life_ms / 10 < EARLY_MS ? life_ms / 10 : EARLY_MS;

	token_forget(e->value);
	e->value = value;
	e->since_ms = now;
	e->until_ms = now + life_ms;
	e->renew_ms = now + life_ms - early;
}

/* Its own patience or death, not the server, made this one fail. */
static bool is_personal(const struct outcome *out)
{
	return out->status == 0 && out->fail == HTTP_FAIL_NONE &&
	       (out->error == -EINTR || out->error == -ETIMEDOUT);
}

/* Called and left with the lock held; gives it up in between. */
static int ask_for_all(struct tokens *t, struct wire *wire,
		       struct token_entry *e, const struct token_want *want,
		       struct wait *w, struct outcome *out)
{
	uint64_t life_s = 0;
	char *value = NULL;
	int r;

	e->asking = true;
	pthread_mutex_unlock(&t->lock);
	r = token_ask(wire, want, w, &value, &life_s, out);
	pthread_mutex_lock(&t->lock);
	e->asking = false;
	e->round++;
	e->failed = r < 0 && !is_personal(out);
	if (e->failed)
		e->outcome = *out;
	if (r == 0)
		hold(e, value, life_s);
	pthread_cond_broadcast(&t->answered);
	return r;
}

/* 1: somebody has asked, look again. */
static int wait_for_it(struct tokens *t, struct token_entry *e, struct wait *w,
		       struct outcome *out)
{
	uint64_t round = e->round;
	int r = 0;

	e->waiting++;
	while (r == 0 && e->round == round)
		r = wait_cond(w, &t->answered, &t->lock);
	e->waiting--;
	if (r < 0) {
		memset(out, 0, sizeof(*out));
		return outcome_set(out, r, "no token in time");
	}
	if (e->failed && e->round == round + 1) {
		*out = e->outcome;
		return out->error;
	}
	return 1;
}

int tokens_get(struct tokens *t, struct wire *wire,
	       const struct token_want *want, struct wait *w, char **ret,
	       bool *ret_fresh, struct outcome *out)
{
	autofree char *key = NULL;
	struct token_entry *e = NULL;
	bool fresh = false;
	int r = make_key(want, &key);

	if (r < 0)
		return outcome_set(out, r, "out of memory");
	autolock(&t->lock);
	r = find_entry(t, key, &e);
	if (r < 0)
		return outcome_set(out, r, "out of memory");
	while (!e->value || clock_ms() >= e->renew_ms) {
		r = e->asking ? wait_for_it(t, e, w, out)
			      : ask_for_all(t, wire, e, want, w, out);
		if (r < 0)
			return r;
		fresh = true;
		if (r == 0)
			break;
	}
	*ret = strdup(e->value);
	if (!*ret)
		return outcome_set(out, -ENOMEM, "out of memory");
	*ret_fresh = fresh;
	return 0;
}

void tokens_drop(struct tokens *t, const char *value)
{
	struct token_entry *e;
	size_t pos = 0;

	autolock(&t->lock);
	while ((e = map_next(t->map, &pos, NULL))) {
		if (!e->value || strcmp(e->value, value) != 0)
			continue;
		token_forget(e->value);
		e->value = NULL;
	}
}

void tokens_stats(struct tokens *t, struct token_stats *ret)
{
	uint64_t now = clock_ms();
	struct token_entry *e;
	size_t pos = 0;

	*ret = (struct token_stats){.held = 0};
	autolock(&t->lock);
	while ((e = map_next(t->map, &pos, NULL))) {
		if (!e->value || now >= e->until_ms)
			continue;
		if (ret->held++ && now - e->since_ms >= ret->age_ms)
			continue;
		ret->age_ms = now - e->since_ms;
		ret->left_ms = e->until_ms - now;
	}
}
