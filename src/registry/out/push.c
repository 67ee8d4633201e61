/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob's way into a repository:
 *
 *   mount -> MOUNTED
 *     -> ask -> there: PRESENT
 *       -> session -> part, part, ... -> commit -> UPLOADED
 *            ^          |  |              |
 *            +--lost----+  +--another form+
 *
 * A mount answers the question, too; but where one was refused (a session is
 * open then, in vain if the blob is there) it comes second from then on.
 * Each step looks only at what is known then (how much the session holds, how
 * far the source has come, what the registry refuses), so that it does not
 * matter how one got there.  It ends because everything that begins again has
 * a counter: attempts (anew after 1 MiB), sessions, forms.
 */
#include "registry/out/push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/out/push_state.h"
#include "util/auto.h"
#include "util/clock.h"

#define MIB ((uint64_t)1 << 20)
#define SMALL_BYTES (4 * MIB)	/* sent whole */
#define GLIMPSE_BYTES (1 * MIB) /* of a growing source, before it is judged */
#define CAREFUL_BYTES (16 * MIB)
#define PATIENCE_MS 120000

void push_renew(struct push *p)
{
	uint64_t until = clock_ms() + p->patience_ms;

	if (until > p->w->deadline_ms)
		p->w->deadline_ms = until;
}

int push_fail(struct push *p, int error)
{
	p->out.error = error;
	if (!p->out.text[0])
		outcome_set(&p->out, error, "%s", strerror(-error));
	registry_fault(p->r, p->o.name, &p->out);
	return error;
}

static void look_at_size(struct push *p)
{
	uint64_t size;

	if (p->ended || !p->source->size)
		return;
	size = p->source->size(p->source->arg);
	if (size == PUSH_SIZE_UNKNOWN)
		return;
	p->seen = size;
	p->ended = true;
}

static enum push_form choose(const struct push *p)
{
	enum push_form form = push_form_choose(
		&p->habits, p->ended, p->ended && p->seen <= SMALL_BYTES);
	bool tail = p->habits.no_empty_put;

	if (p->off > 0 && !p->habits.no_chunks)
		return PUSH_CHUNKS;
	if (form != PUSH_STREAM || p->habits.no_chunks)
		return form;
	/* All of it would be the tail. */
	if (p->careful || (tail && p->ended && p->seen <= PUSH_PIECE))
		return PUSH_CHUNKS;
	return form;
}

static int plan_chunk(struct push *p, struct push_part *part)
{
	uint64_t left = p->ended ? p->seen - p->off : PUSH_TO_END;
	uint64_t len = push_chunk_bytes(&p->habits, left);
	int r;

	if (p->careful && len > CAREFUL_BYTES &&
	    p->habits.chunk_min_bytes <= CAREFUL_BYTES)
		len = CAREFUL_BYTES;
	/* One more, to know the last chunk when it comes. */
	r = push_look_ahead(p, p->off + len + 1);
	if (r < 0)
		return r;
	*part = (struct push_part){.form = PUSH_CHUNKS,
				   .from = p->off,
				   .to = p->off + len,
				   .ranged = true};
	if (p->ended && p->seen - p->off <= len) {
		part->to = p->seen;
		part->commits = p->habits.no_empty_put;
	}
	part->ranged = part->to > part->from;
	return 0;
}

static void plan_stream(struct push *p, struct push_part *part)
{
	bool tail = p->habits.no_empty_put;

	*part = (struct push_part){
		.form = PUSH_STREAM, .to = PUSH_TO_END, .holds_tail = tail};
	if (!p->ended)
		return;
	part->to = p->seen;
	if (tail && p->seen > PUSH_PIECE)
		part->to -= PUSH_PIECE;
	part->holds_tail = false;
}

