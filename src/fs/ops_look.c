/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks that look: names, attributes, links. */
#include <string.h>

#include "fs/fs_private.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "util/auto.h"
#include "util/clock.h"

#define SILENT_MS 500

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node_attr a;
	struct call c;
	int r;

	if (!call_begin(&c, req, ino))
		return;
	r = handle_stat(c.node, fi ? handle_of(fi) : NULL, &c.wait, &a);
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_attr(req, &a.st, a.ttl_s);
	call_end(&c);
}

/*
 * The kernel asks for a name once at a time, and again for the next who waits.
 * When a registry was silent for as long as one may wait, all who had been
 * waiting meanwhile are told, not one after the other.
 */
static int look_up(struct call *c, const char *name, struct fuse_entry_param *e)
{
	struct hidden *silent = &c->fs->silent;
	int r;

	memset(e, 0, sizeof(*e));
	if (hidden_has(silent, c->node->id, name, clock_ms()))
		return -ETIMEDOUT;
	r = call_look_up(c, name, e);
	if (r == -ETIMEDOUT)
		hidden_add(silent, c->node->id, name, clock_ms() + SILENT_MS);
	return r;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	struct call c;
	int r;

	if (!call_begin(&c, req, parent))
		return;
	r = look_up(&c, name, &e);
	if (r < 0 && (r != -ENOENT || e.entry_timeout <= 0)) {
		call_fail(&c, r);
		return;
	}
	if (r < 0)
		e.ino = 0; /* a negative entry, to be remembered */
	else if (c.node->ops->long_list && !S_ISDIR(e.attr.st_mode))
		habits_note(&c.fs->habits, c.wait.tid);
	call_reply_entry(&c, &e);
}

/* As the kernel itself says at execve(2). */
static int may_execute(struct call *c)
{
	struct node_attr a;
	int r;

	if (c->node->ops->type != S_IFREG)
		return 0;
	r = node_stat(c->node, &c->wait, &a);
	if (r < 0)
		return r;
	return a.st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH) ? 0 : -EACCES;
}

/* The kernel asks this for access(2) and before somebody goes in by chdir(2).
 * Where the mount enforces permissions it does not ask. */
void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct call c;
	int r = 0;

	if (!call_begin(&c, req, ino))
		return;
	if ((mask & X_OK) && c.node->ops->enter)
		r = c.node->ops->enter(c.node, &c.wait);
	if (r == 0 && (mask & X_OK))
		r = may_execute(&c);
	call_fail(&c, r);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct fs *fs = fuse_req_userdata(req);

	inode_forget(fs->inodes, ino, nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	struct fs *fs = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		inode_forget(fs->inodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
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
