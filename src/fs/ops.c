/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE callbacks: unwrap, call the node, reply, nothing else.  Handlers may
 * wait for the network; each call carries its caller's patience, and an
 * INTERRUPT from the kernel reaches that.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/fs_private.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/metric.h"

#define BLOCK_BYTES 512

struct call {
	fuse_req_t req;
	struct fs *fs;
	struct node *node;
	struct wait wait;
};

static void call_interrupted(fuse_req_t req, void *data)
{
	(void)req;
	wait_interrupt(data);
}

/* false: the node is unknown, and that was answered. */
static bool call_begin(struct call *c, fuse_req_t req, fuse_ino_t id)
{
	c->req = req;
	c->fs = fuse_req_userdata(req);
	metric_add(METRIC_FUSE_REQUESTS, 1);
	c->node = inode_get(c->fs->inodes, id);
	if (!c->node) {
		fuse_reply_err(req, ESTALE);
		return false;
	}
	wait_init(&c->wait, c->fs->times.meta_budget, fuse_req_ctx(req)->pid);
	fuse_req_interrupt_func(req, call_interrupted, &c->wait);
	return true;
}

/* Must come before the reply, which frees the request. */
static void call_uninterrupt(struct call *c)
{
	fuse_req_interrupt_func(c->req, NULL, NULL);
}

static void call_end(struct call *c)
{
	inode_put(c->fs->inodes, c->node);
}

static void call_fail(struct call *c, int r)
{
	call_uninterrupt(c);
	if (r < 0)
		metric_add(METRIC_FUSE_ERRORS, 1);
	fuse_reply_err(c->req, -r);
	call_end(c);
}

/* --- attributes and look-up --- */

/* What all kinds leave to us. */
static void attr_finish(const struct node *n, struct node_attr *a)
{
	struct stat *st = &a->st;

	if (st->st_mtim.tv_nsec == UTIME_OMIT) {
		st->st_mtim = n->fs->mounted;
		a->ttl_s = 0;
	}
	st->st_atim = st->st_mtim;
	if (st->st_ctim.tv_nsec == UTIME_OMIT)
		st->st_ctim = st->st_mtim;
	/* Never less than the size: cp would take the file for sparse. */
	st->st_blocks =
		st->st_size / BLOCK_BYTES + (st->st_size % BLOCK_BYTES != 0);
}

static int node_stat(struct node *n, struct wait *w, struct node_attr *ret)
{
	int r;

	node_attr_init(n, ret);
	r = n->ops->getattr(n, w, ret);
	if (r == 0)
		attr_finish(n, ret);
	return r;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct node_attr a;
	struct call c;
	int r;

	(void)fi;
	if (!call_begin(&c, req, ino))
		return;
	r = node_stat(c.node, &c.wait, &a);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_attr(req, &a.st, a.ttl_s);
	call_end(&c);
}

/* Asks the kind; *ret is a new node or l->known. */
static int ask_kind(struct call *c, struct node_look *l, struct node **ret)
{
	const struct node_ops *ops = c->node->ops;

	if (ops->look)
		return ops->look(c->node, l, &c->wait, ret);
	if (ops->lookup)
		return ops->lookup(c->node, l->name, l->known, &c->wait, ret,
				   &l->ttl_s);
	return -ENOTDIR;
}

/*
 * One look-up.  0: e is filled and the kernel has one more look-up on e->ino;
 * -ENOENT: e->entry_timeout says how long that may be believed.
 */
static int look_up(struct call *c, const char *name, uint64_t hint,
		   struct fuse_entry_param *e)
{
	struct node_look l = {
		.name = name, .hint = hint, .ttl_s = NODE_TTL_FOREVER};
	struct inodes *t = c->fs->inodes;
	struct node *child = NULL;
	int r;

	memset(e, 0, sizeof(*e));
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	l.known = inode_known(t, c->node, name);
	r = ask_kind(c, &l, &child);
	if (l.known && (r < 0 || child != l.known))
		inode_put(t, l.known);
	e->entry_timeout = l.ttl_s;
	if (r < 0)
		return r;
	child = inode_enter(t, child);
	if (c->node->ops->look)
		attr_finish(child, &l.attr);
	else
		r = node_stat(child, &c->wait, &l.attr);
	if (r < 0)
		inode_forget(t, child->id, 1);
	e->attr = l.attr.st;
	e->attr_timeout = l.attr.ttl_s;
	e->ino = child->id;
	inode_put(t, child);
	return r;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	struct call c;
	int r;

