/* SPDX-License-Identifier: Apache-2.0 */
/* Only requests for a repository are translated: /v2/ and _catalog are the
 * same whoever is meant. */
#include "registry/there.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/host.h"
#include "util/auto.h"
#include "util/str.h"

#define REPOSITORY "repository:"

void there_done(struct there *t)
{
	free(t->path);
	free(t->repository);
	free(t->scope);
	*t = (struct there){.path = NULL};
}

int there_repository(const struct registry *r, const char *repository,
		     char **ret)
{
	*ret = r->prefix && *repository
		       ? str_printf("%s/%s", r->prefix, repository)
		       : strdup(repository);
	return *ret ? 0 : -ENOMEM;
}

/* "repository:a:pull repository:b:pull": each of them. */
static int translate_scope(const struct registry *r, const char *scope,
			   char **ret)
{
	autostr out = {.max = 0};
	int e = str_add(&out, "");

	while (e == 0 && *scope) {
		size_t n = strcspn(scope, " ");

		if (str_prefix(scope, REPOSITORY)) {
			e = str_addf(&out, REPOSITORY "%s/", r->prefix);
			scope += strlen(REPOSITORY);
			n -= strlen(REPOSITORY);
		}
		if (e == 0)
			e = str_addn(&out, scope, n);
		scope += n;
		if (e == 0 && *scope)
			e = str_addc(&out, *scope++);
	}
	if (e < 0)
		return e;
	*ret = str_steal(&out);
	return *ret ? 0 : -ENOMEM;
}

int there_spec(struct registry *r, const struct call_spec *s, struct there *ret)
{
	struct there t = {.spec = *s};
	int e;

	if (!r->prefix || !*s->repository) {
		*ret = t;
		return 0;
	}
	e = there_repository(r, s->repository, &t.repository);
	if (e == 0)
		e = translate_scope(r, s->scope, &t.scope);
	if (e == 0 && s->path && str_prefix(s->path, "/v2/")) {
		t.path = str_printf("/v2/%s/%s", r->prefix, s->path + 4);
		e = t.path ? 0 : -ENOMEM;
		t.spec.path = t.path;
	}
	if (e < 0) {
		there_done(&t);
		return e;
	}
	t.spec.repository = t.repository;
	t.spec.scope = t.scope;
	*ret = t;
	return 0;
}

const char *here_name(const char *prefix, const char *name)
{
	size_t n;

	if (!prefix)
		return name;
	n = strlen(prefix);
	return strncmp(name, prefix, n) == 0 && name[n] == '/' && name[n + 1]
		       ? name + n + 1
		       : NULL;
}

int here_path(struct registry *r, const char *path, char **ret)
{
	const struct host_conf *conf;
	const char *base, *rest = NULL, *name;
	int e = registry_conf(r, &conf);

	if (e < 0)
		return e;
	base = conf->path ? conf->path : "/v2";
	if (str_prefix(path, base))
		rest = path + strlen(base);
	if (!rest || *rest != '/') {
		*ret = strdup(path);
	} else {
		name = here_name(r->prefix, rest + 1);
		*ret = str_printf("/v2/%s", name ? name : rest + 1);
	}
	return *ret ? 0 : -ENOMEM;
}
