/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signed request is good for five minutes, so each attempt signs anew.  What
 * AWS says is shown up to its first line end: behind it, a wrong signature is
 * explained by the request itself, tokens and all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/call.h"
#include "registry/ecr.h"
#include "registry/host.h"
#include "registry/login/ecr_sign.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/map.h"
#include "util/metric.h"

#define ANSWER_MAX ((size_t)1 << 20)
#define TOO_MANY 429
#define ERROR_PREFIX_MAX 200

int ecr_new(const char *host, struct ecr **ret)
{
	struct ecr_place place;
	struct ecr *e;
	int r;

	*ret = NULL;
	if (!ecr_place_parse(host, &place))
		return 0;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->place = place;
	r = map_new(&e->making);
	if (r == 0)
		r = wait_cond_init(&e->changed);
	if (r < 0) {
		map_free(e->making, NULL);
		free(e);
		return r;
	}
	pthread_mutex_init(&e->lock, NULL);
	*ret = e;
	return 0;
}

void ecr_free(struct ecr *e)
{
	if (!e)
		return;
	map_free(e->making, free);
	pthread_cond_destroy(&e->changed);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

int ecr_keys(const struct registry *r, struct awskeys *ret)
{
	return r->ecr && r->cfg->aws ? awscred_find(r->cfg->aws, ret) : -ENOENT;
}

/* First match wins; the names end in "Exception", or do not. */
static const struct {
	const char *begins;
	int error;
} errors[] = {
	{"AccessDenied", EACCES},
	{"UnrecognizedClient", EACCES},
	{"InvalidClientTokenId", EACCES},
	{"ExpiredToken", EACCES},
	{"RequestExpired", EACCES},
	{"InvalidSignature", EACCES},
	{"SignatureDoesNotMatch", EACCES},
	{"IncompleteSignature", EACCES},
	{"MissingAuthenticationToken", EACCES},
	{"NotAuthorized", EACCES},
	{"OptInRequired", EACCES},
	{"Throttl", ETIMEDOUT},
	{"TooManyRequests", ETIMEDOUT},
	{"RequestLimitExceeded", ETIMEDOUT},
	{"LimitExceeded", EDQUOT},
	{"InvalidParameter", EINVAL},
	{"Validation", EINVAL},
	{"RepositoryNotFound", ENOENT},
	{"ImageNotFound", ENOENT},
};

int ecr_error(const char *code, int status)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		if (str_prefix(code, errors[i].begins))
			return -errors[i].error;
	}
	return fault_from_status(status, "");
}

/* "com.amazonaws.ecr#AccessDeniedException:http://…" */
static void copy_type(const char *s, char ret[64])
{
	const char *hash = strchr(s, '#');

	fault_copy(ret, 64, hash ? hash + 1 : s);
	ret[strcspn(ret, ":")] = '\0';
}

static void read_refusal(const struct http_head *head, const struct json *doc,
			 struct outcome *out)
{
	const char *type = json_text(json_find(doc, "__type"));
	const char *text = json_text(json_find(doc, "message"));

	if (!type)
		type = http_header(head, "x-amzn-errortype");
	if (!text)
		text = json_text(json_find(doc, "Message"));
	if (type)
		copy_type(type, out->code);
	if (text)
		fault_copy(out->text, sizeof(out->text), text);
	out->text[strcspn(out->text, "\r\n")] = '\0';
}

static int refused(const struct ecr_ask *ask, struct exchange *x,
		   const struct json *doc, struct outcome *out)
{
	char said[sizeof(out->text)];

	out->status = x->head->status;
	read_refusal(x->head, doc, out);
	memcpy(said, out->text, sizeof(said));
	outcome_set(out, ecr_error(out->code, out->status),
		    "%.*s: %s: %s%s%.250s", ERROR_PREFIX_MAX,
		    origin_name(x->origin), ask->action, out->code,
		    *out->code && *said ? ", " : "", said);
	if (!*out->code && !*said)
		outcome_set(out, out->error, "%.*s: %s: HTTP status %d",
			    ERROR_PREFIX_MAX, origin_name(x->origin),
			    ask->action, out->status);
	out->may_retry = out->error == -ETIMEDOUT || out->status >= 500;
	/* They say so with a 400; the retry policy knows it by this. */
	if (out->error == -ETIMEDOUT)
		out->status = TOO_MANY;
	return out->error;
}

static int read_answer(const struct ecr_ask *ask, struct exchange *x,
		       struct wait *w, struct json **ret, struct outcome *out)
{
	struct json *doc = NULL;
	char *body = NULL;
	size_t len = 0;
	int e = exchange_read_all(x, ANSWER_MAX, w, &body, &len, out);

