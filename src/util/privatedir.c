/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path is walked one component at a time from a directory that is held, so
 * nothing can be swapped between a check and its use.  Links on the way are
 * what fs.protected_symlinks is for, but that knows sticky directories only.
 */
#include "util/privatedir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/str.h"

#define LINKS_MAX 40 /* as the kernel's */

struct walk {
	int at; /* the directory reached, owned */
	unsigned int links;
	char **why;
	char rest[PATH_MAX]; /* what is still to go */
};

static int refuse(struct walk *w, int r, char *why)
{
	if (!why)
		return -ENOMEM;
	*w->why = why;
	return r;
}

static void move_to(struct walk *w, int fd)
{
	close(w->at);
	w->at = fd;
}

/* Takes the next component; false at the end. */
static bool next_part(struct walk *w, char part[NAME_MAX + 2])
{
	const char *s = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(s, "/"), rest;

	if (n == 0)
		return false;
	if (n > NAME_MAX)
		n = NAME_MAX + 1; /* the kernel refuses it */
	memcpy(part, s, n);
	part[n] = 0;
	s += n;
	s += strspn(s, "/");
	rest = strlen(s);
	memmove(w->rest, s, rest + 1);
	return true;
}

/* Root of this name space may be another user's number outside. */
static bool is_trusted(uid_t uid)
{
	struct stat top;

	return uid == geteuid() || uid == 0 ||
	       (stat("/", &top) == 0 && uid == top.st_uid);
}

static int start_at(struct walk *w, const char *dir)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	move_to(w, fd);
	return 0;
}

static int follow(struct walk *w, const char *part, int link)
{
	char target[PATH_MAX];
	struct stat st;
	size_t rest = strlen(w->rest);
	ssize_t n;

	if (fstat(link, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return refuse(w, -ENOTDIR,
			      str_printf("%s is not a directory", part));
	if (rest == 0)
		return refuse(w, -ELOOP,
			      str_printf("it is a symbolic link; name the "
					 "directory that it leads to"));
	if (!is_trusted(st.st_uid))
		return refuse(w, -EPERM,
			      str_printf("the symbolic link %s on the way "
					 "there belongs to user %u",
					 part, (unsigned int)st.st_uid));
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	n = readlinkat(link, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n + 1 + rest + 1 > sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n + 1, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)n);
	w->rest[n] = '/';
	return target[0] == '/' ? start_at(w, "/") : 0;
}

static int open_part(struct walk *w, const char *part)
{
	const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(w->at, part, flags | O_DIRECTORY);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(w->at, part, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(w->at, part, flags | O_DIRECTORY);
	}
	return fd < 0 ? -errno : fd;
}

static int step(struct walk *w, const char *part)
{
	autoclose int link = -1;
	int r = open_part(w, part);

	if (r >= 0) {
		move_to(w, r);
		return 0;
	}
	if (r != -ENOTDIR)
		return r;
	link = openat(w->at, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return link < 0 ? -errno : follow(w, part, link);
}

static int check(struct walk *w)
{
	struct stat st;

	if (fstat(w->at, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid())
		return refuse(w, -EPERM,
			      str_printf("it belongs to user %u",
					 (unsigned int)st.st_uid));
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return refuse(w, -EPERM,
			      str_printf("others may write to it "
					 "(chmod go-w)"));
	return 0;
}

static int walk_to(struct walk *w, int *ret_fd)
{
	char part[NAME_MAX + 2];
	int r = 0;

	while (r == 0 && next_part(w, part))
		r = step(w, part);
	if (r == 0)
		r = check(w);
	if (r < 0)
		return r;
	r = openat(w->at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0)
		return -errno;
	*ret_fd = r;
	return 0;
}

int privatedir_open(const char *path, char **ret_why, int *ret_fd)
{
	struct walk w = {.why = ret_why};
	size_t len = strlen(path);
	int r;

	*ret_why = NULL;
	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(w.rest))
		return -ENAMETOOLONG;
	memcpy(w.rest, path, len + 1);
	w.at = open(path[0] == '/' ? "/" : ".",
		    O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w.at < 0)
		return -errno;
	r = walk_to(&w, ret_fd);
	close(w.at);
	return r;
}
