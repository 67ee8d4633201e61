/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar reader, against itself (however the bytes are sliced, the same comes
 * out) and against libarchive's: what that one reads without a warning, and
 * ours reads too, is the same entry with the same content.  Where the two are
 * known to differ is what the function comparable() says.
 *
 * Wrong sums are repaired first, or no mutant would get beyond its first
 * header.
 */
#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/tar.h"
#include "layer/tarheader.h"
#include "util/str.h"
#include "util/vec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__,     \
				#x);                                           \
			abort();                                               \
		}                                                              \
	} while (0)

/* An entry of ours, copied. */
struct copy {
	struct layer_entry e;
	char *path, *link;
	struct layer_piece *pieces;
};

struct result {
	int r;
	uint64_t off;
	VEC(struct copy) entries;
	struct str text; /* all that was said, to compare */
};

/* --- ours --- */

static void *duplicate(const void *bytes, size_t len)
{
	void *p = malloc(len ? len : 1);

	MUST(p);
	if (len)
		memcpy(p, bytes, len);
	return p;
}

static void check_entry(const struct layer_entry *e)
{
	bool links = e->type == LAYER_SYMLINK || e->type == LAYER_HARDLINK;
	uint64_t end = 0;
	size_t values = 0;

	MUST(e->path[e->path_len] == 0);
	MUST(links == !!e->link);
	MUST(!links || e->link[e->link_len] == 0);
	MUST(e->mode <= 07777 && e->mtime_ns < 1000000000);
	MUST(e->size_bytes <= INT64_MAX - e->data_off);
	MUST(e->type == LAYER_FILE || (!e->size_bytes && !e->in_pieces));
	for (size_t i = 0; i < e->pieces_len; i++) {
		const struct layer_piece *p = &e->pieces[i];

		MUST(p->bytes && p->off >= end);
		MUST(p->bytes <= e->size_bytes - p->off);
		MUST(p->src_off <= INT64_MAX - p->bytes);
		end = p->off + p->bytes;
	}
	MUST(end <= e->size_bytes);
	for (size_t i = 0; i < e->xattrs_len; i++) {
		MUST(e->xattrs[i].name[0]);
		values += e->xattrs[i].len;
		for (size_t j = 0; j < i; j++)
			MUST(strcmp(e->xattrs[i].name, e->xattrs[j].name));
	}
	MUST(values <= LAYER_XATTR_MAX);
}

static void describe(struct str *s, const struct layer_entry *e)
{
	MUST(str_addf(s, "%d %o %u %u %llu %lld %u %u %u %llu %d:", e->type,
		      e->mode, e->uid, e->gid,
		      (unsigned long long)e->size_bytes, (long long)e->mtime_s,
		      e->mtime_ns, e->major, e->minor,
		      (unsigned long long)e->data_off, e->in_pieces) == 0);
	MUST(str_addn(s, e->path, e->path_len + 1) == 0);
	if (e->link)
		MUST(str_addn(s, e->link, e->link_len + 1) == 0);
	for (size_t i = 0; i < e->pieces_len; i++)
		MUST(str_addf(s, "%llu+%llu@%llu ",
			      (unsigned long long)e->pieces[i].off,
			      (unsigned long long)e->pieces[i].bytes,
			      (unsigned long long)e->pieces[i].src_off) == 0);
	for (size_t i = 0; i < e->xattrs_len; i++) {
		MUST(str_add(s, e->xattrs[i].name) == 0);
		MUST(str_addn(s, e->xattrs[i].value, e->xattrs[i].len) == 0);
	}
}

static int take(void *arg, const struct layer_entry *e)
{
	struct result *res = arg;
	struct copy c = {.e = *e};

	check_entry(e);
	describe(&res->text, e);
	c.path = duplicate(e->path, e->path_len + 1);
	c.link = e->link ? duplicate(e->link, e->link_len + 1) : NULL;
	c.pieces = duplicate(e->pieces, e->pieces_len * sizeof(*e->pieces));
	MUST(vec_push(&res->entries, c) == 0);
	return 0;
}

