/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file holds is the draft's to know.  While somebody writes it, its size
 * is what that writer has written: the kernel asks by name, not by handle, and
 * the writer should see his own.
 */
#include "fs/file_draft.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dir_draft.h"
#include "fs/dir_image.h"
#include "fs/overlay.h"
#include "push/writer.h"
#include "util/auto.h"

struct file_draft {
	struct node node;
	_Atomic uint64_t number;
	pthread_mutex_t lock;
	unsigned writers;      /* protected by lock, like newest */
	struct writer *newest; /* who opened it last, if he has it open still */
	char *target;	       /* of a link */
};

static const struct node_ops file_ops, link_ops;

/* --- who writes --- */

static void file_writing(struct node *n, struct writer *w, bool begins)
{
	struct file_draft *f = (struct file_draft *)n;

	autolock(&f->lock);
	if (begins) {
		f->writers++;
		f->newest = w;
	} else {
		f->writers--;
		if (f->newest == w)
			f->newest = NULL;
	}
}

bool file_draft_written(struct node *n)
{
	struct file_draft *f = (struct file_draft *)n;

	if (n->ops != &file_ops)
		return false;
	autolock(&f->lock);
	return f->writers > 0;
}

static bool newest_size(struct file_draft *f, uint64_t *ret)
{
	autolock(&f->lock);
	if (f->newest)
		*ret = writer_size(f->newest);
	return f->newest != NULL;
}

/* --- attributes --- */

static int find_stat(struct node *n, struct draft_stat *ret)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	int r;

	r = overlay_draft(n, NULL, &path, &d);
	return r < 0 ? r : draft_stat(d, path.buf, ret);
}

static int file_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	struct file_draft *f = (struct file_draft *)n;
	struct draft_stat st;
	uint64_t size = 0;
	bool written;
	int r;

	(void)w;
	a->ttl_s = 0;
	a->st.st_mode |= NODE_FILE_MODE;
	r = find_stat(n, &st);
	if (r == 0) {
		size = st.size_bytes;
		a->st.st_mtim = st.mtime;
	} else {
		clock_gettime(CLOCK_REALTIME, &a->st.st_mtim);
	}
	written = newest_size(f, &size);
	a->st.st_size = (off_t)size;
	/* Published meanwhile, and still open: it has the size that it had. */
	return r == -ENOENT || written ? 0 : r;
}

static void draft_done(struct node *n)
{
	struct file_draft *f = (struct file_draft *)n;

	pthread_mutex_destroy(&f->lock);
	free(f->target);
}

/* --- reading --- */

static int file_open(struct node *n, struct wait *w, void **ret_handle)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct feed *f = NULL;
	int r;

	(void)w;
	r = overlay_draft(n, NULL, &path, &d);
	if (r == 0)
		r = draft_read(d, path.buf, &f);
	/* A blob that the registry has by now: the name means that. */
	if (r == -ENODATA)
		return -ESTALE;
	if (r < 0 && !(r == -ENOENT && file_draft_written(n)))
		return r;
	*ret_handle = f;
	return 0;
}

static ssize_t file_read(struct node *n, void *handle, void *buf, size_t len,
			 uint64_t off, struct wait *w)
{
	(void)n;
	(void)w;
	return handle ? feed_read(handle, buf, len, off) : 0;
}

static void file_close(struct node *n, void *handle)
{
	(void)n;
	if (handle)
		feed_unref(handle);
}

/* --- links --- */

static int link_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->ttl_s = 0;
	a->st.st_mode |= 0777;
	a->st.st_size = (off_t)strlen(((struct file_draft *)n)->target);
	node_mount_time(n, a);
	return 0;
}

static int link_readlink(struct node *n, struct wait *w, struct str *out)
{
	(void)w;
	return str_add(out, ((struct file_draft *)n)->target);
}

/* --- the kinds --- */

static const struct node_ops file_ops = {
	.type = S_IFREG,
	.getattr = file_getattr,
	.done = draft_done,
	.open = file_open,
	.read = file_read,
	.close = file_close,
	.uncached = true,
	.settable = true,
	.write_open = overlay_write_open,
	.writing = file_writing,
};

static const struct node_ops link_ops = {
	.type = S_IFLNK,
	.getattr = link_getattr,
	.done = draft_done,
	.readlink = link_readlink,
	.settable = true,
};

bool node_is_draft(const struct node *n)
{
	return n->ops == &file_ops || n->ops == &link_ops || dir_draft_is(n);
}

bool file_draft_matches(struct node *n, uint64_t number)
{
	struct file_draft *f = (struct file_draft *)n;
	uint64_t none = 0;

	if (n->ops != &file_ops && n->ops != &link_ops)
		return false;
	if (atomic_compare_exchange_strong(&f->number, &none, number))
		return true;
	return none == number;
}

static int draft_node_new(const struct node_ops *ops, struct node *parent,
			  const char *name, uint64_t number, struct node **ret)
{
	struct node *top = dir_image_above(parent);
	struct file_draft *f;
	int r;

	r = node_new(ops, sizeof(*f), parent, name, NODE_RANK_PLAIN, ret);
	if (r < 0)
		return r;
	f = (struct file_draft *)*ret;
	pthread_mutex_init(&f->lock, NULL);
	atomic_init(&f->number, number);
	(*ret)->version = number;
	if (top && number)
		(*ret)->ino = node_numbered_ino(top, number);
	return 0;
}

int file_draft_new(struct node *parent, const char *name, uint64_t number,
		   struct node **ret)
{
	return draft_node_new(&file_ops, parent, name, number, ret);
}

int link_draft_new(struct node *parent, const char *name, const char *target,
		   uint64_t number, struct node **ret)
{
	char *copy = strdup(target);
	int r;

	if (!copy)
		return -ENOMEM;
	r = draft_node_new(&link_ops, parent, name, number, ret);
	if (r < 0) {
		free(copy);
		return r;
	}
	((struct file_draft *)*ret)->target = copy;
	return 0;
}
