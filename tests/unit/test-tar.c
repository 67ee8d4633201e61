/* SPDX-License-Identifier: Apache-2.0 */
#include "tar-fixture.h"

#define TEN "0123456789"
#define LONG                                                                   \
	TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct head plain_a = {.type = '0', .name = "a"};
static const struct head gnu_a = {.magic = GNU, .type = '0', .name = "a"};

static void put_long(struct str *tar, char type, const char *name)
{
	put_entry(tar,
		  &(struct head){
			  .magic = GNU, .type = type, .name = "././@LongLink"},
		  name, strlen(name) + 1);
}

/* --- types --- */

static void types(void **state)
{
	static const struct {
		struct head head;
		const char *data, *line;
	} t[] = {
		{{.type = '0', .name = "a"},
		 "hello",
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = 0, .name = "a"},
		 "hello",
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = '7', .name = "a"},
		 "hello", /* contiguous */
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = 'M', .name = "a"},
		 "hello", /* continued */
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = 'N', .name = "a"},
		 "hello", /* old long names */
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = 'Q', .name = "a"},
		 "hello", /* unknown */
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = '\xe4', .name = "a"},
		 "hello",
		 "file \"a\" 644 1:2 5@512 0\n"},
		{{.type = '1', .name = "a", .link = "b/c"},
		 "",
		 "hard \"a\" 644 1:2 0 0 \"b/c\"\n"},
		{{.type = '2', .name = "a", .link = "../c"},
		 "",
		 "symlink \"a\" 644 1:2 0 0 \"../c\"\n"},
		{{.type = '2', .name = "a"},
		 "",
		 "symlink \"a\" 644 1:2 0 0 \"\"\n"},
		{{.type = '3', .name = "a", .major = "1", .minor = "7"},
		 "",
		 "char \"a\" 644 1:2 0 0 dev=1,7\n"},
		{{.type = '4', .name = "a", .major = "10", .minor = "377"},
		 "",
		 "block \"a\" 644 1:2 0 0 dev=8,255\n"},
		{{.type = '5', .name = "a/", .mode = "0001777"},
		 "",
		 "dir \"a/\" 1777 1:2 0 0\n"},
		{{.type = '6', .name = "a"}, "", "fifo \"a\" 644 1:2 0 0\n"},
		{{.type = 'D', .name = "a/"},
		 "Yb\0", /* dump of a directory */
		 "dir \"a/\" 644 1:2 0 0\n"},
		{{.type = 'V', .name = "label"}, "", ""},
		{{.type = 'V', .name = "label"}, "data", ""},
		/* v7 has no type for directories. */
		{{.magic = V7, .type = 0, .name = "a/"},
		 "",
		 "dir \"a/\" 644 1:2 0 0\n"},
		{{.magic = V7, .type = 0, .name = "a"},
		 "x",
		 "file \"a\" 644 1:2 1@512 0\n"},
		{{.type = '0', .name = "a/"},
		 "x",
		 "file \"a/\" 644 1:2 1@512 0\n"},
		/* A device that is none has no numbers. */
		{{.type = '0', .name = "a", .major = "1"},
		 "",
		 "file \"a\" 644 1:2 0@512 0\n"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr tar = {0}, lines = {0};

		put_entry(&tar, &t[i].head, t[i].data, strlen(t[i].data));
		str_add(&lines, t[i].line);
		str_addf(&lines, "file \"next\" 644 1:2 1@%zu 0\n",
			 tar.len + TAR_BLOCK);
		put_file(&tar, "next", "n");
		put_end(&tar);
		assert_reads(&tar, 0, lines.buf);
	}
}

/* No data follow these, whatever the size says (in Go's reader, so in every
 * container tool). */
static void sizes_without_data(void **state)
{
	static const struct head t[] = {
		{.type = '1', .name = "a", .bytes = 1000},
		{.type = '2', .name = "a", .bytes = 1000},
		{.type = '3', .name = "a", .bytes = 1000},
		{.type = '4', .name = "a", .bytes = 1000},
		{.type = '5', .name = "a", .bytes = 1000},
		{.type = '6', .name = "a", .bytes = 1000},
		{.type = 0, .name = "a/", .bytes = 1000},
		{.type = '5', .name = "a", .bytes = 0777777777777},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		for (int pax = 0; pax < 2; pax++) {
			autostr tar = {0}, out = {0};
			uint64_t off;

			if (pax)
				put_pax(&tar, 'x', "size=70000", NULL);
			put_head(&tar, &t[i]);
			put_file(&tar, "next", "n");
			assert_int_equal(read_sliced(&tar, 0, &out, &off), 0);
			assert_non_null(strstr(out.buf, "\" 644 1:2 0 0"));
			assert_non_null(strstr(out.buf, "file \"next\""));
		}
	}
}

