/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest on its way in (faults.md N19-N24):
 *
 *   PUT -> stored    confirm by HEAD                 -> 0, or -EIO
 *       -> missing   what it names is not seen yet   -> PUT, 3 in all
 *       -> refused   immutable, but ours already     -> 0, else the refusal
 *       -> unknown   look: ours                      -> 0
 *                    somebody else's                 -> -EIO
 *                    not ours, the policy says again -> PUT
 *                    not ours                        -> look on for a while
 *
 * The request itself is sent once per round: what became of it is found out
 * before it is sent again, so that a late success is never overlooked.
 */
#include "registry/out/put.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/manifest.h"
#include "registry/call.h"
#include "registry/fetch.h"
#include "registry/host.h"
#include "registry/out/look.h"
#include "registry/out/put_shared.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metric.h"

#define PATIENCE_MS 120000
#define CONFIRM_LOOKS 4 /* replicas may be a moment behind */
#define MISSING_TRIES 3

enum verdict {
	VERDICT_STORED,
	VERDICT_REFUSED,
	VERDICT_MISSING,
	VERDICT_UNKNOWN
};

struct putting {
	struct registry *r;
	const struct put_manifest *p;
	struct wait *w;
	const char *if_match; /* or NULL */
	bool is_shared;
	struct object o;
	bool was_said; /* the answer names our digest */
	bool has_subject;
	uint64_t until_ms;  /* an unknown outcome is looked after; 0: none */
	struct outcome out; /* of the last PUT */
};

uint64_t put_patience_ms(const struct registry *r)
{
	unsigned ms = r->cfg->times.commit_budget;

	return ms ? ms : PATIENCE_MS;
}

static int fail(struct putting *p)
{
	metric_add(METRIC_HTTP_FAILURES, 1);
	registry_fault(p->r, p->o.name, &p->out);
	return p->out.error;
}

/* What was begun is seen to its end, however long it took to get there. */
static void extend(struct wait *w, uint64_t until_ms)
{
	if (w->deadline_ms < until_ms)
		w->deadline_ms = until_ms;
}

static uint64_t look_pause_ms(const struct registry *r)
{
	unsigned base = r->cfg->times.retry_base;

	return base ? base : 500;
}

/* --- the request --- */

/* It may have been done, or be done yet. */
static bool is_open(const struct outcome *out, int error)
{
	if (out->status)
		return out->status == 408 ||
		       (out->status >= 500 && out->status != 501 &&
			out->status != 507);
	if (error == -ETIMEDOUT)
		return true;
	return out->fail != HTTP_FAIL_NONE && out->fail != HTTP_FAIL_TLS &&
	       out->fail != HTTP_FAIL_PEER && out->fail != HTTP_FAIL_LOCAL &&
	       out->fail != HTTP_FAIL_CANCELLED && !outcome_unreached(out);
}

static enum verdict read_success(struct putting *p, struct call *c)
{
	enum look said = look_said(c, p->p);
	const char *subject = call_header(c, "oci-subject", 0);
	struct digest d;

	p->was_said = said == LOOK_OURS;
	if (said == LOOK_OTHER || said == LOOK_BEFORE) {
		p->out.status = call_status(c);
		outcome_set(&p->out, -EIO, "stored as another digest");
		return VERDICT_REFUSED;
	}
	p->has_subject = subject && digest_parse(subject, &d) == 0;
	if (p->has_subject && registry_referrers(p->r) == SUPPORT_UNKNOWN)
		registry_set_referrers(p->r, SUPPORT_YES);
	return VERDICT_STORED;
}

static enum verdict read_answer(struct putting *p, struct call *c)
{
	int status = call_status(c);

	if (status >= 200 && status <= 299)
		return read_success(p, c);
	call_judge(c, p->w);
	p->out = *call_outcome(c);
	if (is_open(&p->out, 0))
		return VERDICT_UNKNOWN;
	if (p->out.error == -ENOENT &&
	    strcasecmp(p->out.code, "NAME_UNKNOWN") != 0)
		return VERDICT_MISSING;
	return VERDICT_REFUSED;
}

