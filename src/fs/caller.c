/* SPDX-License-Identifier: Apache-2.0 */
/* "257 0xffffff9c 0x7ffd… 0xc1 …": the number of the system call in which the
 * thread is, and its arguments. */
#include "fs/caller.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "util/auto.h"
#include "util/fd.h"

#define TEXT_MAX 512
#define FDINFO_MAX 4096
#define CHILDREN_MAX 65536
#define SEEN_MAX 256 /* descriptors, or threads */

/*
 * Not link(2): it looks up what is there as well as what it makes.  Attributes
 * are read and set by those who were shown the name.
 */
static const struct system_call {
	long number;
	enum caller_intent intent;
	int flags_at; /* which argument is open(2)'s flags; 0: it is not open */
} calls[] = {
	{SYS_openat, CALLER_OTHER, 3},
	{SYS_statx, CALLER_LOOKS, 0},
	{SYS_newfstatat, CALLER_LOOKS, 0},
	{SYS_faccessat, CALLER_LOOKS, 0},
	{SYS_readlinkat, CALLER_LOOKS, 0},
	{SYS_getxattr, CALLER_LOOKS, 0},
	{SYS_lgetxattr, CALLER_LOOKS, 0},
	{SYS_listxattr, CALLER_LOOKS, 0},
	{SYS_llistxattr, CALLER_LOOKS, 0},
	{SYS_setxattr, CALLER_LOOKS, 0},
	{SYS_lsetxattr, CALLER_LOOKS, 0},
	{SYS_removexattr, CALLER_LOOKS, 0},
	{SYS_lremovexattr, CALLER_LOOKS, 0},
	{SYS_utimensat, CALLER_LOOKS, 0},
	{SYS_fchmodat, CALLER_LOOKS, 0},
	{SYS_fchownat, CALLER_LOOKS, 0},
	{SYS_mkdirat, CALLER_MAKES_DIRECTORY, 0},
	{SYS_symlinkat, CALLER_MAKES, 0},
	{SYS_mknodat, CALLER_MAKES, 0},
#ifdef SYS_faccessat2
	{SYS_faccessat2, CALLER_LOOKS, 0},
#endif
#ifdef SYS_fchmodat2
	{SYS_fchmodat2, CALLER_LOOKS, 0},
#endif
#ifdef SYS_open /* older architectures have these too */
	{SYS_open, CALLER_OTHER, 2},
	{SYS_stat, CALLER_LOOKS, 0},
	{SYS_lstat, CALLER_LOOKS, 0},
	{SYS_access, CALLER_LOOKS, 0},
	{SYS_readlink, CALLER_LOOKS, 0},
	{SYS_utime, CALLER_LOOKS, 0},
	{SYS_utimes, CALLER_LOOKS, 0},
	{SYS_futimesat, CALLER_LOOKS, 0},
	{SYS_chmod, CALLER_LOOKS, 0},
	{SYS_chown, CALLER_LOOKS, 0},
	{SYS_lchown, CALLER_LOOKS, 0},
	{SYS_mkdir, CALLER_MAKES_DIRECTORY, 0},
	{SYS_symlink, CALLER_MAKES, 0},
	{SYS_mknod, CALLER_MAKES, 0},
#endif
};

static enum caller_intent intent_of_flags(uint64_t flags)
{
	if (!(flags & O_CREAT))
		return CALLER_LOOKS;
	return flags & O_EXCL ? CALLER_MAKES : CALLER_OTHER;
}

static enum caller_intent intent_of_open(const char *args, int flags_at)
{
	uint64_t v = 0;
	char *end;

	for (int i = 0; i < flags_at; i++) {
		v = strtoull(args, &end, 16);
		if (end == args)
			return CALLER_UNKNOWN;
		args = end;
	}
	return intent_of_flags(v);
}

enum caller_intent caller_parse(const char *text)
{
	char *rest;
	long number = strtol(text, &rest, 10);

	if (rest == text)
		return CALLER_UNKNOWN;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].number != number)
			continue;
		return calls[i].flags_at
			       ? intent_of_open(rest, calls[i].flags_at)
			       : calls[i].intent;
	}
	return CALLER_OTHER;
}

enum caller_intent caller_intent(pid_t tid)
{
	autofree char *text = NULL;
	char path[40];

	if (tid <= 0)
		return CALLER_UNKNOWN;
	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)tid);
	if (fd_read_file(AT_FDCWD, path, TEXT_MAX, &text, NULL) < 0)
		return CALLER_UNKNOWN;
	return caller_parse(text);
}

/* --- descriptors --- */

/* 1: it is of that file; 0: of another; else -errno. */
static int is_of(pid_t tid, const char *fd, uint64_t ino)
{
	autofree char *text = NULL;
	char path[NAME_MAX + 40], line[40];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)tid, fd);
	r = fd_read_file(AT_FDCWD, path, FDINFO_MAX, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* Linux 5.14 and newer tell it. */
	if (!strstr(text, "\nino:\t"))
		return -ENODATA;
	snprintf(line, sizeof(line), "\nino:\t%" PRIu64 "\n", ino);
	return strstr(text, line) != NULL;
}

/* `each` of the names in /proc/PID/WHAT, until one is not 0: 1, or -errno. */
static int each_in(pid_t pid, const char *what,
		   int (*each)(pid_t pid, const char *name, uint64_t ino),
		   uint64_t ino)
{
	const struct dirent *e;
	unsigned seen = 0;
	char path[40];
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r == 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		r = ++seen > SEEN_MAX ? -E2BIG : each(pid, e->d_name, ino);
	}
	closedir(dir);
	return r;
}

static int process_has(pid_t pid, uint64_t ino)
{
	return each_in(pid, "fdinfo", is_of, ino);
}

/* Those whom this thread has made. */
static int children_have(pid_t pid, const char *tid, uint64_t ino)
{
	autofree char *text = NULL;
	char path[NAME_MAX + 40], *at, *end;
	long child;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid,
		 tid);
	r = fd_read_file(AT_FDCWD, path, CHILDREN_MAX, &text, NULL);
	if (r < 0)
		return r;
	for (at = text;; at = end) {
		child = strtol(at, &end, 10);
		if (end == at)
			return 0;
		r = process_has((pid_t)child, ino);
		if (r != 0 && r != -ENOENT)
			return r;
	}
}

bool caller_is_last(pid_t tid, uint64_t ino)
{
	return tid > 0 && process_has(tid, ino) == 0 &&
	       each_in(tid, "task", children_have, ino) == 0;
}