static void read_ours(const uint8_t *data, size_t size, size_t slice,
		      struct result *ret)
{
	struct tar *t;
	size_t n;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	MUST(tar_new(take, ret, &t) == 0);
	for (size_t i = 0; r == 0 && i < size; i += n) {
		n = size - i < slice ? size - i : slice;
		r = tar_feed(t, data + i, n);
	}
	if (r == 0)
		r = tar_end(t);
	MUST(r == 0 || (r == -EBADMSG && tar_error(t)[0]));
	MUST(str_addf(&ret->text, "%d %s", r, tar_error(t)) == 0);
	ret->r = r;
	ret->off = tar_off(t);
	MUST(ret->off <= size);
	tar_free(t);
}

static void result_done(struct result *res)
{
	for (size_t i = 0; i < res->entries.len; i++) {
		free(res->entries.v[i].path);
		free(res->entries.v[i].link);
		free(res->entries.v[i].pieces);
	}
	vec_done(&res->entries);
	str_done(&res->text);
}

static void check_slice(const uint8_t *data, size_t size, size_t slice,
			const struct result *whole)
{
	struct result res;

	read_ours(data, size, slice, &res);
	MUST(res.text.len == whole->text.len && res.off == whole->off);
	MUST(!memcmp(res.text.buf, whole->text.buf, res.text.len));
	result_done(&res);
}

/* --- where libarchive differs --- */

/* The headers of one entry, as they lie in the archive. */
struct chain {
	unsigned x, long_names, long_links, others;
	const uint8_t *body; /* of the x */
	size_t body_len;
	const uint8_t *own;
};

/* What an x header says. */
struct said {
	unsigned path, link, size, numbers, major, minor, name, sparse_size,
		real_size, blocks, offsets, map, odd;
};

static bool octal(const uint8_t *field, size_t len, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		n = n << 3 | (uint64_t)(field[i] - '0');
	*ret = n;
	return i == len || field[i] == 0 || field[i] == ' ';
}

static bool is(const uint8_t *key, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(key, name, len);
}

/* A plain number of moderate size, perhaps with a fraction. */
static bool plain_number(const uint8_t *v, size_t len, bool time)
{
	size_t digits = 0;

	while (digits < len && v[digits] >= '0' && v[digits] <= '9')
		digits++;
	if (digits == 0 || digits > 18)
		return false;
	return digits == len || (time && v[digits] == '.');
}

static void note(struct said *s, const uint8_t *key, size_t key_len,
		 const uint8_t *v, size_t len)
{
	bool time = is(key, key_len, "mtime");

	if (is(key, key_len, "path")) {
		s->path++;
	} else if (is(key, key_len, "linkpath")) {
		s->link++;
	} else if (is(key, key_len, "size")) {
		s->size++;
		s->odd += !plain_number(v, len, false);
	} else if (is(key, key_len, "uid") || is(key, key_len, "gid") || time ||
		   is(key, key_len, "SCHILY.devmajor") ||
		   is(key, key_len, "SCHILY.devminor")) {
		s->odd += !plain_number(v, len, time);
	} else if (is(key, key_len, "GNU.sparse.major")) {
		s->major++;
		s->odd += !is(v, len, "1");
	} else if (is(key, key_len, "GNU.sparse.minor")) {
		s->minor++;
		s->odd += !is(v, len, "0");
	} else if (is(key, key_len, "GNU.sparse.name")) {
		s->name++;
		s->odd += len == 0;
	} else if (is(key, key_len, "GNU.sparse.size")) {
		s->sparse_size++;
		s->odd += !plain_number(v, len, false);
	} else if (is(key, key_len, "GNU.sparse.realsize")) {
		s->real_size++;
		s->odd += !plain_number(v, len, false);
	} else if (is(key, key_len, "GNU.sparse.numblocks")) {
		s->blocks++;
	} else if (is(key, key_len, "GNU.sparse.offset") ||
		   is(key, key_len, "GNU.sparse.numbytes")) {
		s->offsets++;
	} else if (is(key, key_len, "GNU.sparse.map")) {
		s->map++;
		s->odd += len == 0;
	} else if (is(key, key_len, "SCHILY.realsize") ||
		   is(key, key_len, "SUN.holesdata")) {
		s->odd++; /* sparse formats of others, which we do not read */
	}
}

