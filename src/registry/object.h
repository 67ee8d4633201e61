/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The texts that go with a repository's objects: path, scope, and what people
 * are told.  Names are checked against the grammar first, so that they can be
 * put into a URL as they are. */
#include "util/str.h"

struct object {
	char *path;  /* "/v2/team/app/manifests/1.4" */
	char *scope; /* "repository:team/app:pull" */
	char *name;  /* where a mount shows it: "team/app/_tags/1.4" */
};

/* kind: "manifests", "blobs", "referrers".  -EINVAL: no repository, tag or
 * digest by the grammar. */
int object_init(struct object *o, const char *repository, const char *kind,
		const char *reference);
/* "tags/list" with a query. */
int object_init_tags(struct object *o, const char *repository);
/* For other actions on it than pull: "pull,push". */
int object_want(struct object *o, const char *repository, const char *actions);
void object_done(struct object *o);
