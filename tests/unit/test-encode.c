/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/encode.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void hex(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		int r;
	} bad[] = {
		{"00ff1", 2, -EINVAL}, {"00ff", 1, -EINVAL},
		{"00ff", 3, -EINVAL},  {"00FF", 2, -EINVAL},
		{"00fg", 2, -EINVAL},  {" 0ff", 2, -EINVAL},
		{"0x0f", 2, -EINVAL},  {"", 1, -EINVAL},
	};
	const uint8_t bytes[] = {0x00, 0x1f, 0xa9, 0xff};
	char text[9];
	uint8_t out[4] = {0};

	hex_encode(bytes, 4, text);
	assert_string_equal(text, "001fa9ff");
	assert_int_equal(hex_decode(text, 8, out, 4), 0);
	assert_memory_equal(out, bytes, 4);
	assert_int_equal(hex_decode("", 0, out, 0), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(
			hex_decode(bad[i].in, strlen(bad[i].in), out, bad[i].n),
			bad[i].r);
		assert_memory_equal(out, bytes, 4);
	}
}

static void base64(void **state)
{
	/* RFC 4648 section 10, and all 64 digits' ends. */
	static const char *const t[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xff\xef\xbe>?\xfb", "/+++Pj/7"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr text = {0}, back = {0}, bare = {0};
		size_t n = strcspn(t[i][1], "=");

		assert_int_equal(str_add(&text, "<"), 0);
		assert_int_equal(base64_encode(t[i][0], strlen(t[i][0]), &text),
				 0);
		assert_string_equal(text.buf + 1, t[i][1]);
		assert_int_equal(base64_decode(t[i][1], strlen(t[i][1]), &back),
				 0);
		assert_string_equal(back.buf, t[i][0]);
		assert_int_equal(base64_decode(t[i][1], n, &bare), 0);
		assert_string_equal(bare.buf, t[i][0]);
	}
}

static void base64_url(void **state)
{
	autostr s = {0};

	assert_int_equal(base64_decode("_---Pj_7", 8, &s), 0);
	assert_string_equal(s.buf, "\xff\xef\xbe>?\xfb");
}

static void base64_bad(void **state)
{
	static const char *const t[] = {"Z",	  "Zg=",  "Zg===",    "=",
					"==",	  "====", "Zm9v=",    "Zm9vY",
					"Zm9v\n", "Zm 9", "Zg==Zg==", "Z===",
					"Zm9\xff"};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr s = {0};

		assert_int_equal(str_add(&s, "kept"), 0);
		assert_int_equal(base64_decode(t[i], strlen(t[i]), &s),
				 -EINVAL);
		assert_string_equal(s.buf, "kept");
	}
}

static void base64_any_bytes(void **state)
{
	enum { SIZE = 300 };
	uint8_t *bytes = malloc(SIZE), *in;

	srand(1);
	for (size_t n = 0; n < SIZE; n++) {
		autostr text = {0}, back = {0};

		/* From the end, so that too far is outside. */
		bytes[SIZE - 1 - n] = (uint8_t)rand();
		in = bytes + SIZE - n;
		assert_int_equal(base64_encode(in, n, &text), 0);
		assert_int_equal(text.len, (n + 2) / 3 * 4);
		assert_int_equal(base64_decode(text.buf, text.len, &back), 0);
		assert_int_equal(back.len, n);
		assert_memory_equal(back.buf, in, n);
	}
	free(bytes);
}

