/* SPDX-License-Identifier: Apache-2.0 */
/* With allow_other the kernel lets only the mount's owner, and root, remove
 * something: the directory is writable for nobody else. */
#include "fs/dir_pending.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/file_text.h"
#include "fs/snapshot.h"
#include "push/pending.h"
#include "util/auto.h"

static int fill_pending(struct node *n, const char *arg, struct str *out)
{
	return pending_print(node_outbox(n), arg, out);
}

static int pending_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= node_options(n)->allow_other ? 0700 : 0755;
	node_mount_time(n, a);
	return 0;
}

static int pending_lookup(struct node *dir, const char *name,
			  struct node *known, struct wait *w, struct node **ret,
			  double *ttl_s)
{
	struct outbox *o = node_outbox(dir);
	autostr text = {0};
	int r;

	(void)w;
	*ttl_s = 0;
	r = o ? pending_print(o, name, &text) : -ENOENT;
	if (r < 0)
		return r;
	if (known) {
		*ret = known;
		return 0;
	}
	return file_made_new(dir, name, fill_pending, name, ret);
}

static int pending_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct outbox *o = node_outbox(dir);
	autostrings names = {0};
	int r = 0;

	(void)w;
	if (!s)
		return -ENOMEM;
	if (o)
		r = pending_names(o, &names);
	for (size_t i = 0; i < names.len && r == 0; i++)
		r = snapshot_add(s, names.v[i], S_IFREG, NODE_RANK_PLAIN);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static int pending_unlink(struct node *dir, const char *name, struct wait *w)
{
	struct outbox *o = node_outbox(dir);

	(void)w;
	return o ? pending_drop(o, name) : -ENOENT;
}

static const struct node_ops pending_ops = {
	.type = S_IFDIR,
	.getattr = pending_getattr,
	.lookup = pending_lookup,
	.opendir = pending_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
	.unlink = pending_unlink,
};

int dir_pending_new(struct node *parent, const char *name, struct node **ret)
{
	return node_new(&pending_ops, sizeof(struct node), parent, name,
			NODE_RANK_PLAIN, ret);
}
