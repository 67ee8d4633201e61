/* SPDX-License-Identifier: Apache-2.0 */
#include "tar-fixture.h"

#include "layer/pax.h"
#include "util/auto.h"

struct parsed {
	struct sparse map;
	struct pax pax;
};

static void begin(struct parsed *p)
{
	memset(p, 0, sizeof(*p));
	pax_init(&p->pax, &p->map);
}

static void end(struct parsed *p)
{
	pax_done(&p->pax);
	sparse_done(&p->map);
}

static int parse(struct pax *p, const char *header, size_t len)
{
	const char *why = NULL;
	char *exact = malloc(len ? len : 1);
	int r;

	assert_non_null(exact);
	memcpy(exact, header, len);
	r = pax_parse(p, exact, len, &why);
	assert_int_equal(r < 0, why != NULL);
	free(exact);
	return r;
}

static void say(struct pax *p, const char *key, const char *value)
{
	autostr s = {0};

	add_record(&s, key, value);
	assert_int_equal(parse(p, s.buf, s.len), 0);
}

static void records(void **state)
{
	static const struct {
		const char *header;
		size_t len;
		const char *path;
		size_t path_len;
	} good[] = {
		{"9 path=a\n", 9, "a", 1},
		{"11 path=aa\n", 11, "aa", 2},
		{"13 path=a=b\n\n", 13, "a=b\n", 4},
		{"13 path=a\0bc\n", 13, "a\0bc", 4},
		{"013 path=abc\n", 13, "abc", 3},
		{"9 path=a\n9 path=b\n", 18, "b", 1},
		{"6 x=y\n9 path=b\n", 15, "b", 1},
	};
	static const char *const bad[] = {
		" path=a\n",
		"9path=a\n",
		"9",
		"9 path=a",
		"8 path=a\n",
		"11 path=a\n",
		"10 path=aa\n",
		"100 path=a\n",
		"-9 path=a\n",
		"99999999999999999999 path=a\n",
		"0000000000000024 path=a\n",
		"2 \n",
		"3 \n\n",
		"4 =\n",
		"7 path\n",
		"8 =path\n",
		"9 path=a\n\n",
		"9 path=a\n9 path=b",
		"0 path=a\n",
		"1 path=a\n",
	};

	for (size_t i = 0; i < COUNT(good); i++) {
		struct parsed p;

		begin(&p);
		assert_int_equal(parse(&p.pax, good[i].header, good[i].len), 0);
		assert_true(p.pax.has & PAX_PATH);
		assert_int_equal(p.pax.path.len, good[i].path_len);
		assert_memory_equal(p.pax.path.buf, good[i].path,
				    good[i].path_len);
		end(&p);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct parsed p;

		begin(&p);
		assert_int_equal(parse(&p.pax, bad[i], strlen(bad[i])),
				 -EBADMSG);
		end(&p);
	}
}

static void values(void **state)
{
	struct parsed p;

	begin(&p);
	say(&p.pax, "size", "9223372036854775806");
	assert_true(p.pax.size_bytes == INT64_MAX - 1);
	say(&p.pax, "uid", "4294967294");
	assert_int_equal(p.pax.uid, UINT32_MAX - 1);
	say(&p.pax, "uid", "4294967296");
	assert_int_equal(p.pax.uid, 65534);
	say(&p.pax, "gid", "-2");
	assert_int_equal(p.pax.gid, 65534);
	say(&p.pax, "SCHILY.devmajor", "4095");
	say(&p.pax, "SCHILY.devminor", "1048575");
	assert_int_equal(p.pax.major, 4095);
	assert_int_equal(p.pax.minor, 1048575);
	assert_int_equal(p.pax.has,
			 PAX_SIZE | PAX_UID | PAX_GID | PAX_MAJOR | PAX_MINOR);
	/* What nobody here needs may say anything. */
	say(&p.pax, "atime", "noon");
	say(&p.pax, "uname", "");
	say(&p.pax, "comment", "\n\n");
	/* Empty: taken back. */
	say(&p.pax, "size", "");
	assert_false(p.pax.has & PAX_SIZE);
	assert_true(p.pax.empty & PAX_SIZE);
	say(&p.pax, "size", "0");
	assert_true(p.pax.has & PAX_SIZE);
	assert_false(p.pax.empty & PAX_SIZE);
	assert_int_equal(p.pax.size_bytes, 0);
	pax_clear(&p.pax);
	assert_int_equal(p.pax.has | p.pax.empty, 0);
	end(&p);
}

