/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trying again helps against what passes by itself: lost connections, slow or
 * overloaded servers.  It never helps against an answer that was meant (4xx,
 * a refused certificate), and only once against what is probably meant.
 */
#include "http/retry.h"

/* How many attempts, of the policy's, an outcome is worth. */
enum patience { PATIENCE_NONE = 1, PATIENCE_ONCE = 2, PATIENCE_ALL = 0 };

static enum patience patience_of_fail(enum http_fail fail)
{
	switch (fail) {
	case HTTP_FAIL_DNS_AGAIN:
	case HTTP_FAIL_UNREACHABLE:
	case HTTP_FAIL_CONNECT:
	case HTTP_FAIL_STALL:
	case HTTP_FAIL_RESET:
	case HTTP_FAIL_SHORT:
		return PATIENCE_ALL;
	case HTTP_FAIL_REFUSED:
	case HTTP_FAIL_PROTOCOL:
		return PATIENCE_ONCE;
	case HTTP_FAIL_NONE:
	case HTTP_FAIL_DNS:
	case HTTP_FAIL_TLS:
	case HTTP_FAIL_PEER:
	case HTTP_FAIL_TOO_LARGE:
	case HTTP_FAIL_CANCELLED:
	case HTTP_FAIL_LOCAL:
		return PATIENCE_NONE;
	}
	return PATIENCE_NONE;
}

static enum patience patience_of_status(int status)
{
	switch (status) {
	case 408: /* Request Timeout */
	case 425: /* Too Early */
	case 429: /* Too Many Requests */
	case 502: /* Bad Gateway */
	case 503: /* Service Unavailable */
	case 504: /* Gateway Timeout */
		return PATIENCE_ALL;
	default:
		break;
	}
	/* 520 and up are proxies speaking of the server behind them. */
	if (status >= 520 && status <= 599)
		return PATIENCE_ALL;
	return status >= 500 && status <= 599 ? PATIENCE_ONCE : PATIENCE_NONE;
}

/* Full jitter: anything up to base * 2^(attempt - 1), at most the cap. */
static uint64_t jitter(const struct retry_policy *p,
		       const struct retry_event *e)
{
	uint64_t top = p->base_ms;

	for (unsigned i = 1; i < e->attempt && top < p->cap_ms; i++)
		top *= 2;
	if (top > p->cap_ms)
		top = p->cap_ms;
	return e->random % (top + 1);
}

static bool patience_left(const struct retry_event *e)
{
	enum patience patience = e->fail != HTTP_FAIL_NONE
					 ? patience_of_fail(e->fail)
					 : patience_of_status(e->status);

	return patience == PATIENCE_ALL || e->attempt < (unsigned)patience;
}

enum retry_verdict retry_decide(const struct retry_policy *p,
				const struct retry_event *e,
				uint64_t *ret_delay_ms)
{
	uint64_t delay, wish_ms, spare;

	if (e->attempt >= p->attempts || e->left_ms == 0 || !patience_left(e))
		return RETRY_GIVE_UP;
	if (!e->has_retry_after || e->retry_after_s == 0) {
		/* Nearly out of budget: an early attempt beats none. */
		delay = jitter(p, e);
		*ret_delay_ms = delay < e->left_ms ? delay : e->left_ms / 2;
		return RETRY_AFTER;
	}
	if (e->retry_after_s > e->left_ms / 1000)
		return RETRY_GIVE_UP;
	wish_ms = e->retry_after_s * 1000;
	if (wish_ms >= e->left_ms)
		return RETRY_GIVE_UP;
	/* Everybody was told the same second: spread out after it. */
	spare = e->left_ms - wish_ms - 1;
	if (spare > p->base_ms)
		spare = p->base_ms;
	*ret_delay_ms = wish_ms + e->random % (spare + 1);
	return RETRY_AFTER;
}
