/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/xattrpack.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define X(name, value)                                                         \
	{                                                                      \
		name, value, sizeof(value) - 1                                 \
	}

/* The names, each with a blank behind it. */
static void assert_names(const struct str *packed, const char *expected)
{
	struct str names = {0};

	assert_int_equal(xattrs_names(packed->buf, packed->len, &names), 0);
	for (size_t i = 0; i < names.len; i++) {
		if (names.buf[i] == '\0')
			names.buf[i] = ' ';
	}
	assert_string_equal(names.buf ? names.buf : "", expected);
	str_done(&names);
}

static void assert_value(const struct str *packed, const char *name,
			 const void *value, size_t len)
{
	struct str v = {0};

	assert_int_equal(xattrs_find(packed->buf, packed->len, name, &v), 0);
	assert_int_equal(v.len, len);
	if (len > 0)
		assert_memory_equal(v.buf, value, len);
	str_done(&v);
}

static void keeps_bytes(void **state)
{
	static const struct layer_xattr x[] = {
		X("user.zero", "a\0b\0"),
		X("security.capability",
		  "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		X("user.empty", ""),
		X("user.\xff\xfe", "\xff\n"),
		{"user.null", NULL, 0},
	};
	struct str p = {0}, v = {0};

	assert_int_equal(xattrs_pack(x, COUNT(x), &p), 0);
	assert_names(&p, "security.capability user.empty user.null user.zero "
			 "user.\xff\xfe ");
	for (size_t i = 0; i < COUNT(x); i++)
		assert_value(&p, x[i].name, x[i].value, x[i].len);
	assert_int_equal(xattrs_find(p.buf, p.len, "user.zer", &v), -ENODATA);
	assert_int_equal(xattrs_find(p.buf, p.len, "user.zero2", &v), -ENODATA);
	assert_int_equal(xattrs_find(p.buf, p.len, "", &v), -ENODATA);
	assert_int_equal(v.len, 0);
	str_done(&p);
}

static void none(void **state)
{
	struct str p = {0};

	assert_int_equal(xattrs_pack(NULL, 0, &p), 0);
	assert_int_equal(p.len, 0);
	assert_names(&p, "");
	assert_int_equal(xattrs_find(NULL, 0, "user.a", &p), -ENODATA);
}

static void leaves_out(void **state)
{
	char over[257];
	struct layer_xattr x[] = {
		X("trusted.overlay.opaque", "y"),
		X("user.overlay.redirect", "/etc"),
		X("user.registryfs.layer", "sha256:0"),
		X("", "nameless"),
		{over, "1", 1},
		X("trusted.overlay", "kept"),
		X("trusted.other", "kept"),
		X("user.registryfs", "kept"),
		{over + 1, "2", 1},
	};
	struct str p = {0};

	memset(over, 'n', 256);
	over[256] = '\0';
	assert_int_equal(xattrs_pack(x, COUNT(x) - 1, &p), 0);
	assert_names(&p, "trusted.other trusted.overlay user.registryfs ");
	str_clear(&p);
	assert_int_equal(xattrs_pack(x, COUNT(x), &p), 0);
	assert_value(&p, over + 1, "2", 1);
	str_done(&p);
}

static void last_of_duplicates(void **state)
{
	static const struct layer_xattr x[] = {
		X("user.a", "first"),  X("user.b", "only"),
		X("user.a", "second"), X("user.c", "1"),
		X("user.a", "third"),
	};
	struct str p = {0};

	assert_int_equal(xattrs_pack(x, COUNT(x), &p), 0);
	assert_names(&p, "user.a user.b user.c ");
	assert_value(&p, "user.a", "third", 5);
	str_done(&p);
}

static void adds_behind(void **state)
{
	static const struct layer_xattr x[] = {X("user.a", "1")};
	struct str p = {0}, v = {0};

	assert_int_equal(str_add(&p, "before"), 0);
	assert_int_equal(xattrs_pack(x, 1, &p), 0);
	assert_memory_equal(p.buf, "before", 6);
	assert_int_equal(str_add(&v, "old"), 0);
	assert_int_equal(xattrs_find(p.buf + 6, p.len - 6, "user.a", &v), 0);
	assert_string_equal(v.buf, "old1");
	str_done(&p);
	str_done(&v);
}

/* As many as fit, of the many that a hostile entry has, and quickly. */
static void bounded(void **state)
{
	enum { MANY = 100000 };
	struct layer_xattr *x = calloc(MANY, sizeof(*x));
	char(*names)[16] = calloc(MANY, sizeof(*names));
	static char big[LAYER_XATTR_MAX + 1];
	struct layer_xattr three[] = {
		{"user.a", big, LAYER_XATTR_MAX + 1},
		{"user.b", big, LAYER_XATTR_MAX / 2},
		{"user.c", big, LAYER_XATTR_MAX / 2},
		{"user.d", "x", 1},
	};
	struct str p = {0};

	for (size_t i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "user.%zu", i % 50000);
		x[i] = (struct layer_xattr){names[i], "v", 1};
	}
	assert_int_equal(xattrs_pack(x, MANY, &p), 0);
	assert_true(p.len <= LAYER_XATTR_MAX);
	assert_true(p.len > LAYER_XATTR_MAX - 64);
	str_clear(&p);
	assert_int_equal(xattrs_pack(three, COUNT(three), &p), 0);
	assert_names(&p, "user.b user.d ");
	str_done(&p);
	free(x);
	free(names);
}

static void says_no_memory(void **state)
{
	static const struct layer_xattr x[] = {X("user.a", "1"),
					       X("user.b", "2")};
	struct str p = {.max = 20};

	assert_int_equal(xattrs_pack(x, 2, &p), -EFBIG);
	assert_int_equal(p.len, 0);
	str_done(&p);
}

static void damaged(void **state)
{
	static const struct layer_xattr x[] = {X("user.a", "1"),
					       X("user.b", "22")};
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{"\0\0\0\0\1\0\0\0v", 9},	    /* no name */
		{"\2\0\0\0\0\0\0\0a\0", 10},	    /* NUL in it */
		{"\1\0\0\0\2\0\0\0av", 10},	    /* value too short */
		{"\2\0\0\0\0\0\0\0a", 9},	    /* name too short */
		{"\1\0\0\0\377\377\377\377av", 10}, /* huge */
		{"\377\377\377\377\1\0\0\0av", 10},
	};
	struct str p = {0}, out = {0};

	assert_int_equal(xattrs_pack(x, 2, &p), 0);
	for (size_t cut = 1; cut < p.len; cut++) {
		int expected = cut == 15 ? 0 : -EBADMSG; /* one is whole */
		char *copy = malloc(cut);

		memcpy(copy, p.buf, cut);
		assert_int_equal(xattrs_names(copy, cut, &out), expected);
		assert_int_equal(out.len, expected ? 0 : 7);
		str_clear(&out);
		assert_int_equal(xattrs_find(copy, cut, "user.x", &out),
				 expected ? expected : -ENODATA);
		free(copy);
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(xattrs_names(rows[i].bytes, rows[i].len, &out),
				 -EBADMSG);
		assert_int_equal(
			xattrs_find(rows[i].bytes, rows[i].len, "u", &out),
			-EBADMSG);
	}
	assert_int_equal(out.len, 0);
	str_done(&p);
	str_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_bytes),
		cmocka_unit_test(none),
		cmocka_unit_test(leaves_out),
		cmocka_unit_test(last_of_duplicates),
		cmocka_unit_test(adds_behind),
		cmocka_unit_test(bounded),
		cmocka_unit_test(says_no_memory),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
