/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: all calls that touch files beneath $SOAK_DIR.  One of them may be
 * made to fail, to do half its work, or to be the process' last; and with
 * $SOAK_RECORD each that changed something is written down there, in the order
 * in which they happened, so that the disk can be made again as it was, or
 * could have been, at any moment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "stack.h"

/* As in disk.py and calls.py. */
enum kind {
	KIND_OPEN = 1,
	KIND_READ,
	KIND_WRITE,
	KIND_SYNC,
	KIND_TRUNCATE,
	KIND_ALLOCATE,
	KIND_RENAME,
	KIND_UNLINK,
	KIND_MKDIR,
	KIND_STAT,
};
enum action { ACTION_ERROR, ACTION_SHORT, ACTION_KILL };

/* One change, as it is in the record; the names and the data follow. */
struct change {
	uint64_t kind, ino, off, len, dir, dir2, names_len, data_len;
};

static char folder[PATH_MAX];
static size_t folder_len;
static char *record_path;
static int record_fd = -1; /* opened late: daemons begin by closing all */
/* A change and its entry are one step. */
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name)                                                             \
	static __typeof__(name) *real;                                         \
	if (!real)                                                             \
	real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void)
{
	const char *dir = getenv("SOAK_DIR"), *path = getenv("SOAK_RECORD");

	if (dir && strlen(dir) < sizeof(folder))
		folder_len = strlen(memcpy(folder, dir, strlen(dir)));
	if (path)
		record_path = strdup(path);
	stack_start();
}

/* --- which calls --- */

static bool is_beneath(const char *path)
{
	return folder_len > 0 && strncmp(path, folder, folder_len) == 0 &&
	       (path[folder_len] == '/' || path[folder_len] == 0 ||
		path[folder_len] == ' ');
}

static bool fd_path(int fd, char path[PATH_MAX])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return false;
	path[n] = 0;
	return true;
}

static bool is_ours(int fd)
{
	char path[PATH_MAX];
	int e = errno;
	bool is = control && !inside && fd_path(fd, path) && is_beneath(path);

	errno = e;
	return is;
}

/* The whole path; false: not beneath the folder. */
static bool whole(int dirfd, const char *name, char path[PATH_MAX])
{
	size_t n = 0;
	int e = errno;
	bool is;

	if (!control || inside)
		return false;
	if (*name != '/' && dirfd != AT_FDCWD && fd_path(dirfd, path))
		n = strlen(path);
	is = (size_t)snprintf(path + n, PATH_MAX - n, "%s%s", n ? "/" : "",
			      name) < PATH_MAX - n &&
	     is_beneath(path);
	errno = e;
	return is;
}

/* 0: go on; 1: do half; -1: errno is set. */
static int verdict(void *caller, enum kind kind)
{
	if (!atomic_load(&control->on) || !stack_hits(caller, kind))
		return 0;
	if (control->action == ACTION_KILL)
		kill(getpid(), SIGKILL);
	if (control->action == ACTION_SHORT)
		return 1;
	errno = control->error;
	return -1;
}
#define VERDICT(kind) verdict(__builtin_return_address(0), kind)

/* --- the record --- */

static void note(struct change c, const char *name, const char *name2,
		 const void *data)
{
	char names[2 * NAME_MAX + 2] = "";
	int e = errno, n = 0;
	size_t at = 0;

	if (name)
		n = snprintf(names, sizeof(names), "%s%c%s", name, 0,
			     name2 ? name2 : "");
	c.names_len = (uint64_t)n;
	inside = true;
	if (write(record_fd, &c, sizeof(c)) < 0 ||
	    write(record_fd, names, (size_t)n) < 0)
		abort();
	while (at < c.data_len) {
		ssize_t done = write(record_fd, (const char *)data + at,
				     c.data_len - at);

		if (done < 0)
			abort();
		at += (size_t)done;
	}
	inside = false;
	atomic_fetch_add(&control->position, 1);
	errno = e;
}

static uint64_t ino_of(int fd)
{
	struct stat st;

	return fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 ? 0 : st.st_ino;
}

/* The directory that a whole path is in; *ret_name is its last part. */
static uint64_t parent_of(char *path, const char **ret_name)
{
	char *slash = strrchr(path, '/');
	struct stat st;
	int r;

	*slash = 0;
	r = fstatat(AT_FDCWD, path, &st, 0);
	*slash = '/';
	*ret_name = slash + 1;
	return r < 0 ? 0 : st.st_ino;
}

static bool records(void)
{
	return record_path != NULL;
}

