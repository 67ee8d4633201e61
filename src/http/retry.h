/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * When to try again: pure policy (faults.md 3).  Exponential with full jitter,
 * 0.5 * 2^n s, at most 30 s; Retry-After is honoured up to what is left of the
 * caller's budget, beyond that the answer is to give up at once.
 */
#include <stdbool.h>
#include <stdint.h>

#include "http/http.h"

struct retry_policy {
	unsigned attempts; /* in all, default 5 */
	unsigned base_ms;  /* 500 */
	unsigned cap_ms;   /* 30000 */
};

struct retry_event {
	unsigned attempt;    /* 1 = the first has just failed */
	int status;	     /* HTTP status, 0 if none came */
	enum http_fail fail; /* when status is 0, or the body broke off */
	bool has_retry_after;
	uint64_t retry_after_s;
	uint64_t left_ms; /* of the caller's budget */
	uint64_t random;  /* any random number */
};

enum retry_verdict { RETRY_GIVE_UP, RETRY_AFTER };
/* RETRY_AFTER: *ret_delay_ms is how long to sleep before the next attempt. */
enum retry_verdict retry_decide(const struct retry_policy *p,
				const struct retry_event *e,
				uint64_t *ret_delay_ms);
