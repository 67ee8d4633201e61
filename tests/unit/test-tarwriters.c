/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libarchive writes, in each of its formats, is read as it was meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/tar.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define OUTPUT_MAX ((size_t)4 << 20)

#define D60 "dddddddddddddddddddddddddddddd/ddddddddddddddddddddddddddddd"
#define D240 D60 "/" D60 "/" D60 "/" D60

/* What a format cannot say is left out of it. */
enum can {
	CAN_PREFIX = 1, /* names of 100 to 255 bytes */
	CAN_LONG = 2,
	CAN_DEVICES = 4,
	CAN_LARGE = 8, /* owners from 2^21 on */
	CAN_NS = 16,
	CAN_XATTRS = 32,
	CAN_SPARSE = 64,
	CAN_LARGE_DEVICES = 128,
	CAN_ALL_TIMES = 256 /* before 1970, from 2^33 s on */
};

struct item {
	unsigned needs;
	enum layer_type type;
	const char *path, *link;
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	uint32_t mtime_ns, major, minor;
	uint64_t size;
	const char *xattr;
	size_t xattr_len;
	uint64_t hole; /* bytes at the start */
};

static const struct item items[] = {
	{.type = LAYER_DIR, .path = "d", .mode = 01777},
	{.type = LAYER_FILE, .path = "d/a", .mode = 04755, .size = 5},
	{.type = LAYER_FILE, .path = "d/.wh.gone", .mode = 0},
	{.type = LAYER_FILE, .path = "d/block", .mode = 0644, .size = 512},
	{.type = LAYER_FILE, .path = "d/blocks", .mode = 0644, .size = 1537},
	{.type = LAYER_SYMLINK, .path = "s", .link = "../a", .mode = 0777},
	{.type = LAYER_HARDLINK, .path = "h", .link = "d/a", .mode = 04755},
	{.type = LAYER_FIFO, .path = "f", .mode = 0600, .needs = CAN_DEVICES},
	{.type = LAYER_CHAR,
	 .path = "c",
	 .mode = 0666,
	 .major = 1,
	 .minor = 7,
	 .needs = CAN_DEVICES},
	{.type = LAYER_BLOCK,
	 .path = "b",
	 .mode = 0660,
	 .major = 259,
	 .minor = 1048575,
	 .needs = CAN_LARGE_DEVICES},
	{.type = LAYER_FILE, .path = "latin\xe9", .size = 1},
	{.type = LAYER_FILE, .path = "utf\xc3\xa9\xe2\x82\xac", .size = 1},
	{.type = LAYER_FILE,
	 .path = D60 "/" D60 "/" D60 "/name",
	 .size = 1,
	 .needs = CAN_PREFIX},
	{.type = LAYER_FILE,
	 .path = D240 "/" D240 "/name",
	 .size = 9,
	 .needs = CAN_LONG},
	{.type = LAYER_DIR, .path = D240 "/" D240, .needs = CAN_LONG},
	{.type = LAYER_SYMLINK,
	 .path = "long",
	 .link = D240 "/" D240,
	 .mode = 0777,
	 .needs = CAN_LONG},
	{.type = LAYER_HARDLINK,
	 .path = D240 "/hard",
	 .link = D240 "/" D240,
	 .needs = CAN_LONG},
	{.type = LAYER_FILE, .path = "mtime", .mtime_s = 1700000000},
	{.type = LAYER_FILE,
	 .path = "before",
	 .mtime_s = -7,
	 .needs = CAN_ALL_TIMES},
	{.type = LAYER_FILE,
	 .path = "late",
	 .mtime_s = 1LL << 40,
	 .needs = CAN_ALL_TIMES},
	{.type = LAYER_FILE,
	 .path = "ns",
	 .mtime_s = 7,
	 .mtime_ns = 1234567,
	 .needs = CAN_NS},
	{.type = LAYER_FILE, .path = "owner", .uid = 1000, .gid = 100},
	{.type = LAYER_FILE,
	 .path = "large",
	 .uid = 1231231231,
	 .gid = 4000000000,
	 .needs = CAN_LARGE},
	{.type = LAYER_FILE,
	 .path = "x",
	 .size = 3,
	 .xattr = "\1\0\0\2=\n\0\xff",
	 .xattr_len = 8,
	 .needs = CAN_XATTRS},
	{.type = LAYER_DIR, .path = "xd", .xattr = "", .needs = CAN_XATTRS},
	{.type = LAYER_FILE,
	 .path = "sparse",
	 .size = 200000,
	 .hole = 150000,
	 .needs = CAN_SPARSE},
	{.type = LAYER_FILE, .path = "last", .size = 1},
};

static const struct format {
	int (*set)(struct archive *a);
	unsigned can;
} formats[] = {
	{archive_write_set_format_v7tar, 0},
	{archive_write_set_format_ustar, CAN_PREFIX | CAN_DEVICES},
	{archive_write_set_format_gnutar,
	 CAN_PREFIX | CAN_LONG | CAN_DEVICES | CAN_LARGE},
	{archive_write_set_format_pax, ~0U},
	/* Which writes a time's fraction only along with something else. */
	{archive_write_set_format_pax_restricted, ~0U & ~CAN_NS},
};

static unsigned char content_byte(const struct item *i, uint64_t off)
{
	return off < i->hole ? 0 : (unsigned char)(off % 251 + 1);
}