static void begin(void)
{
	if (!records())
		return;
	pthread_mutex_lock(&recording);
	inside = true;
	if (record_fd < 0)
		record_fd =
			open(record_path,
			     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (record_fd < 0)
		abort();
}

static void end(void)
{
	int e = errno;

	if (!records())
		return;
	inside = false;
	pthread_mutex_unlock(&recording);
	errno = e;
}

/* --- opening --- */

static void note_open(int fd, char *path, int flags, bool was_there)
{
	struct change c = {.kind = KIND_OPEN, .ino = ino_of(fd)};
	const char *name = NULL;

	if ((flags & O_TMPFILE) == O_TMPFILE) {
		note(c, NULL, NULL, NULL);
	} else if (!was_there) {
		c.dir = parent_of(path, &name);
		note(c, name, NULL, NULL);
	} else if (flags & O_TRUNC) {
		c.kind = KIND_TRUNCATE;
		note(c, NULL, NULL, NULL);
	}
}

typedef int opener(int dirfd, const char *path, int flags, ...);

static int open_any(void *caller, int dirfd, const char *name, int flags,
		    mode_t mode)
{
	static opener *real;
	char path[PATH_MAX];
	bool was_there;
	int fd;

	if (!real)
		real = (opener *)dlsym(RTLD_NEXT, "openat64");
	if (!whole(dirfd, name, path))
		return real(dirfd, name, flags, mode);
	if (verdict(caller, KIND_OPEN) < 0)
		return -1;
	if (!records() || !(flags & (O_CREAT | O_TRUNC | O_TMPFILE)))
		return real(dirfd, name, flags, mode);
	begin();
	was_there = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	fd = real(dirfd, name, flags, mode);
	if (fd >= 0)
		note_open(fd, path, flags, was_there);
	end();
	return fd;
}

#define MODE_OF(flags, mode)                                                   \
	mode_t mode = 0;                                                       \
	va_list ap;                                                            \
	va_start(ap, flags);                                                   \
	if ((flags) & (O_CREAT | O_TMPFILE))                                   \
		mode = va_arg(ap, mode_t);                                     \
	va_end(ap)

int open64(const char *name, int flags, ...)
{
	MODE_OF(flags, mode);
	return open_any(__builtin_return_address(0), AT_FDCWD, name, flags,
			mode);
}

int openat64(int dirfd, const char *name, int flags, ...)
{
	MODE_OF(flags, mode);
	return open_any(__builtin_return_address(0), dirfd, name, flags, mode);
}

/* --- data --- */

ssize_t read(int fd, void *buf, size_t len)
{
	REAL(read);
	int v = is_ours(fd) ? VERDICT(KIND_READ) : 0;

	return v < 0 ? -1 : real(fd, buf, v > 0 && len > 1 ? len / 2 : len);
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t off)
{
	REAL(pread64);
	int v = is_ours(fd) ? VERDICT(KIND_READ) : 0;

	return v < 0 ? -1
		     : real(fd, buf, v > 0 && len > 1 ? len / 2 : len, off);
}

static void note_write(int fd, const void *buf, ssize_t n, off64_t off)
{
	struct change c = {.kind = KIND_WRITE,
			   .ino = ino_of(fd),
			   .off = (uint64_t)off,
			   .data_len = (uint64_t)n};

	if (n > 0)
		note(c, NULL, NULL, buf);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	REAL(write);
	int v;
	off64_t off;
	ssize_t n;

	if (!is_ours(fd))
		return real(fd, buf, len);
	v = VERDICT(KIND_WRITE);
	if (v < 0)
		return -1;
	if (v > 0 && len > 1)
		len /= 2;
	begin();
	off = lseek64(fd, 0, SEEK_CUR);
	n = real(fd, buf, len);
	if (records())
		note_write(fd, buf, n, off);
	end();
	return n;
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	REAL(pwrite64);
	ssize_t n;
	int v;

	if (!is_ours(fd))
		return real(fd, buf, len, off);
	v = VERDICT(KIND_WRITE);
	if (v < 0)
		return -1;
	if (v > 0 && len > 1)
		len /= 2;
	begin();
	n = real(fd, buf, len, off);
	if (records())
		note_write(fd, buf, n, off);
	end();
	return n;
}

static int done_to(int fd, int r, struct change c)
{
	if (r == 0 && records()) {
		c.ino = ino_of(fd);
		note(c, NULL, NULL, NULL);
	}
	end();
	return r;
}

int fsync(int fd)
{
	REAL(fsync);

	if (!is_ours(fd))
		return real(fd);
	if (VERDICT(KIND_SYNC) < 0)
		return -1;
	begin();
	return done_to(fd, real(fd), (struct change){.kind = KIND_SYNC});
}

int fdatasync(int fd)
{
	REAL(fdatasync);

	if (!is_ours(fd))
		return real(fd);
	if (VERDICT(KIND_SYNC) < 0)
		return -1;
	begin();
	return done_to(fd, real(fd), (struct change){.kind = KIND_SYNC});
}

int ftruncate64(int fd, off64_t size)
{
	REAL(ftruncate64);

	if (!is_ours(fd))
		return real(fd, size);
	if (VERDICT(KIND_TRUNCATE) < 0)
		return -1;
	begin();
	return done_to(
		fd, real(fd, size),
		(struct change){.kind = KIND_TRUNCATE, .off = (uint64_t)size});
}

int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	REAL(fallocate64);

	if (!is_ours(fd))
		return real(fd, mode, off, len);
	if (VERDICT(KIND_ALLOCATE) < 0)
		return -1;
	begin();
	return done_to(fd, real(fd, mode, off, len),
		       (struct change){.kind = KIND_ALLOCATE,
				       .off = (uint64_t)off,
				       .dir = (uint64_t)len,
				       .dir2 = (uint64_t)mode});
}

