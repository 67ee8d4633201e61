/* SPDX-License-Identifier: Apache-2.0 */
#include "layer/toc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toc-fixture.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C64 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define DIG(h) "\"digest\":\"sha256:" h "\""
#define CDIG(h) "\"chunkDigest\":\"sha256:" h "\""
#define REG(name) "{\"name\":\"" name "\",\"type\":\"reg\""
#define CHUNK "{\"name\":\"f\",\"type\":\"chunk\""
#define NONE " 0 0:0 0 0.000000000"

/* For both kinds alike. */
static const struct {
	const char *entries, *text;
} good[] = {
	{"", ""},
	/* Types and what belongs to them only. */
	{REG("a") "}", "- a" NONE "\n"},
	{"{\"name\":\"d/\",\"type\":\"dir\",\"mode\":16877,\"size\":7}",
	 "d d/ 755 0:0 0 0.000000000\n"},
	{"{\"name\":\"l\",\"type\":\"symlink\",\"linkName\":\"../x y\"}",
	 "l l" NONE " -> ../x y\n"},
	{"{\"name\":\"h\",\"type\":\"hardlink\",\"linkName\":\"a\"}",
	 "h h" NONE " -> a\n"},
	{"{\"name\":\"h\",\"type\":\"hardlink\"}", "h h" NONE " -> \n"},
	{"{\"name\":\"c\",\"type\":\"char\",\"devMajor\":1,\"devMinor\":3,"
	 "\"linkName\":\"no\"}",
	 "c c" NONE " dev 1,3\n"},
	{"{\"name\":\"b\",\"type\":\"block\",\"devMajor\":4294967295}",
	 "b b" NONE " dev 4294967295,0\n"},
	{"{\"name\":\"p\",\"type\":\"fifo\",\"devMajor\":9}", "p p" NONE "\n"},
	{REG("var/.wh.gone") "}", "- var/.wh.gone" NONE "\n"},
	{REG("") "}", "- " NONE "\n"},
	{REG("\xc3\xa9\xf0\x9f\x90\xb3\\n") "}",
	 "- \xc3\xa9\xf0\x9f\x90\xb3\n" NONE "\n"},
	/* Owners, modes, times. */
	{REG("a") ",\"mode\":36333,\"uid\":4294967295,\"gid\":1000}",
	 "- a 6755 4294967295:1000 0 0.000000000\n"},
	{REG("a") ",\"modtime\":\"2024-05-01T10:00:00Z\"}",
	 "- a 0 0:0 0 1714557600.000000000\n"},
	{REG("a") ",\"modtime\":\"2024-05-01T12:00:00.25+02:00\"}",
	 "- a 0 0:0 0 1714557600.250000000\n"},
	{REG("a") ",\"modtime\":\"1969-12-31T23:59:59.000000001Z\"}",
	 "- a 0 0:0 0 -1.000000001\n"},
	{REG("a") ",\"modtime\":\"0001-01-01T00:00:00Z\"}", "- a" NONE "\n"},
	{REG("a") ",\"modtime\":\"\",\"accesstime\":\"no\"}", "- a" NONE "\n"},
	/* Extended attributes, of any bytes. */
	{REG("a") ",\"xattrs\":{\"user.a\":\"AP8KCw==\",\"user.b\":\"\","
		  "\"user.c\":null,\"security.capability\":\"AQ==\"}}",
	 "- a" NONE
	 " user.a=00ff0a0b user.b= user.c= security.capability=01\n"},
	{REG("a") ",\"xattrs\":null}", "- a" NONE "\n"},
	/* One piece: the digest may be the file's or the chunk's. */
	{REG("f") ",\"size\":5,\"offset\":100," DIG(A64) "}",
	 "- f 0 0:0 5 0.000000000 [0+5 at 100-LIMIT+0 aa]\n"},
	{REG("f") ",\"size\":5,\"offset\":100," CDIG(B64) "}",
	 "- f 0 0:0 5 0.000000000 [0+5 at 100-LIMIT+0 bb]\n"},
	{REG("f") ",\"size\":5,\"chunkSize\":5,\"offset\":100," DIG(
		 A64) "," CDIG(A64) "}",
	 "- f 0 0:0 5 0.000000000 [0+5 at 100-LIMIT+0 aa]\n"},
	/* The next start is the end, in whatever order they are told. */
	{REG("f") ",\"size\":5,\"offset\":100," DIG(
		 A64) "},"
		      "{\"name\":\"d\",\"type\":\"dir\"}," REG("e") "}," REG(
			      "g") ",\"size\":6,\"offset\":"
				   "300," DIG(B64) "}," REG(
					   "h") ",\"size\":7,\"offset\":"
						"200," DIG(C64) "}",
	 "- f 0 0:0 5 0.000000000 [0+5 at 100-200+0 aa]\n"
	 "d d" NONE "\n"
	 "- e" NONE "\n"
	 "- g 0 0:0 6 0.000000000 [0+6 at 300-LIMIT+0 bb]\n"
	 "- h 0 0:0 7 0.000000000 [0+7 at 200-300+0 cc]\n"},
	/* A start is seen wherever it stands, if it is one. */
	{"{ \"offset\" :\t100 , \"x\" : {\"offset\":150} , \"y\" : \"offset\", "
	 "\"name\" : \"f\\\"\", \"type\" : \"reg\", \"size\" : 5, " DIG(
		 A64) "},"
		      "{\"xattrs\":{\"offset\":\"MTc1\"},\"name\":\"\\\","
		      "\\\"offset\\\":160\","
		      "\"type\":\"reg\",\"size\":1,\"offset\":200," DIG(
			      B64) "}",
	 "- f\" 0 0:0 5 0.000000000 [0+5 at 100-200+0 aa]\n"
	 "- \",\"offset\":160 0 0:0 1 0.000000000 offset=313735"
	 " [0+1 at 200-LIMIT+0 bb]\n"},
	/* Several in one. */
	{REG("f") ",\"size\":5,\"offset\":100," DIG(A64) "}," REG(
		 "g") ",\"size\":6,\"offset\":100,\"innerOffset\":"
		      "1024," DIG(B64) "}," REG("h") ",\"size\":7,"
						     "\"offset\":"
						     "200," DIG(C64) "}",
	 "- f 0 0:0 5 0.000000000 [0+5 at 100-200+0 aa]\n"
	 "- g 0 0:0 6 0.000000000 [0+6 at 100-200+1024 bb]\n"
	 "- h 0 0:0 7 0.000000000 [0+7 at 200-LIMIT+0 cc]\n"},
	/* Chunks. */
	{REG("f") ",\"size\":10,\"chunkSize\":4,\"offset\":100," DIG(
		 C64) "," CDIG(A64) "}," CHUNK
				    ",\"chunkOffset\":4,\"chunkSize\":4,"
				    "\"offset\":200," CDIG(
					    B64) "}," CHUNK
						 ",\"chunkOffset\":8,"
						 "\"offset\":300," CDIG(
							 C64) "}," REG("e") "}",
	 "- f 0 0:0 10 0.000000000 [0+4 at 100-200+0 aa] [4+4 at 200-300+0 bb]"
	 " [8+2 at 300-LIMIT+0 cc]\n"
	 "- e" NONE "\n"},
	/* Zeros are no piece, wherever. */
	{REG("f") ",\"size\":10,\"chunkSize\":4,\"offset\":100," CDIG(
		 A64) "}," CHUNK ",\"chunkOffset\":4,\"chunkSize\":6,"
		      "\"chunkType\":\"zeros\","
		      "\"offset\":150}",
	 "- f 0 0:0 10 0.000000000 [0+4 at 100-150+0 aa]\n"},
	{REG("f") ",\"size\":10,\"chunkSize\":4,\"chunkType\":\"zeros\"}," CHUNK
		  ",\"chunkOffset\":4,\"chunkSize\":6,\"offset\":150," CDIG(
			  B64) "}",
	 "- f 0 0:0 10 0.000000000 [4+6 at 150-LIMIT+0 bb]\n"},
	{REG("f") ",\"size\":9223372036854775807,\"chunkType\":\"zeros\"}",
	 "- f 0 0:0 9223372036854775807 0.000000000\n"},
	/* Empty ones, as the first containers wrote them. */
	{REG("f") ",\"size\":6,\"chunkSize\":4,\"offset\":100," CDIG(
		 A64) "}," CHUNK ",\"chunkOffset\":4,\"offset\":150}," CHUNK
		      ",\"chunkOffset\":4,\"chunkSize\":2,\"offset\":150," CDIG(
			      B64) "}," CHUNK
				   ",\"chunkOffset\":6,\"offset\":160}",
	 "- f 0 0:0 6 0.000000000 [0+4 at 100-150+0 aa]"
	 " [4+2 at 150-160+0 bb]\n"},
	/* Where the file's content ends, if that is told. */
	{REG("f") ",\"size\":5,\"offset\":100,\"endOffset\":130," DIG(
		 A64) "}," REG("g") ",\"size\":5,\"offset\":200,\"endOffset\":"
				    "999," DIG(A64) "}," REG(
					    "h") ",\"size\":5,"
						 "\"offset\":"
						 "300,"
						 "\"endOffset"
						 "\":340," DIG(A64) "}",
	 "- f 0 0:0 5 0.000000000 [0+5 at 100-130+0 aa]\n"
	 "- g 0 0:0 5 0.000000000 [0+5 at 200-300+0 aa]\n"
	 "- h 0 0:0 5 0.000000000 [0+5 at 300-340+0 aa]\n"},
	{REG("f") ",\"size\":9,\"offset\":100,\"endOffset\":170,"
		  "\"chunkSize\":4," CDIG(
			  A64) "}," CHUNK
			       ",\"chunkOffset\":4,\"offset\":150," CDIG(
				       B64) "}",
	 "- f 0 0:0 9 0.000000000 [0+4 at 100-150+0 aa]"
	 " [4+5 at 150-170+0 bb]\n"},
	/* Twice the same name; both are given. */
	{REG("a") ",\"mode\":1}," REG("a") ",\"mode\":2}",
	 "- a 1 0:0 0 0.000000000\n- a 2 0:0 0 0.000000000\n"},
	/* What belongs to the format; elsewhere those are names. */
	{REG(".no.prefetch.landmark") ",\"size\":1,\"offset\":9," DIG(
		 A64) "}," REG("./stargz.index.json") "}," REG("d/"
							       ".no.prefetch."
							       "landmark") "}",
	 "- d/.no.prefetch.landmark" NONE "\n"},
};

