/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A directory's list taken when it was opened: for directories that are small
 * or complete.  Offsets are 2 + index.  These are the node_ops of such a kind;
 * its own opendir fills the snapshot.
 */
#include "fs/node.h"
#include "util/auto.h"
#include "util/vec.h"

struct snapshot_entry {
	char *name;
	mode_t type;
	enum node_rank rank;
	bool costly;  /* as in struct dir_sink; false unless set */
	bool drafted; /* not published; likewise */
	uint64_t ino; /* 0: by its name */
};

struct snapshot {
	VEC(struct snapshot_entry) entries;
};

int snapshot_add(struct snapshot *s, const char *name, mode_t type,
		 enum node_rank rank);
int snapshot_readdir(struct node *dir, void *handle, uint64_t off,
		     struct wait *w, struct dir_sink *sink);
void snapshot_closedir(struct node *dir, void *handle);
void snapshot_free(struct snapshot *s);

AUTOPTR_DEFINE(snapshot, snapshot_free)
