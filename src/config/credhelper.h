/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * docker-credential-NAME get: run without a shell, cwd /, own process group,
 * closed descriptors, 64 KiB and 10 s at most, a fixed PATH for root.
 */
#include "config/credential.h"

/* NAME must match [A-Za-z0-9_.-]+.  0 (kind NONE: "not found in native
 * keychain"), -EACCES with one log line for all else. */
int credhelper_get(const char *name, const char *server,
		   struct credential *ret);
/* The same, with another limit than 10 s. */
int credhelper_get_within(const char *name, const char *server,
			  unsigned int budget_ms, struct credential *ret);
