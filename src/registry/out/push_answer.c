/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the answer to a part of a blob means.
 *
 *   2xx               go on from where the registry says it stands
 *   of a commit       201, or the digest: done
 *   401               once more, if the call layer learned something from it
 *   404               the session is lost: a new one
 *   416               ask where it stands; nothing new: the form is refused
 *   400 405 411 413 … the form is refused: another one, or that is the answer
 *   408 429 5xx, cut  ask where it stands, go on from there (retry policy)
 *   of a commit, and its other 2xx   nobody knows: find out
 */
#include <errno.h>
#include <string.h>

#include "http/retry.h"
#include "registry/call.h"
#include "registry/out/push_state.h"
#include "registry/wire/fault_table.h"
#include "registry/wire/redirect.h"
#include "util/log.h"
#include "util/metric.h"
#include "util/str.h"

#define STRANGERS_MAX 3
#define CUTS_MAX 2
#define VANISHED_MAX 2

static int give_up(struct push *p)
{
	int error = p->out.error < 0 ? p->out.error : -EIO;

	metric_add(METRIC_HTTP_FAILURES, 1);
	return push_fail(p, error);
}

/* The connection broke, or what answered was not the registry at its best. */
int push_cut(struct push *p, const struct push_part *part,
	     const struct push_ending *end)
{
	struct outcome out = p->out;
	uint64_t before = p->off;
	int ended = 0, r;

	if (end->commits) {
		r = push_find_out(p);
		if (r != PUSH_ON)
			return r;
	}
	push_renew(p);
	if (!call_again(p->r, &out, ++p->attempts, p->w, &ended)) {
		p->out = out;
		if (ended == -EINTR)
			return push_fail(p, ended);
		/* ECR was seen to answer 500 to an empty PUT. */
		if (part->form != PUSH_COMMIT || out.status < 500 ||
		    !push_habits_refused(&p->habits, part, out.status))
			return give_up(p);
		p->attempts = 0;
		push_drop(p, false);
		return PUSH_ON;
	}
	r = end->commits || !p->url ? PUSH_ON : push_resync(p);
	/* Who keeps nothing of a stream may keep chunks. */
	if (r == PUSH_ON && part->form == PUSH_STREAM && p->off <= before &&
	    ++p->cuts >= CUTS_MAX)
		p->careful = !p->habits.no_chunks;
	return r;
}

static int sent_otherwise(struct push *p, const struct push_part *part,
			  const struct call *c)
{
	log_debug("%s: %s: refused (HTTP %d), sent otherwise", p->r->host,
		  p->o.name, call_status(c));
	if (part->from > 0 && part->form != PUSH_COMMIT)
		return push_resync(p);
	push_drop(p, false);
	return PUSH_ON;
}

/* This form is not taken here. */
static int refused(struct push *p, const struct push_part *part, struct call *c)
{
	if (!push_habits_refused(&p->habits, part, call_status(c)))
		return call_fault(c, p->w);
	return sent_otherwise(p, part, c);
}

static int lost(struct push *p, const struct push_part *part, struct call *c)
{
	/* libcurl repeats what got no answer on a connection used before: the
	 * first commit may have ended the session. */
	int r = part->commits ? push_ask(p, false) : PUSH_ON;

	if (r != PUSH_ON)
		return r;
	p->out = *call_outcome(c);
	p->out.error = -EIO; /* it is the session that is not there */
	/* Some say so of a method that they do not know. */
	if (part->from > 0 || part->form == PUSH_COMMIT ||
	    ++p->vanished < VANISHED_MAX)
		return push_restart(p, part->from > 0);
	if (!push_habits_refused(&p->habits, part, call_status(c)))
		return push_fail(p, -EIO);
	return sent_otherwise(p, part, c);
}

static int out_of_place(struct push *p, const struct push_part *part,
			struct call *c)
{
	int r = push_resync(p);

	p->out = *call_outcome(c);
	if (r != PUSH_ON || !p->url || p->off != part->from)
		return r;
	/* It holds all there is and says that this is not so. */
	if (part->form == PUSH_COMMIT)
		return push_restart(p, false);
	return refused(p, part, c);
}

/* The bytes are right (or were never ours to judge): once more (N18). */
static int wrong_digest(struct push *p, struct call *c)
{
	char text[FAULT_TEXT_MAX];
	int r;

	p->checked = false;
	r = push_approve(p);
	if (r < 0)
		return r;
	if (!p->rechecked) {
		p->rechecked = true;
		log_debug("%s: %s: digest refused, sent again", p->r->host,
			  p->o.name);
		return push_restart(p, true);
	}
	fault_copy(text, sizeof(text), call_outcome(c)->text);
	return call_broken(c, -EIO, "%s", text);
}

