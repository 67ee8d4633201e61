/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "layer-model.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define R "d . 0 @0\n"

static struct store *store;

/* --- named cases --- */

static const struct row {
	const char *name, *script, *expected;
} rows[] = {
	{"no layer", "", R},
	{"one layer", "f a\nd d\nl d/l x\nh b a",
	 R "f a 1 x2 @0\nf b 1 x2 =a @0\nd d 2 @0\nl d/l 3 -> x @0\n"},
	{"two layers", "f a\nf b\n--\nf b\nf c",
	 R "f a 1 @0\nf b 3 @1\nf c 4 @1\n"},

	/* whiteouts */
	{"a file", "f a\nf b\n--\nf .wh.a", R "f b 2 @0\n"},
	{"a tree", "f d/a/x\nf d/b\n--\nf d/.wh.a", R "d d 0 @0\nf d/b 2 @0\n"},
	{"nothing there", "f a\n--\nf .wh.b\nf x/.wh.y",
	 R "f a 1 @0\nd x 0 @1\n"},
	{"not in its own layer, before it", "f a\n--\nf .wh.a\nf a",
	 R "f a 3 @1\n"},
	{"not in its own layer, behind it", "f a\n--\nf a\nf .wh.a",
	 R "f a 2 @1\n"},
	{"of the base layer", "f .wh.a\nf a\nf d/.wh..wh..opq\nf d/x",
	 R "f a 2 @0\nd d 0 @0\nf d/x 4 @0\n"},
	{"seen again above", "f a\n--\nf .wh.a\n--\nf a", R "f a 3 @2\n"},
	{"stays hidden", "f a\n--\nf .wh.a\n--\nf b", R "f b 3 @2\n"},
	{"of other types",
	 "f a\nf b\nf c\nf d\n--\nl .wh.a x\nd .wh.b\n"
	 "c .wh.c\nh .wh.d .wh.a",
	 R},
	{"as a hard link", "f a\nf b\n--\nf .wh.a\nh .wh.b .wh.a\nf c",
	 R "f c 5 @1\n"},
	{"as a hard link to aufs's own",
	 "f a\nf b\n--\nf .wh..wh.aufs\nh .wh.b .wh..wh.aufs", R "f a 1 @0\n"},
	{"as a hard link into a lower layer", "f a\nf b\n--\nh .wh.b a",
	 R "f a 1 @0\n"},
	{"of whiteouts", "f a\n--\nf .wh..wh.a\nf .wh..wh.a/x", R "f a 1 @0\n"},
	{"only what begins so",
	 "f a\nf wh.a\nf .wha\nf .wh-b\n--\n"
	 "f .wh\nf .wha\nf .wh-a\nf .wh-z\nf .wh/x",
	 R "d .wh 0 @1\nf .wh-a 7 @1\nf .wh-b 4 @0\nf .wh-z 8 @1\n"
	   "f .wh/x 9 @1\nf .wha 6 @1\nf a 1 @0\nf wh.a 2 @0\n"},
	{"behind names like them",
	 "f a\n--\nf .wh-1\nf .wh-2\nf .wh-\xff\nf .wh-\xff\xff\nf .wh.a",
	 R "f .wh-1 2 @1\nf .wh-2 3 @1\nf .wh-\xff 4 @1\n"
	   "f .wh-\xff\xff 5 @1\n"},
	{"without a name", "f a\nf b\n--\nf .wh.\nd .wh.\nf .wh./x",
	 R "f a 1 @0\nf b 2 @0\n"},
	{"dots", "f a/b\n--\nf a/.wh..\nf a/.wh...\nf .wh..",
	 R "d a 0 @0\nf a/b 1 @0\n"},
	{"hidden names", "f .a\nf ..a\n--\nf .wh..a\nf .wh...a", R},
	{"names of aufs",
	 "f a\nf .wh..wh.aufs\nf .wh..wh.plnk/1\n--\n"
	 "f .wh..wh.aufs\nd .wh..wh.orph\nf .wh..wh.a\n"
	 "f .wh..wh.opq\nf .wh..wh..opqx",
	 R "f a 1 @0\n"},
	/* The last part of an entry's path is what makes one, as for docker and
	 * containerd: or lower files could be hidden from us alone. */
	{"no whiteout for being on the way",
	 "f a\nf d/x\n--\nf .wh.a/y\nf d/.wh..wh..opq/z\nf .wh..wh..opq/q",
	 R "f a 1 @0\nd d 0 @0\nf d/x 2 @0\n"},
	{"a whiteout, and then on the way", "f a\nf b\n--\nf .wh.a\nf .wh.a/y",
	 R "f b 2 @0\n"},
	{"on the way, and then a whiteout",
	 "f a\nf b\n--\nf .wh.a/y\nd .wh.a\nf .wh.b/y\nf .wh.b", R},
	{"of a name that only looks so", "f x\n--\nf d/.wh.x\nf .wh.y",
	 R "d d 0 @1\nf x 1 @0\n"},

	/* a directory that goes and comes again */
	{"removed and made again", "d d\nf d/a\nf d/b\n--\nf .wh.d\nd d\nf d/c",
	 R "d d 5 @1\nf d/c 6 @1\n"},
	{"removed and made again, whiteout last",
	 "d d\nf d/a\n--\nd d\nf d/c\nf .wh.d", R "d d 3 @1\nf d/c 4 @1\n"},
	{"removed, implied again", "d d\nf d/a\n--\nf .wh.d\nf d/c",
	 R "d d 0 @1\nf d/c 4 @1\n"},

	/* opaque */
	{"opaque", "d d\nf d/a\nf d/e/x\n--\nf d/.wh..wh..opq\nf d/b",
	 R "d d 1 @0\nf d/b 5 @1\n"},
	{"opaque, last in the archive", "f d/a\n--\nf d/b\nf d/.wh..wh..opq",
	 R "d d 0 @0\nf d/b 2 @1\n"},
	{"opaque, the same name again",
	 "f d/a\nf d/b\n--\nf d/a\nf d/.wh..wh..opq",
	 R "d d 0 @0\nf d/a 3 @1\n"},
	{"opaque and explicit", "d d\nf d/a\n--\nd d\nf d/.wh..wh..opq",
	 R "d d 3 @1\n"},
	{"opaque root", "f a\nf d/b\n--\nf .wh..wh..opq\nf c", R "f c 4 @1\n"},
	{"opaque where nothing is", "f a\n--\nf d/.wh..wh..opq",
	 R "f a 1 @0\nd d 0 @1\n"},
	{"opaque over a file", "f d\n--\nf d/.wh..wh..opq\nf d/x",
	 R "d d 0 @1\nf d/x 3 @1\n"},
	{"opaque below another", "f d/e/a\nf d/b\n--\nf d/e/.wh..wh..opq",
	 R "d d 0 @0\nf d/b 2 @0\nd d/e 0 @0\n"},
	{"opaque beside whiteouts",
	 "f d/a\nf d/b\n--\nf d/.wh.a\n"
	 "f d/.wh..wh..opq\nf d/.wh.c\nf d/c",
	 R "d d 0 @0\nf d/c 6 @1\n"},
	{"opaque, three layers",
	 "f d/a\n--\nf d/b\n--\nf d/.wh..wh..opq\nf d/c\n"
	 "--\nf d/d",
	 R "d d 0 @0\nf d/c 4 @2\nf d/d 5 @3\n"},
	{"opaque, a directory as the marker", "f d/a\n--\nd d/.wh..wh..opq",
	 R "d d 0 @0\n"},

	/* types */
	{"file over directory", "f d/a/b\n--\nf d", R "f d 2 @1\n"},
	{"symlink over directory", "f d/a\n--\nl d x", R "l d 2 -> x @1\n"},
	{"directory over file", "f d\n--\nd d\nf d/x",
	 R "d d 2 @1\nf d/x 3 @1\n"},
	{"implied over file", "f d\n--\nf d/x", R "d d 0 @1\nf d/x 2 @1\n"},
	{"implied over symlink", "l d x\nf x/y\n--\nf d/z",
	 R "d d 0 @1\nf d/z 3 @1\nd x 0 @0\nf x/y 2 @0\n"},
	{"device over symlink", "l a x\n--\nc a", R "c a 2 @1\n"},
	{"whiteout in what was a file", "f d\n--\nf d/.wh.x", R "d d 0 @1\n"},
	{"there and back", "d d\nf d/a\n--\nf d\n--\nd d\nf d/b",
	 R "d d 4 @2\nf d/b 5 @2\n"},
	{"sparse over file", "f a\n--\ns a", R "s a 2 @1\n"},

	/* attributes of directories */
	{"explicit over explicit", "d d\nf d/a\n--\nd d",
	 R "d d 3 @1\nf d/a 2 @0\n"},
	{"implied over explicit", "d d\nf d/a\n--\nf d/b",
	 R "d d 1 @0\nf d/a 2 @0\nf d/b 3 @1\n"},
	{"explicit over implied", "f d/a\n--\nd d", R "d d 2 @1\nf d/a 1 @0\n"},
	{"implied over implied", "f d/a\n--\nf d/b",
	 R "d d 0 @0\nf d/a 1 @0\nf d/b 2 @1\n"},
	{"root", "d .\nf a\n--\nf b", "d . 1 @0\nf a 2 @0\nf b 3 @1\n"},
	{"root again", "d .\n--\nd .\n--\nf b", "d . 2 @1\nf b 3 @2\n"},
	{"root, first told above", "f a\n--\nd ./", "d . 2 @1\nf a 1 @0\n"},

	/* hard links */
	{"inside a layer", "f a\nf x\n--\nf a\nh d/b a\nh c a",
	 R
	 "f a 3 x3 @1\nf c 3 x3 =a @1\nd d 0 @1\nf d/b 3 x3 =a @1\nf x 2 @0\n"},
	{"one name replaced above", "f a\nh b a\nh c a\n--\nf a",
	 R "f a 4 @1\nf b 1 x2 @0\nf c 1 x2 =b @0\n"},
	{"one name hidden above", "f a\nh b a\n--\nf .wh.b", R "f a 1 @0\n"},
	{"one name in a hidden tree", "f a\nh d/e/b a\n--\nf .wh.d",
	 R "f a 1 @0\n"},
	{"one name is a whiteout", "f a\n--\nf b\nh .wh.a b\nh c b",
	 R "f b 2 x2 @1\nf c 2 x2 =b @1\n"},
	{"into a lower layer", "f a\n--\nh b a",
	 R "f a 1 x2 @0\nf b 1 x2 =a @0\n"},
	{"into a lower layer, several", "f d/a\n--\nh b d/a\nh d/c /d//a",
	 R "f b 1 x3 @0\nd d 0 @0\nf d/a 1 x3 =b @0\nf d/c 1 x3 =b @0\n"},
	{"into a lower layer, by way of another name", "f a\n--\nh b a\nh c b",
	 R "f a 1 x3 @0\nf b 1 x3 =a @0\nf c 1 x3 =a @0\n"},
	{"two layers down", "f a\n--\nf x\n--\nh b a",
	 R "f a 1 x2 @0\nf b 1 x2 =a @0\nf x 2 @1\n"},
	{"chain through layers", "f a\n--\nh b a\n--\nh c b\n--\nf .wh.a",
	 R "f b 1 x2 @0\nf c 1 x2 =b @0\n"},
	{"to a symlink below", "l a x\n--\nh b a",
	 R "l a 1 x2 -> x @0\nl b 1 x2 =a -> x @0\n"},
	{"to a device below", "c a\n--\nh b a",
	 R "c a 1 x2 @0\nc b 1 x2 =a @0\n"},
	{"to a directory below", "d a\n--\nh b a",
	 R "d a 1 @0\nf b 2 ? a @1\n"},
	{"to nothing below", "f a\n--\nh b x\nh c x/y",
	 R "f a 1 @0\nf b 2 ? x @1\nf c 3 ? x/y @1\n"},
	{"to nothing, two names", "f x\n--\nh b y\nh c b",
	 R "f b 2 x2 ? y @1\nf c 2 x2 =b ? y @1\nf x 1 @0\n"},
	{"to nothing, found in a third layer", "f a\n--\nh b x\n--\nh c b",
	 R "f a 1 @0\nf b 2 x2 ? x @1\nf c 2 x2 =b ? x @1\n"},
	{"renamed", "f a\n--\nf .wh.a\nh b a", R "f b 1 @0\n"},
	{"out of a hidden tree", "f d/e/a\n--\nh b d/e/a\nf .wh.d",
	 R "f b 1 @0\n"},
	{"out of an opaque root", "f a\nf c\n--\nf .wh..wh..opq\nh b a",
	 R "f b 1 @0\n"},
	{"out of an opaque directory",
	 "f d/a\nf d/x\n--\nf d/.wh..wh..opq\n"
	 "h d/b d/a",
	 R "d d 0 @0\nf d/b 1 @0\n"},
	{"target replaced in this layer", "f a\n--\nh b a\nf a",
	 R "f a 3 @1\nf b 1 @0\n"},
	{"target's place becomes a directory", "f a\n--\nh a/b a",
	 R "d a 0 @1\nf a/b 1 @0\n"},
	{"target's tree becomes a file", "f d/a\n--\nh b d/a\nf d",
	 R "f b 1 @0\nf d 3 @1\n"},
	{"to itself below", "f a\n--\nh a a", R "f a 1 @0\n"},
	{"swapped", "f a\nf b\n--\nh c a\nf .wh.a\nh a b\nf .wh.b\nh b c",
	 R "f a 2 @0\nf b 1 x2 @0\nf c 1 x2 =b @0\n"},
	{"whited out above", "f a\n--\nh b a\n--\nf .wh.a\nf .wh.b\nf c",
	 R "f c 5 @2\n"},
	{"over a directory below", "f a\nf b/x\n--\nh b a",
	 R "f a 1 x2 @0\nf b 1 x2 =a @0\n"},
	{"target is a whiteout's name below", "f .wh.a\n--\nh b .wh.a",
	 R "f b 2 ? .wh.a @1\n"},
	{"target through a symlink below", "l s d\nf d/a\n--\nh b s/a",
	 R "f b 3 ? s/a @1\nd d 0 @0\nf d/a 2 @0\nl s 1 -> d @0\n"},
};

