/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees whose file is damaged, or was written by somebody else: what is read is
 * right, or -EBADMSG.
 */
#include <sqlite3.h>

#include "store/treestate.h"
#include "store/treevfs.h"
#include "tree-fixture.h"

#define ENTRIES 600
#ifndef HOSTILE
#define HOSTILE 100
#endif

static int expect_none(int r)
{
	assert_true(r == 0 || r == -EBADMSG);
	return r;
}

/* Everything that can be read: right, or damaged. */
static int check_filled(struct tree *t, unsigned n)
{
	struct tree_name *v = NULL;
	struct tree_inode i;
	struct tree_piece p;
	int64_t entries = 0;
	size_t len = 0;
	char name[32];
	int r;

	for (unsigned k = 0; k < n; k++) {
		uint64_t dir = 2 + (k / 10) * 11;

		snprintf(name, sizeof(name), "f%u", k);
		r = expect_none(tree_find(t, dir, name, &i));
		if (r < 0)
			return r;
		assert_int_equal(i.ino, dir + 1 + k % 10);
		assert_int_equal(i.mode, FILE_MODE);
		assert_int_equal(i.uid, k);
		assert_int_equal(i.size_bytes, k * 3);
		assert_int_equal(i.mtime_s, 1700000000 + k);
		assert_int_equal(i.data_off, (uint64_t)k << 20);
		if (k % 7 != 0)
			continue;
		r = expect_none(tree_find_piece(t, i.ino, 0, &p));
		if (r < 0)
			return r;
		assert_int_equal(p.src_off, k);
		assert_int_equal(p.digest[0], (uint8_t)k);
	}
	r = expect_none(tree_list(t, 1, NULL, SIZE_MAX, &v, &len));
	if (r < 0)
		return r;
	assert_int_equal(len, (n + 9) / 10);
	tree_names_free(v, len);
	r = expect_none(tree_get_int(t, "entries", &entries));
	if (r == 0)
		assert_int_equal(entries, n);
	return r;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static uint8_t *read_file(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *bytes;
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*ret_len = (size_t)st.st_size;
	bytes = malloc(*ret_len);
	assert_int_equal(read(fd, bytes, *ret_len), st.st_size);
	close(fd);
	return bytes;
}

/* -ENOENT, -EBADMSG or, where the damage is not in use, right. */
static int try_damaged(struct fixture *f)
{
	struct tree *t = NULL;
	int r = tree_open(f->s, KEY, &t);

	if (r == -ENOENT) {
		assert_false(tree_kept(f->s, KEY));
		return r;
	}
	assert_int_equal(r, 0);
	r = check_filled(t, ENTRIES);
	if (r < 0) {
		struct tree_inode i;

		/* Gone at once, and no more is to be had from it. */
		assert_false(tree_kept(f->s, KEY));
		assert_int_equal(tree_get(t, 1, &i), -EBADMSG);
	}
	tree_close(t);
	return r;
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

static void test_bits_flipped(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 1;
	unsigned bad = 0;
	uint8_t *bytes;
	char path[400];
	size_t len;

	seal_filled(f, KEY, ENTRIES);
	path_of(f, KEY, path);
	bytes = read_file(path, &len);
	for (int n = 0; n < 300; n++) {
		size_t at = next_random(&seed) % len;
		uint8_t bit = (uint8_t)(1u << next_random(&seed) % 8);

		bytes[at] ^= bit;
		write_file(path, bytes, len);
		bad += try_damaged(f) < 0;
		bytes[at] ^= bit;
	}
	/* All but those in pages that hold nothing that is read here. */
	assert_true(bad > 150);
	write_file(path, bytes, len);
	assert_int_equal(try_damaged(f), 0);
	free(bytes);
}

static void fix_sum(uint8_t *bytes, size_t at)
{
	size_t page = at / TREE_PAGE_BYTES * TREE_PAGE_BYTES;
	uint64_t sum = treevfs_sum(bytes + page, page);

	memcpy(bytes + page + TREE_PAGE_BYTES - TREE_SUM_BYTES, &sum,
	       sizeof(sum));
}

/* Uses all that is there; nothing of it need be right. */
static void use_hostile(struct tree *t)
{
	struct tree_point *points = NULL;
	struct tree_name *names = NULL;
	struct tree_inode *inodes = NULL;
	autostr out = {.max = 4 * MIB};
	uint64_t inos[64];
	struct tree_piece p;
	struct tree_inode i;
	size_t len = 0;

	for (uint64_t ino = 0; ino < ENTRIES + 70; ino++) {
		if (tree_get(t, ino, &i) == 0)
			assert_true(i.mode <= 0xffff);
		if (tree_list(t, ino, NULL, 100, &names, &len) == 0) {
			for (size_t n = 0; n < len; n++)
				(void)tree_find(t, ino, names[n].name, &i);
			tree_names_free(names, len);
		}
		if (tree_list_inodes(t, ino, NULL, 100, &names, &inodes,
				     &len) == 0) {
			for (size_t n = 0; n < len; n++)
				assert_true(inodes[n].mode <= 0xffff);
			tree_names_free(names, len);
			free(inodes);
		}
		(void)tree_find_piece(t, ino, 50, &p);
		(void)tree_get_link(t, ino, &out);
	}
	if (tree_points(t, &points, &len) == 0)
		free(points);
	(void)tree_get_window(t, 0, &out);
	(void)tree_get_text(t, "text", &out);
	(void)tree_flagged(t, UINT32_MAX, 0, 64, inos, &len);
	(void)tree_bytes(t);
}

/* Sums that are right tell nothing about who wrote the page. */
static void test_bytes_changed(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 2;
	uint8_t *bytes, *copy;
	struct tree *t;
	char path[400];
	size_t len, at;

	seal_filled(f, KEY, ENTRIES);
	path_of(f, KEY, path);
	bytes = read_file(path, &len);
	copy = malloc(len);
	for (int n = 0; n < HOSTILE; n++) {
		memcpy(copy, bytes, len);
		for (uint32_t k = next_random(&seed) % 8 + 1; k > 0; k--) {
			at = next_random(&seed) % len;
			/* Headers of pages are what matters most. */
			if (k % 2)
				at -= at % TREE_PAGE_BYTES - k;
			copy[at] = (uint8_t)next_random(&seed);
			fix_sum(copy, at);
		}
		write_file(path, copy, len);
		t = NULL;
		if (tree_open(f->s, KEY, &t) == 0)
			use_hostile(t);
		tree_close(t);
	}
	free(copy);
	free(bytes);
}

static void test_truncated(void **state)
{
	static const size_t cuts[] = {0, 1, 99, 100, 4095, 4096, 8192};
	struct fixture *f = *state;
	uint8_t *bytes;
	char path[400];
	size_t len;

	seal_filled(f, KEY, ENTRIES);
	path_of(f, KEY, path);
	bytes = read_file(path, &len);
	bytes = realloc(bytes, len + 4096);
	memset(bytes + len, 0, 4096);
	for (size_t n = 0; n < sizeof(cuts) / sizeof(cuts[0]); n++) {
		write_file(path, bytes, cuts[n]);
		assert_int_equal(try_damaged(f), -ENOENT);
		write_file(path, bytes, len - 4096 + cuts[n] % 4096);
		assert_int_equal(try_damaged(f), -ENOENT);
	}
	write_file(path, bytes, len + 4096);
	assert_int_equal(try_damaged(f), -ENOENT);
	free(bytes);
}

/* Pages that are sound, each for itself, but in each other's place. */
static void test_swapped(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes, page[4096];
	char path[400];
	size_t len;

	seal_filled(f, KEY, ENTRIES);
	path_of(f, KEY, path);
	bytes = read_file(path, &len);
	memcpy(page, bytes + len - 4096, 4096);
	memcpy(bytes + len - 4096, bytes + len - 8192, 4096);
	memcpy(bytes + len - 8192, page, 4096);
	write_file(path, bytes, len);
	assert_true(try_damaged(f) < 0);
	free(bytes);
}

static void test_foreign(void **state)
{
	static const uint8_t text[5000] = "SQLite format 3";
	struct fixture *f = *state;
	struct tree *t = NULL;
	char path[400];

	tree_close(must_create(f, KEY));
	path_of(f, KEY, path);
	write_file(path, text, sizeof(text));
	assert_int_equal(tree_open(f->s, KEY, &t), -ENOENT);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(tree_kept(f->s, KEY));
	assert_int_equal(tree_open(f->s, KEY, &t), -EPERM);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(tree_open(f->s, KEY, &t), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(tree_open(f->s, KEY, &t), -ELOOP);
}

/* A file with good sums that somebody else has written. */
static void alter(struct fixture *f, const char *sql)
{
	int64_t pages;
	sqlite3_stmt *st = NULL;
	sqlite3 *sq = NULL;
	char path[400], fix[128];
	int fd;

	path_of(f, KEY, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(treevfs_open(fd, false, 0, &sq), SQLITE_OK);
	sqlite3_exec(sq, "PRAGMA journal_mode=OFF", NULL, NULL, NULL);
	assert_int_equal(sqlite3_exec(sq, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(sq, "PRAGMA page_count", -1, &st, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	pages = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	snprintf(fix, sizeof(fix),
		 "UPDATE fact SET value=%lld WHERE key='.pages' AND value<1000",
		 (long long)pages);
	sqlite3_exec(sq, fix, NULL, NULL, NULL);
	assert_int_equal(sqlite3_close(sq), SQLITE_OK);
	close(fd);
}

static void test_hostile_at_open(void **state)
{
	static const char *const changes[] = {
		"PRAGMA application_id=1",
		"PRAGMA user_version=99",
		"DELETE FROM fact",
		"UPDATE fact SET value=12345 WHERE key='.pages'",
		"UPDATE fact SET value='x' WHERE key='.pages'",
		"DELETE FROM inode WHERE ino=1",
		"UPDATE inode SET mode=0 WHERE ino=1",
		"UPDATE inode SET mode='dir' WHERE ino=1",
		"CREATE TABLE more(x)",
		"CREATE INDEX more ON inode(uid)",
		"CREATE VIEW more AS SELECT 1",
		"CREATE TRIGGER more AFTER INSERT ON inode BEGIN SELECT 1; END",
		"DROP TABLE window",
		"DROP TABLE name; CREATE VIEW name AS SELECT 1 AS dir",
	};
	struct fixture *f = *state;
	struct tree *t = NULL;

	for (size_t n = 0; n < sizeof(changes) / sizeof(changes[0]); n++) {
		seal_filled(f, KEY, 20);
		alter(f, changes[n]);
		assert_int_equal(tree_open(f->s, KEY, &t), -ENOENT);
		assert_false(tree_kept(f->s, KEY));
	}
	/* The way these were made is not what is refused. */
	seal_filled(f, KEY, 20);
	alter(f, "SELECT 1");
	tree_close(must_open(f, KEY));
}

static int read_row(struct tree *t)
{
	struct tree_point *points = NULL;
	struct tree_name *names = NULL;
	struct tree_piece p;
	struct tree_inode i;
	autostr out = {0};
	uint64_t inos[4];
	size_t len = 0;
	int64_t v;
	int r;

	r = tree_find(t, 2, "f0", &i);
	if (r == 0)
		r = tree_list(t, 2, NULL, 100, &names, &len);
	tree_names_free(names, len);
	if (r == 0)
		r = tree_find_piece(t, 3, 0, &p);
	if (r == 0)
		r = tree_points(t, &points, &len);
	free(points);
	if (r == 0)
		r = tree_get_link(t, 3, &out);
	if (r == 0)
		r = tree_get_window(t, 0, &out);
	if (r == 0)
		r = tree_get_int(t, "entries", &v);
	if (r == 0)
		r = tree_get_text(t, "text", &out);
	if (r == 0)
		r = tree_flagged(t, UINT32_MAX, 0, 4, inos, &len);
	return r;
}

static const char *const row_changes[] = {
	"UPDATE inode SET mode=-32769 WHERE ino=3",
	"UPDATE inode SET mode=40000 WHERE ino=3",
	"UPDATE inode SET uid=-1 WHERE ino=3",
	"UPDATE inode SET gid=4294967296 WHERE ino=3",
	"UPDATE inode SET nlink=4294967295 WHERE ino=3",
	"UPDATE inode SET flags=-1 WHERE ino=3",
	"UPDATE inode SET size=-1 WHERE ino=3",
	"UPDATE inode SET size=x'00' WHERE ino=3",
	"UPDATE inode SET mtime='now' WHERE ino=3",
	"UPDATE inode SET mtime_ns=1000000000 WHERE ino=3",
	"UPDATE inode SET data=-1 WHERE ino=3",
	"UPDATE inode SET layer=-1 WHERE ino=3",
	"UPDATE inode SET src=1.5 WHERE ino=3",
	"UPDATE name SET name=x'612f62' WHERE name=x'6631'",
	"UPDATE name SET name=x'610062' WHERE name=x'6631'",
	"UPDATE name SET name=zeroblob(256) WHERE name=x'6631'",
	"UPDATE name SET ino=0 WHERE name=x'6631'",
	"UPDATE name SET mode=99999 WHERE name=x'6631'",
	"UPDATE piece SET off=-1 WHERE ino=3",
	"UPDATE piece SET bytes=-1 WHERE ino=3",
	"UPDATE piece SET bytes=9223372036854775807, off=1",
	"UPDATE piece SET src_end=-1 WHERE ino=3",
	"UPDATE piece SET digest=x'00' WHERE ino=3",
	"UPDATE piece SET digest=zeroblob(33) WHERE ino=3",
	"UPDATE point SET n=5",
	"UPDATE point SET bits=256",
	"UPDATE point SET in_off=-1",
	"UPDATE extra SET link=5",
	"UPDATE extra SET link=zeroblob(1048577)",
	"UPDATE window SET bytes=zeroblob(1999999)",
	"UPDATE window SET bytes=zeroblob(99999999)",
	"UPDATE fact SET value='x' WHERE key='entries'",
	"UPDATE fact SET value=1.5 WHERE key='text'",
	"UPDATE fact SET value=x'610062' WHERE key='text'",
	"UPDATE inode SET ino=-5 WHERE ino=3",
};
#define ROW_CHANGES (sizeof(row_changes) / sizeof(row_changes[0]))

/* With one of these, or with none (ROW_CHANGES). */
static struct tree *open_changed(struct fixture *f, size_t change)
{
	struct tree_extra x = {.link = "to", .link_len = 2};
	struct tree_inode i = {.mode = FILE_MODE};
	struct tree_piece p = {.off = 0, .bytes = 10, .has_digest = true};
	struct tree_point point = {0};
	struct tree *t = must_create(f, KEY);
	uint64_t ino;

	add(t, 1, "d", DIR_MODE);
	assert_int_equal(tree_add_inode(t, &i, &x, &ino), 0);
	assert_int_equal(tree_add_name(t, 2, "f0", ino, i.mode), 0);
	assert_int_equal(tree_add_piece(t, ino, &p), 0);
	add(t, 2, "f1", FILE_MODE);
	assert_int_equal(tree_add_point(t, &point, "w", 1), 0);
	assert_int_equal(tree_set_int(t, "entries", 2), 0);
	assert_int_equal(tree_set_text(t, "text", "x"), 0);
	assert_int_equal(tree_seal(t), 0);
	tree_close(t);
	alter(f, change < ROW_CHANGES ? row_changes[change] : "SELECT 1");
	return must_open(f, KEY);
}

static void test_hostile_rows(void **state)
{
	struct fixture *f = *state;
	struct tree *t;
	int r;

	for (size_t n = 0; n <= ROW_CHANGES; n++) {
		t = open_changed(f, n);
		r = read_row(t);
		if (n == ROW_CHANGES)
			assert_int_equal(r, 0);
		else if (r != -EBADMSG && r != -ENOENT)
			fail_msg("%s: %d", row_changes[n], r);
		assert_int_equal(tree_kept(f->s, KEY), r != -EBADMSG);
		tree_close(t);
	}
}

/* Nothing is left out of a list because its inode is. */
static void test_hostile_lists(void **state)
{
	struct fixture *f = *state;
	struct tree_inode *inodes;
	struct tree_name *names;
	struct tree *t;
	size_t len;
	bool good;
	int r;

	for (size_t n = 0; n <= ROW_CHANGES; n++) {
		good = n == ROW_CHANGES ||
		       (strncmp(row_changes[n], "UPDATE inode", 12) != 0 &&
			strncmp(row_changes[n], "UPDATE name", 11) != 0);
		t = open_changed(f, n);
		r = tree_list_inodes(t, 2, NULL, 10, &names, &inodes, &len);
		if (r != (good ? 0 : -EBADMSG))
			fail_msg("%zu: %d", n, r);
		assert_int_equal(tree_kept(f->s, KEY), good);
		if (good) {
			assert_int_equal(len, 2);
			tree_names_free(names, len);
			free(inodes);
		}
		tree_close(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_bits_flipped), T(test_bytes_changed),
		T(test_truncated),    T(test_swapped),
		T(test_foreign),      T(test_hostile_at_open),
		T(test_hostile_rows), T(test_hostile_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
