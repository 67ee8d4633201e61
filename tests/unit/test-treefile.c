/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of trees: kept, found again, evicted, left over by a crash; and
 * those that have none.
 */
#include <sqlite3.h>

#include "store/treestate.h"
#include "tree-fixture.h"

static atomic_bool no_temp;

/* Of directories for temporary files. */
int statvfs(const char *path, struct statvfs *ret)
{
	(void)path;
	memset(ret, 0, sizeof(*ret));
	ret->f_frsize = 4096;
	ret->f_bavail = atomic_load(&no_temp) ? 1000 : 1000000;
	return 0;
}

static void reopen(struct fixture *f)
{
	store_close(f->s);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
}

static void test_kept(void **state)
{
	struct fixture *f = *state;
	struct store_stats st;
	struct tree *t = NULL;
	char longest[TREE_KEY_MAX + 1];

	assert_int_equal(tree_open(f->s, KEY, &t), -ENOENT);
	assert_false(tree_kept(f->s, KEY));
	seal_filled(f, KEY, 50);
	assert_true(tree_kept(f->s, KEY));
	assert_int_equal(count_files(f->trees), 1);
	reopen(f);
	assert_true(tree_kept(f->s, KEY));
	t = must_open(f, KEY);
	assert_int_equal(store_stats(f->s, &st), 0);
	assert_int_equal(st.trees, 1);
	assert_int_equal(st.tree_bytes, tree_bytes(t));
	assert_int_equal(st.bytes, 0);
	/* An open one can be read on. */
	tree_forget(f->s, KEY);
	tree_forget(f->s, KEY);
	assert_false(tree_kept(f->s, KEY));
	assert_string_equal(names_of(t, 2), "f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 ");
	tree_close(t);
	assert_int_equal(tree_open(f->s, KEY, &t), -ENOENT);
	memset(longest, 'k', TREE_KEY_MAX);
	longest[TREE_KEY_MAX] = '\0';
	seal_filled(f, longest, 10);
	t = must_open(f, longest);
	tree_close(t);
	assert_int_equal(tree_open(f->s, "../meta.db", &t), -ENOENT);
	assert_false(tree_kept(f->s, "../meta.db"));
	tree_forget(f->s, "../meta.db");
	assert_false(tree_kept(f->s, ""));
}

/* What is not sealed is as if it had never been. */
static void test_unsealed(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY), *other = NULL;

	fill(t, 100);
	assert_false(tree_kept(f->s, KEY));
	assert_int_equal(tree_open(f->s, KEY, &other), -ENOENT);
	assert_int_equal(count_files(f->trees), 1);
	tree_close(t);
	assert_int_equal(count_files(f->trees), 0);
}

static void test_last_seal_wins(void **state)
{
	struct fixture *f = *state;
	struct tree *a = must_create(f, KEY), *b = must_create(f, KEY), *t;

	add(a, 1, "a", FILE_MODE);
	add(b, 1, "b", FILE_MODE);
	assert_int_equal(tree_seal(b), 0);
	assert_int_equal(tree_seal(a), 0);
	t = must_open(f, KEY);
	assert_string_equal(names_of(t, 1), "a ");
	assert_string_equal(names_of(b, 1), "b ");
	tree_close(t);
	tree_close(b);
	tree_close(a);
	assert_int_equal(count_files(f->trees), 1);
}