static int ask(struct putting *p, enum verdict *ret)
{
	const struct call_spec spec = {.method = "PUT",
				       .path = p->o.path,
				       .repository = p->p->repository,
				       .scope = p->o.scope,
				       .object = p->o.name,
				       .content_type = p->p->mediatype,
				       .if_match = p->if_match,
				       .body = p->p->bytes,
				       .body_bytes = p->p->len,
				       .once = true,
				       .creates = true,
				       .silent = &p->out};
	struct call *c;
	int e;

	memset(&p->out, 0, sizeof(p->out));
	e = call_run(p->r, &spec, p->w, &c);
	if (e == -EINTR || e == -ENOMEM)
		return e;
	if (e < 0) {
		p->out.error = e;
		*ret = is_open(&p->out, e) ? VERDICT_UNKNOWN : VERDICT_REFUSED;
		return 0;
	}
	*ret = read_answer(p, c);
	call_close(c);
	return 0;
}

/* --- what became of it --- */

/* Looks until there is an answer, or patience with an unknown outcome ends. */
static int look(struct putting *p, enum look *ret)
{
	struct outcome out;
	int e;

	for (;;) {
		e = look_at(p->r, p->p, &p->o, p->w, ret, &out);
		if (e < 0 || *ret != LOOK_UNKNOWN || clock_ms() >= p->until_ms)
			break;
		e = wait_sleep(p->w, look_pause_ms(p->r));
		if (e < 0)
			break;
	}
	if (e == -ETIMEDOUT) {
		*ret = LOOK_UNKNOWN;
		e = 0;
	}
	return e;
}

static void begin_looking(struct putting *p)
{
	if (!p->until_ms)
		p->until_ms = clock_ms() + put_patience_ms(p->r) / 4;
	extend(p->w, p->until_ms);
}

static int doubt(struct putting *p, const char *text)
{
	p->out.status = 0;
	outcome_set(&p->out, -EIO, "%s", text);
	return fail(p);
}

static int confirm(struct putting *p)
{
	enum look found = LOOK_UNKNOWN;
	int e;

	begin_looking(p);
	for (unsigned n = 1;; n++) {
		e = look(p, &found);
		if (e < 0 || found == LOOK_OURS)
			return e;
		if (p->is_shared && found == LOOK_OTHER)
			return -ESTALE;
		if (found == LOOK_REFUSED && p->was_said)
			return 0; /* a credential that may only push */
		if (found == LOOK_REFUSED || found == LOOK_UNKNOWN)
			return doubt(p, "accepted, but it cannot be confirmed");
		if (n >= CONFIRM_LOOKS)
			return doubt(p, found == LOOK_ABSENT
						? "accepted, but not there"
						: "accepted, but another one "
						  "is there");
		e = wait_sleep(p->w, look_pause_ms(p->r) << (n - 1));
		if (e < 0)
			return e;
	}
}

/* A gateway may have given up on a registry that has not. */
static bool may_come_late(const struct outcome *out)
{
	return out->status != 500;
}

static int look_on(struct putting *p)
{
	enum look found = LOOK_UNKNOWN;
	int e;

	while (may_come_late(&p->out) && clock_ms() < p->until_ms) {
		e = wait_sleep(p->w, 2 * look_pause_ms(p->r));
		if (e == 0)
			e = look(p, &found);
		if (e == -ETIMEDOUT)
			break;
		if (e < 0 || found == LOOK_OURS)
			return e;
	}
	return fail(p);
}

/* Ours may have been there in between, or may come yet: either way it is not
 * for us to put it over what is newer. */
static int overtaken(struct putting *p)
{
	p->out.status = 0;
	outcome_set(&p->out, -EIO, "changed meanwhile by somebody else");
	return fail(p);
}

