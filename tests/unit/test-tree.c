/* SPDX-License-Identifier: Apache-2.0 */
/* Trees: what is put in comes out, while building, sealed, and opened again. */
#include "tree-fixture.h"

/* Runs body with the tree while building, after sealing, and reopened. */
static void in_all_states(struct fixture *f, struct tree *t,
			  void (*check)(struct tree *t, bool sealed))
{
	check(t, false);
	assert_false(tree_sealed(t));
	assert_int_equal(tree_seal(t), 0);
	assert_true(tree_sealed(t));
	check(t, true);
	tree_close(t);
	t = must_open(f, KEY);
	assert_true(tree_sealed(t));
	check(t, true);
	tree_close(t);
}

static const struct tree_inode inodes[] = {
	{.mode = S_IFREG | 07777,
	 .uid = UINT32_MAX,
	 .gid = UINT32_MAX,
	 .flags = UINT32_MAX,
	 .size_bytes = INT64_MAX,
	 .mtime_s = INT64_MIN,
	 .mtime_ns = 999999999,
	 .data_off = INT64_MAX,
	 .layer = UINT32_MAX,
	 .src_ino = INT64_MAX},
	{.mode = S_IFREG},
	{.mode = S_IFCHR | 0600, .major = UINT32_MAX, .minor = UINT32_MAX},
	{.mode = S_IFBLK | 0660, .major = 8, .minor = 1},
	{.mode = S_IFIFO | 0644, .mtime_s = -1, .mtime_ns = 1},
	{.mode = S_IFSOCK | 0755, .mtime_s = INT64_MAX},
	{.mode = S_IFLNK | 0777, .size_bytes = 3},
};
#define INODES (sizeof(inodes) / sizeof(inodes[0]))

static void check_inodes(struct tree *t, bool sealed)
{
	char name[8];

	(void)sealed;
	for (size_t k = 0; k < INODES; k++) {
		const struct tree_inode *want = &inodes[k];
		struct tree_inode i, same;

		snprintf(name, sizeof(name), "n%zu", k);
		assert_int_equal(tree_find(t, TREE_ROOT, name, &i), 0);
		assert_int_equal(i.ino, k + 2);
		assert_int_equal(i.mode, want->mode);
		assert_int_equal(i.uid, want->uid);
		assert_int_equal(i.gid, want->gid);
		assert_int_equal(i.nlink, 1);
		assert_int_equal(i.flags, want->flags);
		assert_int_equal(i.size_bytes, want->size_bytes);
		assert_true(i.mtime_s == want->mtime_s);
		assert_int_equal(i.mtime_ns, want->mtime_ns);
		assert_int_equal(i.major, want->major);
		assert_int_equal(i.minor, want->minor);
		assert_int_equal(i.data_off, want->data_off);
		assert_int_equal(i.layer, want->layer);
		assert_int_equal(i.src_ino, want->src_ino);
		assert_int_equal(tree_get(t, k + 2, &same), 0);
		assert_int_equal(same.mode, want->mode);
		assert_int_equal(same.src_ino, want->src_ino);
	}
}

static void test_inodes(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	char name[8];
	uint64_t ino;

	for (size_t k = 0; k < INODES; k++) {
		assert_int_equal(tree_add_inode(t, &inodes[k], NULL, &ino), 0);
		assert_int_equal(ino, k + 2);
		snprintf(name, sizeof(name), "n%zu", k);
		assert_int_equal(
			tree_add_name(t, TREE_ROOT, name, ino, inodes[k].mode),
			0);
	}
	in_all_states(f, t, check_inodes);
}

