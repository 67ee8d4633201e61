/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR/trees.  KEY is a sealed tree, used last at its mtime; KEY.tmp-PID-N is
 * one that is being built, or was when its daemon died: whoever holds DIR's
 * lock removes those at start.  A file that is removed while it is open can
 * be read on; that is why eviction need not ask.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/state.h"
#include "store/treestate.h"
#include "util/auto.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"
#include "util/vec.h"

#define TREES "trees"
#define TEMP_MARK ".tmp-"
#define TEMP_TRIES 16
/* Of a key, in the name of a temporary file. */
#define TEMP_KEY_MAX 200
#define PATH_MAX_TREE (sizeof(TREES "/") + NAME_MAX)
#define LIMIT_MIN ((uint64_t)64 << 20)
#define LIMIT_SHARE 8
/* So much less is left, or the next one would go through all of them again. */
#define SLACK_SHARE 16
/* A directory for temporary files with less room is not used. */
#define ROOM_MIN ((uint64_t)256 << 20)

static void auto_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define autodir __attribute__((cleanup(auto_closedir))) DIR

static bool key_valid(const char *key)
{
	size_t n = strlen(key);

	return n > 0 && n <= TREE_KEY_MAX &&
	       strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static void format_path(const char *name, char out[PATH_MAX_TREE])
{
	snprintf(out, PATH_MAX_TREE, TREES "/%s", name);
}

/* What tells that there is no using this directory. */
static int unusable(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -EACCES:
	case -EPERM:
	case -ELOOP:
	case -ESTALE:
		return -EROFS;
	case -EDQUOT:
		return -ENOSPC;
	default:
		return r;
	}
}

int treefile_check_room(struct store *s, uint64_t more)
{
	uint64_t free_bytes = 0;

	if (storedir_free(s, &free_bytes) < 0)
		return 0;
	return free_bytes >= more && free_bytes - more >= s->min_free_bytes
		       ? 0
		       : -ENOSPC;
}

int treefile_make(struct store *s, const char *key, int *ret_fd,
		  char **ret_temp)
{
	static atomic_uint serial;
	char name[NAME_MAX + 1], path[PATH_MAX_TREE];
	autofree char *temp = NULL;
	autoclose int fd = -EINVAL;
	int r;

	if (!key_valid(key))
		return -EINVAL;
	r = treefile_check_room(s, 0);
	if (r < 0)
		return r;
	for (int i = 0; i < TEMP_TRIES; i++) {
		snprintf(name, sizeof(name), "%.*s" TEMP_MARK "%d-%u",
			 TEMP_KEY_MAX, key, (int)getpid(), serial++);
		format_path(name, path);
		fd = fd_openat(s->dirfd, path, O_RDWR | O_CREAT | O_EXCL, 0600);
		/* Two may find it missing at once. */
		if (fd == -ENOENT &&
		    (mkdirat(s->dirfd, TREES, 0700) == 0 || errno == EEXIST))
			continue;
		if (fd != -EEXIST)
			break;
	}
	if (fd < 0)
		return unusable(fd);
	temp = strdup(name);
	if (!temp) {
		treefile_remove(s, name);
		return -ENOMEM;
	}
	*ret_temp = steal(&temp);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int make_nameless_in(const char *dir)
{
	autofree char *path = NULL;
	struct statvfs v;
	int fd;

	if (!dir || *dir != '/')
		return -EINVAL;
	if (statvfs(dir, &v) < 0)
		return -errno;
	if ((uint64_t)v.f_bavail * v.f_frsize < ROOM_MIN)
		return -ENOSPC;
	fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* Not every file system can do that. */
	path = str_printf("%s/registryfs-XXXXXX", dir);
	if (!path)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	return fd;
}

int treefile_make_nameless(int *ret_fd)
{
	const char *const dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
	int fd;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		fd = make_nameless_in(dirs[i]);
		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
	}
	return -ENOSPC;
}

int treefile_open(struct store *s, const char *key, int *ret_fd)
{
	char path[PATH_MAX_TREE];
	autoclose int fd = -1;
	struct stat st;

	if (s->dirfd < 0 || !key_valid(key))
		return -ENOENT;
	format_path(key, path);
	fd = fd_openat(s->dirfd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ESTALE)
		return -ENOENT;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	*ret_fd = steal_fd(&fd);
	return 0;
}

