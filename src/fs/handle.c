/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel releases what it opened, but not always before it unmounts. */
#include "fs/handle.h"

#include <stdlib.h>

#include "push/writer.h"
#include "util/auto.h"

static void data_close(struct node *n, void *data)
{
	if (n->ops->type != S_IFDIR)
		n->ops->close(n, data);
	else if (n->ops->closedir)
		n->ops->closedir(n, data);
}

static void parts_close(struct node *n, const struct handle_parts *p)
{
	writer_close(p->writer);
	if (!p->no_data)
		data_close(n, p->data);
}

static void handle_close(struct fs *fs, struct handle *h)
{
	struct handle_parts p = {h->data, h->writer, h->no_data};

	if (h->writer && h->node->ops->writing)
		h->node->ops->writing(h->node, h->writer, false);
	parts_close(h->node, &p);
	inode_put(fs->inodes, h->node);
	free(h);
}

int handle_open(struct fs *fs, struct node *n, const struct handle_parts *p,
		struct fuse_file_info *fi)
{
	struct handle *h = malloc(sizeof(*h));

	if (!h) {
		parts_close(n, p);
		return -ENOMEM;
	}
	h->node = inode_get(fs->inodes, n->id);
	h->data = p->data;
	h->writer = p->writer;
	h->no_data = p->no_data;
	h->listed = false;
	if (h->writer && n->ops->writing)
		n->ops->writing(n, h->writer, true);
	fi->fh = (uintptr_t)h;
	autolock(&fs->handles_lock);
	list_push_back(&fs->handles, &h->all);
	return 0;
}

int handle_rewind(struct handle *h, struct wait *w)
{
	struct node *n = h->node;
	void *fresh = NULL;
	int r;

	if (!n->ops->opendir)
		return 0;
	r = n->ops->opendir(n, w, &fresh);
	if (r < 0)
		return r;
	data_close(n, h->data);
	h->data = fresh;
	return 0;
}

void handle_release(struct fs *fs, struct handle *h)
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