	if (!call_begin(&c, req, parent))
		return;
	r = look_up(&c, name, 0, &e);
	if (r < 0 && (r != -ENOENT || e.entry_timeout <= 0)) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	if (r < 0)
		e.ino = 0; /* a negative entry, to be remembered */
	if (fuse_reply_entry(req, &e) < 0 && e.ino)
		inode_forget(c.fs->inodes, e.ino, 1);
	call_end(&c);
}

/* The kernel asks this for access(2) and before somebody goes in by chdir(2).
 * Where the mount enforces permissions it does not ask. */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct call c;
	int r = 0;

	if (!call_begin(&c, req, ino))
		return;
	if ((mask & X_OK) && c.node->ops->enter)
		r = c.node->ops->enter(c.node, &c.wait);
	call_fail(&c, r);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct fs *fs = fuse_req_userdata(req);

	inode_forget(fs->inodes, ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	struct fs *fs = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		inode_forget(fs->inodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	autostr target = {.max = PATH_MAX};
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	r = c.node->ops->readlink
		    ? c.node->ops->readlink(c.node, &c.wait, &target)
		    : -EINVAL;
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_readlink(req, target.buf ? target.buf : "");
	call_end(&c);
}

/* --- open files and directories --- */

struct handle {
	struct list_node all;
	struct node *node; /* a reference */
	void *data;	   /* the kind's own */
};

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static void data_close(struct node *n, void *data)
{
	if (n->ops->type != S_IFDIR)
		n->ops->close(n, data);
	else if (n->ops->closedir)
		n->ops->closedir(n, data);
}

static void handle_close(struct fs *fs, struct handle *h)
{
	data_close(h->node, h->data);
	inode_put(fs->inodes, h->node);
	free(h);
}

/* Takes `data` over, also on failure. */
static int handle_open(struct call *c, void *data, struct fuse_file_info *fi)
{
	struct handle *h = malloc(sizeof(*h));

	if (!h) {
		data_close(c->node, data);
		return -ENOMEM;
	}
	h->node = inode_get(c->fs->inodes, c->node->id);
	h->data = data;
	fi->fh = (uintptr_t)h;
	autolock(&c->fs->handles_lock);
	list_push_back(&c->fs->handles, &h->all);
	return 0;
}

static void handle_release(struct fs *fs, struct handle *h)
{
	{
		autolock(&fs->handles_lock);
		list_del(&h->all);
	}
	handle_close(fs, h);
}

void handles_close_all(struct fs *fs)
{
	list_for_safe(n, &fs->handles)
		handle_close(fs, container_of(n, struct handle, all));
	list_init(&fs->handles);
}

/* --- files --- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	void *handle = NULL;
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		r = -EROFS;
	else
		r = c.node->ops->open(c.node, &c.wait, &handle);
	if (r == 0)
		r = handle_open(&c, handle, fi);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fi->keep_cache =
		!c.node->ops->uncached &&
		(!c.node->ops->keep || c.node->ops->keep(c.node, handle));
	fi->direct_io = c.node->ops->uncached;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) < 0)
		handle_release(c.fs, handle_of(fi));
	call_end(&c);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	autofree char *buf = NULL;
	struct call c;
	ssize_t n;

	if (!call_begin(&c, req, ino))
		return;
	c.wait.deadline_ms = clock_ms() + c.fs->times.read_budget;
	buf = malloc(size);
	if (!buf)
		n = -ENOMEM;
	else
		n = c.node->ops->read(c.node, handle_of(fi)->data, buf, size,
				      (uint64_t)off, &c.wait);
	if (n < 0) {
		call_fail(&c, (int)n);
		/* Pages of it that were served before it was found out. */
		if (n == -EBADMSG)
			fuse_lowlevel_notify_inval_inode(c.fs->session, ino, 0,
							 0);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_buf(req, buf, (size_t)n);
	call_end(&c);
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct call c;

	if (!call_begin(&c, req, ino))
		return;
	handle_release(c.fs, handle_of(fi));
	call_fail(&c, 0);
}

/* --- directories --- */

struct op_sink {
	struct dir_sink sink;
	struct call *call;
	char *buf;
	size_t len, size;
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
	size_t n;

