/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is tried, in this order, each at most once per call:
 *   what was learned of the host before (token for the scope, password)
 *   -> 401: what its challenge says, a new token with the challenge's scope
 *   -> refused: the credential as it is now in the user's files
 *   -> refused: nobody's name, for reading needs none at many places; what
 *      changes something stays refused
 * `rounds` bounds the challenges a hostile registry can make us answer.
 */
#include "registry/auth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/call.h"
#include "registry/login.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"

#define ROUNDS_MAX 3

/* "repository:x:pull,push": is one of the actions to change something? */
static bool asks_to_change(const char *scope)
{
	while (*scope) {
		size_t n = strcspn(scope, " :,");

		if ((n == 4 && memcmp(scope, "push", n) == 0) ||
		    (n == 6 && memcmp(scope, "delete", n) == 0)) {
			/* A name may be so, too: an action ends the scope. */
			if (scope[n] == '\0' || scope[n] == ',' ||
			    scope[n] == ' ')
				return true;
		}
		scope += n + (scope[n] != '\0');
	}
	return false;
}

int auth_init(struct auth *a, struct registry *r, const char *repository,
	      const char *scope, bool never)
{
	int ret;

	*a = (struct auth){.r = r,
			   .repository = repository,
			   .never = never,
			   .changes = asks_to_change(scope)};
	a->own = strdup(scope);
	if (!a->own)
		return -ENOMEM;
	ret = registry_scope(r, scope, &a->scope);
	if (ret < 0)
		auth_done(a);
	return ret;
}

void auth_done(struct auth *a)
{
	demand_done(&a->demand);
	credential_done(&a->credential);
	token_forget(a->token);
	free(a->own);
	free(a->scope);
	*a = (struct auth){.r = NULL};
}

static bool is_known_bad(struct registry *r, const char *identity)
{
	autolock(&r->lock);
	return strcmp(r->refused_identity, identity) == 0 &&
	       clock_ms() < r->refused_until_ms;
}

static int find_credential(struct auth *a, struct wait *w, struct outcome *out)
{
	char identity[17];
	int r;

	if (a->has_credential || a->anonymous)
		return 0;
	r = login_find(a->r, a->repository, w, &a->credential, out);
	/* A vendor does not know this user, who may well read. */
	if (r < 0 && out->refused && !a->changes) {
		out->refused = false;
		a->anonymous = true;
		return 0;
	}
	if (r < 0)
		return r;
	a->has_credential = true;
	credential_identity(&a->credential, identity);
	if (a->credential.kind != CREDENTIAL_NONE && !a->changes &&
	    is_known_bad(a->r, identity)) {
		credential_done(&a->credential);
		a->has_credential = false;
		a->anonymous = true;
	}
	return 0;
}

static int find_demand(struct auth *a, struct wait *w, struct outcome *out)
{
	int r;

	if (a->demand.known)
		return 0;
	r = registry_copy_demand(a->r, &a->demand);
	/* Without a credential the answer to the request itself will tell. */
	if (r == 0 && !a->demand.known &&
	    a->credential.kind != CREDENTIAL_NONE) {
		r = call_learn(a->r, w, out);
		if (r < 0)
			return r;
		r = registry_copy_demand(a->r, &a->demand);
	}
	return r < 0 ? outcome_set(out, r, "out of memory") : 0;
}

static int add_bearer(struct lines *l, const char *token)
{
	autostr value = {.len = 0};
	int r = str_addf(&value, "Bearer %s", token);

	if (r == 0)
		r = lines_add(l, "Authorization", value.buf);
	if (value.buf)
		explicit_bzero(value.buf, value.len);
	return r;
}

static int get_token(struct auth *a, struct wait *w, struct outcome *out)
{
	autofree char *origin = NULL;
	enum http_peer peer;
	char *token = NULL;
	int r = registry_base(a->r, &origin);

	if (r < 0)
		return outcome_set(out, r, "out of memory");
	pthread_mutex_lock(&a->r->lock);
	peer = a->r->peer;
	pthread_mutex_unlock(&a->r->lock);
	const struct token_want want = {.origin = origin,
					.realm = a->demand.realm,
					.service = a->demand.service,
					.scope = a->scope,
					.credential = &a->credential,
					.peer = peer};
	r = tokens_get(a->r->tokens, &a->r->wire, &want, w, &token, &a->fresh,
		       out);
	/* Nobody is there: where it has moved to, the next challenge says. */
	if (r < 0 && out->status == 0 && r != -EINTR) {
		demand_done(&a->demand);
		registry_forget_demand(a->r);
	}
	if (r < 0)
		return r;
	token_forget(a->token);
	a->token = token;
	return 0;
}

