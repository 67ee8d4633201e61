/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways of being allowed, asked in this order: SOURCE and what is beneath
 * it; then the patterns, which alone count once there are any; else the
 * default, everything, or with allow_other only hosts for which the mounting
 * user has credentials (other users must not make him talk to strangers).
 */
#include "config/allow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "config/hosts.h"
#include "config/pattern.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/vec.h"

struct allow {
	const struct hosts *hosts; /* or NULL */
	VEC(struct pattern) patterns;
	bool has_source;
	struct pattern source; /* its path itself is allowed too */
	bool only_with_credentials;
	struct dockerauth *auth;
};

AUTOPTR_DEFINE(allow, allow_free)

void allow_free(struct allow *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->patterns.len; i++)
		pattern_done(&a->patterns.v[i]);
	vec_done(&a->patterns);
	pattern_done(&a->source);
	free(a);
}

static int complain(const char *option, const char *value, const char *reason)
{
	fprintf(stderr, "registryfs: %s%s %s\n", option, value, reason);
	return -EINVAL;
}

static int add_patterns(const struct string_list *list, struct allow *a)
{
	for (size_t i = 0; i < list->len; i++) {
		const char *reason = "";
		struct pattern p;
		int r;

		r = pattern_parse(list->v[i], true, &p, &reason);
		if (r == -EINVAL)
			return complain("allow=", list->v[i], reason);
		if (r < 0)
			return r;
		r = vec_push(&a->patterns, p);
		if (r < 0) {
			pattern_done(&p);
			return r;
		}
	}
	return 0;
}

static int set_source(const char *source, struct allow *a)
{
	const char *reason = "";
	int r;

	if (!source)
		return 0;
	r = strchr(source, '*')
		    ? -EINVAL
		    : pattern_parse(source, true, &a->source, &reason);
	if (r == -EINVAL)
		return complain("SOURCE ", source, reason);
	if (r < 0)
		return r;
	a->source.beneath = true;
	a->has_source = true;
	return 0;
}

int allow_new(const struct options *o, struct dockerauth *auth,
	      struct allow **ret)
{
	autoptr(allow) a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->auth = auth;
	/* A mirror for everything is no stranger: it was named. */
	a->only_with_credentials = o->allow_other && !o->mirror;
	r = set_source(o->source, a);
	if (r == 0)
		r = add_patterns(&o->allow, a);
	if (r < 0)
		return r;
	*ret = steal(&a);
	return 0;
}

static bool has_credentials(struct allow *a, const char *host)
{
	autostrings hosts = {.v = NULL};

	/* In doubt (no memory) it is refused. */
	return dockerauth_hosts(a->auth, &hosts) == 0 &&
	       string_list_has(&hosts, hostname_canonical(host));
}

static enum pattern_fit fit_source(const struct allow *a, const char *host,
				   const char *repository)
{
	if (!a->has_source || !pattern_match_host(&a->source, host))
		return PATTERN_NO;
	if (strcmp(a->source.path, repository) == 0)
		return PATTERN_YES;
	return pattern_match_path(&a->source, repository);
}

static enum pattern_fit fit(struct allow *a, const char *host,
			    const char *repository)
{
	enum pattern_fit best = fit_source(a, host, repository);

	if (a->hosts && hosts_blocked(a->hosts, host, repository))
		return PATTERN_NO;
	for (size_t i = 0; i < a->patterns.len && best != PATTERN_YES; i++) {
		const struct pattern *p = &a->patterns.v[i];
		enum pattern_fit f = PATTERN_NO;

		if (pattern_match_host(p, host))
			f = pattern_match_path(p, repository);
		if (f > best)
			best = f;
	}
	if (best == PATTERN_YES || a->patterns.len > 0)
		return best;
	if (!a->only_with_credentials || has_credentials(a, host))
		return PATTERN_YES;
	return best;
}

void allow_add_blocked(struct allow *a, const struct hosts *h)
{
	a->hosts = h;
}

const char *allow_blocked(struct allow *a, const char *host,
			  const char *repository)
{
	return a->hosts ? hosts_blocked(a->hosts, host, repository) : NULL;
}

bool allow_host(struct allow *a, const char *host)
{
	return fit(a, hostname_canonical(host), "") != PATTERN_NO;
}

bool allow_path(struct allow *a, const char *host, const char *repository)
{
	return fit(a, hostname_canonical(host), repository) != PATTERN_NO;
}

bool allow_exact(struct allow *a, const char *host, const char *repository)
{
	return fit(a, hostname_canonical(host), repository) == PATTERN_YES;
}

const char *allow_reason(const struct allow *a)
{
	if (a->patterns.len > 0)
		return "is not on the allow list (allow=)";
	return "is not on the allow list: with allow_other only registries "
	       "with a stored credential are (allow=)";
}

static bool has_name(const struct allow *a, const char *host, bool spelt)
{
	for (size_t i = 0; i < a->patterns.len; i++) {
		const struct pattern *p = &a->patterns.v[i];

		if (pattern_match_host(p, hostname_canonical(host)) &&
		    pattern_match_path(p, "") == PATTERN_YES &&
		    (!spelt || pattern_is_one_host(p)))
			return true;
	}
	return false;
}

bool allow_names(const struct allow *a, const char *host)
{
	return has_name(a, host, false);
}

bool allow_spells(const struct allow *a, const char *host)
{
	return has_name(a, host, true);
}

static int add_credential_hosts(struct allow *a, struct string_list *list)
{
	autostrings hosts = {.v = NULL};
	char host[REFERENCE_HOST_MAX + 1];
	int r;

	r = dockerauth_hosts(a->auth, &hosts);
	for (size_t i = 0; r == 0 && i < hosts.len; i++) {
		/* Keys of those files are anything a user wrote. */
		if (reference_parse_host(hosts.v[i], host) < 0 ||
		    !allow_host(a, host))
			continue;
		r = string_list_add_once(list, host);
	}
	return r;
}

int allow_known_hosts(struct allow *a, struct string_list *ret)
{
	autostrings list = {.v = NULL};
	int r = 0;

	if (a->has_source)
		r = string_list_add(&list, a->source.host);
	for (size_t i = 0; r == 0 && i < a->patterns.len; i++) {
		if (pattern_is_one_host(&a->patterns.v[i]))
			r = string_list_add_once(&list, a->patterns.v[i].host);
	}
	if (r == 0)
		r = add_credential_hosts(a, &list);
	for (size_t i = 0; r == 0 && i < list.len; i++)
		r = string_list_add_once(ret, list.v[i]);
	return r;
}
