/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first connection, looked at closely.  It carries no identification, so
 * it may be tried where a mount would not go on: without verifying, to see
 * whose certificate was refused; without TLS, to see whether anybody is there.
 * What is found so is told, and used for nothing.
 */
#include "registry/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"
#include "registry/host.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"

#define ANSWER_MAX ((uint64_t)1 << 20)

struct attempt {
	bool https, insecure;
};

static void note_seen(const struct http_seen *seen, struct probe_reach *p)
{
	if (seen->address[0])
		snprintf(p->address, sizeof(p->address), "%s%s%s:%u",
			 strchr(seen->address, ':') ? "[" : "", seen->address,
			 strchr(seen->address, ':') ? "]" : "", seen->port);
	fault_copy(p->proxy, sizeof(p->proxy), seen->proxy);
	fault_copy(p->tls, sizeof(p->tls), seen->tls);
	if (seen->cert && certificate_parse(seen->cert, &p->cert) == 0)
		p->has_cert = true;
}

static void note_head(const struct http_head *head, struct probe_reach *p)
{
	const char *date = http_header(head, "date");
	int64_t there = 0;

	p->answer.status = head->status;
	p->http2 = head->http2;
	p->has_date = date && clock_parse_http_date(date, &there) == 0;
	if (p->has_date)
		p->ahead_s = there - clock_wall();
}

static int ask(struct registry *r, const char *url, const struct attempt *a,
	       struct wait *w, struct probe_reach *p)
{
	const struct host_conf *conf = &r->conf;
	const struct http_tls tls = {.ca_file = conf->ca_file,
				     .client_cert = conf->client_cert,
				     .client_key = conf->client_key,
				     .insecure = conf->insecure || a->insecure};
	const struct http_spec spec = {.method = "GET",
				       .url = url,
				       .tls = &tls,
				       .max_body_bytes = ANSWER_MAX,
				       .prompt = true,
				       .look = true};
	const struct http_head *head;
	struct http_transfer *t;
	int e = http_start(r->cfg->http, &spec, &t);

	if (e < 0)
		return e;
	e = http_wait_head(t, w, &head);
	p->answer.fail = e == -EIO ? http_failure(t) : HTTP_FAIL_NONE;
	if (e == -EIO)
		e = fault_from_fail(p->answer.fail);
	if (p->answer.fail)
		fault_copy(p->answer.text, sizeof(p->answer.text),
			   http_failure_text(t));
	note_seen(http_seen(t), p);
	if (e == 0)
		note_head(head, p);
	http_close(t);
	return e;
}

static int try(struct registry *r, const struct attempt *a, struct wait *w,
	       struct probe_reach *p)
{
	autofree char *base = NULL;
	autofree char *url = NULL;
	autofree char *shown = NULL;
	int e;

	base = str_printf("%s://%s", a->https ? "https" : "http",
			  r->conf.api_host);
	e = base ? registry_url(r, base, "/v2/", &url) : -ENOMEM;
	shown = e == 0 ? url_redact(url) : NULL;
	if (!shown)
		return -ENOMEM;
	fault_copy(p->url, sizeof(p->url), shown);
	p->https = a->https;
	p->answer.error = 0;
	p->answer.text[0] = '\0';
	e = ask(r, url, a, w, p);
	if (e < 0 && !p->answer.text[0])
		fault_copy(p->answer.text, sizeof(p->answer.text),
			   e == -ETIMEDOUT ? "no answer in time"
					   : strerror(-e));
	p->answer.error = e;
	return e;
}

/* There is something, but not the TLS that we want. */
static bool may_be_plain(const struct probe_reach *p)
{
	enum http_fail fail = p->answer.fail;

	return p->answer.error < 0 &&
	       (fail == HTTP_FAIL_TLS || fail == HTTP_FAIL_PROTOCOL ||
		fail == HTTP_FAIL_RESET || fail == HTTP_FAIL_SHORT ||
		fail == HTTP_FAIL_CONNECT);
}

/* Why TLS failed: whose certificate is it, or is there no TLS at all? */
static void look_behind(struct registry *r, struct wait *w,
			struct probe_reach *p)
{
	const struct attempt blind = {.https = true, .insecure = true};
	const struct attempt plain = {.https = false};
	struct probe_reach q = {.has_cert = false};

	if (!r->conf.insecure && try(r, &blind, w, &q) == -EINTR)
		return;
	p->has_cert = q.has_cert;
	p->cert = q.cert;
	if (q.address[0])
		memcpy(p->address, q.address, sizeof(p->address));
	if (q.has_cert)
		return;
	q = (struct probe_reach){.has_cert = false};
	p->talks_plain = try(r, &plain, w, &q) == 0;
}

int probe_reach(struct registry *r, struct wait *w, struct probe_reach *ret)
{
	struct probe_reach p = {.url = ""};
	const struct host_conf *conf;
	struct attempt a = {.https = true};
	int e = registry_conf(r, &conf);

	if (e == 0) {
		fault_copy(p.host, sizeof(p.host), conf->host);
		p.is_loopback = conf->is_loopback;
		p.insecure = conf->insecure;
		p.own_ca = conf->ca_file != NULL;
		a.https = !conf->plain_http;
		e = try(r, &a, w, &p);
	} else {
		p.answer.error = e;
		fault_copy(p.answer.text, sizeof(p.answer.text),
			   "its certificates cannot be used, see above");
	}
	if (e < 0 && a.https && may_be_plain(&p)) {
		fault_copy(p.reason, sizeof(p.reason), p.answer.text);
		if (conf->try_https_first) {
			a.https = false;
			p.fell_back = true;
			e = try(r, &a, w, &p);
		} else {
			look_behind(r, w, &p);
		}
	}
	*ret = p;
	return e == -ENOMEM || e == -EINTR ? e : 0;
}
