/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mirrors belong to the registry they stand for: what is learned of them
 * (tokens, redirects) is kept with each, and nothing of it is the
 * registry's.  They are made when a route first leads to them and live as long
 * as their registry.
 */
#include "registry/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "registry/fetch.h"
#include "registry/host.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/map.h"
#include "util/vec.h"

#define MIRRORS_MAX 256
#define SHARE 3 /* of the patience that is left */
#define OUTDATED_MAX 4096

void mirrors_free(struct registry *r)
{
	for (size_t i = 0; i < r->mirrors.len; i++)
		registry_free(r->mirrors.v[i]);
	vec_done(&r->mirrors);
	map_free(r->outdated, NULL);
}

static int mirror_new(struct registry *r, const struct route_step *step,
		      bool last, struct registry **ret)
{
	const struct endpoint *e = step->endpoint;
	struct registry *m;
	int error;

	if (r->mirrors.len >= MIRRORS_MAX)
		return -ENFILE;
	error = registry_new(r->cfg, e->host, &m);
	if (error < 0)
		return error;
	m->endpoint = e;
	m->is_mirror = !last;
	m->stands_for = r->name;
	m->there = step->there;
	m->here = step->here;
	error = vec_push(&r->mirrors, m);
	if (error < 0)
		registry_free(m);
	else
		*ret = m;
	return error;
}

/* One for each place and part: the last resort of one repository may be a
 * mirror of another. */
static int mirror_get(struct registry *r, const struct route_step *step,
		      bool last, struct registry **ret)
{
	autolock(&r->lock);
	for (size_t i = 0; i < r->mirrors.len; i++) {
		struct registry *m = r->mirrors.v[i];

		if (m->endpoint == step->endpoint && m->is_mirror == !last) {
			*ret = m;
			return 0;
		}
	}
	return mirror_new(r, step, last, ret);
}

static bool is_passed_over(struct registry *m)
{
	autolock(&m->lock);
	return clock_ms() < m->passed_until_ms;
}

/* The first place from o->at on that is to be asked. */
static int settle(struct round *o)
{
	for (;; o->at++) {
		const struct route_step *step = &o->route.v[o->at];
		int r = 0;

		o->last = o->at == o->route.len - 1;
		o->repository = step->repository;
		o->registry = o->home;
		if (step->endpoint)
			r = mirror_get(o->home, step, o->last, &o->registry);
		if (r == -ENFILE && !o->last)
			continue;
		if (r < 0)
			return r;
		if (o->last || !is_passed_over(o->registry))
			return 0;
	}
}

int round_begin(struct round *o, struct registry *r, const char *repository,
		bool by_digest)
{
	int error;

	*o = (struct round){.home = r};
	if (r->cfg->hosts && !r->stands_for) {
		error = hosts_route(r->cfg->hosts, r->name, repository,
				    by_digest, &o->route);
	} else {
		struct route_step step = {.repository = strdup(repository)};

		error = step.repository ? vec_push(&o->route, step) : -ENOMEM;
		if (error < 0)
			free(step.repository);
	}
	return error < 0 ? error : settle(o);
}

/* No repository's name has a blank. */
static char *outdated_key(const char *repository, const char *reference)
{
	return str_printf("%s %s", repository, reference);
}

void fetch_outdate(struct registry *r, const char *repository,
		   const char *reference)
{
	autofree char *key = outdated_key(repository, reference);

	autolock(&r->lock);
	if (!r->outdated && map_new(&r->outdated) < 0)
		r->outdated = NULL;
	/* What cannot be remembered one by one is so of all. */
	if (!key || !r->outdated || map_len(r->outdated) >= OUTDATED_MAX ||
	    map_put(r->outdated, key, r, NULL) < 0)
		r->all_outdated = true;
}

static bool is_outdated(struct registry *r, const char *repository,
			const char *reference)
{
	autofree char *key = outdated_key(repository, reference);

	autolock(&r->lock);
	if (r->all_outdated || !key)
		return true;
	return r->outdated && map_find(r->outdated, key);
}

int round_begin_for(struct round *o, struct registry *r, const char *repository,
		    const char *reference)
{
	struct digest d;
	int error =
		round_begin(o, r, repository, digest_parse(reference, &d) == 0);

	if (error < 0 || o->last || !is_outdated(r, repository, reference))
		return error;
	o->at = o->route.len - 1;
	return settle(o);
}

void round_done(struct round *o)
{
	route_done(&o->route);
}

void round_enter(struct round *o, struct wait *w)
{
	uint64_t left = wait_left_ms(w);

	o->w = NULL;
	if (o->last)
		return;
	o->w = w;
	o->deadline_ms = w->deadline_ms;
	w->deadline_ms = clock_ms() + left / SHARE;
}

void round_leave(struct round *o)
{
	if (o->w)
		o->w->deadline_ms = o->deadline_ms;
	o->w = NULL;
}

static void pass_over(struct registry *m, uint64_t ms, const char *why)
{
	uint64_t now = clock_ms();

	pthread_mutex_lock(&m->lock);
	m->passed_until_ms = now + ms;
	pthread_mutex_unlock(&m->lock);
	log_warning("mirror %s of %s %s; passed over for %u s", m->host,
		    m->stands_for, why, (unsigned)(ms / 1000));
}

void mirror_distrust(struct registry *m)
{
	pass_over(m, MIRROR_LIED_MS, "gave bytes of another digest");
}

void fetch_distrust_mirrors(struct registry *r)
{
	autolock(&r->lock);
	for (size_t i = 0; i < r->mirrors.len; i++) {
		struct registry *m = r->mirrors.v[i];

		if (m->is_mirror && !is_passed_over(m))
			mirror_distrust(m);
	}
}

int mirrors_print(struct registry *r, struct str *out)
{
	int e = 0;

	autolock(&r->lock);
	for (size_t i = 0; e == 0 && i < r->mirrors.len; i++) {
		struct registry *m = r->mirrors.v[i];

		e = str_addf(out, "%-12s %s%s%s\n",
			     m->is_mirror ? "mirror" : "read from", m->host,
			     strcmp(m->endpoint->path, "/v2") == 0
				     ? ""
				     : m->endpoint->path,
			     is_passed_over(m) ? ", passed over for now" : "");
	}
	return e;
}

bool round_go_on(struct round *o, int error, struct wait *w)
{
	if (o->last || error == -EINTR || error == -ENOMEM ||
	    error == -ENETDOWN || error == -EPERM || wait_check(w) < 0)
		return false;
	if (error == -EBADMSG)
		mirror_distrust(o->registry);
	else if (error != -ENOENT && error != -EACCES)
		pass_over(o->registry, MIRROR_DOWN_MS, "failed");
	log_debug("mirror %s of %s: %s", o->registry->host,
		  o->registry->stands_for, strerror(-error));
	o->at++;
	return settle(o) == 0;
}
