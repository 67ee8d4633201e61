/* SPDX-License-Identifier: Apache-2.0 */
#include "tar-fixture.h"

#include "layer/sparse.h"

/* "off+bytes@place ..." */
static void assert_pieces(const struct sparse *s, const char *text)
{
	struct layer_entry e = {.size_bytes = UINT64_MAX,
				.pieces = s->pieces.v,
				.pieces_len = s->pieces.len};
	autostr out = {0};

	add_pieces(&out, &e);
	assert_string_equal(out.buf, text);
}

static void lists(void **state)
{
	static const struct {
		const char *list;
		int r;
		const char *pieces;
		uint64_t pairs, end, stored;
	} t[] = {
		{"0,5", 0, " {0+5@0}", 1, 5, 5},
		{"0,5,10,1", 0, " {0+5@0 10+1@0}", 2, 11, 6},
		/* They touch, or are empty. */
		{"0,5,5,1", 0, " {0+6@0}", 2, 6, 6},
		{"4,0,10,1,100,0", 0, " {10+1@0}", 3, 11, 1},
		{"9223372036854775000,7", 0, " {9223372036854775000+7@0}", 1,
		 9223372036854775007, 7},
		{"0,5,4,1", -EBADMSG, NULL, 0, 0, 0}, /* overlap */
		{"10,5,0,1", -EBADMSG, NULL, 0, 0, 0},
		{"1,9223372036854775807", -EBADMSG, NULL, 0, 0, 0},
		{"9223372036854775800,8", -EBADMSG, NULL, 0, 0, 0},
		{"18446744073709551616,1", -EBADMSG, NULL, 0, 0, 0},
		{"0,18446744073709551615", -EBADMSG, NULL, 0, 0, 0},
		{"", -EBADMSG, NULL, 0, 0, 0},
		{"0,", -EBADMSG, NULL, 0, 0, 0},
		{",5", -EBADMSG, NULL, 0, 0, 0},
		{"-1,5", -EBADMSG, NULL, 0, 0, 0},
		{"0, 5", -EBADMSG, NULL, 0, 0, 0},
		{"0,5\n", -EBADMSG, NULL, 0, 0, 0},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct sparse s = {0};

		assert_int_equal(
			sparse_add_list(&s, t[i].list, strlen(t[i].list)),
			t[i].r);
		if (t[i].r == 0) {
			assert_pieces(&s, t[i].pieces);
			assert_int_equal(s.pairs, t[i].pairs);
			assert_int_equal(s.end, t[i].end);
			assert_int_equal(s.stored_bytes, t[i].stored);
		}
		sparse_done(&s);
	}
}

static void places(void **state)
{
	struct sparse s = {0};

	assert_int_equal(sparse_add_list(&s, "0,5,10,1,20,4", 13), 0);
	assert_int_equal(sparse_place(&s, 23, 0, 10), -EBADMSG); /* the file */
	assert_int_equal(sparse_place(&s, 24, 0, 9), -EBADMSG);	 /* the data */
	assert_int_equal(sparse_place(&s, 24, 0, 11), -EBADMSG);
	assert_int_equal(sparse_place(&s, 24, 1024, 10), 0);
	assert_pieces(&s, " {0+5@1024 10+1@1029 20+4@1030}");
	assert_int_equal(sparse_place(&s, INT64_MAX, 512, 10), 0);
	/* Half a pair. */
	assert_int_equal(sparse_add(&s, 100), 0);
	assert_int_equal(sparse_place(&s, 200, 0, 10), -EBADMSG);
	sparse_clear(&s);
	assert_int_equal(sparse_place(&s, 0, 0, 0), 0);
	assert_pieces(&s, " {}");
	sparse_done(&s);
}

