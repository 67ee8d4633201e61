/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECR has a repository only if somebody creates it, which no client that
 * pushes does by itself.  One of those who need it asks, for all:
 *
 *   none --first--> busy --> made (or there already) --a while--> none
 *                       \--> refused                 --a while--> none
 *
 * Whoever comes within that while takes what became of it: after `made` the
 * registry may need a moment, after `refused` it would say the same again.
 * CreateRepository knows no account but that of the keys, so it is asked only
 * if that is the registry's own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry/ecr.h"
#include "registry/host.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"
#include "util/map.h"

#define WHILE_MS 10000
#define PAUSE_MS 500
#define ATTEMPTS_MAX 4
#define MAKING_MAX 1024

struct making {
	bool busy;
	unsigned waiting;
	uint64_t until_ms;  /* what is below holds */
	struct outcome out; /* error 0: it was made */
};

static bool is_over(const struct making *m, uint64_t now)
{
	return !m->busy && m->waiting == 0 && now >= m->until_ms;
}

static void make_room(struct ecr *ecr)
{
	uint64_t now = clock_ms();
	struct making *m;
	const char *key;
	size_t pos = 0;

	if (map_len(ecr->making) < MAKING_MAX)
		return;
	while ((m = map_next(ecr->making, &pos, &key))) {
		if (is_over(m, now))
			free(map_remove(ecr->making, key));
	}
}

static int find_making(struct ecr *ecr, const char *repository,
		       struct making **ret)
{
	struct making *m = map_find(ecr->making, repository);
	int r;

	if (!m) {
		make_room(ecr);
		m = calloc(1, sizeof(*m));
		r = m ? map_put(ecr->making, repository, m, NULL) : -ENOMEM;
		if (r < 0) {
			free(m);
			return r;
		}
	}
	*ret = m;
	return 0;
}

static int create(struct registry *r, const char *repository,
		  const struct awskeys *keys, struct wait *w,
		  struct outcome *out)
{
	autostr body = {.max = 4096};
	struct ecr_ask ask = {.keys = keys, .action = "CreateRepository"};
	struct json *answer = NULL;
	int e = str_add(&body, "{\"repositoryName\":");

	if (e == 0)
		e = json_add_string(&body, repository);
	if (e == 0)
		e = str_add(&body, ",\"imageTagMutability\":\"MUTABLE\"}");
	if (e < 0)
		return outcome_set(out, e, "%s", strerror(-e));
	ask.body = body.buf;
	e = ecr_call(r, &ask, w, &answer, out);
	if (e < 0)
		return str_prefix(out->code, "RepositoryAlreadyExists") ? 0 : e;
	json_free(answer);
	log_info("%s: created the repository %s", r->host, repository);
	return 0;
}

static int make(struct registry *r, const char *repository, struct wait *w,
		struct outcome *out)
{
	autoawskeys keys = {.id = NULL};
	int e = ecr_keys(r, &keys);

	memset(out, 0, sizeof(*out));
	if (e == -ENOENT)
		return outcome_set(out, e, "there are no AWS keys for it");
	if (e < 0)
		return outcome_set(out, e, "the AWS keys cannot be had");
	e = ecr_check_account(r, &keys, w, out);
	return e < 0 ? e : create(r, repository, &keys, w, out);
}

/* Called and left with the lock held; gives it up in between. */
static void make_for_all(struct registry *r, const char *repository,
			 struct making *m, struct wait *w)
{
	struct outcome out = {.error = 0};
	int e;

	m->busy = true;
	pthread_mutex_unlock(&r->ecr->lock);
	e = make(r, repository, w, &out);
	out.error = e;
	pthread_mutex_lock(&r->ecr->lock);
	m->busy = false;
	m->out = out;
	m->until_ms = clock_ms() + WHILE_MS;
	/* Its own patience is no word on the matter: the next one asks. */
	if (e == -EINTR || e == -ENOMEM || e == -ETIMEDOUT)
		m->until_ms = 0;
	pthread_cond_broadcast(&r->ecr->changed);
}

static int take_turn(struct registry *r, const char *repository, struct wait *w,
		     struct outcome *ret)
{
	struct making *m;
	int e;

	autolock(&r->ecr->lock);
	e = find_making(r->ecr, repository, &m);
	if (e < 0)
		return e;
	m->waiting++;
	while (e == 0 && m->busy)
		e = wait_cond(w, &r->ecr->changed, &r->ecr->lock);
	m->waiting--;
	if (e < 0)
		return e;
	if (clock_ms() >= m->until_ms)
		make_for_all(r, repository, m, w);
	*ret = m->out;
	return 0;
}

static void add_reason(struct outcome *out, const char *reason)
{
	char said[sizeof(out->text)];

	memcpy(said, out->text, sizeof(said));
	outcome_set(out, out->error, "%.220s; it was not created: %.260s", said,
		    reason);
}

int ecr_make_repository(struct registry *r, const char *repository,
			unsigned attempt, struct wait *w, struct outcome *out)
{
	struct outcome why = {.error = 0};
	unsigned pause = r->wire.pause_ms ? r->wire.pause_ms : PAUSE_MS;
	int e;

	if (!r->ecr || r->ecr->place.is_public || attempt >= ATTEMPTS_MAX)
		return 0;
	if (!r->cfg->create_repository) {
		add_reason(out, "that is switched off");
		return 0;
	}
	e = take_turn(r, repository, w, &why);
	if (e == 0 && why.error == 0) {
		if (attempt > 1)
			e = wait_sleep(w, (uint64_t)pause << attempt);
		return e < 0 ? outcome_set(out, e, "%s", strerror(-e)) : 1;
	}
	if (e == 0 && (why.error == -EINTR || why.error == -ENOMEM))
		e = why.error;
	if (e < 0)
		return outcome_set(out, e, "%s", strerror(-e));
	add_reason(out, why.text);
	return 0;
}
