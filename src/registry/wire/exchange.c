/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request through one gate: enter the origin, ask, report to the origin
 * as soon as the head is in (or none will come).  Whether a body arrives later
 * says nothing about the origin being there.  An upload lasts as long as its
 * source likes: it passes the gate, but is no probe that others wait for.
 */
#include "registry/wire/exchange.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"

#define REFUSAL_BODY_MAX ((size_t)1 << 20)
#define BULK_WINDOW ((size_t)1 << 20)

int outcome_set(struct outcome *out, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out->text, sizeof(out->text), fmt, ap);
	va_end(ap);
	out->error = error;
	return error;
}

bool outcome_unreached(const struct outcome *out)
{
	enum http_fail fail = out->fail;

	return fail == HTTP_FAIL_REFUSED || fail == HTTP_FAIL_DNS ||
	       fail == HTTP_FAIL_DNS_AGAIN || fail == HTTP_FAIL_UNREACHABLE ||
	       fail == HTTP_FAIL_CONNECT;
}

/* How a wait ended is the caller's affair and says nothing about the host. */
static int waited_out(struct outcome *out, int error, const char *where)
{
	return outcome_set(out, error, "%s: %s", where,
			   error == -ETIMEDOUT ? "no answer in time"
					       : "the caller gave up");
}

static int enter(struct origin *o, struct wait *w, struct door_turn *turn,
		 struct outcome *out)
{
	enum http_fail fail = HTTP_FAIL_NONE;
	int r = door_enter(origin_door(o), w, turn, &fail);

	if (r == -EHOSTDOWN) {
		out->fail = fail;
		return outcome_set(out, fault_from_fail(fail),
				   "%s: %s a moment ago, not tried again yet",
				   origin_name(o), http_fail_name(fail));
	}
	if (r == -ETIMEDOUT && wait_left_ms(w) > 0) {
		out->status = 429;
		return outcome_set(out, r,
				   "%s: told to wait longer than we may",
				   origin_name(o));
	}
	return r < 0 ? waited_out(out, r, origin_name(o)) : 0;
}

int exchange_failed(const struct exchange *x, struct outcome *out)
{
	enum http_fail fail = http_failure(x->transfer);
	const char *text = http_failure_text(x->transfer);

	out->fail = fail;
	out->may_retry = fail != HTTP_FAIL_LOCAL && fail != HTTP_FAIL_PEER &&
			 fail != HTTP_FAIL_CANCELLED;
	return outcome_set(out, fault_from_fail(fail), "%s: %s",
			   origin_name(x->origin),
			   text && *text ? text : http_fail_name(fail));
}

/* By the clock of who tells a date to wait for; ours may have been set. */
static int64_t wall_there(const struct http_head *head)
{
	const char *date = http_header(head, "date");
	int64_t wall;

	return date && clock_parse_http_date(date, &wall) == 0 ? wall
							       : clock_wall();
}

static void note_retry_after(const struct http_head *head, struct outcome *out)
{
	const char *value = http_header(head, "retry-after");
	const char *left = http_header(head, "ratelimit-remaining");
	int64_t now = wall_there(head);
	unsigned long long until;
	uint64_t limit, window;

	if (value &&
	    header_parse_retry_after(value, now, &out->retry_after_s) == 0) {
		out->has_retry_after = true;
		return;
	}
	/* Docker Hub's API: the time when it is over. */
	value = http_header(head, "x-retry-after");
	if (value && str_to_u64(value, INT64_MAX, &until) == 0) {
		out->has_retry_after = true;
		out->retry_after_s =
			(int64_t)until > now ? until - (uint64_t)now : 0;
		return;
	}
	/* Docker Hub's pull limit: the window is hours, knocking is no use. */
	if (head->status == 429 && left &&
	    header_parse_ratelimit(left, &limit, &window) == 0 && limit == 0 &&
	    window > 0) {
		out->has_retry_after = true;
		out->retry_after_s = window;
	}
}

/* A spent pull limit stops only what counts against it, not the host. */
static bool is_throttle(const struct http_head *head)
{
	return head->status == 429 &&
	       (http_header(head, "retry-after") ||
		!http_header(head, "ratelimit-remaining"));
}

static void report(struct wire *wire, struct exchange *x,
		   const struct door_turn *turn, const struct outcome *out)
{
	enum door_end end = DOOR_ABANDONED;
	uint64_t pause_ms = wire->pause_ms;

	if (x->head && is_throttle(x->head)) {
		end = DOOR_THROTTLED;
		if (out->has_retry_after)
			pause_ms = out->retry_after_s > 86400
					   ? 86400000
					   : out->retry_after_s * 1000;
	} else if (x->head) {
		end = DOOR_ANSWERED;
	} else if (outcome_unreached(out)) {
		end = DOOR_UNREACHED;
	}
	door_leave(origin_door(x->origin), turn, end, out->fail, pause_ms);
}

static int start(struct wire *wire, const struct exchange_spec *s,
		 struct exchange *x, struct outcome *out)
{
	const struct http_spec spec = {
		.method = s->method,
		.url = s->url,
		.headers = s->headers,
		.body = s->body,
		.body_bytes = s->body_bytes,
		.upload = s->upload,
		.upload_bytes = s->upload_bytes,
		.answer_ms = s->answer_ms,
		.tls = origin_tls(x->origin),
		.max_body_bytes = s->max_body_bytes,
		.window_bytes = s->bulk && !s->upload ? BULK_WINDOW : 0,
		.peer = s->peer,
		.prompt = !s->bulk,
		.http1 = s->bulk || s->upload,
	};
	int r = http_start(wire->http, &spec, &x->transfer);

