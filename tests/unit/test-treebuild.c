/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "content/treepath.h"
#include "layer-script.h"
#include "util/encode.h"
#include "util/hash.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define R "d . 0\n"

static struct store *store;

/* One layer; sealed and sound. */
struct built {
	struct tree *tree;
	struct treebuild *build;
	struct treebuild_counts counts;
};

static void start(struct built *b, uint64_t max)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(tree_create(store, "layer", true, &b->tree), 0);
	assert_int_equal(treebuild_new(b->tree, max, &b->build), 0);
}

static void add(void *arg, const struct scripted *s)
{
	struct built *b = arg;

	assert_int_equal(treebuild_add(b->build, &s->e), 0);
}

static void finish(struct built *b)
{
	treebuild_counts(b->build, &b->counts);
	treebuild_free(b->build);
	assert_int_equal(tree_seal(b->tree), 0);
	check_tree(b->tree);
}

static void assert_words(struct tree *t, const char *name, const char *expected)
{
	struct listing l;
	char *words = tree_words(t, false);

	if (strcmp(words, expected) != 0)
		fail_msg("%s: got\n%swanted\n%s", name, words, expected);
	free(words);
	listing_read(t, &l);
	for (size_t i = 0; i < l.names.len; i++)
		check_inode(t, &l.names.v[i].i, false);
	listing_done(&l);
}

