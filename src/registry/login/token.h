/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bearer tokens (registries.md C.1-C.3): which token server a registry may
 * name, how it is asked, what it answers, and the cache: one token per
 * registry origin, realm, service, scope set and identity, asked for once
 * however many wait, renewed a little before it ends.  Nothing here is logged.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/dockerauth.h"
#include "http/http.h"
#include "registry/wire/exchange.h"
#include "util/str.h"

#define TOKENS_MAX 512
#define TOKEN_MAX 16384 /* bytes of a token: it has to fit a header */
#define TOKEN_SCOPE_MAX 4096
#define TOKEN_ANSWER_MAX ((size_t)1 << 20)

/*
 * May the registry at this URL name this realm?  Its own host, its registrable
 * domain, a known pair, if it is local itself an address as local, or a host
 * whose very name is on the allow list (which may be NULL).  *ret is absolute.
 * -EACCES with the reason.
 */
struct allow;
int token_judge_realm(const char *registry_url, const char *realm,
		      enum http_peer peer, struct allow *allow, char **ret,
		      const char **ret_why);
/* The union of two blank-separated scope lists (either may be NULL), sorted.
 * -EFBIG. */
int token_merge_scopes(const char *a, const char *b, char **ret);
/* 0 with the token (to be freed) and its life; -EBADMSG. */
int token_parse(const char *body, size_t len, char **ret, uint64_t *ret_life_s);
/* Overwrites and frees; NULL is fine. */
void token_forget(char *secret);

struct token_want {
	const char *origin;  /* of the registry, "https://h:5000" */
	const char *realm;   /* judged, absolute */
	const char *service; /* or NULL */
	const char *scope;   /* merged; "" for none */
	const struct credential *credential; /* kind NONE: anonymous */
	enum http_peer peer; /* of the registry: the realm may not be nearer */
};

/* One request, nothing kept; as tokens_get, which asks by it. */
int token_ask(struct wire *wire, const struct token_want *want, struct wait *w,
	      char **ret, uint64_t *ret_life_s, struct outcome *out);

struct tokens;
int tokens_new(struct tokens **ret);
void tokens_free(struct tokens *t);
/*
 * A copy of a valid token (token_forget).  *ret_fresh: it was asked for just
 * now.  Failures are out->error; -EACCES with out->refused: the server does
 * not accept the credential.
 */
int tokens_get(struct tokens *t, struct wire *wire,
	       const struct token_want *want, struct wait *w, char **ret,
	       bool *ret_fresh, struct outcome *out);
/* A registry did not accept this one. */
void tokens_drop(struct tokens *t, const char *value);

struct token_stats {
	size_t held;	 /* valid ones */
	uint64_t age_ms; /* of the newest, and how long it is still good */
	uint64_t left_ms;
};
void tokens_stats(struct tokens *t, struct token_stats *ret);