/* 1: a line was added. */
static int add_line(struct auth *a, struct wait *w, struct lines *l,
		    struct outcome *out)
{
	const struct credential *c = &a->credential;
	int r;

	if (c->kind == CREDENTIAL_REGISTRY_TOKEN) {
		r = add_bearer(l, c->secret ? c->secret : "");
	} else if (a->demand.scheme == CHALLENGE_BASIC) {
		if (c->kind != CREDENTIAL_BASIC)
			return 0;
		r = lines_add_basic(l, c);
	} else if (a->demand.scheme == CHALLENGE_BEARER) {
		r = get_token(a, w, out);
		if (r < 0)
			return r;
		r = add_bearer(l, a->token);
	} else {
		return 0;
	}
	return r < 0 ? outcome_set(out, r, "cannot identify: %s", strerror(-r))
		     : 1;
}

int auth_add(struct auth *a, struct wait *w, struct lines *l,
	     struct outcome *out)
{
	int r;

	a->sent = false;
	if (a->never)
		return 0;
	r = find_credential(a, w, out);
	if (r == 0)
		r = find_demand(a, w, out);
	if (r == 0)
		r = add_line(a, w, l, out);
	if (r < 0)
		return r;
	a->sent = r == 1;
	return 0;
}

void auth_challenges(const struct http_head *head, struct challenges *ret)
{
	const char *value;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < HEADER_CHALLENGES_MAX; i++) {
		value = http_header_nth(head, "www-authenticate", i);
		if (!value)
			break;
		/* What came before a bad place is as good as ever. */
		header_parse_challenges(value, ret);
	}
}

const struct challenge *auth_pick(const struct challenges *c)
{
	const struct challenge *basic = NULL;

	for (size_t i = 0; i < c->len; i++) {
		if (c->v[i].scheme == CHALLENGE_BEARER && c->v[i].realm)
			return &c->v[i];
		if (c->v[i].scheme == CHALLENGE_BASIC && !basic)
			basic = &c->v[i];
	}
	return basic;
}

/* The challenge becomes what is demanded, if its realm is one to talk to. */
static int take_challenge(struct auth *a, const char *url,
			  const struct http_head *head,
			  const struct challenge *c, struct outcome *out)
{
	struct demand d = {.known = true, .scheme = c->scheme};
	const char *why = "";
	int r = 0;

	if (c->scheme == CHALLENGE_BEARER) {
		r = token_judge_realm(url, c->realm, head->peer,
				      a->r->cfg->allow, &d.realm, &why);
		if (r == -EACCES) {
			autofree char *shown = url_redact(c->realm);

			return outcome_set(out, r, "its token server %.200s %s",
					   shown ? shown : "", why);
		}
		if (r == 0 && c->service) {
			d.service = strdup(c->service);
			r = d.service ? 0 : -ENOMEM;
		}
	}
	if (r < 0) {
		demand_done(&d);
		return outcome_set(out, r, "out of memory");
	}
	registry_set_demand(a->r, &d);
	demand_done(&a->demand);
	a->demand = d;
	return 0;
}

/* True if the challenge wants more than was asked for. */
static bool widen_scope(struct auth *a, const struct challenge *c)
{
	char *merged = NULL;

	if (!c || c->scheme != CHALLENGE_BEARER || !c->scope ||
	    token_merge_scopes(a->scope, c->scope, &merged) < 0)
		return false;
	if (strcmp(merged, a->scope) == 0) {
		free(merged);
		return false;
	}
	free(a->scope);
	a->scope = merged;
	registry_keep_scope(a->r, a->own, merged);
	return true;
}

static bool can_identify(const struct auth *a)
{
	if (a->demand.scheme == CHALLENGE_BASIC)
		return a->credential.kind == CREDENTIAL_BASIC;
	return a->demand.scheme == CHALLENGE_BEARER;
}

