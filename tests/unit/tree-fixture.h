/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For tests of trees: a store with a cache directory, and short ways to add. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/state.h"
#include "store/tree.h"
#include "util/log.h"

#define MIB ((uint64_t)1 << 20)
#define KEY "layer-sha256-0123"
#define DIR_MODE (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

static atomic_bool fail_sync;

/* No test loses power: not waiting for the disk makes them fast. */
int fsync(int fd)
{
	(void)fd;
	if (atomic_load(&fail_sync)) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

struct fixture {
	char dir[64], cache[80], trees[96];
	struct store_config cfg;
	struct store *s;
};

static inline void remove_tree(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test-tree-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cache, sizeof(f->cache), "%s/c", f->dir);
	snprintf(f->trees, sizeof(f->trees), "%s/trees", f->cache);
	f->cfg = (struct store_config){.dir = f->cache,
				       .size_bytes = 1024 * MIB};
	log_set_level((enum log_level) - 1);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	atomic_store(&fail_sync, false);
	store_close(f->s);
	remove_tree(f->dir);
	free(f);
	return 0;
}

static inline struct tree *must_create(struct fixture *f, const char *key)
{
	struct tree *t = NULL;

	assert_int_equal(tree_create(f->s, key, false, &t), 0);
	return t;
}

static inline struct tree *must_open(struct fixture *f, const char *key)
{
	struct tree *t = NULL;

	assert_int_equal(tree_open(f->s, key, &t), 0);
	return t;
}

static inline uint64_t add(struct tree *t, uint64_t dir, const char *name,
			   uint32_t mode)
{
	struct tree_inode i = {.mode = mode, .size_bytes = strlen(name)};
	uint64_t ino = 0;

	assert_int_equal(tree_add_inode(t, &i, NULL, &ino), 0);
	assert_int_equal(tree_add_name(t, dir, name, ino, mode), 0);
	return ino;
}

/* All names of a directory, each followed by a blank. */
static inline char *names_of(struct tree *t, uint64_t dir)
{
	static char out[4096];
	struct tree_name *names = NULL;
	size_t len = 0, at = 0;

	out[0] = '\0';
	assert_int_equal(tree_list(t, dir, NULL, SIZE_MAX, &names, &len), 0);
	for (size_t i = 0; i < len && at < sizeof(out); i++)
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%s ",
				       names[i].name);
	tree_names_free(names, len);
	return out;
}

/* A tree of n files in directories of ten, all of which can be computed. */
static inline void fill(struct tree *t, unsigned n)
{
	struct tree_piece p = {.bytes = 100, .has_digest = true};
	struct tree_inode i;
	uint64_t dir = 1, ino;
	char name[32];

	for (unsigned k = 0; k < n; k++) {
		if (k % 10 == 0) {
			snprintf(name, sizeof(name), "d%u", k);
			dir = add(t, TREE_ROOT, name, DIR_MODE);
		}
		i = (struct tree_inode){.mode = FILE_MODE,
					.uid = k,
					.size_bytes = k * 3,
					.mtime_s = 1700000000 + k,
					.data_off = (uint64_t)k << 20};
		assert_int_equal(tree_add_inode(t, &i, NULL, &ino), 0);
		snprintf(name, sizeof(name), "f%u", k);
		assert_int_equal(tree_add_name(t, dir, name, ino, i.mode), 0);
		p.src_off = k;
		p.digest[0] = (uint8_t)k;
		if (k % 7 == 0)
			assert_int_equal(tree_add_piece(t, ino, &p), 0);
	}
}

static inline size_t count_files(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static inline uint32_t nlink_of(struct tree *t, uint64_t ino)
{
	struct tree_inode i;

	assert_int_equal(tree_get(t, ino, &i), 0);
	return i.nlink;
}

static inline void seal_filled(struct fixture *f, const char *key, unsigned n)
{
	struct tree *t = must_create(f, key);

	fill(t, n);
	assert_int_equal(tree_set_int(t, "entries", n), 0);
	assert_int_equal(tree_seal(t), 0);
	tree_close(t);
}

static inline void path_of(struct fixture *f, const char *name, char out[400])
{
	snprintf(out, 400, "%s/%s", f->trees, name);
}
