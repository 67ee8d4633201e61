/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is "<len> <key>=<value>\n", where len counts the whole of it: values
 * may hold any byte.  One table says what is done with a key.  A header whose
 * records do not follow each other exactly, or whose numbers are none, is
 * refused as a whole: two readers of it could see two different files.
 *
 * Attributes that cannot be shown (too large, too many, names Linux has not,
 * no base64) are left out one by one: they damage nothing else.
 */
#include "layer/pax.h"

#include <errno.h>
#include <string.h>

#include "layer/tarheader.h"
#include "util/encode.h"

#define SCHILY_XATTR "SCHILY.xattr."
#define LIBARCHIVE_XATTR "LIBARCHIVE.xattr."
#define RECORD_LEN_MAX 7 /* digits: TAR_HEADER_MAX has so many */

struct text {
	const char *s;
	size_t len;
};

void pax_init(struct pax *p, struct sparse *map)
{
	memset(p, 0, sizeof(*p));
	p->map = map;
	p->path.max = p->link.max = p->sparse_name.max = TAR_HEADER_MAX;
}

void pax_done(struct pax *p)
{
	str_done(&p->path);
	str_done(&p->link);
	str_done(&p->sparse_name);
	str_done(&p->xattr_bytes);
	vec_done(&p->xattrs);
}

void pax_clear(struct pax *p)
{
	p->has = p->empty = 0;
	p->xattrs.len = 0;
	str_clear(&p->xattr_bytes);
	if (p->map)
		sparse_clear(p->map);
}

/* --- values --- */

/* Digits only; saturates. */
static int parse_digits(const struct text *t, uint64_t *ret)
{
	uint64_t n = 0;

	if (t->len == 0)
		return -EBADMSG;
	for (size_t i = 0; i < t->len; i++) {
		unsigned digit = (unsigned)(unsigned char)t->s[i] - '0';

		if (digit > 9)
			return -EBADMSG;
		n = n > ((uint64_t)INT64_MAX - digit) / 10 ? INT64_MAX
							   : n * 10 + digit;
	}
	*ret = n;
	return 0;
}

static int parse_signed(const struct text *t, int64_t *ret)
{
	bool minus = t->len && t->s[0] == '-';
	struct text digits = {t->s + minus, t->len - minus};
	uint64_t n;

	if (parse_digits(&digits, &n) < 0)
		return -EBADMSG;
	*ret = minus ? -(int64_t)n : (int64_t)n;
	return 0;
}

/* What follows the point, to nine digits; the others are cut off. */
static int parse_fraction(const struct text *t, uint32_t *ret_ns)
{
	uint32_t unit = 100000000, ns = 0;

	for (size_t i = 0; i < t->len; i++) {
		unsigned digit = (unsigned)(unsigned char)t->s[i] - '0';

		if (digit > 9)
			return -EBADMSG;
		ns += digit * unit;
		unit /= 10;
	}
	*ret_ns = ns;
	return 0;
}

/* -1.25 is 0.75 s after -2. */
static int take_mtime(struct pax *p, unsigned key, const struct text *v)
{
	const char *point = memchr(v->s, '.', v->len);
	struct text whole = {v->s, point ? (size_t)(point - v->s) : v->len};
	struct text rest = {point ? point + 1 : "",
			    point ? v->len - whole.len - 1 : 0};
	uint32_t ns;
	int64_t s;

	(void)key;
	if (parse_signed(&whole, &s) < 0 || parse_fraction(&rest, &ns) < 0)
		return -EBADMSG;
	if (v->s[0] == '-' && ns) {
		s--; /* above -INT64_MAX - 1 */
		ns = 1000000000 - ns;
	}
	p->mtime_s = s;
	p->mtime_ns = ns;
	return 0;
}

static struct str *string_of(struct pax *p, unsigned key)
{
	if (key == PAX_PATH)
		return &p->path;
	return key == PAX_LINK ? &p->link : &p->sparse_name;
}

static int take_string(struct pax *p, unsigned key, const struct text *v)
{
	struct str *s = string_of(p, key);

	str_clear(s);
	return str_addn(s, v->s, v->len);
}

/* Sizes: what an off_t cannot hold is refused. */
static int take_count(struct pax *p, unsigned key, const struct text *v)
{
	uint64_t n;

	if (parse_digits(v, &n) < 0 || n == INT64_MAX)
		return -EBADMSG;
	if (key == PAX_SIZE)
		p->size_bytes = n;
	else if (key == PAX_SPARSE_SIZE)
		p->sparse_size = n;
	else if (key == PAX_SPARSE_REAL_SIZE)
		p->sparse_real_size = n;
	else if (key == PAX_SPARSE_BLOCKS)
		p->sparse_blocks = n;
	else if (key == PAX_SPARSE_MAJOR)
		p->sparse_major = n;
	else
		p->sparse_minor = n;
	return 0;
}

