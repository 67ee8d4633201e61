/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Hashes a stream in a thread of its own, so that whoever makes the stream can
 * go on: fill the buffer that hasher_buffer lends, give it, ask for the next.
 * Memory: HASHER_BUFFERS buffers.  One thread feeds it.
 */
#include "util/hash.h"

#define HASHER_BUFFER_BYTES ((size_t)1 << 20)
#define HASHER_BUFFERS 4

struct hasher;

int hasher_new(enum hash_alg alg, struct hasher **ret);
/* HASHER_BUFFER_BYTES of room; waits for one to be free. */
uint8_t *hasher_buffer(struct hasher *h);
/* Hands over the first len bytes of the buffer lent last, which stay readable
 * until the next hasher_buffer. */
void hasher_give(struct hasher *h, size_t len);
/* Waits until all is hashed. */
void hasher_final(struct hasher *h, uint8_t out[HASH_MAX]);
void hasher_free(struct hasher *h); /* NULL is fine */
