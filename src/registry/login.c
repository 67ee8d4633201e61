/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's files and helpers come first, and a row is asked only where they
 * have nothing: who has written a credential down means that one.  One thread
 * asks a vendor however many wait.  What it gave is renewed a little before
 * its end; that it refused is believed for a while, so that a reader of a
 * public image does not cost a log-in each time.
 */
#include "registry/login.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "config/dockerauth.h"
#include "registry/host.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"

#define EARLY_MAX_MS 300000

static const struct login_row *const rows[] = {&login_azure, &login_ecr};

void login_kept_done(struct login_kept *k)
{
	credential_done(&k->given);
}

static bool is_for(const struct login_row *row, const char *host)
{
	for (size_t i = 0; row->hosts && row->hosts[i]; i++) {
		if (fnmatch(row->hosts[i], host, FNM_CASEFOLD) == 0)
			return true;
	}
	return !row->hosts;
}

/* *ret_row is NULL if it comes from the user's files. */
static int look(struct registry *r, const char *repository,
		struct credential *ret, const struct login_row **ret_row)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	const struct login_row *row = NULL;
	int fault = 0;

	if (r->cfg->auth)
		fault = dockerauth_find(r->cfg->auth, r->host, repository, &c);
	for (size_t i = 0; c.kind == CREDENTIAL_NONE && fault != -ENOMEM &&
			   i < sizeof(rows) / sizeof(*rows);
	     i++) {
		int e = 0;

		row = rows[i];
		if (is_for(row, r->host))
			e = row->have(r, &c);
		fault = e < 0 ? e : fault;
	}
	if (c.kind == CREDENTIAL_NONE && fault < 0)
		return fault;
	*ret_row = c.kind == CREDENTIAL_NONE ? NULL : row;
	*ret = c;
	c = (struct credential){.kind = CREDENTIAL_NONE};
	return 0;
}

static int cannot(struct outcome *out, int error)
{
	return outcome_set(out, error == -ENOMEM ? error : -EACCES,
			   "the credential cannot be had, see the log");
}

int login_have(struct registry *r, const char *repository,
	       struct credential *ret)
{
	struct outcome out = {.status = 0};
	const struct login_row *row;
	int e = look(r, repository, ret, &row);

	if (e < 0) {
		e = cannot(&out, e);
		registry_fault(r, repository, &out);
	}
	return e;
}

int login_where(struct registry *r, const char *repository, char **ret)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	const struct login_row *row = NULL;
	char *where = NULL;
	int e = look(r, repository, &c, &row);

	if (e == 0 && row) {
		where = strdup(row->name);
		e = where ? 0 : -ENOMEM;
	} else if (e == 0 && c.kind != CREDENTIAL_NONE) {
		e = dockerauth_where(r->cfg->auth, r->host, repository, &where);
	}
	if (e == 0)
		*ret = where;
	return e;
}

static void keep(struct login_kept *k, struct credential *given,
		 uint64_t life_s)
{
	uint64_t life_ms = life_s > 86400 ? 86400000 : life_s * 1000;
	uint64_t early =
		life_ms / 10 < EARLY_MAX_MS ? life_ms / 10 : EARLY_MAX_MS;

	credential_done(&k->given);
	k->given = *given;
	k->failed.error = 0;
	k->renew_ms = clock_ms() + life_ms - early;
}

static void keep_failure(struct login_kept *k, const struct outcome *out)
{
	credential_done(&k->given);
	k->failed = *out;
	k->renew_ms = clock_ms() + (out->refused ? REGISTRY_REFUSED_MS
						 : REGISTRY_REFRESH_MS);
}

/* Its own patience or death, not the vendor, made this one fail. */
static bool is_personal(const struct outcome *out)
{
	return out->error == -EINTR || out->error == -ENOMEM ||
	       (out->error == -ETIMEDOUT && out->status == 0 &&
		out->fail == HTTP_FAIL_NONE);
}

/* Called and left with the lock held; gives it up in between. */
static int ask(struct registry *r, const struct login_row *row,
	       const struct credential *have, struct wait *w,
	       struct outcome *out)
{
	struct credential given = {.kind = CREDENTIAL_NONE};
	uint64_t life_s = 0;
	int e;

	r->login_kept.asking = true;
	pthread_mutex_unlock(&r->lock);
	memset(out, 0, sizeof(*out));
	e = row->ask(r, have, w, &given, &life_s, out);
	if (out->refused)
		log_warning("%s: log-in by %s: %s", r->host, row->name,
			    out->text);
	pthread_mutex_lock(&r->lock);
	r->login_kept.asking = false;
	pthread_cond_broadcast(&r->learned);
	credential_identity(have, r->login_kept.identity);
	if (e == 0)
		keep(&r->login_kept, &given, life_s);
	else if (!is_personal(out) && (out->refused || !out->may_retry))
		keep_failure(&r->login_kept, out);
	return e;
}

/* Of this identity, and still good: or bad. */
static bool is_known(const struct login_kept *k, const char *identity)
{
	return clock_ms() < k->renew_ms && strcmp(k->identity, identity) == 0 &&
	       (k->given.kind != CREDENTIAL_NONE || k->failed.error < 0);
}

static int exchange(struct registry *r, const struct login_row *row,
		    const struct credential *have, struct wait *w,
		    struct credential *ret, struct outcome *out)
{
	struct login_kept *k = &r->login_kept;
	char identity[17];
	int e = 0;

	credential_identity(have, identity);
	autolock(&r->lock);
	while (e == 0 && k->asking)
		e = wait_cond(w, &r->learned, &r->lock);
	if (e < 0)
		return outcome_set(out, e, "no log-in by %s in time",
				   row->name);
	if (!is_known(k, identity))
		e = ask(r, row, have, w, out);
	else if (k->failed.error < 0)
		*out = k->failed;
	if (e == 0 && k->given.kind == CREDENTIAL_NONE)
		e = out->error;
	if (e < 0)
		return e;
	e = credential_copy(&k->given, ret);
	return e < 0 ? outcome_set(out, e, "out of memory") : 0;
}

int login_find(struct registry *r, const char *repository, struct wait *w,
	       struct credential *ret, struct outcome *out)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	const struct login_row *row = NULL;
	int e = look(r, repository, &c, &row);

	if (e < 0)
		return cannot(out, e);
	if (row && row->ask)
		return exchange(r, row, &c, w, ret, out);
	*ret = c;
	c = (struct credential){.kind = CREDENTIAL_NONE};
	return 0;
}

void login_forget(struct registry *r)
{
	bool due;

	pthread_mutex_lock(&r->lock);
	due = clock_ms() >= r->refresh_after_ms;
	if (due) {
		r->refresh_after_ms = clock_ms() + REGISTRY_REFRESH_MS;
		/* At once: those refused beside us are not to find it. */
		r->login_kept.renew_ms = 0;
	}
	pthread_mutex_unlock(&r->lock);
	if (due && r->cfg->auth)
		dockerauth_refresh(r->cfg->auth);
}
