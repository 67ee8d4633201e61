/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths below a directory are walked one component at a time with O_NOFOLLOW,
 * as openat2(RESOLVE_BENEATH) would, which seccomp filters of container
 * engines often refuse.
 */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/map.h"

#define TEMP_TRIES 16

ssize_t fd_pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	char *p = buf;
	size_t done = 0;
	ssize_t n;

	if (len > SSIZE_MAX || off > INT64_MAX - len)
		return -EINVAL;
	while (done < len) {
		n = pread(fd, p + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int fd_pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const char *p = buf;
	ssize_t n;

	if (len > SSIZE_MAX || off > INT64_MAX - len)
		return -EFBIG;
	while (len > 0) {
		n = pwrite(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Reads to the end, at most `size` bytes; the count. */
static ssize_t read_some(int fd, char *buf, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = read(fd, buf + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int fd_read_file(int dirfd, const char *path, size_t max, char **ret,
		 size_t *ret_len)
{
	autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	autofree char *buf = NULL;
	size_t len = 0, size = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (max > SSIZE_MAX - 1)
		max = SSIZE_MAX - 1;
	/* Room for max + 1 bytes: the one too many, or the NUL. */
	do {
		char *more;

		size = size ? size * 2 : 4096;
		if (size > max + 1)
			size = max + 1;
		more = realloc(buf, size);
		if (!more)
			return -ENOMEM;
		buf = more;
		n = read_some(fd, buf + len, size - len);
		if (n < 0)
			return (int)n;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	} while (len == size);
	buf[len] = 0;
	*ret = steal(&buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int fd_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	autoclose int held = -1;
	char part[NAME_MAX + 1];
	int at = dirfd, fd;
	size_t n;

	if (*name == '/')
		return -EINVAL;
	for (;; name += n + 1) {
		n = strcspn(name, "/");
		if (n == 0)
			return -EINVAL;
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, name, n);
		part[n] = 0;
		if (strcmp(part, "..") == 0)
			return -EINVAL;
		if (!name[n])
			break;
		fd = openat(at, part,
			    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (held >= 0)
			close(held);
		at = held = fd;
	}
	fd = openat(at, part, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

static int sync_dir(int dirfd)
{
	/* Opened anew: dirfd may be AT_FDCWD or an O_PATH descriptor. */
	autoclose int fd =
		openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Some filesystems cannot sync a directory. */
	if (fsync(fd) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

/* A new file of a name nobody else has. */
static int open_temp(int dirfd, char name[32])
{
	static _Atomic unsigned int serial;
	unsigned int id[2] = {(unsigned int)getpid(), 0};
	int fd = -1;

	for (int i = 0; i < TEMP_TRIES; i++) {
		id[1] = serial++;
		snprintf(name, 32, ".tmp-%016llx",
			 (unsigned long long)map_hash(id, sizeof(id)));
		fd = openat(dirfd, name,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

int fd_replace_file(int dirfd, const char *name, const void *bytes, size_t len)
{
	autoclose int fd = -1;
	char temp[32];
	int r;

	if (!*name || strchr(name, '/'))
		return -EINVAL;
	fd = open_temp(dirfd, temp);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, bytes, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temp, 0);
		return r;
	}
	return sync_dir(dirfd);
}
