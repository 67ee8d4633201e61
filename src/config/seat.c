/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the registry of a name really is: for all names on the one registry
 * that `mirror` names, else where hosts.toml's `server` says, else at the name.
 *
 * On a mirror for everything the repository R of the host h:5000 is called
 * PATH/h_5000/R, as "skopeo sync --scoped" has it; no host has a '_', so the
 * way back is as sure.  What is there under the mirror's own name is itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "config/hostname.h"
#include "config/hosts_private.h"
#include "config/hoststoml.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/str.h"

AUTOPTR_DEFINE(endpoint, endpoint_free)

void seat_done(struct seat *s)
{
	free(s->prefix);
	*s = (struct seat){.endpoint = NULL};
}

/* --- mirror= --- */

int mirror_parse(const char *text, struct endpoint **ret, char **ret_path,
		 const char **ret_why)
{
	autoptr(endpoint) e = calloc(1, sizeof(*e));
	autofree char *path = NULL, *repository = NULL;
	int r = e ? endpoint_parse(text, e, &path, ret_why) : -ENOMEM;

	if (r < 0)
		return r;
	/* As in any repository's name. */
	if (*path && !reference_is_repository(path + 1)) {
		*ret_why = "has a path that no repository can be in";
		return -EINVAL;
	}
	e->path = strdup("/v2");
	e->where = strdup("mirror");
	repository = strdup(*path ? path + 1 : "");
	if (!e->path || !e->where || !repository)
		return -ENOMEM;
	e->resolve = e->pull = e->push = true;
	*ret_path = steal(&repository);
	*ret = steal(&e);
	return 0;
}

int hosts_set_mirror(struct hosts *h, const char *text)
{
	const char *why = "";
	int r;

	if (!text)
		return 0;
	r = mirror_parse(text, &h->mirror, &h->mirror_path, &why);
	if (r == -EINVAL)
		fprintf(stderr, "registryfs: mirror=%s %s\n", text, why);
	return r;
}

void hosts_forget_mirror(struct hosts *h)
{
	endpoint_free(h->mirror);
	free(h->mirror_path);
}

const struct endpoint *hosts_mirror(const struct hosts *h,
				    const char **ret_path)
{
	if (h->mirror)
		*ret_path = h->mirror_path;
	return h->mirror;
}

static int find_on_mirror(const struct hosts *h, const char *host,
			  struct seat *ret)
{
	autofree char *name = strdup(host);
	const char *path = h->mirror_path;
	char *prefix = NULL;

	if (!name)
		return -ENOMEM;
	if (strcmp(host, h->mirror->host) != 0) {
		for (char *c = name; *c; c++)
			*c = *c == ':' ? '_' : *c;
		prefix = str_printf("%s%s%s", path, *path ? "/" : "", name);
		if (!prefix)
			return -ENOMEM;
	}
	if (prefix && !reference_is_repository(prefix)) {
		free(prefix);
		return -EINVAL;
	}
	ret->endpoint = h->mirror;
	ret->prefix = prefix;
	return 0;
}

int mirror_host(const char *component, char ret[REFERENCE_HOST_MAX + 1])
{
	const char *cut = strrchr(component, '_');
	autofree char *host = strdup(component);

	if (!host)
		return -ENOMEM;
	if (cut)
		host[cut - component] = ':';
	return strchr(host, '+') ? -EINVAL : reference_parse_host(host, ret);
}

/* --- hosts.toml --- */

int hosts_seat(struct hosts *h, const char *host, struct seat *ret)
{
	struct seat s = {.endpoint = NULL};
	const char *name = hostname_canonical(host);
	const struct hoststoml *t;
	int r;

	if (h->mirror) {
		r = find_on_mirror(h, name, &s);
	} else {
		r = hosts_toml(h, name, &t);
		if (r == 0 && t->has_server &&
		    !endpoint_is_own(t->v[t->len - 1], name))
			s.endpoint = t->v[t->len - 1];
	}
	if (r == 0)
		*ret = s;
	return r;
}