static void test_crash(void **state)
{
	struct fixture *f = *state;
	struct tree *t = NULL;
	int status = -1;
	pid_t pid;

	seal_filled(f, KEY, 10);
	store_close(f->s);
	pid = fork();
	if (pid == 0) {
		if (store_open(&f->cfg, &f->s, NULL) == 0 &&
		    tree_create(f->s, "other", false, &t) == 0 &&
		    add(t, 1, "a", FILE_MODE) > 0)
			_exit(0);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(count_files(f->trees), 2);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	assert_int_equal(count_files(f->trees), 1);
	assert_true(tree_kept(f->s, KEY));
	assert_int_equal(tree_open(f->s, "other", &t), -ENOENT);
}

/* --- eviction --- */

static void set_used(struct fixture *f, const char *key, time_t when)
{
	const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
	char path[400];

	path_of(f, key, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* So large that two of them are over the limit. */
static void grow(struct fixture *f, const char *key, time_t used)
{
	char path[400];

	path_of(f, key, path);
	assert_int_equal(truncate(path, 40 << 20), 0);
	f->s->tree_bytes += 40 << 20; /* as if it had been sealed so */
	set_used(f, key, used);
}

static void test_evicted(void **state)
{
	struct fixture *f = *state;
	struct tree *open;

	f->cfg.size_bytes = 64 * MIB; /* the least for trees is as much */
	reopen(f);
	seal_filled(f, "old", 10);
	seal_filled(f, "older", 10);
	seal_filled(f, "used", 10);
	open = must_open(f, "used");
	set_used(f, "used", 10);
	set_used(f, "older", 1000);
	grow(f, "old", 2000);
	seal_filled(f, "new", 10);
	assert_true(tree_kept(f->s, "older"));
	grow(f, "older", 1000);
	seal_filled(f, "newer", 10);
	assert_false(tree_kept(f->s, "older"));
	assert_true(tree_kept(f->s, "old"));
	assert_true(tree_kept(f->s, "new"));
	/* The one that is open comes last, and is not harmed. */
	grow(f, "new", 3000);
	grow(f, "newer", 4000);
	seal_filled(f, "newest", 10);
	assert_false(tree_kept(f->s, "old"));
	assert_false(tree_kept(f->s, "new"));
	assert_true(tree_kept(f->s, "newer"));
	assert_true(tree_kept(f->s, "used"));
	grow(f, "used", 10);
	seal_filled(f, "last", 10);
	assert_false(tree_kept(f->s, "newer"));
	assert_true(tree_kept(f->s, "used"));
	assert_string_equal(names_of(open, 1), "d0 ");
	tree_close(open);
	/* Opening a store looks, too: the limit may be another one. */
	set_used(f, "last", 4000);
	grow(f, "newest", 5000);
	set_used(f, "used", 6000);
	reopen(f);
	assert_true(tree_kept(f->s, "used"));
	assert_false(tree_kept(f->s, "newest"));
	assert_false(tree_kept(f->s, "last"));
}

/* Whoever holds it can learn that it is kept no more, if it ever could be. */
static void test_forgotten(void **state)
{
	struct fixture *f = *state;
	struct tree *small, *large;
	char path[400];

	f->cfg.size_bytes = 64 * MIB;
	reopen(f);
	seal_filled(f, "small", 10);
	seal_filled(f, "large", 10);
	small = must_open(f, "small");
	large = must_open(f, "large");
	assert_false(tree_evicted(small));
	tree_forget(f->s, "small");
	assert_true(tree_evicted(small));
	assert_string_equal(names_of(small, 1), "d0 ");
	seal_filled(f, "small", 10);
	assert_true(tree_evicted(small));
	tree_close(small);
	small = must_open(f, "small");
	assert_false(tree_evicted(small));
	path_of(f, "large", path);
	assert_int_equal(truncate(path, 65 << 20), 0);
	tree_forget(f->s, "large");
	assert_false(tree_evicted(large));
	tree_close(small);
	tree_close(large);
}

/* What is too large on its own goes, not all others. */
static void test_oversize(void **state)
{
	struct fixture *f = *state;
	char path[400];

	f->cfg.size_bytes = 64 * MIB;
	reopen(f);
	seal_filled(f, "small", 10);
	seal_filled(f, "large", 10);
	path_of(f, "large", path);
	assert_int_equal(truncate(path, 65 << 20), 0);
	f->s->tree_bytes += 65 << 20;
	seal_filled(f, "other", 10);
	assert_true(tree_kept(f->s, "small"));
	assert_false(tree_kept(f->s, "large"));
	assert_true(tree_kept(f->s, "other"));
}

/* Once the blobs' room is used up, too. */
static void test_starved(void **state)
{
	struct fixture *f = *state;
	struct tree *open;

	seal_filled(f, "closed", 10);
	seal_filled(f, "open", 10);
	open = must_open(f, "open");
	f->s->min_free_bytes = INT64_MAX;
	treefile_evict(f->s, 0);
	assert_false(tree_kept(f->s, "closed"));
	assert_true(tree_kept(f->s, "open"));
	f->s->min_free_bytes = 0;
	tree_close(open);
}

static void test_touched(void **state)
{
	struct fixture *f = *state;
	char path[400];
	struct stat st;

	seal_filled(f, KEY, 10);
	path_of(f, KEY, path);
	set_used(f, KEY, 1000);
	tree_close(must_open(f, KEY));
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_mtime > 1000000000);
}

/* --- a disk that is full, read-only, gone --- */

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY), *other = NULL;

	add(t, 1, "a", FILE_MODE);
	f->s->min_free_bytes = INT64_MAX;
	assert_int_equal(tree_create(f->s, "other", false, &other), -ENOSPC);
	/* Not kept, but it can be used. */
	assert_int_equal(tree_seal(t), -ENOSPC);
	assert_true(tree_sealed(t));
	assert_string_equal(names_of(t, 1), "a ");
	assert_int_equal(tree_seal(t), 0);
	tree_close(t);
	assert_int_equal(count_files(f->trees), 0);
	assert_int_equal(tree_create(f->s, "other", true, &other), 0);
	add(other, 1, "a", FILE_MODE);
	assert_int_equal(tree_seal(other), 0);
	tree_close(other);
}

