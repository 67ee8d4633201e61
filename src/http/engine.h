/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The thread that owns libcurl's handles, and what it shares with others. */
#include <curl/curl.h>
#include <pthread.h>

#include "http/proxy.h"
#include "http/transfer.h"

#define ENGINE_IDLE_MAX 32

struct http {
	struct http_config cfg;
	char *user_agent;
	struct proxy_env proxies;
	CURLM *multi;
	pthread_t thread;

	/* Engine thread only. */
	struct list_node active;
	CURL *idle[ENGINE_IDLE_MAX];
	size_t idle_len;

	pthread_mutex_t lock;
	/* Protected by lock. */
	struct list_node queue;
	bool stopping;
	uint64_t forgotten_ms; /* older connections are not used; 0: never */
};

/* The thread's start routine; returns once h->stopping is seen, with all
 * transfers ended. */
void *engine_run(void *h);
/* Asks the engine, t->lock being held.  False: it is stopping (for a start; a
 * transfer that is not detached will hear of it). */
bool engine_post(struct http *h, struct http_transfer *t,
		 enum transfer_want want);