/* 1: PUT again. */
static int find_out(struct putting *p, unsigned attempt)
{
	enum look found = LOOK_UNKNOWN;
	int ended = 0, e;

	log_warning("%s/%s: indeterminate, looking what became of it: %s",
		    registry_host(p->r), p->o.name, p->out.text);
	begin_looking(p);
	e = look(p, &found);
	if (e < 0)
		return e;
	if (found == LOOK_OURS) {
		p->has_subject = registry_referrers(p->r) == SUPPORT_YES;
		return 0;
	}
	if (found == LOOK_OTHER && !p->is_shared)
		return p->p->before ? overtaken(p) : look_on(p);
	if (found != LOOK_UNKNOWN &&
	    call_again(p->r, &p->out, attempt, p->w, &ended))
		return 1;
	if (ended == -EINTR)
		return ended;
	return found == LOOK_UNKNOWN ? fail(p) : look_on(p);
}

/* 1: PUT again. */
static int wait_for_parts(struct putting *p, unsigned tries)
{
	uint64_t all_ms = put_patience_ms(p->r) / 12;
	int e;

	if (tries >= MISSING_TRIES)
		return fail(p);
	e = wait_sleep(p->w, tries == 1 ? all_ms / 10 : all_ms * 4 / 10);
	if (e == -ETIMEDOUT)
		return fail(p);
	return e < 0 ? e : 1;
}

static int refused(struct putting *p)
{
	enum look found = LOOK_UNKNOWN;
	int e;

	if (p->if_match && p->out.status == 412)
		return -ESTALE;
	if (p->out.error != -EPERM || !p->out.status || !p->p->reference)
		return fail(p);
	e = look(p, &found);
	if (e < 0)
		return e;
	if (found != LOOK_OURS)
		return fail(p);
	p->has_subject = registry_referrers(p->r) == SUPPORT_YES;
	return 0;
}

static int run(struct putting *p)
{
	unsigned attempt = 0, tries = 0;
	enum verdict v = VERDICT_UNKNOWN;
	int e;

	do {
		e = ask(p, &v);
		if (e < 0)
			break;
		switch (v) {
		case VERDICT_STORED:
			return confirm(p);
		case VERDICT_REFUSED:
			return refused(p);
		case VERDICT_MISSING:
			e = wait_for_parts(p, ++tries);
			break;
		case VERDICT_UNKNOWN:
			e = find_out(p, ++attempt);
			break;
		}
	} while (e == 1);
	return e;
}

static int start(struct putting *p)
{
	char text[DIGEST_TEXT_MAX];
	const char *ref = p->p->reference;
	int e;

	if (!mediatype_is_valid(p->p->mediatype))
		return -EINVAL;
	digest_format(p->p->digest, text);
	if (ref)
		fetch_outdate(p->r, p->p->repository, ref);
	e = object_init(&p->o, p->p->repository, "manifests", ref ? ref : text);
	if (e < 0)
		return e;
	e = object_want(&p->o, p->p->repository, "pull,push");
	if (e == 0 && p->p->len > MANIFEST_BYTES_MAX) {
		/* Nobody could read it again. */
		outcome_set(&p->out, -EFBIG, "a manifest over %zu bytes",
			    MANIFEST_BYTES_MAX);
		e = fail(p);
	}
	return e;
}

int put_manifest(struct registry *r, const struct put_manifest *m,
		 struct wait *w, bool *ret_subject)
{
	struct putting p = {.r = r, .p = m, .w = w};
	int e = start(&p);

	if (e == 0)
		e = run(&p);
	object_done(&p.o);
	if (e == 0 && ret_subject)
		*ret_subject = p.has_subject;
	return e;
}

int put_shared(struct registry *r, const struct put_manifest *m,
	       const char *if_match, struct wait *w)
{
	struct putting p = {.r = r,
			    .p = m,
			    .w = w,
			    .if_match = if_match,
			    .is_shared = true};
	int e = start(&p);

	if (e == 0)
		e = run(&p);
	object_done(&p.o);
	return e;
}
