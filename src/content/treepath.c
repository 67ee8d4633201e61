/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of archives made fit for a directory; see the header.  The text is
 * copied once and cut in place; only names that are too long need a second
 * place, and a path holds few of those.
 */
#include "content/treepath.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "util/encode.h"
#include "util/hash.h"

#define HEAD_MAX 200 /* bytes of a long name that stay */
#define HASH_BYTES 8

/* How much of the name stays: no character is cut, if it is made of such. */
static size_t head_len(const char *raw, size_t len)
{
	size_t at = 0, head = 0;

	while (at < len) {
		size_t n = utf8_sequence(raw + at, len - at);

		if (n == 0)
			return HEAD_MAX;
		at += n;
		if (at <= HEAD_MAX)
			head = at;
	}
	return head;
}

bool treepath_show(const char *raw, size_t len, char ret[TREE_NAME_MAX + 1])
{
	uint8_t hash[HASH_MAX];
	size_t head;

	if (len <= TREE_NAME_MAX) {
		memcpy(ret, raw, len);
		ret[len] = '\0';
		return false;
	}
	head = head_len(raw, len);
	memcpy(ret, raw, head);
	ret[head] = '~';
	hash_once(HASH_SHA256, raw, len, hash);
	hex_encode(hash, HASH_BYTES, ret + head + 1);
	return true;
}

static int add_part(struct treepath *p, const char *raw, size_t len,
		    size_t *longs)
{
	struct treepath_part part = {.name = raw};

	if (len == 0 || (len == 1 && raw[0] == '.'))
		return 0;
	if (len == 2 && raw[0] == '.' && raw[1] == '.')
		return -EINVAL;
	if (len > TREE_NAME_MAX) {
		char *shown = p->shown[(*longs)++];

		treepath_show(raw, len, shown);
		part = (struct treepath_part){shown, raw, len};
	}
	p->parts[p->len++] = part;
	return 0;
}

int treepath_parse(const char *path, size_t len, struct treepath *ret)
{
	char *at = ret->text, *end;
	size_t longs = 0;

	if (len > LAYER_PATH_MAX || memchr(path, '\0', len))
		return -EINVAL;
	end = at + len;
	memcpy(ret->text, path, len);
	*end = '\0';
	ret->len = 0;
	while (at < end) {
		char *slash = memchr(at, '/', (size_t)(end - at));
		int r;

		if (!slash)
			slash = end;
		*slash = '\0';
		r = add_part(ret, at, (size_t)(slash - at), &longs);
		if (r < 0)
			return r;
		at = slash + 1;
	}
	return 0;
}

bool treepath_equal(const struct treepath *a, const struct treepath *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = a->len; i > 0; i--) {
		if (strcmp(a->parts[i - 1].name, b->parts[i - 1].name) != 0)
			return false;
	}
	return true;
}

int treepath_format(const struct treepath *p, struct str *out)
{
	int r = p->len == 0 ? str_addc(out, '.') : 0;

	for (size_t i = 0; r == 0 && i < p->len; i++) {
		r = i > 0 ? str_addc(out, '/') : 0;
		if (r == 0)
			r = str_add(out, p->parts[i].name);
	}
	return r;
}