static void write_item(struct archive *a, const struct item *i)
{
	static const __LA_MODE_T types[] = {AE_IFREG, AE_IFDIR, AE_IFLNK,
					    AE_IFREG, AE_IFCHR, AE_IFBLK,
					    AE_IFIFO};
	struct archive_entry *e = archive_entry_new();
	unsigned char *data;

	archive_entry_set_filetype(e, types[i->type]);
	archive_entry_set_pathname(e, i->path);
	archive_entry_set_perm(e, i->mode);
	archive_entry_set_uid(e, i->uid);
	archive_entry_set_gid(e, i->gid);
	archive_entry_set_mtime(e, i->mtime_s, i->mtime_ns);
	archive_entry_set_size(e, (int64_t)i->size);
	if (i->type == LAYER_SYMLINK)
		archive_entry_set_symlink(e, i->link);
	else if (i->type == LAYER_HARDLINK)
		archive_entry_set_hardlink(e, i->link);
	if (i->major) {
		archive_entry_set_rdevmajor(e, i->major);
		archive_entry_set_rdevminor(e, i->minor);
	}
	if (i->xattr)
		archive_entry_xattr_add_entry(e, "user.x", i->xattr,
					      i->xattr_len);
	if (i->hole)
		archive_entry_sparse_add_entry(e, (int64_t)i->hole,
					       (int64_t)(i->size - i->hole));
	if (archive_write_header(a, e) < ARCHIVE_WARN)
		fail_msg("%s: %s", i->path, archive_error_string(a));
	data = malloc(i->size + 1);
	assert_non_null(data);
	for (uint64_t off = 0; off < i->size; off++)
		data[off] = content_byte(i, off);
	assert_int_equal(archive_write_data(a, data, i->size), i->size);
	free(data);
	archive_entry_free(e);
}

struct reading {
	const struct format *format;
	const unsigned char *bytes;
	size_t used, next; /* of items */
};

static const struct item *next_item(struct reading *x)
{
	while (x->next < COUNT(items) && items[x->next].needs & ~x->format->can)
		x->next++;
	return x->next < COUNT(items) ? &items[x->next++] : NULL;
}

static void check_content(const struct reading *x, const struct item *i,
			  const struct layer_entry *e)
{
	unsigned char *file = calloc(1, i->size + 1);

	assert_non_null(file);
	assert_int_equal(e->in_pieces, i->hole != 0);
	assert_int_equal(e->size_bytes, i->size);
	if (!e->in_pieces) {
		assert_true(e->data_off + i->size <= x->used);
		memcpy(file, x->bytes + e->data_off, i->size);
	}
	for (size_t j = 0; j < e->pieces_len; j++) {
		const struct layer_piece *p = &e->pieces[j];

		assert_true(p->src_off + p->bytes <= x->used);
		memcpy(file + p->off, x->bytes + p->src_off, p->bytes);
	}
	for (uint64_t off = 0; off < i->size; off++)
		assert_int_equal(file[off], content_byte(i, off));
	free(file);
}

static int check_entry(void *arg, const struct layer_entry *e)
{
	struct reading *x = arg;
	const struct item *i = next_item(x);
	size_t len;

	if (!i)
		return -ENOENT;
	len = strlen(i->path);
	assert_int_equal(e->type, i->type);
	assert_memory_equal(e->path, i->path, len);
	assert_true(e->path_len == len ||
		    (e->type == LAYER_DIR && !strcmp(e->path + len, "/")));
	if (i->link)
		assert_string_equal(e->link, i->link);
	assert_int_equal(e->mode, i->mode);
	assert_int_equal(e->uid, i->uid);
	assert_int_equal(e->gid, i->gid);
	assert_int_equal(e->mtime_s, i->mtime_s);
	assert_int_equal(e->mtime_ns, i->mtime_ns);
	assert_int_equal(e->major, i->major);
	assert_int_equal(e->minor, i->minor);
	assert_int_equal(e->xattrs_len, i->xattr ? 1 : 0);
	if (i->xattr) {
		assert_string_equal(e->xattrs[0].name, "user.x");
		assert_int_equal(e->xattrs[0].len, i->xattr_len);
		assert_memory_equal(e->xattrs[0].value, i->xattr, i->xattr_len);
	}
	check_content(x, i, e);
	return 0;
}

static void check_format(const struct format *f)
{
	struct reading x = {.format = f};
	struct archive *a = archive_write_new();
	unsigned char *bytes = malloc(OUTPUT_MAX);
	const struct item *i;
	struct tar *t;

	assert_non_null(bytes);
	assert_int_equal(f->set(a), ARCHIVE_OK);
	if (f->can & CAN_XATTRS)
		archive_write_set_options(a, "hdrcharset=BINARY");
	assert_int_equal(
		archive_write_open_memory(a, bytes, OUTPUT_MAX, &x.used),
		ARCHIVE_OK);
	while ((i = next_item(&x)))
		write_item(a, i);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	x.bytes = bytes;
	x.next = 0;
	assert_true(tar_probe(bytes));
	assert_int_equal(tar_new(check_entry, &x, &t), 0);
	assert_int_equal(tar_feed(t, bytes, x.used), 0);
	assert_int_equal(tar_end(t), 0);
	assert_null(next_item(&x));
	tar_free(t);
	free(bytes);
}

static void v7(void **state)
{
	check_format(&formats[0]);
}

static void ustar(void **state)
{
	check_format(&formats[1]);
}

static void gnutar(void **state)
{
	check_format(&formats[2]);
}

static void pax(void **state)
{
	check_format(&formats[3]);
}

static void pax_restricted(void **state)
{
	check_format(&formats[4]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v7),
		cmocka_unit_test(ustar),
		cmocka_unit_test(gnutar),
		cmocka_unit_test(pax),
		cmocka_unit_test(pax_restricted),
	};

	setlocale(LC_ALL, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