	if (e < 0)
		return e;
	e = json_parse_lenient(body, len, ANSWER_MAX, &doc, NULL);
	explicit_bzero(body, len);
	free(body);
	if (e == -ENOMEM)
		return outcome_set(out, e, "out of memory");
	if (x->head->status == 200 && json_is_object(doc)) {
		*ret = doc;
		return 0;
	}
	if (x->head->status == 200)
		e = outcome_set(out, -EIO, "%.*s: %s: no JSON object",
				ERROR_PREFIX_MAX, origin_name(x->origin),
				ask->action);
	else
		e = refused(ask, x, doc, out);
	json_free(doc);
	return e;
}

/* --- asking --- */

/* The answer to it is a password, and a session's token goes with it. */
static int check_transport(struct registry *r, const struct url *u,
			   struct outcome *out)
{
	struct origin *origin;

	if (u->https || (origins_get(&r->wire.origins, u, &origin) == 0 &&
			 origin_plain_ok(origin)))
		return 0;
	return outcome_set(out, -EACCES,
			   "the AWS API at %.200s: without TLS, not asked",
			   u->host);
}

static int add_lines(struct registry *r, const struct ecr_ask *ask,
		     const struct url *u, struct lines *l)
{
	const struct ecr_place *place = &r->ecr->place;
	autofree char *target = str_printf(
		"%s.%s",
		place->is_public ? "SpencerFrontendService"
				 : "AmazonEC2ContainerRegistry_V20150921",
		ask->action);
	const struct ecr_request q = {.keys = ask->keys,
				      .url = u,
				      .region = place->region,
				      .service = place->service,
				      .target = target,
				      .body = ask->body,
				      .now = clock_wall()};
	int e = target ? lines_add(l, "Accept", "application/json") : -ENOMEM;

	return e < 0 ? e : ecr_sign(&q, l);
}

static int ask_once(struct registry *r, const struct ecr_ask *ask,
		    const struct url *u, const char *text, struct wait *w,
		    struct json **ret, struct outcome *out)
{
	struct lines lines = {.len = 0};
	struct exchange_spec spec = {.method = "POST",
				     .url = text,
				     .body = ask->body,
				     .body_bytes = strlen(ask->body),
				     .max_body_bytes = ANSWER_MAX};
	struct exchange x;
	int e = add_lines(r, ask, u, &lines);

	if (e < 0) {
		outcome_set(out, e, "cannot sign a request to AWS: %s",
			    strerror(-e));
	} else {
		spec.headers = lines_list(&lines);
		e = exchange_open(&r->wire, &spec, w, &x, out);
	}
	lines_done(&lines);
	if (e < 0)
		return e;
	e = read_answer(ask, &x, w, ret, out);
	exchange_close(&x);
	return e;
}

static int ask_again(struct registry *r, const struct ecr_ask *ask,
		     const struct url *u, const char *text, struct wait *w,
		     struct json **ret, struct outcome *out)
{
	int ended = 0, e;

	for (unsigned n = 1;; n++) {
		memset(out, 0, sizeof(*out));
		e = ask_once(r, ask, u, text, w, ret, out);
		if (e == 0 || !out->may_retry)
			return e;
		if (!call_again(r, out, n, w, &ended))
			break;
	}
	return ended == -EINTR ? outcome_set(out, ended, "given up") : e;
}

int ecr_call(struct registry *r, const struct ecr_ask *ask, struct wait *w,
	     struct json **ret, struct outcome *out)
{
	const char *end = ecr_place_endpoint(&r->ecr->place);
	const struct host_conf *conf;
	autofree char *text = NULL;
	struct url u;
	int e;

	memset(out, 0, sizeof(*out));
	if (r->cfg->offline)
		return outcome_set(out, -ENETDOWN, "offline");
	e = registry_conf(r, &conf);
	if (e < 0)
		return outcome_set(out, e, "its configuration is unusable");
	e = url_parse(end, &u);
	if (e < 0)
		return outcome_set(out, e == -ENOMEM ? e : -EACCES,
				   "$AWS_ENDPOINT_URL is no URL");
	e = check_transport(r, &u, out);
	if (e == 0 && url_format(&u, &text) < 0)
		e = outcome_set(out, -ENOMEM, "out of memory");
	if (e == 0)
		e = ask_again(r, ask, &u, text, w, ret, out);
	url_done(&u);
	out->may_retry = false; /* that was done */
	if (e < 0 && e != -EINTR)
		metric_add(METRIC_HTTP_FAILURES, 1);
	return e;
}
