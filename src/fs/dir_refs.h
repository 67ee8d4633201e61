/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The reserved directories of a repository: _tags, _manifests and so on, one
 * file and one row for each kind. */
#include "config/stringlist.h"
#include "content/repo.h"
#include "fs/naming.h"
#include "fs/news.h"
#include "fs/node.h"

/* Reserved names in listing order; NULL: there is no i-th. */
const char *dir_refs_name(size_t i);
size_t dir_refs_count(void);
/* -ENOENT: `name` is none of them. */
int dir_refs_new(struct node *parent, const char *name, struct repo *repo,
		 struct node **ret);

/* --- for the kinds themselves --- */

struct dir_refs {
	struct node node;
	struct repo *repo;
	struct news_place place;
};

extern const struct node_ops dir_tags_ops, dir_manifests_ops, dir_blobs_ops,
	dir_layers_ops, dir_rootfs_ops;

int dir_refs_getattr(struct node *n, struct wait *w, struct node_attr *a);
void dir_refs_done(struct node *n);
/* A handle for snapshot_readdir with these names, spelled as the mount does;
 * `digests` is emptied. */
int dir_refs_snapshot(struct node *dir, struct string_list *digests,
		      mode_t type, void **ret_handle);
