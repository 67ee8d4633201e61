/* SPDX-License-Identifier: Apache-2.0 */
#include "layer/zchunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "layer/estargz.h"
#include "toc-fixture.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA(h) "sha256:" h
#define SUM ZCHUNKED_CHECKSUM_KEY, SHA(A64)
#define POS ZCHUNKED_POSITION_KEY
#define OLD_SUM ZCHUNKED_OLD_CHECKSUM_KEY, SHA(A64)
#define OLD_POS ZCHUNKED_OLD_POSITION_KEY
#define JSON_SUM ESTARGZ_DIGEST_KEY, SHA(B64)

static const struct {
	const char *pairs[9];
	int r;
	enum toc_kind kind;
	uint8_t digest;
	bool digest_of_json;
	uint64_t off, packed_bytes, json_bytes;
} claims[] = {
	/* Of containers. */
	{{SUM, POS, "5000008:1200:9000:1"},
	 0,
	 TOC_ZCHUNKED,
	 0xaa,
	 false,
	 5000008,
	 1200,
	 9000},
	{{SUM}, 0, TOC_ZCHUNKED, 0xaa, false, 0, 0, 0},
	{{POS, "5000008:1200:9000:1"}, 0, TOC_NONE, 0, false, 0, 0, 0},
	{{SUM, POS, "9223372036854775807:1:1:1"},
	 0,
	 TOC_ZCHUNKED,
	 0xaa,
	 false,
	 INT64_MAX,
	 1,
	 1},
	/* Of its first versions. */
	{{OLD_SUM, OLD_POS, "8:2:3:1"}, 0, TOC_ZCHUNKED, 0xaa, false, 8, 2, 3},
	/* Of stargz-snapshotter. */
	{{OLD_SUM, OLD_POS, "8:2:3:1", JSON_SUM},
	 0,
	 TOC_ZCHUNKED,
	 0xaa,
	 false,
	 8,
	 2,
	 3},
	{{OLD_POS, "8:2:3:1", JSON_SUM}, 0, TOC_ZCHUNKED, 0xbb, true, 8, 2, 3},
	{{JSON_SUM}, 0, TOC_ESTARGZ, 0xbb, true, 0, 0, 0},
	/* Two tables. */
	{{SUM, POS, "8:2:3:1", JSON_SUM}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, JSON_SUM}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	/* Malformed. */
	{{ZCHUNKED_CHECKSUM_KEY, "sha256:"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{ZCHUNKED_CHECKSUM_KEY, "sha512:" A64 A64},
	 -EBADMSG,
	 TOC_NONE,
	 0,
	 0,
	 0,
	 0,
	 0},
	{{SUM, POS, ""}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:2:3"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:2:3:"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:2:3:2"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:2:3:1:"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:2:3:1:5"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, " 8:2:3:1"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "-8:2:3:1"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8::3:1"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:0:3:1"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "8:2:0:1"}, -EBADMSG, TOC_NONE, 0, 0, 0, 0, 0},
	{{SUM, POS, "9223372036854775810:2:3:1"},
	 -EBADMSG,
	 TOC_NONE,
	 0,
	 0,
	 0,
	 0,
	 0},
	{{SUM, POS, "18446744073709551624:2:3:1"},
	 -EBADMSG,
	 TOC_NONE,
	 0,
	 0,
	 0,
	 0,
	 0},
};

static void reads_claims(void **state)
{
	for (size_t i = 0; i < COUNT(claims); i++) {
		struct toc_claim c = {.kind = TOC_NONE};
		int r = toc_claim_read(annotation, claims[i].pairs, &c);

		if (r != claims[i].r || c.kind != claims[i].kind)
			fail_msg("%s %s: %d", claims[i].pairs[0],
				 claims[i].pairs[3], r);
		assert_int_equal(c.digest[0], claims[i].digest);
		assert_int_equal(c.digest_of_json, claims[i].digest_of_json);
		assert_int_equal(c.off, claims[i].off);
		assert_int_equal(c.packed_bytes, claims[i].packed_bytes);
		assert_int_equal(c.json_bytes, claims[i].json_bytes);
	}
}

static void le(uint8_t *p, int bytes, uint64_t v)
{
	for (; bytes-- > 0; v >>= 8)
		*p++ = (uint8_t)v;
}

/* A tail whose last frame has that length and magic. */
static void make_tail(uint8_t tail[TOC_TAIL_BYTES], size_t len,
		      const char *magic, const uint64_t numbers[4])
{
	uint8_t *p = tail + TOC_TAIL_BYTES - len;

	memset(tail, 0x5a, TOC_TAIL_BYTES);
	le(p - 8, 4, 0x184d2a50);
	le(p - 4, 4, len);
	memset(p, 0, len);
	for (int i = 0; i < 4; i++)
		le(p + 8 * i, 8, numbers[i]);
	memcpy(tail + TOC_TAIL_BYTES - 8, magic, 8);
}

static const struct {
	size_t len;
	const char *magic;
	uint64_t numbers[4], blob_bytes;
	int r;
} footers[] = {
	{64, "GNUlInUx", {5000, 120, 900, 1}, 6000, 0},
	{40, "GnUlInUx", {5000, 120, 900, 1}, 6000, 0},
	{40, "GNUlInUx", {5000, 120, 900, 1}, 6000, 0},
	{64, "GnUlInUx", {5000, 120, 900, 1}, 6000, -EBADMSG},
	{64, "GNUlInUX", {5000, 120, 900, 1}, 6000, -EBADMSG},
	{56, "GNUlInUx", {5000, 120, 900, 1}, 6000, -EBADMSG},
	{64, "GNUlInUx", {5000, 120, 900, 2}, 6000, -EBADMSG},
	/* Within the blob, between its frame's header and the footer. */
	{64, "GNUlInUx", {8, 120, 900, 1}, 200, 0},
	{64, "GNUlInUx", {7, 120, 900, 1}, 200, -EBADMSG},
	{64, "GNUlInUx", {8, 121, 900, 1}, 200, -EBADMSG},
	{40, "GnUlInUx", {8, 120, 900, 1}, 176, 0},
	{40, "GnUlInUx", {8, 120, 900, 1}, 175, -EBADMSG},
	{64, "GNUlInUx", {201, 1, 900, 1}, 200, -EBADMSG},
	{64, "GNUlInUx", {UINT64_MAX, 120, 900, 1}, 6000, -EBADMSG},
	{64, "GNUlInUx", {5000, UINT64_MAX - 4000, 900, 1}, 6000, -EBADMSG},
	{64, "GNUlInUx", {5000, 120, UINT64_MAX, 1}, 6000, -EBADMSG},
	{64, "GNUlInUx", {5000, 0, 900, 1}, 6000, -EBADMSG},
	{64, "GNUlInUx", {5000, 120, 0, 1}, 6000, -EBADMSG},
	{64, "GNUlInUx", {8, 0, 900, 1}, 71, -EBADMSG},
	/* No more than may be held. */
	{64, "GNUlInUx", {8, TOC_PACKED_MAX, 900, 1}, UINT32_MAX, 0},
	{64, "GNUlInUx", {8, TOC_PACKED_MAX + 1, 900, 1}, UINT32_MAX, -EBADMSG},
	{64, "GNUlInUx", {8, 9, TOC_JSON_MAX, 1}, 6000, 0},
	{64, "GNUlInUx", {8, 9, TOC_JSON_MAX + 1, 1}, 6000, -EBADMSG},
};

static void finds_footers(void **state)
{
	struct toc_claim c = {.kind = TOC_ZCHUNKED};
	uint8_t tail[TOC_TAIL_BYTES];

	for (size_t i = 0; i < COUNT(footers); i++) {
		struct toc_place p = {.off = 1};
		int r;

		make_tail(tail, footers[i].len, footers[i].magic,
			  footers[i].numbers);
		r = toc_locate(&c, tail, sizeof(tail), footers[i].blob_bytes,
			       &p);
		if (r != footers[i].r)
			fail_msg("%zu: %d", i, r);
		if (r < 0) {
			assert_int_equal(p.off, 1);
			continue;
		}
		assert_int_equal(p.off, footers[i].numbers[0]);
		assert_int_equal(p.packed_bytes, footers[i].numbers[1]);
		assert_int_equal(p.json_bytes, footers[i].numbers[2]);
	}
}

static void refuses_short_tails(void **state)
{
	static const uint64_t numbers[] = {8, 100, 900, 1};
	struct toc_claim c = {.kind = TOC_ZCHUNKED};
	uint8_t tail[TOC_TAIL_BYTES];
	struct toc_place p;

	make_tail(tail, 64, "GNUlInUx", numbers);
	for (size_t len = 0; len < sizeof(tail); len++)
		assert_int_equal(toc_locate(&c, tail + sizeof(tail) - len, len,
					    6000, &p),
				 -EBADMSG);
	for (size_t i = 0; i < 8; i++) {
		make_tail(tail, 64, "GNUlInUx", numbers);
		tail[i] ^= 1;
		assert_int_equal(toc_locate(&c, tail, sizeof(tail), 6000, &p),
				 -EBADMSG);
	}
}

/* What the manifest says needs no footer, but must be in the blob. */
static void prefers_the_manifest(void **state)
{
	static const struct {
		uint64_t off, packed, json;
		int r;
	} t[] = {
		{8, 192, 900, 0},
		{8, 193, 900, -EBADMSG},
		{7, 192, 900, -EBADMSG},
		{200, 1, 900, -EBADMSG},
		{INT64_MAX, INT64_MAX, 1, -EBADMSG},
		{8, 192, TOC_JSON_MAX + 1, -EBADMSG},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct toc_claim c = {.kind = TOC_ZCHUNKED,
				      .off = t[i].off,
				      .packed_bytes = t[i].packed,
				      .json_bytes = t[i].json};
		struct toc_place p = {.off = 0};

		assert_int_equal(toc_locate(&c, NULL, 0, 200, &p), t[i].r);
		assert_int_equal(p.off, t[i].r ? 0 : t[i].off);
		assert_int_equal(p.packed_bytes, t[i].r ? 0 : t[i].packed);
	}
}

/* The frame's header before the table is none of a file's content. */
static void keeps_off_the_table(void **state)
{
	static const char *const tables[] = {
		"{\"entries\":[{\"name\":\"f\",\"type\":\"reg\",\"size\":1,"
		"\"offset\":99991,\"endOffset\":99992,"
		"\"digest\":\"" SHA(A64) "\"}]}",
		"{\"entries\":[{\"name\":\"f\",\"type\":\"reg\",\"size\":1,"
		"\"offset\":99991,\"endOffset\":99993,"
		"\"digest\":\"" SHA(A64) "\"}]}",
		"{\"entries\":[{\"name\":\"f\",\"type\":\"reg\",\"size\":1,"
		"\"offset\":99992,\"digest\":\"" SHA(A64) "\"}]}",
	};

	for (size_t i = 0; i < COUNT(tables); i++) {
		autoresult res = {.r = 1};

		read_json(TOC_ZCHUNKED, tables[i], &res);
		assert_int_equal(res.r, i == 0 ? 0 : -EBADMSG);
	}
}

/* Made of frames, some of them to be skipped. */
static void joins_frames(void **state)
{
	static const char json[] =
		"{\"entries\":[{\"name\":\"a\",\"type\":\"reg\"}]}";
	static const uint8_t skip[] = {0x50, 0x2a, 0x4d, 0x18, 2,
				       0,    0,	   0,	 9,    9};
	autopacked a = pack_zstd(json, 20);
	autopacked b = pack_zstd(json + 20, sizeof(json) - 21);
	autopacked all = {.v = malloc(a.len + b.len + sizeof(skip)),
			  .len = a.len + b.len + sizeof(skip)};
	struct toc_claim c;
	autoresult res = {.r = 1};

	memcpy(all.v, a.v, a.len);
	memcpy(all.v + a.len, skip, sizeof(skip));
	memcpy(all.v + a.len + sizeof(skip), b.v, b.len);
	c = claim_for(TOC_ZCHUNKED, &all, json);
	read_packed(&c, &all, sizeof(json) - 1, &res);
	assert_int_equal(res.r, 0);
	assert_int_equal(res.info.entries, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_claims),
		cmocka_unit_test(finds_footers),
		cmocka_unit_test(refuses_short_tails),
		cmocka_unit_test(prefers_the_manifest),
		cmocka_unit_test(keeps_off_the_table),
		cmocka_unit_test(joins_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
