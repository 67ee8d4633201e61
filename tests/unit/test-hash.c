/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "util/encode.h"
#include "util/hash.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void assert_hex(const uint8_t *bytes, size_t n, const char *hex)
{
	char text[2 * HASH_MAX + 1];

	hex_encode(bytes, n, text);
	assert_string_equal(text, hex);
}

/* FIPS 180 examples. */
static void known_digests(void **state)
{
	static const struct {
		enum hash_alg alg;
		const char *in, *digest;
	} t[] = {
		{HASH_SHA256, "",
		 "e3b0c44298fc1c149afbf4c8996fb924"
		 "27ae41e4649b934ca495991b7852b855"},
		{HASH_SHA256, "abc",
		 "ba7816bf8f01cfea414140de5dae2223"
		 "b00361a396177a9cb410ff61f20015ad"},
		{HASH_SHA512, "",
		 "cf83e1357eefb8bdf1542850d66d8007"
		 "d620e4050b5715dc83f4a921d36ce9ce"
		 "47d0d13c5d85f2b0ff8318d2877eec2f"
		 "63b931bd47417a81a538327af927da3e"},
		{HASH_SHA512, "abc",
		 "ddaf35a193617abacc417349ae204131"
		 "12e6fa4e89a97ea20a9eeee64b55d39a"
		 "2192992a274fc1a836ba3c23a3feebbd"
		 "454d4423643ce80e2a9ac94fa54ca49f"},
	};
	uint8_t out[HASH_MAX];

	for (size_t i = 0; i < COUNT(t); i++) {
		hash_once(t[i].alg, t[i].in, strlen(t[i].in), out);
		assert_hex(out, hash_size(t[i].alg), t[i].digest);
	}
}

static void streams(void **state)
{
	static const enum hash_alg algs[] = {HASH_SHA256, HASH_SHA512};
	uint8_t data[1000], want[HASH_MAX], got[HASH_MAX];

	srand(1);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand();
	for (size_t a = 0; a < COUNT(algs); a++) {
		struct hash h;
		size_t done = 0;

		hash_once(algs[a], data, sizeof(data), want);
		hash_init(&h, algs[a]);
		for (size_t step = 0; done < sizeof(data);
		     step = step * 2 + 1) {
			if (step > sizeof(data) - done)
				step = sizeof(data) - done;
			hash_update(&h, data + done, step);
			done += step;
			assert_int_equal(h.bytes, done);
		}
		hash_final(&h, got);
		assert_memory_equal(got, want, hash_size(algs[a]));
	}
}

/* FIPS 180-4 5.3: where the chaining starts, in the order of the digest. */
static void first_state(void **state)
{
	uint8_t out[HASH_STATE_MAX];
	struct hash h;

	hash_init(&h, HASH_SHA256);
	hash_get_state(&h, out);
	assert_hex(out, 32,
		   "6a09e667bb67ae853c6ef372a54ff53a"
		   "510e527f9b05688c1f83d9ab5be0cd19");
	hash_init(&h, HASH_SHA512);
	hash_get_state(&h, out);
	assert_hex(out, 64,
		   "6a09e667f3bcc908bb67ae8584caa73b"
		   "3c6ef372fe94f82ba54ff53a5f1d36f1"
		   "510e527fade682d19b05688c2b3e6c1f"
		   "1f83d9abfb41bd6b5be0cd19137e2179");
}

static void resumes(void **state)
{
	static const enum hash_alg algs[] = {HASH_SHA256, HASH_SHA512};
	static uint8_t data[4096 + 37];
	uint8_t want[HASH_MAX], got[HASH_MAX], mid[HASH_STATE_MAX];

	srand(2);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand();
	for (size_t a = 0; a < COUNT(algs); a++) {
		size_t block = hash_block_size(algs[a]);

		hash_once(algs[a], data, sizeof(data), want);
		for (size_t at = 0; at <= 4096; at += block) {
			struct hash h, again;

			hash_init(&h, algs[a]);
			hash_update(&h, data, at);
			hash_get_state(&h, mid);
			memset(&again, 0xee, sizeof(again));
			hash_resume(&again, algs[a], at, mid);
			hash_update(&again, data + at, sizeof(data) - at);
			assert_int_equal(again.bytes, sizeof(data));
			hash_final(&again, got);
			assert_memory_equal(got, want, hash_size(algs[a]));
		}
	}
}

/*
 * The length is part of the hash, also what of it is beyond 2^32 bits (SHA-256)
 * or 2^64 bits (SHA-512).
 */
static void resumes_far_away(void **state)
{
	static const uint64_t far[] = {1ULL << 29, 1ULL << 40, 1ULL << 61};
	uint8_t a[HASH_MAX], b[HASH_MAX], mid[HASH_STATE_MAX] = {1, 2, 3};
	struct hash h;

	for (size_t i = 0; i < COUNT(far); i++) {
		for (int alg = HASH_SHA256; alg <= HASH_SHA512; alg++) {
			hash_resume(&h, (enum hash_alg)alg, far[i], mid);
			hash_final(&h, a);
			hash_resume(&h, (enum hash_alg)alg, 0, mid);
			hash_final(&h, b);
			/* 2^61 bytes are 2^64 bits: 0 again in SHA-256. */
			if (alg == HASH_SHA256 && i == 2)
				assert_memory_equal(a, b, 32);
			else
				assert_memory_not_equal(a, b, 32);
		}
	}
}

/* RFC 4231, cases 1, 2, 4 and 6; a key of one block; nothing at all. */
static void hmac(void **state)
{
	uint8_t key[131], out[32], data[50];

	memset(key, 0x0b, 20);
	hmac_sha256(key, 20, "Hi There", 8, out);
	assert_hex(out, 32,
		   "b0344c61d8db38535ca8afceaf0bf12b"
		   "881dc200c9833da726e9376c2e32cff7");
	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
	assert_hex(out, 32,
		   "5bdcc146bf60754e6a042426089575c7"
		   "5a003f089d2739839dec58b964ec3843");
	for (uint8_t i = 0; i < 25; i++)
		key[i] = (uint8_t)(i + 1);
	memset(data, 0xcd, sizeof(data));
	hmac_sha256(key, 25, data, 50, out);
	assert_hex(out, 32,
		   "82558a389a443c0ea4cc819899f2083a"
		   "85f0faa3e578f8077a2e3ff46729665b");
	memset(key, 0xaa, sizeof(key));
	hmac_sha256(key, sizeof(key),
		    "Test Using Larger Than Block-Size Key - Hash Key First",
		    54, out);
	assert_hex(out, 32,
		   "60e431591ee0b67f0d8a26aacbf5b77f"
		   "8e0bc6213728c5140546040f0ee37f54");
	hmac_sha256(key, 64, "block", 5, out);
	assert_hex(out, 32,
		   "17fdf183abeadb3f439b70ca7d86f064"
		   "900bd9e62791d5a5b0e6e3cd8db333b1");
	hmac_sha256(NULL, 0, NULL, 0, out);
	assert_hex(out, 32,
		   "b613679a0814d9ec772f95d778c35fc5"
		   "ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests),    cmocka_unit_test(streams),
		cmocka_unit_test(first_state),	    cmocka_unit_test(resumes),
		cmocka_unit_test(resumes_far_away), cmocka_unit_test(hmac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
