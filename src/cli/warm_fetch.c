/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading.  O_DIRECT, for what the kernel has of a file says nothing of what
 * the daemon has.  A blob is done when the daemon says that all of it is there
 * and was checked; one of which that is true already is only touched, for the
 * order of eviction and for the registry's word that this repository holds it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/warm.h"
#include "util/auto.h"
#include "util/str.h"

#define PIECE_BYTES ((size_t)1 << 20)
#define ABOUT_MAX 4096

/* --- files --- */

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int read_all(struct warm *w, int fd, bool counts)
{
	autofree char *buf = malloc(PIECE_BYTES);
	off_t at = 0;
	ssize_t n = 1;

	if (!buf)
		return -ENOMEM;
	while (n > 0) {
		n = pread(fd, buf, PIECE_BYTES, at);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (warm_stopped(w))
			return -ECANCELED;
		at += n > 0 ? n : 0;
		n = n < 0 ? 1 : n;
		if (counts && n > 0)
			warm_did(w, (uint64_t)n);
	}
	return 0;
}

int warm_read(struct warm *w, const char *path, bool counts)
{
	autoclose int fd = open_file(path);

	return fd < 0 ? fd : read_all(w, fd, counts);
}

/* --- blobs --- */

static bool says(int fd, const char *name, const char *want)
{
	char value[16];
	ssize_t n = fgetxattr(fd, name, value, sizeof(value));

	return n == (ssize_t)strlen(want) &&
	       memcmp(value, want, strlen(want)) == 0;
}

static bool is_whole(int fd)
{
	return says(fd, "user.registryfs.cached", "100") &&
	       says(fd, "user.registryfs.verified", "yes");
}

static int touch(struct warm *w, int fd, uint64_t bytes)
{
	char byte;

	if (pread(fd, &byte, 1, 0) < 0)
		return -errno;
	warm_did(w, bytes);
	return 0;
}

int warm_blob(struct warm *w, const struct warm_task *t)
{
	autoclose int fd = open_file(t->path);
	int r;

	if (fd < 0)
		return fd;
	r = is_whole(fd) ? touch(w, fd, t->bytes) : read_all(w, fd, true);
	if (r == 0 && !is_whole(fd))
		r = -ENOSPC;
	if (r == 0 && t->layer)
		r = warm_index(w, &(struct warm_task){.path = t->layer});
	if (r == 0)
		warm_did_one(w);
	return r;
}

/* --- indexes --- */

/* Asking what it is read by has it indexed. */
int warm_index(struct warm *w, const struct warm_task *t)
{
	char about[ABOUT_MAX];
	ssize_t n;

	(void)w;
	n = getxattr(t->path, "user.registryfs.about", about,
		     sizeof(about) - 1);
	if (n < 0)
		return -errno;
	about[n] = '\0';
	if (strstr(about, "\ndamaged: "))
		return -EBADMSG;
	/* What is no archive needs none. */
	if (!strstr(about, "\nkept: yes") &&
	    !str_prefix(about, "read by: no archive"))
		return -ENOSPC;
	return 0;
}

/* --- what is inside --- */

static int tree_entry(struct warm *w, const char *dir, const char *name,
		      int dirfd)
{
	autofree char *path = str_printf("%s/%s", dir, name);
	struct warm_task t = {.run = warm_tree, .path = path};
	struct stat st;

	if (!path)
		return -ENOMEM;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return warm_push(w, WARM_FETCH, &t);
	return S_ISREG(st.st_mode) ? warm_tree(w, &t) : 0;
}

static int tree_dir(struct warm *w, const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && !warm_stopped(w)) {
		errno = 0;
		e = readdir(d);
		if (!e) {
			r = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = tree_entry(w, path, e->d_name, dirfd(d));
	}
	closedir(d);
	return r;
}

/* Files that cannot be read are named one by one. */
int warm_tree(struct warm *w, const struct warm_task *t)
{
	struct stat st;
	int r;

	if (lstat(t->path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return tree_dir(w, t->path);
	if (!S_ISREG(st.st_mode))
		return 0;
	warm_found(w, (uint64_t)st.st_size);
	r = warm_read(w, t->path, true);
	if (r < 0)
		warm_fail(w, t->path, r, NULL);
	else
		warm_did_one(w);
	return 0;
}
