/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * News for the kernel: a tag or digest of some repository means something else
 * now, because of what was written here.  What the kernel remembers of such
 * names is made to expire at once.  Directories that show one enlist.
 */
#include <fuse3/fuse_lowlevel.h>

#include "fs/node.h"

struct content;
struct repo;

/* In a node, from when it is complete until it is freed. */
struct news_place {
	struct list_node all; /* protected by the news's lock */
	struct node *node;
	struct repo *repo;
	/* What the node itself stands for; NULL: what is found in it by name */
	const char *name;
	/* Both from any thread, with the news's lock held; of the former kind.
	 * Is it, without being called so, what this digest names? */
	bool (*means)(struct node *n, const char *digest);
	void (*changed)(struct node *n); /* it has */
};

struct news;
/* Listens to the outbox. */
int news_new(struct fs *fs, struct news **ret);
/* Which news there were; to be asked before a look-up begins. */
uint64_t news_state(struct news *news);
/* Replies to a look-up that began in that state: none of it is to be kept if
 * there were news since. */
int news_reply_entry(struct news *news, uint64_t began, fuse_req_t req,
		     const struct fuse_entry_param *e);
void news_enlist(struct node *n, struct news_place *p);
void news_delist(struct node *n, struct news_place *p);
void news_stop(struct news *news); /* no more of it reaches the kernel */
void news_free(struct news *news);