/* The entries between, and "LIMIT" as this kind has it. */
static void expect(enum toc_kind kind, const char *entries, const char *text)
{
	const char *limit = kind == TOC_ESTARGZ ? "100000" : "99992";
	struct str json = {.buf = NULL}, want = {.buf = NULL};
	const char *at;
	autoresult res = {.r = 1};

	assert_int_equal(
		str_addf(&json, "{\"version\":1,\"entries\":[%s]}", entries),
		0);
	assert_int_equal(str_add(&want, ""), 0);
	while ((at = strstr(text, "LIMIT"))) {
		assert_int_equal(str_addn(&want, text, (size_t)(at - text)), 0);
		assert_int_equal(str_add(&want, limit), 0);
		text = at + strlen("LIMIT");
	}
	assert_int_equal(str_add(&want, text), 0);
	read_json(kind, json.buf, &res);
	if (res.r != 0)
		fail_msg("%s: %d %s", entries, res.r, res.error);
	assert_string_equal(res.text.buf, want.buf);
	assert_int_equal(res.info.codec,
			 kind == TOC_ESTARGZ ? CODEC_GZIP : CODEC_ZSTD);
	str_done(&json);
	str_done(&want);
}

static void reads(void **state)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		expect(TOC_ESTARGZ, good[i].entries, good[i].text);
		expect(TOC_ZCHUNKED, good[i].entries, good[i].text);
	}
}

