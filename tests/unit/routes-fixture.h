/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For tests of what configuration files say of the ways to a repository. */
#include "fixture.h"

#include "config/endpoint.h"
#include "config/hosts.h"
#include "util/auto.h"
#include "util/str.h"

#define UNUSED __attribute__((unused))

AUTOPTR_DEFINE(hosts, hosts_free)

#define TOML(host) ".config/containerd/certs.d/" host "/hosts.toml"
#define CONF ".config/containers/registries.conf"
#define DROPIN ".config/containers/registries.conf.d/"

static struct hosts *start(void)
{
	struct options o = {.source = NULL};
	struct hosts *h = NULL;

	assert_int_equal(hosts_new(&o, &h), 0);
	return h;
}

/* "m:1/v2 team/app; -" where - is the host itself. */
static char *route(struct hosts *h, const char *host, const char *repository,
		   bool by_digest)
{
	autostr out = {.max = 0};
	struct route r;

	assert_int_equal(hosts_route(h, host, repository, by_digest, &r), 0);
	assert_true(r.len > 0);
	for (size_t i = 0; i < r.len; i++) {
		const struct endpoint *e = r.v[i].endpoint;

		str_add(&out, i ? "; " : "");
		if (e)
			str_addf(&out, "%s%s%s ", e->host, e->path,
				 e->ns ? "?" : "");
		else
			str_add(&out, "- ");
		str_add(&out, r.v[i].repository);
	}
	route_done(&r);
	return str_steal(&out);
}

struct row {
	const char *host, *repository;
	const char *by_digest, *by_tag;
};

UNUSED static void check(struct hosts *h, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		autofree char *d =
			route(h, rows[i].host, rows[i].repository, true);
		autofree char *t =
			route(h, rows[i].host, rows[i].repository, false);

		assert_string_equal(d, rows[i].by_digest);
		assert_string_equal(t, rows[i].by_tag);
	}
}
