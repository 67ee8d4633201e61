/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An origin is one scheme, host and port that a registry makes us talk to:
 * itself, its token server, its storage.  It has a TLS identity and a gate
 * that everybody passes before a request and reports to afterwards:
 *
 *   open --429--> paused (all wait) --time is up--> one probe goes, rest wait
 *   probe: answered -> open; 429 again -> paused; nothing -> the next probes
 *
 *   3 connections fail in a row -> broken: all fail at once, until the time is
 *   up; then one probe goes, the rest still fail; any answer -> whole
 *
 * Any thread.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/hosts.h"
#include "http/http.h"
#include "http/url.h"
#include "util/str.h"
#include "util/wait.h"

#define ORIGINS_MAX 256
#define ORIGIN_PAUSE_MAX_MS 30000 /* then one may ask again in any case */
#define ORIGIN_FAILURES 3

struct map;
struct origin;
struct origins {
	struct hosts *hosts;	      /* of other hosts' CAs; NULL: none */
	unsigned broken_ms;	      /* how long a broken one is left alone */
	const struct host_conf *home; /* of the registry; set once, early */
	pthread_mutex_t lock;	      /* protects below */
	struct map *map;
};

int origins_init(struct origins *o, struct hosts *hosts, unsigned broken_ms);
void origins_done(struct origins *o);
/* Found or made; lives as long as `o`.  -ENFILE: this registry has sent us to
 * too many hosts; -EINVAL: that host's certs.d is broken. */
int origins_get(struct origins *o, const struct url *u, struct origin **ret);

const char *origin_name(const struct origin *o); /* "https://h:5000" */
const struct http_tls *origin_tls(const struct origin *o);
/* A password may go there without TLS: asked for, or loopback. */
bool origin_plain_ok(const struct origin *o);

/* What a passage was good for, told by origin_leave. */
enum origin_end {
	ORIGIN_ANSWERED,
	ORIGIN_THROTTLED, /* 429 */
	ORIGIN_UNREACHED, /* no connection came about */
	ORIGIN_ABANDONED, /* nobody knows: given up, or failed later */
};
struct origin_turn {
	bool probes_pause, probes_broken;
};
/*
 * 0: go.  -ETIMEDOUT: the pause is longer than the caller's patience (then
 * *ret_fail is NONE), or the wait ended; -EINTR; -EHOSTDOWN: broken, *ret_fail
 * is how it failed last.
 */
int origin_enter(struct origin *o, struct wait *w, struct origin_turn *ret,
		 enum http_fail *ret_fail);
void origin_leave(struct origin *o, const struct origin_turn *turn,
		  enum origin_end end, enum http_fail fail, uint64_t pause_ms);
/* Adds ", paused for 3 s" and the like. */
int origin_print(struct origin *o, struct str *out);
int origins_print_each(struct origins *o, int (*each)(struct origin *, void *),
		       void *arg);
