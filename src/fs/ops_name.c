/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks that change names.  The kernel holds the lock of the directory
 * until they are answered; most may wait for a registry, so they are deeds.
 */
#include <string.h>

#include "fs/deed.h"
#include "fs/ops.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

static int check_name(const char *name)
{
	return strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Ends the call: with the entry of the node that was made, or as it failed. */
static void reply_made(struct call *c, struct node *made, int r)
{
	struct fuse_entry_param e;
	struct node *n = NULL;

	if (r == 0)
		r = call_enter(c, made, &n, &e);
	if (r < 0) {
		call_fail(c, r);
		return;
	}
	inode_put(c->fs->inodes, n);
	call_reply_entry(c, &e);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct node *made = NULL;
	struct call c;
	int r;

	(void)mode;
	if (!call_begin(&c, req, parent))
		return;
	r = check_name(name);
	if (r == 0)
		r = c.node->ops->mkdir ? c.node->ops->mkdir(c.node, name,
							    c.wait.tid, &made)
				       : -EPERM;
	reply_made(&c, made, r);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)rdev;
	fuse_reply_err(req, EPERM);
}

/* --- links --- */

static void run_symlink(struct deed *d)
{
	struct call *c = &d->call;
	const struct node_ops *ops = c->node->ops;
	struct node *made = NULL;
	int r;

	r = check_name(d->name);
	if (r == 0)
		r = ops->symlink ? ops->symlink(c->node, d->name, d->new_name,
						&c->wait, &made)
				 : -EPERM;
	reply_made(c, made, r);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name)
{
	struct deed *d;

	if (deed_new(req, parent, run_symlink, name, target, &d) < 0)
		return;
	d->naming = true;
	deed_start(d);
}

static void run_link(struct deed *d)
{
	struct call *c = &d->call;
	const struct node_ops *ops = c->node->ops;
	struct node *made = NULL;
	int r;

	r = check_name(d->name);
	if (r == 0)
		r = ops->link ? ops->link(c->node, d->name, d->to, &c->wait,
					  &made)
			      : -EPERM;
	reply_made(c, made, r);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
	     const char *name)
{
	struct deed *d;

	if (deed_new(req, parent, run_link, name, NULL, &d) < 0)
		return;
	d->naming = true;
	d->to = inode_get(d->call.fs->inodes, ino);
	if (!d->to)
		deed_refuse(d, -ESTALE);
	else
		deed_start(d);
}

/* --- removing and renaming --- */

/* Before the answer: the kernel may ask for the name at once. */
static void end_removal(struct deed *d, int r)
{
	if (r == 0)
		inode_unname(d->call.fs->inodes, d->call.node, d->name);
	call_fail(&d->call, r);
}

static void run_unlink(struct deed *d)
{
	struct call *c = &d->call;
	const struct node_ops *ops = c->node->ops;

	end_removal(d, ops->unlink ? ops->unlink(c->node, d->name, &c->wait)
				   : -EPERM);
}

static void run_rmdir(struct deed *d)
{
	struct call *c = &d->call;
	const struct node_ops *ops = c->node->ops;

	end_removal(d, ops->rmdir ? ops->rmdir(c->node, d->name, &c->wait)
				  : -EPERM);
}

static void run_rename(struct deed *d)
{
	struct call *c = &d->call;
	const struct node_ops *ops = c->node->ops;
	int r;

	r = check_name(d->new_name);
	if (r == 0)
		r = ops->rename ? ops->rename(c->node, d->name, d->to,
					      d->new_name, d->keep, &c->wait)
				: -EPERM;
	call_fail(c, r);
}

static void start_naming(fuse_req_t req, fuse_ino_t parent, const char *name,
			 void (*run)(struct deed *d))
{
	struct deed *d;

	if (deed_new(req, parent, run, name, NULL, &d) < 0)
		return;
	d->naming = true;
	deed_start(d);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	start_naming(req, parent, name, run_unlink);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	start_naming(req, parent, name, run_rmdir);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t to, const char *new_name, unsigned int flags)
{
	struct deed *d;

	if (deed_new(req, parent, run_rename, name, new_name, &d) < 0)
		return;
	d->naming = true;
	d->keep = flags & RENAME_NOREPLACE;
	d->to = inode_get(d->call.fs->inodes, to);
	if (flags & ~(unsigned)RENAME_NOREPLACE)
		deed_refuse(d, -EINVAL);
	else if (!d->to)
		deed_refuse(d, -ESTALE);
	else
		deed_start(d);
}
