/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields as Go writes them: what is zero or empty is left out.  A type, a time
 * or a digest that is not understood makes the table useless, as it does for
 * containers/storage: the layer can still be read as an archive.
 */
#include "layer/tocentry.h"

#include <errno.h>
#include <string.h>

#include "layer/tocformat.h"
#include "util/clock.h"
#include "util/encode.h"

/* Go's zero time, which means none: 0001-01-01T00:00:00Z. */
#define GO_ZERO_TIME_S INT64_C(-62135596800)

static const struct {
	const char *name;
	enum layer_type type;
	bool is_chunk;
} types[] = {
	{"reg", LAYER_FILE, false},	     {"chunk", LAYER_FILE, true},
	{"dir", LAYER_DIR, false},	     {"symlink", LAYER_SYMLINK, false},
	{"hardlink", LAYER_HARDLINK, false}, {"char", LAYER_CHAR, false},
	{"block", LAYER_BLOCK, false},	     {"fifo", LAYER_FIFO, false},
};

static int read_type(const struct json *o, struct tocentry *e,
		     struct json_error *err)
{
	const char *name;
	int r;

	r = json_need_string(o, "type", &name, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (strcmp(types[i].name, name) != 0)
			continue;
		e->entry.type = types[i].type;
		e->is_chunk = types[i].is_chunk;
		return 0;
	}
	return toc_fail(err, "type: unknown");
}

static int read_digest(const struct json *o, const char *key, bool *ret_has,
		       uint8_t ret[32], struct json_error *err)
{
	const char *text = NULL;
	int r;

	r = json_opt_string(o, key, &text, err);
	if (r < 0 || !text || !*text)
		return r;
	if (toc_digest_parse(text, ret) < 0)
		return toc_fail(err, "%s: not a SHA-256", key);
	*ret_has = true;
	return 0;
}

static int read_chunk_type(const struct json *o, struct tocchunk *c,
			   struct json_error *err)
{
	const char *type = "";
	int r;

	r = json_opt_string(o, "chunkType", &type, err);
	if (r < 0)
		return r;
	c->zeros = strcmp(type, "zeros") == 0;
	if (*type && !c->zeros)
		return toc_fail(err, "chunkType: unknown");
	return 0;
}

static int read_chunk(const struct json *o, struct tocchunk *c,
		      struct json_error *err)
{
	int r;

	r = json_opt_u64(o, "offset", INT64_MAX, &c->src_off, err);
	if (r == 0)
		r = json_opt_u64(o, "innerOffset", TOC_INNER_MAX, &c->inner_off,
				 err);
	if (r == 0)
		r = json_opt_u64(o, "chunkOffset", INT64_MAX, &c->off, err);
	if (r == 0)
		r = json_opt_u64(o, "chunkSize", INT64_MAX, &c->bytes, err);
	if (r == 0)
		r = read_digest(o, "chunkDigest", &c->has_digest, c->digest,
				err);
	if (r == 0)
		r = read_chunk_type(o, c, err);
	return r;
}

static int read_mtime(const struct json *o, struct layer_entry *e,
		      struct json_error *err)
{
	struct timespec t = {0};
	const char *text = "";
	int r;

	r = json_opt_string(o, "modtime", &text, err);
	if (r < 0)
		return r;
	if (*text && clock_parse_rfc3339(text, &t) < 0)
		return toc_fail(err, "modtime: not a time");
	if (t.tv_sec == GO_ZERO_TIME_S && t.tv_nsec == 0)
		t.tv_sec = 0;
	e->mtime_s = t.tv_sec;
	e->mtime_ns = (uint32_t)t.tv_nsec;
	return 0;
}

static int read_u32(const struct json *o, const char *key, uint32_t *ret,
		    struct json_error *err)
{
	uint64_t v = 0;
	int r;

	r = json_opt_u64(o, key, UINT32_MAX, &v, err);
	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

/* Some writers leave the type's bits in the mode. */
static int read_mode(const struct json *o, uint32_t *ret,
		     struct json_error *err)
{
	uint64_t v = 0;
	int r;

	r = json_opt_u64(o, "mode", INT64_MAX, &v, err);
	if (r == 0)
		*ret = (uint32_t)v & 07777;
	return r;
}

static int read_numbers(const struct json *o, struct layer_entry *e,
			struct json_error *err)
{
	int r;

	r = read_mode(o, &e->mode, err);
	if (r == 0)
		r = read_u32(o, "uid", &e->uid, err);
	if (r == 0)
		r = read_u32(o, "gid", &e->gid, err);
	if (r == 0 && (e->type == LAYER_CHAR || e->type == LAYER_BLOCK))
		r = read_u32(o, "devMajor", &e->major, err);
	if (r == 0 && (e->type == LAYER_CHAR || e->type == LAYER_BLOCK))
		r = read_u32(o, "devMinor", &e->minor, err);
	if (r == 0 && e->type == LAYER_FILE)
		r = json_opt_u64(o, "size", INT64_MAX, &e->size_bytes, err);
	return r;
}

/*
 * Writers put U+FFFD where a name had bytes that are no UTF-8: what it was is
 * in the archive only, and two names may have become one.
 */
static int check_name(const char *name, struct json_error *err)
{
	if (strstr(name, "\xef\xbf\xbd"))
		return toc_fail(err, "a name that cannot be in a table");
	return 0;
}

static int read_names(const struct json *o, struct layer_entry *e,
		      struct json_error *err)
{
	const char *link = "";
	int r;