static const struct {
	const char *entries, *error;
} bad[] = {
	{"{\"name\":\"a\",\"type\":\"reg\",\"type\":\"dir\"}", "line 1"},
	{REG("\xff") "}", "line 1"},
	{REG("\\u0000") "}", "line 1"},
	{REG("a") ",\"x\"}", "line 1"},
	{"{\"name\":\"a\"}", "type: missing"},
	{"{\"name\":\"a\",\"type\":\"socket\"}", "type: unknown"},
	{"{\"name\":\"a\",\"type\":1}", "type: not a string"},
	{"{\"type\":\"reg\"}", "name: missing"},
	{REG("a\xef\xbf\xbd") "}", "cannot be in a table"},
	{REG("a\\ufffd") "}", "cannot be in a table"},
	{"{\"name\":\"l\",\"type\":\"symlink\",\"linkName\":\"\\ufffd\"}",
	 "cannot be in a table"},
	{REG("a") ",\"mode\":-1}", "mode: negative"},
	{REG("a") ",\"uid\":4294967296}", "uid: greater"},
	{REG("a") ",\"gid\":\"0\"}", "gid: not an integer"},
	{REG("a") ",\"modtime\":\"yesterday\"}", "modtime"},
	{REG("a") ",\"modtime\":\"2024-13-01T10:00:00Z\"}", "modtime"},
	{"{\"name\":\"c\",\"type\":\"char\",\"devMinor\":-3}", "devMinor"},
	{REG("a") ",\"xattrs\":[]}", "xattrs: not an object"},
	{REG("a") ",\"xattrs\":{\"user.a\":1}}", "user.a: not a string"},
	{REG("a") ",\"xattrs\":{\"user.a\":\"!\"}}", "not base64"},
	{REG("f") ",\"size\":-5}", "size: negative"},
	{REG("f") ",\"size\":9223372036854775808}", "line 1"},
	{REG("f") ",\"size\":1e3}", "size: not an integer"},
	/* Content must be somewhere, and there must be a digest. */
	{REG("f") ",\"size\":5," DIG(A64) "}", "f: content without an offset"},
	{REG("f") ",\"size\":5,\"offset\":100}", "f: content without a digest"},
	{REG("f") ",\"size\":5,\"offset\":-1," DIG(A64) "}",
	 "offset: negative"},
	{REG("f") ",\"size\":5,\"offset\":100000," DIG(A64) "}", "behind the"},
	{REG("f") ",\"size\":5,\"offset\":9223372036854775807," DIG(A64) "}",
	 "behind the table"},
	{REG("f") ",\"size\":5,\"offset\":100,\"innerOffset\":268435457," DIG(
		 A64) "}",
	 "innerOffset: greater"},
	{REG("f") ",\"size\":5,\"offset\":100,\"digest\":\"md5:00\"}",
	 "digest: not a SHA-256"},
	{REG("f") ",\"size\":5,\"offset\":100,\"chunkDigest\":\"sha256:aa\"}",
	 "chunkDigest: not a SHA-256"},
	{REG("f") ",\"size\":5,\"offset\":100," DIG(A64) "," CDIG(B64) "}",
	 "f: two digests"},
	{REG("f") ",\"size\":5,\"offset\":100,\"endOffset\":100," DIG(A64) "}",
	 "f: content ends"},
	{REG("f") ",\"size\":5,\"offset\":100,\"endOffset\":100001," DIG(
		 A64) "}",
	 "f: content ends"},
	/* Chunks must follow each other, from the file's start to its end. */
	{CHUNK "}", "a chunk without a file"},
	{"{\"name\":\"d\",\"type\":\"dir\"}," CHUNK "}", "a chunk without"},
	{REG("f") ",\"size\":5,\"chunkOffset\":1,\"offset\":100," CDIG(A64) "}",
	 "not at its start"},
	{REG("f") ",\"size\":5,\"chunkSize\":4,\"offset\":100," CDIG(A64) "}",
	 "do not join"},
	{REG("f") ",\"size\":5,\"chunkSize\":6,\"offset\":100," CDIG(A64) "}",
	 "do not join"},
	{REG("f") ",\"chunkSize\":6,\"offset\":100," CDIG(A64) "}",
	 "do not join"},
	{REG("f") ",\"size\":8,\"chunkSize\":4,\"offset\":100," CDIG(
		 A64) "}," CHUNK
		      ",\"chunkOffset\":5,\"offset\":150," CDIG(A64) "}",
	 "do not join"},
	{REG("f") ",\"size\":8,\"chunkSize\":4,\"offset\":100," CDIG(
		 A64) "}," CHUNK
		      ",\"chunkOffset\":3,\"offset\":150," CDIG(A64) "}",
	 "do not join"},
	{REG("f") ",\"size\":8,\"chunkSize\":4,\"offset\":100," CDIG(
		 A64) "}," CHUNK
		      ",\"chunkOffset\":4,\"chunkSize\":9223372036854775807,"
		      "\"offset\":150," CDIG(A64) "}",
	 "do not join"},
	{REG("f") ",\"size\":8,\"chunkSize\":4,\"offset\":100," CDIG(
		 A64) "}," CHUNK
		      ",\"chunkOffset\":9,\"offset\":150," CDIG(A64) "}",
	 "a chunk behind its end"},
	{REG("f") ",\"size\":8,\"offset\":100," CDIG(
		 A64) "}," CHUNK
		      ",\"chunkOffset\":4,\"offset\":150," CDIG(
			      A64) "}," CHUNK
				   ",\"chunkOffset\":2,\"offset\":170," CDIG(
					   A64) "}",
	 "do not join"},
	{REG("f") ",\"size\":8,\"chunkSize\":4,\"offset\":100," DIG(
		 A64) "," CDIG(A64) "}," CHUNK
				    ",\"chunkOffset\":4,\"offset\":150}",
	 "f: content without a digest"},
	{REG("f") ",\"size\":8,\"chunkType\":\"ones\"}", "chunkType: unknown"},
};

