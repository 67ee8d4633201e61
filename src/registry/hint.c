/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GitLab refuses a name that is no project, or too far beneath one, in the same
 * words as a bad password: "access forbidden", or a token that is good for
 * nothing (registries.md D.6).
 */
#include "registry/hint.h"

#include <string.h>

#include "registry/host.h"
#include "util/auto.h"
#include "util/str.h"

/* GROUP/PROJECT and two more: deeper ones need a group of groups. */
#define GITLAB_SURE 4

static bool is_gitlab(struct registry *r)
{
	autofree char *realm = NULL;
	bool named;

	autolock(&r->lock);
	named = r->demand.service &&
		strcmp(r->demand.service, "container_registry") == 0;
	if (r->demand.realm)
		realm = strndup(r->demand.realm,
				strcspn(r->demand.realm, "?#"));
	return named && realm && str_suffix(realm, "/jwt/auth");
}

/* Components of the repository: up to the first of our own names. */
static unsigned depth(const char *object)
{
	unsigned n = 0;

	while (*object && *object != '_' && *object != '.') {
		n++;
		object += strcspn(object, "/");
		object += *object == '/';
	}
	return n;
}

const char *hint_find(struct registry *r, const char *object,
		      const struct outcome *out)
{
	unsigned n = depth(object);

	if (out->status < 400 || out->status > 404 ||
	    (n != 1 && n <= GITLAB_SURE) || !is_gitlab(r))
		return NULL;
	return n == 1 ? "GitLab's names are GROUP/PROJECT and at most two "
			"levels more"
		      : "GitLab allows at most two levels beneath a project";
}
