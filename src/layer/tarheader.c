/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields, by offset and length, are those of POSIX.1 ustar; v7 has those up to
 * the link name, GNU has others instead of the prefix, star a shorter prefix.
 * A number that is none fails the header, as in Go's archive/tar, which is what
 * container tools unpack with: what they refuse is not guessed at here.
 */
#include "layer/tarheader.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define SUM_OFF 148
#define SUM_LEN 8
#define NOBODY 65534 /* the kernel's overflowuid */

struct field {
	uint16_t off, len;
};

static const struct field name_field = {0, 100};
static const struct field mode_field = {100, 8};
static const struct field uid_field = {108, 8};
static const struct field gid_field = {116, 8};
static const struct field size_field = {124, 12};
static const struct field mtime_field = {136, 12};
static const struct field link_field = {157, 100};
static const struct field major_field = {329, 8};
static const struct field minor_field = {337, 8};
static const struct field prefix_field = {345, 155};
static const struct field star_prefix_field = {345, 131};
static const struct field gnu_atime_field = {345, 12};
static const struct field gnu_ctime_field = {357, 12};

/*
 * The sum of all bytes, and how many have the high bit, eight bytes at a time:
 * pairs of bytes go into lanes of 16 bits (64 * 2 * 255 fits), high bits into
 * lanes of 8 (64 fits).
 */
static void add_up(const uint8_t *block, uint32_t *ret_sum, uint32_t *ret_high)
{
	const uint64_t even = 0x00ff00ff00ff00ff, ones = 0x0101010101010101;
	uint64_t sum = 0, high = 0, word;

	for (size_t i = 0; i < TAR_BLOCK; i += sizeof(word)) {
		memcpy(&word, block + i, sizeof(word));
		sum += (word & even) + (word >> 8 & even);
		high += word >> 7 & ones;
	}
	*ret_sum = (uint32_t)((sum & 0xffff) + (sum >> 16 & 0xffff) +
			      (sum >> 32 & 0xffff) + (sum >> 48));
	*ret_high = (uint32_t)(high * ones >> 56);
}

enum tar_sum tarheader_sum(const uint8_t block[TAR_BLOCK])
{
	uint32_t sum, high;
	int64_t told;

	add_up(block, &sum, &high);
	if (sum == 0)
		return TAR_SUM_ZEROS;
	for (size_t i = SUM_OFF; i < SUM_OFF + SUM_LEN; i++) {
		sum = sum - block[i] + ' ';
		high -= block[i] >> 7;
	}
	if (block[SUM_OFF] & 0x80 ||
	    tar_number(block + SUM_OFF, SUM_LEN, &told) < 0)
		return TAR_SUM_WRONG;
	/* Old writers added up signed characters. */
	return told == sum || told == (int64_t)sum - 256 * (int64_t)high
		       ? TAR_SUM_RIGHT
		       : TAR_SUM_WRONG;
}

char tarheader_type(const uint8_t block[TAR_BLOCK])
{
	return (char)block[156];
}

/* Two's complement, big endian; the first bit only marks it. */
static int64_t base256(const uint8_t *field, size_t len)
{
	uint8_t flip = field[0] & 0x40 ? 0xff : 0;
	uint64_t n = (field[0] ^ flip) & 0x3f;

	for (size_t i = 1; i < len; i++) {
		if (n >> 55)
			return flip ? INT64_MIN : INT64_MAX;
		n = n << 8 | (field[i] ^ flip);
	}
	return flip ? -(int64_t)n - 1 : (int64_t)n;
}

/* At most 12 digits: no overflow. */
int tar_number(const uint8_t *field, size_t len, int64_t *ret)
{
	int64_t n = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		*ret = base256(field, len);
		return 0;
	}
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] && field[i] != ' '; i++) {
		if (field[i] < '0' || field[i] > '7')
			return -EBADMSG;
		n = n << 3 | (field[i] - '0');
	}
	*ret = n;
	return 0;
}

static int get_number(const uint8_t *block, const struct field *f, int64_t *ret)
{
	return tar_number(block + f->off, f->len, ret);
}

