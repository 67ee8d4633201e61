/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Amazon's API beside its registries (registries.md D.4): the password that
 * they take, repositories that a push finds missing, tags that they do not
 * delete otherwise; all in the name of the user's AWS keys (config/awscred.h).
 * A registry that is none of Amazon's has no `struct ecr`.  Any thread; waits
 * for the network.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/awscred.h"
#include "registry/login/ecr_host.h"
#include "registry/registry.h"
#include "registry/wire/exchange.h"

struct json;
struct map;

struct ecr {
	struct ecr_place place; /* constant */
	pthread_mutex_t lock;	/* protects all below */
	pthread_cond_t changed;
	char identity[17]; /* of keys whose account is known */
	char account[ECR_ACCOUNT_LEN + 1];
	struct map *making; /* repository -> what became of it */
};

/* NULL in *ret: the host is none of Amazon's. */
int ecr_new(const char *host, struct ecr **ret);
void ecr_free(struct ecr *e); /* NULL is fine */

/* -ENOENT: there are none, or nobody knows any.  -EACCES: logged. */
int ecr_keys(const struct registry *r, struct awskeys *ret);

struct ecr_ask {
	const struct awskeys *keys;
	const char *action; /* "CreateRepository" */
	const char *body;   /* JSON */
};
/*
 * One request of the API with its attempts.  Failures are out->error, not
 * recorded; out->code is the exception's name, as in "AccessDeniedException".
 * The answer may hold a secret, see ecr_answer_done.
 */
int ecr_call(struct registry *r, const struct ecr_ask *ask, struct wait *w,
	     struct json **ret, struct outcome *out);
/* -errno of an exception. */
int ecr_error(const char *code, int status);

/* GetAuthorizationToken: a password that is good for *ret_life_s. */
int ecr_authorize(struct registry *r, const struct awskeys *keys,
		  struct wait *w, struct credential *ret, uint64_t *ret_life_s,
		  struct outcome *out);
/* What it answered.  -EBADMSG. */
int ecr_read_token(const struct json *answer, int64_t now,
		   struct credential *ret, uint64_t *ret_life_s,
		   char ret_account[ECR_ACCOUNT_LEN + 1]);
/* Are these keys those of the registry's own account?  0, or out->error. */
int ecr_check_account(struct registry *r, const struct awskeys *keys,
		      struct wait *w, struct outcome *out);

/*
 * A push was refused because the repository is not there (`out` says so):
 * 1: it is there now, ask again; 0: no, and out->text says why as well; or
 * -EINTR, -ENOMEM.  Many who ask at once get it made once.  `attempt` counts
 * from 1: what was made may take a moment to be seen.
 */
int ecr_make_repository(struct registry *r, const char *repository,
			unsigned attempt, struct wait *w, struct outcome *out);

/*
 * Removes a tag, and only that, or a manifest with all its tags, if `tag` is
 * NULL.  0: it is gone.  -EOPNOTSUPP: not in our power, nothing was asked;
 * else out->error.
 */
int ecr_remove(struct registry *r, const char *repository, const char *tag,
	       const char *digest, struct wait *w, struct outcome *out);
