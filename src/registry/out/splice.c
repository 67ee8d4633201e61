/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the tokens of a valid document.  Validity is somebody else's
 * affair; here it only has to be certain that nothing is read beyond the end,
 * whatever the bytes are.
 */
#include "registry/out/splice.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct walk {
	const char *p;
	size_t len, at;
};

static char peek(const struct walk *w)
{
	return w->at < w->len ? w->p[w->at] : '\0';
}

static void skip_blank(struct walk *w)
{
	while (w->at < w->len && memchr(" \t\r\n", w->p[w->at], 4))
		w->at++;
}

/* From its first quote to after its last. */
static void skip_string(struct walk *w)
{
	w->at++;
	while (w->at < w->len && w->p[w->at] != '"')
		w->at += w->p[w->at] == '\\' ? 2 : 1;
	w->at++;
	if (w->at > w->len)
		w->at = w->len;
}

/* Numbers, true, false, null. */
static void skip_word(struct walk *w)
{
	while (w->at < w->len && !memchr(" \t\r\n,]}", w->p[w->at], 7))
		w->at++;
}

static void skip_value(struct walk *w)
{
	size_t depth = 0;

	do {
		char c = peek(w);

		if (c == '"') {
			skip_string(w);
		} else if (c == '{' || c == '[') {
			depth++;
			w->at++;
		} else if (c == '}' || c == ']') {
			depth--;
			w->at++;
		} else if (c == ',' || c == ':') {
			w->at++;
		} else {
			skip_word(w);
		}
		skip_blank(w);
	} while (depth > 0 && w->at < w->len);
}

/* After a value: blanks belong to nobody. */
static size_t end_of_value(const struct walk *w)
{
	size_t end = w->at;

	while (end > 0 && memchr(" \t\r\n", w->p[end - 1], 4))
		end--;
	return end;
}

/* To the value of a member of the object that begins here. */
static bool find_member(struct walk *w, const char *member)
{
	size_t n = strlen(member);

	if (peek(w) != '{')
		return false;
	w->at++;
	skip_blank(w);
	while (peek(w) == '"') {
		size_t key = w->at + 1;
		bool found;

		skip_string(w);
		found = w->at - key == n + 1 &&
			memcmp(w->p + key, member, n) == 0;
		skip_blank(w);
		if (peek(w) != ':')
			return false;
		w->at++;
		skip_blank(w);
		if (found)
			return true;
		skip_value(w);
		if (peek(w) == ',')
			w->at++;
		skip_blank(w);
	}
	return false;
}

static int read_items(struct splice *s, struct walk *w)
{
	w->at++;
	skip_blank(w);
	while (peek(w) != ']') {
		size_t from = w->at;

		if (s->items >= SPLICE_ITEMS_MAX)
			return -EFBIG;
		skip_value(w);
		if (w->at == from || w->at >= w->len)
			return -EBADMSG;
		s->from[s->items] = from;
		s->to[s->items++] = end_of_value(w);
		if (peek(w) == ',')
			w->at++;
		skip_blank(w);
	}
	s->close = w->at;
	return 0;
}

int splice_find(struct splice *s, const char *doc, size_t len,
		const char *member)
{
	struct walk w = {.p = doc, .len = len};

	s->doc = doc;
	s->len = len;
	s->items = 0;
	skip_blank(&w);
	if (!find_member(&w, member) || peek(&w) != '[')
		return -EBADMSG;
	s->open = w.at;
	return read_items(s, &w);
}

/* doc[0, upto), text, doc[from, len) */
static int join(const struct splice *s, size_t upto, const char *text,
		size_t from, struct str *out)
{
	int r = str_addn(out, s->doc, upto);

	if (r == 0)
		r = str_add(out, text);
	return r < 0 ? r : str_addn(out, s->doc + from, s->len - from);
}

int splice_append(const struct splice *s, const char *item, struct str *out)
{
	size_t at = s->items ? s->to[s->items - 1] : s->open + 1;
	int r = str_addn(out, s->doc, at);

	if (r == 0 && s->items)
		r = str_addc(out, ',');
	if (r == 0)
		r = str_add(out, item);
	return r < 0 ? r : str_addn(out, s->doc + at, s->len - at);
}

int splice_remove(const struct splice *s, size_t i, struct str *out)
{
	if (i + 1 < s->items)
		return join(s, s->from[i], "", s->from[i + 1], out);
	return join(s, i > 0 ? s->to[i - 1] : s->from[i], "", s->to[i], out);
}
