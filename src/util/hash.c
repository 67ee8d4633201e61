/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's low-level contexts are used because EVP does not let the chaining
 * state out.  They are the same assembly code underneath.  The contexts live
 * in struct hash as bytes and are copied when their fields are needed, so
 * OpenSSL's headers stay in here.
 */
#define OPENSSL_API_COMPAT 0x10101000L
#include "util/hash.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(((struct hash *)0)->ctx),
	       "struct hash has room for SHA-256");
_Static_assert(sizeof(SHA512_CTX) <= sizeof(((struct hash *)0)->ctx),
	       "struct hash has room for SHA-512");
_Static_assert(_Alignof(SHA512_CTX) <= _Alignof(uint64_t), "alignment");

static SHA256_CTX *ctx256(struct hash *h)
{
	return (SHA256_CTX *)(void *)&h->ctx;
}

static SHA512_CTX *ctx512(struct hash *h)
{
	return (SHA512_CTX *)(void *)&h->ctx;
}

size_t hash_size(enum hash_alg alg)
{
	return alg == HASH_SHA512 ? 64 : 32;
}

size_t hash_block_size(enum hash_alg alg)
{
	return alg == HASH_SHA512 ? 128 : 64;
}

void hash_init(struct hash *h, enum hash_alg alg)
{
	h->alg = alg;
	h->bytes = 0;
	if (alg == HASH_SHA512)
		SHA512_Init(ctx512(h));
	else
		SHA256_Init(ctx256(h));
}

void hash_update(struct hash *h, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	h->bytes += n;
	if (h->alg == HASH_SHA512)
		SHA512_Update(ctx512(h), bytes, n);
	else
		SHA256_Update(ctx256(h), bytes, n);
}

void hash_final(struct hash *h, uint8_t out[HASH_MAX])
{
	if (h->alg == HASH_SHA512)
		SHA512_Final(out, ctx512(h));
	else
		SHA256_Final(out, ctx256(h));
}

/* Big-endian, as the digests themselves are. */
static void put_word(uint8_t *out, uint64_t word, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(word >> (8 * (n - 1 - i)));
}

static uint64_t get_word(const uint8_t *in, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word = word << 8 | in[i];
	return word;
}

void hash_get_state(const struct hash *h, uint8_t out[HASH_STATE_MAX])
{
	SHA256_CTX c256;
	SHA512_CTX c512;

	assert(h->bytes % hash_block_size(h->alg) == 0);
	if (h->alg == HASH_SHA512) {
		memcpy(&c512, &h->ctx, sizeof(c512));
		for (size_t i = 0; i < 8; i++)
			put_word(out + 8 * i, c512.h[i], 8);
	} else {
		memcpy(&c256, &h->ctx, sizeof(c256));
		for (size_t i = 0; i < 8; i++)
			put_word(out + 4 * i, c256.h[i], 4);
	}
}

void hash_resume(struct hash *h, enum hash_alg alg, uint64_t bytes,
		 const uint8_t state[HASH_STATE_MAX])
{
	SHA256_CTX c256;
	SHA512_CTX c512;

	assert(bytes % hash_block_size(alg) == 0);
	hash_init(h, alg);
	h->bytes = bytes;
	/* Nh:Nl is the length in bits. */
	if (alg == HASH_SHA512) {
		memcpy(&c512, &h->ctx, sizeof(c512));
		for (size_t i = 0; i < 8; i++)
			c512.h[i] = get_word(state + 8 * i, 8);
		c512.Nl = bytes << 3;
		c512.Nh = bytes >> 61;
		memcpy(&h->ctx, &c512, sizeof(c512));
	} else {
		memcpy(&c256, &h->ctx, sizeof(c256));
		for (size_t i = 0; i < 8; i++)
			c256.h[i] = (SHA_LONG)get_word(state + 4 * i, 4);
		c256.Nl = (SHA_LONG)(bytes << 3);
		c256.Nh = (SHA_LONG)(bytes >> 29);
		memcpy(&h->ctx, &c256, sizeof(c256));
	}
}

void hash_once(enum hash_alg alg, const void *bytes, size_t n,
	       uint8_t out[HASH_MAX])
{
	struct hash h;

	hash_init(&h, alg);
	hash_update(&h, bytes, n);
	hash_final(&h, out);
}

/* RFC 2104; spelled out because OpenSSL's may fail for want of memory. */
void hmac_sha256(const void *key, size_t key_len, const void *msg, size_t n,
		 uint8_t out[32])
{
	uint8_t pad[64] = {0}, inner[HASH_MAX];
	struct hash h;

	if (key_len > sizeof(pad))
		hash_once(HASH_SHA256, key, key_len, pad);
	else if (key_len)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	hash_init(&h, HASH_SHA256);
	hash_update(&h, pad, sizeof(pad));
	hash_update(&h, msg, n);
	hash_final(&h, inner);

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash_init(&h, HASH_SHA256);
	hash_update(&h, pad, sizeof(pad));
	hash_update(&h, inner, 32);
	hash_final(&h, inner);
	memcpy(out, inner, 32);
	OPENSSL_cleanse(pad, sizeof(pad));
	OPENSSL_cleanse(&h, sizeof(h));
}