/* --- names --- */

static void gnu_long_names(void **state)
{
	autostr tar = {0};

	put_long(&tar, 'L', LONG "/name");
	put_file(&tar, "short", "x");
	put_long(&tar, 'K', LONG "/target");
	put_long(&tar, 'L', LONG);
	put_head(&tar,
		 &(struct head){
			 .magic = GNU, .type = '2', .name = "s", .link = "t"});
	/* They are about one entry. */
	put_head(&tar,
		 &(struct head){
			 .magic = GNU, .type = '2', .name = "s", .link = "t"});
	/* The last one rules; a target is no name. */
	put_long(&tar, 'L', "first");
	put_long(&tar, 'L', "second");
	put_long(&tar, 'K', "target");
	put_file(&tar, "short", "x");
	/* Without its NUL; of no bytes at all. */
	put_entry(&tar, &(struct head){.type = 'L'}, "bare", 4);
	put_file(&tar, "short", "");
	put_entry(&tar, &(struct head){.type = 'L'}, "", 0);
	put_file(&tar, "short", "");
	put_end(&tar);
	assert_reads(&tar, 0,
		     "file \"" LONG "/name\" 644 1:2 1@1536 0\n"
		     "symlink \"" LONG "\" 644 1:2 0 0 \"" LONG "/target\"\n"
		     "symlink \"s\" 644 1:2 0 0 \"t\"\n"
		     "file \"second\" 644 1:2 1@8704 0\n"
		     "file \"bare\" 644 1:2 0@10752 0\n"
		     "file \"\" 644 1:2 0@11776 0\n");
}

static void raw_names(void **state)
{
	autostr tar = {0}, pax = {0};

	/* Nothing is normalised, converted or refused here. */
	put_file(&tar, "../../etc/passwd", "");
	put_file(&tar, "/abs//./x/", "");
	put_file(&tar, "\xff\xfe\n\x1b[31m", "");
	put_file(&tar, "", "");
	put_pax(&tar, 'x', "path=\xff/latin", "hdrcharset=BINARY", NULL);
	put_file(&tar, "a", "");
	/* A NUL in a path: all of it (CVE-2026-59875). */
	add_record_n(&pax, "path", "a\0/../b", 7);
	add_record_n(&pax, "linkpath", "t\0u", 3);
	put_entry(&tar, &(struct head){.type = 'x'}, pax.buf, pax.len);
	put_head(&tar, &(struct head){.type = '2', .name = "x"});
	put_end(&tar);
	assert_reads(&tar, 0,
		     "file \"../../etc/passwd\" 644 1:2 0@512 0\n"
		     "file \"/abs//./x/\" 644 1:2 0@1024 0\n"
		     "file \"\\ff\\fe\\0a\\1b[31m\" 644 1:2 0@1536 0\n"
		     "file \"\" 644 1:2 0@2048 0\n"
		     "file \"\\ff/latin\" 644 1:2 0@3584 0\n"
		     "symlink \"a\\00/../b\" 644 1:2 0 0 \"t\\00u\"\n");
}

/* Longer than any path: given out with its length. */
static void path_over_limit(void **state)
{
	const size_t len = 100000;
	autostr tar = {0}, lines = {0}, name = {0};

	for (size_t i = 0; i < len; i++)
		str_addc(&name, 'n');
	put_long(&tar, 'L', name.buf);
	put_file(&tar, "a", "");
	put_file(&tar, "b", "");
	put_end(&tar);
	str_addf(&lines, "file \"%s\" 644 1:2 0@%d 0\n", name.buf,
		 512 + 100352 + 512);
	str_addf(&lines, "file \"b\" 644 1:2 0@%d 0\n", 512 + 100352 + 1024);
	assert_reads(&tar, 0, lines.buf);
}

/* --- pax --- */