static void assert_merged(struct stack *k, const char *name,
			  const char *expected)
{
	char *words = tree_words(k->merged, true);

	if (strcmp(words, expected) != 0)
		fail_msg("%s: got\n%swanted\n%s", name, words, expected);
	free(words);
}

static void cases(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stack k;

		stack_build(&k, store, rows[i].script, strlen(rows[i].script));
		assert_merged(&k, rows[i].name, rows[i].expected);
		stack_check(&k);
		stack_done(&k);
	}
}

/* A whiteout hides the name that its raw name says, too long or not. */
static void long_names(void **state)
{
	static const size_t lengths[] = {250, 251, 252, 255, 256, 300, 4000};

	for (size_t i = 0; i < COUNT(lengths); i++) {
		char name[4001], *script = NULL;
		struct stack k;

		memset(name, 'n', lengths[i]);
		name[lengths[i]] = '\0';
		assert_true(asprintf(&script,
				     "f %s\nf %sx\nf d/%s/y\nf a\n--\n"
				     "f .wh.%s\nh d/.wh.%s .wh.%s\n",
				     name, name, lengths[i] < 4000 ? name : "z",
				     name, lengths[i] < 4000 ? name : "z",
				     name) > 0);
		stack_build(&k, store, script, strlen(script));
		stack_check(&k);
		{
			struct listing l;

			/* all that is left: root, NAMEx, a, d */
			listing_read(k.merged, &l);
			assert_int_equal(l.names.len, 4);
			assert_string_equal(l.names.v[1].path, "a");
			assert_string_equal(l.names.v[2].path, "d");
			assert_int_equal(l.names.v[3].i.uid, 2);
			listing_done(&l);
		}
		stack_done(&k);
		free(script);
	}
}