/* The records of a header that our reader accepted: well formed. */
static void read_said(const uint8_t *body, size_t len, struct said *ret)
{
	memset(ret, 0, sizeof(*ret));
	/* libarchive ends at a NUL, and refuses records of 1 MB. */
	ret->odd = len && memchr(body, 0, len);
	while (len && !ret->odd) {
		size_t n = strtoul((const char *)body, NULL, 10);
		const uint8_t *key = memchr(body, ' ', len), *equals;

		if (!key || n > len || n < (size_t)(key - body) + 3) {
			ret->odd = 1;
			return;
		}
		key++;
		equals = memchr(key, '=', n - (size_t)(key - body));
		if (!equals) {
			ret->odd = 1;
			return;
		}
		note(ret, key, (size_t)(equals - key), equals + 1,
		     (size_t)(body + n - 1 - equals - 1));
		body += n;
		len -= n;
	}
}

/* Of sparse files, only one format at once and all of it. */
static bool sparse_is_sound(const struct said *s)
{
	unsigned lines = s->major + s->minor + s->real_size;
	unsigned here = s->blocks + s->offsets + s->map + s->sparse_size;

	if (lines == 0 && here == 0)
		return s->name == 0;
	if (here == 0)
		return s->major == 1 && s->minor == 1 && s->real_size == 1;
	return lines == 0 && s->sparse_size == 1 &&
	       (s->map ? s->map == 1 && !s->offsets : s->blocks == 1);
}

/* False: something is there that the two need not agree upon. */
static bool read_chain(const uint8_t *data, size_t size, size_t pos,
		       struct chain *ret)
{
	uint64_t bytes;
	char type;

