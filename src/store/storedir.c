/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache directory.  It is held by a descriptor, so renaming it does no
 * harm; when it was deleted, it is made anew and the descriptors are replaced
 * in place (dup3), for other threads use them without a lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/state.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/privatedir.h"
#include "util/str.h"

#define BAD_PREFIX "meta.db.bad-"
/* More blocks than chunks by this much: left over from a crash. */
#define SLACK_BYTES ((uint64_t)1 << 20)
#define NEVER_MS UINT64_MAX
/* What the databases write before they are open, and somewhat more. */
#define OPEN_ROOM_BYTES ((uint64_t)1 << 20)

static void auto_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define autodir __attribute__((cleanup(auto_closedir))) DIR

static int read_pid(int fd)
{
	unsigned long long pid = 0;
	char text[16] = "";
	ssize_t n = fd_pread_all(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	if (str_to_u64(text, INT_MAX, &pid) < 0)
		return 0;
	return (int)pid;
}

/* A lock of the open file: held until it is closed, by a child too. */
static int take_lock(int dirfd, int *ret_fd, int *ret_pid)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	autoclose int fd = fd_openat(dirfd, "lock", O_RDWR | O_CREAT, 0600);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		if (ret_pid)
			*ret_pid = read_pid(fd);
		return -EBUSY;
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

void storedir_note_pid(struct store *s)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (s->lockfd < 0)
		return;
	/* Only a help for people: the lock itself is what counts. */
	if (ftruncate(s->lockfd, 0) == 0)
		(void)fd_pwrite_all(s->lockfd, text, (size_t)n, 0);
}

int storedir_open(struct store *s, const char *dir, char **ret_why,
		  int *ret_pid)
{
	autoclose int dirfd = -1, lockfd = -1;
	autofree char *path = NULL;
	int r = privatedir_open(dir, ret_why, &dirfd);

	if (r < 0)
		return r;
	r = take_lock(dirfd, &lockfd, ret_pid);
	if (r < 0)
		return r;
	path = realpath(dir, NULL);
	if (!path)
		return -errno;
	s->dir = steal(&path);
	s->dirfd = steal_fd(&dirfd);
	s->lockfd = steal_fd(&lockfd);
	storedir_note_pid(s);
	return 0;
}

void storedir_close(struct store *s)
{
	if (s->dirfd >= 0)
		close(s->dirfd);
	if (s->lockfd >= 0)
		close(s->lockfd);
	s->dirfd = s->lockfd = -1;
	free(s->dir);
	s->dir = NULL;
}

static bool deleted(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_nlink == 0;
}

static int revive_dir(struct store *s)
{
	autoclose int dirfd = -1;
	autofree char *why = NULL;
	int r = privatedir_open(s->dir, &why, &dirfd);

	if (r == 0 && dup3(dirfd, s->dirfd, O_CLOEXEC) < 0)
		r = -errno;
	return r;
}