	if (r < 0)
		return outcome_set(out, r, "%s: cannot ask: %s",
				   origin_name(x->origin), strerror(-r));
	return 0;
}

static int wait_head(struct exchange *x, struct wait *w, struct outcome *out)
{
	int r = http_wait_head(x->transfer, w, &x->head);
	if (r == -EIO)
		return exchange_failed(x, out);
	if (r < 0)
		return waited_out(out, r, origin_name(x->origin));
	note_retry_after(x->head, out);
	return 0;
}

static int find_origin(struct wire *wire, const char *url, struct origin **ret,
		       struct outcome *out)
{
	struct url u;
	int r = url_parse(url, &u);

	if (r < 0)
		return outcome_set(out, r == -ENOMEM ? r : -EIO, "no URL");
	r = origins_get(&wire->origins, &u, ret);
	if (r < 0 && r != -ENOMEM)
		outcome_set(out, -EIO, "%s: %s", u.host,
			    r == -ENFILE ? "sent to too many hosts"
					 : "its certificates are unusable");
	else if (r < 0)
		outcome_set(out, r, "out of memory");
	url_done(&u);
	return r < 0 ? out->error : 0;
}

int exchange_guard(struct wire *wire, const char *url, struct outcome *out)
{
	struct origin *origin;
	int r;

	if (str_prefix(url, "https://"))
		return 0;
	r = find_origin(wire, url, &origin, out);
	if (r < 0 || origin_plain_ok(origin))
		return r;
	return outcome_set(out, -EACCES, "%s: without TLS no password is sent",
			   origin_name(origin));
}

int exchange_open(struct wire *wire, const struct exchange_spec *spec,
		  struct wait *w, struct exchange *ret, struct outcome *out)
{
	struct exchange x = {.head = NULL};
	struct door_turn turn;
	int r;

	memset(out, 0, sizeof(*out));
	r = find_origin(wire, spec->url, &x.origin, out);
	if (r < 0)
		return r;
	r = enter(x.origin, w, &turn, out);
	if (r < 0)
		return r;
	r = start(wire, spec, &x, out);
	if (r == 0 && spec->upload) {
		door_leave(origin_door(x.origin), &turn, DOOR_ABANDONED,
			   HTTP_FAIL_NONE, 0);
		*ret = x;
		return 0;
	}
	if (r == 0)
		r = wait_head(&x, w, out);
	if (r < 0)
		x.head = NULL;
	report(wire, &x, &turn, out);
	if (r < 0)
		exchange_close(&x);
	else
		*ret = x;
	return r;
}

int exchange_finish(struct wire *wire, struct exchange *x, struct wait *w,
		    struct outcome *out)
{
	const struct door_turn none = {.probes_pause = false};
	int r;

	memset(out, 0, sizeof(*out));
	http_send_end(x->transfer);
	r = wait_head(x, w, out);
	if (r < 0)
		x->head = NULL;
	report(wire, x, &none, out);
	return r;
}

/*
 * A body whose length nobody told ends where the connection does (faults.md
 * N5).  Only a document can say that something is missing.
 */
static bool is_cut(const struct http_head *head, const char *body, size_t len)
{
	if (head->http2 || http_header(head, "content-length") ||
	    http_header(head, "transfer-encoding"))
		return false;
	while (len > 0 && strchr(" \t\r\n", body[len - 1]) && body[len - 1])
		len--;
	if (len == 0)
		return false;
	return (body[0] == '{' && body[len - 1] != '}') ||
	       (body[0] == '[' && body[len - 1] != ']');
}

int exchange_read_all(struct exchange *x, size_t max, struct wait *w,
		      char **ret, size_t *ret_len, struct outcome *out)
{
	char *body = NULL;
	size_t len = 0;
	int r = http_read_all(x->transfer, max, w, &body, &len);

	if (r == 0 && is_cut(x->head, body, len)) {
		explicit_bzero(body, len); /* it may be half a token */
		free(body);
		out->fail = HTTP_FAIL_SHORT;
		out->may_retry = true;
		return outcome_set(out, -EIO, "%s: the body ended too early",
				   origin_name(x->origin));
	}
	if (r == 0) {
		*ret = body;
		*ret_len = len;
		return 0;
	}
	if (r == -EIO)
		return exchange_failed(x, out);
	if (r == -EFBIG)
		return outcome_set(out, r, "%s: answer over %zu bytes",
				   origin_name(x->origin), max);
	if (r == -ENOMEM)
		return outcome_set(out, r, "out of memory");
	return waited_out(out, r, origin_name(x->origin));
}

void exchange_refusal(struct exchange *x, struct wait *w, struct outcome *out,
		      bool *ret_is_oci)
{
	autofree char *body = NULL;
	size_t len = 0;

	out->status = x->head->status;
	*ret_is_oci = false;
	/* A body that does not come takes nothing from the status. */
	if (http_read_all(x->transfer, REFUSAL_BODY_MAX, w, &body, &len) < 0)
		len = 0;
	out->has_body = len > 0;
	out->is_page = len > 0 && fault_is_html(body, len);
	if (len)
		*ret_is_oci = fault_read_body(body, len, out->code, out->text);
	if (!out->text[0])
		snprintf(out->text, sizeof(out->text), "%s%sHTTP status %d%s",
			 out->code, *out->code ? ", " : "", out->status,
			 out->is_page ? " with a web page" : "");
	out->error = fault_from_status(out->status, out->code);
}

void exchange_close(struct exchange *x)
{
	http_close(x->transfer);
	x->transfer = NULL;
	x->head = NULL;
}
