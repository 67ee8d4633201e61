/* SPDX-License-Identifier: Apache-2.0 */
/* What came of a call: its head and body, and what a refusal means. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "registry/call_state.h"
#include "registry/wire/fault_table.h"
#include "util/log.h"
#include "util/metric.h"

ssize_t call_read(struct call *c, void *buf, size_t len, struct wait *w,
		  struct outcome *out)
{
	ssize_t n = http_read(c->x.transfer, buf, len, w);

	if (n == -EIO) {
		memset(out, 0, sizeof(*out));
		exchange_failed(&c->x, out);
	}
	return n;
}

int call_status(const struct call *c)
{
	return c->status;
}

const char *call_header(const struct call *c, const char *name, size_t nth)
{
	return http_header_nth(c->x.head, name, nth);
}

const char *call_body(const struct call *c, size_t *ret_len)
{
	*ret_len = c->body_len;
	return c->body ? c->body : "";
}

const char *call_url(const struct call *c)
{
	return c->url;
}

bool call_is_home(const struct call *c)
{
	return c->home;
}

bool call_is_page(const struct call *c)
{
	const char *type = call_header(c, "content-type", 0);
	const char *length = call_header(c, "content-length", 0);

	/* Some servers call nothing a page. */
	return type && strncasecmp(type, "text/html", 9) == 0 &&
	       !(length && strcmp(length, "0") == 0);
}

bool call_identified(const struct call *c)
{
	return auth_identified(&c->auth);
}

bool call_http2(const struct call *c)
{
	return c->x.head->http2;
}

const struct outcome *call_outcome(const struct call *c)
{
	return &c->out;
}

/* The registry itself says that there is no such thing (faults.md N13). */
static bool is_believable(struct call *c, struct wait *w)
{
	const char *type = http_header(c->x.head, "content-type");
	struct outcome out;

	if (c->is_oci)
		return true;
	if (c->out.is_page || (type && strncasecmp(type, "text/html", 9) == 0))
		return false;
	if (http_header(c->x.head, "docker-distribution-api-version"))
		return true;
	/* No body to go by: then it matters who speaks. */
	if (!c->home || (!c->is_head && c->out.has_body))
		return false;
	if (!registry_speaks(c->r))
		call_learn(c->r, w, &out);
	return registry_speaks(c->r);
}

void call_read_refusal(struct call *c, struct wait *w)
{
	struct outcome *out = &c->out;

	exchange_refusal(&c->x, w, out, &c->is_oci);
	if (c->auth.changes)
		out->error =
			fault_from_refusal(c->status, out->code, out->text);
}

int call_judge(struct call *c, struct wait *w)
{
	struct outcome *out = &c->out;
	bool missing = c->status == 404 || c->status == 410;

	out->error = c->auth.changes ? fault_from_refusal(c->status, out->code,
							  out->text)
				     : fault_from_status(c->status, out->code);
	if (c->home && c->status == 401 && !out->has_body)
		outcome_set(
			out, out->error, "%s",
			auth_identified(&c->auth) || c->auth.was_refused
				? "does not accept the credential"
				: "wants a credential, none is stored for it");
	if (missing && !c->r->is_mirror && !is_believable(c, w))
		out->error = -EIO;
	else if (!c->home && !missing)
		/* What storage thinks of its own URLs is no word on us. */
		out->error = c->status == 429 || c->status == 408 ? -ETIMEDOUT
								  : -EIO;
	return out->error;
}

int call_fault(struct call *c, struct wait *w)
{
	struct outcome *out = &c->out;

	call_judge(c, w);
	if (out->error == -ENOENT && !c->missing_is_news) {
		log_debug("%s: %s: %s", c->r->host, c->object, out->text);
		return out->error;
	}
	metric_add(METRIC_HTTP_FAILURES, 1);
	registry_fault(c->r, c->object, out);
	return out->error;
}

int call_broken(struct call *c, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->out.text, sizeof(c->out.text), fmt, ap);
	va_end(ap);
	c->out.error = error;
	c->out.status = c->status;
	metric_add(METRIC_HTTP_FAILURES, 1);
	registry_fault(c->r, c->object, &c->out);
	return error;
}
