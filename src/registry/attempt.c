/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one attempt:
 *
 *   place (the registry, or a remembered redirect target)
 *     -> ask (identify, slot, exchange) -> judge the head
 *          401, 403 of the registry   identify otherwise, ask again
 *          3xx                        judge the target, ask there
 *          signed URL refused         forget it, ask the registry anew
 *          else                       that is the answer
 *   -> conclude (document or refusal is read)
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
#include "util/auto.h"

#define ANEW_MAX 2
#define HEAD_BODY_MAX ((uint64_t)1 << 20) /* refusals have bodies, too */

enum { STEP_DONE = 0, STEP_AGAIN = 1 };

static int no_memory(struct call *c)
{
	return outcome_set(&c->out, -ENOMEM, "out of memory");
}

static void go_to(struct call *c, char *url, bool home)
{
	token_forget(c->url);
	c->url = url;
	c->home = home;
	c->remembered = false;
	token_forget(c->foreign);
	c->foreign = NULL;
}

static int go_home(struct call *c, const struct call_spec *s)
{
	char *url;
	int r;

	free(c->base);
	c->base = NULL;
	r = registry_base(c->r, &c->base);
	if (r < 0)
		return outcome_set(
			&c->out, r,
			"its configuration is unusable, see the log");
	url = str_printf("%s%s", c->base, s->path);
	if (!url)
		return no_memory(c);
	go_to(c, url, true);
	c->hops = 0;
	c->peer = HTTP_PEER_ANY;
	return STEP_AGAIN;
}

static int place(struct call *c, const struct call_spec *s)
{
	char *url;
	int r = go_home(c, s);

	if (r < 0 || !s->remember ||
	    redirects_find(c->r->redirects, s->remember, &url) < 0)
		return r;
	go_to(c, url, false);
	c->remembered = true;
	pthread_mutex_lock(&c->r->lock);
	c->peer = c->r->peer;
	pthread_mutex_unlock(&c->r->lock);
	return STEP_AGAIN;
}

static int add_configured(struct call *c, struct lines *l)
{
	struct string_list list = {.v = NULL};
	int r = 0;

	if (!c->r->cfg->auth)
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

static int add_lines(struct call *c, const struct call_spec *s, struct wait *w,
		     struct lines *l)
{
	autostr value = {.len = 0};
	int r = 0;

	if (s->accept)
		r = lines_add(l, "Accept", s->accept);
	if (r == 0 && s->range)
		r = lines_add(l, "Range", s->range);
	if (r == 0 && c->home)
		r = add_configured(c, l);
	if (r < 0)
		return no_memory(c);
	if (c->home)
		return auth_add(&c->auth, w, l, &c->out);
	if (!c->foreign)
		return 0;
	r = str_addf(&value, "Bearer %s", c->foreign);
	if (r == 0)
		r = lines_add(l, "Authorization", value.buf);
	return r < 0 ? no_memory(c) : 0;
}

static int take_slot(struct call *c, struct wait *w)
{
	int r = slots_take(&c->r->slots, c->bulk, w);

	if (r < 0)
		return outcome_set(&c->out, r,
				   "all connections to it stayed busy");
	c->has_slot = true;
	return 0;
}

/* A loopback registry that does not speak TLS (registries.md C.8). */
static bool fall_back(struct call *c)
{
	const struct host_conf *conf = &c->r->conf;
	enum http_fail fail = c->out.fail;

	if (!c->home || !conf->try_https_first || !conf->is_loopback ||
	    !str_prefix(c->url, "https:"))
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
	if (fall_back(c))
		return go_home(c, s);
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
				     .max_body_bytes = s->max_body_bytes,
				     .bulk = s->bulk,
				     .peer = c->peer};
	int r;

	if (spec.max_body_bytes < HEAD_BODY_MAX)
		spec.max_body_bytes = HEAD_BODY_MAX;
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
	} else if (c->out.refused && auth_other(&c->auth, true)) {
		r = STEP_AGAIN;
	}
	lines_done(&lines);
	return r;
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

static int is_at_home(const struct call *c, const char *url, bool *ret)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	int r = url_parse(c->base, &a);

	if (r == 0)
		r = url_parse(url, &b);
	if (r == 0)
		*ret = url_same_origin(&a, &b);
	url_done(&a);
	url_done(&b);
	return r;
}

static int follow(struct call *c, const struct call_spec *s)
{
	const char *location = http_header(c->x.head, "location");
	const char *why = "leads nowhere";
	char *next = NULL;
	bool home = false;
	int r;

	if (c->x.head->peer > c->peer)
		c->peer = c->x.head->peer;
	r = location ? redirect_judge(c->url, location, c->peer, &next, &why)
		     : -EACCES;
	if (r == 0)
		r = is_at_home(c, next, &home);
	if (r == 0 && s->stay && !home) {
		token_forget(next);
		return STEP_DONE;
	}
	if (r == 0 && ++c->hops > REDIRECT_HOPS_MAX) {
		r = -EACCES;
		why = "is one too many";
	}
	if (r < 0) {
		token_forget(next);
		c->out.status = c->x.head->status;
		return r == -ENOMEM ? no_memory(c)
				    : outcome_set(&c->out, -EIO,
						  "its redirect %s", why);
	}
	call_hang_up(c);
	go_to(c, next, home);
	return STEP_AGAIN;
}