static int take_id(struct pax *p, unsigned key, const struct text *v)
{
	int64_t n;

	if (parse_signed(v, &n) < 0)
		return -EBADMSG;
	if (key == PAX_UID)
		p->uid = tar_owner(n);
	else if (key == PAX_GID)
		p->gid = tar_owner(n);
	else if (key == PAX_MAJOR)
		p->major = tar_device(n);
	else
		p->minor = tar_device(n);
	return 0;
}

/* 0.1: one list; empty if the file is one hole. */
static int take_map(struct pax *p, unsigned key, const struct text *v)
{
	(void)key;
	sparse_clear(p->map);
	return v->len ? sparse_add_list(p->map, v->s, v->len) : 0;
}

static int take_number(struct pax *p, bool half, const struct text *v)
{
	uint64_t n;

	if (p->map->half != half || parse_digits(v, &n) < 0)
		return -EBADMSG;
	return sparse_add(p->map, n);
}

/* 0.0: pairs of records, in turn. */
static int take_offset(struct pax *p, unsigned key, const struct text *v)
{
	(void)key;
	return take_number(p, false, v);
}

static int take_numbytes(struct pax *p, unsigned key, const struct text *v)
{
	(void)key;
	return take_number(p, true, v);
}

static const struct {
	const char *name;
	unsigned key;
	int (*take)(struct pax *p, unsigned key, const struct text *v);
} keys[] = {
	{"path", PAX_PATH, take_string},
	{"linkpath", PAX_LINK, take_string},
	{"size", PAX_SIZE, take_count},
	{"uid", PAX_UID, take_id},
	{"gid", PAX_GID, take_id},
	{"mtime", PAX_MTIME, take_mtime},
	{"SCHILY.devmajor", PAX_MAJOR, take_id},
	{"SCHILY.devminor", PAX_MINOR, take_id},
	{"GNU.sparse.name", PAX_SPARSE_NAME, take_string},
	{"GNU.sparse.size", PAX_SPARSE_SIZE, take_count},
	{"GNU.sparse.realsize", PAX_SPARSE_REAL_SIZE, take_count},
	{"GNU.sparse.numblocks", PAX_SPARSE_BLOCKS, take_count},
	{"GNU.sparse.offset", PAX_SPARSE_MAP, take_offset},
	{"GNU.sparse.numbytes", PAX_SPARSE_MAP, take_numbytes},
	{"GNU.sparse.map", PAX_SPARSE_MAP, take_map},
	{"GNU.sparse.major", PAX_SPARSE_MAJOR, take_count},
	{"GNU.sparse.minor", PAX_SPARSE_MINOR, take_count},
};

/* --- extended attributes --- */

const char *pax_xattr_name(const struct pax *p, size_t i)
{
	return p->xattr_bytes.buf + p->xattrs.v[i].off;
}

const void *pax_xattr_value(const struct pax *p, size_t i)
{
	const struct pax_xattr *x = &p->xattrs.v[i];

	return p->xattr_bytes.buf + x->off + x->name_len + 1;
}

static bool named(const struct pax *p, size_t i, const struct text *name)
{
	return p->xattrs.v[i].name_len == name->len &&
	       memcmp(pax_xattr_name(p, i), name->s, name->len) == 0;
}

const struct pax_xattr *pax_xattr_find(const struct pax *p, const char *name)
{
	struct text t = {name, strlen(name)};

	for (size_t i = 0; i < p->xattrs.len; i++) {
		if (named(p, i, &t))
			return &p->xattrs.v[i];
	}
	return NULL;
}

/* Takes out the i-th, and its bytes: a later header may say it anew for ever.
 */
static void drop_xattr(struct pax *p, size_t i)
{
	struct pax_xattr *v = p->xattrs.v;
	size_t off = v[i].off, bytes = v[i].name_len + 1 + v[i].len;
	char *buf = p->xattr_bytes.buf;

	memmove(buf + off, buf + off + bytes, p->xattr_bytes.len - off - bytes);
	str_truncate(&p->xattr_bytes, p->xattr_bytes.len - bytes);
	p->xattrs.len--;
	for (; i < p->xattrs.len; i++) {
		v[i] = v[i + 1];
		v[i].off -= bytes;
	}
}

static bool xattr_fits(const struct pax *p, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < p->xattrs.len; i++)
		used += p->xattrs.v[i].len;
	return p->xattrs.len < PAX_XATTRS_MAX && len <= LAYER_XATTR_MAX &&
	       used <= LAYER_XATTR_MAX - len;
}

static int add_xattr(struct pax *p, bool schily, const struct text *name,
		     const struct text *v)
{
	struct pax_xattr x = {.off = p->xattr_bytes.len,
			      .name_len = name->len,
			      .len = v->len,
			      .schily = schily};
	int r;

	r = str_addn(&p->xattr_bytes, name->s, name->len);
	if (r == 0)
		r = str_addc(&p->xattr_bytes, 0);
	if (r == 0)
		r = str_addn(&p->xattr_bytes, v->s, v->len);
	if (r == 0)
		r = vec_push(&p->xattrs, x);
	return r;
}

