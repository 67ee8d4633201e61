/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One value of `auths` in a credentials file.  Pure. */
#include <stdbool.h>

#include "config/credential.h"

struct json;

/*
 * Kind NONE: nothing is written there ("ask the helper").  -EINVAL: it cannot
 * be used; `ret` may hold parts in any case.  Wipes the secrets in `o`.
 */
int authentry_parse(const struct json *o, struct credential *ret);
/* No control characters: may go into a header line. */
bool authentry_is_printable(const char *s);
