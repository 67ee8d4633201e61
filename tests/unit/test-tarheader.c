/* SPDX-License-Identifier: Apache-2.0 */
#include "tar-fixture.h"

#include "layer/tarheader.h"

static void numbers(void **state)
{
	static const struct {
		const char *field;
		size_t len;
		int64_t value;
	} good[] = {
		{"0000644", 8, 0644},
		{"00000644", 8, 0644}, /* full width, no end */
		{"77777777", 8, 077777777},
		{"777777777777", 12, 0777777777777},
		{"   644 ", 8, 0644},
		{"644 \0xyz", 8, 0644},
		{"644\0rest", 8, 0644}, /* what follows the end is nothing */
		{"\0\0\0\0\0\0\0", 8, 0},
		{"        ", 8, 0},
		{"", 1, 0},
		/* base-256 */
		{"\x80\0\0\0\0\0\0\x2a", 8, 42},
		{"\x80\0\0\0\1\0\0\0\0\0\0\0", 12, 1LL << 56},
		{"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, INT64_MAX},
		{"\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, INT64_MAX},
		{"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12,
		 INT64_MAX},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", 8, -1},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12, -2},
		{"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, INT64_MIN},
		{"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12,
		 INT64_MIN},
		{"\xc0\0\0\0\0\0\0\0\0\0\0\0", 12, INT64_MIN},
	};
	static const char *const bad[] = {"0000648\0", "-0000644", "0x000644",
					  "64+    \0", "abcdefgh", "  6.4  \0"};

	for (size_t i = 0; i < COUNT(good); i++) {
		int64_t n = 77;

		assert_int_equal(tar_number((const uint8_t *)good[i].field,
					    good[i].len, &n),
				 0);
		assert_true(n == good[i].value);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		int64_t n = 77;

		assert_int_equal(tar_number((const uint8_t *)bad[i], 8, &n),
				 -EBADMSG);
		assert_int_equal(n, 77);
	}
}

/* An owner that cannot be must not become root, nor wrap round to it. */
static void owners(void **state)
{
	static const struct {
		int64_t id;
		uint32_t uid, device;
	} t[] = {
		{0, 0, 0},
		{1000, 1000, 1000},
		{UINT32_MAX - 1, UINT32_MAX - 1, UINT32_MAX - 1},
		{UINT32_MAX, 65534, UINT32_MAX},
		{1LL << 32, 65534, UINT32_MAX},
		{-1, 65534, UINT32_MAX},
		{INT64_MIN, 65534, UINT32_MAX},
		{INT64_MAX, 65534, UINT32_MAX},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		assert_int_equal(tar_owner(t[i].id), t[i].uid);
		assert_int_equal(tar_device(t[i].id), t[i].device);
	}
}

static void sums(void **state)
{
	struct head h = {.type = '0', .name = "\xe4\xf6\xfc"};
	uint8_t block[TAR_BLOCK], damaged[TAR_BLOCK];
	static const uint8_t zeros[TAR_BLOCK];
	uint8_t full[TAR_BLOCK];

	assert_int_equal(tarheader_sum(zeros), TAR_SUM_ZEROS);
	make_head(block, &h);
	assert_int_equal(tarheader_sum(block), TAR_SUM_RIGHT);
	put_sum(block, true);
	assert_int_equal(tarheader_sum(block), TAR_SUM_RIGHT);
	make_head(block, &h);
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		memcpy(damaged, block, sizeof(block));
		damaged[i] ^= 2;
		/* What follows the end of the sum is nothing. */
		if (i != 155)
			assert_int_equal(tarheader_sum(damaged), TAR_SUM_WRONG);
	}
	/* The largest sums there are, of either kind. */
	memset(full, 0xff, sizeof(full));
	put_sum(full, false);
	assert_int_equal(tarheader_sum(full), TAR_SUM_RIGHT);
	memset(full, 0x7f, sizeof(full));
	put_sum(full, true);
	assert_int_equal(tarheader_sum(full), TAR_SUM_RIGHT);
	/* One byte is no end, and no sum. */
	memcpy(full, zeros, sizeof(full));
	full[511] = 1;
	assert_int_equal(tarheader_sum(full), TAR_SUM_WRONG);
	/* A sum in base-256 is none. */
	make_head(block, &h);
	memcpy(block + 148, "\x80\0\0\0\0\0\x12\x34", 8);
	assert_int_equal(tarheader_sum(block), TAR_SUM_WRONG);
}

static void names(void **state)
{
#define TEN "0123456789"
#define NINETY9 TEN TEN TEN TEN TEN TEN TEN TEN TEN "012345678"
#define PREFIX TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
	static const struct {
		struct head head;
		const char *name;
		enum tar_magic magic;
	} t[] = {
		{{.name = "a/b"}, "a/b", TAR_USTAR},
		{{.name = "b", .prefix = "a"}, "a/b", TAR_USTAR},
		{{.name = NINETY9 "9", .prefix = PREFIX "01234"},
		 PREFIX "01234/" NINETY9 "9",
		 TAR_USTAR},
		{{.name = "", .prefix = "a"}, "a/", TAR_USTAR},
		/* Another version is still ustar. */
		{{.magic = "ustar\0\0\0", .name = "b", .prefix = "a"},
		 "a/b",
		 TAR_USTAR},
		/* v7 and GNU have none. */
		{{.magic = V7, .name = "b", .prefix = "a"}, "b", TAR_V7},
		{{.magic = "ustar-00", .name = "b", .prefix = "a"},
		 "b",
		 TAR_V7},
		{{.magic = GNU, .name = "b", .prefix = "00000000001"},
		 "b",
		 TAR_GNU},
		/* But Go's did before 1.8. */
		{{.magic = GNU, .name = "b", .prefix = "usr/share"},
		 "usr/share/b",
		 TAR_GNU},
		{{.magic = GNU, .name = "b", .prefix = "usr/\xc3\xa4"},
		 "b",
		 TAR_GNU},
		/* star has a shorter one. */
		{{.name = "b",
		  .prefix = PREFIX,
		  .at = "tar",
		  .at_off = 508,
		  .at_len = 4},
		 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "0/b",
		 TAR_STAR},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		uint8_t block[TAR_BLOCK];
		struct tarheader h;
		const char *why;

		make_head(block, &t[i].head);
		assert_int_equal(tarheader_parse(block, &h, &why), 0);
		assert_int_equal(h.magic, t[i].magic);
		assert_string_equal(h.name, t[i].name);
		assert_int_equal(h.name_len, strlen(t[i].name));
	}
}

static void fields(void **state)
{
	struct head h = {.type = '4',
			 .name = "dev",
			 .link = NINETY9 "9and more",
			 .mode = "0177777",
			 .uid = "\xff\xff\xff\xff\xff\xff\xff\xff",
			 .gid = "0001750",
			 .mtime = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
				  "\xf0",
			 .major = "0000010",
			 .minor = "0000377",
			 .bytes = 4096};
	uint8_t block[TAR_BLOCK];
	struct tarheader ret;
	const char *why;

	make_head(block, &h);
	assert_int_equal(tarheader_parse(block, &ret, &why), 0);
	assert_int_equal(ret.type, '4');
	assert_int_equal(ret.mode, 07777);
	assert_int_equal(ret.uid, 65534);
	assert_int_equal(ret.gid, 1000);
	assert_int_equal(ret.mtime_s, -16);
	assert_int_equal(ret.size_bytes, 4096);
	assert_int_equal(ret.major, 8);
	assert_int_equal(ret.minor, 255);
	assert_string_equal(ret.link, NINETY9 "9");
	assert_int_equal(ret.link_len, 100);
	/* In v7 these are no fields. */
	h.magic = V7;
	h.major = "what";
	make_head(block, &h);
	assert_int_equal(tarheader_parse(block, &ret, &why), 0);
	assert_int_equal(ret.major, 0);
	assert_int_equal(ret.minor, 0);
}

static void no_numbers(void **state)
{
	static const struct {
		struct head head;
		const char *why;
	} t[] = {
		{{.size = "0000000000x"}, "size is no number"},
		{{.size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
		 "size is no number"},
		{{.mode = "rwxrwxr"}, "mode is no number"},
		{{.uid = "root"}, "owner is no number"},
		{{.gid = "root"}, "owner is no number"},
		{{.mtime = "yesterday"}, "time is no number"},
		{{.type = '3', .major = "x"}, "device is no number"},
		{{.type = '4', .minor = "x"}, "device is no number"},
	};
	uint8_t block[TAR_BLOCK];
	struct tarheader h;
	const char *why = NULL;

	for (size_t i = 0; i < COUNT(t); i++) {
		make_head(block, &t[i].head);
		assert_int_equal(tarheader_parse(block, &h, &why), -EBADMSG);
		assert_string_equal(why, t[i].why);
	}
	/* Of what is no device these mean nothing. */
	make_head(block, &(struct head){.type = '0', .major = "x"});
	assert_int_equal(tarheader_parse(block, &h, &why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers), cmocka_unit_test(owners),
		cmocka_unit_test(sums),	   cmocka_unit_test(names),
		cmocka_unit_test(fields),  cmocka_unit_test(no_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
