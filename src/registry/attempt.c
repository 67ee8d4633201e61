/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one attempt:
 *
 *   place (the registry, or a remembered redirect target)
 *     -> ask (identify, slot, exchange) -> judge the head
 *          401, 403 of the registry   identify otherwise, ask again
 *          400 that means 401         with another token from the start
 *          3xx                        judge the target, ask there
 *          signed URL refused         forget it, ask the registry anew
 *          else                       that is the answer
 *   -> conclude (document or refusal is read)
 *
 * Of an upload it ends with the request being on its way.
 *
 * Every "ask again" has a counter of its own (hops, anew, auth.rounds), so an
 * attempt ends whatever the other side says.  No slot is held while waiting
 * for anything but this exchange; no lock is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/call_state.h"
#include "registry/ecr.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"

#define DRAIN_MAX 65536 /* of an answer nobody reads, to keep a connection */
#define HEAD_BODY_MAX ((uint64_t)1 << 20) /* refusals have bodies, too */

static int add_configured(struct call *c, struct lines *l)
{
	struct string_list list = {.v = NULL};
	int r = 0;

	/* What is meant for registries in general is not meant for mirrors. */
	if (!c->r->cfg->auth || c->r->stands_for)
		return 0;
	r = dockerauth_headers(c->r->cfg->auth, &list);
	for (size_t i = 0; i < list.len && r == 0; i++) {
		const char *colon = strchr(list.v[i], ':');
		autofree char *name = NULL;

		/* Identification is not a matter of taste. */
		if (!colon || strncasecmp(list.v[i], "authorization:", 14) == 0)
			continue;
		name = strndup(list.v[i], (size_t)(colon - list.v[i]));
		colon += 1 + strspn(colon + 1, " \t");
		r = name ? lines_add(l, name, colon) : -ENOMEM;
	}
	string_list_done(&list);
	return r == -ENOMEM ? r : 0;
}

/* What the administrator wrote down for this place. */
static int add_own(struct call *c, struct lines *l)
{
	const struct host_conf *conf;
	int r = registry_conf(c->r, &conf);

	for (size_t i = 0; r == 0 && i < conf->headers.len; i++) {
		const char *colon = strchr(conf->headers.v[i], ':');
		autofree char *name = NULL;

		name = strndup(conf->headers.v[i],
			       (size_t)(colon - conf->headers.v[i]));
		r = name ? lines_add(l, name, colon + 2) : -ENOMEM;
	}
	return r;
}

static int add_lines(struct call *c, const struct call_spec *s, struct wait *w,
		     struct lines *l)
{
	autostr value = {.len = 0};
	int r = 0;

	if (s->accept)
		r = lines_add(l, "Accept", s->accept);
	if (r == 0 && s->range)
		r = lines_add(l, "Range", s->range);
	/* A body of no type is no form, which libcurl takes it for. */
	if (r == 0 && c->has_body)
		r = lines_add(l, "Content-Type",
			      s->content_type ? s->content_type : "");
	if (r == 0 && s->content_range)
		r = lines_add(l, "Content-Range", s->content_range);
	if (r == 0 && s->if_match)
		r = lines_add(l, "If-Match", s->if_match);
	if (r == 0 && c->home)
		r = add_configured(c, l);
	if (r == 0 && c->home)
		r = add_own(c, l);
	if (r < 0)
		return call_no_memory(c);
	if (c->home)
		return auth_add(&c->auth, w, l, &c->out);
	if (!c->foreign)
		return 0;
	r = str_addf(&value, "Bearer %s", c->foreign);
	if (r == 0)
		r = lines_add(l, "Authorization", value.buf);
	return r < 0 ? call_no_memory(c) : 0;
}

static int take_slot(struct call *c, struct wait *w)
{
	int r = slots_take(c->slots, c->bulk, w);

	if (r < 0)
		return outcome_set(&c->out, r,
				   "all connections to it stayed busy");
	c->has_slot = true;
	return 0;
}

/* A registry on loopback, or one that may be insecure, that does not speak TLS
 * (registries.md C.8). */
static bool fall_back(struct call *c)
{
	const struct host_conf *conf = &c->r->conf;
	enum http_fail fail = c->out.fail;

	if (!c->home || !conf->try_https_first || !str_prefix(c->url, "https:"))
		return false;
	if (fail != HTTP_FAIL_TLS && fail != HTTP_FAIL_PROTOCOL &&
	    fail != HTTP_FAIL_RESET && fail != HTTP_FAIL_SHORT &&
	    fail != HTTP_FAIL_CONNECT)
		return false;
	autolock(&c->r->lock);
	if (c->r->scheme == SCHEME_HTTPS)
		return false;
	c->r->scheme = SCHEME_HTTP;
	return true;
}

static int no_answer(struct call *c, const struct call_spec *s, int error)
{
	call_hang_up(c);
	if (!s->location && fall_back(c))
		return call_go_home(c, s);
	/* Storage moves: the next attempt hears where it is now. */
	if (!c->home && s->remember) {
		redirects_drop(c->r->redirects, s->remember, c->url);
		c->out.may_retry |= c->remembered;
	}
	return error;
}