	memset(ret, 0, sizeof(*ret));
	for (;;) {
		if (pos > size || size - pos < TAR_BLOCK)
			return false;
		ret->own = data + pos;
		type = (char)data[pos + 156];
		pos += TAR_BLOCK;
		if (!type || !strchr("xXgLKVA", type))
			return true;
		if (!octal(ret->own + 124, 12, &bytes) || bytes > size - pos)
			return false;
		if (type == 'x' || type == 'X') {
			ret->x++;
			ret->body = data + pos;
			ret->body_len = bytes;
		} else if (type == 'L') {
			ret->long_names++;
		} else if (type == 'K') {
			ret->long_links++;
		} else {
			/* It ignores what g says; that a volume's header may
			 * have data; A is Solaris's, which we do not know. */
			ret->others++;
		}
		pos += (bytes + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
}

static bool is_gnu(const uint8_t *own)
{
	return !memcmp(own + 257, "ustar  ", 8);
}

/* Whether the header itself is read alike by both. */
static bool header_is_plain(const uint8_t *own)
{
	const char *prefix = (const char *)own + 345;
	size_t n = strnlen(prefix, 155);
	uint64_t t;

	if (is_gnu(own)) {
		/* It takes any GNU header for a sparse one that has a map or a
		 * size there; ours wants the type, and the size. */
		if (own[156] == 'S' ? !own[386] || !own[483]
				    : own[386] || own[483])
			return false;
		/* It does not know Go's mistaken prefix. */
		return n == 0 ||
		       (octal(own + 345, 12, &t) && octal(own + 357, 12, &t));
	}
	if (memcmp(own + 257, "ustar", 5))
		return true;
	/* For us, a NUL follows; star's prefix is shorter; a slash at its end
	 * stays. */
	return own[262] == 0 && (n < 131 || memcmp(own + 508, "tar", 4)) &&
	       (n == 0 || prefix[n - 1] != '/');
}

static bool comparable(const struct chain *c, const struct said *s,
		       const struct copy *ours)
{
	const char type = (char)c->own[156];
	uint64_t size;
	bool links = type == '1' || type == '2';

	/* It goes from the inner header outwards, whatever the kind; its x
	 * headers share one buffer. */
	if (c->x > 1 || c->long_names > 1 || c->long_links > 1 || c->others ||
	    (c->long_names && s->path) || (c->long_links && s->link))
		return false;
	if (s->odd || !sparse_is_sound(s) || !header_is_plain(c->own))
		return false;
	/* It makes a hard link of whatever has a link's text. */
	if (!links && (s->link || c->long_links))
		return false;
	/* It lets data follow these. */
	if (type >= '1' && type <= '6' && s->size)
		return false;
	if (type == '1' && (!octal(c->own + 124, 12, &size) || size))
		return false;
	/* A hard link to nothing is none. */
	if (type == '1' && ours->e.link_len == 0)
		return false;
	/* A directory of v7, and any file named like one. */
	if (ours->e.path_len && ours->path[ours->e.path_len - 1] == '/' &&
	    !(type >= '1' && type <= '6'))
		return false;
	/* A type of which it takes the mode from the mode; one with data. */
	return type != 'M' && type != 'D';
}

/* --- theirs --- */

static enum layer_type type_of(struct archive_entry *e)
{
	if (archive_entry_hardlink(e))
		return LAYER_HARDLINK;
	switch (archive_entry_filetype(e)) {
	case AE_IFDIR:
		return LAYER_DIR;
	case AE_IFLNK:
		return LAYER_SYMLINK;
	case AE_IFCHR:
		return LAYER_CHAR;
	case AE_IFBLK:
		return LAYER_BLOCK;
	case AE_IFIFO:
		return LAYER_FIFO;
	default:
		return LAYER_FILE;
	}
}

static void compare_entry(struct archive_entry *e, const struct copy *ours)
{
	const struct layer_entry *o = &ours->e;
	const char *path = archive_entry_pathname(e);
	const char *link = NULL;

	MUST(type_of(e) == o->type);
	MUST(strcmp(path ? path : "", ours->path) == 0);
	if (o->type == LAYER_HARDLINK)
		link = archive_entry_hardlink(e);
	else if (o->type == LAYER_SYMLINK)
		link = archive_entry_symlink(e);
	if (ours->link)
		MUST(strcmp(link ? link : "", ours->link) == 0);
	MUST((archive_entry_perm(e) & 07777) == o->mode);
	MUST(tar_owner(archive_entry_uid(e)) == o->uid);
	MUST(tar_owner(archive_entry_gid(e)) == o->gid);
	MUST(archive_entry_mtime(e) == o->mtime_s);
	MUST((uint32_t)archive_entry_mtime_nsec(e) == o->mtime_ns);
	MUST((uint64_t)archive_entry_size(e) == o->size_bytes);
	if (o->type != LAYER_CHAR && o->type != LAYER_BLOCK)
		return;
	MUST(tar_device((int64_t)archive_entry_rdevmajor(e)) == o->major);
	MUST(tar_device((int64_t)archive_entry_rdevminor(e)) == o->minor);
}

/* Where a byte of the file is in the archive; false: in a hole. */
static bool locate(const struct copy *ours, uint64_t off, uint64_t *ret_src,
		   uint64_t *ret_left)
{
	for (size_t i = 0; i < ours->e.pieces_len; i++) {
		const struct layer_piece *p = &ours->pieces[i];

		if (off < p->off || off - p->off >= p->bytes)
			continue;
		*ret_src = p->src_off + (off - p->off);
		*ret_left = p->bytes - (off - p->off);
		return true;
	}
	if (ours->e.in_pieces || off >= ours->e.size_bytes)
		return false;
	*ret_src = ours->e.data_off + off;
	*ret_left = ours->e.size_bytes - off;
	return true;
}

static uint64_t stored_bytes(const struct copy *ours)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < ours->e.pieces_len; i++)
		sum += ours->pieces[i].bytes;
	return ours->e.in_pieces ? sum : ours->e.size_bytes;
}

