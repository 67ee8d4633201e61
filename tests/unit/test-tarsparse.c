/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse files in whole archives, in the four formats of GNU tar.
 */
#include "tar-fixture.h"

#define TEN "0123456789"

static const struct head plain_a = {.type = '0', .name = "a"};

static void old_fields(void **state)
{
	static const size_t counts[] = {0, 1, 4, 5, 25, 26, 46, 47};

	for (size_t i = 0; i < COUNT(counts); i++) {
		size_t n = counts[i], more = n > 4 ? (n - 4 + 20) / 21 : 0;
		size_t data = TAR_BLOCK * (1 + more);
		autostr tar = {0}, lines = {0};

		put_old_sparse(&tar, n, 1000000);
		str_add(&lines, "file \"s\" 644 1:2 1000000 0 {");
		for (size_t j = 0; j < n; j++)
			str_addf(&lines, "%s%zu+2@%zu", j ? " " : "", 1000 * j,
				 data + 2 * j);
		str_addf(&lines, "}\nfile \"next\" 644 1:2 1@%zu 0\n",
			 tar.len + TAR_BLOCK);
		put_file(&tar, "next", "n");
		put_end(&tar);
		assert_reads(&tar, 0, lines.buf);
	}
}

static void pax_records(void **state)
{
	static const struct {
		const char *keys[8];
		const char *line, *data;
	} t[] = {
		{{"GNU.sparse.size=5000", "GNU.sparse.numblocks=2",
		  "GNU.sparse.offset=0", "GNU.sparse.numbytes=3",
		  "GNU.sparse.offset=4090", "GNU.sparse.numbytes=7"},
		 "file \"a\" 644 1:2 5000 0 {0+3@1536 4090+7@1539}\n",
		 TEN},
		{{"GNU.sparse.name=real", "path=dir/GNUSparseFile.1/real",
		  "GNU.sparse.size=5000", "GNU.sparse.numblocks=2",
		  "GNU.sparse.map=0,3,4090,7"},
		 "file \"real\" 644 1:2 5000 0 {0+3@1536 4090+7@1539}\n",
		 TEN},
		{{"GNU.sparse.map=5000,0", "GNU.sparse.size=5000"},
		 "file \"a\" 644 1:2 5000 0 {}\n",
		 ""},
		{{"GNU.sparse.numblocks=0", "GNU.sparse.size=5000"},
		 "file \"a\" 644 1:2 5000 0 {}\n",
		 ""},
		/* The size of the file may be that of what is stored. */
		{{"GNU.sparse.map=0,10"},
		 "file \"a\" 644 1:2 10 0 {0+10@1536}\n",
		 TEN},
		/* A version that nobody knows: as it is stored. */
		{{"GNU.sparse.major=2", "GNU.sparse.minor=0",
		  "GNU.sparse.name=real", "GNU.sparse.realsize=5000"},
		 "file \"a\" 644 1:2 10@1536 0\n",
		 TEN},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr tar = {0}, pax = {0}, lines = {0};

		for (size_t j = 0; t[i].keys[j]; j++) {
			size_t n = strcspn(t[i].keys[j], "=");
			char key[64];

			snprintf(key, sizeof(key), "%.*s", (int)n,
				 t[i].keys[j]);
			add_record(&pax, key, t[i].keys[j] + n + 1);
		}
		put_entry(&tar, &(struct head){.type = 'x'}, pax.buf, pax.len);
		put_entry(&tar, &plain_a, t[i].data, strlen(t[i].data));
		str_add(&lines, t[i].line);
		str_addf(&lines, "file \"next\" 644 1:2 1@%zu 0\n",
			 tar.len + TAR_BLOCK);
		put_file(&tar, "next", "n");
		put_end(&tar);
		assert_reads(&tar, 0, lines.buf);
	}
}

static void pax_lines(void **state)
{
	autostr tar = {0}, data = {0}, lines = {0};

	put_pax(&tar, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0",
		"GNU.sparse.name=real", "GNU.sparse.realsize=200000", NULL);
	put_bytes(&data, "2\n0\n3\n4090\n7\n", 13);
	put_bytes(&data, TEN, 10);
	put_entry(&tar, &plain_a, data.buf, TAR_BLOCK + 10);
	/* A map over several blocks. */
	str_clear(&data);
	str_add(&data, "150\n");
	str_add(&lines, "file \"real\" 644 1:2 200000 0"
			" {0+3@2048 4090+7@2051}\n"
			"file \"more\" 644 1:2 200000 0 {");
	for (int i = 0; i < 150; i++) {
		str_addf(&data, "%d\n2\n", 1000 * i);
		str_addf(&lines, "%s%d+2@%d", i ? " " : "", 1000 * i,
			 4096 + 1536 + 2 * i);
	}
	assert_in_range(data.len, TAR_BLOCK + 1, 3 * TAR_BLOCK);
	while (data.len % TAR_BLOCK)
		str_addc(&data, 0);
	put_pax(&tar, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0",
		"GNU.sparse.name=more", "GNU.sparse.realsize=200000", NULL);
	for (int i = 0; i < 150; i++)
		str_add(&data, "zz");
	put_entry(&tar, &plain_a, data.buf, data.len);
	put_end(&tar);
	str_add(&lines, "}\n");
	assert_int_equal(data.len, 3 * TAR_BLOCK + 300);
	assert_reads(&tar, 0, lines.buf);
}