static void pax_fields(void **state)
{
	autostr tar = {0};

	put_pax(&tar, 'x', "path=pax/path", "size=3", "uid=70000",
		"gid=4294967294", "mtime=-1.25", "uname=u", "gname=g",
		"atime=1.5", "ctime=2.5", "comment=c", "SCHILY.xattr.user.a=A",
		"LIBARCHIVE.xattr.user.%62=Qg",
		"SCHILY.xattr.security.capability=\1\2", NULL);
	put_entry(&tar, &(struct head){.type = '0', .name = "a", .bytes = 1},
		  "xyz", 3);
	put_pax(&tar, 'x', "linkpath=pax/target", NULL);
	put_head(&tar, &(struct head){.type = '2', .name = "s", .link = "t"});
	put_pax(&tar, 'X', "path=solaris", NULL);
	put_file(&tar, "a", "");
	put_pax(&tar, 'x', "SCHILY.devmajor=4095", "SCHILY.devminor=1048575",
		NULL);
	put_head(&tar,
		 &(struct head){
			 .type = '3', .name = "c", .major = "1", .minor = "1"});
	/* It was about one entry. */
	put_file(&tar, "last", "");
	put_end(&tar);
	assert_reads(
		&tar, 0,
		"file \"pax/path\" 644 70000:4294967294 3@1536 -2.750000000"
		" [user.a=A] [user.b=B] [security.capability=\\01\\02]\n"
		"symlink \"s\" 644 1:2 0 0 \"pax/target\"\n"
		"file \"solaris\" 644 1:2 0@5120 0\n"
		"char \"c\" 644 1:2 0 0 dev=4095,1048575\n"
		"file \"last\" 644 1:2 0@7168 0\n");
}

static void pax_precedence(void **state)
{
	autostr tar = {0};

	/* g, then x over it; an empty value falls back to the header. */
	put_pax(&tar, 'g', "path=global", "uid=7", "mtime=9.5",
		"SCHILY.xattr.user.a=g", "SCHILY.xattr.user.b=g", NULL);
	put_file(&tar, "a", "");
	put_pax(&tar, 'x', "path=x", "uid=", "SCHILY.xattr.user.a=x", NULL);
	put_file(&tar, "a", "");
	/* What one g says stays, until another one says else. */
	put_pax(&tar, 'g', "path=", "gid=8", "SCHILY.xattr.user.b=h", NULL);
	put_file(&tar, "a", "");
	/* L over g, x over L wherever it stands. */
	put_pax(&tar, 'g', "path=global", "linkpath=global",
		"uid=", "mtime=", NULL);
	put_long(&tar, 'L', "long");
	put_file(&tar, "a", "");
	put_pax(&tar, 'x', "path=x", NULL);
	put_long(&tar, 'L', "long");
	put_file(&tar, "a", "");
	put_long(&tar, 'K', "long");
	put_pax(&tar, 'x', "linkpath=x", NULL);
	put_head(&tar, &(struct head){.type = '1', .name = "a", .link = "h"});
	put_long(&tar, 'L', "long");
	put_pax(&tar, 'x', "path=", NULL);
	put_file(&tar, "a", "");
	/* A second x takes the place of the first. */
	put_pax(&tar, 'x', "path=one", "uid=5", NULL);
	put_pax(&tar, 'x', "path=two", NULL);
	put_file(&tar, "a", "");
	put_end(&tar);
#define G " [user.a=g] [user.b=h]\n"
	assert_reads(&tar, 0,
		     "file \"global\" 644 7:2 0@1536 9.500000000"
		     " [user.a=g] [user.b=g]\n"
		     "file \"x\" 644 1:2 0@3072 9.500000000"
		     " [user.a=x] [user.b=g]\n"
		     "file \"a\" 644 7:8 0@4608 9.500000000" G
		     "file \"long\" 644 1:8 0@7168 0" G
		     "file \"x\" 644 1:8 0@9728 0" G
		     "hard \"global\" 644 1:8 0 0 \"x\"" G
		     "file \"long\" 644 1:8 0@14848 0" G
		     "file \"two\" 644 1:8 0@17408 0" G);
}

