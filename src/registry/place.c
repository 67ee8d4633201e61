/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a call is sent: the registry itself, an upload session's location, the
 * target of a redirect.  Credentials stay at the registry's own origin, which
 * is judged here and nowhere else (faults.md A4, A8).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/call_state.h"
#include "registry/location.h"
#include "util/auto.h"

#define ANEW_MAX 2

int call_no_memory(struct call *c)
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

int call_go_home(struct call *c, const struct call_spec *s)
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
	r = registry_url(c->r, c->base, s->location ? "/v2/" : s->path, &url);
	if (r < 0)
		return call_no_memory(c);
	go_to(c, url, true);
	c->hops = 0;
	c->peer = HTTP_PEER_ANY;
	return STEP_AGAIN;
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

/* Whether there is TLS is found out by trying, which needs a request that can
 * be tried. */
static int learn_scheme(struct call *c, struct wait *w)
{
	bool known;

	pthread_mutex_lock(&c->r->lock);
	known = c->r->scheme != SCHEME_UNKNOWN;
	pthread_mutex_unlock(&c->r->lock);
	return known ? 0 : call_learn(c->r, w, &c->out);
}

static void set_peer(struct call *c)
{
	pthread_mutex_lock(&c->r->lock);
	c->peer = c->r->peer;
	pthread_mutex_unlock(&c->r->lock);
}

/* A session's URL was judged when the registry named it; that may be long ago
 * and in another life of this process. */
static int go_to_location(struct call *c, const struct call_spec *s)
{
	const char *why = "";
	char *url = NULL;
	bool home = false;
	int r;

	set_peer(c);
	r = redirect_judge(c->base, s->location, c->peer, &url, &why);
	if (r == 0)
		r = push_location_judge(c->base, url, c->r->cfg->allow, &why);
	if (r == 0)
		r = is_at_home(c, url, &home);
	if (r < 0) {
		token_forget(url);
		return r == -ENOMEM
			       ? call_no_memory(c)
			       : outcome_set(&c->out, -EIO,
					     "its upload location %s", why);
	}
	go_to(c, url, home);
	if (home)
		c->peer = HTTP_PEER_ANY;
	return STEP_AGAIN;
}

int call_place(struct call *c, const struct call_spec *s, struct wait *w)
{
	char *url;
	int r = 0;

	if (s->location || s->upload)
		r = learn_scheme(c, w);
	if (r == 0)
		r = call_go_home(c, s);
	if (r == STEP_AGAIN && s->location)
		return go_to_location(c, s);
	if (r < 0 || !s->remember ||
	    redirects_find(c->r->redirects, s->remember, &url) < 0)
		return r;
	go_to(c, url, false);
	c->remembered = true;
	set_peer(c);
	return STEP_AGAIN;
}

bool call_is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/* 307 and 308 keep method and body; any other turns a change into a GET. */
static bool may_follow(const struct call_spec *s, int status)
{
	if (strcmp(s->method, "GET") == 0 || strcmp(s->method, "HEAD") == 0)
		return true;
	return !s->upload && (status == 307 || status == 308);
}

/* What changes something is not carried to another place than the one that
 * was asked. */
static bool may_go_there(const struct call *c, const struct call_spec *s,
			 const char *next)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	bool ret = false;

	if (strcmp(s->method, "GET") == 0 || strcmp(s->method, "HEAD") == 0)
		return true;
	if (url_parse(c->url, &a) == 0 && url_parse(next, &b) == 0)
		ret = url_same_origin(&a, &b);
	url_done(&a);
	url_done(&b);
	return ret;
}

int call_follow(struct call *c, const struct call_spec *s)
{
	const char *location = http_header(c->x.head, "location");
	const char *why = "leads nowhere";
	char *next = NULL;
	bool home = false;
	int r;

	if (!may_follow(s, c->x.head->status))
		return STEP_DONE;
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
	if (r == 0 && !may_go_there(c, s, next)) {
		r = -EACCES;
		why = "leads to another host";
	}
	if (r == 0 && ++c->hops > REDIRECT_HOPS_MAX) {
		r = -EACCES;
		why = "is one too many";
	}
	if (r < 0) {
		token_forget(next);
		c->out.status = c->x.head->status;
		return r == -ENOMEM ? call_no_memory(c)
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
	r = token_judge_realm(c->url, ch->realm, c->x.head->peer, NULL,
			      ret_realm, &why);
	if (r == 0)
		r = token_merge_scopes(ch->scope, NULL, ret_scope);
	if (r == -ENOMEM)
		return call_no_memory(c);
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
	return call_go_home(c, s);
}

int call_judge_abroad(struct call *c, const struct call_spec *s, struct wait *w)
{
	int status = c->x.head->status;
	int r;

	if (status == 401 && !c->foreign && !s->location) {
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