static void test_invalid(void **state)
{
	static const struct tree_inode bad[] = {
		{.mode = 0x10000},
		{.mode = FILE_MODE, .mtime_ns = 1000000000},
		{.mode = FILE_MODE, .size_bytes = (uint64_t)INT64_MAX + 1},
		{.mode = FILE_MODE, .data_off = (uint64_t)INT64_MAX + 1},
		{.mode = FILE_MODE, .src_ino = (uint64_t)INT64_MAX + 1},
	};
	static char huge[2 * MIB];
	char longest[TREE_NAME_MAX + 2];
	struct tree_extra x = {.link = huge, .link_len = sizeof(huge)};
	struct tree_piece p = {.off = INT64_MAX, .bytes = 1};
	struct tree_inode i = {.mode = FILE_MODE};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	uint64_t ino = 77;

	memset(longest, 'n', sizeof(longest));
	longest[TREE_NAME_MAX + 1] = '\0';
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
		assert_int_equal(tree_add_inode(t, &bad[k], NULL, &ino),
				 -EINVAL);
	assert_int_equal(tree_add_inode(t, &i, &x, &ino), -EFBIG);
	assert_int_equal(ino, 77);
	ino = add(t, TREE_ROOT, "a", FILE_MODE);
	assert_int_equal(ino, 2);
	assert_int_equal(tree_add_name(t, TREE_ROOT, longest, ino, FILE_MODE),
			 -ENAMETOOLONG);
	assert_int_equal(tree_add_name(t, TREE_ROOT, "", ino, 0), -EINVAL);
	assert_int_equal(tree_add_name(t, TREE_ROOT, ".", ino, 0), -EINVAL);
	assert_int_equal(tree_add_name(t, TREE_ROOT, "..", ino, 0), -EINVAL);
	assert_int_equal(tree_add_name(t, TREE_ROOT, "a/b", ino, 0), -EINVAL);
	assert_int_equal(tree_add_name(t, TREE_ROOT, "b", ino + 1, 0), -EINVAL);
	assert_int_equal(tree_add_name(t, 99, "b", ino, 0), -EINVAL);
	assert_int_equal(tree_add_name(t, TREE_ROOT, "a", ino, 0), -EEXIST);
	assert_int_equal(nlink_of(t, ino), 1);
	assert_int_equal(tree_add_piece(t, ino, &p), -EINVAL);
	assert_int_equal(tree_set_int(t, ".pages", 1), -EINVAL);
	assert_int_equal(tree_set_text(t, "", "x"), -EINVAL);
	assert_int_equal(tree_set_inode(t, 99, &i, NULL), -ENOENT);
	assert_int_equal(tree_set_inode(t, TREE_ROOT, &i, NULL), -EINVAL);
	assert_int_equal(tree_remove(t, TREE_ROOT, "nope"), -ENOENT);
	longest[TREE_NAME_MAX] = '\0';
	assert_int_equal(tree_add_name(t, TREE_ROOT, longest, ino, FILE_MODE),
			 0);
	assert_int_equal(tree_seal(t), 0);
	assert_int_equal(tree_seal(t), 0);
	assert_int_equal(tree_add_inode(t, &i, NULL, &ino), -EROFS);
	assert_int_equal(tree_remove(t, TREE_ROOT, "a"), -EROFS);
	assert_int_equal(tree_clear(t, TREE_ROOT), -EROFS);
	assert_int_equal(tree_set_int(t, "x", 1), -EROFS);
	tree_close(t);
	assert_int_equal(tree_create(f->s, "no/slash", false, &t), -EINVAL);
	assert_int_equal(tree_create(f->s, "", false, &t), -EINVAL);
}

static void check_extra(struct tree *t, bool sealed)
{
	autostr out = {0};

	(void)sealed;
	assert_int_equal(tree_get_link(t, 2, &out), 0);
	assert_int_equal(out.len, 5);
	assert_memory_equal(out.buf, "l\0n\xffk", 5);
	/* Adds; and empty is not absent. */
	assert_int_equal(tree_get_xattrs(t, 2, &out), 0);
	assert_int_equal(out.len, 5);
	assert_int_equal(tree_get_raw_name(t, 2, &out), -ENODATA);
	assert_int_equal(tree_get_raw_name(t, 3, &out), 0);
	assert_memory_equal(out.buf, "l\0n\xffkraw", 8);
	assert_int_equal(tree_get_link(t, 3, &out), -ENODATA);
	assert_int_equal(tree_get_link(t, 4, &out), -ENODATA);
	assert_int_equal(tree_get_link(t, 99, &out), -ENODATA);
	assert_int_equal(out.len, 8);
	str_done(&out);
	out.max = 4;
	assert_int_equal(tree_get_link(t, 2, &out), -EFBIG);
}