/* --- names --- */

static int rename_any(void *caller, int from_fd, const char *from, int to_fd,
		      const char *to)
{
	REAL(renameat);
	char old[PATH_MAX], new[PATH_MAX];
	struct change c = {.kind = KIND_RENAME};
	const char *name, *name2;
	int r;

	if (!whole(from_fd, from, old) || !whole(to_fd, to, new))
		return real(from_fd, from, to_fd, to);
	if (verdict(caller, KIND_RENAME) < 0)
		return -1;
	begin();
	r = real(from_fd, from, to_fd, to);
	if (r == 0 && records()) {
		c.dir = parent_of(old, &name);
		c.dir2 = parent_of(new, &name2);
		note(c, name, name2, NULL);
	}
	end();
	return r;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return rename_any(__builtin_return_address(0), from_fd, from, to_fd,
			  to);
}

int rename(const char *from, const char *to)
{
	return rename_any(__builtin_return_address(0), AT_FDCWD, from, AT_FDCWD,
			  to);
}

static int remove_any(void *caller, int dirfd, const char *name, int flags)
{
	static int (*real)(int, const char *, int);
	struct change c = {.kind = KIND_UNLINK};
	char path[PATH_MAX];
	int r;

	if (!real)
		real = (int (*)(int, const char *, int))dlsym(RTLD_NEXT,
							      "unlinkat");
	if (!whole(dirfd, name, path))
		return real(dirfd, name, flags);
	if (verdict(caller, KIND_UNLINK) < 0)
		return -1;
	begin();
	r = real(dirfd, name, flags);
	if (r == 0 && records()) {
		c.dir = parent_of(path, &name);
		note(c, name, NULL, NULL);
	}
	end();
	return r;
}

int unlinkat(int dirfd, const char *name, int flags)
{
	return remove_any(__builtin_return_address(0), dirfd, name, flags);
}

int unlink(const char *name)
{
	return remove_any(__builtin_return_address(0), AT_FDCWD, name, 0);
}

static int mkdir_any(void *caller, int dirfd, const char *name, mode_t mode)
{
	static int (*real)(int, const char *, mode_t);
	struct change c = {.kind = KIND_MKDIR};
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (!real)
		real = (int (*)(int, const char *, mode_t))dlsym(RTLD_NEXT,
								 "mkdirat");
	if (!whole(dirfd, name, path))
		return real(dirfd, name, mode);
	if (verdict(caller, KIND_MKDIR) < 0)
		return -1;
	begin();
	r = real(dirfd, name, mode);
	if (r == 0 && records() && fstatat(AT_FDCWD, path, &st, 0) == 0) {
		c.ino = st.st_ino;
		c.dir = parent_of(path, &name);
		note(c, name, NULL, NULL);
	}
	end();
	return r;
}

int mkdirat(int dirfd, const char *name, mode_t mode)
{
	return mkdir_any(__builtin_return_address(0), dirfd, name, mode);
}

int mkdir(const char *name, mode_t mode)
{
	return mkdir_any(__builtin_return_address(0), AT_FDCWD, name, mode);
}

/* --- looking --- */

int fstat64(int fd, struct stat64 *st)
{
	REAL(fstat64);

	return is_ours(fd) && VERDICT(KIND_STAT) < 0 ? -1 : real(fd, st);
}

int stat64(const char *name, struct stat64 *st)
{
	REAL(stat64);
	char path[PATH_MAX];

	return whole(AT_FDCWD, name, path) && VERDICT(KIND_STAT) < 0
		       ? -1
		       : real(name, st);
}

int fstatvfs64(int fd, struct statvfs64 *st)
{
	REAL(fstatvfs64);

	return is_ours(fd) && VERDICT(KIND_STAT) < 0 ? -1 : real(fd, st);
}