/* The size of x is the file's, never that of a header between (B10). */
static void pax_size_of_the_file_only(void **state)
{
	autostr tar = {0};

	put_pax(&tar, 'x', "size=1024", NULL);
	put_long(&tar, 'L', "long");
	put_long(&tar, 'K', "link");
	put_pax(&tar, 'g', "comment=x", NULL);
	put_entry(&tar, &(struct head){.type = '0', .name = "a", .bytes = 1},
		  LONG LONG LONG LONG LONG LONG, 1024);
	put_file(&tar, "next", "");
	put_pax(&tar, 'g', "size=600", NULL);
	put_pax(&tar, 'x', "uid=3", NULL);
	put_entry(&tar, &(struct head){.type = '0', .name = "b", .bytes = 1},
		  LONG LONG LONG LONG, 600);
	put_end(&tar);
	assert_reads(&tar, 0,
		     "file \"long\" 644 1:2 1024@4608 0\n"
		     "file \"next\" 644 1:2 0@6144 0\n"
		     "file \"b\" 644 3:2 600@8704 0\n");
}

static void xattr_limits(void **state)
{
	autostr tar = {0}, pax = {0}, big = {0}, out = {0};
	uint64_t off;

	for (size_t i = 0; i < LAYER_XATTR_MAX - 2; i++)
		str_addc(&big, 'x');
	put_pax(&tar, 'g', "SCHILY.xattr.user.g=g", "SCHILY.xattr.user.h=hh",
		"SCHILY.xattr.user.i=i", NULL);
	add_record(&pax, "SCHILY.xattr.user.big", big.buf);
	str_addc(&big, 'x');
	str_addc(&big, 'x');
	str_addc(&big, 'x');
	add_record(&pax, "SCHILY.xattr.user.bigger", big.buf);
	put_entry(&tar, &(struct head){.type = 'x'}, pax.buf, pax.len);
	put_file(&tar, "a", "");
	assert_int_equal(read_sliced(&tar, 0, &out, &off), 0);
	assert_non_null(strstr(out.buf, "x] [user.g=g] [user.i=i]\n"));
	assert_null(strstr(out.buf, "bigger"));
	assert_null(strstr(out.buf, "user.h"));
}

/* --- numbers --- */

static void large_numbers(void **state)
{
	static const char size[12] = "\x80\0\0\0\0\0\0\3\0\0\0\1";
	static const char time[12] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
				     "\xff\xff";
	struct head h = gnu_a;
	autostr tar = {0}, out = {0};
	uint64_t off;

	h.at = size;
	h.at_off = 124;
	h.at_len = 12;
	put_head(&tar, &h);
	assert_int_equal(read_sliced(&tar, 0, &out, &off), -EBADMSG);
	assert_string_equal(out.buf, "file \"a\" 644 1:2 12884901889@512 0\n"
				     "archive ends inside an entry");
	str_clear(&tar);
	h.at = time;
	h.at_off = 136;
	put_head(&tar, &h);
	h.at_off = 108; /* uid and half of gid */
	put_head(&tar, &h);
	put_end(&tar);
	assert_reads(&tar, 0,
		     "file \"a\" 644 1:2 0@512 -1\n"
		     "file \"a\" 644 65534:65534 0@1024 0\n");
}

/* Negative, and as large as numbers get: no loop, no wrap (CVE-2026-59874). */
static void sizes_that_cannot_be(void **state)
{
	static const struct {
		char size[12];
		const char *why;
	} t[] = {
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
		 "size is no number"},
		{"\xff\xff\xff\xff\x80", "size is no number"},
		{"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
		 "entry ends beyond what can be counted"},
		{"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xfc\x01",
		 "entry ends beyond what can be counted"},
		{"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
		 "entry ends beyond what can be counted"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct head h = gnu_a;
		autostr tar = {0};

		h.at = t[i].size;
		h.at_off = 124;
		h.at_len = 12;
		put_head(&tar, &h);
		put_file(&tar, "b", "");
		assert_damaged(&tar, t[i].why);
		/* Of headers, too. */
		str_clear(&tar);
		h.type = "xgLK"[i % 4];
		put_head(&tar, &h);
		put_file(&tar, "b", "");
		assert_damaged(&tar, i < 2 ? t[i].why
					   : "extended header is too large");
		str_clear(&tar);
		h.type = 'V';
		put_head(&tar, &h);
		put_file(&tar, "b", "");
		assert_damaged(&tar, t[i].why);
	}
}