static int ask(struct call *c, const struct call_spec *s, struct wait *w)
{
	struct lines lines = {.len = 0};
	struct exchange_spec spec = {.method = s->method,
				     .url = c->url,
				     .body = s->body,
				     .body_bytes = s->body_bytes,
				     .upload = s->upload,
				     .upload_bytes = s->upload_bytes,
				     .max_body_bytes = s->max_body_bytes,
				     .bulk = s->bulk,
				     .peer = c->peer};
	int r;

	if (spec.max_body_bytes < HEAD_BODY_MAX)
		spec.max_body_bytes = HEAD_BODY_MAX;
	/* Storing takes longer than looking up. */
	if (s->upload || s->body_bytes || strcmp(s->method, "PUT") == 0)
		spec.answer_ms = c->r->cfg->times.commit_budget;
	r = add_lines(c, s, w, &lines);
	if (r == 0)
		r = take_slot(c, w);
	if (r == 0) {
		spec.headers = lines_list(&lines);
		r = exchange_open(&c->r->wire, &spec, w, &c->x, &c->out);
		if (r < 0)
			r = no_answer(c, s, r);
		else
			r = STEP_DONE;
	} else if (c->out.refused && auth_other(&c->auth, w, true)) {
		r = STEP_AGAIN;
	}
	lines_done(&lines);
	return r;
}

/* Who may be waiting for a slot is ourselves, asking what is demanded. */
static int identify(struct call *c, struct wait *w)
{
	int r;

	call_give_slot(c);
	r = auth_refused(&c->auth, c->url, c->x.head, w, &c->out);
	if (r != STEP_DONE)
		call_hang_up(c);
	return r;
}

static int judge(struct call *c, const struct call_spec *s, struct wait *w)
{
	const struct http_head *head = c->x.head;

	if (c->home)
		registry_note_head(c->r, c->url, head);
	if (call_is_redirect(head->status))
		return call_follow(c, s);
	if (!c->home)
		return call_judge_abroad(c, s, w);
	if (head->status == 401 || head->status == 403)
		return identify(c, w);
	auth_accepted(&c->auth);
	return STEP_DONE;
}

void call_drain(struct call *c, struct wait *w)
{
	const char *length = http_header(c->x.head, "content-length");
	autofree char *body = NULL;
	unsigned long long n;
	size_t len;

	if (length && str_to_u64(length, DRAIN_MAX, &n) == 0 && n > 0)
		http_read_all(c->x.transfer, DRAIN_MAX, w, &body, &len);
}

/* The document, or the words of a refusal. */
static int conclude(struct call *c, const struct call_spec *s, struct wait *w)
{
	int r = 0;

	c->status = c->x.head->status;
	if (c->status < 200 || c->status > 299) {
		call_read_refusal(c, w);
	} else if (s->document) {
		r = exchange_read_all(&c->x, (size_t)s->max_body_bytes, w,
				      &c->body, &c->body_len, &c->out);
	} else if (strcmp(s->method, "GET") == 0) {
		return 0; /* the stream keeps its slot */
	} else if (!c->is_head) {
		call_drain(c, w);
	}
	call_give_slot(c);
	return r;
}

static int go(struct call *c, const struct call_spec *s, struct wait *w)
{
	int r = call_place(c, s, w);

	while (r == STEP_AGAIN) {
		memset(&c->out, 0, sizeof(c->out));
		r = ask(c, s, w);
		if (r == STEP_DONE && !s->upload)
			r = judge(c, s, w);
	}
	if (r == STEP_DONE && !s->upload)
		r = conclude(c, s, w);
	return r;
}

/* Amazon's answer to a password that never was one. */
static bool has_no_password(const struct call *c)
{
	return c->status == 400 && c->r->ecr && c->auth.sent &&
	       !c->auth.token && !c->out.has_body;
}

/* STEP_AGAIN: what was refused may be granted now. */
static int mend(struct call *c, const struct call_spec *s, struct wait *w)
{
	if (s->upload || !c->home || c->status < 400)
		return STEP_DONE;
	if (auth_ended(&c->auth, c->status, &c->out))
		return STEP_AGAIN;
	if (has_no_password(c)) {
		if (auth_other(&c->auth, w, true))
			return STEP_AGAIN;
		fault_copy(c->out.code, sizeof(c->out.code), "UNAUTHORIZED");
		fault_copy(c->out.text, sizeof(c->out.text),
			   "does not accept the credential");
	}
	if (!s->creates || c->status != 404 ||
	    strcasecmp(c->out.code, "NAME_UNKNOWN") != 0)
		return STEP_DONE;
	return ecr_make_repository(c->r, s->repository, ++c->made, w, &c->out);
}

int call_attempt(struct call *c, const struct call_spec *s, struct wait *w)
{
	int r;

	memset(&c->out, 0, sizeof(c->out));
	c->anew = 0;
	c->is_oci = false;
	c->auth.rounds = 0;
	r = go(c, s, w);
	while (r == 0 && (r = mend(c, s, w)) == STEP_AGAIN) {
		call_hang_up(c);
		memset(&c->out, 0, sizeof(c->out));
		c->is_oci = false;
		r = go(c, s, w);
		if (r != STEP_DONE)
			break;
	}
	if (r < 0)
		call_hang_up(c);
	return r;
}
