/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table is decoded twice.  The first time its digest is checked and the
 * places are gathered where pieces start; only then, the second time, entries
 * are given out.  Nothing but one buffer, one element of the JSON and those
 * places is ever held.
 */
#include "layer/toc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/estargz.h"
#include "layer/tocfiles.h"
#include "layer/tocformat.h"
#include "layer/tocjson.h"
#include "layer/zchunked.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/hash.h"
#include "util/str.h"

#define BUFFER_BYTES ((size_t)64 << 10)
#define DIGEST_BYTES 32

AUTOPTR_DEFINE(decoder, decoder_free)
AUTOPTR_DEFINE(tocjson, tocjson_free)

/* The order is that in which claims are read: zstd:chunked may carry the key
 * of eStargz. */
static const struct toc_format *const formats[] = {
	&zchunked_format,
	&estargz_format,
};

#define FORMATS (sizeof(formats) / sizeof(*formats))

int toc_fail(struct json_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

int toc_digest_parse(const char *text, uint8_t ret[DIGEST_BYTES])
{
	static const char prefix[] = "sha256:";
	size_t skip = sizeof(prefix) - 1;

	if (!str_prefix(text, prefix) ||
	    hex_decode(text + skip, strlen(text + skip), ret, DIGEST_BYTES) < 0)
		return -EBADMSG;
	return 0;
}

static const struct toc_format *find_format(enum toc_kind kind)
{
	for (size_t i = 0; i < FORMATS; i++) {
		if (formats[i]->kind == kind)
			return formats[i];
	}
	return NULL;
}

int toc_claim_read(toc_annotation_fn get, const void *arg,
		   struct toc_claim *ret)
{
	struct toc_claim c = {.kind = TOC_NONE};
	int r = 0;

	for (size_t i = 0; r == 0 && i < FORMATS && c.kind == TOC_NONE; i++)
		r = formats[i]->claim(get, arg, &c);
	if (r == 0)
		*ret = c;
	return r;
}

int toc_locate(const struct toc_claim *c, const void *tail, size_t tail_len,
	       uint64_t blob_bytes, struct toc_place *ret)
{
	const struct toc_format *f = find_format(c->kind);
	struct toc_place place = {
		.off = c->off,
		.packed_bytes = c->packed_bytes,
		.json_bytes = c->json_bytes,
	};
	int r = 0;

	if (!f)
		return -EBADMSG;
	if (place.packed_bytes == 0)
		r = f->footer(tail, tail_len, blob_bytes, &place);
	if (r < 0)
		return r;
	if (place.off < f->frame_bytes || place.off > blob_bytes ||
	    place.packed_bytes > blob_bytes - place.off ||
	    place.packed_bytes == 0 || place.packed_bytes > TOC_PACKED_MAX ||
	    place.json_bytes > TOC_JSON_MAX)
		return -EBADMSG;
	*ret = place;
	return 0;
}

/* One time through the table. */
struct pass {
	const struct toc_format *format;
	struct json_error *err;
	struct tocjson *json;
	tocjson_fn element;
	struct hash hash; /* of the JSON */
	uint8_t head[TOC_HEAD_MAX];
	size_t head_len;
	bool told;		 /* json_bytes is */
	uint64_t json_bytes, at; /* of which so many were seen */
	struct tocstarts *starts;
	struct tocfiles *files;
};

static int first_element(void *arg, const char *text, size_t len)
{
	struct pass *p = arg;

	return tocstarts_add(p->starts, text, len, p->err);
}

static int second_element(void *arg, const char *text, size_t len)
{
	struct pass *p = arg;

	return tocfiles_add(p->files, text, len, p->err);
}

/* How many of the bytes belong to the head. */
static int take_head(struct pass *p, const uint8_t *bytes, size_t len,
		     size_t *ret_used)
{
	size_t n = p->format->head_bytes - p->head_len;

	if (n > len)
		n = len;
	memcpy(p->head + p->head_len, bytes, n);
	p->head_len += n;
	*ret_used = n;
	if (n == 0 || p->head_len < p->format->head_bytes)
		return 0;
	p->told = true;
	return p->format->head(p->head, &p->json_bytes, p->err);
}

static int take_json(struct pass *p, const uint8_t *bytes, size_t len)
{
	int r;

	if (p->told && len > p->json_bytes - p->at)
		len = (size_t)(p->json_bytes - p->at);
	if (len > TOC_JSON_MAX - p->at)
		return toc_fail(p->err, "the JSON is larger than %llu bytes",
				(unsigned long long)TOC_JSON_MAX);
	hash_update(&p->hash, bytes, len);
	p->at += len;
	r = tocjson_feed(p->json, bytes, len);
	if (r == -EBADMSG && *tocjson_error(p->json))
		return toc_fail(p->err, "%s", tocjson_error(p->json));
	return r;
}

static int take(struct pass *p, const uint8_t *bytes, size_t len)
{
	size_t used;
	int r;

	r = take_head(p, bytes, len, &used);
	if (r == 0 && p->head_len == p->format->head_bytes)
		r = take_json(p, bytes + used, len - used);
	return r;
}

/* What is behind the JSON is padding, and not looked at. */
static bool complete(const struct pass *p)
{
	return p->told && p->at == p->json_bytes;
}

/* One buffer of decoded bytes. */
static int decode_some(struct pass *p, struct decoder *d, struct decoder_io *in,
		       uint8_t *buf, bool *ret_end)
{
	struct decoder_io io = *in;
	size_t in_len = in->in_len;
	int state, r;

	io.out = buf;
	io.out_len = BUFFER_BYTES;
	state = decoder_run(d, &io);
	if (state == -EBADMSG)
		return toc_fail(p->err, "%s", decoder_error(d));
	if (state < 0)
		return state;
	*in = io;
	if (state != DECODER_END && io.in_len == in_len &&
	    io.out_len == BUFFER_BYTES)
		return toc_fail(p->err, "the table ends too early");
	r = take(p, buf, BUFFER_BYTES - io.out_len);
	*ret_end = state == DECODER_END || complete(p);
	return r;
}

static int decode(struct pass *p, const void *packed, size_t packed_len)
{
	autofree uint8_t *buf = malloc(BUFFER_BYTES);
	struct decoder_io io = {
		.in = packed, .in_len = packed_len, .in_last = true};
	autoptr(decoder) d = NULL;
	bool end = false;
	int r;

	if (!buf)
		return -ENOMEM;
	r = decoder_new(p->format->codec, 0, &d);
	while (r == 0 && !end)
		r = decode_some(p, d, &io, buf, &end);
	if (r != 0)
		return r;
	if (p->told ? !complete(p) : p->at == 0)
		return toc_fail(p->err, "the table ends too early");
	r = tocjson_end(p->json);
	return r < 0 ? toc_fail(p->err, "%s", tocjson_error(p->json)) : 0;
}

static int run(struct pass *p, const void *packed, size_t packed_len,
	       uint8_t ret_digest[HASH_MAX])
{
	autoptr(tocjson) json = NULL;
	int r;

	r = tocjson_new(p->element, p, &json);
	if (r < 0)
		return r;
	p->json = json;
	hash_init(&p->hash, HASH_SHA256);
	r = decode(p, packed, packed_len);
	hash_final(&p->hash, ret_digest);
	p->json = NULL;
	return r;
}

static int check_digest(const struct toc_claim *c, const uint8_t *digest,
			struct json_error *err)
{
	if (memcmp(c->digest, digest, DIGEST_BYTES) != 0)
		return toc_fail(err, "the table is not what its digest says");
	return 0;
}

/* Says nothing of the entries yet. */
static int first_pass(const struct toc_claim *c, const struct toc_place *place,
		      const void *packed, size_t packed_len,
		      struct tocstarts *starts, struct json_error *err)
{
	struct pass p = {.format = find_format(c->kind),
			 .err = err,
			 .element = first_element,
			 .starts = starts};
	uint8_t digest[HASH_MAX];
	int r;

	if (!c->digest_of_json) {
		hash_once(HASH_SHA256, packed, packed_len, digest);
		r = check_digest(c, digest, err);
		if (r < 0)
			return r;
	}
	r = run(&p, packed, packed_len, digest);
	if (r == 0 && c->digest_of_json)
		r = check_digest(c, digest, err);
	if (r == 0 && place->json_bytes && place->json_bytes != p.at)
		r = toc_fail(err, "the JSON has not the length it should have");
	return r;
}

static int second_pass(const struct toc_claim *c, struct tocfiles *files,
		       const void *packed, size_t packed_len,
		       struct json_error *err)
{
	struct pass p = {.format = find_format(c->kind),
			 .err = err,
			 .element = second_element,
			 .files = files};
	uint8_t unused[HASH_MAX];
	int r;

	r = run(&p, packed, packed_len, unused);
	return r != 0 ? r : tocfiles_end(files, err);
}

static int read_table(const struct toc_claim *c, const struct toc_place *place,
		      const void *packed, size_t packed_len,
		      struct tocfiles *files, struct json_error *err)
{
	struct tocstarts starts = {.offs = {.v = NULL}};
	int r;

	if (packed_len != place->packed_bytes)
		return toc_fail(err, "the table ends too early");
	r = first_pass(c, place, packed, packed_len, &starts, err);
	if (r == 0) {
		tocstarts_sort(&starts);
		files->starts = &starts;
		r = second_pass(c, files, packed, packed_len, err);
		files->starts = NULL;
	}
	tocstarts_done(&starts);
	return r;
}

int toc_read(const struct toc_claim *c, const struct toc_place *place,
	     const void *packed, size_t packed_len, layer_entry_fn fn,
	     void *arg, struct toc_info *ret, char *error, size_t error_len)
{
	const struct toc_format *f = find_format(c->kind);
	struct tocfiles files = {.fn = fn, .arg = arg};
	struct json_error err = {""};
	int r;

	if (!f || place->off < f->frame_bytes) {
		r = toc_fail(&err, "no such table");
	} else {
		files.src_limit = place->off - f->frame_bytes;
		r = read_table(c, place, packed, packed_len, &files, &err);
		tocfiles_done(&files);
	}
	if (r == 0)
		*ret = (struct toc_info){
			.codec = f->codec,
			.prefetch_end = files.prefetch_end,
			.entries = files.entries,
		};
	else if (r == -EBADMSG && error_len > 0)
		snprintf(error, error_len, "%s", err.text);
	return r;
}