	r = json_need_string(o, "name", &e->path, err);
	if (r == 0)
		r = check_name(e->path, err);
	if (r < 0)
		return r;
	e->path_len = strlen(e->path);
	if (e->type != LAYER_SYMLINK && e->type != LAYER_HARDLINK)
		return 0;
	r = json_opt_string(o, "linkName", &link, err);
	if (r == 0)
		r = check_name(link, err);
	if (r < 0)
		return r;
	e->link = link;
	e->link_len = strlen(link);
	return 0;
}

/* The value's place is told when all are there: they move till then. */
static int add_xattr(struct tocentry *e, const struct json *xattrs,
		     const char *name, size_t *bytes, struct json_error *err)
{
	struct layer_xattr x = {.name = name};
	size_t before = e->values.len;
	const char *text = "";
	int r;

	r = json_opt_string(xattrs, name, &text, err);
	if (r < 0)
		return r;
	r = base64_decode(text, strlen(text), &e->values);
	if (r == -EFBIG)
		return toc_fail(err, "xattrs: too large");
	if (r == -EINVAL)
		return toc_fail(err, "xattrs: not base64");
	if (r < 0)
		return r;
	x.len = e->values.len - before;
	*bytes += x.len + strlen(name);
	if (*bytes > LAYER_XATTR_MAX)
		return toc_fail(err, "xattrs: too large");
	return vec_push(&e->xattrs, x);
}

static int read_xattrs(const struct json *o, struct tocentry *e,
		       struct json_error *err)
{
	const struct json *xattrs = NULL, *unused;
	size_t bytes = 0, at = 0;
	void *iter = NULL;
	const char *name;
	int r;

	e->values.max = LAYER_XATTR_MAX;
	r = json_opt_object(o, "xattrs", &xattrs, err);
	while (r == 0 && xattrs && json_each(xattrs, &iter, &name, &unused))
		r = add_xattr(e, xattrs, name, &bytes, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < e->xattrs.len; i++) {
		e->xattrs.v[i].value = e->values.buf ? e->values.buf + at : "";
		at += e->xattrs.v[i].len;
	}
	e->entry.xattrs = e->xattrs.v;
	e->entry.xattrs_len = e->xattrs.len;
	return 0;
}

static int read_entry(const struct json *o, struct tocentry *e,
		      struct json_error *err)
{
	int r;

	r = read_names(o, &e->entry, err);
	if (r == 0)
		r = read_numbers(o, &e->entry, err);
	if (r == 0)
		r = read_mtime(o, &e->entry, err);
	if (r == 0)
		r = read_xattrs(o, e, err);
	if (r < 0 || e->entry.type != LAYER_FILE)
		return r;
	e->entry.in_pieces = true;
	r = json_opt_u64(o, "endOffset", INT64_MAX, &e->src_end, err);
	if (r == 0)
		r = read_digest(o, "digest", &e->has_digest, e->digest, err);
	if (r == 0)
		r = read_chunk(o, &e->chunk, err);
	return r;
}

int tocentry_read(const char *element, size_t len, struct tocentry *ret,
		  struct json_error *err)
{
	struct tocentry e = {.doc = NULL};
	int r;

	r = json_parse(element, len, TOC_ENTRY_MAX, &e.doc, err);
	if (r == 0)
		r = read_type(e.doc, &e, err);
	if (r == 0)
		r = e.is_chunk ? read_chunk(e.doc, &e.chunk, err)
			       : read_entry(e.doc, &e, err);
	if (r < 0)
		tocentry_done(&e);
	else
		*ret = e;
	return r;
}

void tocentry_done(struct tocentry *e)
{
	json_free(e->doc);
	vec_done(&e->xattrs);
	str_done(&e->values);
	memset(e, 0, sizeof(*e));
}

/* Behind the string that begins at i. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++) {
		if (text[i] == '\\')
			i++;
	}
	return i < len ? i + 1 : len;
}

static size_t skip_blanks(const char *text, size_t len, size_t i)
{
	while (i < len && strchr(" \t\r\n", text[i]))
		i++;
	return i;
}

/* A number that is too large is 0. */
static uint64_t read_number(const char *text, size_t len, size_t i)
{
	uint64_t v = 0;

	for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
		if (v > INT64_MAX / 10 - 1)
			return 0;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	return v;
}

uint64_t tocentry_src_off(const char *element, size_t len)
{
	static const char key[] = "\"offset\"";
	int depth = 0;

	for (size_t i = 0; i < len;) {
		char c = element[i];
		size_t end = c == '"' ? skip_string(element, len, i) : i + 1;

		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		if (depth == 1 && end - i == sizeof(key) - 1 &&
		    memcmp(element + i, key, end - i) == 0) {
			end = skip_blanks(element, len, end);
			if (end < len && element[end] == ':')
				return read_number(
					element, len,
					skip_blanks(element, len, end + 1));
		}
		i = end;
	}
	return 0;
}
