/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing.  A slot is free (key NULL), dead (key
 * == DEAD: was removed, probing goes on past it) or used.  Removal never moves
 * a slot, so a map may be emptied while it is walked.
 *
 * Invariant: used + dead <= 3/4 of the slots, so every probe ends.
 */
#include "util/map.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MAP_MIN_SLOTS 8

struct map_key {
	size_t len;
	char bytes[]; /* NUL-terminated */
};

struct map_slot {
	uint64_t hash;
	struct map_key *key;
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t used;
	size_t dead;
};

static struct map_key dead_key;
#define DEAD (&dead_key)

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_init(void)
{
	struct timespec now;

	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) ==
	    (ssize_t)sizeof(seed))
		return;
	/* Early boot or a strict seccomp filter: what is hard to guess. */
	clock_gettime(CLOCK_REALTIME, &now);
	seed[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
	seed[1] = (uint64_t)(uintptr_t)&now ^ (uint64_t)getpid() << 48;
}

static uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein): enough for tables, as in Rust's. */
uint64_t map_hash(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t v[4], word, tail = (uint64_t)n << 56;

	pthread_once(&seed_once, seed_init);
	v[0] = seed[0] ^ 0x736f6d6570736575;
	v[1] = seed[1] ^ 0x646f72616e646f6d;
	v[2] = seed[0] ^ 0x6c7967656e657261;
	v[3] = seed[1] ^ 0x7465646279746573;
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < n; i++)
		tail |= (uint64_t)p[i] << (8 * i);
	v[3] ^= tail;
	sip_round(v);
	v[0] ^= tail;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int map_new(struct map **ret)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	*ret = m;
	return 0;
}

static bool slot_used(const struct map_slot *s)
{
	return s->key && s->key != DEAD;
}

void map_free(struct map *m, void (*free_value)(void *))
{
	if (!m)
		return;
	for (size_t i = 0; i < m->size; i++) {
		if (!slot_used(&m->slots[i]))
			continue;
		if (free_value)
			free_value(m->slots[i].value);
		free(m->slots[i].key);
	}
	free(m->slots);
	free(m);
}

size_t map_len(const struct map *m)
{
	return m->used;
}

static struct map_slot *find_slot(const struct map *m, uint64_t hash,
				  const void *key, size_t n)
{
	struct map_slot *s;

	if (m->used == 0)
		return NULL;
	for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
		s = &m->slots[i];
		if (!s->key)
			return NULL;
		if (s->key != DEAD && s->hash == hash && s->key->len == n &&
		    (n == 0 || memcmp(s->key->bytes, key, n) == 0))
			return s;
	}
}

void *map_find(const struct map *m, const char *key)
{
	return map_findn(m, key, strlen(key));
}

void *map_findn(const struct map *m, const void *key, size_t n)
{
	struct map_slot *s = find_slot(m, map_hash(key, n), key, n);

	return s ? s->value : NULL;
}

/* The slot where an absent key goes; there is one. */
static struct map_slot *free_slot(struct map_slot *slots, size_t size,
				  uint64_t hash)
{
	size_t i = hash & (size - 1);

	while (slot_used(&slots[i]))
		i = (i + 1) & (size - 1);
	return &slots[i];
}

/* Makes room for one more; also drops the dead. */
static int make_room(struct map *m)
{
	size_t size = m->size ? m->size : MAP_MIN_SLOTS;
	struct map_slot *slots;

	if (m->size && m->used + m->dead < m->size / 4 * 3)
		return 0;
	if (m->used >= size / 2)
		size *= 2;
	slots = calloc(size, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->size; i++) {
		if (slot_used(&m->slots[i]))
			*free_slot(slots, size, m->slots[i].hash) = m->slots[i];
	}
	free(m->slots);
	m->slots = slots;
	m->size = size;
	m->dead = 0;
	return 0;
}

int map_put(struct map *m, const char *key, void *value, void **ret_old)
{
	return map_putn(m, key, strlen(key), value, ret_old);
}

static struct map_key *copy_key(const void *key, size_t n)
{
	struct map_key *copy;

	if (n > SIZE_MAX - sizeof(*copy) - 1)
		return NULL;
	copy = malloc(sizeof(*copy) + n + 1);
	if (!copy)
		return NULL;
	copy->len = n;
	if (n)
		memcpy(copy->bytes, key, n);
	copy->bytes[n] = 0;
	return copy;
}

static int insert(struct map *m, uint64_t hash, const void *key, size_t n,
		  void *value)
{
	struct map_slot *s;
	struct map_key *copy;
	int r;

	r = make_room(m);
	if (r < 0)
		return r;
	copy = copy_key(key, n);
	if (!copy)
		return -ENOMEM;
	s = free_slot(m->slots, m->size, hash);
	if (s->key == DEAD)
		m->dead--;
	s->hash = hash;
	s->key = copy;
	s->value = value;
	m->used++;
	return 0;
}

int map_putn(struct map *m, const void *key, size_t n, void *value,
	     void **ret_old)
{
	uint64_t hash = map_hash(key, n);
	struct map_slot *s = find_slot(m, hash, key, n);
	void *old = NULL;
	int r;

	assert(value); /* NULL means absent everywhere else */
	if (s) {
		old = s->value;
		s->value = value;
	} else {
		r = insert(m, hash, key, n, value);
		if (r < 0)
			return r;
	}
	if (ret_old)
		*ret_old = old;
	return 0;
}

void *map_remove(struct map *m, const char *key)
{
	return map_removen(m, key, strlen(key));
}

void *map_removen(struct map *m, const void *key, size_t n)
{
	struct map_slot *s = find_slot(m, map_hash(key, n), key, n);
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	free(s->key);
	*s = (struct map_slot){.key = DEAD};
	m->used--;
	m->dead++;
	return value;
}

void *map_next(const struct map *m, size_t *pos, const char **ret_key)
{
	while (*pos < m->size) {
		const struct map_slot *s = &m->slots[(*pos)++];

		if (!slot_used(s))
			continue;
		if (ret_key)
			*ret_key = s->key->bytes;
		return s->value;
	}
	return NULL;
}
