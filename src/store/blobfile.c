/* SPDX-License-Identifier: Apache-2.0 */
/* DIR/blobs/ALG/xx/HEX.  Directories are made when they are found missing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/fd.h"

#define PATH_MAX_BLOB (6 + 7 + 3 + 128 + 1)

static void format_path(const struct digest *d, char out[PATH_MAX_BLOB])
{
	char hex[129];

	digest_hex(d, hex);
	snprintf(out, PATH_MAX_BLOB, "blobs/%s/%.2s/%s", digest_alg_name(d),
		 hex, hex);
}

/* The directories above path, one after the other. */
static int make_dirs(int dirfd, const char *path)
{
	char part[PATH_MAX_BLOB];

	for (size_t n = 0; path[n]; n++) {
		if (path[n] != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		/* All parts but the last were just made or opened by us; a
		 * symbolic link in between is found when the file is. */
		if (mkdirat(dirfd, part, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int blobfile_open(struct store *s, const struct digest *d, bool make,
		  int *ret_fd, bool *ret_read_only)
{
	int flags = O_RDWR | (make ? O_CREAT : 0), r;
	char path[PATH_MAX_BLOB];
	bool read_only = false;
	autoclose int fd = -1;
	struct stat st;

	if (s->dirfd < 0)
		return -ENOENT;
	format_path(d, path);
	fd = fd_openat(s->dirfd, path, flags, 0600);
	if (make && (fd == -ENOENT || fd == -ESTALE)) {
		r = make_dirs(s->dirfd, path);
		if (r < 0)
			return r;
		fd = fd_openat(s->dirfd, path, flags, 0600);
	}
	if (fd == -EROFS || fd == -EACCES) {
		read_only = true;
		fd = fd_openat(s->dirfd, path, O_RDONLY | O_NONBLOCK, 0);
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	*ret_fd = steal_fd(&fd);
	*ret_read_only = read_only;
	return 0;
}

void blobfile_remove(struct store *s, const struct digest *d)
{
	char path[PATH_MAX_BLOB];

	if (s->dirfd < 0)
		return;
	format_path(d, path);
	/* What is not there, or cannot be removed, is no data of ours. */
	(void)unlinkat(s->dirfd, path, 0);
}

int blobfile_punch(int fd, uint64_t from, uint64_t len)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	while (fallocate(fd, mode, (off_t)from, (off_t)len) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

bool blobfile_has_hole(int fd, uint64_t from, uint64_t len)
{
	off_t hole = lseek(fd, (off_t)from, SEEK_HOLE);

	/* ENXIO: at or behind the end.  Others: the file system cannot tell. */
	if (hole < 0)
		return errno == ENXIO;
	return (uint64_t)hole < from + len;
}
