/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Answers of credential helpers, so that a helper is not run for each request:
 * what it gave is good for 10 minutes; "nothing" and failures for 5 seconds.
 * However many ask for one server at once, the helper runs once.  Any thread;
 * waits for the helper (10 s at most).
 */
#include <stdint.h>

#include "config/credential.h"

#define HELPERCACHE_GOOD_MS 600000
#define HELPERCACHE_BAD_MS 5000

struct helpercache;
int helpercache_new(struct helpercache **ret);
void helpercache_free(struct helpercache *c);
/* As credhelper_get; `now` is clock_ms(). */
int helpercache_get(struct helpercache *c, const char *name, const char *server,
		    uint64_t now, struct credential *ret);
/* Ask again next time, whatever is known or being asked. */
void helpercache_forget(struct helpercache *c);