/* The limit is met while it grows, too; then it is of no more use. */
static void test_no_room_later(void **state)
{
	static char window[60000];
	struct tree_point p = {0};
	struct fixture *f = *state;
	struct tree *t = NULL;
	struct tree_inode i;
	int r = 0;

	f->s->min_free_bytes = 1;
	t = must_create(f, KEY);
	tree_close(t);
	/* Read by the file when it is made. */
	f->s->min_free_bytes = 0;
	assert_int_equal(treefile_check_room(f->s, 0), 0);
	assert_int_equal(treefile_check_room(f->s, INT64_MAX), -ENOSPC);
	assert_int_equal(tree_create(f->s, KEY, false, &t), 0);
	treesql_close(&t->sql);
	assert_int_equal(treesql_create(&t->sql, t->fd, INT64_MAX), SQLITE_OK);
	for (int n = 0; n < 1000 && r == 0; n++)
		r = tree_add_point(t, &p, window, sizeof(window));
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(tree_get(t, 1, &i), -ENOSPC);
	assert_int_equal(tree_seal(t), -ENOSPC);
	assert_false(tree_sealed(t));
	tree_close(t);
	assert_int_equal(count_files(f->trees), 0);
}

static void test_sync_fails(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);

	add(t, 1, "a", FILE_MODE);
	atomic_store(&fail_sync, true);
	assert_int_equal(tree_seal(t), -EIO);
	atomic_store(&fail_sync, false);
	assert_false(tree_kept(f->s, KEY));
	assert_true(tree_sealed(t));
	assert_string_equal(names_of(t, 1), "a ");
	tree_close(t);
	assert_int_equal(count_files(f->trees), 0);
}