bool treefile_exists(struct store *s, const char *key)
{
	char path[PATH_MAX_TREE];
	struct stat st;

	if (s->dirfd < 0 || !key_valid(key))
		return false;
	format_path(key, path);
	return fstatat(s->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

int treefile_keep(struct store *s, const char *temp, const char *key)
{
	autoclose int dir = -1;

	dir = fd_openat(s->dirfd, TREES, O_RDONLY | O_DIRECTORY, 0);
	if (store_relieve(s, dir))
		dir = fd_openat(s->dirfd, TREES, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return unusable(dir);
	if (renameat(dir, temp, dir, key) < 0)
		return unusable(-errno);
	/* Some file systems cannot sync a directory. */
	if (fsync(dir) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

void treefile_remove(struct store *s, const char *name)
{
	char path[PATH_MAX_TREE];

	if (s->dirfd < 0)
		return;
	format_path(name, path);
	(void)unlinkat(s->dirfd, path, 0);
}

void treefile_remove_same(struct store *s, const char *name, int fd)
{
	char path[PATH_MAX_TREE];
	struct stat ours, theirs;

	if (s->dirfd < 0 || fstat(fd, &ours) < 0)
		return;
	format_path(name, path);
	if (fstatat(s->dirfd, path, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
		(void)unlinkat(s->dirfd, path, 0);
}

void treefile_touch(int fd)
{
	const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT},
					{.tv_nsec = UTIME_NOW}};

	/* Only the order of eviction depends on it. */
	(void)futimens(fd, now);
}

/* --- all of them --- */

struct kept {
	char key[TREE_KEY_MAX + 1];
	struct timespec used;
	uint64_t bytes;
	bool held; /* by somebody */
	bool open;
};

struct kept_list {
	VEC(struct kept) all;
	uint64_t bytes;
};

static void kept_done(struct kept_list *l)
{
	vec_done(&l->all);
}
#define autokept __attribute__((cleanup(kept_done))) struct kept_list

static int open_trees(struct store *s, DIR **ret)
{
	int fd;

	if (s->dirfd < 0)
		return -ENOENT;
	fd = fd_openat(s->dirfd, TREES, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	*ret = fdopendir(fd);
	if (!*ret) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static int list_kept(struct store *s, struct kept_list *l)
{
	autodir *dir = NULL;
	struct dirent *e;
	struct stat st;
	int r = open_trees(s, &dir);

	while (r == 0 && (e = readdir(dir))) {
		struct kept k = {0};

		if (!key_valid(e->d_name) ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0 ||
		    !S_ISREG(st.st_mode))
			continue;
		k.used = st.st_mtim;
		k.bytes = (uint64_t)st.st_size;
		snprintf(k.key, sizeof(k.key), "%s", e->d_name);
		if (vec_push(&l->all, k) < 0)
			return -ENOMEM;
		l->bytes += k.bytes;
	}
	return r;
}

static void mark_held(struct store *s, struct kept_list *l)
{
	autolock(&s->lock);

	list_for(node, &s->trees) {
		struct tree *t = container_of(node, struct tree, node);

		for (size_t i = 0; i < l->all.len; i++) {
			struct kept *k = &l->all.v[i];

			if (strcmp(k->key, t->key) != 0)
				continue;
			k->held = true;
			k->open |= !atomic_load(&t->parked);
		}
	}
}

/* Those that nobody has open first: only they give back their room at once. */
static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->open != y->open)
		return x->open ? 1 : -1;
	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	if (x->used.tv_nsec != y->used.tv_nsec)
		return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
	return 0;
}

/* One that fits under no circumstances shall not drive out all others. */
static void evict_oversize(struct store *s, struct kept_list *l, uint64_t limit)
{
	for (size_t i = 0; i < l->all.len; i++) {
		struct kept *k = &l->all.v[i];

		if (k->bytes <= limit)
			continue;
		log_debug("tree %s: too large to be kept", k->key);
		treefile_remove(s, k->key);
		l->bytes -= k->bytes;
		k->bytes = 0;
	}
}

static uint64_t limit_of(const struct store *s)
{
	uint64_t limit = s->size_bytes / LIMIT_SHARE;

	return limit < LIMIT_MIN ? LIMIT_MIN : limit;
}

bool treefile_fits(const struct store *s, uint64_t bytes)
{
	return bytes <= limit_of(s);
}

static void evict_list(struct store *s, struct kept_list *l, uint64_t floor)
{
	uint64_t limit = limit_of(s), free_bytes = UINT64_MAX;
	struct kept *k;

	evict_oversize(s, l, limit);
	(void)storedir_free(s, &free_bytes);
	if (l->bytes <= limit && free_bytes >= floor)
		return;
	limit -= limit / SLACK_SHARE;
	mark_held(s, l);
	qsort(l->all.v, l->all.len, sizeof(l->all.v[0]), by_use);
	for (size_t i = 0; i < l->all.len; i++) {
		k = &l->all.v[i];
		if (l->bytes <= limit && (k->open || free_bytes >= floor))
			break;
		log_debug("tree %s: evicted", k->key);
		treefile_remove(s, k->key);
		l->bytes -= k->bytes;
		if (!k->open)
			(void)storedir_free(s, &free_bytes);
	}
}

void treefile_evict(struct store *s, uint64_t need_bytes)
{
	autokept list = {0};

	if (list_kept(s, &list) < 0)
		return;
	if (list.all.len > 0)
		evict_list(s, &list, s->min_free_bytes + need_bytes);
	autolock(&s->lock);
	s->tree_bytes = list.bytes;
}

void treefile_added(struct store *s, uint64_t bytes)
{
	uint64_t all;

	{
		autolock(&s->lock);
		all = s->tree_bytes += bytes;
	}
	if (all > limit_of(s) || treefile_check_room(s, 0) < 0)
		treefile_evict(s, 0);
}

int treefile_each(struct store *s, treefile_each_fn each, void *arg)
{
	autokept list = {0};
	int r = list_kept(s, &list);

	if (r == -ENOMEM)
		return r;
	r = 0;
	mark_held(s, &list);
	for (size_t i = 0; i < list.all.len && r == 0; i++)
		r = each(arg, list.all.v[i].key, list.all.v[i].bytes,
			 list.all.v[i].held);
	return r;
}

void treefile_stats(struct store *s, uint64_t *ret_trees, uint64_t *ret_bytes)
{
	autokept list = {0};

	(void)list_kept(s, &list);
	*ret_trees = list.all.len;
	*ret_bytes = list.bytes;
}

void treefile_sweep(struct store *s)
{
	autodir *dir = NULL;
	struct dirent *e;

	if (open_trees(s, &dir) < 0)
		return;
	while ((e = readdir(dir))) {
		if (strstr(e->d_name, TEMP_MARK))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	}
}