/* The raw name that an inode has may be that of another of its names. */
static void long_whiteout_with_short_link(void **state)
{
	char name[301], *script = NULL;
	struct stack k;

	memset(name, 'n', 300);
	name[300] = '\0';
	assert_true(asprintf(&script,
			     "f a\nf b\nf %s\n--\nf .wh.%s\nh .wh.a .wh.%s",
			     name, name, name) > 0);
	stack_build(&k, store, script, strlen(script));
	assert_merged(&k, "long", R "f b 2 @0\n");
	stack_done(&k);
	free(script);
}

/* What a merged file takes along. */
static void extras(void **state)
{
	static const struct layer_xattr x = {"security.capability", "\1\0\2",
					     3};
	struct tree *base, *top, *out;
	struct tree_inode in, blob = {.mode = S_IFREG | 0600,
				      .flags = TREE_BLOB,
				      .size_bytes = 77};
	struct str s = {0}, v = {0};
	struct treebuild *b;
	struct scripted e;
	struct wait w;
	uint64_t ino;
	char name[300];

	wait_init(&w, 60000, 0);
	memset(name, 'n', sizeof(name));
	assert_int_equal(tree_create(store, "base", true, &base), 0);
	assert_int_equal(tree_add_inode(base, &blob, NULL, &ino), 0);
	assert_int_equal(tree_add_name(base, TREE_ROOT, "blob", ino, blob.mode),
			 0);
	assert_int_equal(tree_seal(base), 0);
	assert_int_equal(tree_create(store, "top", true, &top), 0);
	assert_int_equal(treebuild_new(top, 100, &b), 0);
	assert_true(scripted_init(&e, 'l', 5));
	e.e.path = name;
	e.e.path_len = sizeof(name);
	e.e.link = "t\xff";
	e.e.link_len = 2;
	e.e.xattrs = &x;
	e.e.xattrs_len = 1;
	assert_int_equal(treebuild_add(b, &e.e), 0);
	treebuild_free(b);
	assert_int_equal(tree_seal(top), 0);
	assert_int_equal(tree_create(store, "out", true, &out), 0);
	assert_int_equal(
		merge_trees((struct tree *[]){base, top}, 2, 100, &w, out), 0);
	assert_int_equal(tree_seal(out), 0);

	assert_int_equal(tree_find(out, TREE_ROOT, "blob", &in), 0);
	assert_int_equal(in.flags, TREE_BLOB);
	assert_int_equal(in.size_bytes, 77);
	assert_int_equal(in.layer, 0);
	assert_int_equal(in.src_ino, ino);
	assert_int_equal(
		tree_flagged(out, TREE_RAW_NAME, 0, 1, &ino, &(size_t){0}), 0);
	assert_int_equal(tree_get_raw_name(out, ino, &s), 0);
	assert_int_equal(s.len, sizeof(name));
	assert_memory_equal(s.buf, name, s.len);
	str_clear(&s);
	assert_int_equal(tree_get_link(out, ino, &s), 0);
	assert_string_equal(s.buf, "t\xff");
	str_clear(&s);
	assert_int_equal(tree_get_xattrs(out, ino, &s), 0);
	assert_int_equal(xattrs_find(s.buf, s.len, x.name, &v), 0);
	assert_int_equal(v.len, 3);
	assert_memory_equal(v.buf, x.value, 3);
	str_done(&s);
	str_done(&v);
	tree_close(base);
	tree_close(top);
	tree_close(out);
}

