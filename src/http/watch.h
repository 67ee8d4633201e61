/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How long one transfer may still take to get anywhere.  Pure. */
#include "http/http.h"

#define WATCH_FLOOR 1024 /* bytes per second that count as moving */

enum watch_phase { WATCH_CONNECT, WATCH_SEND, WATCH_HEAD, WATCH_BODY };

struct watch {
	const struct http_config *times; /* 0 ms: no limit */
	bool prompt;			 /* struct http_spec */
	unsigned answer_ms;		 /* likewise */
	enum watch_phase phase;
	uint64_t since_ms; /* the phase began */
	uint64_t limit_ms; /* overdue from then on */
	uint64_t counted;  /* bytes of this phase that were credited */
};

void watch_enter(struct watch *w, enum watch_phase phase, uint64_t now_ms);
/* WATCH_CONNECT: the TCP connection stands, TLS is under way. */
void watch_tcp_up(struct watch *w);
/* WATCH_SEND, WATCH_BODY: `total` bytes have been moved in this phase. */
void watch_progress(struct watch *w, uint64_t total, uint64_t now_ms);
/* Nothing can move because our own side holds it up. */
void watch_excuse(struct watch *w, uint64_t total, uint64_t now_ms);
