/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The reserved directories of a repository: _tags, _manifests, _blobs. */
#include "content/repo.h"
#include "fs/node.h"
#include "oci/digest.h"

/* All reserved names, ended by NULL, in listing order. */
extern const char *const dir_refs_names[];
/* -ENOENT: `name` is none of them. */
int dir_refs_new(struct node *parent, const char *name, struct repo *repo,
		 struct node **ret);
/* Looks up an image by tag for any directory: `known` as in node_ops. */
int dir_refs_tag(struct node *dir, const char *name, struct repo *repo,
		 const char *tag, const char *up, struct node *known,
		 struct wait *w, struct node **ret, double *ttl_s);
/* The same by digest. */
int dir_refs_digest(struct node *dir, const char *name, struct repo *repo,
		    const struct digest *d, const char *up, struct node *known,
		    struct wait *w, struct node **ret);