/* Big directories, and deep ones: more than a page of names, of whiteouts. */
static void pages(void **state)
{
	char deep[4100];
	struct str s = {0};
	struct listing l;
	struct stack k;

	for (unsigned int n = 0; n < 1500; n++)
		assert_int_equal(str_addf(&s, "f d/%04u/x\nf d/%04u.f\n", n, n),
				 0);
	assert_int_equal(str_add(&s, "--\n"), 0);
	for (unsigned int n = 0; n < 1500; n++)
		if (n % 10 != 0)
			assert_int_equal(str_addf(&s,
						  "f d/.wh.%04u\n"
						  "f d/.wh.%04u.f\n"
						  "f d/%04u-\n",
						  n, n, n),
					 0);
	stack_build(&k, store, s.buf, s.len);
	listing_read(k.merged, &l);
	assert_int_equal(l.names.len, 1 + 1 + 150 * 3 + 1350);
	listing_done(&l);
	stack_done(&k);

	memset(deep, '/', sizeof(deep));
	for (size_t i = 0; i < sizeof(deep); i += 2)
		deep[i] = 'd';
	str_clear(&s);
	for (int layer = 0; layer < 2; layer++) {
		assert_int_equal(str_addf(&s, "%sf %.*s\n", layer ? "--\n" : "",
					  2 * 2001 - 1, deep),
				 0);
		for (int n = 0; n < 40; n++)
			assert_int_equal(str_addf(&s, "f %.*s/%d\n",
						  2 * 1900 - 1, deep,
						  100 * layer + n),
					 0);
	}
	stack_build(&k, store, s.buf, s.len);
	listing_read(k.merged, &l);
	assert_int_equal(l.names.len, 1 + 2001 + 80);
	listing_done(&l);
	stack_done(&k);
	str_done(&s);
}