static int committed(struct push *p, struct call *c)
{
	const char *text = call_header(c, "docker-content-digest", 0);
	struct digest d;

	if (text && digest_parse(text, &d) == 0 &&
	    !digest_equal(&d, p->spec->digest)) {
		/* By an algorithm of its own, it may be there by ours, too. */
		if (d.alg == p->spec->digest->alg ||
		    push_ask(p, false) != PUSH_DONE)
			return call_broken(c, -EIO,
					   "stored it under another digest");
	}
	return PUSH_DONE;
}

static int stored(struct push *p, const struct push_part *part, struct call *c,
		  const struct push_ending *end)
{
	const char *range = call_header(c, "range", 0);
	struct retry_policy policy;
	uint64_t n;
	int r = push_move(p, c, false);

	if (r < 0)
		return r;
	/* Rubbish, and more than it got: the digest will tell. */
	if (!range || push_parse_range(range, p->sent, &n) < 0 || n > p->sent) {
		if (!end->whole)
			return push_resync(p);
		n = p->sent;
	}
	p->opened = true;
	if (n == p->sent && end->whole) {
		push_progress(p, n);
		return PUSH_ON;
	}
	registry_policy(p->r, &policy);
	if (++p->attempts > policy.attempts || n < part->from)
		return push_restart(p, false);
	p->sent = n;
	push_progress(p, n);
	return PUSH_ON;
}

static int moved(struct push *p, struct call *c)
{
	if (++p->hops > REDIRECT_HOPS_MAX)
		return call_broken(c, -EIO, "redirects without an end");
	return push_move(p, c, true);
}

static int stranger(struct push *p, struct call *c)
{
	if (!call_may_repeat(c) || ++p->strangers > STRANGERS_MAX)
		return call_fault(c, p->w);
	return push_resync(p);
}

static bool is_trouble(int status)
{
	return status == 408 || status == 425 || status == 429 ||
	       (status >= 500 && status != 501 && status != 505);
}

/* Said in so many words: it is not the form that is wrong. */
static bool is_meant(int status, const struct outcome *out)
{
	switch (fault_from_refusal(status, out->code, out->text)) {
	case -EACCES:
	case -EDQUOT:
	case -EPERM:
		return true;
	default:
		return status == 409 || str_prefix(out->code, "NAME_");
	}
}

static int judge_refusal(struct push *p, const struct push_part *part,
			 struct call *c)
{
	const struct outcome *out = call_outcome(c);
	int status = call_status(c);

	if (status == 401 || status == 403 || call_may_repeat(c))
		return stranger(p, c);
	if (status == 404 || status == 410)
		return lost(p, part, c);
	if (status == 416)
		return out_of_place(p, part, c);
	if (part->commits && strcmp(out->code, "DIGEST_INVALID") == 0)
		return wrong_digest(p, c);
	if (is_meant(status, out))
		return call_fault(c, p->w);
	return refused(p, part, c);
}

/* Whoever answers 2xx need not be the registry. */
static bool is_stored(const struct push_part *part, const struct call *c)
{
	int status = call_status(c);

	if (part->commits || status >= 300 || call_is_page(c))
		return false;
	return status == 202 || call_header(c, "range", 0) ||
	       call_header(c, "location", 0);
}

static bool is_committed(const struct push *p, const struct call *c)
{
	int status = call_status(c);

	if (status >= 300 || call_is_page(c))
		return false;
	return status == 201 || (status != 202 && push_names(p, c) == 1);
}

int push_judge(struct push *p, const struct push_part *part, struct call *c,
	       struct push_ending *end)
{
	int status = call_status(c);

	if (status == 307 || status == 308)
		return moved(p, c);
	if (is_stored(part, c))
		return stored(p, part, c, end);
	if (part->commits && end->whole && is_committed(p, c))
		return committed(p, c);
	p->out = *call_outcome(c);
	if (status < 300) {
		outcome_set(&p->out, -EIO,
			    part->commits ? "does not commit it"
					  : "does not say that it took it");
		p->out.status = 0;
		p->out.fail = HTTP_FAIL_PROTOCOL; /* worth one more try */
		end->commits = part->commits;
	}
	/* Too many, too slow: that was not done. */
	if (status == 408 || status == 425 || status == 429)
		end->commits = false;
	if (status < 400 || is_trouble(status))
		return push_cut(p, part, end);
	return judge_refusal(p, part, c);
}
