/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts, until one brings an answer that means something, or the policy or
 * the caller's patience says that it is enough (faults.md 3).
 */
#include "registry/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config/endpoint.h"
#include "http/retry.h"
#include "registry/call_state.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metric.h"

void call_give_slot(struct call *c)
{
	if (c->has_slot)
		slots_give(c->slots, c->bulk);
	c->has_slot = false;
}

void call_hang_up(struct call *c)
{
	exchange_close(&c->x);
	call_give_slot(c);
}

void call_close(struct call *c)
{
	if (!c)
		return;
	call_hang_up(c);
	auth_done(&c->auth);
	token_forget(c->foreign);
	token_forget(c->url);
	free(c->base);
	free(c->object);
	free(c->body);
	there_done(&c->there);
	free(c);
}

static uint64_t random_number(void)
{
	uint64_t n = 0;

	/* Jitter only: where there is none yet, zero will do. */
	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != (ssize_t)sizeof(n))
		n = 0;
	return n;
}

bool call_again(struct registry *r, const struct outcome *out, unsigned attempt,
		struct wait *w, int *ret_error)
{
	const struct retry_event e = {.attempt = attempt,
				      .status = out->status,
				      .fail = out->fail,
				      .has_retry_after = out->has_retry_after,
				      .retry_after_s = out->retry_after_s,
				      .left_ms = wait_left_ms(w),
				      .random = random_number()};
	struct retry_policy policy;
	uint64_t delay_ms = 0;
	int error;

	registry_policy(r, &policy);
	if (retry_decide(&policy, &e, &delay_ms) == RETRY_GIVE_UP)
		return false;
	log_debug("%s: %s; attempt %u of %u in %" PRIu64 " ms", r->host,
		  out->text, attempt + 1, policy.attempts, delay_ms);
	error = wait_sleep(w, delay_ms);
	if (error < 0) {
		*ret_error = error;
		return false;
	}
	metric_add(METRIC_HTTP_RETRIES, 1);
	return true;
}

/* Of what must be done once: nobody can have begun with it. */
static bool was_not_done(const struct outcome *out)
{
	return out->status ? out->status == 429 : outcome_unreached(out);
}

static int run(struct call *c, const struct call_spec *s, struct wait *w)
{
	int r;

	for (unsigned n = 1;; n++) {
		int ended = 0;
		bool again;

		r = call_attempt(c, s, w);
		if (r == 0 && s->upload)
			break;
		again = r < 0 ? c->out.may_retry
			      : c->status < 200 || c->status > 299;
		if (s->once && !was_not_done(&c->out))
			again = false;
		if (c->r->is_mirror) /* others are there */
			again = false;
		if (!again || !call_again(c->r, &c->out, n, w, &ended)) {
			if (ended == -EINTR)
				r = c->out.error = ended;
			break;
		}
		call_hang_up(c);
	}
	return r;
}

static bool may_write(const struct registry *r, const struct call_spec *s)
{
	return !r->endpoint || r->endpoint->push ||
	       strcmp(s->method, "GET") == 0 || strcmp(s->method, "HEAD") == 0;
}

static int refuse(struct registry *r, const struct call_spec *s)
{
	struct outcome out = {.status = 0};

	outcome_set(&out, -EPERM, "%.300s says that it is not written to",
		    r->endpoint->where);
	registry_fault(r, s->object, &out);
	return -EPERM;
}

static void note_unlisted(struct registry *r, const struct call_spec *s)
{
	struct fault f = {.wall = clock_wall(), .error = EPERM, .own = true};

	if (!r->cfg->faults)
		return;
	fault_copy(f.host, sizeof(f.host), r->name);
	fault_copy(f.object, sizeof(f.object), s->object);
	fault_copy(f.text, sizeof(f.text), allow_reason(r->cfg->allow));
	fault_record(r->cfg->faults, &f);
}

static int check(struct registry *r, const struct call_spec *s)
{
	const struct registries_config *cfg = r->cfg;

	if (cfg->offline)
		return -ENETDOWN;
	if (r->stands_for) /* it was the name that had to be allowed */
		return 0;
	if (cfg->hosts && hosts_blocked(cfg->hosts, r->name, s->repository))
		return -EPERM;
	if (cfg->allow && *s->repository &&
	    !allow_exact(cfg->allow, r->name, s->repository)) {
		/* Lists are asked for in passing, on the way to others. */
		if (!s->path || !strstr(s->path, "/tags/list"))
			note_unlisted(r, s);
		return -EPERM;
	}
	return may_write(r, s) ? 0 : refuse(r, s);
}

static int start(struct registry *r, const struct call_spec *s,
		 struct call **ret)
{
	struct call *c = calloc(1, sizeof(*c));
	int e;

	if (!c)
		return -ENOMEM;
	c->r = r;
	c->is_head = strcmp(s->method, "HEAD") == 0;
	c->has_body = strcmp(s->method, "POST") == 0 ||
		      strcmp(s->method, "PUT") == 0 ||
		      strcmp(s->method, "PATCH") == 0;
	c->bulk = s->bulk && !s->upload;
	c->slots =
		s->upload || s->sends ? &r->lanes->sends : &r->lanes->fetches;
	c->missing_is_news = s->missing_is_news;
	c->object = strdup(s->object);
	e = c->object ? there_spec(r, s, &c->there) : -ENOMEM;
	if (e == 0)
		e = auth_init(&c->auth, r, c->there.spec.repository,
			      c->there.spec.scope, s->learning);
	if (e < 0)
		call_close(c);
	else
		*ret = c;
	return e;
}

int call_run(struct registry *r, const struct call_spec *s, struct wait *w,
	     struct call **ret)
{
	struct call *c;
	int e = check(r, s);

	if (e < 0) {
		if (s->silent) {
			memset(s->silent, 0, sizeof(*s->silent));
			outcome_set(s->silent, e, "%s", strerror(-e));
		}
		return e;
	}
	e = start(r, s, &c);
	if (e < 0)
		return e;
	e = run(c, &c->there.spec, w);
	if (e < 0 && s->silent)
		*s->silent = c->out;
	else if (e < 0)
		registry_fault(r, s->object, &c->out);
	if (e < 0 && e != -EINTR)
		metric_add(METRIC_HTTP_FAILURES, 1);
	if (e < 0)
		call_close(c);
	else
		*ret = c;
	return e;
}
