/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each handle opens the blob and has its own read-ahead.  Once a blob was
 * verified the kernel keeps its pages for ever: the content of a digest does
 * not change.
 */
#include "fs/file_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dir_refs.h"
#include "fs/overlay.h"
#include "push/writer.h"
#include "util/auto.h"

struct file_blob {
	struct node node;
	struct repo *repo;
	struct image *image;
	struct digest digest;
	uint64_t size_bytes;
	const char *mediatype;
};

struct blob_handle {
	struct blob *blob;
	struct ahead ahead;
	atomic_bool served; /* some bytes were given out */
};

static int blob_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	const struct file_blob *f = (struct file_blob *)n;

	(void)w;
	a->st.st_mode |= NODE_FILE_MODE;
	a->st.st_size = (off_t)f->size_bytes;
	if (f->image)
		image_time_known(f->image, &a->st.st_mtim);
	else
		node_mount_time(n, a);
	return 0;
}

static void blob_done(struct node *n)
{
	struct file_blob *f = (struct file_blob *)n;

	image_unref(f->image);
	repo_unref(f->repo);
}

static int blob_handle_open(struct node *n, struct wait *w, void **ret_handle)
{
	struct file_blob *f = (struct file_blob *)n;
	struct blob_handle *h = calloc(1, sizeof(*h));
	int r;

	(void)w;
	if (!h)
		return -ENOMEM;
	r = blob_open(f->repo, &f->digest, f->size_bytes, &h->blob);
	if (r < 0) {
		free(h);
		return r;
	}
	ahead_init(&h->ahead, content_ahead_limit(node_content(n)), true);
	*ret_handle = h;
	return 0;
}

static ssize_t blob_handle_read(struct node *n, void *handle, void *buf,
				size_t len, uint64_t off, struct wait *w)
{
	struct blob_handle *h = handle;
	ssize_t r;

	(void)n;
	r = blob_read(h->blob, &h->ahead, buf, len, off, w);
	if (r > 0)
		atomic_store(&h->served, true);
	/* Deleted while it was being read. */
	if (r == -ENOENT && atomic_load(&h->served))
		return -ESTALE;
	return r;
}

static void blob_handle_close(struct node *n, void *handle)
{
	struct blob_handle *h = handle;

	(void)n;
	blob_unref(h->blob);
	ahead_done(&h->ahead);
	free(h);
}

/* What no digest has covered yet may turn out wrong: it is read anew. */
static bool blob_handle_keep(struct node *n, void *handle)
{
	(void)n;
	return blob_verified(((struct blob_handle *)handle)->blob);
}

static int blob_listxattr(struct node *n, struct wait *w, struct str *names)
{
	const struct file_blob *f = (struct file_blob *)n;
	int r;

	(void)w;
	r = xattr_name(names, "user.oci.digest");
	if (r == 0 && f->mediatype)
		r = xattr_name(names, "user.oci.mediatype");
	if (r == 0)
		r = xattr_name(names, "user.registryfs.cached");
	if (r == 0)
		r = xattr_name(names, "user.registryfs.verified");
	return r;
}

static int blob_cache_xattr(const struct file_blob *f, const char *name,
			    struct str *value)
{
	autoptr(blob) b = NULL;
	int r;

	r = blob_open(f->repo, &f->digest, f->size_bytes, &b);
	if (r < 0)
		return r;
	if (strcmp(name, "user.registryfs.cached") == 0)
		return str_addf(value, "%u", blob_cached_percent(b));
	if (strcmp(name, "user.registryfs.verified") == 0)
		return str_add(value, blob_verified(b) ? "yes" : "no");
	return -ENODATA;
}

static int blob_getxattr(struct node *n, struct wait *w, const char *name,
			 struct str *value)
{
	const struct file_blob *f = (struct file_blob *)n;
	char digest[DIGEST_TEXT_MAX];

	(void)w;
	if (strcmp(name, "user.oci.digest") == 0) {
		digest_format(&f->digest, digest);
		return str_add(value, digest);
	}
	if (strcmp(name, "user.oci.mediatype") == 0 && f->mediatype)
		return str_add(value, f->mediatype);
	if (strcmp(name, "user.registryfs.error") == 0)
		return content_last_error(node_content(n), repo_host(f->repo),
					  repo_name(f->repo), value) < 0
			       ? -ENODATA
			       : 0;
	if (strncmp(name, "user.registryfs.", 16) == 0)
		return blob_cache_xattr(f, name, value);
	return -ENODATA;
}

/* --- writing --- */

static int blob_copy_source(struct node *n, struct writer_copy *ret)
{
	const struct file_blob *f = (struct file_blob *)n;

	ret->from = f->repo;
	ret->digest = &f->digest;
	ret->size_bytes = f->size_bytes;
	ret->image = f->image;
	return 0;
}

/* In `_blobs` there is no image to be part of. */
static int blob_write_open(struct node *n, const struct opening *o,
			   struct writer **ret)
{
	struct file_blob *f = (struct file_blob *)n;

	if (n->parent->ops != &dir_blobs_ops)
		return overlay_write_open(n, o, ret);
	*ret = NULL;
	if (!(o->flags & O_TRUNC))
		return 0;
	return writer_new_blob(node_outbox(n), f->repo, &f->digest, o->tid,
			       ret);
}

static const struct node_ops blob_ops = {
	.type = S_IFREG,
	.getattr = blob_getattr,
	.done = blob_done,
	.listxattr = blob_listxattr,
	.getxattr = blob_getxattr,
	.open = blob_handle_open,
	.read = blob_handle_read,
	.close = blob_handle_close,
	.keep = blob_handle_keep,
	.settable = true,
	.write_open = blob_write_open,
	.copy_source = blob_copy_source,
};

bool file_blob_of(const struct node *n, const struct image *i)
{
	return n->ops == &blob_ops && ((const struct file_blob *)n)->image == i;
}

int file_blob_new(struct node *parent, const char *name, enum node_rank rank,
		  struct repo *repo, struct image *image,
		  const struct digest *d, uint64_t size_bytes,
		  const char *mediatype, struct node **ret)
{
	struct file_blob *f;
	struct node *n;
	int r;

	r = node_new(&blob_ops, sizeof(*f), parent, name, rank, &n);
	if (r < 0)
		return r;
	f = (struct file_blob *)n;
	f->repo = repo_ref(repo);
	f->image = image ? image_ref(image) : NULL;
	f->digest = *d;
	f->size_bytes = size_bytes;
	f->mediatype = mediatype;
	*ret = n;
	return 0;
}
