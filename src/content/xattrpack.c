/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes packed: for each, in the order of their names, the
 * lengths of name and value (32 bits each, little endian), then their bytes.
 * The order makes the same attributes the same bytes, and duplicates
 * neighbours, however many there are.
 */
#include "content/xattrpack.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"

#define NAME_MAX_BYTES 255 /* XATTR_NAME_MAX of Linux */

struct head {
	uint32_t name_len, value_len;
};

static bool shown(const struct layer_xattr *x)
{
	static const char *const hidden[] = {
		"trusted.overlay.",
		"user.overlay.",
		"user.registryfs.",
	};
	size_t len = strlen(x->name);

	if (len == 0 || len > NAME_MAX_BYTES || x->len > LAYER_XATTR_MAX)
		return false;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++) {
		if (str_prefix(x->name, hidden[i]))
			return false;
	}
	return true;
}

/* By name, then as they came: the last of one name is the valid one. */
static int compare(const void *a, const void *b)
{
	const struct layer_xattr *x = *(const struct layer_xattr *const *)a;
	const struct layer_xattr *y = *(const struct layer_xattr *const *)b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x > y) - (x < y);
}

static int pack_one(const struct layer_xattr *x, struct str *out)
{
	size_t name_len = strlen(x->name);
	struct head h = {htole32((uint32_t)name_len),
			 htole32((uint32_t)x->len)};
	int r = str_reserve(out, sizeof(h) + name_len + x->len);

	if (r == 0)
		r = str_addn(out, &h, sizeof(h));
	if (r == 0)
		r = str_addn(out, x->name, name_len);
	if (r == 0 && x->len > 0)
		r = str_addn(out, x->value, x->len);
	return r;
}

int xattrs_pack(const struct layer_xattr *x, size_t len, struct str *out)
{
	autofree const struct layer_xattr **order = NULL;
	size_t n = 0, start = out->len;
	int r = 0;

	if (len == 0)
		return 0;
	order = calloc(len, sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		if (shown(&x[i]))
			order[n++] = &x[i];
	}
	qsort(order, n, sizeof(*order), compare);
	for (size_t i = 0; r == 0 && i < n; i++) {
		size_t bytes = sizeof(struct head) + strlen(order[i]->name) +
			       order[i]->len;

		if (i + 1 < n &&
		    strcmp(order[i]->name, order[i + 1]->name) == 0)
			continue;
		if (out->len - start + bytes <= LAYER_XATTR_MAX)
			r = pack_one(order[i], out);
	}
	if (r < 0)
		str_truncate(out, start);
	return r;
}

struct cursor {
	const char *at;
	size_t left;
};

struct packed {
	const char *name, *value;
	size_t name_len, value_len;
};

/* 1: there was one; 0: the end. */
static int next(struct cursor *c, struct packed *ret)
{
	struct head h;
	size_t name_len, value_len;

	if (c->left == 0)
		return 0;
	if (c->left < sizeof(h))
		return -EBADMSG;
	memcpy(&h, c->at, sizeof(h));
	name_len = le32toh(h.name_len);
	value_len = le32toh(h.value_len);
	c->at += sizeof(h);
	c->left -= sizeof(h);
	if (name_len == 0 || name_len > NAME_MAX_BYTES || name_len > c->left ||
	    value_len > c->left - name_len || memchr(c->at, '\0', name_len))
		return -EBADMSG;
	*ret = (struct packed){c->at, c->at + name_len, name_len, value_len};
	c->at += name_len + value_len;
	c->left -= name_len + value_len;
	return 1;
}

int xattrs_find(const void *packed, size_t len, const char *name,
		struct str *out)
{
	struct cursor c = {packed, len};
	size_t name_len = strlen(name);
	struct packed p;
	int r;

	while ((r = next(&c, &p)) > 0) {
		if (p.name_len == name_len &&
		    memcmp(p.name, name, name_len) == 0)
			return str_addn(out, p.value, p.value_len);
	}
	return r < 0 ? r : -ENODATA;
}

int xattrs_names(const void *packed, size_t len, struct str *out)
{
	struct cursor c = {packed, len};
	size_t start = out->len;
	struct packed p;
	int r;

	while ((r = next(&c, &p)) > 0) {
		r = str_addn(out, p.name, p.name_len);
		if (r == 0)
			r = str_addc(out, '\0');
		if (r < 0)
			break;
	}
	if (r < 0)
		str_truncate(out, start);
	return r;
}