static void test_extra(void **state)
{
	struct tree_extra link = {.link = "l\0n\xffk",
				  .link_len = 5,
				  .xattrs = "",
				  .xattrs_len = 0};
	struct tree_extra raw = {.raw_name = "raw", .raw_name_len = 3};
	struct tree_inode i = {.mode = S_IFLNK | 0777};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	uint64_t ino;

	assert_int_equal(tree_add_inode(t, &i, &link, &ino), 0);
	assert_int_equal(tree_add_name(t, 1, "l", ino, i.mode), 0);
	assert_int_equal(tree_add_inode(t, &i, &raw, &ino), 0);
	assert_int_equal(tree_add_name(t, 1, "r", ino, i.mode), 0);
	add(t, 1, "none", FILE_MODE);
	in_all_states(f, t, check_extra);
}

/* Bytes, not text: sorted as such. */
static const char *const odd_names[] = {
	"\x01", "\"", "%00", "'",    "A",	 "a",	 "a ",	     "a.b",
	"a\n",	"aa", "b",   "\xc3", "\xc3\xa9", "\xff", "\xff\xfe",
};
#define ODD_NAMES (sizeof(odd_names) / sizeof(odd_names[0]))

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* With the inodes it is the same list, and they are what is found by name. */
static void check_listed(struct tree *t, const char *after,
			 const struct tree_name *names, size_t names_len)
{
	struct tree_inode *listed = NULL, i;
	struct tree_name *v = NULL;
	size_t len = 0;

	assert_int_equal(
		tree_list_inodes(t, 1, after, names_len, &v, &listed, &len), 0);
	assert_int_equal(len, names_len);
	for (size_t n = 0; n < len; n++) {
		assert_string_equal(v[n].name, names[n].name);
		assert_int_equal(v[n].ino, names[n].ino);
		assert_int_equal(v[n].mode, names[n].mode);
		memset(&i, 0, sizeof(i));
		assert_int_equal(tree_get(t, v[n].ino, &i), 0);
		assert_int_equal(listed[n].ino, i.ino);
		assert_int_equal(listed[n].mode, i.mode);
		assert_int_equal(listed[n].nlink, i.nlink);
		assert_int_equal(listed[n].size_bytes, i.size_bytes);
		assert_int_equal(listed[n].mtime_s, i.mtime_s);
		assert_int_equal(listed[n].src_ino, i.src_ino);
	}
	tree_names_free(v, len);
	free(listed);
}

static void check_names(struct tree *t, bool sealed)
{
	const char *sorted[ODD_NAMES], *after = NULL;
	struct tree_name *v = NULL;
	struct tree_inode i;
	size_t len = 0;

	(void)sealed;
	memcpy(sorted, odd_names, sizeof(sorted));
	qsort(sorted, ODD_NAMES, sizeof(sorted[0]), by_bytes);
	for (size_t k = 0; k < ODD_NAMES; k += 4) {
		size_t want = ODD_NAMES - k < 4 ? ODD_NAMES - k : 4;
		struct tree_name *same = NULL;
		size_t same_len = 0;

		assert_int_equal(tree_list(t, 1, after, 4, &v, &len), 0);
		assert_int_equal(tree_list_from(t, 1, k, 4, &same, &same_len),
				 0);
		assert_int_equal(len, want);
		assert_int_equal(same_len, want);
		for (size_t n = 0; n < len; n++) {
			assert_string_equal(v[n].name, sorted[k + n]);
			assert_string_equal(same[n].name, sorted[k + n]);
			assert_int_equal(v[n].mode, FILE_MODE);
			assert_int_equal(tree_find(t, 1, v[n].name, &i), 0);
			assert_int_equal(i.ino, v[n].ino);
			assert_int_equal(same[n].ino, v[n].ino);
		}
		check_listed(t, after, v, len);
		after = sorted[k + len - 1];
		tree_names_free(same, same_len);
		tree_names_free(v, len);
	}
	assert_int_equal(tree_list(t, 1, after, 4, &v, &len), 0);
	assert_int_equal(len, 0);
	tree_names_free(v, len);
	assert_int_equal(tree_list_from(t, 1, UINT64_MAX, 4, &v, &len), 0);
	assert_int_equal(len, 0);
	tree_names_free(v, len);
	assert_int_equal(tree_list(t, 1, NULL, 0, &v, &len), 0);
	assert_int_equal(len, 0);
	tree_names_free(v, len);
	assert_int_equal(tree_find(t, 1, "A ", &i), -ENOENT);
	assert_int_equal(tree_find(t, 1, "", &i), -ENOENT);
	assert_int_equal(tree_find(t, 2, "a", &i), -ENOENT);
	assert_int_equal(tree_find(t, UINT64_MAX, "a", &i), -ENOENT);
	assert_int_equal(tree_get(t, 0, &i), -ENOENT);
	assert_int_equal(tree_get(t, UINT64_MAX, &i), -ENOENT);
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);

	for (size_t k = 0; k < ODD_NAMES; k++)
		add(t, 1, odd_names[(k * 7 + 3) % ODD_NAMES], FILE_MODE);
	in_all_states(f, t, check_names);
}

