/* SPDX-License-Identifier: Apache-2.0 */
/* What is named by digest has no list at a registry: there, what was named or
 * met before is listed. */
#include "fs/dir_refs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/snapshot.h"
#include "util/auto.h"

static const struct refs_kind {
	const char *name;
	const struct node_ops *ops;
} kinds[] = {
	{"_tags", &dir_tags_ops},     {"_manifests", &dir_manifests_ops},
	{"_blobs", &dir_blobs_ops},   {"_layers", &dir_layers_ops},
	{"_rootfs", &dir_rootfs_ops},
};

size_t dir_refs_count(void)
{
	return sizeof(kinds) / sizeof(kinds[0]);
}

const char *dir_refs_name(size_t i)
{
	return i < dir_refs_count() ? kinds[i].name : NULL;
}

static int refs_init(struct node *n, struct repo *repo)
{
	struct dir_refs *d = (struct dir_refs *)n;

	d->repo = repo_ref(repo);
	d->place.repo = d->repo;
	news_enlist(n, &d->place);
	return 0;
}

int dir_refs_new(struct node *parent, const char *name, struct repo *repo,
		 struct node **ret)
{
	int r;

	for (size_t i = 0; i < dir_refs_count(); i++) {
		if (strcmp(name, kinds[i].name) != 0)
			continue;
		r = node_new(kinds[i].ops, sizeof(struct dir_refs), parent,
			     name, NODE_RANK_PLAIN, ret);
		return r < 0 ? r : refs_init(*ret, repo);
	}
	return -ENOENT;
}

int dir_refs_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	node_mount_time(n, a);
	return 0;
}

void dir_refs_done(struct node *n)
{
	struct dir_refs *d = (struct dir_refs *)n;

	news_delist(n, &d->place);
	repo_unref(d->repo);
}

int dir_refs_snapshot(struct node *dir, struct string_list *digests,
		      mode_t type, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	int r = s ? 0 : -ENOMEM;

	for (size_t i = 0; i < digests->len && r == 0; i++) {
		name_spell(node_options(dir), digests->v[i]);
		r = snapshot_add(s, digests->v[i], type, NODE_RANK_PLAIN);
	}
	string_list_done(digests);
	if (r == 0)
		*ret_handle = steal(&s);
	return r;
}
