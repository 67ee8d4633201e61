/* SPDX-License-Identifier: Apache-2.0 */
/* The callback of ioctl. */
#include <stdlib.h>

#include "fs/fscall.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "util/auto.h"

static bool is_owner(const struct call *c)
{
	uid_t uid = fuse_req_ctx(c->req)->uid;

	return uid == 0 || uid == c->fs->uid;
}

/* Python asks each file that it opens whether it is a terminal. */
static int control(struct call *c, struct handle *h, unsigned cmd,
		   const void *in, size_t in_len, void *out, size_t out_len)
{
	const struct node_ops *ops = c->node->ops;

	if (!ops->control)
		return -ENOTTY;
	if (!is_owner(c))
		return -EPERM;
	return ops->control(c->node, h->data, cmd, in, in_len, out, out_len);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in,
	      size_t in_size, size_t out_size)
{
	autofree void *out = calloc(1, out_size ? out_size : 1);
	struct call c;
	int r;

	(void)arg;
	(void)flags;
	if (!call_begin(&c, req, ino))
		return;
	r = out ? control(&c, handle_of(fi), cmd, in, in_size, out, out_size)
		: -ENOMEM;
	if (r < 0) {
		call_fail(&c, r);
		return;
	}
	call_uninterrupt(&c);
	fuse_reply_ioctl(req, 0, out, out_size);
	call_end(&c);
}
