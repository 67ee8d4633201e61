/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stalls are measured like a leaking bucket: time drains patience, bytes
 * refill it at WATCH_FLOOR, up to stall_ms.  So silence ends a transfer after
 * exactly stall_ms, and a trickle below the floor ends it, too, only later.
 */
#include "http/watch.h"

static uint64_t after(uint64_t now_ms, unsigned ms)
{
	return ms ? now_ms + ms : UINT64_MAX;
}

static unsigned stall_ms(const struct watch *w)
{
	return w->prompt ? w->times->first_byte_ms : w->times->stall_ms;
}

void watch_enter(struct watch *w, enum watch_phase phase, uint64_t now_ms)
{
	w->phase = phase;
	w->since_ms = now_ms;
	w->counted = 0;
	switch (phase) {
	case WATCH_CONNECT:
		w->limit_ms = after(now_ms, w->times->connect_ms);
		break;
	case WATCH_HEAD:
		w->limit_ms =
			after(now_ms, w->answer_ms ? w->answer_ms
						   : w->times->first_byte_ms);
		break;
	case WATCH_SEND:
	case WATCH_BODY:
		w->limit_ms = after(now_ms, stall_ms(w));
		break;
	}
}

void watch_tcp_up(struct watch *w)
{
	w->limit_ms = after(w->since_ms, w->times->tls_ms);
}

void watch_progress(struct watch *w, uint64_t total, uint64_t now_ms)
{
	uint64_t full = after(now_ms, stall_ms(w));
	uint64_t more = (total - w->counted) * 1000 / WATCH_FLOOR;

	/* What is less than a millisecond's worth stays to be credited. */
	if (more == 0)
		return;
	w->counted = total;
	if (full < w->limit_ms || more >= full - w->limit_ms)
		w->limit_ms = full;
	else
		w->limit_ms += more;
}

void watch_excuse(struct watch *w, uint64_t total, uint64_t now_ms)
{
	w->counted = total;
	w->limit_ms = after(now_ms, stall_ms(w));
}