static void many_links(void **state)
{
	struct tree_inode in;
	struct str s = {0};
	struct stack k;

	assert_int_equal(str_add(&s, "f a\n--\n"), 0);
	for (unsigned int n = 0; n < 600; n++)
		assert_int_equal(str_addf(&s, "h d/%u a\n", n), 0);
	stack_build(&k, store, s.buf, s.len);
	assert_int_equal(tree_find(k.merged, TREE_ROOT, "a", &in), 0);
	assert_int_equal(in.nlink, 601);
	assert_int_equal(in.uid, 1);
	stack_done(&k);
	str_done(&s);
}

/* It gives up in the middle of a layer, too. */
static void patience(void **state)
{
	struct scripted s;
	struct treebuild *b;
	struct tree *t, *out;
	struct wait w;
	char path[16];

	assert_true(scripted_init(&s, 'f', 1));
	assert_int_equal(tree_create(store, "layer", true, &t), 0);
	assert_int_equal(treebuild_new(t, 100000, &b), 0);
	s.e.path = path;
	for (unsigned int n = 0; n < 50000; n++) {
		s.e.path_len = (size_t)snprintf(path, sizeof(path), "%u", n);
		assert_int_equal(treebuild_add(b, &s.e), 0);
	}
	treebuild_free(b);
	assert_int_equal(tree_seal(t), 0);
	assert_int_equal(tree_create(store, "out", true, &out), 0);
	wait_init(&w, 5, 0);
	assert_int_equal(merge_trees(&t, 1, 100000, &w, out), -ETIMEDOUT);
	tree_close(t);
	tree_close(out);
}

