/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is decided by trying: what a name and the options say is all there
 * is, so a network cannot talk us out of TLS.  The one exception is loopback,
 * where plain http is the habit (registries.md C.8); it ends as soon as
 * certificates are configured for the host.
 */
#include "config/hosts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/cabundle.h"
#include "config/certs.h"
#include "config/hostname.h"
#include "config/hosts_private.h"
#include "config/pattern.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/map.h"
#include "util/str.h"
#include "util/vec.h"

#define TOLD_MAX 4096

AUTOPTR_DEFINE(hosts, hosts_free)

static void free_patterns(struct pattern_list *p)
{
	for (size_t i = 0; i < p->len; i++)
		pattern_done(&p->v[i]);
	vec_done(p);
}

void hosts_free(struct hosts *h)
{
	if (!h)
		return;
	free_patterns(&h->plain_http);
	free_patterns(&h->insecure);
	string_list_done(&h->cert_dirs);
	hosts_forget_routes(h);
	hosts_forget_mirror(h);
	cabundle_free(h->bundles);
	free(h);
}

static int parse_patterns(const struct string_list *list, const char *option,
			  struct pattern_list *ret)
{
	for (size_t i = 0; i < list->len; i++) {
		const char *reason = "";
		struct pattern p;
		int r;

		r = pattern_parse(list->v[i], false, &p, &reason);
		if (r == -EINVAL)
			fprintf(stderr, "registryfs: %s=%s %s\n", option,
				list->v[i], reason);
		if (r < 0)
			return r;
		r = vec_push(ret, p);
		if (r < 0) {
			pattern_done(&p);
			return r;
		}
	}
	return 0;
}

static int list_cert_dirs(const struct options *o, struct string_list *ret)
{
	autofree char *home = NULL;
	autofree char *own = NULL;
	int r;

	if (o->cert_dir)
		return string_list_add(ret, o->cert_dir);
	r = userdirs_home(&home);
	if (r == 0) {
		own = str_printf("%s/.config/containers/certs.d", home);
		r = own ? string_list_add(ret, own) : -ENOMEM;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	r = string_list_add(ret, "/etc/containers/certs.d");
	return r < 0 ? r : string_list_add(ret, "/etc/docker/certs.d");
}

int hosts_new(const struct options *o, struct hosts **ret)
{
	autoptr(hosts) h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = parse_patterns(&o->plain_http, "plain_http", &h->plain_http);
	if (r == 0)
		r = parse_patterns(&o->insecure, "insecure", &h->insecure);
	if (r == 0)
		r = list_cert_dirs(o, &h->cert_dirs);
	if (r == 0)
		r = cabundle_new(&h->bundles);
	if (r == 0)
		r = hosts_init_routes(h, o->cert_dir);
	if (r == 0)
		r = hosts_set_mirror(h, o->mirror);
	if (r < 0)
		return r;
	*ret = steal(&h);
	return 0;
}

static bool matches(const struct pattern_list *p, const char *host)
{
	for (size_t i = 0; i < p->len; i++) {
		if (pattern_match_host(&p->v[i], host))
			return true;
	}
	return false;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The first directory that exists counts, even if it is empty. */
static int find_certs(const struct hosts *h, const char *name,
		      struct certs *ret, char *why)
{
	for (size_t i = 0; i < h->cert_dirs.len; i++) {
		autofree char *dir =
			str_printf("%s/%s", h->cert_dirs.v[i], name);

		if (!dir)
			return -ENOMEM;
		if (is_dir(dir))
			return certs_scan(dir, ret, why);
	}
	return 0;
}

void hosts_tell(struct hosts *h, const char *host, const char *why)
{
	char *now = why ? strdup(why) : NULL;
	void *before;

	autolock(&h->lock);
	before = map_remove(h->told, host);
	if (why && (!before || strcmp(before, why) != 0))
		log_error("%s", why);
	free(before);
	if (now && (map_len(h->told) >= TOLD_MAX ||
		    map_put(h->told, host, now, NULL) < 0))
		free(now);
}

static int set_certs(struct hosts *h, const char *name, struct host_conf *c)
{
	struct certs certs = {.client_cert = NULL};
	char why[CERTS_WHY_MAX] = "";
	int r;

	r = find_certs(h, name, &certs, why);
	if (r == 0 && certs.cas.len > 0)
		r = cabundle_get(h->bundles, &certs.cas, &c->ca_file, why);
	hosts_tell(h, name, *why ? why : NULL);
	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		c->client_cert = steal(&certs.client_cert);
		c->client_key = steal(&certs.client_key);
	}
	certs_done(&certs);
	return r;
}

static void set_flags(const struct hosts *h, const char *name,
		      struct host_conf *c)
{
	bool has_certs = c->ca_file || c->client_cert;

	c->is_loopback = hostname_is_loopback(name);
	c->plain_http = matches(&h->plain_http, name);
	c->insecure =
		matches(&h->insecure, name) || (c->is_loopback && !c->ca_file);
	c->try_https_first = c->is_loopback && !c->plain_http && !has_certs;
}

int hosts_find_usual(struct hosts *h, const char *host, struct host_conf *ret)
{
	const char *name = hostname_canonical(host);
	const char *api =
		strcmp(name, "docker.io") == 0 ? "registry-1.docker.io" : name;
	struct host_conf c = {.host = NULL};
	int r = -ENOMEM;

	/* It becomes a directory name. */
	if (!*host || host[0] == '.' || strchr(host, '/'))
		return -EINVAL;
	c.host = strdup(host);
	c.api_host = strdup(api);
	if (c.host && c.api_host)
		r = set_certs(h, name, &c);
	if (r < 0) {
		host_conf_done(&c);
		return r;
	}
	set_flags(h, name, &c);
	*ret = c;
	return 0;
}

int hosts_find(struct hosts *h, const char *host, struct host_conf *ret)
{
	struct host_conf c = {.host = NULL};
	int r = hosts_find_usual(h, host, &c);

	if (r == 0)
		r = hosts_add_own(h, &c);
	if (r < 0)
		host_conf_done(&c);
	else
		*ret = c;
	return r;
}

void host_conf_done(struct host_conf *c)
{
	free(c->host);
	free(c->api_host);
	free(c->ca_file);
	free(c->client_cert);
	free(c->client_key);
	free(c->path);
	for (size_t i = 0; i < c->headers.len; i++)
		explicit_bzero(c->headers.v[i], strlen(c->headers.v[i]));
	string_list_done(&c->headers);
	*c = (struct host_conf){.host = NULL};
}
