/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Archives made by hand, block by block, and what the reader gives for them,
 * one line of text for each entry:
 *
 *   file "a" 644 1:2 5@512 0 [user.x=y]
 *   type  path mode owner  size@place time, then if there are any: "link",
 *   dev=major,minor, {off+bytes@place ...}, [attribute=value]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/tar.h"
#include "util/str.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define TARBALL_MAX ((size_t)64 << 20)

#define USTAR "ustar\00000"
#define GNU "ustar  "
#define V7 "\0\0\0\0\0\0\0"

/* What a header says; fields that are NULL have a usual value. */
struct head {
	const char *magic; /* 8 bytes with its end */
	char type;
	const char *name, *link;
	const char *mode, *uid, *gid, *size, *mtime;
	const char *major, *minor;
	const char *prefix;
	uint64_t bytes;	       /* the size, if the field is NULL */
	const char *at;	       /* these bytes ... */
	size_t at_off, at_len; /* ... there, at last */
};

static void put_field(uint8_t *block, size_t off, size_t len, const char *text)
{
	size_t n = strlen(text);

	memcpy(block + off, text, n < len ? n : len);
}

/* What a reader adds up, with signed or unsigned bytes. */
static void put_sum(uint8_t *block, bool is_signed)
{
	char text[16];
	int sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += is_signed ? (int8_t)block[i] : block[i];
	snprintf(text, sizeof(text), "%06o", (unsigned)sum & 0777777);
	memcpy(block + 148, text, 7);
}

static void make_head(uint8_t block[TAR_BLOCK], const struct head *h)
{
	char size[32];

	memset(block, 0, TAR_BLOCK);
	snprintf(size, sizeof(size), "%011llo", (unsigned long long)h->bytes);
	put_field(block, 0, 100, h->name ? h->name : "");
	put_field(block, 100, 8, h->mode ? h->mode : "0000644");
	put_field(block, 108, 8, h->uid ? h->uid : "0000001");
	put_field(block, 116, 8, h->gid ? h->gid : "0000002");
	put_field(block, 124, 12, h->size ? h->size : size);
	put_field(block, 136, 12, h->mtime ? h->mtime : "00000000000");
	block[156] = (uint8_t)h->type;
	put_field(block, 157, 100, h->link ? h->link : "");
	memcpy(block + 257, h->magic ? h->magic : USTAR, 8);
	put_field(block, 329, 8, h->major ? h->major : "");
	put_field(block, 337, 8, h->minor ? h->minor : "");
	put_field(block, 345, 155, h->prefix ? h->prefix : "");
	if (h->at)
		memcpy(block + h->at_off, h->at, h->at_len);
	put_sum(block, false);
}

static void put_bytes(struct str *tar, const void *bytes, size_t len)
{
	static const char zeros[TAR_BLOCK];

	tar->max = TARBALL_MAX;
	assert_int_equal(str_addn(tar, bytes, len), 0);
	assert_int_equal(str_addn(tar, zeros, -len % TAR_BLOCK), 0);
}

static void put_head(struct str *tar, const struct head *h)
{
	uint8_t block[TAR_BLOCK];

	make_head(block, h);
	put_bytes(tar, block, sizeof(block));
}

/* A header and what belongs to it. */
static void put_entry(struct str *tar, const struct head *h, const void *data,
		      size_t len)
{
	struct head sized = *h;

	if (!sized.bytes)
		sized.bytes = len;
	put_head(tar, &sized);
	put_bytes(tar, data, len);
}

__attribute__((unused)) static void put_file(struct str *tar, const char *name,
					     const char *data)
{
	put_entry(tar, &(struct head){.type = '0', .name = name}, data,
		  strlen(data));
}

__attribute__((unused)) static void put_end(struct str *tar)
{
	static const char zeros[2 * TAR_BLOCK];

	put_bytes(tar, zeros, sizeof(zeros));
}

/* One record: counts itself. */
static void add_record_n(struct str *pax, const char *key, const void *value,
			 size_t len)
{
	char number[32];
	size_t n = strlen(key) + len + 3, digits = 1;

	while ((size_t)snprintf(number, sizeof(number), "%zu", n + digits) !=
	       digits)
		digits++;
	assert_int_equal(str_addf(pax, "%s %s=", number, key), 0);
	assert_int_equal(str_addn(pax, value, len), 0);
	assert_int_equal(str_addc(pax, '\n'), 0);
}

__attribute__((unused)) static void add_record(struct str *pax, const char *key,
					       const char *value)
{
	add_record_n(pax, key, value, strlen(value));
}

/* A pax header of "key=value" strings, up to a NULL. */
__attribute__((unused, sentinel)) static void put_pax(struct str *tar, int type,
						      ...)
{
	autostr pax = {0};
	const char *s;
	char key[256];
	va_list ap;

	va_start(ap, type);
	while ((s = va_arg(ap, const char *))) {
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(s, "="), s);
		add_record(&pax, key, s + strlen(key) + 1);
	}
	va_end(ap);
	put_entry(tar, &(struct head){.type = (char)type, .name = "pax"},
		  pax.buf ? pax.buf : "", pax.len);
}

static void put_pair(char *at, uint64_t off, uint64_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%011llo", (unsigned long long)off);
	memcpy(at, text, 12);
	snprintf(text, sizeof(text), "%011llo", (unsigned long long)bytes);
	memcpy(at + 12, text, 12);
}

/* An old GNU sparse file of `pairs` pieces of 2 bytes at every 1000, in its
 * header and as many blocks as that takes. */