static void limits(void **state)
{
	static const char script[] = "f a\nf b\n--\nf c\nf d/e";
	struct tree *out;
	struct stack k;
	struct wait w;

	stack_build(&k, store, script, strlen(script));
	wait_init(&w, 60000, 0);
	for (uint64_t max = 4; max <= 5; max++) {
		assert_int_equal(tree_create(store, "out", true, &out), 0);
		assert_int_equal(merge_trees(k.layers, k.len, max, &w, out),
				 max < 5 ? -EFBIG : 0);
		tree_close(out);
	}
	wait_init(&w, 0, 0);
	assert_int_equal(tree_create(store, "out", true, &out), 0);
	assert_int_equal(merge_trees(k.layers, k.len, 100, &w, out),
			 -ETIMEDOUT);
	tree_close(out);
	wait_init(&w, 60000, WAIT_CANCELLABLE);
	wait_interrupt(&w);
	assert_int_equal(tree_create(store, "out", true, &out), 0);
	assert_int_equal(merge_trees(k.layers, k.len, 100, &w, out), -EINTR);
	tree_close(out);
	stack_done(&k);
}

/* --- the model --- */

static uint64_t random_state;

static unsigned int pick(unsigned int n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned int)(random_state >> 32) % n;
}

static const char *pick_name(void)
{
	static const char *const often[] = {"a", "b", "c"};
	static const char *const seldom[] = {
		".wh.a", ".wh.b",	 ".wh.c",     ".wh..wh.opq", ".wh.",
		".wh..", ".wh..wh.aufs", ".wh..wh.a", ".wh-",	     ".a",
		".",
	};

	if (pick(12) == 0)
		return ".wh..wh..opq";
	if (pick(60) == 0)
		return "..";
	if (pick(8) == 0)
		return seldom[pick(3)];
	return pick(20) == 0 ? seldom[pick(COUNT(seldom))] : often[pick(3)];
}