static void pax_sizes_that_cannot_be(void **state)
{
	static const char *const t[] = {"size=-1", "size=9223372036854775807",
					"size=18446744073709551616", "size=1x"};
	autostr tar = {0};

	for (size_t i = 0; i < COUNT(t); i++) {
		str_clear(&tar);
		put_pax(&tar, 'x', t[i], NULL);
		put_entry(&tar, &plain_a, "x", 1);
		assert_damaged(&tar,
			       "pax header has a value that means nothing");
	}
	str_clear(&tar);
	put_pax(&tar, 'x', "size=9223372036854775806", NULL);
	put_entry(&tar, &plain_a, "x", 1);
	assert_damaged(&tar, "entry ends beyond what can be counted");
}

static void header_limits(void **state)
{
	autostr tar = {0}, body = {0}, out = {0};
	uint64_t off;

	/* Exactly as large as may be. */
	body.max = TARBALL_MAX;
	for (size_t i = 0; i < TAR_HEADER_MAX - 30; i++)
		str_addc(&body, 'x');
	{
		autostr pax = {0};

		add_record(&pax, "comment", body.buf);
		while (pax.len < TAR_HEADER_MAX) {
			str_clear(&pax);
			str_addc(&body, 'x');
			add_record(&pax, "comment", body.buf);
		}
		assert_int_equal(pax.len, TAR_HEADER_MAX);
		put_entry(&tar, &(struct head){.type = 'x'}, pax.buf, pax.len);
	}
	put_file(&tar, "a", "");
	assert_int_equal(read_sliced(&tar, 0, &out, &off), 0);
	/* Larger: at once, not after its bytes. */
	str_clear(&tar);
	put_head(&tar,
		 &(struct head){.type = 'x', .bytes = TAR_HEADER_MAX + 1});
	assert_damaged(&tar, "extended header is too large");
}

/* --- ends --- */

static void ends(void **state)
{
	static const struct {
		size_t zeros; /* bytes after a file of one byte */
		const char *then;
		int r;
		const char *why;
	} t[] = {
		{1024, "", 0, ""},
		{10240, "", 0, ""},
		{512, "", 0, ""},	   /* a lone block */
		{0, "", 0, ""},		   /* none */
		{512 + 100, "", 0, ""},	   /* cut */
		{1024, "trailing", 0, ""}, /* not ours */
		{100, "", -EBADMSG, "archive ends inside an entry"},
		{0, "x", -EBADMSG, "archive ends inside an entry"},
		{512, LONG LONG LONG, -EBADMSG,
		 "something follows a block of zeros"},
	};
	static const char zeros[10240];

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr tar = {0}, lines = {0};

		put_file(&tar, "a", "1");
		str_addn(&tar, zeros, t[i].zeros);
		str_add(&tar, t[i].then);
		str_addf(&lines, "file \"a\" 644 1:2 1@512 0\n%s", t[i].why);
		assert_reads(&tar, t[i].r, lines.buf);
	}
}

/* Cut at every byte: what came before stays; never more than there was. */
static void cut(void **state)
{
	autostr tar = {0}, whole = {0};
	size_t first, second;
	uint64_t off;

	put_pax(&tar, 'x', "path=x", "SCHILY.xattr.user.a=b", NULL);
	put_file(&tar, "a", "data");
	put_long(&tar, 'L', LONG);
	put_file(&tar, "b", "");
	put_old_sparse(&tar, 6, 100000);
	assert_int_equal(read_sliced(&tar, 0, &whole, &off), 0);
	first = strcspn(whole.buf, "\n") + 1;
	second = first + strcspn(whole.buf + first, "\n") + 1;
	for (size_t n = 0; n < tar.len; n++) {
		struct str part = {.buf = tar.buf, .len = n};
		autostr out = {0};
		/* Nothing is missing but padding, or an end. */
		bool good = n == 0 || (n >= 1540 && n <= 2048) || n == 3584 ||
			    n >= 3584 + 1024 + 12;
		int r = read_sliced(&part, 0, &out, &off);
		char *why = out.buf ? strrchr(out.buf, '\n') : NULL;

		if ((r == 0) != good || (r && r != -EBADMSG))
			fail_msg("cut at %zu: %d", n, r);
		/* All lines are there that can be. */
		str_truncate(&out, why ? (size_t)(why - out.buf) + 1 : 0);
		assert_int_equal(out.len, n < 1536   ? 0
					  : n < 3584 ? first
					  : n < 4608 ? second
						     : whole.len);
		assert_memory_equal(out.buf ? out.buf : "", whole.buf, out.len);
	}
}

