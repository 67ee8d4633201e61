/* SPDX-License-Identifier: Apache-2.0 */
/* All that such a directory has is the draft's. */
#include "fs/dir_draft.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/overlay.h"
#include "fs/snapshot.h"
#include "util/auto.h"

static int draft_dir_getattr(struct node *n, struct wait *w,
			     struct node_attr *a)
{
	autoptr(draft) d = NULL;
	autostr path = {0};
	struct draft_stat st;

	(void)w;
	a->ttl_s = 0;
	a->st.st_mode |= NODE_DIR_MODE;
	node_mount_time(n, a);
	if (overlay_draft(n, NULL, &path, &d) == 0 &&
	    draft_stat(d, path.buf, &st) == 0)
		a->st.st_mtim = st.mtime;
	return 0;
}

static int draft_dir_lookup(struct node *dir, const char *name,
			    struct node *known, struct wait *w,
			    struct node **ret, double *ttl_s)
{
	*ttl_s = 0;
	return overlay_lookup(dir, name, known, w, ret, ttl_s);
}

static int draft_dir_opendir(struct node *dir, struct wait *w,
			     void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	int r;

	(void)w;
	if (!s)
		return -ENOMEM;
	r = overlay_list(dir, s);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static const struct node_ops draft_dir_ops = {
	.type = S_IFDIR,
	.getattr = draft_dir_getattr,
	.lookup = draft_dir_lookup,
	.opendir = draft_dir_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
	OVERLAY_DIR_OPS,
};

bool dir_draft_is(const struct node *n)
{
	return n->ops == &draft_dir_ops;
}

int dir_draft_new(struct node *parent, const char *name, struct node **ret)
{
	return node_new(&draft_dir_ops, sizeof(struct node), parent, name,
			NODE_RANK_PLAIN, ret);
}
