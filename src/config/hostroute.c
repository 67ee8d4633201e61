/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to what a host has: the hosts of its hosts.toml, then the mirrors
 * of registries.conf, then where it really is, which is the host itself unless
 * one of the files says otherwise.  Files are read once, when the host is
 * first named (registries.conf: at the start), so endpoints can be pointed to
 * until the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/cabundle.h"
#include "config/conffile.h"
#include "config/hostname.h"
#include "config/hosts_private.h"
#include "config/hoststoml.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/map.h"
#include "util/str.h"
#include "util/vec.h"

static void toml_entry_free(void *p)
{
	struct hoststoml *t = p;

	if (!t)
		return;
	hoststoml_done(t);
	free(t);
}

void hosts_forget_routes(struct hosts *h)
{
	registriesconf_done(&h->registries);
	string_list_done(&h->toml_dirs);
	map_free(h->tomls, toml_entry_free);
	map_free(h->told, free);
	h->tomls = h->told = NULL;
	if (h->has_lock)
		pthread_mutex_destroy(&h->lock);
	h->has_lock = false;
}

static int list_dirs(const char *cert_dir, struct string_list *ret)
{
	autofree char *dir = NULL;
	autofree char *own = NULL;
	int r;

	if (cert_dir)
		return string_list_add(ret, cert_dir);
	r = userdirs_config(&dir);
	if (r == 0) {
		own = str_printf("%s/containerd/certs.d", dir);
		r = own ? string_list_add(ret, own) : -ENOMEM;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	r = string_list_add(ret, "/etc/containerd/certs.d");
	return r < 0 ? r : string_list_add(ret, "/etc/docker/certs.d");
}

int hosts_init_routes(struct hosts *h, const char *cert_dir)
{
	int r;

	pthread_mutex_init(&h->lock, NULL);
	h->has_lock = true;
	r = list_dirs(cert_dir, &h->toml_dirs);
	if (r == 0)
		r = map_new(&h->tomls);
	if (r == 0)
		r = map_new(&h->told);
	return r < 0 ? r : registriesconf_load(&h->registries);
}

/* --- hosts.toml --- */

/* -ENOENT: there is none. */
static int read_toml(const char *dir, const char *host, struct hoststoml *ret)
{
	autofree char *path = str_printf("%s/hosts.toml", dir);
	struct conffile f = {.path = path};
	struct toml *root;
	int r;

	if (!path)
		return -ENOMEM;
	r = conffile_load(&f, &root);
	if (r < 0)
		return r == -ENOMEM || r == -ENOENT ? r : 0;
	r = hoststoml_read(&f, root, host, dir, ret);
	toml_free(root);
	return r;
}

static int read_named(const struct hosts *h, const char *name, const char *host,
		      struct hoststoml *ret)
{
	int r = -ENOENT;

	for (size_t i = 0; i < h->toml_dirs.len && r == -ENOENT; i++) {
		autofree char *dir =
			str_printf("%s/%s", h->toml_dirs.v[i], name);

		r = dir ? read_toml(dir, host, ret) : -ENOMEM;
	}
	return r;
}

/* "h_5000_", "h:5000" or "h", then what is for all others. */
static int read_any(const struct hosts *h, const char *host,
		    struct hoststoml *ret)
{
	const char *colon = strrchr(host, ':');
	autofree char *plain = NULL;
	int r = -ENOENT;

	if (colon && !strchr(colon, ']')) {
		plain = str_printf("%.*s_%s_", (int)(colon - host), host,
				   colon + 1);
		r = plain ? read_named(h, plain, host, ret) : -ENOMEM;
	}
	if (r == -ENOENT)
		r = read_named(h, host, host, ret);
	if (r == -ENOENT)
		r = read_named(h, "_default", host, ret);
	return r == -ENOENT ? 0 : r;
}

int hosts_toml(struct hosts *h, const char *host, const struct hoststoml **ret)
{
	struct hoststoml *t;
	int r;

	autolock(&h->lock);
	t = map_find(h->tomls, host);
	if (!t) {
		t = calloc(1, sizeof(*t));
		r = t ? read_any(h, host, t) : -ENOMEM;
		if (r == 0)
			r = map_put(h->tomls, host, t, NULL);
		if (r < 0) {
			toml_entry_free(t);
			return r;
		}
	}
	*ret = t;
	return 0;
}

/* --- what is said of one place --- */

static int copy(char **to, const char *from)
{
	if (!from)
		return 0;
	free(*to);
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

static void set_scheme(const struct endpoint *e, struct host_conf *c)
{
	switch (e->scheme) {
	case ENDPOINT_USUAL:
		break;
	case ENDPOINT_HTTPS:
		c->plain_http = c->try_https_first = false;
		break;
	case ENDPOINT_HTTP:
		c->plain_http = true;
		c->try_https_first = false;
		break;
	case ENDPOINT_EITHER:
		c->insecure = true;
		c->try_https_first = !c->plain_http;
		break;
	}
	if (e->has_verify)
		c->insecure = !e->verify;
	else if (e->cas.len && c->is_loopback)
		c->insecure = false; /* else it is not worth having one */
}

static int overlay(struct hosts *h, const struct endpoint *e,
		   struct host_conf *c)
{
	char why[CERTS_WHY_MAX] = "";
	char *bundle;
	int r = 0;

	if (e->cas.len) {
		r = cabundle_get(h->bundles, &e->cas, &bundle, why);
		hosts_tell(h, e->where, *why ? why : NULL);
		if (r < 0)
			return r;
		free(c->ca_file);
		c->ca_file = bundle;
	}
	r = copy(&c->client_cert, e->client_cert);
	if (r == 0)
		r = copy(&c->client_key, e->client_key);
	for (size_t i = 0; r == 0 && i < e->headers.len; i++)
		r = string_list_add(&c->headers, e->headers.v[i]);
	set_scheme(e, c);
	return r;
}

int hosts_endpoint(struct hosts *h, const struct endpoint *e,
		   struct host_conf *ret)
{
	struct host_conf c = {.host = NULL};
	int r = e == h->mirror ? hosts_find(h, e->host, &c)
			       : hosts_find_usual(h, e->host, &c);

	if (r == 0)
		r = overlay(h, e, &c);
	if (r == 0)
		r = copy(&c.path, e->path);
	if (r < 0)
		host_conf_done(&c);
	else
		*ret = c;
	return r;
}

int hosts_add_own(struct hosts *h, struct host_conf *c)
{
	static const struct endpoint either = {.scheme = ENDPOINT_EITHER};
	const char *host = hostname_canonical(c->host);
	const struct regentry *entry =
		registriesconf_find(&h->registries, host, "");
	const struct hoststoml *t;
	int r = hosts_toml(h, host, &t);

	for (size_t i = 0; r == 0 && i < t->len; i++) {
		if (endpoint_is_own(t->v[i], host))
			return overlay(h, t->v[i], c);
	}
	if (r == 0 && entry && entry->insecure && !entry->location.endpoint)
		r = overlay(h, &either, c);
	return r;
}

/* --- routes --- */

void route_done(struct route *r)
{
	for (size_t i = 0; i < r->len; i++)
		free(r->v[i].repository);
	vec_done(r);
}

static int add_step(struct route *r, const struct endpoint *e,
		    const char *repository)
{
	struct route_step step = {.endpoint = e,
				  .repository = strdup(repository),
				  .there = "",
				  .here = ""};
	int ret = step.repository ? vec_push(r, step) : -ENOMEM;

	if (ret < 0)
		free(step.repository);
	return ret;
}

static bool may(const struct endpoint *e, bool by_digest)
{
	return by_digest ? e->pull : e->resolve;
}

/* Mirrors only: the host itself, and its server, have their turn at the end,
 * whatever place they are given. */
static int add_toml(const struct hoststoml *t, const char *host,
		    const char *repository, bool by_digest, struct route *ret)
{
	size_t len = t->len - (t->has_server ? 1 : 0);
	int r = 0;

	for (size_t i = 0; r == 0 && i < len; i++) {
		const struct endpoint *e = t->v[i];

		if (may(e, by_digest) && !endpoint_is_own(e, host))
			r = add_step(ret, e, repository);
	}
	return r;
}

static int add_rewritten(const struct regentry *entry, const struct rewrite *w,
			 const char *host, const char *repository,
			 struct route *ret)
{
	autofree char *name = NULL;
	const char *slash = strchr(entry->prefix, '/');
	int r = registriesconf_rewrite(entry, w, host, repository, &name);

	if (r == -EINVAL)
		return 0; /* there cannot be such a repository */
	if (r == 0)
		r = add_step(ret, w->endpoint, name);
	if (r == 0 && *w->path)
		ret->v[ret->len - 1].there = w->path + 1;
	if (r == 0 && slash)
		ret->v[ret->len - 1].here = slash + 1;
	return r;
}

static int add_mirrors(const struct regentry *entry, const char *host,
		       const char *repository, bool by_digest,
		       struct route *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < entry->len; i++) {
		if (may(entry->v[i].endpoint, by_digest))
			r = add_rewritten(entry, &entry->v[i], host, repository,
					  ret);
	}
	return r;
}

/* Where it really is: the seat, if that is said of the host; or as the name is
 * rewritten. */
static int add_last(const struct hoststoml *t, const struct regentry *entry,
		    const char *host, const char *repository, struct route *ret)
{
	size_t before = ret->len;
	int r = 0;

	if (!t->has_server && entry && entry->location.endpoint)
		r = add_rewritten(entry, &entry->location, host, repository,
				  ret);
	if (r == 0 && ret->len == before)
		r = add_step(ret, NULL, repository);
	return r;
}

int hosts_route(struct hosts *h, const char *host, const char *repository,
		bool by_digest, struct route *ret)
{
	const char *name = hostname_canonical(host);
	const struct regentry *entry =
		registriesconf_find(&h->registries, name, repository);
	struct route route = {.v = NULL};
	const struct hoststoml *t = NULL;
	int r = h->mirror ? add_step(&route, NULL, repository)
			  : hosts_toml(h, name, &t);

	if (r == 0 && t)
		r = add_toml(t, name, repository, by_digest, &route);
	if (r == 0 && t && entry)
		r = add_mirrors(entry, name, repository, by_digest, &route);
	if (r == 0 && t)
		r = add_last(t, entry, name, repository, &route);
	if (r < 0) {
		route_done(&route);
		return r;
	}
	*ret = route;
	return 0;
}

const char *hosts_blocked(const struct hosts *h, const char *host,
			  const char *repository)
{
	const struct regentry *e = registriesconf_find(
		&h->registries, hostname_canonical(host), repository);

	if (h->registries.blocks_all)
		return h->registries.blocks_all;
	return e && e->blocked ? e->where : NULL;
}
