/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Header lines of a request on their way to the engine; overwritten when they
 * are done with, for some hold secrets. */
#include <stddef.h>

#include "config/dockerauth.h"

#define LINES_MAX 32

struct lines {
	char *v[LINES_MAX + 1]; /* "Name: value", NULL at the end */
	size_t len;
};

/* -EINVAL: control characters in the value; -E2BIG. */
int lines_add(struct lines *l, const char *name, const char *value);
int lines_add_basic(struct lines *l, const struct credential *c);
const char *const *lines_list(const struct lines *l);
void lines_done(struct lines *l);
/* Adds NAME=VALUE to a form (application/x-www-form-urlencoded). */
struct str;
int form_add(struct str *form, const char *name, const char *value);