/* Of the two spellings of a name SCHILY's rules, wherever it stands. */
static int take_xattr(struct pax *p, bool schily, const struct text *name,
		      const struct text *v)
{
	if (name->len == 0 || name->len > PAX_XATTR_NAME_MAX ||
	    memchr(name->s, 0, name->len))
		return 0;
	for (size_t i = 0; i < p->xattrs.len; i++) {
		if (!named(p, i, name))
			continue;
		if (p->xattrs.v[i].schily && !schily)
			return 0;
		drop_xattr(p, i);
		break;
	}
	if (!xattr_fits(p, v->len))
		return 0;
	return add_xattr(p, schily, name, v);
}

/* The name is percent-encoded, the value base64. */
static int take_coded_xattr(struct pax *p, const struct text *name,
			    const struct text *v)
{
	autostr plain_name = {0}, plain_value = {0};
	struct text n, value;
	int r;

	if (name->len > 3 * PAX_XATTR_NAME_MAX || v->len > 2 * LAYER_XATTR_MAX)
		return 0;
	r = percent_decode(name->s, name->len, &plain_name);
	if (r == 0)
		r = base64_decode(v->s, v->len, &plain_value);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	n = (struct text){plain_name.buf, plain_name.len};
	value = (struct text){plain_value.buf, plain_value.len};
	return take_xattr(p, false, &n, &value);
}

/* --- records --- */

static bool begins(const struct text *key, const char *with, struct text *rest)
{
	size_t n = strlen(with);

	if (key->len < n || memcmp(key->s, with, n) != 0)
		return false;
	rest->s = key->s + n;
	rest->len = key->len - n;
	return true;
}

static int take_known(struct pax *p, size_t i, const struct text *v)
{
	unsigned key = keys[i].key;
	int r = 0;

	if (key >= PAX_SPARSE_NAME && !p->map)
		return 0;
	p->has &= ~key;
	p->empty |= key;
	if (v->len == 0 && key != PAX_SPARSE_MAP)
		return 0;
	r = keys[i].take(p, key, v);
	if (r == 0) {
		p->has |= key;
		p->empty &= ~key;
	}
	return r;
}

static int take_record(struct pax *p, const struct text *key,
		       const struct text *v)
{
	struct text name;

	if (begins(key, SCHILY_XATTR, &name))
		return take_xattr(p, true, &name, v);
	if (begins(key, LIBARCHIVE_XATTR, &name))
		return take_coded_xattr(p, &name, v);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strlen(keys[i].name) == key->len &&
		    memcmp(keys[i].name, key->s, key->len) == 0)
			return take_known(p, i, v);
	}
	return 0;
}

/* Splits the record at the start of *rest off. */
static int next_record(struct text *rest, struct text *ret_key,
		       struct text *ret_value)
{
	const char *blank = memchr(rest->s, ' ', rest->len), *equals;
	struct text digits;
	uint64_t len;

	if (!blank)
		return -EBADMSG;
	digits = (struct text){rest->s, (size_t)(blank - rest->s)};
	if (digits.len > RECORD_LEN_MAX || parse_digits(&digits, &len) < 0 ||
	    len > rest->len || len < digits.len + 2 || rest->s[len - 1] != '\n')
		return -EBADMSG;
	blank++;
	*ret_value = (struct text){blank, len - digits.len - 2};
	equals = memchr(blank, '=', ret_value->len);
	if (!equals || equals == blank)
		return -EBADMSG;
	*ret_key = (struct text){blank, (size_t)(equals - blank)};
	ret_value->s = equals + 1;
	ret_value->len -= ret_key->len + 1;
	rest->s += len;
	rest->len -= len;
	return 0;
}

int pax_parse(struct pax *p, const char *header, size_t len,
	      const char **ret_why)
{
	struct text rest = {header, len}, key, value;
	int r = 0;

	while (r == 0 && rest.len) {
		r = next_record(&rest, &key, &value);
		if (r < 0) {
			*ret_why = "pax header is no sequence of records";
			return r;
		}
		r = take_record(p, &key, &value);
	}
	if (r == -EBADMSG)
		*ret_why = "pax header has a value that means nothing";
	return r;
}

/* Versions before 1.0 did not always say so. */
enum pax_sparse pax_sparse(const struct pax *p)
{
	const unsigned version = PAX_SPARSE_MAJOR | PAX_SPARSE_MINOR;

	if ((p->has & version) == version && p->sparse_major == 1 &&
	    p->sparse_minor == 0)
		return PAX_SPARSE_IN_DATA;
	if ((p->has & version) && ((p->has & version) != version ||
				   p->sparse_major != 0 || p->sparse_minor > 1))
		return PAX_SPARSE_NOT;
	return p->has & (PAX_SPARSE_MAP | PAX_SPARSE_BLOCKS) ? PAX_SPARSE_HERE
							     : PAX_SPARSE_NOT;
}
