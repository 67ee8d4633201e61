/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States, as the reader sees them: started -> head_ready -> finished, where
 * finished may come at any time.  In between the body passes through a ring.
 *
 * Invariants (t->lock held):
 *  1. used <= window + one libcurl write; the engine pauses at used >= window.
 *  2. paused and used <= window / 2 imply that a resume is on its way.
 *  3. detached implies that t is on no list of the engine and that the engine
 *     will not touch it again; finished follows at once, or from the thread
 *     that looks for the reason of a failed name resolution.
 *  4. While t is not detached its engine exists: http_free detaches all.
 */
#include "http/transfer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/engine.h"
#include "http/url.h"
#include "util/auto.h"
#include "util/metric.h"
#include "util/str.h"

#define WINDOW_DEFAULT ((size_t)256 * 1024)
#define WINDOW_MIN ((size_t)CURL_MAX_WRITE_SIZE)

static int copy_string(const char *s, char **ret)
{
	char *copy;

	if (!s)
		return 0;
	copy = strdup(s);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

static int add_header(struct http_transfer *t, const char *line)
{
	struct curl_slist *list;

	for (const char *p = line; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			return -EINVAL;
	if (!strchr(line, ':'))
		return -EINVAL;
	list = curl_slist_append(t->headers, line);
	if (!list)
		return -ENOMEM;
	t->headers = list;
	return 0;
}

/*
 * The caller's headers, and without what libcurl would add by itself: waiting
 * for "100 Continue" costs a second with some registries and 417 with others,
 * and a form's Content-Type would be a lie.
 */
static int add_headers(struct http_transfer *t, const struct http_spec *spec)
{
	bool typed = false;
	int r = 0;

	for (const char *const *h = spec->headers; r == 0 && h && *h; h++) {
		r = add_header(t, *h);
		if (strncasecmp(*h, "content-type:", 13) == 0)
			typed = true;
	}
	if (r == 0 && !spec->accept_any_encoding)
		r = add_header(t, "Accept-Encoding: identity");
	if (r == 0 && !typed)
		r = add_header(t, "Content-Type:");
	return r < 0 ? r : add_header(t, "Expect:");
}

static int check_method(const char *method)
{
	static const char *const known[] = {"GET", "HEAD",  "POST",
					    "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(method, known[i]) == 0)
			return 0;
	return -EINVAL;
}

static int copy_tls(struct http_transfer *t, const struct http_tls *tls)
{
	int r;

	if (!tls)
		return 0;
	t->insecure = tls->insecure;
	r = copy_string(tls->ca_file, &t->ca_file);
	if (r == 0)
		r = copy_string(tls->client_cert, &t->client_cert);
	return r < 0 ? r : copy_string(tls->client_key, &t->client_key);
}

static int set_upload(struct http_transfer *t, const struct http_spec *spec)
{
	bool known = spec->upload_bytes != HTTP_UPLOAD_UNKNOWN;

	if (!spec->upload)
		return 0;
	if (spec->body || (known && spec->upload_bytes > INT64_MAX) ||
	    strcmp(spec->method, "GET") == 0 ||
	    strcmp(spec->method, "HEAD") == 0)
		return -EINVAL;
	t->up.wanted = true;
	t->up.total = spec->upload_bytes;
	return 0;
}

static int copy_spec(struct http_transfer *t, const struct http_spec *spec)
{
	struct url u = {.host = NULL};
	int r;

	t->window = spec->window_bytes ? spec->window_bytes : WINDOW_DEFAULT;
	if (t->window < WINDOW_MIN)
		t->window = WINDOW_MIN;
	t->max_body_bytes = spec->max_body_bytes;
	t->peer = spec->peer;
	t->http1 = spec->http1;
	t->accept_any_encoding = spec->accept_any_encoding;
	t->prompt = spec->prompt;
	t->look = spec->look;
	t->answer_ms = spec->answer_ms;
	r = check_method(spec->method);
	if (r == 0)
		r = set_upload(t, spec);
	if (r == 0)
		r = url_parse(spec->url, &u);
	if (r < 0)
		return r;
	t->https = u.https;
	t->host = steal(&u.host);
	url_done(&u);
	r = copy_string(spec->method, &t->method);
	if (r == 0)
		r = copy_string(spec->url, &t->url);
	if (r == 0)
		r = add_headers(t, spec);
	if (r == 0)
		r = copy_tls(t, spec->tls);
	if (r < 0 || !spec->body)
		return r;
	t->body = malloc(spec->body_bytes + 1);
	if (!t->body)
		return -ENOMEM;
	memcpy(t->body, spec->body, spec->body_bytes);
	t->body_bytes = spec->body_bytes;
	return 0;
}

int transfer_new(struct http *engine, const struct http_spec *spec,
		 struct http_transfer **ret)
{
	struct http_transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = wait_cond_init(&t->cond);
	if (r < 0) {
		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	atomic_init(&t->refs, 1);
	list_init(&t->active);
	list_init(&t->queued);
	t->engine = engine;
	t->detached = true;
	r = copy_spec(t, spec);
	if (r < 0 && r != -EINVAL) {
		transfer_unref(t);
		return r;
	}
	*ret = t;
	return r;
}

void transfer_unref(struct http_transfer *t)
{
	if (atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	head_reset(&t->head);
	curl_slist_free_all(t->headers);
	free(t->method);
	free(t->url);
	free(t->host);
	free(t->ca_file);
	free(t->client_cert);
	free(t->client_key);
	free(t->body);
	free(t->seen.cert);
	free(t->ring);
	free(t->up.ring);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void transfer_publish_head(struct http_transfer *t)
{
	autolock(&t->lock);
	t->head_ready = true;
	pthread_cond_broadcast(&t->cond);
}

void transfer_detach(struct http_transfer *t)
{
	autolock(&t->lock);
	t->detached = true;
}

void transfer_finish(struct http_transfer *t, enum http_fail fail,
		     const char *text)
{
	autolock(&t->lock);
	t->detached = true;
	t->finished = true;
	if (fail != HTTP_FAIL_NONE) {
		strncpy(t->text, text, sizeof(t->text) - 1);
		atomic_store(&t->fail, fail);
	}
	pthread_cond_broadcast(&t->cond);
}

/* As large as the window, or as the body if that is known to be smaller. */
static int make_ring(struct http_transfer *t)
{
	uint64_t length;
	size_t size = t->window;

	if (t->ring)
		return 0;
	if (head_length(&t->head.pub, &length) == 0 && length < size)
		size = (size_t)length;
	size += CURL_MAX_WRITE_SIZE;
	t->ring = malloc(size);
	if (!t->ring)
		return -ENOMEM;
	t->ring_size = size;
	return 0;
}

static void ring_write(struct http_transfer *t, size_t pos, const char *bytes,
		       size_t n)
{
	size_t first = t->ring_size - pos;

	if (first > n)
		first = n;
	memcpy(t->ring + pos, bytes, first);
	memcpy(t->ring, bytes + first, n - first);
}

static void ring_read(const struct http_transfer *t, size_t pos, char *bytes,
		      size_t n)
{
	size_t first = t->ring_size - pos;

	if (first > n)
		first = n;
	memcpy(bytes, t->ring + pos, first);
	memcpy(bytes + first, t->ring, n - first);
}

int transfer_put(struct http_transfer *t, const char *bytes, size_t n)
{
	size_t pos;
	int r;

	if (n > t->max_body_bytes - t->received)
		return -EFBIG;
	pthread_mutex_lock(&t->lock);
	r = t->closed ? -ECANCELED : make_ring(t);
	if (r == 0 && (t->used >= t->window || n > t->ring_size - t->used)) {
		t->paused = true;
		t->resume_asked = false;
		r = -EAGAIN;
	}
	pos = t->ring_pos + t->used;
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		return r;

	if (pos >= t->ring_size)
		pos -= t->ring_size;
	ring_write(t, pos, bytes, n);
	t->received += n;
	metric_add(METRIC_HTTP_BYTES_IN, (int64_t)n);

	autolock(&t->lock);
	t->used += n;
	t->untold = t->used < t->wanted;
	if (!t->untold)
		pthread_cond_signal(&t->cond);
	return 0;
}

/* A reader that is woken for every packet costs more than the packets. */
void transfer_tell(struct http_transfer *t)
{
	autolock(&t->lock);
	t->untold = false;
	pthread_cond_signal(&t->cond);
}

int http_wait_head(struct http_transfer *t, struct wait *w,
		   const struct http_head **ret)
{
	autolock(&t->lock);
	while (!t->head_ready && !t->finished) {
		int r = wait_cond(w, &t->cond, &t->lock);

		if (r < 0)
			return r;
	}
	if (!t->head_ready)
		return -EIO;
	*ret = &t->head.pub;
	return 0;
}

static int wait_bytes(struct http_transfer *t, size_t len, struct wait *w)
{
	t->wanted = len < t->window / 2 ? len : t->window / 2;
	while (t->used == 0 && !t->finished) {
		int r = wait_cond(w, &t->cond, &t->lock);

		if (r < 0)
			return r;
	}
	return t->used == 0 && atomic_load(&t->fail) ? -EIO : 0;
}

static void give_room(struct http_transfer *t, size_t n)
{
	t->ring_pos = (t->ring_pos + n) % t->ring_size;
	t->used -= n;
	if (!t->paused || t->resume_asked || t->detached ||
	    t->used > t->window / 2)
		return;
	t->resume_asked = true;
	engine_post(t->engine, t, TRANSFER_RESUME);
}

ssize_t http_read(struct http_transfer *t, void *buf, size_t len,
		  struct wait *w)
{
	size_t n, pos;
	int r;

	assert(len > 0);
	pthread_mutex_lock(&t->lock);
	r = wait_bytes(t, len, w);
	n = len < t->used ? len : t->used;
	pos = t->ring_pos;
	pthread_mutex_unlock(&t->lock);
	if (r < 0 || n == 0)
		return r;
	ring_read(t, pos, buf, n);
	autolock(&t->lock);
	give_room(t, n);
	return (ssize_t)n;
}

int http_read_all(struct http_transfer *t, size_t max, struct wait *w,
		  char **ret, size_t *ret_len)
{
	autostr out = {.max = max ? max : 1};
	char part[CURL_MAX_WRITE_SIZE];
	ssize_t n;

	while ((n = http_read(t, part, sizeof(part), w)) > 0) {
		int r = (size_t)n > max - out.len
				? -EFBIG
				: str_addn(&out, part, (size_t)n);

		if (r < 0)
			return r;
	}
	if (n < 0)
		return (int)n;
	/* One that is empty has no buffer yet. */
	if (str_add(&out, "") < 0)
		return -ENOMEM;
	*ret_len = out.len;
	*ret = str_steal(&out);
	return 0;
}

enum http_fail http_failure(const struct http_transfer *t)
{
	return atomic_load(&t->fail);
}

const struct http_seen *http_seen(const struct http_transfer *t)
{
	return &t->seen;
}

const char *http_failure_text(const struct http_transfer *t)
{
	return atomic_load(&t->fail) ? t->text : "";
}

void http_close(struct http_transfer *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->closed = true;
	if (!t->detached)
		engine_post(t->engine, t, TRANSFER_CANCEL);
	pthread_mutex_unlock(&t->lock);
	transfer_unref(t);
}
