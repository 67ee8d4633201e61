/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks that change files.  Handles that write bypass the page cache: what
 * is written arrives in the order and the sizes in which it was written, and
 * the error of a write is that write's.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/deed.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "push/writer.h"
#include "util/auto.h"

/* --- create --- */

/* The node is new, or another of the same name and meaning that was there. */
static int create_enter(struct call *c, struct node *n, struct writer *w,
			struct fuse_file_info *fi, struct fuse_entry_param *e)
{
	struct handle_parts p = {.writer = w, .no_data = true};
	struct inodes *t = c->fs->inodes;
	struct node_attr a;
	int r;

	memset(e, 0, sizeof(*e));
	n = inode_enter(t, n);
	e->ino = n->id;
	r = handle_open(c->fs, n, &p, fi);
	if (r == 0) {
		r = handle_stat(n, handle_of(fi), &c->wait, &a);
		if (r < 0)
			handle_release(c->fs, handle_of(fi));
	}
	if (r < 0)
		inode_forget(t, n->id, 1);
	else
		e->attr = a.st;
	inode_put(t, n);
	return r;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct opening o = {.flags = fi->flags | O_TRUNC,
			    .tid = fuse_req_ctx(req)->pid};
	struct fuse_entry_param e;
	struct writer *w = NULL;
	struct node *n = NULL;
	struct call c;
	int r;

	(void)mode;
	if (!call_begin(&c, req, parent))
		return;
	if (strlen(name) > NAME_MAX)
		r = -ENAMETOOLONG;
	else if (!c.node->ops->create)
		r = -EPERM;
	else
		r = c.node->ops->create(c.node, name, &o, &n, &w);
	if (r == 0)
		r = create_enter(&c, n, w, fi, &e);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fi->direct_io = 1;
	fi->noflush = 0;
	if (fuse_reply_create(req, &e, fi) < 0) {
		handle_release(c.fs, handle_of(fi));
		inode_forget(c.fs->inodes, e.ino, 1);
	}
	call_end(&c);
}

/* --- bytes --- */

/*
 * A published file that was opened without being emptied (rsync --inplace): it
 * cannot be changed in parts, but written anew from its beginning.  Whoever
 * writes less than all of it is told at the end that it is not what its name
 * says.  The kernel lets nobody else write it meanwhile.
 */
static int begin_anew(struct call *c, struct handle *h)
{
	const struct opening o = {.flags = O_WRONLY | O_TRUNC,
				  .tid = c->wait.tid};
	const struct node_ops *ops = c->node->ops;
	struct writer *w = NULL;
	int r;

	r = ops->write_open ? ops->write_open(c->node, &o, &w) : -EPERM;
	if (r < 0)
		return r;
	if (ops->writing)
		ops->writing(c->node, w, true);
	h->writer = w;
	return 0;
}

static void reply_written(struct call *c, ssize_t n)
{
	if (n < 0) {
		call_fail(c, (int)n);
		return;
	}
	call_uninterrupt(c);
	fuse_reply_write(c->req, (size_t)n);
	call_end(c);
}

static void run_write(struct deed *d)
{
	struct call *c = &d->call;
	int r;

	r = writer_write(d->handle->writer, d->bytes, d->len, d->at, &c->wait);
	reply_written(c, r < 0 ? r : (ssize_t)d->len);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
	      off_t off, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct deed *d;
	struct call c;
	int r = 0;

	if (!call_begin(&c, req, ino))
		return;
	if (!h->writer)
		r = off == 0 ? begin_anew(&c, h) : -EPERM;
	if (r == 0)
		r = writer_write(h->writer, buf, size, (uint64_t)off, NULL);
	if (r != -EINPROGRESS) {
		reply_written(&c, r < 0 ? r : (ssize_t)size);
		return;
	}
	if (deed_from(&c, run_write, buf, size, &d) < 0)
		return;
	d->handle = h;
	d->at = (uint64_t)off;
	deed_start(d);
}

static ssize_t copy_range(struct call *c, struct node *from, struct handle *to,
			  struct writer_copy *copy)
{
	int r;

	if (!to->writer || !from->ops->copy_source)
		return -EXDEV;
	r = from->ops->copy_source(from, copy);
	if (r < 0)
		return r;
	copy->tid = c->wait.tid;
	return writer_copy(to->writer, copy, &c->wait);
}

static void run_copy(struct deed *d)
{
	struct writer_copy copy = {
		.src_off = d->source_at, .off = d->at, .len = d->len};
	struct call *c = &d->call;

	reply_written(c, copy_range(c, d->source->node, d->handle, &copy));
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags)
{
	struct deed *d;

	(void)ino_in;
	(void)flags;
	if (deed_new(req, ino_out, run_copy, NULL, NULL, &d) < 0)
		return;
	d->source = handle_of(fi_in);
	d->source_at = (uint64_t)off_in;
	d->handle = handle_of(fi_out);
	d->at = (uint64_t)off_out;
	d->len = len;
	deed_start(d);
}

/* --- attributes --- */

/* truncate(2) of a name: opened, cut and closed as a program would. */
static int truncate_name(struct call *c, uint64_t size)
{
	struct opening o = {.flags = O_WRONLY | (size == 0 ? O_TRUNC : 0),
			    .tid = c->wait.tid};
	const struct node_ops *ops = c->node->ops;
	struct writer *w = NULL;
	int r;

	r = ops->write_open ? ops->write_open(c->node, &o, &w) : -EPERM;
	if (r < 0)
		return r;
	if (!w)
		return -EPERM;
	r = writer_truncate(w, size, &c->wait);
	if (r == 0)
		r = writer_flush(w, c->wait.tid, &c->wait);
	writer_close(w);
	return r;
}

static int set_size(struct call *c, struct handle *h, uint64_t size,
		    const struct node_attr *now)
{
	int r = 0;

	if ((!h || !h->writer) && (uint64_t)now->st.st_size == size)
		return 0;
	if (h && !h->writer && size == 0)
		r = begin_anew(c, h);
	if (r < 0)
		return r;
	if (h && h->writer)
		return writer_truncate(h->writer, size, &c->wait);
	return truncate_name(c, size);
}

static void run_setattr(struct deed *d)
{
	struct call *c = &d->call;
	struct node_attr a;
	int r;

	r = handle_stat(c->node, d->handle, &c->wait, &a);
	if (r == 0 && d->has_size)
		r = set_size(c, d->handle, d->size, &a);
	if (r == 0 && d->has_size)
		r = handle_stat(c->node, d->handle, &c->wait, &a);
	if (r < 0) {
		call_fail(c, r);
		return;
	}
	call_uninterrupt(c);
	fuse_reply_attr(c->req, &a.st, 0);
	call_end(c);
}

/* Modes, owners and times are not the registry's to keep: setting them
 * succeeds, so that whatever copies them along goes on. */
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct deed *d;

	if (deed_new(req, ino, run_setattr, NULL, NULL, &d) < 0)
		return;
	d->handle = fi ? handle_of(fi) : NULL;
	d->has_size = to_set & FUSE_SET_ATTR_SIZE;
	d->size = (uint64_t)attr->st_size;
	if (!d->call.node->ops->settable)
		deed_refuse(d, -EPERM);
	else if (d->has_size)
		deed_start(d);
	else
		deed_now(d);
}