static void refuse(enum toc_kind kind, const char *entries, const char *error)
{
	struct str json = {.buf = NULL};
	autoresult res = {.r = 1};

	assert_int_equal(
		str_addf(&json, "{\"version\":1,\"entries\":[%s]}", entries),
		0);
	read_json(kind, json.buf, &res);
	if (res.r != -EBADMSG || !strstr(res.error, error))
		fail_msg("%s: %d %s", entries, res.r, res.error);
	str_done(&json);
}

static void refuses(void **state)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		refuse(TOC_ESTARGZ, bad[i].entries, bad[i].error);
		refuse(TOC_ZCHUNKED, bad[i].entries, bad[i].error);
	}
}

/* A name or a value over the limit of an entry's attributes. */
static void bounds_xattrs(void **state)
{
	for (size_t more = 0; more < 2; more++) {
		struct str s = {.buf = NULL};
		autoresult res = {.r = 1};
		size_t values = LAYER_XATTR_MAX - strlen("user.a") + more;
		char *zeros = calloc(1, values);

		assert_non_null(zeros);
		assert_int_equal(
			str_add(&s, "{\"entries\":[{\"name\":\"d\",\"type\":"
				    "\"dir\",\"xattrs\":{\"user.a\":\""),
			0);
		assert_int_equal(base64_encode(zeros, values, &s), 0);
		assert_int_equal(str_add(&s, "\"}},{}]}"), 0);
		/* It is the next entry that is refused then. */
		read_json(TOC_ZCHUNKED, s.buf, &res);
		free(zeros);
		str_done(&s);
		assert_int_equal(res.r, -EBADMSG);
		assert_non_null(strstr(res.error, more ? "xattrs: too large"
						       : "type: missing"));
	}
}

