/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The mount's own parts. */
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "fs/fs.h"
#include "fs/habits.h"
#include "fs/hidden.h"
#include "fs/inode.h"
#include "fs/receive.h"

struct deeds;
struct news;

struct fs {
	const struct options *options;
	struct content *content;
	struct outbox *outbox;
	struct option_times times;
	struct inodes *inodes;
	pthread_mutex_t handles_lock;
	struct list_node handles; /* open ones; protected by handles_lock */
	struct deeds *deeds;	  /* calls in threads of their own */
	struct news *news;	  /* what the kernel has to be told */
	struct hidden hidden;	  /* names that were removed */
	struct hidden told;	  /* directories that were shown, and to whom */
	struct hidden silent;	  /* look-ups that nobody answered in time */
	struct receiver receiver;
	struct habits habits; /* of those who list */
	struct fuse_session *session;
	bool enforced; /* the kernel checks modes and owners */
	uid_t uid;     /* owner of all files, but those inside images */
	gid_t gid;
	struct timespec mounted; /* wall clock */
	void (*ready)(void *arg);
	void *ready_arg;
	atomic_bool is_ready;
	atomic_bool answered;	  /* the INIT reply went out */
	atomic_bool closed;	  /* nothing is to be sent any more */
	_Atomic unsigned sending; /* threads that do */
	atomic_bool broken_off;	  /* what was on its way when it was stopped */
};

extern const struct fuse_lowlevel_ops fs_ops;
/* What the kernel did not release: it does not wait for that on unmounting. */
void handles_close_all(struct fs *fs);