static void test_unusable_directory(void **state)
{
	struct fixture *f = *state;
	struct tree *t = NULL;
	int fd;

	fd = open(f->trees, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(tree_create(f->s, KEY, false, &t), -EROFS);
	assert_int_equal(tree_open(f->s, KEY, &t), -ENOENT);
	assert_int_equal(unlink(f->trees), 0);
	/* A link may lead anywhere. */
	assert_int_equal(symlink("/tmp", f->trees), 0);
	assert_int_equal(tree_create(f->s, KEY, false, &t), -EROFS);
	assert_false(access("/tmp/" KEY, F_OK) == 0);
	assert_int_equal(unlink(f->trees), 0);
	if (geteuid() == 0)
		return;
	assert_int_equal(mkdir(f->trees, 0500), 0);
	assert_int_equal(tree_create(f->s, KEY, false, &t), -EROFS);
}

static void test_directory_deleted(void **state)
{
	struct fixture *f = *state;
	struct tree *kept, *t;

	seal_filled(f, KEY, 10);
	kept = must_open(f, KEY);
	t = must_create(f, "other");
	add(t, 1, "a", FILE_MODE);
	remove_tree(f->trees);
	assert_string_equal(names_of(kept, 1), "d0 ");
	assert_int_equal(tree_seal(t), -EROFS);
	assert_true(tree_sealed(t));
	assert_string_equal(names_of(t, 1), "a ");
	tree_close(t);
	tree_close(kept);
	seal_filled(f, KEY, 10);
	assert_true(tree_kept(f->s, KEY));
	remove_tree(f->cache);
	assert_int_equal(tree_create(f->s, "other", false, &t), -EROFS);
	assert_int_equal(store_maintain(f->s), 0);
	seal_filled(f, KEY, 10);
	tree_close(must_open(f, KEY));
}

/* It is held by a descriptor. */
static void test_directory_renamed(void **state)
{
	struct fixture *f = *state;
	char elsewhere[100];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", f->dir);
	seal_filled(f, KEY, 10);
	assert_int_equal(rename(f->cache, elsewhere), 0);
	tree_close(must_open(f, KEY));
	seal_filled(f, "other", 10);
	tree_close(must_open(f, "other"));
	assert_int_equal(access(f->cache, F_OK), -1);
	assert_int_equal(rename(elsewhere, f->cache), 0);
}

static void use_in_memory(struct store *s)
{
	struct tree *t = NULL, *other = NULL;
	struct tree_inode i;

	assert_int_equal(tree_create(s, KEY, true, &t), 0);
	fill(t, 1000);
	assert_int_equal(tree_seal(t), 0);
	assert_true(tree_sealed(t));
	assert_false(tree_kept(s, KEY));
	assert_int_equal(tree_open(s, KEY, &other), -ENOENT);
	assert_int_equal(tree_find(t, 2, "f5", &i), 0);
	assert_int_equal(nlink_of(t, 1), 102);
	assert_int_equal(tree_add_inode(t, &i, NULL, &i.ino), -EROFS);
	assert_true(tree_bytes(t) > 50000);
	tree_close(t);
}

static void test_in_memory(void **state)
{
	struct store_config none = {.size_bytes = MIB};
	struct fixture *f = *state;
	struct store *s = NULL;
	struct tree *t = NULL;

	use_in_memory(f->s);
	atomic_store(&no_temp, true);
	use_in_memory(f->s);
	atomic_store(&no_temp, false);
	assert_int_equal(count_files(f->trees), 0);
	assert_int_equal(store_open(&none, &s, NULL), 0);
	use_in_memory(s);
	assert_int_equal(tree_create(s, KEY, false, &t), 0);
	assert_int_equal(tree_seal(t), 0);
	assert_false(tree_kept(s, KEY));
	tree_close(t);
	tree_close(NULL);
	tree_names_free(NULL, 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_kept),
		T(test_unsealed),
		T(test_last_seal_wins),
		T(test_crash),
		T(test_evicted),
		T(test_forgotten),
		T(test_oversize),
		T(test_starved),
		T(test_touched),
		T(test_no_room),
		T(test_no_room_later),
		T(test_sync_fails),
		T(test_unusable_directory),
		T(test_directory_deleted),
		T(test_directory_renamed),
		T(test_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