static void check_links(struct tree *t, bool sealed)
{
	struct tree_inode i;

	assert_int_equal(tree_find(t, 1, "twice", &i), 0);
	assert_int_equal(i.nlink, 3);
	assert_int_equal(tree_find(t, 1, "late", &i), 0);
	assert_int_equal(i.nlink, 1);
	assert_int_equal(tree_get(t, 1, &i), 0);
	assert_int_equal(i.flags, TREE_IMPLIED);
	assert_int_equal(i.mode, DIR_MODE);
	if (!sealed)
		return;
	assert_int_equal(i.nlink, 5);
	assert_int_equal(tree_find(t, 1, "d1", &i), 0);
	assert_int_equal(i.nlink, 3);
	assert_int_equal(tree_find(t, 1, "d2", &i), 0);
	assert_int_equal(i.nlink, 2);
	/* Never got a name. */
	assert_int_equal(tree_get(t, 9, &i), -ENOENT);
	assert_int_equal(tree_get(t, 10, &i), -ENOENT);
}

static void test_nlink(void **state)
{
	static const struct tree_inode file = {.mode = FILE_MODE};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	uint64_t d1, ino, other;

	d1 = add(t, 1, "d1", DIR_MODE);
	add(t, 1, "d2", DIR_MODE);
	add(t, 1, "d3", DIR_MODE);
	add(t, d1, "sub", DIR_MODE);
	assert_int_equal(tree_add_inode(t, &file, NULL, &ino), 0);
	assert_int_equal(nlink_of(t, ino), 0);
	assert_int_equal(tree_add_name(t, 1, "twice", ino, FILE_MODE), 0);
	assert_int_equal(nlink_of(t, ino), 1);
	assert_int_equal(tree_add_name(t, d1, "again", ino, FILE_MODE), 0);
	assert_int_equal(tree_add_name(t, 1, "thrice", ino, FILE_MODE), 0);
	assert_int_equal(nlink_of(t, ino), 3);
	/* Two before either has a name. */
	assert_int_equal(tree_add_inode(t, &file, NULL, &ino), 0);
	assert_int_equal(tree_add_inode(t, &file, NULL, &other), 0);
	assert_int_equal(nlink_of(t, ino), 0);
	assert_int_equal(nlink_of(t, other), 0);
	assert_int_equal(tree_add_name(t, 1, "late", ino, FILE_MODE), 0);
	assert_int_equal(tree_add_name(t, 1, "later", other, FILE_MODE), 0);
	assert_int_equal(nlink_of(t, ino), 1);
	assert_int_equal(nlink_of(t, other), 1);
	assert_int_equal(tree_add_inode(t, &file, NULL, &ino), 0);
	assert_int_equal(ino, 9);
	assert_int_equal(tree_add_inode(t, &file, NULL, &ino), 0);
	in_all_states(f, t, check_links);
}

