/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate of an origin, drawn in origin.h.  Invariants: pause_probe only
 * while paused, broken_probe only while broken; at most one of each is under
 * way, and whoever has it gives it back by origin_leave whatever happens.
 */
#include "registry/origin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/map.h"

struct origin {
	char *name;
	unsigned broken_ms;
	bool has_conf;
	struct host_conf conf;
	struct http_tls tls; /* immutable; its strings belong to a conf */
	bool plain_ok;

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t changed;
	bool paused, pause_probe;
	uint64_t pause_until_ms;
	bool broken, broken_probe;
	uint64_t broken_until_ms;
	unsigned failures; /* connections in a row */
	enum http_fail fail;
};

int origins_init(struct origins *o, struct hosts *hosts, unsigned broken_ms)
{
	int r;

	*o = (struct origins){.hosts = hosts, .broken_ms = broken_ms};
	r = map_new(&o->map);
	if (r < 0)
		return r;
	pthread_mutex_init(&o->lock, NULL);
	return 0;
}

static void origin_free(void *p)
{
	struct origin *o = p;

	if (!o)
		return;
	if (o->has_conf)
		host_conf_done(&o->conf);
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o->name);
	free(o);
}

void origins_done(struct origins *o)
{
	if (!o->map)
		return;
	map_free(o->map, origin_free);
	pthread_mutex_destroy(&o->lock);
	o->map = NULL;
}

static int origin_new(const char *name, unsigned broken_ms, struct origin **ret)
{
	struct origin *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	r = wait_cond_init(&o->changed);
	if (r < 0) {
		free(o);
		return r;
	}
	pthread_mutex_init(&o->lock, NULL);
	o->broken_ms = broken_ms;
	o->name = strdup(name);
	if (!o->name) {
		origin_free(o);
		return -ENOMEM;
	}
	*ret = o;
	return 0;
}

/* "h", "h:5000" or "[::1]:5000", the port if it is not the scheme's own. */
static char *authority(const struct url *u)
{
	const char *open = strchr(u->host, ':') ? "[" : "";
	const char *close = *open ? "]" : "";
	unsigned port = u->https ? 443 : 80;

	if (u->has_port && u->port != port)
		return str_printf("%s%s%s:%u", open, u->host, close, u->port);
	return str_printf("%s%s%s", open, u->host, close);
}

/*
 * The registry's CAs also count for its other hosts (private storage is mostly
 * signed by the same authority); its client certificate and its permission to
 * skip verification do not.
 */
static int load_tls(struct origin *o, const struct origins *all,
		    const char *host)
{
	const struct host_conf *home = all->home;
	int r;

	if (home && strcasecmp(host, home->api_host) == 0) {
		o->tls = (struct http_tls){.ca_file = home->ca_file,
					   .client_cert = home->client_cert,
					   .client_key = home->client_key,
					   .insecure = home->insecure};
		o->plain_ok = home->plain_http || home->is_loopback ||
			      home->try_https_first;
		return 0;
	}
	if (all->hosts) {
		r = hosts_find(all->hosts, host, &o->conf);
		if (r < 0)
			return r;
		o->has_conf = true;
		o->tls = (struct http_tls){.ca_file = o->conf.ca_file,
					   .client_cert = o->conf.client_cert,
					   .client_key = o->conf.client_key,
					   .insecure = o->conf.insecure};
		o->plain_ok = o->conf.plain_http || o->conf.is_loopback;
	}
	if (!o->tls.ca_file && home)
		o->tls.ca_file = home->ca_file;
	return 0;
}

static int add(struct origins *all, const char *name, const char *host,
	       struct origin **ret)
{
	struct origin *o;
	int r;

	r = origin_new(name, all->broken_ms, &o);
	if (r < 0)
		return r;
	r = load_tls(o, all, host);
	if (r == 0)
		r = map_put(all->map, name, o, NULL);
	if (r < 0) {
		origin_free(o);
		return r;
	}
	*ret = o;
	return 0;
}

int origins_get(struct origins *all, const struct url *u, struct origin **ret)
{
	autofree char *host = authority(u);
	autofree char *name = NULL;
	struct origin *o;

	if (!host)
		return -ENOMEM;
	name = str_printf("%s://%s", u->https ? "https" : "http", host);
	if (!name)
		return -ENOMEM;
	autolock(&all->lock);
	o = map_find(all->map, name);
	if (o) {
		*ret = o;
		return 0;
	}
	if (map_len(all->map) >= ORIGINS_MAX)
		return -ENFILE;
	return add(all, name, host, ret);
}

const char *origin_name(const struct origin *o)
{
	return o->name;
}