static const struct row {
	const char *name, *script, *expected;
	unsigned int left_out, dangling;
} rows[] = {
	{"nothing", "", R, 0, 0},
	{"each type",
	 "d d\nf d/f\ns d/s\nl d/l ../x/..//y\nc d/c\nb d/b\np d/p",
	 R "d d 1\nb d/b 6\nc d/c 5\nf d/f 2\nl d/l 4 -> ../x/..//y\n"
	   "p d/p 7\ns d/s 3\n",
	 0, 0},

	/* spellings */
	{"./a", "f ./a", R "f a 1\n", 0, 0},
	{"/a", "f /a", R "f a 1\n", 0, 0},
	{"///a//b//", "d ///a//b//", R "d a 0\nd a/b 1\n", 0, 0},
	{"a/./b/.", "f a/./b/.", R "d a 0\nf a/b 1\n", 0, 0},
	{"file with a slash", "f a/", R "f a 1\n", 0, 0},
	{"./././a", "f ././././a", R "f a 1\n", 0, 0},
	{"dots that are names", "f ...\nf .a\nf ..a\nf a..\nf a/....",
	 R "f ... 1\nf ..a 3\nf .a 2\nd a 0\nf a.. 4\nf a/.... 5\n", 0, 0},
	{"not UTF-8, control characters",
	 "f \xff\xfe\nf a\x1b[31m\nf \t\nf \x7f\nf \xc3\xa4/\x01",
	 "f \t 3\n" R
	 "f a\x1b[31m 2\nf \x7f 4\nd \xc3\xa4 0\nf \xc3\xa4/\x01 5\n"
	 "f \xff\xfe 1\n",
	 0, 0},
	{"all spellings are one name",
	 "f a/b\nf ./a/b\nf /a/b\nf a//b\nf a/b/\nf a/./b",
	 R "d a 0\nf a/b 6\n", 0, 0},

	/* tricks */
	{"..",
	 "f ..\nd ..\nd ../\nf ../a\nf a/..\nf a/../b\nf a/../../b\n"
	 "f /..\nf /../a\nf ./../a\nf a/..\nl .. x\nf a/b/../../..\n"
	 "d ./..\nd a/../\nf ..//a\nf x/../x\nh .. y\nf /a/../..\n"
	 "d .//..//.",
	 R, 20, 0},
	{".. in a target", "f a\nh b ../a\nh b a/../a\nh b ..\nf c",
	 R "f a 1\nf c 5\n", 3, 0},
	{"the root as no directory",
	 "f .\nl / /etc\nf \nc ./\nb //\np /./\nl . /\nh . a\ns .", R, 9, 0},
	{"the root", "d ./", "d . 1\n", 0, 0},
	{"the root again", "d /\nf a\nd .\nd ", "d . 4\nf a 2\n", 0, 0},

	/* parents */
	{"implied", "f a/b/c\nf a/b/d",
	 R "d a 0\nd a/b 0\nf a/b/c 1\nf a/b/d 2\n", 0, 0},
	{"implied, then told", "f a/b/c\nd a/b\nd a",
	 R "d a 3\nd a/b 2\nf a/b/c 1\n", 0, 0},
	{"told twice", "d a\nf a/x\nd a", R "d a 3\nf a/x 2\n", 0, 0},
	{"told, then needed", "d a\nf a/x", R "d a 1\nf a/x 2\n", 0, 0},
	{"beneath a file", "f a\nf a/b", R "d a 0\nf a/b 2\n", 0, 0},
	{"beneath a symlink", "l a /etc\nf a/passwd\nl b .\nf b/b/b",
	 R "d a 0\nf a/passwd 2\nd b 0\nd b/b 0\nf b/b/b 4\n", 0, 0},
	{"beneath devices", "c a\nf a/x\nb b\nd b/x\np c\nl c/x y",
	 R "d a 0\nf a/x 2\nd b 0\nd b/x 4\nd c 0\nl c/x 6 -> y\n", 0, 0},
	{"beneath a hard link", "f a\nh b a\nf b/x",
	 R "f a 1\nd b 0\nf b/x 3\n", 0, 0},
	{"deep beneath a file", "f a/b\nf a/b/c/d/e",
	 R "d a 0\nd a/b 0\nd a/b/c 0\nd a/b/c/d 0\nf a/b/c/d/e 2\n", 0, 0},

	/* duplicates */
	{"file, file", "f a\nf a", R "f a 2\n", 0, 0},
	{"file, each other", "f a\nl a x\nc a\nb a\np a\ns a\nf a", R "f a 7\n",
	 0, 0},
	{"file, directory", "f a\nd a\nf a/x", R "d a 2\nf a/x 3\n", 0, 0},
	{"directory, file", "d a\nf a/x\nd a/y\nf a/y/z\nf a", R "f a 5\n", 0,
	 0},
	{"directory, file, directory", "d a\nf a/x\nf a\nd a\nf a/y",
	 R "d a 4\nf a/y 5\n", 0, 0},
	{"directory, symlink, file beneath",
	 "d a\nd a/b\nf a/b/x\nl a b\nf a/b/y", R "d a 0\nd a/b 0\nf a/b/y 5\n",
	 0, 0},
	{"implied directory, file", "f a/b/c\nf a/b\nf a/b/d",
	 R "d a 0\nd a/b 0\nf a/b/d 3\n", 0, 0},
	{"sparse, file", "s a\nf a", R "f a 2\n", 0, 0},

	/* hard links */
	{"two names", "f a\nh b a", R "f a 1 x2\nf b 1 x2 =a\n", 0, 0},
	{"many names, all spellings",
	 "f d/a\nh b ./d/a\nh c /d//a\nh ./e d/./a/\nh /d/f b",
	 R "f b 1 x5\nf c 1 x5 =b\nd d 0\nf d/a 1 x5 =b\nf d/f 1 x5 =b\n"
	   "f e 1 x5 =b\n",
	 0, 0},
	{"to a symlink", "l a x\nh b a", R "l a 1 x2 -> x\nl b 1 x2 =a -> x\n",
	 0, 0},
	{"to devices", "c a\nb b\np c\nh x a\nh y b\nh z c",
	 R "c a 1 x2\nb b 2 x2\np c 3 x2\nc x 1 x2 =a\nb y 2 x2 =b\n"
	   "p z 3 x2 =c\n",
	 0, 0},
	{"to a sparse file", "s a\nh b a", R "s a 1 x2\ns b 1 x2 =a\n", 0, 0},
	{"to a directory", "d a\nf a/x\nh b a", R "d a 1\nf a/x 2\nf b 3 ? a\n",
	 0, 1},
	{"to the root", "h a .\nh b /", R "f a 1 ? .\nf b 2 ? .\n", 0, 2},
	{"to nothing", "h a x/y\nh b x//./y/", R "f a 1 ? x/y\nf b 2 ? x/y\n",
	 0, 2},
	{"beneath a file", "f x\nh a x/y", R "f a 2 ? x/y\nf x 1\n", 0, 1},
	{"through a symlink", "d d\nf d/f\nl s d\nh a s/f",
	 R "f a 4 ? s/f\nd d 1\nf d/f 2\nl s 3 -> d\n", 0, 1},
	{"to itself", "f a\nh a a\nh a ./a\nh a /a/", R "f a 1\n", 0, 0},
	{"to itself, a directory", "d a\nf a/x\nh a a", R "d a 1\nf a/x 2\n", 0,
	 0},
	{"to itself, which is not there", "h a a\nh d/b d/b",
	 R "f a 1 ? a\nd d 0\nf d/b 2 ? d/b\n", 0, 2},
	{"each to the other", "h a b\nh b a",
	 R "f a 1 x2 ? b\nf b 1 x2 =a ? b\n", 0, 1},
	{"to one that comes later", "h a b\nf b", R "f a 1 ? b\nf b 2\n", 0, 1},
	{"target replaced later", "f a\nh b a\nf a", R "f a 3\nf b 1\n", 0, 0},
	{"target replaced before", "f a\nf a\nh b a",
	 R "f a 2 x2\nf b 2 x2 =a\n", 0, 0},
	{"over a file", "f a\nf b\nh b a", R "f a 1 x2\nf b 1 x2 =a\n", 0, 0},
	{"over a directory", "f a\nd b\nf b/x\nh b a",
	 R "f a 1 x2\nf b 1 x2 =a\n", 0, 0},
	{"over the directory of the target", "d a\nf a/b\nh a a/b",
	 R "f a 3 ? a/b\n", 0, 1},
	{"over the directory of a target with another name",
	 "f a/b\nh c a/b\nh a a/b", R "f a 3 ? a/b\nf c 1\n", 0, 1},
	{"beneath its own target", "f a\nh a/b a", R "d a 0\nf a/b 2 ? a\n", 0,
	 1},
	{"over its own other name", "f a\nh b a\nh b a\nh a b",
	 R "f a 1 x2\nf b 1 x2 =a\n", 0, 0},
	{"replaced by a directory", "f a\nh b a\nd b\nf b/x",
	 R "f a 1\nd b 3\nf b/x 4\n", 0, 0},
	{"both names gone", "f d/a\nh d/b d/a\nf d", R "f d 3\n", 0, 0},
	{"one name gone with its directory", "f d/a\nh b d/a\nf d",
	 R "f b 1\nf d 3\n", 0, 0},

	/* whiteouts are files like others here */
	{"whiteouts",
	 "f d/.wh.a\nf d/.wh..wh..opq\nf d/a\nh d/.wh.b d/.wh.a\nf .wh.",
	 R "f .wh. 5\nd d 0\nf d/.wh..wh..opq 2\nf d/.wh.a 1 x2\n"
	   "f d/.wh.b 1 x2 =d/.wh.a\nf d/a 3\n",
	 0, 0},
};

