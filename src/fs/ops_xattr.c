/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks for extended attributes: the image's are shown, none are taken. */
#include <stdlib.h>
#include <string.h>

#include "fs/fscall.h"
#include "fs/ops.h"
#include "util/auto.h"

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

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
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

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
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

/* Whoever copies attributes along goes on without them. */
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags)
{
	(void)ino;
	(void)name;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, EOPNOTSUPP);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	(void)ino;
	(void)name;
	fuse_reply_err(req, EOPNOTSUPP);
}
