/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The credential for a repository: what dockerauth.h finds, and where that is
 * nothing, the log-in that a vendor's users have in their environment, as a
 * const table.  A vendor is one more file and one more row.  What a row asked
 * for is kept per registry and renewed before it ends.  Any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "config/credential.h"
#include "registry/registry.h"
#include "registry/wire/exchange.h"

struct login_row {
	const char *name;	  /* for people: "the AWS environment" */
	const char *const *hosts; /* fnmatch(3), ended by NULL; NULL: any */
	/*
	 * What is there for this registry, without a network; kind NONE:
	 * nothing. It is who we are for caches, so it must not change when a
	 * token is renewed.  -EACCES: there, but unusable; logged, with the
	 * reason.
	 */
	int (*have)(const struct registry *r, struct credential *ret);
	/*
	 * Changes that for what the registry takes and says how long it is
	 * good.  NULL: the registry takes it as it is.  Failures are
	 * out->error (exchange.h), recorded by the caller; -EACCES: refused.
	 */
	int (*ask)(struct registry *r, const struct credential *have,
		   struct wait *w, struct credential *ret, uint64_t *ret_life_s,
		   struct outcome *out);
};

extern const struct login_row login_azure, login_ecr;

/* May wait for the vendor.  Kind NONE: there is none. */
int login_find(struct registry *r, const char *repository, struct wait *w,
	       struct credential *ret, struct outcome *out);
/* As whom login_find would come: no network.  A row that has to ask gives what
 * it would ask with.  A failure is recorded. */
int login_have(struct registry *r, const char *repository,
	       struct credential *ret);
/* Where that is from, for people: a file's, a helper's or a row's name; NULL:
 * there is nothing.  May run a helper. */
int login_where(struct registry *r, const char *repository, char **ret);
/* What login_find gave was refused: look and ask again next time, but not all
 * the time. */
void login_forget(struct registry *r);

/* What a row has given, in struct registry, protected by its lock. */
struct login_kept {
	struct credential given; /* NONE: nothing */
	char identity[17];	 /* of what it was asked with */
	uint64_t renew_ms;
	bool asking;	       /* somebody is at it: `learned` tells the end */
	struct outcome failed; /* error 0: it did not */
};
void login_kept_done(struct login_kept *k);
