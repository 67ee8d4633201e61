/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names that were removed and are there nevertheless: the views of an image,
 * which a copy over it removes before it writes them anew.  For a moment they
 * are not found.  Any thread.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define HIDDEN_NAMES 64
#define HIDDEN_MS 5000

struct hidden {
	pthread_mutex_t lock;
	struct {
		uint64_t dir;  /* node id */
		uint64_t name; /* hash */
		uint64_t until_ms;
	} v[HIDDEN_NAMES]; /* protected by lock, like next */
	unsigned next;
};

void hidden_init(struct hidden *h);
void hidden_done(struct hidden *h);
void hidden_add(struct hidden *h, uint64_t dir, const char *name,
		uint64_t until_ms);
bool hidden_has(struct hidden *h, uint64_t dir, const char *name,
		uint64_t now_ms);
/* It was made anew. */
void hidden_remove(struct hidden *h, uint64_t dir, const char *name);