/* False: it could not read all. */
static bool compare_content(struct archive *a, const uint8_t *data, size_t size,
			    const struct copy *ours)
{
	uint64_t seen = 0, src, n;
	const uint8_t *p;
	const void *block;
	int64_t off;
	size_t len;
	int r;

	while ((r = archive_read_data_block(a, &block, &len, &off)) ==
	       ARCHIVE_OK) {
		for (p = block; len; len -= n, p += n, off += (int64_t)n) {
			MUST(locate(ours, (uint64_t)off, &src, &n));
			n = n < len ? n : len;
			MUST(src <= size && n <= size - src);
			MUST(!memcmp(p, data + src, n));
			seen += n;
		}
	}
	MUST(r != ARCHIVE_EOF || seen == stored_bytes(ours));
	return r == ARCHIVE_EOF;
}

/* False: no more can be compared. */
static bool compare_next(struct archive *a, const uint8_t *data, size_t size,
			 const struct result *ours, size_t i)
{
	struct archive_entry *e;
	struct chain chain;
	struct said said;
	int r = archive_read_next_header(a, &e);

	if (r == ARCHIVE_EOF) {
		MUST(i == ours->entries.len);
		return false;
	}
	if (r != ARCHIVE_OK)
		return false;
	if (!read_chain(data, size, (size_t)archive_read_header_position(a),
			&chain))
		return false;
	if (i == ours->entries.len) {
		MUST(ours->r < 0 || chain.others);
		return false;
	}
	read_said(chain.body, chain.body_len, &said);
	if (!comparable(&chain, &said, &ours->entries.v[i]))
		return false;
	compare_entry(e, &ours->entries.v[i]);
	if (ours->entries.v[i].e.type != LAYER_FILE ||
	    compare_content(a, data, size, &ours->entries.v[i]))
		return true;
	/* Unlike ours it wants the last padding, too. */
	MUST(ours->r < 0 || size % TAR_BLOCK);
	return false;
}

static void compare(const uint8_t *data, size_t size, const struct result *ours)
{
	struct archive *a = archive_read_new();
	size_t i = 0;

	MUST(a && archive_read_support_format_tar(a) == ARCHIVE_OK);
	if (archive_read_open_memory(a, data, size) == ARCHIVE_OK)
		while (compare_next(a, data, size, ours, i))
			i++;
	archive_read_free(a);
}

/* --- both --- */

/* Gives what looks like headers their sums. */
static void repair(uint8_t *data, size_t size)
{
	for (size_t i = 0; size - i >= TAR_BLOCK; i += TAR_BLOCK) {
		uint8_t *block = data + i;
		unsigned sum = 8 * ' ';
		char text[8];

		if ((i && memcmp(block + 257, "ustar", 5)) || tar_probe(block))
			continue;
		for (size_t j = 0; j < TAR_BLOCK; j++)
			sum += j < 148 || j >= 156 ? block[j] : 0;
		snprintf(text, sizeof(text), "%06o", sum & 0777777);
		memcpy(block + 148, text, 7);
		block[155] = ' ';
	}
}

static void check(const uint8_t *data, size_t size)
{
	struct result res;

	read_ours(data, size, size ? size : 1, &res);
	check_slice(data, size, size % 509 + 1, &res);
	if (size <= 8192)
		check_slice(data, size, 1, &res);
	compare(data, size, &res);
	result_done(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	/* libarchive converts pax names to the locale. */
	setlocale(LC_ALL, "C.UTF-8");
	check(data, size);
	copy = duplicate(data, size);
	repair(copy, size);
	if (size && memcmp(copy, data, size))
		check(copy, size);
	free(copy);
	return 0;
}