static int answer_challenge(struct auth *a, const struct challenge *c,
			    enum challenge_scheme before, struct wait *w,
			    struct outcome *out)
{
	bool wider = widen_scope(a, c);
	int r;

	if (a->rounds++ >= ROUNDS_MAX)
		return 0;
	if (!a->sent) {
		/* No challenge at all: the one of /v2/ (gcr.io). */
		if (!a->demand.known) {
			r = call_learn(a->r, w, out);
			if (r == 0)
				r = registry_copy_demand(a->r, &a->demand);
			if (r < 0)
				return r;
		}
		return can_identify(a);
	}
	if (wider || (before != a->demand.scheme && can_identify(a)))
		return 1;
	/* Who we are is known, and not enough: neither a new token nor
	 * nobody's name would help. */
	if (c && c->error && strcasecmp(c->error, "insufficient_scope") == 0)
		return 0;
	if (a->token && !a->fresh) {
		tokens_drop(a->r->tokens, a->token);
		return 1;
	}
	return auth_other(a, w, true);
}

int auth_refused(struct auth *a, const char *url, const struct http_head *head,
		 struct wait *w, struct outcome *out)
{
	enum challenge_scheme before = a->demand.scheme;
	const struct challenge *c;
	struct challenges all;
	int r = 0;

	if (head->status == 403)
		return a->sent && auth_other(a, w, false);
	auth_challenges(head, &all);
	c = auth_pick(&all);
	if (c)
		r = take_challenge(a, url, head, c, out);
	if (r == 0 && !a->never)
		r = answer_challenge(a, c, before, w, out);
	challenges_done(&all);
	return r;
}

bool auth_ended(struct auth *a, int status, const struct outcome *out)
{
	bool says_so =
		*out->code ? strcasecmp(out->code, "DENIED") == 0 ||
				     strcasecmp(out->code, "UNAUTHORIZED") == 0
			   : !out->has_body;

	if (status != 400 || !says_so || !a->token || a->fresh ||
	    a->rounds++ >= ROUNDS_MAX)
		return false;
	tokens_drop(a->r->tokens, a->token);
	return true;
}

/* Files and helpers may have a newer secret. */
static bool look_again(struct auth *a, struct wait *w)
{
	struct credential now = {.kind = CREDENTIAL_NONE};
	struct outcome out = {.error = 0};
	char identity[17];

	a->looked_again = true;
	login_forget(a->r);
	if (login_find(a->r, a->repository, w, &now, &out) < 0)
		return false;
	credential_identity(&now, identity);
	if (strcmp(identity, a->identity) == 0 ||
	    (a->changes && now.kind == CREDENTIAL_NONE)) {
		credential_done(&now);
		return false;
	}
	credential_done(&a->credential);
	a->credential = now;
	return true;
}

static void tell(struct registry *r)
{
	bool due;

	pthread_mutex_lock(&r->lock);
	due = clock_ms() >= r->told_after_ms;
	if (due)
		r->told_after_ms = clock_ms() + REGISTRY_REFUSED_MS;
	pthread_mutex_unlock(&r->lock);
	if (due)
		log_warning("%s: refuses the stored credential, trying "
			    "without",
			    r->host);
}

bool auth_other(struct auth *a, struct wait *w, bool is_credential)
{
	if (a->anonymous || a->credential.kind == CREDENTIAL_NONE)
		return false;
	credential_identity(&a->credential, a->identity);
	if (!a->looked_again && look_again(a, w))
		return true;
	if (a->changes)
		return false;
	credential_done(&a->credential);
	a->credential.kind = CREDENTIAL_NONE;
	a->has_credential = false;
	a->anonymous = true;
	a->was_refused = is_credential;
	tell(a->r);
	return true;
}

void auth_accepted(struct auth *a)
{
	if (!a->was_refused)
		return;
	a->was_refused = false;
	autolock(&a->r->lock);
	memcpy(a->r->refused_identity, a->identity,
	       sizeof(a->r->refused_identity));
	a->r->refused_until_ms = clock_ms() + REGISTRY_REFUSED_MS;
}

bool auth_identified(const struct auth *a)
{
	return a->sent && a->credential.kind != CREDENTIAL_NONE;
}
