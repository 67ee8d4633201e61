/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tables of contents from JSON, packed and declared as real ones are, and what
 * their reader makes of them, as text.  Include after <cmocka.h>.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include "layer/toc.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/hash.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TABLE_OFF 100000 /* where the tables of tests are in their blobs */

struct packed {
	uint8_t *v;
	size_t len;
};

__attribute__((unused)) static void packed_done(struct packed *p)
{
	free(p->v);
}

#define autopacked __attribute__((cleanup(packed_done))) struct packed

__attribute__((unused)) static struct packed pack_gzip(const void *bytes,
						       size_t len)
{
	struct packed p = {.v = malloc(len + 1000), .len = 0};
	z_stream z = {.next_in = bytes,
		      .avail_in = (unsigned int)len,
		      .next_out = p.v,
		      .avail_out = (unsigned int)len + 1000};

	assert_non_null(p.v);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	p.len = z.total_out;
	deflateEnd(&z);
	return p;
}

__attribute__((unused)) static struct packed pack_zstd(const void *bytes,
						       size_t len)
{
	size_t room = ZSTD_compressBound(len);
	struct packed p = {.v = malloc(room)};

	assert_non_null(p.v);
	p.len = ZSTD_compress(p.v, room, bytes, len, 3);
	assert_false(ZSTD_isError(p.len));
	return p;
}

/* In an archive of its own, with a header of that name. */
__attribute__((unused)) static struct packed
pack_estargz(const char *name, char type, const char *json, size_t len)
{
	size_t total = 512 + (len + 511) / 512 * 512 + 1024;
	char *tar = calloc(1, total);
	struct packed p;

	assert_non_null(tar);
	snprintf(tar, 100, "%s", name);
	snprintf(tar + 124, 12, "%011o", (unsigned int)len & 077777777);
	tar[156] = type;
	memcpy(tar + 512, json, len);
	p = pack_gzip(tar, total);
	free(tar);
	return p;
}

__attribute__((unused)) static struct packed pack_table(enum toc_kind kind,
							const char *json)
{
	size_t len = strlen(json);

	return kind == TOC_ESTARGZ
		       ? pack_estargz("stargz.index.json", '0', json, len)
		       : pack_zstd(json, len);
}

/* One line for each entry. */
__attribute__((unused)) static int describe(void *arg,
					    const struct layer_entry *e)
{
	static const char letters[] = "-dlhcbp";
	struct str *s = arg;
	int r = 0;

	r |= str_addf(s, "%c %s %o %u:%u %llu %lld.%09u", letters[e->type],
		      e->path, e->mode, e->uid, e->gid,
		      (unsigned long long)e->size_bytes, (long long)e->mtime_s,
		      e->mtime_ns);
	if (e->link)
		r |= str_addf(s, " -> %s", e->link);
	if (e->type == LAYER_CHAR || e->type == LAYER_BLOCK)
		r |= str_addf(s, " dev %u,%u", e->major, e->minor);
	for (size_t i = 0; i < e->xattrs_len; i++) {
		char hex[64];

		if (e->xattrs[i].len > 30)
			snprintf(hex, sizeof(hex), "%zu", e->xattrs[i].len);
		else
			hex_encode(e->xattrs[i].value, e->xattrs[i].len, hex);
		r |= str_addf(s, " %s=%s", e->xattrs[i].name, hex);
	}
	for (size_t i = 0; i < e->pieces_len; i++) {
		const struct layer_piece *p = &e->pieces[i];

		assert_true(p->has_digest);
		r |= str_addf(s, " [%llu+%llu at %llu-%llu+%llu %02x]",
			      (unsigned long long)p->off,
			      (unsigned long long)p->bytes,
			      (unsigned long long)p->src_off,
			      (unsigned long long)p->src_end,
			      (unsigned long long)p->inner_off, p->digest[0]);
	}
	assert_int_equal(e->path_len, strlen(e->path));
	assert_int_equal(e->link_len, e->link ? strlen(e->link) : 0);
	assert_int_equal(e->in_pieces, e->type == LAYER_FILE);
	assert_int_equal(r | str_addc(s, '\n'), 0);
	return 0;
}

struct result {
	int r;
	struct str text;
	struct toc_info info;
	char error[200];
};

__attribute__((unused)) static void result_done(struct result *res)
{
	str_done(&res->text);
}

#define autoresult __attribute__((cleanup(result_done))) struct result

/* With a digest that is right. */
__attribute__((unused)) static struct toc_claim
claim_for(enum toc_kind kind, const struct packed *p, const char *json)
{
	struct toc_claim c = {.kind = kind,
			      .digest_of_json = kind == TOC_ESTARGZ};
	uint8_t digest[HASH_MAX];

	if (c.digest_of_json)
		hash_once(HASH_SHA256, json, strlen(json), digest);
	else
		hash_once(HASH_SHA256, p->v, p->len, digest);
	memcpy(c.digest, digest, sizeof(c.digest));
	return c;
}

__attribute__((unused)) static void read_packed(const struct toc_claim *c,
						const struct packed *p,
						uint64_t json_bytes,
						struct result *ret)
{
	struct toc_place place = {.off = TABLE_OFF,
				  .packed_bytes = p->len,
				  .json_bytes = json_bytes};

	*ret = (struct result){.r = 1};
	assert_int_equal(str_add(&ret->text, ""), 0);
	ret->r = toc_read(c, &place, p->v, p->len, describe, &ret->text,
			  &ret->info, ret->error, sizeof(ret->error));
}

__attribute__((unused)) static void
read_json(enum toc_kind kind, const char *json, struct result *ret)
{
	autopacked p = pack_table(kind, json);
	struct toc_claim c = claim_for(kind, &p, json);

	read_packed(&c, &p, 0, ret);
}

/* Keys and values, ended by a NULL. */
__attribute__((unused)) static const char *annotation(const void *arg,
						      const char *key)
{
	const char *const *pairs = arg;

	for (; *pairs; pairs += 2) {
		if (strcmp(*pairs, key) == 0)
			return pairs[1];
	}
	return NULL;
}
