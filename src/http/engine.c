/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's thread.  It takes messages, lets libcurl move bytes, collects
 * what has ended, ends what is overdue, and sleeps in curl_multi_poll until a
 * socket, a timer or a message wakes it.  It never waits for anything else.
 *
 * A transfer is on `active` from its start until release(); on `queue` while a
 * message of its reader has not been seen.  Both are left before the engine's
 * reference is given up, so a transfer that is found on a list is alive.
 */
#include "http/engine.h"

#include <string.h>

#include "http/dns.h"
#include "http/request.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metric.h"

#define CONNECTION_AGE_S 118
#define POLL_MAX_MS 60000
#define UPLOAD_LOOK_MS 100
#define DNS_QUICK_MS 1500

bool engine_post(struct http *h, struct http_transfer *t,
		 enum transfer_want want)
{
	autolock(&h->lock);
	if (h->stopping && want == TRANSFER_START)
		return false;
	t->wants |= want;
	if (list_empty(&t->queued))
		list_push_back(&h->queue, &t->queued);
	curl_multi_wakeup(h->multi);
	return true;
}

static CURL *take_easy(struct http *h)
{
	return h->idle_len ? h->idle[--h->idle_len] : curl_easy_init();
}

static void give_easy(struct http *h, CURL *easy)
{
	curl_easy_reset(easy);
	if (h->idle_len < ENGINE_IDLE_MAX)
		h->idle[h->idle_len++] = easy;
	else
		curl_easy_cleanup(easy);
}

static void count_sent(struct http_transfer *t)
{
	curl_off_t v = 0;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &v);
	if (!t->up.wanted)
		metric_add(METRIC_HTTP_BYTES_OUT, v);
	else if (t->up.total != HTTP_UPLOAD_UNKNOWN)
		bodyring_note_sent(t, (uint64_t)v);
}

/* Takes `t` out of libcurl and off the lists; the reference is still ours. */
static void release(struct http *h, struct http_transfer *t)
{
	long connects = 0;

	list_del(&t->active);
	if (t->easy) {
		count_sent(t);
		curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
		metric_add(METRIC_HTTP_CONNECTIONS, connects);
		curl_multi_remove_handle(h->multi, t->easy);
		give_easy(h, steal(&t->easy));
	}
	transfer_detach(t);
	/* Nobody can post any more: what is queued now stays the last. */
	autolock(&h->lock);
	list_del(&t->queued);
}

static void retire(struct http *h, struct http_transfer *t, enum http_fail fail,
		   const char *text)
{
	if (fail != HTTP_FAIL_NONE)
		log_debug("http: %s %s: %s: %s", t->method, t->host,
			  http_fail_name(fail), text);
	release(h, t);
	transfer_finish(t, fail, text);
	transfer_unref(t);
}

/* What was idle before the network changed must not be used: libcurl can be
 * told how long a connection may have been idle, in seconds. */
static void set_freshness(struct http *h, CURL *easy)
{
	uint64_t age_s;
	long max_s = CONNECTION_AGE_S;

	pthread_mutex_lock(&h->lock);
	age_s = h->forgotten_ms ? (clock_ms() - h->forgotten_ms) / 1000
				: CONNECTION_AGE_S + 1;
	pthread_mutex_unlock(&h->lock);
	if (age_s < 2)
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	else if (age_s <= CONNECTION_AGE_S)
		max_s = (long)age_s - 1;
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, max_s);
}

static void begin(struct http *h, struct http_transfer *t)
{
	CURLMcode m = CURLM_OUT_OF_MEMORY;
	CURLcode c;

	list_push_back(&h->active, &t->active);
	t->watch.times = &h->cfg;
	t->watch.prompt = t->prompt;
	t->watch.answer_ms = t->answer_ms;
	watch_enter(&t->watch, WATCH_CONNECT, clock_ms());
	t->easy = take_easy(h);
	if (!t->easy) {
		retire(h, t, HTTP_FAIL_LOCAL, curl_multi_strerror(m));
		return;
	}
	c = request_setup(t, &h->cfg);
	if (c == CURLE_OK) {
		set_freshness(h, t->easy);
		m = curl_multi_add_handle(h->multi, t->easy);
	}
	if (m != CURLM_OK)
		retire(h, t, HTTP_FAIL_LOCAL, curl_easy_strerror(c));
}

static void end(struct http *h, struct http_transfer *t, CURLcode code)
{
	const char *text;
	enum http_fail fail = request_verdict(t, code, &text);

	if (fail == HTTP_FAIL_DNS &&
	    clock_ms() - t->watch.since_ms < DNS_QUICK_MS) {
		release(h, t);
		resolve_verdict(t);
		return;
	}
	/* Resolvers answer "no such name" quickly or not at all. */
	if (fail == HTTP_FAIL_DNS)
		fail = HTTP_FAIL_DNS_AGAIN;
	retire(h, t, fail, text);
}