static void add_path(struct str *s)
{
	static const char *const starts[] = {"", "", "", "", "./", "/", ".//"};
	static const char *const ends[] = {"", "", "", "", "", "/", "/."};
	unsigned int depth = pick(40) == 0 ? 0 : 1 + pick(3);

	assert_int_equal(str_add(s, starts[pick(COUNT(starts))]), 0);
	for (unsigned int i = 0; i < depth; i++) {
		if (i > 0)
			assert_int_equal(str_add(s, pick(20) ? "/" : "//"), 0);
		assert_int_equal(str_add(s, pick_name()), 0);
	}
	assert_int_equal(str_add(s, ends[pick(COUNT(ends))]), 0);
}

static void random_script(struct str *s)
{
	static const char letters[] = "ffffffffdddddllhhhhhhhcbps";
	unsigned int layers = 1 + pick(4);

	str_clear(s);
	for (unsigned int layer = 0; layer < layers; layer++) {
		if (layer > 0)
			assert_int_equal(str_add(s, "--\n"), 0);
		for (unsigned int n = pick(12); n > 0; n--) {
			char letter = letters[pick(sizeof(letters) - 1)];

			assert_int_equal(str_addf(s, "%c ", letter), 0);
			add_path(s);
			if (letter == 'l' || letter == 'h')
				assert_int_equal(str_addc(s, ' '), 0);
			if (letter == 'l' || letter == 'h')
				add_path(s);
			assert_int_equal(str_addc(s, '\n'), 0);
		}
	}
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);
	unsigned long long v;

	return s && str_to_u64(s, UINT64_MAX, &v) == 0 ? v : otherwise;
}

static void run_model(uint64_t seed, uint64_t stacks)
{
	struct str s = {0};

	random_state = seed * 2 + 1;
	for (uint64_t n = 0; n < stacks; n++) {
		struct stack k;

		random_script(&s);
		stack_build(&k, store, s.buf ? s.buf : "", s.len);
		stack_check(&k);
		model_check(&k, s.buf ? s.buf : "", s.len);
		stack_done(&k);
	}
	str_done(&s);
}

static void as_the_model(void **state)
{
	run_model(20261121, 400);
}

/* Others, and more, on request. */
static void as_the_model_more(void **state)
{
	uint64_t seed = from_environment("REGISTRYFS_TEST_SEED", 0);

	if (seed == 0)
		skip();
	run_model(seed, from_environment("REGISTRYFS_TEST_STACKS", 10000));
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
		cmocka_unit_test(long_names),
		cmocka_unit_test(long_whiteout_with_short_link),
		cmocka_unit_test(extras),
		cmocka_unit_test(pages),
		cmocka_unit_test(many_links),
		cmocka_unit_test(patience),
		cmocka_unit_test(limits),
		cmocka_unit_test(as_the_model),
		cmocka_unit_test(as_the_model_more),
	};

	return cmocka_run_group_tests(tests, open_store, close_store);
}