const struct http_tls *origin_tls(const struct origin *o)
{
	return &o->tls;
}

bool origin_plain_ok(const struct origin *o)
{
	return o->plain_ok;
}

/* 1: passed; 0: look again after a wait. */
static int pass(struct origin *o, uint64_t now, const struct wait *w,
		struct origin_turn *turn, enum http_fail *ret_fail)
{
	if (o->broken && (now < o->broken_until_ms || o->broken_probe)) {
		*ret_fail = o->fail;
		return -EHOSTDOWN;
	}
	if (o->paused && now < o->pause_until_ms) {
		*ret_fail = HTTP_FAIL_NONE;
		return o->pause_until_ms > w->deadline_ms ? -ETIMEDOUT : 0;
	}
	if (o->paused && o->pause_probe)
		return 0;
	turn->probes_pause = o->pause_probe = o->paused;
	turn->probes_broken = o->broken_probe = o->broken;
	return 1;
}

/* Until somebody reports, or the pause is over. */
static int wait_pause(struct origin *o, uint64_t now, struct wait *w)
{
	struct wait nap;
	int r;

	if (now >= o->pause_until_ms)
		return wait_cond(w, &o->changed, &o->lock);
	/* Sleeping on a copy with an earlier deadline wakes in time; the copy
	 * knows of interrupts only by what is handed over here and back. */
	nap.deadline_ms = o->pause_until_ms < w->deadline_ms ? o->pause_until_ms
							     : w->deadline_ms;
	if (nap.deadline_ms > now + 100)
		nap.deadline_ms = now + 100;
	nap.tid = w->tid;
	atomic_init(&nap.interrupted_ms, atomic_load(&w->interrupted_ms));
	r = wait_cond(&nap, &o->changed, &o->lock);
	if (r == -ETIMEDOUT)
		r = wait_check(w);
	return r;
}

int origin_enter(struct origin *o, struct wait *w, struct origin_turn *ret,
		 enum http_fail *ret_fail)
{
	struct origin_turn turn = {false, false};
	int r = wait_check(w);

	autolock(&o->lock);
	while (r == 0) {
		uint64_t now = clock_ms();

		r = pass(o, now, w, &turn, ret_fail);
		if (r == 1) {
			*ret = turn;
			return 0;
		}
		if (r == 0)
			r = wait_pause(o, now, w);
	}
	return r;
}

static void note_failure(struct origin *o, enum http_fail fail)
{
	if (o->failures < ORIGIN_FAILURES)
		o->failures++;
	o->fail = fail;
	if (o->failures >= ORIGIN_FAILURES) {
		o->broken = true;
		o->broken_until_ms = clock_ms() + o->broken_ms;
	}
}

void origin_leave(struct origin *o, const struct origin_turn *turn,
		  enum origin_end end, enum http_fail fail, uint64_t pause_ms)
{
	autolock(&o->lock);
	if (turn->probes_pause)
		o->pause_probe = false;
	if (turn->probes_broken)
		o->broken_probe = false;
	switch (end) {
	case ORIGIN_THROTTLED:
		o->paused = true;
		if (pause_ms > ORIGIN_PAUSE_MAX_MS)
			pause_ms = ORIGIN_PAUSE_MAX_MS;
		if (clock_ms() + pause_ms > o->pause_until_ms)
			o->pause_until_ms = clock_ms() + pause_ms;
		o->broken = false;
		o->failures = 0;
		break;
	case ORIGIN_ANSWERED:
		/* What was asked before the pause says nothing about it. */
		if (turn->probes_pause)
			o->paused = false;
		o->broken = false;
		o->failures = 0;
		break;
	case ORIGIN_UNREACHED:
		note_failure(o, fail);
		break;
	case ORIGIN_ABANDONED:
		break;
	}
	pthread_cond_broadcast(&o->changed);
}

int origin_print(struct origin *o, struct str *out)
{
	uint64_t now = clock_ms();
	int r = 0;

	autolock(&o->lock);
	if (o->paused && o->pause_until_ms > now)
		r = str_addf(out, ", told to wait %" PRIu64 " s more",
			     (o->pause_until_ms - now + 999) / 1000);
	else if (o->paused)
		r = str_add(out, ", was told to wait");
	if (r == 0 && o->broken)
		r = str_addf(out, ", unreachable (%s)",
			     http_fail_name(o->fail));
	return r;
}

int origins_print_each(struct origins *all,
		       int (*each)(struct origin *, void *), void *arg)
{
	struct origin *o;
	size_t pos = 0;
	int r = 0;

	autolock(&all->lock);
	while (r == 0 && (o = map_next(all->map, &pos, NULL)))
		r = each(o, arg);
	return r;
}