/* What to send next.  1: nothing, the session has to be another one. */
static int plan(struct push *p, struct push_part *part)
{
	enum push_form form;
	int r;

	look_at_size(p);
	r = push_look_ahead(p, p->off + GLIMPSE_BYTES);
	if (r < 0)
		return r;
	if (p->ended && p->off == p->seen && (p->opened || p->off > 0)) {
		*part = (struct push_part){.form = PUSH_COMMIT,
					   .from = p->off,
					   .to = p->off,
					   .commits = true};
		return 0;
	}
	form = choose(p);
	if (form == PUSH_CHUNKS)
		return plan_chunk(p, part);
	if (p->off > 0)
		return 1;
	if (form == PUSH_STREAM) {
		plan_stream(p, part);
		return 0;
	}
	/* One piece needs its length. */
	r = push_look_ahead(p, PUSH_TO_END);
	if (r < 0)
		return r;
	*part = (struct push_part){
		.form = PUSH_WHOLE, .to = p->seen, .commits = true};
	return 0;
}

static int step(struct push *p)
{
	struct push_part part;
	int r;

	if (!p->url)
		return push_open(p);
	r = plan(p, &part);
	if (r == 1)
		return push_restart(p, false);
	return r < 0 ? r : push_send(p, &part);
}

static void load_habits(struct push *p)
{
	autolock(&p->r->lock);
	if (!p->r->has_habits) {
		push_habits_init(&p->r->habits, p->r->host);
		p->r->has_habits = true;
	}
	p->habits = p->r->habits;
}

/* What worked in the end is worth remembering. */
static void save_habits(struct push *p)
{
	autolock(&p->r->lock);
	push_habits_learn(&p->r->habits, &p->habits);
}

static int upload(struct push *p, enum push_result *ret)
{
	int r;

	do {
		r = step(p);
	} while (r == PUSH_ON);
	free(p->buf);
	p->buf = NULL;
	if (r < 0)
		return r;
	save_habits(p);
	*ret = PUSH_UPLOADED;
	return 0;
}

static int try_mount(struct push *p, enum push_result *ret)
{
	const struct push_habits refused = {.asks_first = true};
	int r = push_mount(p);

	if (r == PUSH_DONE)
		*ret = PUSH_MOUNTED;
	if (r != PUSH_ON)
		return r;
	push_habits_learn(&p->habits, &refused);
	save_habits(p);
	return PUSH_ON;
}

static int ask(struct push *p, enum push_result *ret)
{
	int r;

	if (p->spec->is_absent)
		return PUSH_ON;
	r = push_ask(p, !p->spec->source && !p->spec->from);
	if (r != PUSH_DONE)
		return r;
	*ret = PUSH_PRESENT;
	push_drop(p, false);
	return PUSH_DONE;
}

static int run(struct push *p, enum push_result *ret)
{
	const struct push_spec *s = p->spec;
	bool mounts = s->from && strcmp(s->from, s->repository) != 0;
	bool first = mounts && !p->habits.asks_first;
	int r = PUSH_ON;

	if (first)
		r = try_mount(p, ret);
	if (r == PUSH_ON)
		r = ask(p, ret);
	if (r == PUSH_ON && mounts && !first)
		r = try_mount(p, ret);
	if (r != PUSH_ON)
		return r < 0 ? r : 0;
	return s->source ? upload(p, ret) : -ENOENT;
}

/* What is over there of it is over, one way or the other. */
static void end(struct push *p, int error)
{
	bool away = p->out.error == error && outcome_unreached(&p->out);

	/* Whom nobody reaches cannot be told. */
	push_drop(p, error == 0 || away);
	object_done(&p->o);
	free(p->scope);
}

int push_blob(struct registry *r, const struct push_spec *s, struct wait *w,
	      enum push_result *ret)
{
	struct push p = {.r = r, .spec = s, .source = s->source, .w = w};
	char digest[DIGEST_TEXT_MAX];
	int e;

	p.patience_ms = r->cfg->times.commit_budget;
	if (!p.patience_ms)
		p.patience_ms = PATIENCE_MS;
	digest_format(s->digest, digest);
	e = object_init(&p.o, s->repository, "blobs", digest);
	if (e < 0)
		return e;
	p.scope = str_printf("repository:%s:pull,push", s->repository);
	load_habits(&p);
	e = p.scope ? run(&p, ret) : -ENOMEM;
	end(&p, e);
	return e;
}
