/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * File helpers: whole reads and writes, and files opened beneath a directory
 * we hold, never through a symbolic link.  All return 0 (or a count) or -errno.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Short only at the end of the file. */
ssize_t fd_pread_all(int fd, void *buf, size_t len, uint64_t off);
int fd_pwrite_all(int fd, const void *buf, size_t len, uint64_t off);
int fd_write_all(int fd, const void *buf, size_t len);
/* Whole file, NUL-terminated, at most max bytes (-EFBIG); caller frees.  Only
 * this one follows symbolic links: files that users name are often such. */
int fd_read_file(int dirfd, const char *path, size_t max, char **ret,
		 size_t *ret_len);
/* openat with O_CLOEXEC beneath dirfd, no component being a link or "..";
 * -EINVAL for an absolute path or an empty component. */
int fd_openat(int dirfd, const char *name, int flags, mode_t mode);
/* Replaces dirfd/name (0600, no slash) by these bytes: temporary file, fsync,
 * rename, fsync of the directory. */
int fd_replace_file(int dirfd, const char *name, const void *bytes, size_t len);
