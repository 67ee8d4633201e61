/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets live in few places and are overwritten before they are freed, so
 * that no core file or reused page shows them. */
#include "config/credential.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/encode.h"
#include "util/hash.h"
#include "util/str.h"

void credential_wipe(char *s)
{
	if (!s)
		return;
	explicit_bzero(s, strlen(s));
	free(s);
}

void credential_done(struct credential *c)
{
	free(c->user);
	credential_wipe(c->secret);
	*c = (struct credential){.kind = CREDENTIAL_NONE};
}

int credential_copy(const struct credential *c, struct credential *ret)
{
	autocredential copy = {.kind = c->kind};

	copy.user = c->user ? strdup(c->user) : NULL;
	copy.secret = c->secret ? strdup(c->secret) : NULL;
	if ((c->user && !copy.user) || (c->secret && !copy.secret))
		return -ENOMEM;
	*ret = copy;
	copy = (struct credential){.kind = CREDENTIAL_NONE};
	return 0;
}

void credential_identity(const struct credential *c, char out[17])
{
	static const char purpose[] = "registryfs credential identity";
	uint8_t key[32], mac[32];
	const char *secret = c->secret ? c->secret : "";
	const char *user = c->user ? c->user : "";
	struct hash h;
	uint8_t digest[HASH_MAX], kind = (uint8_t)c->kind;

	if (c->kind == CREDENTIAL_NONE) {
		memcpy(out, "anonymous", sizeof("anonymous"));
		return;
	}
	/* Each part is hashed alone: "ab"+"c" must differ from "a"+"bc". */
	hash_init(&h, HASH_SHA256);
	hash_update(&h, &kind, sizeof(kind));
	hash_update(&h, user, strlen(user) + 1);
	hash_final(&h, digest);
	hmac_sha256(purpose, sizeof(purpose), digest, 32, key);
	hmac_sha256(key, sizeof(key), secret, strlen(secret), mac);
	hex_encode(mac, 8, out);
	explicit_bzero(mac, sizeof(mac));
}
