/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same node before and after its image is published: whoever copies into it
 * keeps his directory.
 */
#include "fs/dir_blobtree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/known.h"
#include "fs/caller.h"
#include "fs/dir_image.h"
#include "fs/file_blob.h"
#include "fs/file_draft.h"
#include "fs/file_text.h"
#include "fs/giveway.h"
#include "fs/overlay.h"
#include "fs/snapshot.h"
#include "util/auto.h"

static const char *const alg_names[] = {
	[HASH_SHA256] = "sha256",
	[HASH_SHA512] = "sha512",
};
#define ALGS (sizeof(alg_names) / sizeof(alg_names[0]))

struct dir_blobtree {
	struct node node;
	bool is_alg; /* blobs/ALG, else blobs */
	enum hash_alg alg;
};

static int find_alg(const char *name, enum hash_alg *ret)
{
	for (size_t a = 0; a < ALGS; a++) {
		if (strcmp(name, alg_names[a]) != 0)
			continue;
		*ret = (enum hash_alg)a;
		return 0;
	}
	return -ENOENT;
}

static bool is_document(enum image_part part)
{
	return part == PART_MANIFEST || part == PART_INDEX || part == PART_ROOT;
}

static enum node_rank rank_of(enum image_part part)
{
	static const enum node_rank ranks[] = {
		[PART_LAYER] = NODE_RANK_FIRST,
		[PART_CONFIG] = NODE_RANK_CONFIG,
		[PART_MANIFEST] = NODE_RANK_MANIFEST,
		[PART_INDEX] = NODE_RANK_INDEX,
		[PART_ROOT] = NODE_RANK_ROOT,
	};

	return ranks[part];
}

/* --- look-up --- */

/* Of the published image; `known` is what the name meant last. */
static int find_published(struct node *dir, const char *name,
			  const struct digest *digest, struct node *known,
			  struct wait *w, struct node **ret)
{
	struct node *top = dir_image_above(dir);
	struct image_entry e;
	struct image *i;
	int r;

	r = dir_image_get(top, w, &i);
	if (r == 0)
		r = image_find(i, digest, w, &e);
	if (r < 0)
		return r;
	if (known && (file_blob_of(known, i) || file_doc_of(known, i))) {
		*ret = known;
		return 0;
	}
	if (is_document(e.part))
		return file_doc_new(dir, name, rank_of(e.part), &e, i, ret);
	return file_blob_new(dir, name, rank_of(e.part), image_repo(i), i,
			     &e.digest, e.size_bytes, e.mediatype, ret);
}

static int as_blob(struct node *dir, const char *name,
		   const struct digest *digest, uint64_t size,
		   struct node *known, struct node **ret)
{
	if (known && file_blob_of(known, NULL)) {
		*ret = known;
		return 0;
	}
	return file_blob_new(dir, name, NODE_RANK_FIRST,
			     dir_image_repo(dir_image_above(dir)), NULL, digest,
			     size, NULL, ret);
}

/*
 * Into an image that is being written: what the repository holds already need
 * not be written, and tools that look (skopeo, buildah) then do not.  cp into a
 * new directory does not look, but insists that nothing is there; for him
 * nothing is.  So for whoever may write and not read.
 */
static int find_held(struct node *dir, const char *name,
		     const struct digest *digest, struct node *known,
		     struct wait *w, struct node **ret)
{
	struct node *top = dir_image_above(dir);
	struct repo *repo = dir_image_repo(top);
	autoptr(draft) d = NULL;
	uint64_t size = 0;
	int r;

	if (caller_intent(w->tid) != CALLER_LOOKS)
		return -ENOENT;
	r = overlay_find(dir, repo, dir_image_name(top), &d);
	if (r == 0)
		r = blob_find(repo, digest, w, &size);
	if (r == -EACCES || r == -EPERM)
		return -ENOENT;
	return r < 0 ? r : as_blob(dir, name, digest, size, known, ret);
}

/* The draft has it: *ret is its file.  What the registry has confirmed is read
 * from there, unless somebody still writes it. */
static int find_confirmed(struct node *dir, const char *name,
			  const struct digest *digest, struct node *known,
			  struct node **ret)
{
	struct repo *repo = dir_image_repo(dir_image_above(dir));
	struct node *drafted = *ret;
	uint64_t size;
	int r;

	if (file_draft_written(drafted) || !known_blob(repo, digest, &size))
		return 0;
	r = as_blob(dir, name, digest, size, known, ret);
	if (r == 0 && drafted != known)
		node_discard(drafted);
	return r;
}