static void tells_prefetch(void **state)
{
	static const char mark[] = REG(".prefetch.landmark");
	static const struct {
		const char *offset;
		uint64_t end;
	} t[] = {{"77", 77}, {"100001", 0}};
	struct str s = {.buf = NULL};

	for (size_t i = 0; i < COUNT(t); i++) {
		autoresult res = {.r = 1};

		str_clear(&s);
		assert_int_equal(
			str_addf(&s,
				 "{\"entries\":[" REG(
					 "a") "},%s,"
					      "\"offset\":%s}," REG("b") "}]}",
				 mark, t[i].offset),
			0);
		read_json(TOC_ESTARGZ, s.buf, &res);
		assert_int_equal(res.r, 0);
		assert_int_equal(res.info.prefetch_end, t[i].end);
		assert_int_equal(res.info.entries, 2);
	}
	str_done(&s);
}

/* Nothing is given out of a table that is not the declared one. */
static void checks_digest(void **state)
{
	static const char json[] = "{\"entries\":[" REG("a") "}]}";

	for (int kind = TOC_ESTARGZ; kind <= TOC_ZCHUNKED; kind++) {
		autopacked p = pack_table(kind, json);
		struct toc_claim c = claim_for(kind, &p, json);
		autoresult res = {.r = 1};

		c.digest[31] ^= 1;
		read_packed(&c, &p, 0, &res);
		assert_int_equal(res.r, -EBADMSG);
		assert_non_null(strstr(res.error, "digest"));
		assert_string_equal(res.text.buf, "");
	}
}

