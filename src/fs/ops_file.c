/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks for open files.  A FLUSH that has something to commit, and a
 * RELEASE that finds what no FLUSH did, wait for a registry: those are deeds.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "fs/caller.h"
#include "fs/deed.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "push/writer.h"
#include "util/auto.h"
#include "util/clock.h"

/* --- open --- */

/* Opens what is asked for; a file that can be opened for writing and yet not
 * changed gets no writer, and each write is refused. */
static int open_parts(struct call *c, int flags, struct handle_parts *p)
{
	const struct node_ops *ops = c->node->ops;
	struct opening o = {.flags = flags, .tid = fuse_req_ctx(c->req)->pid};
	bool writing = (flags & O_ACCMODE) != O_RDONLY;
	int r = 0;

	if (writing)
		r = ops->write_open ? ops->write_open(c->node, &o, &p->writer)
				    : -EPERM;
	p->no_data = p->writer || (flags & O_ACCMODE) == O_WRONLY;
	if (r == 0 && !p->no_data)
		r = ops->open(c->node, &c->wait, &p->data);
	return r;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle_parts p = {0};
	const struct node_ops *ops;
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	ops = c.node->ops;
	r = open_parts(&c, fi->flags, &p);
	if (r == 0)
		r = handle_open(c.fs, c.node, &p, fi);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fi->direct_io = ops->uncached || p.no_data;
	fi->keep_cache =
		!fi->direct_io && (!ops->keep || ops->keep(c.node, p.data));
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	if (fuse_reply_open(req, fi) < 0)
		handle_release(c.fs, handle_of(fi));
	call_end(&c);
}

static ssize_t handle_read(struct call *c, struct handle *h, char *buf,
			   size_t size, uint64_t off)
{
	if (h->writer)
		return writer_read(h->writer, buf, size, off, NULL);
	if (h->no_data)
		return -EBADF;
	return c->node->ops->read(c->node, h->data, buf, size, off, &c->wait);
}

static void reply_read(struct call *c, const char *buf, ssize_t n)
{
	fuse_ino_t ino = c->node->id;
	struct fuse_session *session = c->fs->session;

	if (n < 0) {
		call_fail(c, (int)n);
		/* Pages of it that were served before it was found out. */
		if (n == -EBADMSG)
			fuse_lowlevel_notify_inval_inode(session, ino, 0, 0);
		return;
	}
	call_uninterrupt(c);
	fuse_reply_buf(c->req, buf, (size_t)n);
	call_end(c);
}

/* What somebody writes, and is busy with. */
static void run_read(struct deed *d)
{
	struct call *c = &d->call;
	ssize_t n;

	n = writer_read(d->handle->writer, d->bytes, d->len, d->at, &c->wait);
	reply_read(c, d->bytes, n);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	autofree char *buf = NULL;
	struct deed *d;
	struct call c;
	ssize_t n;

	if (!call_begin(&c, req, ino))
		return;
	c.wait.deadline_ms = clock_ms() + c.fs->times.read_budget;
	buf = malloc(size);
	if (!buf)
		n = -ENOMEM;
	else
		n = handle_read(&c, handle_of(fi), buf, size, (uint64_t)off);
	if (n != -EINPROGRESS) {
		reply_read(&c, buf, n);
		return;
	}
	if (deed_from(&c, run_read, NULL, size, &d) < 0)
		return;
	d->bytes = steal(&buf);
	d->handle = handle_of(fi);
	d->at = (uint64_t)off;
	deed_start(d);
}

/* --- what commits --- */

static void run_flush(struct deed *d)
{
	struct call *c = &d->call;

	call_fail(c, writer_flush(d->handle->writer, c->wait.tid, &c->wait));
}

static void run_fsync(struct deed *d)
{
	struct call *c = &d->call;

	call_fail(c, writer_sync(d->handle->writer, &c->wait));
}

static void commit(fuse_req_t req, fuse_ino_t ino, struct handle *h,
		   void (*run)(struct deed *d))
{
	struct deed *d;

	if (!h->writer) {
		fuse_reply_err(req, 0);
		return;
	}
	if (deed_new(req, ino, run, NULL, NULL, &d) < 0)
		return;
	d->handle = h;
	deed_start(d);
}

/* A close after which nobody can write any more, and nobody has. */
static void flush_clean(fuse_req_t req, fuse_ino_t ino, struct handle *h)
{
	struct call c;
	int r = 0;

	if (!writer_lacks_bytes(h->writer, fuse_req_ctx(req)->pid)) {
		fuse_reply_err(req, 0);
		return;
	}
	if (!call_begin(&c, req, ino))
		return;
	if (caller_is_last(c.wait.tid, c.node->ino))
		r = writer_report_empty(h->writer);
	call_fail(&c, r);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);

	/* A shell's redirection makes more of these than files. */
	if (h->writer && writer_dirty(h->writer))
		commit(req, ino, h, run_flush);
	else if (h->writer)
		flush_clean(req, ino, h);
	else
		fuse_reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi)
{
	(void)datasync;
	commit(req, ino, handle_of(fi), run_fsync);
}

static void run_release(struct deed *d)
{
	struct call *c = &d->call;
	struct handle *h = d->handle;
	bool published = h->writer && !c->node->ops->writing;

	handle_release(c->fs, h);
	/* The kernel has counted the bytes that were written as this file's;
	 * what it shows is as it was, till its name means another. */
	if (published)
		fuse_lowlevel_notify_inval_inode(c->fs->session, c->node->id, 0,
						 0);
	call_fail(c, 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fuse_req_userdata(req);
	struct handle *h = handle_of(fi);
	struct deed *d;

	/* Answered already, but nobody comes to close it another time. */
	if (deed_new(req, ino, run_release, NULL, NULL, &d) < 0) {
		handle_release(fs, h);
		return;
	}
	d->handle = h;
	if (h->writer && writer_dirty(h->writer))
		deed_start(d);
	else
		deed_now(d);
}