uint32_t tar_owner(int64_t id)
{
	return id < 0 || id >= UINT32_MAX ? NOBODY : (uint32_t)id;
}

uint32_t tar_device(int64_t number)
{
	return number < 0 || number > UINT32_MAX ? UINT32_MAX
						 : (uint32_t)number;
}

int tarheader_size(const uint8_t block[TAR_BLOCK], uint64_t *ret)
{
	int64_t n;

	if (get_number(block, &size_field, &n) < 0 || n < 0)
		return -EBADMSG;
	*ret = (uint64_t)n;
	return 0;
}

static enum tar_magic magic_of(const uint8_t *block)
{
	if (memcmp(block + 257, "ustar  ", 8) == 0)
		return TAR_GNU;
	if (memcmp(block + 257, "ustar", 6) != 0)
		return TAR_V7;
	return memcmp(block + 508, "tar", 4) == 0 ? TAR_STAR : TAR_USTAR;
}

static size_t copy_field(const uint8_t *block, const struct field *f, char *to)
{
	size_t n = strnlen((const char *)block + f->off, f->len);

	memcpy(to, block + f->off, n);
	return n;
}

/*
 * Go before 1.8 (so docker up to 1.13) sometimes wrote a ustar prefix into a
 * GNU header, over the times (golang.org/issue/12594): it is one if it is text
 * that cannot be times.
 */
static bool gnu_has_prefix(const uint8_t *block)
{
	const uint8_t *p = block + prefix_field.off;
	size_t n = strnlen((const char *)p, prefix_field.len);
	int64_t t;

	if (get_number(block, &gnu_atime_field, &t) == 0 &&
	    get_number(block, &gnu_ctime_field, &t) == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] & 0x80)
			return false;
	}
	return true;
}

static void parse_name(const uint8_t *block, struct tarheader *h)
{
	const struct field *prefix = NULL;
	size_t n = 0;

	if (h->magic == TAR_STAR)
		prefix = &star_prefix_field;
	else if (h->magic == TAR_USTAR ||
		 (h->magic == TAR_GNU && block[prefix_field.off] &&
		  gnu_has_prefix(block)))
		prefix = &prefix_field;
	if (prefix && block[prefix->off]) {
		n = copy_field(block, prefix, h->name);
		h->name[n++] = '/';
	}
	n += copy_field(block, &name_field, h->name + n);
	h->name[n] = 0;
	h->name_len = n;
	h->link_len = copy_field(block, &link_field, h->link);
	h->link[h->link_len] = 0;
}

/* v7 has no device fields: what is there are no numbers. */
static int parse_device(const uint8_t *block, struct tarheader *h)
{
	int64_t major = 0, minor = 0;

	if ((h->type == '3' || h->type == '4') && h->magic != TAR_V7 &&
	    (get_number(block, &major_field, &major) < 0 ||
	     get_number(block, &minor_field, &minor) < 0))
		return -EBADMSG;
	h->major = tar_device(major);
	h->minor = tar_device(minor);
	return 0;
}

int tarheader_parse(const uint8_t block[TAR_BLOCK], struct tarheader *ret,
		    const char **ret_why)
{
	int64_t mode, uid, gid, mtime;

	ret->magic = magic_of(block);
	ret->type = tarheader_type(block);
	if (tarheader_size(block, &ret->size_bytes) < 0)
		*ret_why = "size is no number";
	else if (get_number(block, &mode_field, &mode) < 0)
		*ret_why = "mode is no number";
	else if (get_number(block, &uid_field, &uid) < 0 ||
		 get_number(block, &gid_field, &gid) < 0)
		*ret_why = "owner is no number";
	else if (get_number(block, &mtime_field, &mtime) < 0)
		*ret_why = "time is no number";
	else if (parse_device(block, ret) < 0)
		*ret_why = "device is no number";
	else {
		ret->mode = (uint32_t)mode & 07777;
		ret->uid = tar_owner(uid);
		ret->gid = tar_owner(gid);
		ret->mtime_s = mtime;
		parse_name(block, ret);
		return 0;
	}
	return -EBADMSG;
}