static void cases(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct built b;

		start(&b, 100000);
		script_run(rows[i].script, strlen(rows[i].script), add, &b);
		finish(&b);
		assert_words(b.tree, rows[i].name, rows[i].expected);
		if (b.counts.left_out != rows[i].left_out ||
		    b.counts.dangling != rows[i].dangling)
			fail_msg("%s: %d left out, %d dangling", rows[i].name,
				 (int)b.counts.left_out,
				 (int)b.counts.dangling);
		tree_close(b.tree);
	}
}

/* Paths with NUL, and as long as can be. */
static void odd_paths(void **state)
{
	char path[LAYER_PATH_MAX + 2];
	struct scripted s;
	struct built b;

	assert_true(scripted_init(&s, 'f', 1));
	start(&b, 10000);
	s.e.path = "a\0b";
	s.e.path_len = 3;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.path_len = 2;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	memset(path, '/', sizeof(path));
	path[LAYER_PATH_MAX + 1] = '\0';
	path[0] = 'x';
	s.e.path = path;
	s.e.path_len = LAYER_PATH_MAX + 1;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.path_len = LAYER_PATH_MAX;
	path[LAYER_PATH_MAX] = '\0';
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	/* and as deep */
	for (size_t i = 0; i < LAYER_PATH_MAX; i += 2)
		path[i] = 'y';
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.type = LAYER_HARDLINK;
	s.e.path = "h";
	s.e.path_len = 1;
	s.e.link = "x\0";
	s.e.link_len = 2;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.link = path;
	s.e.link_len = LAYER_PATH_MAX + 1;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.link_len = LAYER_PATH_MAX;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.path = "i";
	s.e.link = NULL;
	s.e.link_len = 0;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	treebuild_counts(b.build, &b.counts);
	assert_int_equal(b.counts.entries, 9);
	assert_int_equal(b.counts.left_out, 5);
	assert_int_equal(b.counts.dangling, 1);
	finish(&b);
	tree_close(b.tree);
}