/* Whom to ask for a token abroad, and for what.  STEP_DONE: nobody. */
static int read_abroad(struct call *c, const struct challenge *ch,
		       char **ret_realm, char **ret_scope)
{
	const char *why = "";
	int r;

	if (!ch || ch->scheme != CHALLENGE_BEARER)
		return STEP_DONE;
	r = token_judge_realm(c->url, ch->realm, c->x.head->peer, ret_realm,
			      &why);
	if (r == 0)
		r = token_merge_scopes(ch->scope, NULL, ret_scope);
	if (r == -ENOMEM)
		return no_memory(c);
	return r < 0 ? STEP_DONE : STEP_AGAIN;
}

/* registry.k8s.io sends us to registries that ask for their own token: one
 * that anybody gets, for the first registry's credential is not theirs. */
static int identify_abroad(struct call *c, struct wait *w)
{
	struct credential nobody = {.kind = CREDENTIAL_NONE};
	struct token_want want = {.origin = origin_name(c->x.origin),
				  .credential = &nobody,
				  .peer = c->x.head->peer};
	autofree char *realm = NULL;
	autofree char *scope = NULL;
	const struct challenge *ch;
	struct challenges all;
	bool fresh;
	int r;

	auth_challenges(c->x.head, &all);
	ch = auth_pick(&all);
	r = read_abroad(c, ch, &realm, &scope);
	if (r == STEP_AGAIN) {
		call_hang_up(c);
		want.realm = realm;
		want.service = ch->service;
		want.scope = scope;
		r = tokens_get(c->r->tokens, &c->r->wire, &want, w, &c->foreign,
			       &fresh, &c->out);
		if (r == 0)
			r = STEP_AGAIN;
	}
	challenges_done(&all);
	return r;
}

/* Signed URLs end before their time; the registry gives another one. */
static int ask_anew(struct call *c, const struct call_spec *s)
{
	redirects_drop(c->r->redirects, s->remember, c->url);
	/* Signed for GET, a URL refuses HEAD as often as one asks. */
	if (c->anew++ >= ANEW_MAX || (c->is_head && !c->remembered))
		return STEP_DONE;
	call_hang_up(c);
	return go_home(c, s);
}

static int judge_abroad(struct call *c, const struct call_spec *s,
			struct wait *w)
{
	int status = c->x.head->status;
	int r;

	if (status == 401 && !c->foreign) {
		r = identify_abroad(c, w);
		if (r != STEP_DONE)
			return r;
	}
	if (s->remember && (status == 400 || status == 401 || status == 403 ||
			    status == 404 || status == 410))
		return ask_anew(c, s);
	if (s->remember && status < 300 && !c->foreign && !c->remembered)
		redirects_keep(c->r->redirects, s->remember, c->url);
	return STEP_DONE;
}

static int judge(struct call *c, const struct call_spec *s, struct wait *w)
{
	const struct http_head *head = c->x.head;
	int r;

	if (c->home)
		registry_note_head(c->r, c->url, head);
	if (is_redirect(head->status))
		return follow(c, s);
	if (!c->home)
		return judge_abroad(c, s, w);
	if (head->status == 401 || head->status == 403) {
		r = auth_refused(&c->auth, c->url, head, w, &c->out);
		if (r != STEP_DONE)
			call_hang_up(c);
		return r;
	}
	auth_accepted(&c->auth);
	return STEP_DONE;
}

/* The document, or the words of a refusal. */
static int conclude(struct call *c, const struct call_spec *s, struct wait *w)
{
	int r = 0;

	c->status = c->x.head->status;
	if (c->status < 200 || c->status > 299) {
		exchange_refusal(&c->x, w, &c->out, &c->is_oci);
	} else if (s->document) {
		r = exchange_read_all(&c->x, (size_t)s->max_body_bytes, w,
				      &c->body, &c->body_len, &c->out);
	} else if (!c->is_head) {
		return 0; /* the stream keeps its slot */
	}
	if (c->has_slot)
		slots_give(&c->r->slots, c->bulk);
	c->has_slot = false;
	return r;
}

int call_attempt(struct call *c, const struct call_spec *s, struct wait *w)
{
	int r;

	memset(&c->out, 0, sizeof(c->out));
	c->anew = 0;
	c->is_oci = false;
	c->auth.rounds = 0;
	r = place(c, s);
	while (r == STEP_AGAIN) {
		memset(&c->out, 0, sizeof(c->out));
		r = ask(c, s, w);
		if (r == STEP_DONE)
			r = judge(c, s, w);
	}
	if (r == STEP_DONE)
		r = conclude(c, s, w);
	if (r < 0)
		call_hang_up(c);
	return r;
}
