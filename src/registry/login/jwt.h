/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a token tells of itself, if it is a JWT (RFC 7519).  Nothing is
 * verified: it is only read for how long it is worth keeping.  Pure. */
#include <stdint.h>

/* Seconds from its beginning to its end; 0: it does not say, or is none.  Both
 * are by its maker's clock, which need not be ours. */
uint64_t jwt_life_s(const char *token);