/* libcurl may call on_body at once, out of curl_easy_pause. */
static void resume(struct http *h, struct http_transfer *t, unsigned wants)
{
	int still = 0;
	CURLcode c;

	if (!t->easy)
		return;
	pthread_mutex_lock(&t->lock);
	if (wants & TRANSFER_RESUME)
		t->paused = false;
	if (wants & TRANSFER_SEND)
		t->up.paused = false;
	still |= t->paused ? CURLPAUSE_RECV : 0;
	still |= t->up.paused ? CURLPAUSE_SEND : 0;
	pthread_mutex_unlock(&t->lock);
	watch_excuse(&t->watch,
		     t->watch.phase == WATCH_BODY ? t->received
						  : t->watch.counted,
		     clock_ms());
	c = curl_easy_pause(t->easy, still);
	if (c != CURLE_OK)
		end(h, t, c);
}

static void obey(struct http *h, struct http_transfer *t, unsigned wants)
{
	if (wants & TRANSFER_CANCEL)
		retire(h, t, HTTP_FAIL_CANCELLED, "closed by its reader");
	else if (wants & TRANSFER_START)
		begin(h, t);
	else if (wants & (TRANSFER_RESUME | TRANSFER_SEND))
		resume(h, t, wants);
}

/* False once the engine is to stop. */
static bool take_messages(struct http *h)
{
	bool stopping;

	pthread_mutex_lock(&h->lock);
	while (!list_empty(&h->queue) && !h->stopping) {
		struct http_transfer *t = container_of(
			h->queue.next, struct http_transfer, queued);
		unsigned wants = t->wants;

		t->wants = 0;
		list_del(&t->queued);
		pthread_mutex_unlock(&h->lock);
		obey(h, t, wants);
		pthread_mutex_lock(&h->lock);
	}
	stopping = h->stopping;
	pthread_mutex_unlock(&h->lock);
	return !stopping;
}

static void collect_ended(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		CURLcode code = m->data.result;
		char *t = NULL;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		end(h, (struct http_transfer *)(void *)t, code);
	}
}

static void look_after_sending(struct http_transfer *t, uint64_t now)
{
	curl_off_t v = 0;
	uint64_t bytes;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &v);
	bytes = (uint64_t)v;
	if (!t->up.wanted ? bytes >= t->body_bytes
			  : bodyring_complete(t, bytes)) {
		watch_enter(&t->watch, WATCH_HEAD, now);
	} else if (t->up.wanted && bodyring_idle(t)) {
		watch_excuse(&t->watch, bytes, now);
	} else {
		watch_progress(&t->watch, bytes, now);
	}
	if (t->up.total != HTTP_UPLOAD_UNKNOWN)
		bodyring_note_sent(t, bytes);
}

/* Brings the watch up to date with what libcurl has done meanwhile. */
static void look_after(struct http *h, struct http_transfer *t, uint64_t now)
{
	curl_off_t v = 0;

	switch (t->watch.phase) {
	case WATCH_CONNECT:
		if (t->tcp_up)
			break;
		curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &v);
		if (v == 0)
			break;
		t->tcp_up = true;
		watch_tcp_up(&t->watch);
		curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS,
				 (long)h->cfg.tls_ms);
		break;
	case WATCH_SEND:
		look_after_sending(t, now);
		break;
	case WATCH_BODY:
		if (t->paused)
			watch_excuse(&t->watch, t->received, now);
		else
			watch_progress(&t->watch, t->received, now);
		break;
	case WATCH_HEAD:
		break;
	}
}

static void end_late(struct http *h, struct http_transfer *t)
{
	static const char *const reasons[] = {
		[WATCH_CONNECT] = "not connected in time",
		[WATCH_SEND] = "request not taken in time",
		[WATCH_HEAD] = "no answer in time",
		[WATCH_BODY] = "body stalled",
	};

	strncpy(t->error, reasons[t->watch.phase], sizeof(t->error) - 1);
	end(h, t, CURLE_OPERATION_TIMEDOUT);
}

/* Ends what is overdue; the time until the next look in ms. */
static int end_overdue(struct http *h)
{
	uint64_t now = clock_ms();
	uint64_t next = now + POLL_MAX_MS;

	list_for_safe(pos, &h->active) {
		struct http_transfer *t =
			container_of(pos, struct http_transfer, active);
		uint64_t look;

		if (t->untold)
			transfer_tell(t);
		look_after(h, t, now);
		look = t->watch.limit_ms;
		if (now >= look) {
			end_late(h, t);
			continue;
		}
		if (t->watch.phase == WATCH_SEND &&
		    look > now + UPLOAD_LOOK_MS && !bodyring_idle(t))
			look = now + UPLOAD_LOOK_MS;
		if (look < next)
			next = look;
	}
	return (int)(next - now);
}

static void cancel_all(struct http *h)
{
	for (;;) {
		struct http_transfer *t = NULL;

		pthread_mutex_lock(&h->lock);
		if (!list_empty(&h->queue))
			t = container_of(h->queue.next, struct http_transfer,
					 queued);
		pthread_mutex_unlock(&h->lock);
		if (!t && !list_empty(&h->active))
			t = container_of(h->active.next, struct http_transfer,
					 active);
		if (!t)
			return;
		retire(h, t, HTTP_FAIL_CANCELLED, "shutting down");
	}
}

void *engine_run(void *arg)
{
	struct http *h = arg;
	int running;

	while (take_messages(h)) {
		int timeout_ms;

		curl_multi_perform(h->multi, &running);
		collect_ended(h);
		timeout_ms = end_overdue(h);
		curl_multi_poll(h->multi, NULL, 0, timeout_ms, NULL);
	}
	cancel_all(h);
	return NULL;
}
