/* SPDX-License-Identifier: Apache-2.0 */
#include "layer/estargz.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toc-fixture.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA(h) "sha256:" h

/* The bytes of registries that were seen, at offset 0x1a2b. */
static const uint8_t footer51[] =
	"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0"
	"0000000000001a2bSTARGZ\x01\0\0\xff\xff\0\0\0\0\0\0\0";
static const uint8_t footer47[] =
	"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x16\0"
	"0000000000001a2bSTARGZ\x01\0\0\xff\xff\0\0\0\0\0\0\0";
static const uint8_t external46[] =
	"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x15\0SG\x11\0"
	"STARGZEXTERNALTOC\x01\0\0\xff\xff\0\0\0\0\0\0\0";

_Static_assert(sizeof(footer51) == 51 && sizeof(footer47) == 47 &&
		       sizeof(external46) == 46,
	       "a footer's last zero is the literal's own");

/* Behind other bytes, as the end of a blob of that size. */
static int locate(const uint8_t *footer, size_t len, uint64_t blob_bytes,
		  struct toc_place *ret)
{
	struct toc_claim c = {.kind = TOC_ESTARGZ};
	uint8_t tail[TOC_TAIL_BYTES];

	memset(tail, 0x5a, sizeof(tail));
	memcpy(tail + sizeof(tail) - len, footer, len);
	return toc_locate(&c, tail, sizeof(tail), blob_bytes, ret);
}

static void finds_footers(void **state)
{
	struct toc_place p = {.off = 1};

	assert_int_equal(locate(footer51, 51, 9000, &p), 0);
	assert_int_equal(p.off, 0x1a2b);
	assert_int_equal(p.packed_bytes, 9000 - 51 - 0x1a2b);
	assert_int_equal(p.json_bytes, 0);
	assert_int_equal(locate(footer47, 47, 9000, &p), 0);
	assert_int_equal(p.off, 0x1a2b);
	assert_int_equal(p.packed_bytes, 9000 - 47 - 0x1a2b);
	/* Just one byte of table, and none. */
	assert_int_equal(locate(footer51, 51, 0x1a2b + 52, &p), 0);
	assert_int_equal(p.packed_bytes, 1);
	p.off = 7;
	assert_int_equal(locate(footer51, 51, 0x1a2b + 51, &p), -EBADMSG);
	assert_int_equal(locate(footer47, 47, 0x1a2b, &p), -EBADMSG);
	assert_int_equal(locate(external46, 46, 9000, &p), -EBADMSG);
	assert_int_equal(p.off, 7);
}

static void refuses_other_tails(void **state)
{
	static const size_t matters[] = {0,  1,	 2,  3,	 10, 11, 12, 13, 14,
					 15, 32, 33, 34, 35, 36, 37, 16, 31};
	struct toc_claim c = {.kind = TOC_ESTARGZ};
	uint8_t f[sizeof(footer51)];
	struct toc_place p;

	for (size_t i = 0; i < COUNT(matters); i++) {
		memcpy(f, footer51, sizeof(f));
		f[matters[i]] ^= 0x40;
		assert_int_equal(locate(f, sizeof(f), 9000, &p), -EBADMSG);
	}
	for (size_t len = 0; len < sizeof(footer51); len++)
		assert_int_equal(
			toc_locate(&c, footer51 + 51 - len, len, 9000, &p),
			-EBADMSG);
	/* A blob that is shorter than its footer. */
	assert_int_equal(toc_locate(&c, footer51, 51, 50, &p), -EBADMSG);
	assert_int_equal(toc_locate(&c, footer51, 51, 0, &p), -EBADMSG);
}

static void bounds_offsets(void **state)
{
	static const struct {
		const char *digits;
		uint64_t blob_bytes, off; /* 0: refused */
	} t[] = {
		{"0000000000000001", 100, 1},
		{"ffffffffffffffff", 100, 0},
		{"7fffffffffffffff", INT64_MAX, 0},
		{"00000000FFFFFFFF", (uint64_t)5 << 30, 0}, /* too much */
		{"000000013FFFFF00", (uint64_t)5 << 30, 0x13fffff00},
		{"000000000000000g", 100, 0},
		{"-000000000000001", 100, 0},
		{"              1 ", 100, 0},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		uint8_t f[sizeof(footer51)];
		struct toc_place p = {.off = 0};
		int r;

		memcpy(f, footer51, sizeof(f));
		memcpy(f + 16, t[i].digits, 16);
		r = locate(f, sizeof(f), t[i].blob_bytes, &p);
		if (r != (t[i].off ? 0 : -EBADMSG) || p.off != t[i].off)
			fail_msg("%s: %d", t[i].digits, r);
	}
}

