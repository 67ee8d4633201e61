/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One request of the kernel while it is worked on: the node it is about, with a
 * reference, and its caller's patience, which an INTERRUPT reaches.  Whoever
 * begins a call replies exactly once and then ends it.
 */
#include "fs/fs_private.h"

struct call {
	fuse_req_t req;
	struct fs *fs;
	struct node *node;
	const char *name; /* of the child that is looked up; or NULL */
	uint64_t news;	  /* their state when it began */
	struct wait wait;
};

/* false: the node is unknown, and that was answered.  The call stays where it
 * is: the interrupt finds it by its address. */
bool call_begin(struct call *c, fuse_req_t req, fuse_ino_t id);
/* It goes on elsewhere: `from` is over, and was not answered. */
void call_move(struct call *from, struct call *to);
/* Must come before the reply, which frees the request. */
void call_uninterrupt(struct call *c);
void call_end(struct call *c);
/* Replies with an error, or with mere success (0), and ends the call. */
void call_fail(struct call *c, int r);

/*
 * One look-up.  0: e is filled and the kernel has one more look-up on e->ino;
 * -ENOENT: e->entry_timeout says how long that may be believed.
 */
int call_look_up(struct call *c, const char *name, struct fuse_entry_param *e);
/* The same for an entry that was just listed. */
int call_look_up_listed(struct call *c, const char *name,
			const struct dir_sink *listed,
			struct fuse_entry_param *e);
/* Enters a node that an operation of the kernel made, as a look-up does. */
int call_enter(struct call *c, struct node *n, struct node **ret,
	       struct fuse_entry_param *e);
/* Replies with it and ends the call. */
void call_reply_entry(struct call *c, const struct fuse_entry_param *e);
int node_stat(struct node *n, struct wait *w, struct node_attr *ret);
/* The same, as the one sees it who has this file open. */
struct handle;
int handle_stat(struct node *n, const struct handle *h, struct wait *w,
		struct node_attr *ret);