static void check_removed(struct tree *t, bool sealed)
{
	struct tree_piece p;
	struct tree_inode i;
	autostr out = {0};

	assert_string_equal(names_of(t, 1), "d keep link new ");
	assert_string_equal(names_of(t, 2), "");
	assert_int_equal(tree_find(t, 1, "keep", &i), 0);
	assert_int_equal(i.nlink, 2);
	assert_int_equal(tree_find(t, 1, "new", &i), 0);
	assert_int_equal(nlink_of(t, 2), 2);
	if (sealed)
		assert_int_equal(nlink_of(t, 1), 3);
	/* Inodes, pieces and the rest went with the last name. */
	for (uint64_t ino = 5; ino <= 8; ino++) {
		assert_int_equal(tree_get(t, ino, &i), -ENOENT);
		assert_int_equal(tree_find_piece(t, ino, 0, &p), -ENOENT);
		assert_int_equal(tree_get_link(t, ino, &out), -ENODATA);
	}
}

static void test_remove(void **state)
{
	struct tree_extra x = {.link = "x", .link_len = 1};
	struct tree_inode i = {.mode = FILE_MODE, .flags = TREE_PIECES};
	struct tree_piece p = {.bytes = 1};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	uint64_t d, keep, sub, ino;

	d = add(t, 1, "d", DIR_MODE);
	keep = add(t, 1, "keep", FILE_MODE);
	assert_int_equal(tree_add_name(t, d, "k1", keep, FILE_MODE), 0);
	assert_int_equal(tree_add_name(t, 1, "link", keep, FILE_MODE), 0);
	add(t, 1, "new", FILE_MODE);
	sub = add(t, d, "sub", DIR_MODE);
	assert_int_equal(sub, 5);
	assert_int_equal(tree_add_inode(t, &i, &x, &ino), 0);
	assert_int_equal(tree_add_piece(t, ino, &p), 0);
	assert_int_equal(tree_add_name(t, sub, "f", ino, FILE_MODE), 0);
	/* Both names of one file are beneath. */
	assert_int_equal(tree_add_name(t, d, "f2", ino, FILE_MODE), 0);
	assert_int_equal(tree_add_name(t, sub, "k2", keep, FILE_MODE), 0);
	add(t, d, "z", FILE_MODE);
	assert_int_equal(nlink_of(t, keep), 4);
	assert_int_equal(tree_remove(t, d, "sub"), 0);
	assert_int_equal(nlink_of(t, keep), 3);
	assert_int_equal(nlink_of(t, ino), 1);
	assert_string_equal(names_of(t, d), "f2 k1 z ");
	assert_int_equal(tree_clear(t, d), 0);
	assert_int_equal(tree_clear(t, d), 0);
	/* Replaced: removed, and added as something else. */
	ino = add(t, 1, "x", DIR_MODE);
	add(t, ino, "y", FILE_MODE);
	assert_int_equal(tree_remove(t, 1, "x"), 0);
	assert_int_equal(tree_remove(t, 1, "x"), -ENOENT);
	in_all_states(f, t, check_removed);
}

static void test_remove_deep(void **state)
{
	enum { DEPTH = 20000 };
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	struct tree_inode i;
	uint64_t dir = 1, last;

	for (int n = 0; n < DEPTH; n++)
		dir = add(t, dir, "d", DIR_MODE);
	last = add(t, dir, "f", FILE_MODE);
	assert_int_equal(last, DEPTH + 2);
	assert_int_equal(tree_remove(t, 1, "d"), 0);
	for (uint64_t ino = 2; ino <= last; ino++)
		assert_int_equal(tree_get(t, ino, &i), -ENOENT);
	assert_int_equal(tree_find(t, dir, "f", &i), -ENOENT);
	tree_close(t);
}