/* Either digest will do for zstd:chunked. */
static void checks_digest_of_json(void **state)
{
	static const char json[] = "{\"entries\":[" REG("a") "}]}";
	autopacked p = pack_table(TOC_ZCHUNKED, json);
	struct toc_claim c = claim_for(TOC_ESTARGZ, &p, json);
	autoresult res = {.r = 1}, again = {.r = 1};

	c.kind = TOC_ZCHUNKED;
	read_packed(&c, &p, strlen(json), &res);
	assert_int_equal(res.r, 0);
	c.digest[0] ^= 0x80;
	read_packed(&c, &p, 0, &again);
	assert_int_equal(again.r, -EBADMSG);
	assert_string_equal(again.text.buf, "");
}

/* With the digest of the packed bytes, or of what they decode to, right. */
static void refuses_damage(void **state)
{
	static const char json[] = "{\"entries\":[" REG("a") "}]}";

	for (int kind = TOC_ESTARGZ; kind <= TOC_ZCHUNKED; kind++) {
		autopacked p = pack_table(kind, json);

		for (size_t cut = 0; cut < p.len; cut++) {
			struct packed q = {.v = p.v, .len = cut};
			struct toc_claim c = claim_for(kind, &q, json);
			autoresult res = {.r = 1};

			/* Behind the JSON, gzip has only padding and a sum. */
			read_packed(&c, &q, 0, &res);
			if (kind == TOC_ESTARGZ && res.r == 0 && cut > 60)
				continue;
			assert_int_equal(res.r, -EBADMSG);
			assert_string_equal(res.text.buf, "");
			assert_true(*res.error);
		}
	}
}