static void header_fields(void **state)
{
	static const char two[] = "00000000000\0"
				  "000000001000"
				  "00000004000 00000000010 ";
	static const char with_end[4 * 24] = "00000000000\0"
					     "000000001000";
	static const char negative[24] =
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		"00000000010";
	static const char letters[24] = "00000000000\0zzz";
	const uint8_t *p = (const uint8_t *)two;
	struct sparse s = {0};

	assert_int_equal(sparse_add_fields(&s, p, 2), 0);
	assert_pieces(&s, " {0+512@0 2048+8@0}");
	sparse_clear(&s);
	p = (const uint8_t *)with_end;
	assert_int_equal(sparse_add_fields(&s, p, 4), 0);
	assert_pieces(&s, " {0+512@0}");
	assert_int_equal(s.pairs, 1);
	sparse_clear(&s);
	p = (const uint8_t *)negative;
	assert_int_equal(sparse_add_fields(&s, p, 1), -EBADMSG);
	p = (const uint8_t *)letters;
	assert_int_equal(sparse_add_fields(&s, p, 1), -EBADMSG);
	sparse_done(&s);
}

static int add_lines(struct sparse *s, const char *text, bool *last)
{
	struct sparse_lines l = {0};
	uint8_t block[TAR_BLOCK];
	size_t len = strlen(text);
	int r = 0;

	*last = false;
	for (size_t i = 0; r == 0 && !*last && i < len; i += TAR_BLOCK) {
		memset(block, 0, sizeof(block));
		memcpy(block, text + i, len - i < 512 ? len - i : 512);
		r = sparse_add_lines(s, &l, block, last);
	}
	return r;
}

static void lines(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *pieces;
	} t[] = {
		{"0\n", 0, " {}"},
		{"1\n0\n5\n", 0, " {0+5@0}"},
		{"2\n0\n5\n10\n1\nwhat follows is padding", 0,
		 " {0+5@0 10+1@0}"},
		{"1\n0\n", -EBADMSG, NULL}, /* zeros are no digits */
		{"\n0\n", -EBADMSG, NULL},
		{"1\n\n5\n", -EBADMSG, NULL},
		{"#1\n0\n5\n", -EBADMSG, NULL},
		{"1048577\n", -EBADMSG, NULL},
		{"99999999999999999999\n", -EBADMSG, NULL},
		{"2\n10\n5\n0\n1\n", -EBADMSG, NULL},
	};
	autostr many = {0};
	struct sparse s = {0};
	bool last;

	for (size_t i = 0; i < COUNT(t); i++) {
		assert_int_equal(add_lines(&s, t[i].text, &last), t[i].r);
		if (t[i].r == 0) {
			assert_true(last);
			assert_pieces(&s, t[i].pieces);
		}
		sparse_clear(&s);
	}
	/* More than there may be is seen at once. */
	str_add(&many, "1048577\n");
	for (int i = 0; i < 128; i++)
		str_addf(&many, "%d\n1\n", 100 + 2 * i);
	assert_in_range(many.len, 512, 1000);
	assert_int_equal(add_lines(&s, many.buf, &last), -EBADMSG);
	assert_int_equal(s.pairs, 0);
	sparse_clear(&s);
	str_clear(&many);
	/* Numbers across the edges of blocks. */
	str_add(&many, "300\n");
	for (int i = 0; i < 300; i++)
		str_addf(&many, "%d\n%d\n", 1000 * i, 7);
	assert_int_equal(add_lines(&s, many.buf, &last), 0);
	assert_true(last);
	assert_int_equal(s.pieces.len, 300);
	assert_int_equal(s.pieces.v[299].off, 299000);
	assert_int_equal(s.stored_bytes, 2100);
	sparse_done(&s);
}

static void too_many(void **state)
{
	struct sparse s = {0};

	for (uint64_t i = 0; i < LAYER_PIECES_MAX; i++) {
		if (sparse_add(&s, 2 * i) < 0 || sparse_add(&s, 1) < 0)
			fail();
	}
	assert_int_equal(s.pieces.len, LAYER_PIECES_MAX);
	assert_int_equal(sparse_add(&s, s.end + 1), 0);
	assert_int_equal(sparse_add(&s, 1), -EBADMSG);
	sparse_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),	 cmocka_unit_test(places),
		cmocka_unit_test(header_fields), cmocka_unit_test(lines),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