static void test_set_inode(void **state)
{
	struct tree_extra x = {.xattrs = "old", .xattrs_len = 3};
	struct tree_inode i = {.mode = DIR_MODE, .uid = 1};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	autostr out = {0};
	uint64_t ino;

	assert_int_equal(tree_add_inode(t, &i, &x, &ino), 0);
	assert_int_equal(tree_add_name(t, 1, "d", ino, i.mode), 0);
	add(t, ino, "f", FILE_MODE);
	add(t, ino, "sub", DIR_MODE);
	i.mode = S_IFDIR | 01777;
	i.uid = 7;
	i.mtime_s = 5;
	x = (struct tree_extra){.link = NULL};
	assert_int_equal(tree_set_inode(t, ino, &i, &x), 0);
	assert_int_equal(tree_get_xattrs(t, ino, &out), -ENODATA);
	x = (struct tree_extra){.xattrs = "new", .xattrs_len = 3};
	assert_int_equal(tree_set_inode(t, ino, &i, &x), 0);
	assert_int_equal(tree_seal(t), 0);
	assert_int_equal(tree_find(t, 1, "d", &i), 0);
	assert_int_equal(i.mode, S_IFDIR | 01777);
	assert_int_equal(i.uid, 7);
	assert_int_equal(i.mtime_s, 5);
	assert_int_equal(i.nlink, 3);
	assert_int_equal(tree_get_xattrs(t, ino, &out), 0);
	assert_string_equal(out.buf, "new");
	assert_string_equal(names_of(t, ino), "f sub ");
	tree_close(t);
}

static void check_pieces(struct tree *t, bool sealed)
{
	static const struct {
		uint64_t off, want;
		int r;
	} cases[] = {
		{0, 10, 0},
		{9, 10, 0},
		{10, 10, 0},
		{19, 10, 0},
		{20, 20, 0},
		{29, 20, 0},
		{30, 50, 0},
		{49, 50, 0},
		{59, 50, 0},
		{60, 0, -ENOENT},
		{UINT64_MAX, 0, -ENOENT},
	};
	struct tree_piece p = {.off = 99};

	(void)sealed;
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		p.off = 99;
		assert_int_equal(tree_find_piece(t, 2, cases[k].off, &p),
				 cases[k].r);
		assert_int_equal(p.off, cases[k].r ? 99 : cases[k].want);
	}
	assert_int_equal(tree_find_piece(t, 2, 50, &p), 0);
	assert_int_equal(p.bytes, 10);
	assert_int_equal(p.src_off, 1000);
	assert_int_equal(p.src_end, INT64_MAX);
	assert_int_equal(p.inner_off, 3);
	assert_true(p.has_digest);
	for (size_t n = 0; n < 32; n++)
		assert_int_equal(p.digest[n], n);
	assert_int_equal(tree_find_piece(t, 2, 10, &p), 0);
	assert_false(p.has_digest);
	assert_int_equal(p.src_end, 0);
	assert_int_equal(tree_find_piece(t, 3, 0, &p), -ENOENT);
}

static void test_pieces(void **state)
{
	struct tree_piece p = {.off = 10, .bytes = 10};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	uint64_t ino = add(t, 1, "f", FILE_MODE);

	add(t, 1, "g", FILE_MODE);
	assert_int_equal(tree_add_piece(t, ino, &p), 0);
	p.off = 20;
	assert_int_equal(tree_add_piece(t, ino, &p), 0);
	p = (struct tree_piece){.off = 50,
				.bytes = 10,
				.src_off = 1000,
				.src_end = INT64_MAX,
				.inner_off = 3,
				.has_digest = true};
	for (size_t n = 0; n < 32; n++)
		p.digest[n] = (uint8_t)n;
	assert_int_equal(tree_add_piece(t, ino, &p), 0);
	in_all_states(f, t, check_pieces);
}

#define POINTS 300