static void percent(void **state)
{
	static const struct {
		const char *in, *keep, *out;
	} t[] = {
		{"", NULL, ""},
		{"aZ09-._~", NULL, "aZ09-._~"},
		{"a/b c", NULL, "a%2Fb%20c"},
		{"a/b:c", "/", "a/b%3Ac"},
		{"\xc3\xa4%+\x01\xff", "", "%C3%A4%25%2B%01%FF"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr s = {0}, back = {0};

		assert_int_equal(str_addc(&s, '?'), 0);
		assert_int_equal(percent_encode(t[i].in, t[i].keep, &s), 0);
		assert_string_equal(s.buf + 1, t[i].out);
		assert_int_equal(str_addc(&back, '?'), 0);
		assert_int_equal(percent_decode(s.buf + 1, s.len - 1, &back),
				 0);
		assert_string_equal(back.buf + 1, t[i].in);
	}
}

static void percent_bad(void **state)
{
	static const char *const t[] = {"%",   "%4",  "a%",   "%zz",
					"%4z", "%00", "ab%2", "% 1"};
	autostr s = {0};

	for (size_t i = 0; i < COUNT(t); i++) {
		str_clear(&s);
		assert_int_equal(str_add(&s, "kept"), 0);
		assert_int_equal(percent_decode(t[i], strlen(t[i]), &s),
				 -EINVAL);
		assert_string_equal(s.buf, "kept");
	}
	str_clear(&s);
	assert_int_equal(percent_decode("%2fx%2F%aB+", 11, &s), 0);
	assert_string_equal(s.buf, "/x/\xab+");
	/* Nothing behind the end is looked at. */
	assert_int_equal(percent_decode("%41", 2, &s), -EINVAL);
	assert_int_equal(percent_decode("a\0b", 3, &s), -EINVAL);
}

static void unchanged_when_full(void **state)
{
	autostr s = {.max = 6};

	assert_int_equal(str_add(&s, "kept"), 0);
	assert_int_equal(base64_encode("abc", 3, &s), -EFBIG);
	assert_int_equal(base64_decode("Zm9v", 4, &s), -EFBIG);
	assert_int_equal(percent_encode("ab/", NULL, &s), -EFBIG);
	assert_int_equal(percent_decode("a%2Fb", 5, &s), -EFBIG);
	assert_string_equal(s.buf, "kept");
	assert_int_equal(percent_decode("a%2F", 4, &s), 0);
	assert_string_equal(s.buf, "kepta/");
}

static void utf8(void **state)
{
	static const struct {
		const char *s;
		size_t len;
	} t[] = {
		{"a", 1},
		{"\x7f", 1},
		{"\xc2\x80", 2},
		{"\xdf\xbf", 2},
		{"\xe0\xa0\x80", 3},
		{"\xed\x9f\xbf", 3},
		{"\xee\x80\x80", 3},
		{"\xef\xbf\xbf", 3},
		{"\xf0\x90\x80\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"", 0},
		{"\x80", 0},
		{"\xc0\x80", 0},
		{"\xc1\xbf", 0},
		{"\xc2", 0},
		{"\xc2z", 0},
		{"\xe0\x9f\xbf", 0},
		{"\xed\xa0\x80", 0},
		{"\xe2\x82", 0},
		{"\xe2\x82z", 0},
		{"\xf0\x8f\xbf\xbf", 0},
		{"\xf4\x90\x80\x80", 0},
		{"\xf5\x80\x80\x80", 0},
		{"\xf0\x90\x80", 0},
		{"\xf0\x90\x80z", 0},
		{"\xff", 0},
	};

	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(utf8_sequence(t[i].s, strlen(t[i].s)),
				 t[i].len);
}

static void escaped(void **state)
{
	static const struct {
		const char *in, *also, *out;
	} t[] = {
		{"", "", ""},
		{"plain n\xc3\xb6 \xe2\x82\xac", "",
		 "plain n\xc3\xb6 \xe2\x82\xac"},
		{"a\nb\x1b\x7f", "", "a\\x0ab\\x1b\\x7f"},
		{"\xc2\x80\xc2\x9f\xc2\xa0", "",
		 "\\xc2\\x80\\xc2\\x9f\xc2\xa0"},
		{"\xe4", "", "\\xe4"},
		{"\xe2\x82", "", "\\xe2\\x82"},
		{"a\\b", "", "a\\b"},
		{"a\\b", "\\", "a\\x5cb"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr out = {.len = 0};

		assert_int_equal(str_add(&out, ""), 0);
		assert_int_equal(escape_text(t[i].in, t[i].also, &out), 0);
		assert_string_equal(out.buf, t[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escaped),
		cmocka_unit_test(hex),
		cmocka_unit_test(base64),
		cmocka_unit_test(base64_url),
		cmocka_unit_test(base64_bad),
		cmocka_unit_test(base64_any_bytes),
		cmocka_unit_test(percent),
		cmocka_unit_test(percent_bad),
		cmocka_unit_test(unchanged_when_full),
		cmocka_unit_test(utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
