/* SPDX-License-Identifier: Apache-2.0 */
/* Life and death of the engine, and the way into it. */
#include "http/http.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "http/engine.h"
#include "util/auto.h"
#include "util/clock.h"

#define CONNECTIONS_MAX 64L /* kept open, in all */

const char *http_fail_name(enum http_fail f)
{
	switch (f) {
	case HTTP_FAIL_NONE:
		return "no failure";
	case HTTP_FAIL_REFUSED:
		return "connection refused";
	case HTTP_FAIL_DNS:
		return "name does not resolve";
	case HTTP_FAIL_DNS_AGAIN:
		return "name resolution failed";
	case HTTP_FAIL_UNREACHABLE:
		return "network unreachable";
	case HTTP_FAIL_CONNECT:
		return "connecting timed out";
	case HTTP_FAIL_TLS:
		return "TLS failure";
	case HTTP_FAIL_PEER:
		return "address not allowed";
	case HTTP_FAIL_STALL:
		return "stalled";
	case HTTP_FAIL_RESET:
		return "connection lost";
	case HTTP_FAIL_SHORT:
		return "body cut short";
	case HTTP_FAIL_PROTOCOL:
		return "malformed answer";
	case HTTP_FAIL_TOO_LARGE:
		return "body too large";
	case HTTP_FAIL_CANCELLED:
		return "cancelled";
	case HTTP_FAIL_LOCAL:
		return "request not possible";
	}
	return "unknown";
}

static void destroy(struct http *h)
{
	while (h->idle_len > 0)
		curl_easy_cleanup(h->idle[--h->idle_len]);
	curl_multi_cleanup(h->multi);
	proxy_env_done(&h->proxies);
	free(h->user_agent);
	pthread_mutex_destroy(&h->lock);
	free(h);
	curl_global_cleanup();
}

/* The process's signals are for its main thread. */
static int start_thread(struct http *h)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&h->thread, NULL, engine_run, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_setname_np(h->thread, "http");
	return -r;
}

static int prepare(struct http *h, const struct http_config *cfg)
{
	h->cfg = *cfg;
	if (cfg->user_agent) {
		h->user_agent = strdup(cfg->user_agent);
		if (!h->user_agent)
			return -ENOMEM;
	}
	h->cfg.user_agent = h->user_agent;
	h->multi = curl_multi_init();
	if (!h->multi)
		return -ENOMEM;
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING,
			  (long)CURLPIPE_MULTIPLEX);
	return proxy_env_load(&h->proxies);
}

int http_new(const struct http_config *cfg, struct http **ret)
{
	struct http *h;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	h = calloc(1, sizeof(*h));
	if (!h) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	list_init(&h->active);
	list_init(&h->queue);
	pthread_mutex_init(&h->lock, NULL);
	r = prepare(h, cfg);
	if (r == 0)
		r = start_thread(h);
	if (r < 0) {
		destroy(h);
		return r;
	}
	*ret = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	curl_multi_wakeup(h->multi);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	destroy(h);
}

static int choose_proxy(struct http *h, struct http_transfer *t)
{
	struct url u;
	int r = url_parse(t->url, &u);

	if (r < 0)
		return r;
	t->proxy = proxy_find(&h->proxies, &u);
	url_done(&u);
	return 0;
}

/* From here on the engine has a reference of its own. */
static bool hand_over(struct http *h, struct http_transfer *t)
{
	autolock(&t->lock);
	atomic_fetch_add(&t->refs, 1);
	t->detached = false;
	if (engine_post(h, t, TRANSFER_START))
		return true;
	t->detached = true;
	atomic_fetch_sub(&t->refs, 1);
	return false;
}

int http_start(struct http *h, const struct http_spec *spec,
	       struct http_transfer **ret)
{
	struct http_transfer *t = NULL;
	int r = transfer_new(h, spec, &t);

	if (r == 0)
		r = choose_proxy(h, t);
	if (!t)
		return r;
	if (r == -EINVAL) {
		transfer_finish(t, HTTP_FAIL_LOCAL, "unusable request");
	} else if (r < 0) {
		transfer_unref(t);
		return r;
	} else if (h->cfg.offline) {
		transfer_finish(t, HTTP_FAIL_LOCAL, "offline");
	} else if (!hand_over(h, t)) {
		transfer_finish(t, HTTP_FAIL_CANCELLED, "shutting down");
	}
	*ret = t;
	return 0;
}

void http_forget_connections(struct http *h)
{
	autolock(&h->lock);
	h->forgotten_ms = clock_ms();
}
