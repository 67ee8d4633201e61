/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest is fetched to see whether it is there; it would be needed next. */
#include "fs/dir_manifests.h"

#include <errno.h>

#include "fs/dir_image.h"
#include "fs/overlay.h"
#include "fs/snapshot.h"
#include "oci/reference.h"

/* Nothing is published; -ENOENT: and nothing is being written. */
static int find_unborn(struct node *dir, const char *name,
		       struct dir_image_spec *spec, struct node *known,
		       struct node **ret)
{
	autoptr(draft) draft = NULL;
	char text[DIGEST_TEXT_MAX];
	int r;

	digest_format(spec->digest, text);
	r = overlay_find(dir, spec->repo, text, &draft);
	if (r < 0)
		return r;
	if (known && dir_image_is_unborn(known)) {
		*ret = known;
		return 0;
	}
	spec->draft = draft;
	return dir_image_new(dir, name, spec, ret);
}

static int find_born(struct node *dir, const char *name,
		     const struct dir_image_spec *spec, struct node *known,
		     struct node **ret, double *ttl_s)
{
	*ttl_s = NODE_TTL_FOREVER;
	if (known && dir_image_adopt(known, spec->digest)) {
		*ret = known;
		return 0;
	}
	return dir_image_new(dir, name, spec, ret);
}

static int ask_manifest(struct repo *repo, const struct digest *d,
			struct wait *w)
{
	const struct manifest *m;
	struct image *i;
	int r;

	r = image_open(repo, d, NULL, &i);
	if (r < 0)
		return r;
	r = image_root(i, w, &m);
	image_unref(i);
	return r;
}

int dir_manifests_find(struct node *dir, const char *name, struct repo *repo,
		       const struct digest *d, const char *up,
		       struct node *known, struct wait *w, struct node **ret,
		       double *ttl_s)
{
	struct dir_image_spec spec = {.repo = repo, .digest = d, .up = up};
	int r;

	if (known && dir_image_is(known, d)) {
		*ttl_s = NODE_TTL_FOREVER;
		*ret = known;
		return 0;
	}
	*ttl_s = 0;
	if (known && dir_image_is_unborn(known) &&
	    find_unborn(dir, name, &spec, known, ret) == 0)
		return 0;
	r = ask_manifest(repo, d, w);
	if (r == -ENOENT)
		r = find_unborn(dir, name, &spec, known, ret);
	else if (r == 0)
		r = find_born(dir, name, &spec, known, ret, ttl_s);
	if (r < 0)
		*ttl_s = NODE_TTL_NEGATIVE;
	return r;
}

int dir_manifests_begin(struct node *dir, const char *name, struct repo *repo,
			const struct digest *d, const char *up, pid_t tid,
			struct node **ret)
{
	struct dir_image_spec spec = {
		.repo = repo, .digest = d, .up = up, .maker = tid};

	return dir_image_begin(dir, name, &spec, ret);
}

static int manifests_opendir(struct node *dir, struct wait *w,
			     void **ret_handle)
{
	struct string_list names = {0};
	int r;

	(void)w;
	r = repo_digests(((struct dir_refs *)dir)->repo, true, &names);
	return r < 0 ? r : dir_refs_snapshot(dir, &names, S_IFDIR, ret_handle);
}

static int manifests_lookup(struct node *dir, const char *name,
			    struct node *known, struct wait *w,
			    struct node **ret, double *ttl_s)
{
	struct digest d;

	if (reference_parse_digest_name(name, &d) < 0)
		return -ENOENT;
	return dir_manifests_find(dir, name, ((struct dir_refs *)dir)->repo, &d,
				  "../..", known, w, ret, ttl_s);
}

static int manifests_mkdir(struct node *dir, const char *name, pid_t tid,
			   struct node **ret)
{
	struct digest d;

	if (reference_parse_digest_name(name, &d) < 0)
		return -EINVAL;
	return dir_manifests_begin(dir, name, ((struct dir_refs *)dir)->repo,
				   &d, "../..", tid, ret);
}

static int manifests_rmdir(struct node *dir, const char *name, struct wait *w)
{
	struct digest d;

	if (reference_parse_digest_name(name, &d) < 0)
		return -ENOENT;
	return naming_remove_digest(dir, ((struct dir_refs *)dir)->repo, &d, w);
}

const struct node_ops dir_manifests_ops = {
	.type = S_IFDIR,
	.getattr = dir_refs_getattr,
	.done = dir_refs_done,
	.lookup = manifests_lookup,
	.opendir = manifests_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
	.settable = true,
	.mkdir = manifests_mkdir,
	.rmdir = manifests_rmdir,
};
