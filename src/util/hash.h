/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Streaming SHA-256 and SHA-512, whose inner (chaining) state can be taken
 * and resumed at block boundaries.  That state, kept per chunk of a verified
 * object, later proves any one chunk: the compression function run from state
 * i over chunk i must give state i+1, and forging that is a second preimage.
 * Not thread safe.
 */
#include <stddef.h>
#include <stdint.h>

enum hash_alg { HASH_SHA256, HASH_SHA512 };
#define HASH_MAX 64	  /* bytes of the longest digest */
#define HASH_STATE_MAX 64 /* bytes of the longest chaining state */

size_t hash_size(enum hash_alg alg);	   /* 32, 64: digest = state size */
size_t hash_block_size(enum hash_alg alg); /* 64, 128 */

struct hash {
	enum hash_alg alg;
	uint64_t bytes;
	union {
		uint64_t align;
		unsigned char space[256];
	} ctx; /* private: OpenSSL's context */
};

void hash_init(struct hash *h, enum hash_alg alg);
void hash_update(struct hash *h, const void *bytes, size_t n);
void hash_final(struct hash *h, uint8_t out[HASH_MAX]);
/* Only when h->bytes is a multiple of the block size (asserted). */
void hash_get_state(const struct hash *h, uint8_t out[HASH_STATE_MAX]);
/* Goes on as if `bytes` bytes (a multiple of the block) had been hashed. */
void hash_resume(struct hash *h, enum hash_alg alg, uint64_t bytes,
		 const uint8_t state[HASH_STATE_MAX]);

void hash_once(enum hash_alg alg, const void *bytes, size_t n,
	       uint8_t out[HASH_MAX]);
void hmac_sha256(const void *key, size_t key_len, const void *msg, size_t n,
		 uint8_t out[32]);
