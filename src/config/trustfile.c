/* SPDX-License-Identifier: Apache-2.0 */
/* All is asked of the opened file, so nobody can swap it in between. */
#include "config/trustfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "config/privategroup.h"
#include "util/auto.h"
#include "util/fd.h"

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool trustfile_same(const struct trustfile_id *a, const struct trustfile_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mode == b->mode && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

static struct trustfile_id id_of(const struct stat *st)
{
	return (struct trustfile_id){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
		.mode = st->st_mode,
	};
}

int trustfile_stat(const char *path, struct trustfile_id *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	*ret = id_of(&st);
	return 0;
}

static int refuse(int r, const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return r;
}

/* With an access control list the group's bits are a limit for everybody in
 * it. */
static bool others_may_write(int fd, const struct stat *st, bool is_conf)
{
	if (!(st->st_mode & (S_IWGRP | S_IWOTH)))
		return false;
	if (!is_conf || st->st_mode & S_IWOTH)
		return true;
	if (fgetxattr(fd, "system.posix_acl_access", NULL, 0) >= 0 ||
	    (errno != ENODATA && errno != EOPNOTSUPP))
		return true;
	return !privategroup_is("/etc/passwd", "/etc/group", st->st_uid,
				st->st_gid);
}

static int check(int fd, const struct stat *st, size_t max, bool is_conf,
		 const char **ret_reason)
{
	if (!S_ISREG(st->st_mode))
		return refuse(-EACCES, "is not a regular file", ret_reason);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return refuse(-EACCES, "belongs to another user", ret_reason);
	if (others_may_write(fd, st, is_conf))
		return refuse(-EACCES, "is writable by others (chmod go-w)",
			      ret_reason);
	if (st->st_size < 0 || (size_t)st->st_size > max)
		return refuse(-EFBIG, "is too large", ret_reason);
	return 0;
}

static int read_file(const char *path, size_t max, bool is_conf, char **ret,
		     size_t *ret_len, struct trustfile_id *ret_id,
		     const char **ret_reason)
{
	autoclose int fd = -1;
	autofree char *buf = NULL;
	struct stat st;
	ssize_t n;
	int r;

	/* O_NONBLOCK: a FIFO must not keep us waiting. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return refuse(-ENOENT, "does not exist", ret_reason);
	if (fd < 0)
		return refuse(-errno, "cannot be opened", ret_reason);
	if (fstat(fd, &st) < 0)
		return refuse(-errno, "cannot be examined", ret_reason);
	r = check(fd, &st, max, is_conf, ret_reason);
	if (r < 0)
		return r;
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return refuse(-ENOMEM, "does not fit into memory", ret_reason);
	n = fd_pread_all(fd, buf, (size_t)st.st_size, 0);
	if (n < 0)
		return refuse((int)n, "cannot be read", ret_reason);
	buf[n] = '\0';
	*ret = steal(&buf);
	*ret_len = (size_t)n;
	*ret_id = id_of(&st);
	return 0;
}

int trustfile_read(const char *path, size_t max, char **ret, size_t *ret_len,
		   struct trustfile_id *ret_id, const char **ret_reason)
{
	return read_file(path, max, false, ret, ret_len, ret_id, ret_reason);
}

int trustfile_read_conf(const char *path, size_t max, char **ret,
			size_t *ret_len, const char **ret_reason)
{
	struct trustfile_id id;

	return read_file(path, max, true, ret, ret_len, &id, ret_reason);
}