__attribute__((unused)) static void
put_old_sparse(struct str *tar, size_t pairs, uint64_t real_bytes)
{
	char at[512 - 386] = {0};
	struct head h = {.magic = GNU,
			 .type = 'S',
			 .name = "s",
			 .bytes = 2 * pairs,
			 .at = at,
			 .at_off = 386,
			 .at_len = sizeof(at)};
	size_t done = 0;

	for (; done < 4 && done < pairs; done++)
		put_pair(at + 24 * done, 1000 * done, 2);
	at[482 - 386] = pairs > 4;
	snprintf(at + (483 - 386), 12, "%011llo",
		 (unsigned long long)real_bytes);
	put_head(tar, &h);
	while (done < pairs) {
		char block[TAR_BLOCK] = {0};

		for (size_t i = 0; i < 21 && done < pairs; i++)
			put_pair(block + 24 * i, 1000 * done++, 2);
		block[504] = done < pairs;
		put_bytes(tar, block, sizeof(block));
	}
	for (done = 0; done < pairs; done++)
		str_add(tar, "zz");
	put_bytes(tar, "", 0);
	while (tar->len % TAR_BLOCK)
		str_addc(tar, 0);
}

/* --- what comes out --- */

static void add_text(struct str *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++) {
		if (p[i] > ' ' && p[i] < 0x7f)
			assert_int_equal(str_addc(out, (char)p[i]), 0);
		else
			assert_int_equal(str_addf(out, "\\%02x", p[i]), 0);
	}
}

static void add_pieces(struct str *out, const struct layer_entry *e)
{
	uint64_t end = 0;

	assert_int_equal(str_add(out, " {"), 0);
	for (size_t i = 0; i < e->pieces_len; i++) {
		const struct layer_piece *p = &e->pieces[i];

		assert_true(p->off >= end && p->bytes > 0);
		end = p->off + p->bytes;
		assert_true(end <= e->size_bytes);
		assert_int_equal(p->src_end, 0);
		assert_false(p->has_digest);
		assert_int_equal(str_addf(out, "%s%llu+%llu@%llu", i ? " " : "",
					  (unsigned long long)p->off,
					  (unsigned long long)p->bytes,
					  (unsigned long long)p->src_off),
				 0);
	}
	assert_int_equal(str_addc(out, '}'), 0);
}

/* A layer_entry_fn; arg is the string that the line goes to. */
static int add_line(void *arg, const struct layer_entry *e)
{
	static const char *const types[] = {"file", "dir",   "symlink", "hard",
					    "char", "block", "fifo"};
	struct str *out = arg;

	out->max = TARBALL_MAX;
	assert_int_equal(e->path[e->path_len], 0);
	assert_int_equal(str_addf(out, "%s \"", types[e->type]), 0);
	add_text(out, e->path, e->path_len);
	assert_int_equal(str_addf(out, "\" %o %u:%u %llu", e->mode, e->uid,
				  e->gid, (unsigned long long)e->size_bytes),
			 0);
	if (e->type == LAYER_FILE && !e->in_pieces)
		str_addf(out, "@%llu", (unsigned long long)e->data_off);
	str_addf(out, " %lld", (long long)e->mtime_s);
	if (e->mtime_ns)
		str_addf(out, ".%09u", e->mtime_ns);
	assert_int_equal(!!e->link,
			 e->type == LAYER_SYMLINK || e->type == LAYER_HARDLINK);
	if (e->link) {
		assert_int_equal(e->link[e->link_len], 0);
		str_add(out, " \"");
		add_text(out, e->link, e->link_len);
		str_addc(out, '"');
	}
	if (e->major || e->minor)
		str_addf(out, " dev=%u,%u", e->major, e->minor);
	if (e->in_pieces)
		add_pieces(out, e);
	for (size_t i = 0; i < e->xattrs_len; i++) {
		str_addf(out, " [%s=", e->xattrs[i].name);
		add_text(out, e->xattrs[i].value, e->xattrs[i].len);
		str_addc(out, ']');
	}
	return str_addc(out, '\n');
}

/* Reads it in slices of so many bytes (0: at one go); the lines, then the
 * reason of failure if there is one. */
static int read_sliced(const struct str *tar, size_t slice, struct str *out,
		       uint64_t *ret_off)
{
	struct tar *t;
	size_t n;
	int r = 0;

	assert_int_equal(tar_new(add_line, out, &t), 0);
	if (!slice)
		slice = tar->len;
	for (size_t i = 0; r == 0 && i < tar->len; i += n) {
		n = tar->len - i < slice ? tar->len - i : slice;
		r = tar_feed(t, tar->buf + i, n);
	}
	if (r == 0)
		r = tar_end(t);
	else
		assert_int_equal(tar_end(t), r);
	assert_int_equal(r == -EBADMSG, tar_error(t)[0] != 0);
	if (r < 0)
		assert_int_equal(str_add(out, tar_error(t)), 0);
	*ret_off = tar_off(t);
	tar_free(t);
	return r;
}

/* The same however the bytes come. */
__attribute__((unused)) static void assert_reads(const struct str *tar,
						 int error, const char *lines)
{
	static const size_t slices[] = {0, 512, 1, 511, 513, 7, 65536};
	uint64_t off = 0, first_off = 0;

	for (size_t i = 0; i < COUNT(slices); i++) {
		autostr out = {0};

		if (tar->len > 65536 && slices[i] && slices[i] < 512)
			continue;
		assert_int_equal(read_sliced(tar, slices[i], &out, &off),
				 error);
		assert_string_equal(out.buf ? out.buf : "", lines);
		if (i == 0)
			first_off = off;
		assert_int_equal(off, first_off);
	}
}

__attribute__((unused)) static void assert_damaged(const struct str *tar,
						   const char *why)
{
	assert_reads(tar, -EBADMSG, why);
}