static void refuses_other_lengths(void **state)
{
	static const char json[] = "{\"entries\":[]}";
	autopacked p = pack_table(TOC_ZCHUNKED, json);
	struct toc_claim c = claim_for(TOC_ZCHUNKED, &p, json);
	struct toc_place place = {.off = TABLE_OFF, .packed_bytes = p.len + 1};
	autoresult res = {.r = 1};
	char error[40] = "";

	read_packed(&c, &p, strlen(json) + 1, &res);
	assert_int_equal(res.r, -EBADMSG);
	assert_int_equal(toc_read(&c, &place, p.v, p.len, describe, NULL, NULL,
				  error, sizeof(error)),
			 -EBADMSG);
	place = (struct toc_place){.off = 7, .packed_bytes = p.len};
	assert_int_equal(toc_read(&c, &place, p.v, p.len, describe, NULL, NULL,
				  error, sizeof(error)),
			 -EBADMSG);
	c.kind = TOC_NONE;
	assert_int_equal(
		toc_read(&c, &place, p.v, p.len, describe, NULL, NULL, NULL, 0),
		-EBADMSG);
}

/* Blanks cost nothing when packed: the limit is that of the JSON. */
static void bounds_json(void **state)
{
	static const char head[] = "{\"entries\":[", tail[] = "]}";
	size_t room = ZSTD_compressBound(1 << 20), done = 0;
	ZSTD_CCtx *z = ZSTD_createCCtx();
	autopacked p = {.v = malloc(room)};
	char *blanks = malloc(1 << 20);
	autoresult res = {.r = 1};
	struct toc_claim c;

	assert_non_null(z);
	assert_non_null(p.v);
	assert_non_null(blanks);
	memset(blanks, ' ', 1 << 20);
	while (done <= TOC_JSON_MAX) {
		ZSTD_inBuffer in = {.src = done ? blanks : head,
				    .size = done ? 1 << 20 : sizeof(head) - 1};
		ZSTD_outBuffer out = {.dst = p.v, .size = room, .pos = p.len};

		done += in.size;
		ZSTD_compressStream2(z, &out, &in, ZSTD_e_continue);
		assert_int_equal(in.pos, in.size);
		p.len = out.pos;
	}
	for (size_t left = 1; left;) {
		ZSTD_inBuffer in = {.src = tail, .size = sizeof(tail) - 1};
		ZSTD_outBuffer out = {.dst = p.v, .size = room, .pos = p.len};

		left = ZSTD_compressStream2(z, &out, &in, ZSTD_e_end);
		p.len = out.pos;
	}
	c = claim_for(TOC_ZCHUNKED, &p, "");
	read_packed(&c, &p, 0, &res);
	assert_int_equal(res.r, -EBADMSG);
	assert_non_null(strstr(res.error, "larger"));
	free(blanks);
	ZSTD_freeCCtx(z);
}

static int stop(void *arg, const struct layer_entry *e)
{
	int *calls = arg;

	(*calls)++;
	return e->path[0] == 'b' ? 42 : 0;
}

static void stops_when_told(void **state)
{
	static const char json[] =
		"{\"entries\":[" REG("a") "}," REG("b") "}," REG("c") "}]}";
	autopacked p = pack_table(TOC_ESTARGZ, json);
	struct toc_claim c = claim_for(TOC_ESTARGZ, &p, json);
	struct toc_place place = {.off = TABLE_OFF, .packed_bytes = p.len};
	struct toc_info info = {.entries = 99};
	char error[40] = "";
	int calls = 0;

	assert_int_equal(toc_read(&c, &place, p.v, p.len, stop, &calls, &info,
				  error, sizeof(error)),
			 42);
	assert_int_equal(calls, 2);
	assert_int_equal(info.entries, 99);
	assert_string_equal(error, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(bounds_xattrs),
		cmocka_unit_test(tells_prefetch),
		cmocka_unit_test(checks_digest),
		cmocka_unit_test(checks_digest_of_json),
		cmocka_unit_test(refuses_damage),
		cmocka_unit_test(refuses_other_lengths),
		cmocka_unit_test(bounds_json),
		cmocka_unit_test(stops_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
