/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One file out of the system's CAs and some more: a TLS library takes one.
 * Made in a private temporary directory when first needed; another one when
 * any of the files changed.  Any thread.
 */
#include "config/certs.h"

struct cabundle;
int cabundle_new(struct cabundle **ret);
void cabundle_free(struct cabundle *b); /* removes the files */
/* -EINVAL: a file cannot be used, ret_why says which.  Caller frees *ret_path;
 * the file stays until cabundle_free. */
int cabundle_get(struct cabundle *b, const struct string_list *cas,
		 char **ret_path, char ret_why[CERTS_WHY_MAX]);