/* What a name over 255 bytes is shown as, told another way. */
static char *shorter(const char *raw, size_t head)
{
	uint8_t hash[HASH_MAX];
	char hex[65], *s = NULL;

	hash_once(HASH_SHA256, raw, strlen(raw), hash);
	hex_encode(hash, 32, hex);
	assert_true(asprintf(&s, "%.*s~%.16s", (int)head, raw, hex) > 0);
	return s;
}

static char *repeat(const char *prefix, const char *what, size_t times)
{
	struct str s = {0};

	assert_int_equal(str_add(&s, prefix), 0);
	while (times-- > 0)
		assert_int_equal(str_add(&s, what), 0);
	return str_steal(&s);
}

static void long_names(void **state)
{
	static const struct {
		const char *prefix, *unit;
		size_t times, head; /* 0: fits */
	} names[] = {
		{"", "a", 255, 0},
		{"", "a", 256, 200},
		{"", "a", 4096, 200},
		{"", "\xc3\xa4", 128, 200},
		{"x", "\xc3\xa4", 128, 199},
		{"", "\xe2\x82\xac", 100, 198},
		{"xy", "\xf0\x9f\x90\xa7", 70, 198},
		{"xyz\xff", "\xe2\x82\xac", 100, 200}, /* no UTF-8: any byte */
		{".wh.", "a", 255, 200},
		{".wh.", "a", 251, 0},
	};

	for (size_t i = 0; i < COUNT(names); i++) {
		char *raw =
			repeat(names[i].prefix, names[i].unit, names[i].times);
		char *shown = names[i].head ? shorter(raw, names[i].head)
					    : strdup(raw);
		struct tree_inode in;
		struct str got = {0};
		struct scripted s;
		struct built b;

		assert_true(scripted_init(&s, 'f', 1));
		start(&b, 100);
		s.e.path = raw;
		s.e.path_len = strlen(raw);
		assert_int_equal(treebuild_add(b.build, &s.e), 0);
		finish(&b);
		assert_int_equal(tree_find(b.tree, TREE_ROOT, shown, &in), 0);
		assert_int_equal(b.counts.escaped, names[i].head > 0);
		assert_int_equal(in.flags, names[i].head ? TREE_RAW_NAME : 0);
		assert_int_equal(tree_get_raw_name(b.tree, in.ino, &got),
				 names[i].head ? 0 : -ENODATA);
		if (names[i].head)
			assert_string_equal(got.buf, raw);
		str_done(&got);
		tree_close(b.tree);
		free(raw);
		free(shown);
	}
}

