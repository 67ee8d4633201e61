/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What can be demanded of a mount, by ioctl(2) on its .registryfs/cache, by its
 * owner and root; all others get EPERM.  An ioctl, because it alone works where
 * the mount is read-only.  On other files, and of other commands: ENOTTY.
 *
 * To forget, paths are collected in the open file and forgotten at once: what
 * is shared among them goes, too.
 */
#include <stdint.h>
#include <sys/ioctl.h>

#define CONTROL_PATH_MAX 4096

/* Adds a path beneath the top of the mount.  ENOENT: nothing is known of it;
 * EINVAL: it names nothing that can be forgotten. */
struct control_path {
	char path[CONTROL_PATH_MAX];
};
#define CONTROL_ADD _IOW('R', 1, struct control_path)

enum control_flag {
	CONTROL_INDEXES = 1, /* those of layers, too */
	CONTROL_SHARED = 2,  /* blobs that others need, too */
};

struct control_result {
	uint64_t flags; /* in */
	uint64_t blobs, bytes;
	uint64_t kept, kept_bytes;
	uint64_t indexes, index_bytes;
};
#define CONTROL_FORGET _IOWR('R', 2, struct control_result)

/* All that is not in use; how many bytes that were. */
#define CONTROL_PRUNE _IOR('R', 3, uint64_t)
