/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks for open directories. */
#include <stdlib.h>
#include <string.h>

#include "fs/deed.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "util/auto.h"

struct op_sink {
	struct dir_sink sink;
	struct call *call;
	char *buf;
	size_t len, size;
	bool files; /* those are looked up, too, not only directories */
};

static bool sink_add(struct dir_sink *sink, const char *name, mode_t type,
		     uint64_t ino, uint64_t next_off)
{
	struct op_sink *s = (struct op_sink *)sink;
	struct stat st = {.st_ino = ino, .st_mode = type};
	size_t left = s->size - s->len;
	size_t n = fuse_add_direntry(s->call->req, s->buf + s->len, left, name,
				     &st, (off_t)next_off);

	if (n > left)
		return false;
	s->len += n;
	return true;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool sink_add_plus(struct dir_sink *sink, const char *name, mode_t type,
			  uint64_t ino, uint64_t next_off)
{
	struct op_sink *s = (struct op_sink *)sink;
	struct fuse_entry_param e = {0};
	size_t left = s->size - s->len;
	fuse_req_t req = s->call->req;
	bool look;
	size_t n;

	n = fuse_add_direntry_plus(req, NULL, 0, name, &e, 0);
	if (n > left)
		return false;
	look = S_ISDIR(type) || s->files;
	/* Without a node id the kernel takes the name and type alone. */
	if (!look || is_dot(name) || s->call->node->ops->volatile_list ||
	    sink->costly || call_look_up_listed(s->call, name, sink, &e) < 0) {
		memset(&e, 0, sizeof(e));
		e.attr.st_ino = ino;
		e.attr.st_mode = type;
	}
	s->len += fuse_add_direntry_plus(req, s->buf + s->len, left, name, &e,
					 (off_t)next_off);
	return true;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle_parts parts = {0};
	void *handle = NULL;
	struct call c;
	int r = 0;

	if (!call_begin(&c, req, ino))
		return;
	if (c.node->ops->opendir)
		r = c.node->ops->opendir(c.node, &c.wait, &handle);
	parts.data = handle;
	if (r == 0)
		r = handle_open(c.fs, c.node, &parts, fi);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fi->keep_cache = fi->cache_readdir =
		!c.node->ops->volatile_list &&
		(!c.node->ops->keep || c.node->ops->keep(c.node, handle));
	if (fuse_reply_open(req, fi) < 0)
		handle_release(c.fs, handle_of(fi));
	call_end(&c);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi, bool plus)
{
	struct op_sink s = {.sink.add = plus ? sink_add_plus : sink_add,
			    .size = size};
	struct handle *h = handle_of(fi);
	autofree char *buf = NULL;
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	s.call = &c;
	s.files = !c.node->ops->long_list ||
		  habits_wants_files(&c.fs->habits, c.wait.tid);
	s.sink.plus = plus && s.files;
	s.buf = buf = malloc(size);
	r = buf ? 0 : -ENOMEM;
	if (r == 0 && off == 0 && h->listed)
		r = handle_rewind(h, &c.wait);
	h->listed = true;
	if (r == 0)
		r = c.node->ops->readdir(c.node, h->data, (uint64_t)off,
					 &c.wait, &s.sink);
	/* What was found before a failure is given out first. */
	if (r < 0 && s.len == 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_buf(req, buf, s.len);
	call_end(&c);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	do_readdir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	do_readdir(req, ino, size, off, fi, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;

	if (!call_begin(&c, req, ino))
		return;
	handle_release(c.fs, handle_of(fi));
	call_fail(&c, 0);
}

static void run_fsyncdir(struct deed *d)
{
	struct call *c = &d->call;

	call_fail(c, c->node->ops->sync(c->node, &c->wait));
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi)
{
	struct deed *d;

	(void)datasync;
	(void)fi;
	if (deed_new(req, ino, run_fsyncdir, NULL, NULL, &d) < 0)
		return;
	if (d->call.node->ops->sync)
		deed_start(d);
	else
		deed_refuse(d, 0);
}
