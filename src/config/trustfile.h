/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reading files that decide whom we trust: not if somebody else could have
 * written them (neither root's nor ours, or writable by group or others).
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Tells one state of a file from another. */
struct trustfile_id {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	mode_t mode;
};
bool trustfile_same(const struct trustfile_id *a, const struct trustfile_id *b);

/* 0 or -errno. */
int trustfile_stat(const char *path, struct trustfile_id *ret);
/*
 * The whole file, NUL-terminated, in one piece of memory (so that it can be
 * wiped).  -ENOENT: there is none.  Otherwise *ret_reason is the end of a
 * sentence about the file: "is writable by others (chmod go-w)"; -EACCES if
 * it is not to be trusted, -EFBIG over max.
 */
int trustfile_read(const char *path, size_t max, char **ret, size_t *ret_len,
		   struct trustfile_id *ret_id, const char **ret_reason);
/*
 * The same for a file without secrets, which people make with their usual
 * umask: the group may write to it if it is the owner's own.
 */
int trustfile_read_conf(const char *path, size_t max, char **ret,
			size_t *ret_len, const char **ret_reason);
