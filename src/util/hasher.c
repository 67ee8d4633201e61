/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of buffers.  [done, given) are waiting to be hashed or being hashed;
 * the feeder fills number `given`, so it must stay below done + HASHER_BUFFERS.
 */
#include "util/hasher.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/auto.h"
#include "util/wait.h"

struct hasher {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct hash hash; /* the thread's own until it is idle */
	uint8_t *buffers[HASHER_BUFFERS];
	size_t lens[HASHER_BUFFERS]; /* protected by lock, like all below */
	uint64_t given, done;
	bool stop;
};

static void *hasher_main(void *arg)
{
	struct hasher *h = arg;
	size_t i, len;

	pthread_mutex_lock(&h->lock);
	for (;;) {
		while (!h->stop && h->done == h->given)
			pthread_cond_wait(&h->changed, &h->lock);
		if (h->stop)
			break;
		i = h->done % HASHER_BUFFERS;
		len = h->lens[i];
		pthread_mutex_unlock(&h->lock);
		hash_update(&h->hash, h->buffers[i], len);
		pthread_mutex_lock(&h->lock);
		h->done++;
		pthread_cond_broadcast(&h->changed);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void hasher_release(struct hasher *h)
{
	for (size_t i = 0; i < HASHER_BUFFERS; i++)
		free(h->buffers[i]);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int hasher_new(enum hash_alg alg, struct hasher **ret)
{
	struct hasher *h = calloc(1, sizeof(*h));
	int r = 0;

	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	hash_init(&h->hash, alg);
	for (size_t i = 0; i < HASHER_BUFFERS; i++) {
		h->buffers[i] = malloc(HASHER_BUFFER_BYTES);
		if (!h->buffers[i])
			r = -ENOMEM;
	}
	if (r == 0)
		r = wait_thread_error(
			pthread_create(&h->thread, NULL, hasher_main, h));
	if (r < 0) {
		hasher_release(h);
		return r;
	}
	*ret = h;
	return 0;
}

uint8_t *hasher_buffer(struct hasher *h)
{
	autolock(&h->lock);
	while (h->given - h->done == HASHER_BUFFERS)
		pthread_cond_wait(&h->changed, &h->lock);
	return h->buffers[h->given % HASHER_BUFFERS];
}

void hasher_give(struct hasher *h, size_t len)
{
	autolock(&h->lock);
	h->lens[h->given % HASHER_BUFFERS] = len;
	h->given++;
	pthread_cond_broadcast(&h->changed);
}

void hasher_final(struct hasher *h, uint8_t out[HASH_MAX])
{
	autolock(&h->lock);
	while (h->done < h->given)
		pthread_cond_wait(&h->changed, &h->lock);
	hash_final(&h->hash, out);
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	hasher_release(h);
}
