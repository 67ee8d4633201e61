/* SPDX-License-Identifier: Apache-2.0 */
/* Files whose bytes are in memory when they are read. */
#include "fs/file_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "fs/overlay.h"
#include "util/auto.h"

ssize_t text_slice(const char *text, size_t text_len, void *buf, size_t len,
		   uint64_t off)
{
	if (off >= text_len)
		return 0;
	if (len > text_len - off)
		len = text_len - (size_t)off;
	memcpy(buf, text + off, len);
	return (ssize_t)len;
}

static int open_nothing(struct node *n, struct wait *w, void **ret_handle)
{
	(void)n;
	(void)w;
	*ret_handle = NULL;
	return 0;
}

static void close_nothing(struct node *n, void *handle)
{
	(void)n;
	(void)handle;
}

/* --- fixed text --- */

struct file_text {
	struct node node;
	char *text;
	size_t len;
	struct image *image; /* gives the time; or NULL */
};

static int text_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	const struct file_text *f = (struct file_text *)n;

	(void)w;
	a->st.st_mode |= NODE_FILE_MODE;
	a->st.st_size = (off_t)f->len;
	if (f->image)
		image_time_known(f->image, &a->st.st_mtim);
	else
		node_mount_time(n, a);
	return 0;
}

static void text_done(struct node *n)
{
	struct file_text *f = (struct file_text *)n;

	image_unref(f->image);
	free(f->text);
}

static ssize_t text_read(struct node *n, void *handle, void *buf, size_t len,
			 uint64_t off, struct wait *w)
{
	const struct file_text *f = (struct file_text *)n;

	(void)handle;
	(void)w;
	return text_slice(f->text, f->len, buf, len, off);
}

static const struct node_ops text_ops = {
	.type = S_IFREG,
	.getattr = text_getattr,
	.done = text_done,
	.open = open_nothing,
	.read = text_read,
	.close = close_nothing,
	.settable = true,
	.write_open = overlay_write_open,
};

int file_text_new(struct node *parent, const char *name, enum node_rank rank,
		  char *text, struct image *image, struct node **ret)
{
	struct file_text *f;
	struct node *n;
	int r;

	r = node_new(&text_ops, sizeof(*f), parent, name, rank, &n);
	if (r < 0) {
		free(text);
		return r;
	}
	f = (struct file_text *)n;
	f->text = text;
	f->len = strlen(text);
	f->image = image ? image_ref(image) : NULL;
	*ret = n;
	return 0;
}

/* --- symbolic links --- */

static int link_readlink(struct node *n, struct wait *w, struct str *out)
{
	(void)w;
	return str_add(out, ((struct file_text *)n)->text);
}

static int link_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	int r = text_getattr(n, w, a);

	a->st.st_mode |= 0777;
	return r;
}

static const struct node_ops link_ops = {
	.type = S_IFLNK,
	.getattr = link_getattr,
	.done = text_done,
	.readlink = link_readlink,
	.settable = true,
};

int link_new(struct node *parent, const char *name, const char *target,
	     struct image *image, struct node **ret)
{
	char *copy = strdup(target);
	int r;

	if (!copy)
		return -ENOMEM;
	r = file_text_new(parent, name, NODE_RANK_PLAIN, copy, image, ret);
	if (r == 0)
		(*ret)->ops = &link_ops;
	return r;
}

/* --- manifests --- */

struct file_doc {
	struct node node;
	struct image *image;
	struct digest digest;
	uint64_t size_bytes;
	const char *mediatype; /* lives as long as the image */
};

static int doc_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	const struct file_doc *f = (struct file_doc *)n;

	(void)w;
	a->st.st_mode |= NODE_FILE_MODE;
	a->st.st_size = (off_t)f->size_bytes;
	image_time_known(f->image, &a->st.st_mtim);
	return 0;
}

static void doc_done(struct node *n)
{
	image_unref(((struct file_doc *)n)->image);
}

static int doc_open(struct node *n, struct wait *w, void **ret_handle)
{
	const struct file_doc *f = (struct file_doc *)n;
	struct doc *d;
	int r;

	r = doc_fetch(image_repo(f->image), &f->digest, w, &d);
	if (r < 0)
		return r;
	/* st_size came from a descriptor: a reader must not be cut short. */
	if (doc_manifest(d)->size_bytes != f->size_bytes) {
		doc_unref(d);
		return -EBADMSG;
	}
	*ret_handle = d;
	return 0;
}