static void damaged(void **state)
{
	static const struct {
		const char *map, *size, *why;
		size_t stored;
	} t[] = {
		{"0,3,2,1", "5000", "pax header has a value that means nothing",
		 10},
		{"0,3,4000", "5000", "sparse map does not fit its file", 3},
		{"0,3,4998,3", "5000", "sparse map does not fit its file", 6},
		{"0,3", "2", "sparse map does not fit its file", 3},
		/* Less is stored, or more. */
		{"0,11", "5000", "sparse map does not fit its file", 10},
		{"0,9", "5000", "sparse map does not fit its file", 10},
		{"0,9223372036854775806", "9223372036854775806",
		 "sparse map does not fit its file", 10},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostr tar = {0}, pax = {0};

		add_record(&pax, "GNU.sparse.map", t[i].map);
		add_record(&pax, "GNU.sparse.size", t[i].size);
		put_entry(&tar, &(struct head){.type = 'x'}, pax.buf, pax.len);
		put_entry(&tar, &plain_a, TEN, t[i].stored);
		put_end(&tar);
		assert_reads(&tar, -EBADMSG, t[i].why);
	}
}

static void damaged_otherwise(void **state)
{
	static const char no_lines[TAR_BLOCK] = "5";
	char at[512 - 386] = {0};
	struct head h = {.magic = GNU,
			 .type = 'S',
			 .name = "s",
			 .at = at,
			 .at_off = 386,
			 .at_len = sizeof(at)};
	autostr a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0}, g = {0};

	/* star's are another thing. */
	put_pair(at, 0, 2);
	snprintf(at + (483 - 386), 12, "00000000005");
	h.magic = USTAR;
	put_entry(&a, &h, "zz", 2);
	assert_damaged(&a, "sparse file that is not of GNU tar");
	h.magic = GNU;
	put_entry(&b, &h, "z", 1);
	assert_damaged(&b, "sparse map does not fit its file");
	at[2] = 'x';
	put_entry(&c, &h, "zz", 2);
	assert_damaged(&c, "sparse map is malformed");
	memcpy(at + (483 - 386), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	       10);
	put_entry(&d, &h, "zz", 2);
	assert_damaged(&d, "sparse file without its size");
	put_pax(&e, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0", NULL);
	put_entry(&e, &plain_a, "1\n0\n", 4);
	assert_damaged(&e, "sparse file without its map");
	put_pax(&f, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0", NULL);
	put_entry(&f, &plain_a, no_lines, sizeof(no_lines));
	assert_damaged(&f, "sparse map is malformed or too large");
	put_pax(&g, 'x', "GNU.sparse.map=0,5", NULL);
	put_head(&g, &(struct head){.type = '5', .name = "a"});
	assert_damaged(&g, "sparse map of something else");
	str_clear(&g);
	put_pax(&g, 'x', "GNU.sparse.map=0,5", NULL);
	put_old_sparse(&g, 2, 5000);
	assert_damaged(&g, "sparse map of something else");
}

/* A map that does not end: bounded, and it goes forward. */
static void endless(void **state)
{
	char at[512 - 386] = {0}, block[TAR_BLOCK] = {0};
	struct head h = {.magic = GNU,
			 .type = 'S',
			 .at = at,
			 .at_off = 386,
			 .at_len = sizeof(at)};
	autostr old = {0}, text = {0}, lines = {0};

	at[482 - 386] = 1;
	put_head(&old, &h);
	block[504] = 1;
	for (size_t i = 0; i <= TAR_HEADER_MAX; i += TAR_BLOCK)
		put_bytes(&old, block, sizeof(block));
	assert_damaged(&old, "sparse map is malformed or too large");

	put_pax(&lines, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0", NULL);
	text.max = TARBALL_MAX;
	str_add(&text, "1000000\n");
	for (int i = 0; i < 300000; i++)
		str_addf(&text, "%d\n1\n", 2 * i);
	put_entry(&lines, &plain_a, text.buf, text.len);
	assert_damaged(&lines, "sparse map is malformed or too large");
	/* Pairs that are not there. */
	str_clear(&lines);
	str_clear(&text);
	put_pax(&lines, 'x', "GNU.sparse.major=1", "GNU.sparse.minor=0", NULL);
	str_add(&text, "200\n");
	for (int i = 0; text.len < TAR_BLOCK; i++)
		str_addf(&text, "%d\n1\n", 100 + 2 * i);
	str_truncate(&text, TAR_BLOCK);
	put_entry(&lines, &plain_a, text.buf, text.len);
	assert_damaged(&lines, "sparse map ends beyond its file");
	str_clear(&lines);
	put_pax(&lines, 'x', "GNU.sparse.numblocks=3", "GNU.sparse.map=0,1",
		NULL);
	put_entry(&lines, &plain_a, "x", 1);
	assert_damaged(&lines, "sparse map does not have its length");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_fields),
		cmocka_unit_test(pax_records),
		cmocka_unit_test(pax_lines),
		cmocka_unit_test(damaged),
		cmocka_unit_test(damaged_otherwise),
		cmocka_unit_test(endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
