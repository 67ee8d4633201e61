/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Log-ins that vendors' users have in their environment and that need no
 * network: written as text of containers' auth.json, so that one parser reads
 * them all.  The text holds a secret: the caller wipes it.
 */
#include <stddef.h>

#include "util/str.h"

/* The key of what is for every host that matches a list. */
#define AUTHENV_ANY "*"

extern const char *const authenv_azure_hosts[], *const authenv_google_hosts[];

/* 0 and nothing added: the variables are not there. */
int authenv_gitlab(struct str *ret);
int authenv_azure(struct str *ret);
/* A key file of Google's.  -EBADMSG: *ret_reason is the end of a sentence. */
int authenv_google(const char *key, size_t len, struct str *ret,
		   const char **ret_reason);
