/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value (an element of `entries`, or any other member of the document) is
 * gathered from its first byte to its last, so the scanner must know only
 * where values end; util/json parses them, here or later.  Of the document's
 * own syntax it accepts no more than JSON: every state names what may come.
 *
 *   START { -> FIRST_KEY " -> IN_KEY " -> COLON : -> VALUE -> IN_VALUE
 *   IN_VALUE -> AFTER_MEMBER , -> KEY      AFTER_MEMBER } -> END
 *   VALUE [ of entries -> FIRST_ELEMENT { -> IN_VALUE -> AFTER_ELEMENT
 *   AFTER_ELEMENT , -> ELEMENT             AFTER_ELEMENT ] -> AFTER_MEMBER
 *
 * Readers disagree on which of two `entries` counts, so that is refused, as are
 * keys that are not written plainly.
 */
#include "layer/tocjson.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "layer/toc.h"
#include "layer/tocformat.h"
#include "util/auto.h"
#include "util/str.h"

enum state {
	START,
	FIRST_KEY,
	KEY,
	IN_KEY,
	COLON,
	VALUE,
	FIRST_ELEMENT,
	ELEMENT,
	IN_VALUE,
	AFTER_ELEMENT,
	AFTER_MEMBER,
	END
};

struct tocjson {
	tocjson_fn fn;
	void *arg;
	enum state state;
	char key[TOCJSON_KEY_MAX];
	size_t key_len;
	bool seen_entries, seen_version;
	bool in_entries; /* the value being gathered is an element */
	struct str value;
	/* of the value being gathered */
	unsigned int depth;
	bool in_string, escaped;
	struct json_error error;
};

int tocjson_new(tocjson_fn fn, void *arg, struct tocjson **ret)
{
	struct tocjson *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	t->value.max = TOC_ENTRY_MAX;
	*ret = t;
	return 0;
}

void tocjson_free(struct tocjson *t)
{
	if (!t)
		return;
	str_done(&t->value);
	free(t);
}

const char *tocjson_error(const struct tocjson *t)
{
	return t->error.text;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int unexpected(struct tocjson *t, const char *wanted)
{
	return toc_fail(&t->error, "not JSON: no %s where one must be", wanted);
}

static int gather(struct tocjson *t, const char *bytes, size_t len)
{
	int r = str_addn(&t->value, bytes, len);

	if (r == -EFBIG)
		return toc_fail(&t->error, "an entry has more than %zu bytes",
				TOC_ENTRY_MAX);
	return r;
}

static int check_version(struct tocjson *t)
{
	if (t->seen_version)
		return toc_fail(&t->error, "two versions");
	t->seen_version = true;
	if (strcmp(t->value.buf, "[1]") != 0)
		return toc_fail(&t->error, "version: not 1");
	return 0;
}

/* Gathered behind a bracket, as a document must be an array or an object. */
static int finish_member(struct tocjson *t)
{
	struct json *j = NULL;
	int r;

	if (t->value.len == 1)
		return unexpected(t, "value");
	r = gather(t, "]", 1);
	if (r == 0)
		r = json_parse(t->value.buf, t->value.len, TOC_ENTRY_MAX, &j,
			       &t->error);
	json_free(j);
	if (r < 0)
		return r;
	t->state = AFTER_MEMBER;
	if (strcmp(t->key, "version") == 0)
		return check_version(t);
	/* Go writes an empty list so. */
	if (strcmp(t->key, "entries") == 0 &&
	    strcmp(t->value.buf, "[null]") != 0)
		return toc_fail(&t->error, "entries: not an array");
	return 0;
}

static int finish_value(struct tocjson *t)
{
	if (!t->in_entries)
		return finish_member(t);
	t->state = AFTER_ELEMENT;
	return t->fn(t->arg, t->value.buf, t->value.len);
}

/* Does the value go on with this character?  *ret_last: and end with it. */
static int value_char(struct tocjson *t, char c, bool *ret_last)
{
	*ret_last = false;
	if (t->in_string) {
		if (t->escaped)
			t->escaped = false;
		else if (c == '\\')
			t->escaped = true;
		else if (c == '"')
			t->in_string = false;
		*ret_last = !t->in_string && t->depth == 0;
		return true;
	}
	switch (c) {
	case '"':
		t->in_string = true;
		return true;
	case '{':
	case '[':
		if (++t->depth > TOCJSON_DEPTH_MAX)
			return toc_fail(&t->error, "nested deeper than %d",
					TOCJSON_DEPTH_MAX);
		return true;
	case '}':
	case ']':
		if (t->depth == 0)
			return false;
		*ret_last = --t->depth == 0;
		return true;
	default:
		return t->depth > 0 || (c != ',' && !is_blank(c));
	}
}

/* The next bytes of a value; *ret_used of them were its own. */
static int value_bytes(struct tocjson *t, const char *bytes, size_t len,
		       size_t *ret_used)
{
	bool last = false;
	size_t i = 0;
	int r = true;

	while (i < len && !last) {
		r = value_char(t, bytes[i], &last);
		if (r < 0)
			return r;
		if (!r)
			break;
		i++;
	}
	*ret_used = i;
	r = gather(t, bytes, i);
	if (r == 0 && (last || i < len))
		r = finish_value(t);
	return r;
}

/* The first character stays to be read as the value's. */
static int start_value(struct tocjson *t, bool in_entries)
{
	t->state = IN_VALUE;
	t->in_entries = in_entries;
	t->depth = 0;
	t->in_string = t->escaped = false;
	str_clear(&t->value);
	return in_entries ? 0 : gather(t, "[", 1);
}

static int key_char(struct tocjson *t, char c)
{
	if (c == '\\' || c < ' ' || c > '~')
		return toc_fail(&t->error, "a key that is not plain text");
	if (c != '"') {
		if (t->key_len + 1 == sizeof(t->key))
			return toc_fail(&t->error, "a key is too long");
		t->key[t->key_len++] = c;
		return 0;
	}
	t->key[t->key_len] = 0;
	t->state = COLON;
	if (strcmp(t->key, "entries") != 0)
		return 0;
	if (t->seen_entries)
		return toc_fail(&t->error, "two lists of entries");
	t->seen_entries = true;
	return 0;
}

static int want(struct tocjson *t, bool ok, enum state next, const char *what)
{
	if (!ok)
		return unexpected(t, what);
	t->state = next;
	return 0;
}

static int want_key(struct tocjson *t, char c)
{
	if (t->state == FIRST_KEY && c == '}')
		return want(t, true, END, "");
	t->key_len = 0;
	return want(t, c == '"', IN_KEY, "key");
}

/* One character outside values; *ret_again: it is the first of one. */
static int step(struct tocjson *t, char c, bool *ret_again)
{
	*ret_again = false;
	if (t->state == IN_KEY)
		return key_char(t, c);
	if (is_blank(c))
		return 0;
	switch (t->state) {
	case START:
		return want(t, c == '{', FIRST_KEY, "object");
	case FIRST_KEY:
	case KEY:
		return want_key(t, c);
	case COLON:
		return want(t, c == ':', VALUE, "colon");
	case VALUE:
		if (c == '[' && strcmp(t->key, "entries") == 0)
			return want(t, true, FIRST_ELEMENT, "");
		*ret_again = true;
		return start_value(t, false);
	case FIRST_ELEMENT:
	case ELEMENT:
		if (t->state == FIRST_ELEMENT && c == ']')
			return want(t, true, AFTER_MEMBER, "");
		if (c != '{')
			return toc_fail(&t->error, "an entry is no object");
		*ret_again = true;
		return start_value(t, true);
	case AFTER_ELEMENT:
		return want(t, c == ',' || c == ']',
			    c == ',' ? ELEMENT : AFTER_MEMBER, "comma");
	case AFTER_MEMBER:
		return want(t, c == ',' || c == '}', c == ',' ? KEY : END,
			    "comma");
	case END:
	case IN_KEY:
	case IN_VALUE:
	default:
		return unexpected(t, "end");
	}
}

int tocjson_feed(struct tocjson *t, const void *bytes, size_t len)
{
	const char *p = bytes;
	size_t i = 0, used = 0;
	bool again;
	int r = 0;

	while (r == 0 && i < len) {
		if (t->state == IN_VALUE) {
			r = value_bytes(t, p + i, len - i, &used);
			i += used;
		} else {
			r = step(t, p[i], &again);
			i += again ? 0 : 1;
		}
	}
	return r;
}

int tocjson_end(struct tocjson *t)
{
	if (t->state != END)
		return toc_fail(&t->error, "the JSON ends too early");
	if (!t->seen_entries)
		return toc_fail(&t->error, "no entries");
	return 0;
}
