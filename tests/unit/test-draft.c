/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an image directory, under the names that tools give them on
 * their way; what is published leaves, what is not stays. */
#include "draft-put.h"
#include "push/draft_private.h"

#define NEW(h, name, content, pid)                                             \
	{CREATE, h, name, NULL, pid, 0}, {WRITE, h, NULL, content, 0, 0},      \
		{FLUSH, h, NULL, NULL, pid, 0},                                \
	{                                                                      \
		CLOSE, h, NULL, NULL, 0, 0                                     \
	}
#define PUT(name, content) NEW(0, name, content, 10)
#define BLOBS PUT("@L", "L"), PUT("@C", "C"), PUT("@M", "M")
#define THEN(from, to)                                                         \
	{                                                                      \
		MOVE, 0, from, to, 10, 0                                       \
	}

static const struct row tools[] = {
	{"rsync: written beside, then renamed",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {{MKDIR, 0, "blobs", NULL, 10, 0},
	  {MKDIR, 0, "blobs/sha256", NULL, 10, 0},
	  PUT("#L", "L"),
	  {TAG, 0, NULL, "", 0, 0},
	  THEN("#L", "@L"),
	  PUT("#C", "C"),
	  THEN("#C", "@C"),
	  PUT("#M", "M"),
	  THEN("#M", "@M"),
	  PUT(".index.json.a1B2c3", "I"),
	  THEN(".index.json.a1B2c3", "index.json")}},
	{"skopeo: oci-put-blob in the image's directory",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {{MKDIR, 0, "blobs", NULL, 10, 0},
	  {MKDIR, 0, "blobs/sha256", NULL, 10, 0},
	  PUT("oci-put-blob1234", "L"),
	  THEN("oci-put-blob1234", "@L"),
	  PUT("oci-put-blob77", "C"),
	  THEN("oci-put-blob77", "@C"),
	  PUT("@M", "M"),
	  PUT("oci-layout", "X"),
	  PUT("index.json", "I")}},
	{"umoci: a directory of its own",
	 "M",
	 "LCM",
	 ".umoci-1",
	 0,
	 {{MKDIR, 0, ".umoci-1", NULL, 10, 0},
	  {CREATE, 0, ".umoci-1/x/y", NULL, 10, -ENOENT},
	  PUT("index.json", "0"),
	  {STAT, 0, "index.json", NULL, 0, 0},
	  {TAG, 0, NULL, "", 0, 0},
	  {MKDIR, 0, "blobs", NULL, 10, 0},
	  PUT(".umoci-1/a", "L"),
	  THEN(".umoci-1/a", "@L"),
	  PUT(".umoci-1/b", "C"),
	  THEN(".umoci-1/b", "@C"),
	  PUT(".umoci-1/c", "M"),
	  THEN(".umoci-1/c", "@M"),
	  PUT(".umoci-1/d", "I"),
	  THEN(".umoci-1/d", "index.json")}},
	{"umoci, and it cleans up",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {BLOBS,
	  {MKDIR, 0, ".umoci-1", NULL, 10, 0},
	  PUT(".umoci-1/d", "I"),
	  THEN(".umoci-1/d", "index.json"),
	  {RMDIR, 0, ".umoci-1", NULL, 10, 0}}},
	{"tar x: in any order, directories first",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {PUT("oci-layout", "X"),
	  PUT("index.json", "I"),
	  {MKDIR, 0, "blobs", NULL, 10, 0},
	  {MKDIR, 0, "blobs/sha256", NULL, 10, 0},
	  PUT("@C", "C"),
	  PUT("@L", "L"),
	  {BARRIER, 0, NULL, NULL, 0, -EIO},
	  PUT("@M", "M"),
	  {BARRIER, 0, NULL, NULL, 0, 0}}},
	{"cp -r with the views",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {BLOBS,
	  {SYMLINK, 0, "manifest.json", "blobs/sha256/x", 10, 0},
	  {SYMLINK, 0, "config.json", "blobs/sha256/x", 10, 0},
	  {MKDIR, 0, "layers", NULL, 10, 0},
	  {SYMLINK, 0, "layers/00", "../x", 10, 0},
	  {SYMLINK, 0, "layers/00", "../x", 10, -EEXIST},
	  {SYMLINK, 0, "platforms/linux-amd64", "../x", 10, 0},
	  PUT("history", "X"),
	  PUT("index.json", "I")}},
	{"sed -i index.json",
	 "N",
	 "LKCMN",
	 "-",
	 0,
	 {BLOBS,
	  PUT("@K", "K"),
	  PUT("index.json", "I"),
	  {TAG, 0, NULL, "M", 0, 0},
	  PUT("@N", "N"),
	  {CREATE, 0, "sedQ1w2E3", NULL, 10, 0},
	  {WRITE, 0, NULL, "J", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {MOVE, 0, "sedQ1w2E3", "index.json", 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"renamed while it is still written: its close commits",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, ".x", NULL, 10, 0},
	  {HALF, 0, NULL, "L", 0, 0},
	  {MOVE, 0, ".x", "@L", 10, 0},
	  {REST, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"ln -sfn",
	 "",
	 "",
	 "manifest.json",
	 0,
	 {{SYMLINK, 0, "manifest.json", "old", 10, 0},
	  {SYMLINK, 0, "CuzQOYw6", "new", 10, 0},
	  {MOVE, 0, "CuzQOYw6", "manifest.json", 10, 0}}},
	{"tar x of hard links",
	 "M",
	 "LCM",
	 "x y",
	 0,
	 {BLOBS,
	  PUT("x", "I"),
	  {LINK, 0, "x", "y", 10, 0},
	  {LINK, 0, "x", "y", 10, -EEXIST},
	  {LINK, 0, "@L", "z", 10, -EPERM},
	  {LINK, 0, "x", "index.json", 10, 0}}},
	{"a rename that cannot commit leaves what was there",
	 "",
	 "",
	 "blobs x",
	 1,
	 {PUT("x", "K"),
	  {MOVE, 0, "x", "@L", 10, -EBADMSG},
	  {STAT, 0, "x", NULL, 0, 0},
	  {STAT, 0, "@L", NULL, 0, -ENOENT},
	  {MKDIR, 0, "blobs", NULL, 10, 0}}},
	{"renames that mean nothing",
	 "",
	 "L",
	 ".d blobs x",
	 0,
	 {PUT("@L", "L"),
	  PUT("x", "X"),
	  {MKDIR, 0, ".d", NULL, 10, 0},
	  {MOVE, 0, "@L", "y", 10, -EPERM},
	  {MOVE, 0, "nothing", "y", 10, -ENOENT},
	  {MOVE, 0, "x", ".d", 10, -EISDIR},
	  {MOVE, 0, ".d", "x", 10, -ENOTDIR},
	  {MOVE, 0, "x", "", 10, -EBUSY},
	  {MOVE, 0, "x", "../y", 10, -EINVAL},
	  {MOVE, 0, "blobs", ".b", 10, -EPERM},
	  {MOVE, 0, ".d", ".d/e", 10, -EINVAL},
	  {MOVE_KEEP, 0, "x", "@L", 10, -EEXIST},
	  {MOVE_KEEP, 0, "x", "x", 10, -EEXIST},
	  {MOVE, 0, "", "y", 10, -ENOENT},
	  {LINK, 0, ".d", "y", 10, -EPERM},
	  {MOVE, 0, "x", "x", 10, 0}}},
	{"what may not take the place of what",
	 "",
	 "",
	 ".d .e s x",
	 0,
	 {PUT("x", "X"),
	  {SYMLINK, 0, "s", "x", 10, 0},
	  {MKDIR, 0, ".d", NULL, 10, 0},
	  {MKDIR, 0, ".e", NULL, 10, 0},
	  {SYMLINK, 0, ".e/x", "x", 10, 0},
	  {MOVE, 0, ".d", ".e", 10, -ENOTEMPTY},
	  {MOVE, 0, ".d", "plain", 10, -EPERM},
	  {MOVE, 0, ".d", "layers", 10, -EPERM},
	  {MOVE, 0, "x", "blobs", 10, -EISDIR},
	  {MOVE, 0, "s", "@L", 10, -EPERM},
	  {MOVE, 0, "s", "index.json", 10, -EPERM}}},
	{"a directory that begins like another",
	 "",
	 "",
	 ".a2 .b",
	 0,
	 {{MKDIR, 0, ".a", NULL, 10, 0},
	  {MKDIR, 0, ".a2", NULL, 10, 0},
	  {SYMLINK, 0, ".a/x", "1", 10, 0},
	  {SYMLINK, 0, ".a2/x", "2", 10, 0},
	  {MOVE, 0, ".a", ".b", 10, 0},
	  {STAT, 0, ".b/x", NULL, 0, 0},
	  {STAT, 0, ".a2/x", NULL, 0, 0},
	  {STAT, 0, ".a/x", NULL, 0, -ENOENT}}},
	{"a second name that is the blob's",
	 "",
	 "L",
	 "blobs x",
	 1,
	 {PUT("x", "L"),
	  {LINK, 0, "x", "@K", 10, -EBADMSG},
	  {STAT, 0, "@K", NULL, 0, -ENOENT},
	  {LINK, 0, "x", "@L", 10, 0},
	  {STAT, 0, "@L", NULL, 0, 0},
	  {STAT, 0, "x", NULL, 0, 0},
	  {LINK, 0, "x", "@L", 10, -EEXIST}}},
	{"directories of one's own move with what is in them",
	 "",
	 "L",
	 ".to blobs",
	 0,
	 {{MKDIR, 0, ".from", NULL, 10, 0},
	  {MKDIR, 0, ".from/a", NULL, 10, 0},
	  PUT(".from/a/x", "L"),
	  {MOVE, 0, ".from", ".to", 10, 0},
	  {STAT, 0, ".from/a/x", NULL, 0, -ENOENT},
	  {MOVE, 0, ".to/a/x", "@L", 10, 0},
	  {RMDIR, 0, ".to", NULL, 10, -ENOTEMPTY},
	  {RMDIR, 0, ".to/a", NULL, 10, 0}}},
	{"directories",
	 "",
	 "",
	 ".x blobs layers rootfs",
	 0,
	 {{MKDIR, 0, "", NULL, 10, -EEXIST},
	  {MKDIR, 0, "blobs", NULL, 10, 0},
	  {MKDIR, 0, "blobs", NULL, 10, -EEXIST},
	  {MKDIR, 0, "blobs/md5", NULL, 10, -EPERM},
	  {MKDIR, 0, "blobs/sha512", NULL, 10, 0},
	  {MKDIR, 0, "other", NULL, 10, -EPERM},
	  {MKDIR, 0, "index.json", NULL, 10, -EPERM},
	  {MKDIR, 0, "config.json", NULL, 10, -EPERM},
	  {MKDIR, 0, ".x", NULL, 10, 0},
	  {MKDIR, 0, ".x/y", NULL, 10, 0},
	  {MKDIR, 0, "layers", NULL, 10, 0},
	  {MKDIR, 0, "rootfs", NULL, 10, 0},
	  {MKDIR, 0, "rootfs/etc", NULL, 10, 0},
	  {CREATE, 0, "blobs", NULL, 10, -EISDIR},
	  {CREATE, 0, "other/x", NULL, 10, -ENOENT},
	  {SYMLINK, 0, "@L", "x", 10, -EPERM},
	  {SYMLINK, 0, "index.json", "x", 10, -EPERM},
	  {UNLINK, 0, "blobs", NULL, 10, -EISDIR},
	  {UNLINK, 0, "nothing", NULL, 10, -ENOENT},
	  {RMDIR, 0, "nothing", NULL, 10, -ENOENT}}},
	{"blobs and no index.json",
	 "",
	 "L",
	 "blobs",
	 1,
	 {{BARRIER, 0, NULL, NULL, 0, 0},
	  PUT("@L", "L"),
	  {BARRIER, 0, NULL, NULL, 0, -EIO}}},
	{"two images: what the other one needs stays",
	 "N",
	 "LKCMN",
	 "-",
	 0,
	 {BLOBS,
	  NEW(1, "@K", "K", 20),
	  NEW(1, "@N", "N", 20),
	  PUT("index.json", "I"),
	  {STAT, 0, "@N", NULL, 0, 0},
	  {STAT, 0, "@M", NULL, 0, -ENOENT},
	  NEW(1, "index.json", "J", 20)}},
	{"touch: its release comes when another has written it",
	 "",
	 "",
	 ".x",
	 0,
	 {{CREATE, 0, ".x", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {EDIT, 1, ".x", NULL, 10, 0},
	  {WRITE, 1, NULL, "C", 0, 0},
	  {FLUSH, 1, NULL, NULL, 10, 0},
	  {CLOSE, 1, NULL, NULL, 0, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {BYTES, 0, ".x", NULL, 0, 2}}},
	{"emptied: by the close, not by the release",
	 "",
	 "",
	 ".x",
	 0,
	 {PUT(".x", "C"),
	  {CREATE, 0, ".x", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {BYTES, 0, ".x", NULL, 0, 0},
	  {EDIT, 1, ".x", NULL, 10, 0},
	  {WRITE, 1, NULL, "M", 0, 0},
	  {CLOSE, 1, NULL, NULL, 0, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
};

static void test_tools(void **state)
{
	(void)state;
	run_rows(tools, COUNT(tools));
}

static void check_bytes(struct draft *d, const char *path, char content)
{
	size_t i = content_at(content), len;
	struct draft_stat st;
	struct feed *f;
	char real[256], *bytes = NULL;

	assert_int_equal(draft_stat(d, script_path(path, real), &st), 0);
	assert_int_equal(st.type, S_IFREG);
	assert_int_equal(st.size_bytes, contents[i].len);
	assert_int_equal(draft_read(d, real, &f), 0);
	assert_int_equal(feed_read_whole(f, 4096, &bytes, &len), 0);
	assert_int_equal(len, contents[i].len);
	assert_memory_equal(bytes, contents[i].text, len);
	free(bytes);
	feed_unref(f);
}

static void test_looks(void **state)
{
	struct draft *d = begin();
	struct draft_stat a, b;
	struct feed *f;
	struct writer *w;
	autostr text = {0};
	char path[256];

	(void)state;
	put(d, "@L", 'L');
	put(d, "@M", 'M');
	put(d, "x", 'X');
	check_bytes(d, "@M", 'M');
	check_bytes(d, "x", 'X');
	/* Of a blob only its size is left. */
	assert_int_equal(draft_read(d, script_path("@L", path), &f), -ENODATA);
	assert_int_equal(draft_stat(d, path, &a), 0);
	assert_int_equal(a.size_bytes, contents[content_at('L')].len);
	assert_int_equal(draft_stat(d, "x", &b), 0);
	assert_true(a.number != b.number);
	assert_int_equal(draft_stat(d, "", &a), 0);
	assert_int_equal(a.type, S_IFDIR);
	assert_int_equal(draft_read(d, "blobs", &f), -EISDIR);
	/* While it is written it shows how far it is, and nothing to read. */
	assert_int_equal(draft_write(d, "y", true, 10, &w), 0);
	assert_int_equal(writer_write(w, "abc", 3, 0, &patience), 0);
	assert_int_equal(draft_stat(d, "y", &a), 0);
	assert_int_equal(a.size_bytes, 3);
	assert_int_equal(draft_read(d, "y", &f), 0);
	assert_int_equal(feed_size(f), 0);
	feed_unref(f);
	writer_close(w);
	assert_int_equal(draft_symlink(d, "z", "over/there"), 0);
	assert_int_equal(draft_readlink(d, "z", &text), 0);
	assert_string_equal(text.buf, "over/there");
	assert_int_equal(draft_readlink(d, "x", &text), -EINVAL);
	draft_unref(d);
}

/* A file of the writer's own is changed where it is; a document that was
 * committed is not. */
static void test_edits(void **state)
{
	struct draft *d = begin();
	struct writer *w;
	struct wait wait;
	char path[256];

	(void)state;
	wait_init(&wait, 5000, 0);
	put(d, "x", 'X');
	assert_int_equal(draft_write(d, "x", false, 20, &w), 0);
	assert_int_equal(writer_size(w), contents[content_at('X')].len);
	assert_int_equal(writer_write(w, "N", 1, 0, &patience), 0);
	assert_int_equal(writer_flush(w, 20, &wait), 0);
	writer_close(w);
	contents[content_at('X')].text[0] = 'N';
	check_bytes(d, "x", 'X');
	contents[content_at('X')].text[0] = 'n';

	put(d, "@M", 'M');
	assert_int_equal(draft_write(d, script_path("@M", path), false, 20, &w),
			 0);
	assert_int_equal(writer_write(w, "X", 1, 0, &patience), 0);
	check_bytes(d, "@M", 'M');
	assert_int_equal(writer_flush(w, 20, &wait), -EBADMSG);
	writer_close(w);
	check_bytes(d, "@M", 'M');
	draft_unref(d);
}

static int count(void *arg, const char *name, mode_t type)
{
	assert_string_equal(name, "1.5");
	assert_int_equal(type, S_IFDIR);
	++*(unsigned *)arg;
	return 0;
}

static void test_table(void **state)
{
	struct draft *d, *e;
	unsigned n = 0;

	(void)state;
	fake.writable = -EROFS;
	assert_int_equal(draft_open(&box, &here, "1.5", &d), -EROFS);
	fake.writable = 0;
	assert_int_equal(draft_find(&box, &here, "1.5", &d), -ENOENT);
	d = begin();
	assert_int_equal(draft_open(&box, &here, "1.5", &e), 0);
	assert_ptr_equal(d, e);
	draft_unref(e);
	assert_int_equal(draft_find(&box, &there, "1.5", &e), -ENOENT);
	assert_int_equal(draft_names(&box, &here, count, &n), 0);
	assert_int_equal(draft_names(&box, &there, count, &n), 0);
	assert_int_equal(n, 1);
	/* mkdir, and nothing yet: it is there. */
	draft_unref(d);
	assert_int_equal(draft_find(&box, &here, "1.5", &d), 0);
	put(d, "@L", 'L');
	draft_discard(d);
	assert_int_equal(draft_find(&box, &here, "1.5", &e), -ENOENT);
	/* Whoever still holds it begins it again. */
	put(d, "@L", 'L');
	assert_int_equal(draft_find(&box, &here, "1.5", &e), 0);
	assert_ptr_equal(d, e);
	draft_discard(d);
	draft_unref(e);
	assert_int_equal(draft_open(&box, &here, "1.5", &e), 0);
	assert_ptr_not_equal(d, e);
	assert_int_equal(draft_mkdir(d, "blobs", 10), -ESTALE);
	draft_unref(e);
	draft_unref(d);
	/* Over an image that is there nothing stays but what is written. */
	draft_discard(e = begin());
	draft_unref(e);
	digest_format(&contents[0].digest, fake.published);
	draft_unref(begin());
	assert_int_equal(draft_find(&box, &here, "1.5", &d), -ENOENT);
}

static void test_limits(void **state)
{
	struct draft *d = begin();
	char path[5000];

	(void)state;
	for (unsigned i = 0; i < DRAFT_ENTRIES_MAX; i++) {
		snprintf(path, sizeof(path), "t%u", i);
		assert_int_equal(draft_symlink(d, path, "x"), 0);
	}
	assert_int_equal(draft_symlink(d, "more", "x"), -ENOSPC);
	memset(path, 'a', sizeof(path));
	path[4999] = '\0';
	assert_int_equal(draft_symlink(d, path, "x"), -ENAMETOOLONG);
	path[256] = '\0';
	assert_int_equal(draft_symlink(d, path, "x"), -ENAMETOOLONG);
	draft_unref(d);
}

static void test_names(void **state)
{
	static const struct {
		const char *path;
		int r;
		enum draft_name name;
		bool directory;
	} rows[] = {
		{"", 0, DRAFT_NAME_TOP, false},
		{"blobs", 0, DRAFT_NAME_BLOBS, true},
		{"blobs/sha256", 0, DRAFT_NAME_BLOBS, true},
		{"blobs/md5", 0, DRAFT_NAME_OWN, false},
		{"@L", 0, DRAFT_NAME_BLOB, false},
		{"#L", 0, DRAFT_NAME_OWN, true},
		{"blobs/sha256/ABC", 0, DRAFT_NAME_OWN, false},
		{"blobs/sha256/.d", 0, DRAFT_NAME_OWN, true},
		{"index.json", 0, DRAFT_NAME_INDEX, false},
		{"x/index.json", 0, DRAFT_NAME_OWN, false},
		{"manifest.json", 0, DRAFT_NAME_MANIFEST, false},
		{"oci-layout", 0, DRAFT_NAME_MARKER, false},
		{"layers", 0, DRAFT_NAME_VIEW, true},
		{"layers/00", 0, DRAFT_NAME_VIEW, true},
		{"layersx", 0, DRAFT_NAME_OWN, false},
		{"history", 0, DRAFT_NAME_VIEW, false},
		{".umoci", 0, DRAFT_NAME_OWN, true},
		{".umoci/x/y", 0, DRAFT_NAME_OWN, true},
		{"/x", -EINVAL, DRAFT_NAME_TOP, false},
		{"x//y", -EINVAL, DRAFT_NAME_TOP, false},
		{"x/", -EINVAL, DRAFT_NAME_TOP, false},
		{"x/..", -EINVAL, DRAFT_NAME_TOP, false},
		{".", -EINVAL, DRAFT_NAME_TOP, false},
	};

	(void)state;
	contents_setup();
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum draft_name name = DRAFT_NAME_TOP;
		struct digest digest;
		char path[256];

		script_path(rows[i].path, path);
		assert_int_equal(draft_name_parse(path, &name, &digest),
				 rows[i].r);
		assert_int_equal(name, rows[i].name);
		assert_int_equal(draft_name_is_directory(path),
				 rows[i].directory);
	}
}

/* --- many at once --- */

struct part {
	pthread_t thread;
	struct draft *d;
	const char *path;
	char content;
};

static void *put_part(void *arg)
{
	const struct part *p = arg;
	struct draft_stat st;
	struct writer *w;
	struct wait wait;
	char real[256];
	size_t i = content_at(p->content);

	wait_init(&wait, 5000, 0);
	script_path(p->path, real);
	for (unsigned n = 0; n < 200; n++) {
		assert_int_equal(draft_write(p->d, real, true, 10, &w), 0);
		for (size_t at = 0; at < contents[i].len; at += 100) {
			size_t len = contents[i].len - at;

			assert_int_equal(writer_write(w, contents[i].text + at,
						      len < 100 ? len : 100, at,
						      &patience),
					 0);
			(void)draft_stat(p->d, real, &st);
		}
		assert_int_equal(writer_flush(w, 10, &wait), 0);
		writer_close(w);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct part parts[] = {
		{.path = "@L", .content = 'L'},
		{.path = "@C", .content = 'C'},
		{.path = "@M", .content = 'M'},
		{.path = "@M", .content = 'M'},
		{.path = "x", .content = 'X'},
		{.path = "index.json", .content = 'I'},
		{.path = "index.json", .content = 'I'},
	};
	struct draft *d = begin();
	char tag[DIGEST_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(parts); i++) {
		parts[i].d = d;
		pthread_create(&parts[i].thread, NULL, put_part, &parts[i]);
	}
	for (size_t i = 0; i < COUNT(parts); i++)
		pthread_join(parts[i].thread, NULL);
	digest_format(&contents[content_at('M')].digest, tag);
	assert_string_equal(fake.tag, tag);
	check_bytes(d, "x", 'X');
	draft_unref(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		TEST(test_tools),   TEST(test_looks),  TEST(test_edits),
		TEST(test_table),   TEST(test_limits), TEST(test_names),
		TEST(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