/* Long names as directories, targets, and beneath each other. */
static void long_paths(void **state)
{
	char *a = repeat("", "a", 300), *b = repeat("", "b", 300);
	char *sa = shorter(a, 200), *sb = shorter(b, 200);
	char *script = NULL, *expected = NULL;
	struct built t;

	assert_true(asprintf(&script,
			     "f %s/%s\nf ./%s//x\nd %s\nh l %s/%s\nh m %s/y\n"
			     "h %s %s/%s",
			     a, b, a, a, a, b, b, b, a, b) > 0);
	assert_true(asprintf(&expected,
			     R "d %s 3\nf %s/%s 1 x3\nf %s/x 2\n"
			       "f %s 1 x3 =%s/%s\nf l 1 x3 =%s/%s\n"
			       "f m 5 ? %s/y\n",
			     sa, sa, sb, sa, sb, sa, sb, sa, sb, sb) > 0);
	start(&t, 100);
	script_run(script, strlen(script), add, &t);
	finish(&t);
	assert_words(t.tree, "long", expected);
	assert_int_equal(t.counts.escaped, 3);
	tree_close(t.tree);
	free(a);
	free(b);
	free(sa);
	free(sb);
	free(script);
	free(expected);
}

/* A whiteout keeps its raw name even where it is a hard link. */
static void long_whiteout_link(void **state)
{
	char *raw = repeat(".wh.", "a", 300), *shown = shorter(raw, 200);
	struct tree_inode in, other;
	struct str got = {0};
	char *script = NULL;
	struct built b;

	assert_true(asprintf(&script, "f .wh.x\nh %s .wh.x", raw) > 0);
	start(&b, 100);
	script_run(script, strlen(script), add, &b);
	finish(&b);
	assert_int_equal(tree_find(b.tree, TREE_ROOT, shown, &in), 0);
	assert_int_equal(tree_find(b.tree, TREE_ROOT, ".wh.x", &other), 0);
	assert_int_not_equal(in.ino, other.ino);
	assert_int_equal(in.flags, TREE_RAW_NAME);
	assert_int_equal(tree_get_raw_name(b.tree, in.ino, &got), 0);
	assert_string_equal(got.buf, raw);
	str_done(&got);
	tree_close(b.tree);
	free(raw);
	free(shown);
	free(script);
}

static void root_attributes(void **state)
{
	static const struct layer_xattr x = {"user.root", "r", 1};
	struct tree_inode in;
	struct str got = {0};
	struct scripted s;
	struct built b;

	start(&b, 100);
	assert_int_equal(tree_get(b.tree, TREE_ROOT, &in), 0);
	assert_int_equal(in.mode, S_IFDIR | 0755);
	assert_int_equal(in.flags, TREE_IMPLIED);
	assert_true(scripted_init(&s, 'd', 7));
	s.e.path = "./";
	s.e.path_len = 2;
	s.e.xattrs = &x;
	s.e.xattrs_len = 1;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	finish(&b);
	assert_int_equal(tree_get(b.tree, TREE_ROOT, &in), 0);
	assert_int_equal(in.flags, 0);
	assert_int_equal(in.uid, 7);
	assert_int_equal(in.mode, S_IFDIR | (7 * 37));
	assert_int_equal(tree_get_xattrs(b.tree, TREE_ROOT, &got), 0);
	assert_int_equal(xattrs_find(got.buf, got.len, "user.root", &got), 0);
	str_done(&got);
	tree_close(b.tree);
}

