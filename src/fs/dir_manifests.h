/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `_manifests`: images and anything else with a manifest, by digest. */
#include "fs/dir_refs.h"
#include "oci/digest.h"

/* Looks one up for any directory: `known` as in node_ops. */
int dir_manifests_find(struct node *dir, const char *name, struct repo *repo,
		       const struct digest *d, const char *up,
		       struct node *known, struct wait *w, struct node **ret,
		       double *ttl_s);
/* mkdir of one: begins to write it. */
int dir_manifests_begin(struct node *dir, const char *name, struct repo *repo,
			const struct digest *d, const char *up, pid_t tid,
			struct node **ret);
