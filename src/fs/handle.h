/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An open file or directory, as the kernel names it in fi->fh. */
#include "fs/fscall.h"
#include "util/list.h"

struct writer;

struct handle {
	struct list_node all; /* protected by the fs's handles_lock */
	struct node *node;    /* a reference */
	void *data;	      /* the kind's own; of files, unless `no_data` */
	/* NULL: not open for writing, or a published file that was not emptied
	 * and that nobody has begun to write anew */
	struct writer *_Atomic writer;
	bool no_data; /* not open for reading beside the writer */
	bool listed;  /* a directory of which something was read; only one
			 thread reads it, by the kernel's lock of its place */
};

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

/* What a handle is made of. */
struct handle_parts {
	void *data;
	struct writer *writer;
	bool no_data;
};
/* Takes the parts over, also on failure. */
int handle_open(struct fs *fs, struct node *n, const struct handle_parts *p,
		struct fuse_file_info *fi);
/* Lists a directory anew, as rewinddir(3) promises. */
int handle_rewind(struct handle *h, struct wait *w);
/* Closing a writer that nobody flushed waits for the network. */
void handle_release(struct fs *fs, struct handle *h);