static void without_their_entry(void **state)
{
	autostr x = {0}, l = {0}, k = {0}, g = {0}, v = {0};

	put_pax(&x, 'x', "path=x", NULL);
	assert_damaged(&x, "extended header without its entry");
	put_end(&x);
	assert_damaged(&x, "extended header without its entry");
	put_long(&l, 'L', "long");
	put_end(&l);
	assert_damaged(&l, "extended header without its entry");
	put_long(&k, 'K', "long");
	assert_damaged(&k, "extended header without its entry");
	str_clear(&k);
	put_entry(&k, &(struct head){.type = 'K'}, "", 0);
	assert_damaged(&k, "extended header without its entry");
	put_pax(&g, 'g', "path=x", NULL);
	put_end(&g);
	assert_reads(&g, 0, "");
	/* A volume's name is what it was about. */
	put_pax(&v, 'x', "path=x", NULL);
	put_head(&v, &(struct head){.type = 'V', .name = "label"});
	put_file(&v, "a", "");
	put_end(&v);
	assert_reads(&v, 0, "file \"a\" 644 1:2 0@2048 0\n");
}

static void damage(void **state)
{
	autostr tar = {0}, out = {0};
	uint64_t off;

	put_file(&tar, "a", "1");
	put_file(&tar, "b", "2");
	put_file(&tar, "c", "3");
	tar.buf[1024 + 5] ^= 1;
	assert_reads(&tar, -EBADMSG,
		     "file \"a\" 644 1:2 1@512 0\nheader with a wrong sum");
	/* It is told where. */
	read_sliced(&tar, 0, &out, &off);
	assert_int_equal(off, 1024);
	str_clear(&tar);
	put_entry(&tar, &(struct head){.type = 'x'}, "9 path=a!", 9);
	put_file(&tar, "a", "1");
	assert_damaged(&tar, "pax header is no sequence of records");
	str_clear(&tar);
	put_head(&tar, &(struct head){.type = '0', .mode = "what"});
	assert_damaged(&tar, "mode is no number");
}

static int stop_at_second(void *arg, const struct layer_entry *e)
{
	int *n = arg;

	(void)e;
	return ++*n == 2 ? -EFBIG : 0;
}

/* It stays stopped. */
static void stopped(void **state)
{
	autostr tar = {0};
	struct tar *t;
	int n = 0;

	put_file(&tar, "a", "1");
	put_file(&tar, "b", "2");
	put_file(&tar, "c", "3");
	assert_int_equal(tar_new(stop_at_second, &n, &t), 0);
	assert_int_equal(tar_feed(t, tar.buf, tar.len), -EFBIG);
	assert_int_equal(tar_feed(t, tar.buf, tar.len), -EFBIG);
	assert_int_equal(tar_end(t), -EFBIG);
	assert_int_equal(n, 2);
	assert_string_equal(tar_error(t), "");
	tar_free(t);
	tar_free(NULL);
}

static void probe(void **state)
{
	static const uint8_t zeros[TAR_BLOCK];
	uint8_t block[TAR_BLOCK];

	assert_true(tar_probe(zeros));
	make_head(block, &plain_a);
	assert_true(tar_probe(block));
	block[0] ^= 1;
	assert_false(tar_probe(block));
	memset(block, 'x', sizeof(block));
	assert_false(tar_probe(block));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types),
		cmocka_unit_test(sizes_without_data),
		cmocka_unit_test(gnu_long_names),
		cmocka_unit_test(raw_names),
		cmocka_unit_test(path_over_limit),
		cmocka_unit_test(pax_fields),
		cmocka_unit_test(pax_precedence),
		cmocka_unit_test(pax_size_of_the_file_only),
		cmocka_unit_test(xattr_limits),
		cmocka_unit_test(large_numbers),
		cmocka_unit_test(sizes_that_cannot_be),
		cmocka_unit_test(pax_sizes_that_cannot_be),
		cmocka_unit_test(header_limits),
		cmocka_unit_test(ends),
		cmocka_unit_test(cut),
		cmocka_unit_test(without_their_entry),
		cmocka_unit_test(damage),
		cmocka_unit_test(stopped),
		cmocka_unit_test(probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