	n = fuse_add_direntry_plus(req, NULL, 0, name, &e, 0);
	if (n > left)
		return false;
	/* Without a node id the kernel takes the name and type alone. */
	if (is_dot(name) || s->call->node->ops->volatile_list || sink->costly ||
	    look_up(s->call, name, sink->hint, &e) < 0) {
		memset(&e, 0, sizeof(e));
		e.attr.st_ino = ino;
		e.attr.st_mode = type;
	}
	s->len += fuse_add_direntry_plus(req, s->buf + s->len, left, name, &e,
					 (off_t)next_off);
	return true;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	void *handle = NULL;
	struct call c;
	int r = 0;

	if (!call_begin(&c, req, ino))
		return;
	if (c.node->ops->opendir)
		r = c.node->ops->opendir(c.node, &c.wait, &handle);
	if (r == 0)
		r = handle_open(&c, handle, fi);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fi->keep_cache = fi->cache_readdir = !c.node->ops->volatile_list;
	if (fuse_reply_open(req, fi) < 0)
		handle_release(c.fs, handle_of(fi));
	call_end(&c);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi, bool plus)
{
	struct op_sink s = {.sink.add = plus ? sink_add_plus : sink_add,
			    .size = size};
	autofree char *buf = NULL;
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	s.call = &c;
	s.buf = buf = malloc(size);
	r = -ENOMEM;
	if (buf)
		r = c.node->ops->readdir(c.node, handle_of(fi)->data,
					 (uint64_t)off, &c.wait, &s.sink);
	/* What was found before a failure is given out first. */
	if (r < 0 && s.len == 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_buf(req, buf, s.len);
	call_end(&c);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	do_readdir(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t off, struct fuse_file_info *fi)
{
	do_readdir(req, ino, size, off, fi, true);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct call c;

	if (!call_begin(&c, req, ino))
		return;
	handle_release(c.fs, handle_of(fi));
	call_fail(&c, 0);
}

/* --- attributes by name --- */

static void reply_xattr(struct call *c, const struct str *value, size_t size)
{
	call_uninterrupt(c);
	if (size == 0)
		fuse_reply_xattr(c->req, value->len);
	else if (value->len > size)
		fuse_reply_err(c->req, ERANGE);
	else
		fuse_reply_buf(c->req, value->buf, value->len);
	call_end(c);
}

/*
 * ls -l asks for the access list and the label of each file; after "not
 * supported" it asks no more, after "has none" it does.
 */
static int get_xattr(struct call *c, const char *name, struct str *value)
{
	int r = -ENODATA;

	if (str_prefix(name, "system."))
		return -EOPNOTSUPP;
	if (c->node->ops->getxattr)
		r = c->node->ops->getxattr(c->node, &c->wait, name, value);
	return r == -ENODATA && strcmp(name, "security.selinux") == 0
		       ? -EOPNOTSUPP
		       : r;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			size_t size)
{
	autostr value = {.max = 65536};
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	r = get_xattr(&c, name, &value);
	if (r < 0)
		call_fail(&c, r);
	else
		reply_xattr(&c, &value, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	autostr names = {.max = 65536};
	struct call c;
	int r = 0;

	if (!call_begin(&c, req, ino))
		return;
	if (c.node->ops->listxattr)
		r = c.node->ops->listxattr(c.node, &c.wait, &names);
	if (r < 0)
		call_fail(&c, r);
	else
		reply_xattr(&c, &names, size);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = {.f_bsize = 4096,
			     .f_frsize = 4096,
			     .f_namemax = NAME_MAX,
			     .f_flag = ST_RDONLY | ST_NOSUID};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* --- session --- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct fs *fs = userdata;
	/* splice is slower than a plain write from a buffer, and nothing here
	 * changes behind the kernel's back (limits.md 0.4). */
	static const unsigned unwanted =
		FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
		FUSE_CAP_SPLICE_MOVE | FUSE_CAP_AUTO_INVAL_DATA;
	static const unsigned wanted =
		FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
		FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
		FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS;

	/* Not FUSE_CAP_POSIX_ACL: it brings default_permissions with it, and
	 * whoever mounts without allow_other may read everything. */

	conn->want &= ~unwanted;
	conn->want |= wanted & conn->capable;
	conn->time_gran = 1;
	/* Read-ahead counts as background: its limit must not be where readers
	 * of a dead registry block those of a live one. */
	conn->max_background = fs->options->max_threads;
	conn->congestion_threshold = fs->options->max_threads;
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.access = op_access,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.statfs = op_statfs,
};