static void check_points(struct tree *t, bool sealed)
{
	struct tree_point *v = NULL;
	autostr out = {0};
	size_t len = 0;

	(void)sealed;
	assert_int_equal(tree_points(t, &v, &len), 0);
	assert_int_equal(len, POINTS);
	for (size_t n = 0; n < len; n++) {
		assert_int_equal(v[n].in_off, n << 20);
		assert_int_equal(v[n].out_off, n << 22);
		assert_int_equal(v[n].bits, n % 8);
		str_clear(&out);
		if (n == 0) {
			assert_int_equal(tree_get_window(t, n, &out), -ENODATA);
			continue;
		}
		assert_int_equal(tree_get_window(t, n, &out), 0);
		assert_int_equal(out.len, n * 100);
		assert_int_equal((uint8_t)out.buf[0], n & 0xff);
		assert_int_equal((uint8_t)out.buf[n * 100 - 1], n & 0xff);
	}
	free(v);
	assert_int_equal(tree_get_window(t, POINTS, &out), -ENODATA);
}

static void test_points(void **state)
{
	static uint8_t window[POINTS * 100];
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	struct tree_point p, *v = NULL;
	size_t len = 9;

	assert_int_equal(tree_points(t, &v, &len), 0);
	assert_int_equal(len, 0);
	free(v);
	for (size_t n = 0; n < POINTS; n++) {
		memset(window, (int)n, sizeof(window));
		p = (struct tree_point){
			.in_off = n << 20, .out_off = n << 22, .bits = n % 8};
		assert_int_equal(tree_add_point(t, &p, window, n * 100), 0);
	}
	assert_int_equal(tree_add_point(t, &p, window, 2 * MIB), -EFBIG);
	in_all_states(f, t, check_points);
}

static void check_facts(struct tree *t, bool sealed)
{
	autostr out = {0};
	int64_t v = 0;

	(void)sealed;
	assert_int_equal(tree_get_text(t, "text", &out), 0);
	assert_string_equal(out.buf, "second \xff");
	assert_int_equal(tree_get_text(t, "empty", &out), 0);
	assert_int_equal(out.len, 8);
	assert_int_equal(tree_get_int(t, "int", &v), 0);
	assert_true(v == INT64_MIN);
	assert_int_equal(tree_get_int(t, "none", &v), -ENODATA);
	assert_int_equal(tree_get_text(t, "none", &out), -ENODATA);
}

static void test_facts(void **state)
{
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);

	assert_int_equal(tree_set_text(t, "text", "first"), 0);
	assert_int_equal(tree_set_text(t, "text", "second \xff"), 0);
	assert_int_equal(tree_set_text(t, "empty", ""), 0);
	assert_int_equal(tree_set_int(t, "int", INT64_MIN), 0);
	in_all_states(f, t, check_facts);
}

static void check_flagged(struct tree *t, bool sealed)
{
	uint64_t inos[4] = {0};
	size_t len = 0;

	(void)sealed;
	assert_int_equal(
		tree_flagged(t, TREE_DANGLING | TREE_BLOB, 0, 4, inos, &len),
		0);
	assert_int_equal(len, 4);
	assert_int_equal(inos[0], 2);
	assert_int_equal(inos[1], 4);
	assert_int_equal(inos[3], 8);
	assert_int_equal(
		tree_flagged(t, TREE_DANGLING | TREE_BLOB, 8, 4, inos, &len),
		0);
	assert_int_equal(len, 1);
	assert_int_equal(inos[0], 10);
	assert_int_equal(tree_flagged(t, TREE_RAW_NAME, 0, 4, inos, &len), 0);
	assert_int_equal(len, 0);
}

static void test_flagged(void **state)
{
	struct tree_inode i = {.mode = FILE_MODE};
	struct fixture *f = *state;
	struct tree *t = must_create(f, KEY);
	char name[8];
	uint64_t ino;

	for (unsigned n = 0; n < 10; n++) {
		i.flags = n % 2 ? TREE_PIECES : TREE_DANGLING | TREE_PIECES;
		assert_int_equal(tree_add_inode(t, &i, NULL, &ino), 0);
		snprintf(name, sizeof(name), "%u", n);
		assert_int_equal(tree_add_name(t, 1, name, ino, i.mode), 0);
	}
	in_all_states(f, t, check_flagged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_inodes),	     T(test_invalid),	T(test_extra),
		T(test_names),	     T(test_nlink),	T(test_remove),
		T(test_remove_deep), T(test_set_inode), T(test_pieces),
		T(test_points),	     T(test_facts),	T(test_flagged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