static ssize_t doc_read(struct node *n, void *handle, void *buf, size_t len,
			uint64_t off, struct wait *w)
{
	const struct manifest *m = doc_manifest(handle);

	(void)n;
	(void)w;
	return text_slice(m->bytes, m->size_bytes, buf, len, off);
}

static void doc_close(struct node *n, void *handle)
{
	(void)n;
	doc_unref(handle);
}

static int doc_listxattr(struct node *n, struct wait *w, struct str *names)
{
	int r;

	(void)n;
	(void)w;
	r = xattr_name(names, "user.oci.digest");
	return r < 0 ? r : xattr_name(names, "user.oci.mediatype");
}

static int doc_getxattr(struct node *n, struct wait *w, const char *name,
			struct str *value)
{
	const struct file_doc *f = (struct file_doc *)n;
	char digest[DIGEST_TEXT_MAX];

	(void)w;
	if (strcmp(name, "user.oci.mediatype") == 0)
		return str_add(value, f->mediatype);
	if (strcmp(name, "user.oci.digest") != 0)
		return -ENODATA;
	digest_format(&f->digest, digest);
	return str_add(value, digest);
}

static const struct node_ops doc_ops = {
	.type = S_IFREG,
	.getattr = doc_getattr,
	.done = doc_done,
	.listxattr = doc_listxattr,
	.getxattr = doc_getxattr,
	.open = doc_open,
	.read = doc_read,
	.close = doc_close,
	.settable = true,
	.write_open = overlay_write_open,
};

bool file_doc_of(const struct node *n, const struct image *i)
{
	return n->ops == &doc_ops && ((const struct file_doc *)n)->image == i;
}

int file_doc_new(struct node *parent, const char *name, enum node_rank rank,
		 const struct image_entry *entry, struct image *image,
		 struct node **ret)
{
	struct file_doc *f;
	struct node *n;
	int r;

	r = node_new(&doc_ops, sizeof(*f), parent, name, rank, &n);
	if (r < 0)
		return r;
	f = (struct file_doc *)n;
	f->digest = entry->digest;
	f->size_bytes = entry->size_bytes;
	f->mediatype = entry->mediatype;
	f->image = image_ref(image);
	*ret = n;
	return 0;
}

/* --- made at each open --- */

struct file_made {
	struct node node;
	file_made_fill fill;
	char *arg;
};

static int made_fill(struct node *n, struct str *out)
{
	const struct file_made *f = (struct file_made *)n;

	return f->fill(n, f->arg, out);
}

static int made_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	autostr text = {0};
	int r;

	(void)w;
	r = made_fill(n, &text);
	if (r < 0)
		return r;
	/* Other users are not told which repositories are read here. */
	a->st.st_mode |= node_options(n)->allow_other ? 0400 : 0444;
	a->st.st_size = (off_t)text.len;
	clock_gettime(CLOCK_REALTIME, &a->st.st_mtim);
	return 0;
}

static void made_done(struct node *n)
{
	free(((struct file_made *)n)->arg);
}

static int made_open(struct node *n, struct wait *w, void **ret_handle)
{
	struct str *text = calloc(1, sizeof(*text));
	int r;

	(void)w;
	if (!text)
		return -ENOMEM;
	r = made_fill(n, text);
	if (r < 0) {
		str_done(text);
		free(text);
		return r;
	}
	*ret_handle = text;
	return 0;
}

static ssize_t made_read(struct node *n, void *handle, void *buf, size_t len,
			 uint64_t off, struct wait *w)
{
	const struct str *text = handle;

	(void)n;
	(void)w;
	return text_slice(text->buf, text->len, buf, len, off);
}

static void made_close(struct node *n, void *handle)
{
	(void)n;
	str_done(handle);
	free(handle);
}

static const struct node_ops made_ops = {
	.type = S_IFREG,
	.getattr = made_getattr,
	.done = made_done,
	.open = made_open,
	.read = made_read,
	.close = made_close,
	.uncached = true,
};

int file_made_new(struct node *parent, const char *name, file_made_fill fill,
		  const char *arg, struct node **ret)
{
	struct file_made *f;
	struct node *n;
	int r;

	r = node_new(&made_ops, sizeof(*f), parent, name, NODE_RANK_PLAIN, &n);
	if (r < 0)
		return r;
	f = (struct file_made *)n;
	f->fill = fill;
	f->arg = strdup(arg);
	if (!f->arg) {
		free(n);
		return -ENOMEM;
	}
	*ret = n;
	return 0;
}
