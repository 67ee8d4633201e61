/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and scopes; the gate of faults.md A10 and A18 on the way out. */
#include "registry/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/reference.h"

static int finish(struct object *o, const char *repository)
{
	o->scope = str_printf("repository:%s:pull", repository);
	if (o->path && o->scope && o->name)
		return 0;
	object_done(o);
	return -ENOMEM;
}

/* Where a mount shows it. */
static char *tree_path(const char *repository, const char *kind,
		       const char *reference)
{
	const char *folder = "_manifests", *inside = "";

	if (strcmp(kind, "blobs") == 0)
		folder = "_blobs";
	else if (strcmp(kind, "referrers") == 0)
		inside = "/referrers";
	else if (reference_is_tag(reference))
		folder = "_tags";
	return str_printf("%s/%s/%s%s", repository, folder, reference, inside);
}

int object_init(struct object *o, const char *repository, const char *kind,
		const char *reference)
{
	struct digest d;

	*o = (struct object){.path = NULL};
	if (!reference_is_repository(repository) ||
	    (digest_parse(reference, &d) < 0 &&
	     (strcmp(kind, "manifests") != 0 || !reference_is_tag(reference))))
		return -EINVAL;
	o->path = str_printf("/v2/%s/%s/%s", repository, kind, reference);
	o->name = tree_path(repository, kind, reference);
	return finish(o, repository);
}

int object_init_tags(struct object *o, const char *repository)
{
	*o = (struct object){.path = NULL};
	if (!reference_is_repository(repository))
		return -EINVAL;
	o->path = str_printf("/v2/%s/tags/list", repository);
	o->name = str_printf("%s/_tags", repository);
	return finish(o, repository);
}

int object_want(struct object *o, const char *repository, const char *actions)
{
	char *scope = str_printf("repository:%s:%s", repository, actions);

	if (!scope)
		return -ENOMEM;
	free(o->scope);
	o->scope = scope;
	return 0;
}

void object_done(struct object *o)
{
	free(o->path);
	free(o->scope);
	free(o->name);
	*o = (struct object){.path = NULL};
}