static void no_values(void **state)
{
	static const char *const bad[][2] = {
		{"size", "-1"},
		{"size", "x"},
		{"size", "1 "},
		{"size", "9223372036854775807"},
		{"size", "18446744073709551617"},
		{"uid", "root"},
		{"uid", "-"},
		{"gid", "0x10"},
		{"mtime", "x"},
		{"mtime", "1.x"},
		{"mtime", ".5"},
		{"mtime", "1.5.5"},
		{"mtime", "1e9"},
		{"SCHILY.devmajor", "8,1"},
		{"GNU.sparse.size", "-5"},
		{"GNU.sparse.map", "5,5,0,1"},
		{"GNU.sparse.numbytes", "5"}, /* of what? */
		{"GNU.sparse.offset", ""},
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		autostr s = {0};
		struct parsed p;

		begin(&p);
		add_record(&s, bad[i][0], bad[i][1]);
		assert_int_equal(parse(&p.pax, s.buf, s.len), -EBADMSG);
		end(&p);
	}
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
		uint32_t ns;
	} t[] = {
		{"0", 0, 0},
		{"1700000000", 1700000000, 0},
		{"1700000000.5", 1700000000, 500000000},
		{"1.000000001", 1, 1},
		{"1.0000000019999", 1, 1},
		{"1.", 1, 0},
		{"-1", -1, 0},
		{"-1.25", -2, 750000000},
		{"-0.000000001", -1, 999999999},
		{"-0", 0, 0},
		{"-0.0", 0, 0},
		{"4611686018427387904.5", 1LL << 62, 500000000},
		{"99999999999999999999", INT64_MAX, 0},
		{"-99999999999999999999", -INT64_MAX, 0},
		{"-99999999999999999999.5", INT64_MIN, 500000000},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct parsed p;

		begin(&p);
		say(&p.pax, "mtime", t[i].text);
		assert_true(p.pax.mtime_s == t[i].s);
		assert_int_equal(p.pax.mtime_ns, t[i].ns);
		end(&p);
	}
}

static void assert_xattr(const struct pax *p, const char *name,
			 const void *value, size_t len)
{
	const struct pax_xattr *x = pax_xattr_find(p, name);
	size_t i;

	assert_non_null(x);
	i = (size_t)(x - p->xattrs.v);
	assert_string_equal(pax_xattr_name(p, i), name);
	assert_int_equal(x->len, len);
	assert_memory_equal(pax_xattr_value(p, i), value, len);
}

static void xattrs(void **state)
{
	static const char cap[] = "\1\0\0\2\0 \0\0\0\0\0\0\n=\0\0\0\0\0\0";
	autostr s = {0};
	struct parsed p;

	begin(&p);
	/* Bytes as they are. */
	add_record_n(&s, "SCHILY.xattr.security.capability", cap, 20);
	add_record(&s, "SCHILY.xattr.user.empty", "");
	assert_int_equal(parse(&p.pax, s.buf, s.len), 0);
	assert_xattr(&p.pax, "security.capability", cap, 20);
	assert_xattr(&p.pax, "user.empty", "", 0);
	/* Coded, without padding as libarchive has it, and with. */
	say(&p.pax, "LIBARCHIVE.xattr.user.%C3%A4%3D", "AP8KPQ");
	assert_xattr(&p.pax, "user.\xc3\xa4=", "\0\xff\n=", 4);
	say(&p.pax, "LIBARCHIVE.xattr.user.padded", "YQ==");
	assert_xattr(&p.pax, "user.padded", "a", 1);
	/* SCHILY's rules, before or after. */
	say(&p.pax, "LIBARCHIVE.xattr.user.empty", "YQ");
	assert_xattr(&p.pax, "user.empty", "", 0);
	say(&p.pax, "SCHILY.xattr.user.padded", "schily");
	assert_xattr(&p.pax, "user.padded", "schily", 6);
	/* The last of its kind; the others stay whole. */
	say(&p.pax, "SCHILY.xattr.user.empty", "no longer");
	say(&p.pax, "SCHILY.xattr.security.capability", "none");
	assert_int_equal(p.pax.xattrs.len, 4);
	assert_xattr(&p.pax, "user.empty", "no longer", 9);
	assert_xattr(&p.pax, "user.padded", "schily", 6);
	assert_xattr(&p.pax, "security.capability", "none", 4);
	assert_xattr(&p.pax, "user.\xc3\xa4=", "\0\xff\n=", 4);
	assert_null(pax_xattr_find(&p.pax, "user.none"));
	end(&p);
}

