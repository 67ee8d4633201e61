/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A user's secret for one registry, and how it is to be used. */
#include <stddef.h>

enum credential_kind {
	CREDENTIAL_NONE,
	CREDENTIAL_BASIC,	   /* user + secret */
	CREDENTIAL_IDENTITY_TOKEN, /* secret: OAuth2 refresh token */
	CREDENTIAL_REGISTRY_TOKEN, /* secret: sent as Bearer as it is */
};

struct credential {
	enum credential_kind kind;
	char *user;   /* or NULL */
	char *secret; /* or NULL; wiped by credential_done */
};
void credential_done(struct credential *c);
int credential_copy(const struct credential *c, struct credential *ret);
/* A key for caches: 16 hex digits that do not reveal the secret; changes with
 * user and secret; "anonymous" for NONE. */
void credential_identity(const struct credential *c, char out[17]);
#define autocredential                                                         \
	__attribute__((cleanup(credential_done))) struct credential
/* Overwrites and frees a string that may be NULL. */
void credential_wipe(char *s);