static int revive_lock(struct store *s)
{
	autoclose int lockfd = -1;
	int r = take_lock(s->dirfd, &lockfd, NULL);

	/* The lock belongs to the open file, which the copy shares. */
	if (r == 0 && dup3(lockfd, s->lockfd, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0)
		storedir_note_pid(s);
	return r;
}

void storedir_revive(struct store *s)
{
	bool dir_gone, lock_gone;
	struct stat st;
	int r = 0;

	if (s->dirfd < 0)
		return;
	dir_gone = deleted(s->dirfd);
	lock_gone = deleted(s->lockfd);
	if (!dir_gone && !lock_gone &&
	    fstatat(s->dirfd, "meta.db", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	if (dir_gone)
		r = revive_dir(s);
	if (r == 0 && lock_gone)
		r = revive_lock(s);
	if (r == 0) {
		log_warning("%s was deleted; starting anew", s->dir);
		r = db_reopen(s->db);
	}
	if (r < 0)
		log_debug("%s cannot be made again: %s", s->dir, strerror(-r));
}

int storedir_free(struct store *s, uint64_t *ret_bytes)
{
	struct statvfs v;

	if (s->dirfd < 0)
		return -ENODEV;
	if (fstatvfs(s->dirfd, &v) < 0)
		return -errno;
	*ret_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}

static int open_dir(int dirfd, const char *name, DIR **ret)
{
	int fd = fd_openat(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	DIR *d;

	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

bool storedir_has_room(struct store *s)
{
	uint64_t free_bytes = 0;

	return storedir_free(s, &free_bytes) < 0 ||
	       free_bytes >= OPEN_ROOM_BYTES;
}

static void remove_blobs(struct store *s, const char *alg, const char *path)
{
	autodir *dir = NULL;
	struct dirent *e;
	struct digest d;

	if (open_dir(s->dirfd, path, &dir) < 0)
		return;
	while (!storedir_has_room(s) && (e = readdir(dir)))
		if (digest_parse_parts(alg, e->d_name, &d) == 0)
			blobfile_remove(s, &d);
}

bool storedir_make_room(struct store *s)
{
	char path[32];

	if (storedir_has_room(s))
		return false;
	for (unsigned int x = 0; x < 512 && !storedir_has_room(s); x++) {
		const char *alg = x < 256 ? "sha256" : "sha512";

		snprintf(path, sizeof(path), "blobs/%s/%02x", alg, x & 0xff);
		remove_blobs(s, alg, path);
	}
	return true;
}

static bool is_open(struct store *s, const struct digest *d)
{
	autolock(&s->lock);

	return map_findn(s->table, d, sizeof(*d)) != NULL;
}

static void sweep_file(struct store *s, const struct digest *d, uint64_t blocks)
{
	struct chunks *c = NULL;
	struct blob_row row;
	int r;

	if (is_open(s, d))
		return;
	r = blob_get(s, d, &row);
	if (r == -ENOENT) {
		autolock(&s->opening);

		if (!is_open(s, d))
			blobfile_remove(s, d);
	} else if (r == 0 && blocks > row.bytes + SLACK_BYTES) {
		/* Opening punches what the map does not know. */
		if (chunks_open(s, d, row.size_bytes, &c) == 0)
			chunks_close(c);
	}
}

static void sweep_dir(struct store *s, const char *alg, const char *path)
{
	autodir *dir = NULL;
	struct dirent *e;
	struct digest d;
	struct stat st;

	if (open_dir(s->dirfd, path, &dir) < 0)
		return;
	while ((e = readdir(dir))) {
		if (digest_parse_parts(alg, e->d_name, &d) < 0 ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0)
			continue;
		sweep_file(s, &d, (uint64_t)st.st_blocks * 512);
	}
}

static void remove_any(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) < 0 && errno == EISDIR)
		(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* Of the databases set aside only the newest is kept. */
static void sweep_bad(struct store *s)
{
	char newest[NAME_MAX + 1] = "";
	autodir *dir = NULL;
	struct dirent *e;
	const char *time;

	if (open_dir(s->dirfd, ".", &dir) < 0)
		return;
	while ((e = readdir(dir))) {
		if (!str_prefix(e->d_name, BAD_PREFIX))
			continue;
		time = e->d_name + strlen(BAD_PREFIX);
		if (!time[strspn(time, "0123456789")] &&
		    strcmp(e->d_name, newest) > 0)
			snprintf(newest, sizeof(newest), "%s", e->d_name);
	}
	rewinddir(dir);
	while ((e = readdir(dir))) {
		if (str_prefix(e->d_name, BAD_PREFIX) &&
		    strncmp(e->d_name, newest, strlen(newest)) != 0)
			remove_any(s->dirfd, e->d_name);
	}
}

void storedir_sweep(struct store *s)
{
	static const char *const algs[] = {"sha256", "sha512"};
	char path[32];

	if (s->dirfd < 0)
		return;
	sweep_bad(s);
	for (size_t a = 0; a < sizeof(algs) / sizeof(algs[0]); a++) {
		for (unsigned int x = 0; x < 256; x++) {
			snprintf(path, sizeof(path), "blobs/%s/%02x", algs[a],
				 x);
			sweep_dir(s, algs[a], path);
		}
	}
	chunk_release_idle(s, NEVER_MS, false);
}