static int lookup_digest(struct dir_blobtree *t, const char *name,
			 struct node *known, struct wait *w, struct node **ret,
			 double *ttl_s)
{
	struct node *dir = &t->node;
	struct digest digest;
	int r;

	*ttl_s = 0;
	if (digest_parse_parts(alg_names[t->alg], name, &digest) < 0)
		return overlay_lookup(dir, name, known, w, ret, ttl_s);
	r = -ENOENT;
	if (!give_way(dir, name, S_IFREG, w))
		r = find_published(dir, name, &digest, known, w, ret);
	if (r == 0)
		*ttl_s = NODE_TTL_FOREVER;
	if (r != -ENOENT)
		return r;
	r = overlay_lookup(dir, name, known, w, ret, ttl_s);
	if (r == 0)
		return find_confirmed(dir, name, &digest, known, ret);
	if (r == -ENOENT)
		r = find_held(dir, name, &digest, known, w, ret);
	/* Depends on who asks; and a missing one may yet be pushed. */
	*ttl_s = 0;
	return r;
}

static int blobtree_lookup(struct node *dir, const char *name,
			   struct node *known, struct wait *w,
			   struct node **ret, double *ttl_s)
{
	struct dir_blobtree *t = (struct dir_blobtree *)dir;
	enum hash_alg alg;
	struct image *i;
	int r;

	if (t->is_alg)
		return lookup_digest(t, name, known, w, ret, ttl_s);
	*ttl_s = 0;
	if (find_alg(name, &alg) < 0)
		return overlay_lookup(dir, name, known, w, ret, ttl_s);
	r = -ENOENT;
	if (!give_way(dir, name, S_IFDIR, w))
		r = dir_image_get(dir_image_above(dir), w, &i);
	if (r == -ENOENT)
		return overlay_lookup(dir, name, known, w, ret, ttl_s);
	if (r < 0)
		return r;
	*ttl_s = NODE_TTL_FOREVER;
	give_way_tell(dir, name, w);
	if (known) {
		*ret = known;
		return 0;
	}
	return dir_blobtree_new(dir, name, ret);
}

/* --- listing --- */

static int fill_alg(const struct dir_blobtree *t, const struct image_entry *e,
		    size_t len, struct snapshot *s)
{
	char hex[129];
	int r = 0;

	for (size_t i = 0; r == 0 && i < len; i++) {
		if (e[i].digest.alg != t->alg)
			continue;
		digest_hex(&e[i].digest, hex);
		r = snapshot_add(s, hex, S_IFREG, rank_of(e[i].part));
	}
	return r;
}

static int fill_algs(const struct image_entry *e, size_t len,
		     struct snapshot *s)
{
	bool has[ALGS] = {false, false};
	int r = 0;

	for (size_t i = 0; i < len; i++)
		has[e[i].digest.alg] = true;
	for (size_t a = 0; a < ALGS && r == 0; a++)
		if (has[a])
			r = snapshot_add(s, alg_names[a], S_IFDIR,
					 NODE_RANK_PLAIN);
	return r;
}

static int fill_published(const struct dir_blobtree *t, struct image *i,
			  struct wait *w, struct snapshot *s)
{
	const struct image_entry *e;
	size_t len;
	int r;

	r = image_entries(i, w, &e, &len);
	if (r == 0)
		r = t->is_alg ? fill_alg(t, e, len, s) : fill_algs(e, len, s);
	return r < 0 ? r : image_learn_time(i, w);
}

static int blobtree_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct image *i;
	int r;

	if (!s)
		return -ENOMEM;
	r = dir_image_get(dir_image_above(dir), w, &i);
	if (r == 0)
		r = fill_published((struct dir_blobtree *)dir, i, w, s);
	if (r == 0 || r == -ENOENT)
		r = overlay_list(dir, s);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

/* --- the kind --- */

static int blobtree_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	struct image *i = dir_image_peek(dir_image_above(n));

	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	if (i)
		image_time_known(i, &a->st.st_mtim);
	return 0;
}

static const struct node_ops blobtree_ops = {
	.type = S_IFDIR,
	.getattr = blobtree_getattr,
	.lookup = blobtree_lookup,
	.opendir = blobtree_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	OVERLAY_DIR_OPS,
};

bool dir_blobtree_is(const struct node *n)
{
	return n->ops == &blobtree_ops;
}

bool dir_blobtree_means(const struct node *dir, const char *name)
{
	enum hash_alg alg;

	if (dir_blobtree_is(dir))
		return !((const struct dir_blobtree *)dir)->is_alg &&
		       find_alg(name, &alg) == 0;
	return dir_image_is_one(dir) && strcmp(name, "blobs") == 0;
}

int dir_blobtree_new(struct node *parent, const char *name, struct node **ret)
{
	struct dir_blobtree *t;
	bool is_alg = dir_blobtree_is(parent);
	int r;

	r = node_new(&blobtree_ops, sizeof(*t), parent, name,
		     is_alg ? NODE_RANK_PLAIN : NODE_RANK_FIRST, ret);
	if (r < 0)
		return r;
	t = (struct dir_blobtree *)*ret;
	t->is_alg = is_alg;
	if (is_alg)
		find_alg(name, &t->alg);
	return 0;
}
