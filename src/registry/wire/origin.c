/* SPDX-License-Identifier: Apache-2.0 */
/* Each registry trusts its origins in its own way; the gates are shared. */
#include "registry/wire/origin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/map.h"

struct origin {
	char *name;
	struct door *door;
	bool has_conf;
	struct host_conf conf;
	struct http_tls tls; /* immutable; its strings belong to a conf */
	bool plain_ok;
};

int origins_init(struct origins *o, struct hosts *hosts, struct doors *doors)
{
	int r;

	*o = (struct origins){.hosts = hosts, .doors = doors};
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
	struct origin *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->name = strdup(name);
	r = o->name ? doors_get(all->doors, name, &o->door) : -ENOMEM;
	if (r == 0)
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

struct door *origin_door(struct origin *o)
{
	return o->door;
}

bool origin_plain_ok(const struct origin *o)
{
	return o->plain_ok;
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