static void symlink_size(void **state)
{
	static const char text[] = "some where";
	struct tree_inode in;
	struct scripted s;
	struct built b;

	start(&b, 100);
	assert_true(scripted_init(&s, 'l', 1));
	s.e.path = "l";
	s.e.path_len = 1;
	s.e.link = text;
	s.e.link_len = 4;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	assert_int_equal(tree_find(b.tree, TREE_ROOT, "l", &in), 0);
	assert_int_equal(in.mode, S_IFLNK | 0777);
	assert_int_equal(in.size_bytes, 4);
	finish(&b);
	tree_close(b.tree);
}

/* Entries count, and directories that they imply. */
static void limit(void **state)
{
	struct scripted s;
	struct built b;

	assert_true(scripted_init(&s, 'f', 1));
	start(&b, 4);
	s.e.path = "a/b/c";
	s.e.path_len = 5;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	s.e.path = "..";
	s.e.path_len = 2;
	assert_int_equal(treebuild_add(b.build, &s.e), 0);
	assert_int_equal(treebuild_add(b.build, &s.e), -EFBIG);
	treebuild_counts(b.build, &b.counts);
	assert_int_equal(b.counts.entries, 2);
	treebuild_free(b.build);
	tree_close(b.tree);

	start(&b, 3);
	s.e.path = "a/b/c/d";
	s.e.path_len = 7;
	assert_int_equal(treebuild_add(b.build, &s.e), -EFBIG);
	treebuild_free(b.build);
	tree_close(b.tree);
	treebuild_free(NULL);
}

/* More directories than the cache holds, used again in another order, and some
 * replaced meanwhile. */
static void many_directories(void **state)
{
	enum { MANY = 70000 };
	struct tree_inode dir, in;
	struct scripted s;
	char path[64];
	struct built b;

	assert_true(scripted_init(&s, 'f', 1));
	start(&b, 10 * MANY);
	s.e.path = path;
	for (unsigned int n = 0; n < 2 * MANY; n++) {
		unsigned int d = n < MANY ? n : 2 * MANY - 1 - n;

		s.e.path_len = (size_t)snprintf(path, sizeof(path), "%u/%s", d,
						n < MANY ? "x" : "y");
		assert_int_equal(treebuild_add(b.build, &s.e), 0);
		if (n % 7000 == 6999) {
			/* what was beneath is no longer there */
			s.e.path_len =
				(size_t)snprintf(path, sizeof(path), "%u", d);
			assert_int_equal(treebuild_add(b.build, &s.e), 0);
			s.e.path_len =
				(size_t)snprintf(path, sizeof(path), "%u/z", d);
			assert_int_equal(treebuild_add(b.build, &s.e), 0);
		}
	}
	for (unsigned int d = 250; d < MANY; d += 500) {
		snprintf(path, sizeof(path), "%u", d);
		assert_int_equal(tree_find(b.tree, TREE_ROOT, path, &dir), 0);
		assert_int_equal(tree_find(b.tree, dir.ino, "x", &in), 0);
		assert_int_equal(tree_find(b.tree, dir.ino, "y", &in), 0);
	}
	assert_int_equal(tree_find(b.tree, TREE_ROOT, "6999", &dir), 0);
	assert_int_equal(tree_find(b.tree, dir.ino, "x", &in), -ENOENT);
	assert_int_equal(tree_find(b.tree, dir.ino, "z", &in), 0);
	assert_int_equal(tree_find(b.tree, dir.ino, "y", &in), 0);
	treebuild_free(b.build);
	tree_close(b.tree);
}

static int open_store(void **state)
{
	return store_open(&(struct store_config){.dir = NULL}, &store, NULL);
}

static int close_store(void **state)
{
	store_close(store);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases),
		cmocka_unit_test(odd_paths),
		cmocka_unit_test(long_names),
		cmocka_unit_test(long_paths),
		cmocka_unit_test(long_whiteout_link),
		cmocka_unit_test(root_attributes),
		cmocka_unit_test(symlink_size),
		cmocka_unit_test(limit),
		cmocka_unit_test(many_directories),
	};

	return cmocka_run_group_tests(tests, open_store, close_store);
}
