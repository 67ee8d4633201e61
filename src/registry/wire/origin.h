/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An origin is one scheme, host and port that a registry makes us talk to:
 * itself, its token server, its storage.  It has a TLS identity, as this
 * registry trusts it, and a gate that it shares with others (door.h).  Any
 * thread.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/hosts.h"
#include "http/http.h"
#include "http/url.h"
#include "registry/wire/door.h"

#define ORIGINS_MAX 256

struct map;
struct origin;
struct origins {
	struct hosts *hosts; /* of other hosts' CAs; NULL: none */
	struct doors *doors;
	const struct host_conf *home; /* of the registry; set once, early */
	pthread_mutex_t lock;	      /* protects below */
	struct map *map;
};

int origins_init(struct origins *o, struct hosts *hosts, struct doors *doors);
void origins_done(struct origins *o);
/* Found or made; lives as long as `o`.  -ENFILE: this registry has sent us to
 * too many hosts; -EINVAL: that host's certs.d is broken. */
int origins_get(struct origins *o, const struct url *u, struct origin **ret);

const char *origin_name(const struct origin *o); /* "https://h:5000" */
struct door *origin_door(struct origin *o);
const struct http_tls *origin_tls(const struct origin *o);
/* A password may go there without TLS: asked for, or loopback. */
bool origin_plain_ok(const struct origin *o);

int origins_print_each(struct origins *o, int (*each)(struct origin *, void *),
		       void *arg);
