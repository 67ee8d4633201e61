/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The keys of an AWS account where its tools keep them: the variables
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, else a
 * profile ($AWS_PROFILE, "default") of the shared credentials file
 * ($AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials).  The file is examined at
 * each access and read again when it changed.  Any thread; no network.
 */
#include <stddef.h>

#include "config/credential.h"

#define AWSCRED_FILE_MAX ((size_t)1 << 20)
#define AWSCRED_VALUE_MAX 8192 /* bytes of a key: it has to fit a header */

struct awskeys {
	char *id, *secret;
	char *session; /* of temporary keys; or NULL */
};
void awskeys_done(struct awskeys *k); /* wipes */
#define autoawskeys __attribute__((cleanup(awskeys_done))) struct awskeys

struct awscred;
int awscred_new(struct awscred **ret);
void awscred_free(struct awscred *a); /* NULL is fine */
/* -ENOENT: there are none.  -EACCES: there are, but they cannot be used;
 * logged with the reason, once. */
int awscred_find(struct awscred *a, struct awskeys *ret);

/*
 * A profile of a credentials file; `where` names the file in warnings about
 * its lines.  -ENOENT: no such profile; -EINVAL: *ret_reason is the end of a
 * sentence about it.
 */
int awscred_parse(const char *text, size_t len, const char *profile,
		  const char *where, struct awskeys *ret,
		  const char **ret_reason);
