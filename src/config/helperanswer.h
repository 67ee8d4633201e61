/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a credential helper printed (registries.md C.5).  Pure. */
#include <stddef.h>

#include "config/credential.h"

#define HELPER_ANSWER_MAX ((size_t)64 << 10)

/*
 * `answer` is NUL-terminated behind `len`, and changed.  0 (kind NONE: it has
 * none), -ENOMEM, or -EACCES with what is wrong, which points into `answer` or
 * to a constant.
 */
int helperanswer_parse(char *answer, size_t len, int exit_status,
		       struct credential *ret, const char **ret_reason);