static void reads_claims(void **state)
{
	static const struct {
		const char *pairs[5];
		int r;
		enum toc_kind kind;
	} t[] = {
		{{NULL}, 0, TOC_NONE},
		{{"containerd.io/snapshot/stargz/feature", "x"}, 0, TOC_NONE},
		{{ESTARGZ_DIGEST_KEY, SHA(A64)}, 0, TOC_ESTARGZ},
		{{"io.containers.estargz.uncompressed-size", "123",
		  ESTARGZ_DIGEST_KEY, SHA(A64)},
		 0,
		 TOC_ESTARGZ},
		{{ESTARGZ_DIGEST_KEY, ""}, -EBADMSG, TOC_NONE},
		{{ESTARGZ_DIGEST_KEY, A64}, -EBADMSG, TOC_NONE},
		{{ESTARGZ_DIGEST_KEY, SHA(A64 "a")}, -EBADMSG, TOC_NONE},
		{{ESTARGZ_DIGEST_KEY, "sha256:AA"}, -EBADMSG, TOC_NONE},
		{{ESTARGZ_DIGEST_KEY, "sha512:" A64 A64}, -EBADMSG, TOC_NONE},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct toc_claim c = {.kind = TOC_NONE};

		assert_int_equal(toc_claim_read(annotation, t[i].pairs, &c),
				 t[i].r);
		assert_int_equal(c.kind, t[i].kind);
		if (c.kind == TOC_NONE)
			continue;
		assert_int_equal(c.digest[31], 0xaa);
		assert_true(c.digest_of_json);
		assert_int_equal(c.packed_bytes, 0);
	}
}

static const char json[] = "{\"entries\":[{\"name\":\"a\",\"type\":\"reg\"}] }";

static void checks_its_wrapping(void **state)
{
	static const struct {
		const char *name;
		char type;
		int r;
	} t[] = {
		{"stargz.index.json", '0', 0},
		{"stargz.index.json", '\0', 0},
		{"stargz.index.json", '2', -EBADMSG},
		{"stargz.index.json", 'x', -EBADMSG},
		{"stargz.index.jso", '0', -EBADMSG},
		{"stargz.index.jsonx", '0', -EBADMSG},
		{"./stargz.index.json", '0', -EBADMSG},
		{"", '0', -EBADMSG},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autopacked p = pack_estargz(t[i].name, t[i].type, json,
					    sizeof(json) - 1);
		struct toc_claim c = claim_for(TOC_ESTARGZ, &p, json);
		autoresult res = {.r = 1};

		read_packed(&c, &p, 0, &res);
		assert_int_equal(res.r, t[i].r);
		assert_string_equal(res.text.buf,
				    t[i].r ? "" : "- a 0 0:0 0 0.000000000\n");
	}
}

static void checks_its_size(void **state)
{
	static const struct {
		const char *field; /* twelve bytes */
		int r;
	} t[] = {
		{"00000000050\0", 0},
		{"50          ", 0},
		{"000000000050", 0},
		{"00000000047\0", -EBADMSG},
		{"00000000051\0", -EBADMSG}, /* a NUL behind the JSON */
		{"77777777777\0", -EBADMSG},
		{"777777777777", -EBADMSG},
		{"00000000000\0", -EBADMSG},
		{"           \0", -EBADMSG},
		{"\0\0\0\0\0\0\0\0\0\0\0\0", -EBADMSG},
		{"-0000000050\0", -EBADMSG},
		{"00000000058\0", -EBADMSG},
		{"\x80\0\0\0\0\0\0\0\0\0\0\x28", -EBADMSG},
	};
	char tar[2048] = "stargz.index.json";

	assert_int_equal(strlen(json), 050);
	memcpy(tar + 512, json, strlen(json));
	for (size_t i = 0; i < COUNT(t); i++) {
		autopacked p = {.v = NULL};
		struct toc_claim c;
		autoresult res = {.r = 1};

		memcpy(tar + 124, t[i].field, 12);
		p = pack_gzip(tar, sizeof(tar));
		c = claim_for(TOC_ESTARGZ, &p, json);
		read_packed(&c, &p, 0, &res);
		if (res.r != t[i].r)
			fail_msg("%s: %d %s", t[i].field, res.r, res.error);
	}
}

/* It may be cut into members as its writer likes. */
static void joins_members(void **state)
{
	char tar[2048] = "stargz.index.json";

	memcpy(tar + 124, "00000000050", 12);
	memcpy(tar + 512, json, strlen(json));
	for (size_t cut = 1; cut < 600; cut += 37) {
		autopacked a = pack_gzip(tar, cut);
		autopacked b = pack_gzip(tar + cut, sizeof(tar) - cut);
		autopacked both = {.v = malloc(a.len + b.len),
				   .len = a.len + b.len};
		struct toc_claim c;
		autoresult res = {.r = 1};

		memcpy(both.v, a.v, a.len);
		memcpy(both.v + a.len, b.v, b.len);
		c = claim_for(TOC_ESTARGZ, &both, json);
		read_packed(&c, &both, 0, &res);
		assert_int_equal(res.r, 0);
		assert_int_equal(res.info.entries, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_footers),
		cmocka_unit_test(refuses_other_tails),
		cmocka_unit_test(bounds_offsets),
		cmocka_unit_test(reads_claims),
		cmocka_unit_test(checks_its_wrapping),
		cmocka_unit_test(checks_its_size),
		cmocka_unit_test(joins_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
