/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How one call identifies itself at its registry: which credential, which
 * scheme, which token, and what to try next when that was refused.  One
 * thread; nothing here is sent anywhere but to the registry's own origin and
 * the token server it was allowed to name.
 */
#include <stdbool.h>

#include "config/dockerauth.h"
#include "registry/host.h"
#include "registry/wire/exchange.h"
#include "registry/wire/lines.h"

struct auth {
	struct registry *r;
	const char *repository; /* "" for the host */
	bool never;		/* to learn what is asked for */
	bool changes;		/* never in nobody's name, if we have one */
	char *own, *scope;	/* what the call needs; with what was added */
	struct demand demand;

	bool has_credential;
	struct credential credential;
	bool anonymous;	   /* it is not to be used */
	bool looked_again; /* after it was refused */
	bool was_refused;
	char identity[17]; /* of what was refused */

	bool sent; /* with the last request */
	char *token;
	bool fresh;
	unsigned rounds;
};

int auth_init(struct auth *a, struct registry *r, const char *repository,
	      const char *scope, bool never);
void auth_done(struct auth *a);
/* The Authorization line for a request to the registry, if one is due. */
int auth_add(struct auth *a, struct wait *w, struct lines *l,
	     struct outcome *out);
/* After 401 or 403 from `url`: 1 try again, 0 that is its answer, or an
 * error. */
int auth_refused(struct auth *a, const char *url, const struct http_head *head,
		 struct wait *w, struct outcome *out);
/* A 400 that speaks of the token, which ECR Public says of one that has ended
 * (registries.md D.4): the next request gets a new one. */
bool auth_ended(struct auth *a, int status, const struct outcome *out);
/* Something else to try after a credential was refused: another one, else
 * none at all, if we only read. */
bool auth_other(struct auth *a, struct wait *w, bool is_credential);
/* The registry let us in. */
void auth_accepted(struct auth *a);
/* With a credential? */
bool auth_identified(const struct auth *a);
/* All challenges of a head. */
void auth_challenges(const struct http_head *head, struct challenges *ret);
const struct challenge *auth_pick(const struct challenges *c);