static void xattrs_left_out(void **state)
{
	autostr big = {0}, name = {0}, s = {0};
	struct parsed p;

	begin(&p);
	for (size_t i = 0; i < 60000; i++)
		str_addc(&big, 'x');
	for (int i = 0; i < 256; i++)
		str_addc(&name, 'n');
	say(&p.pax, "SCHILY.xattr.user.a", "a");
	/* Of no name, a name too long, one with a NUL; no code. */
	say(&p.pax, "SCHILY.xattr.", "x");
	str_add(&s, "SCHILY.xattr.");
	str_add(&s, name.buf);
	say(&p.pax, s.buf, "x");
	assert_int_equal(parse(&p.pax, "20 SCHILY.xattr.a\0b=\n", 21),
			 -EBADMSG);
	assert_int_equal(parse(&p.pax, "21 SCHILY.xattr.a\0b=\n", 21), 0);
	say(&p.pax, "LIBARCHIVE.xattr.user.b%0", "YQ");
	say(&p.pax, "LIBARCHIVE.xattr.user.b%00", "YQ");
	say(&p.pax, "LIBARCHIVE.xattr.user.b", "?");
	assert_int_equal(p.pax.xattrs.len, 1);
	/* The sum of all. */
	say(&p.pax, "SCHILY.xattr.user.big", big.buf);
	assert_int_equal(p.pax.xattrs.len, 2);
	say(&p.pax, "SCHILY.xattr.user.more", big.buf);
	assert_int_equal(p.pax.xattrs.len, 2);
	/* An old one makes room for its new value. */
	say(&p.pax, "SCHILY.xattr.user.big", big.buf);
	assert_int_equal(p.pax.xattrs.len, 2);
	say(&p.pax, "SCHILY.xattr.user.b", "b");
	assert_int_equal(p.pax.xattrs.len, 3);
	/* And their number. */
	for (int i = 0; i < 1000; i++) {
		autofree char *key = str_printf("SCHILY.xattr.user.%d", i);

		say(&p.pax, key, "");
	}
	assert_int_equal(p.pax.xattrs.len, PAX_XATTRS_MAX);
	assert_xattr(&p.pax, "user.a", "a", 1);
	end(&p);
}

/* A value as large as Linux has them, and one byte more. */
static void largest_xattr(void **state)
{
	autostr value = {0};
	struct parsed p;

	begin(&p);
	for (size_t i = 0; i < LAYER_XATTR_MAX; i++)
		str_addc(&value, 'x');
	say(&p.pax, "SCHILY.xattr.user.a", value.buf);
	assert_xattr(&p.pax, "user.a", value.buf, value.len);
	str_addc(&value, 'x');
	say(&p.pax, "SCHILY.xattr.user.a", value.buf);
	assert_int_equal(p.pax.xattrs.len, 0);
	end(&p);
}

static void sparse_kinds(void **state)
{
	static const struct {
		const char *keys[6][2];
		enum pax_sparse kind;
	} t[] = {
		{{{"path", "a"}}, PAX_SPARSE_NOT},
		{{{"GNU.sparse.size", "9"}, {"GNU.sparse.name", "a"}},
		 PAX_SPARSE_NOT},
		{{{"GNU.sparse.numblocks", "1"},
		  {"GNU.sparse.offset", "0"},
		  {"GNU.sparse.numbytes", "5"}},
		 PAX_SPARSE_HERE},
		{{{"GNU.sparse.numblocks", "0"}}, PAX_SPARSE_HERE},
		{{{"GNU.sparse.map", "0,5"}}, PAX_SPARSE_HERE},
		{{{"GNU.sparse.map", ""}}, PAX_SPARSE_HERE},
		{{{"GNU.sparse.major", "0"},
		  {"GNU.sparse.minor", "1"},
		  {"GNU.sparse.map", "0,5"}},
		 PAX_SPARSE_HERE},
		{{{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}},
		 PAX_SPARSE_IN_DATA},
		{{{"GNU.sparse.major", "1"},
		  {"GNU.sparse.minor", "0"},
		  {"GNU.sparse.map", "0,5"}},
		 PAX_SPARSE_IN_DATA},
		{{{"GNU.sparse.major", "1"}}, PAX_SPARSE_NOT},
		{{{"GNU.sparse.major", "0"}, {"GNU.sparse.map", "0,5"}},
		 PAX_SPARSE_NOT},
		{{{"GNU.sparse.major", "0"},
		  {"GNU.sparse.minor", "2"},
		  {"GNU.sparse.map", "0,5"}},
		 PAX_SPARSE_NOT},
		{{{"GNU.sparse.major", "1"},
		  {"GNU.sparse.minor", "1"},
		  {"GNU.sparse.map", "0,5"}},
		 PAX_SPARSE_NOT},
		{{{"GNU.sparse.major", "2"}, {"GNU.sparse.minor", "0"}},
		 PAX_SPARSE_NOT},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct parsed p;

		begin(&p);
		for (size_t j = 0; j < 6 && t[i].keys[j][0]; j++)
			say(&p.pax, t[i].keys[j][0], t[i].keys[j][1]);
		assert_int_equal(pax_sparse(&p.pax), t[i].kind);
		end(&p);
	}
}

/* Of all files at once no map can be told. */
static void sparse_of_all(void **state)
{
	struct pax p;

	pax_init(&p, NULL);
	say(&p, "GNU.sparse.map", "0,5");
	say(&p, "GNU.sparse.major", "1");
	say(&p, "GNU.sparse.name", "a");
	assert_int_equal(p.has | p.empty, 0);
	pax_clear(&p);
	pax_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(values),
		cmocka_unit_test(no_values),
		cmocka_unit_test(times),
		cmocka_unit_test(xattrs),
		cmocka_unit_test(xattrs_left_out),
		cmocka_unit_test(largest_xattr),
		cmocka_unit_test(sparse_kinds),
		cmocka_unit_test(sparse_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
