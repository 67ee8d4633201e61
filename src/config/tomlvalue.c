/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values.  Lines are counted as their ends are passed, which only
 * strings of several lines and arrays may do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/tomlscan.h"
#include "util/auto.h"
#include "util/str.h"

#define STRING_MAX ((size_t)64 << 10)
#define KEY_MAX 1024
#define SCALAR_MAX 64

AUTOPTR_DEFINE(toml, toml_free)

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

int toml_read_key(struct tomlscan *s, char **ret)
{
	const char *from = s->p;

	if (toml_at(s, '"') || toml_at(s, '\''))
		return toml_read_string(s, false, ret);
	while (s->p < s->end && is_bare(*s->p))
		s->p++;
	if (s->p == from)
		return toml_bad(s, "has no name where one must be");
	if (s->p - from > KEY_MAX)
		return toml_bad(s, "has too long a name");
	*ret = strndup(from, (size_t)(s->p - from));
	return *ret ? 0 : -ENOMEM;
}

static int add_utf8(struct tomlscan *s, struct str *out, uint32_t c)
{
	char b[4];
	size_t n = 0;

	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return toml_bad(s, "has an escape that is no character");
	if (c < 0x80) {
		b[n++] = (char)c;
	} else if (c < 0x800) {
		b[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		b[n++] = (char)(0xe0 | c >> 12);
		b[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		b[n++] = (char)(0xf0 | c >> 18);
		b[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		b[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		b[n++] = (char)(0x80 | (c & 0x3f));
	return str_addn(out, b, n);
}

static int add_hex(struct tomlscan *s, struct str *out, int digits)
{
	uint32_t c = 0;

	for (int i = 0; i < digits; i++, s->p++) {
		char d = s->p < s->end ? *s->p : '\0';

		if (d >= '0' && d <= '9')
			c = c << 4 | (uint32_t)(d - '0');
		else if (d >= 'a' && d <= 'f')
			c = c << 4 | (uint32_t)(d - 'a' + 10);
		else if (d >= 'A' && d <= 'F')
			c = c << 4 | (uint32_t)(d - 'A' + 10);
		else
			return toml_bad(s, "has a \\u without its digits");
	}
	return add_utf8(s, out, c);
}

/* A backslash at the end of a line takes all blanks and lines behind it. */
static bool fold_lines(struct tomlscan *s)
{
	const char *p = s->p;

	while (p < s->end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	if (p == s->end || *p != '\n')
		return false;
	for (; p < s->end && strchr(" \t\r\n", *p) && *p; p++)
		s->line += *p == '\n';
	s->p = p;
	return true;
}

static int add_escape(struct tomlscan *s, bool lines, struct str *out)
{
	static const char letters[] = "btnfre\"\\";
	static const char means[] = "\b\t\n\f\r\x1b\"\\";
	const char *at;
	char c;

	if (lines && fold_lines(s))
		return 0;
	c = s->p < s->end ? *s->p++ : '\0';
	if (c == 'u' || c == 'U')
		return add_hex(s, out, c == 'u' ? 4 : 8);
	at = c ? strchr(letters, c) : NULL;
	if (!at)
		return toml_bad(s, "has an escape that there is not");
	return str_addc(out, means[at - letters]);
}

static bool at_end(const struct tomlscan *s, char quote, bool many)
{
	if (!toml_at(s, quote))
		return false;
	return !many ||
	       (s->end - s->p >= 3 && s->p[1] == quote && s->p[2] == quote);
}

static int read_char(struct tomlscan *s, char quote, bool many, struct str *out)
{
	char c = *s->p++;

	if (c == '\\' && quote == '"')
		return add_escape(s, many, out);
	if (c == '\n' && many)
		s->line++;
	else if (c == '\r' && many && toml_at(s, '\n'))
		return 0;
	else if (is_control(c)) {
		s->p--; /* the line's end is not ours */
		return toml_bad(s, c == '\n' ? "has a string without an end"
					     : "has a control character");
	}
	return str_addc(out, c);
}

int toml_read_string(struct tomlscan *s, bool lines, char **ret)
{
	autostr out = {.max = STRING_MAX};
	char quote = *s->p;
	bool many = lines && at_end(s, quote, true);
	int r = str_add(&out, "");

	s->p += many ? 3 : 1;
	if (many && toml_at(s, '\r') && s->end - s->p > 1 && s->p[1] == '\n')
		s->p++;
	if (many && toml_at(s, '\n')) {
		s->p++;
		s->line++;
	}
	while (r == 0 && s->p < s->end && !at_end(s, quote, many))
		r = read_char(s, quote, many, &out);
	if (r == -EFBIG)
		return toml_bad(s, "has too long a string");
	if (r < 0)
		return r;
	if (s->p == s->end)
		return toml_bad(s, "has a string without an end");
	/* Up to two quotes may stand before the three. */
	while (many && s->end - s->p > 3 && s->p[3] == quote && r == 0)
		r = str_addc(&out, *s->p++);
	if (r < 0)
		return r;
	s->p += many ? 3 : 1;
	*ret = str_steal(&out);
	return *ret ? 0 : -ENOMEM;
}

static int new_string(struct tomlscan *s, struct toml **ret)
{
	autoptr(toml) t = NULL;
	int r = toml_new(s, TOML_STRING, &t);

	if (r == 0)
		r = toml_read_string(s, true, &t->text);
	if (r == 0)
		*ret = steal(&t);
	return r;
}

/* Digits with single '_' between them; -EINVAL: no integer. */
static int read_integer(const char *w, int64_t *ret)
{
	char digits[SCALAR_MAX + 1];
	unsigned long long value;
	bool minus = *w == '-';
	size_t n = 0;

	if (*w == '+' || *w == '-')
		w++;
	for (; *w; w++) {
		if (*w != '_')
			digits[n++] = *w;
		else if (n == 0 || w[-1] == '_' || !w[1])
			return -EINVAL;
	}
	digits[n] = '\0';
	if ((digits[0] == '0' && n > 1) ||
	    str_to_u64(digits, INT64_MAX, &value) < 0)
		return -EINVAL;
	*ret = minus ? -(int64_t)value : (int64_t)value;
	return 0;
}

/* Of a kind that none of our files use: 1.5, 0x1f, 1979-05-27T07:32:00Z. */
static bool is_other(const char *w)
{
	const char *sign = w + (*w == '+' || *w == '-');

	if (strcmp(sign, "inf") == 0 || strcmp(sign, "nan") == 0)
		return true;
	return *sign >= '0' && *sign <= '9';
}

static int new_scalar(struct tomlscan *s, struct toml **ret)
{
	autoptr(toml) t = NULL;
	char word[SCALAR_MAX + 1];
	size_t n = 0;
	int r;

	while (s->p < s->end &&
	       (is_bare(*s->p) || (*s->p && strchr("+.:", *s->p)))) {
		if (n == SCALAR_MAX)
			return toml_bad(s, "has a value that is no value");
		word[n++] = *s->p++;
	}
	word[n] = '\0';
	r = toml_new(s, TOML_OTHER, &t);
	if (r < 0)
		return r;
	if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
		t->type = TOML_BOOL;
		t->flag = *word == 't';
	} else if (read_integer(word, &t->number) == 0) {
		t->type = TOML_INTEGER;
	} else if (!is_other(word)) {
		return toml_bad(s, n ? "has a value that is no value "
				       "(strings need quotes)"
				     : "has no value");
	}
	*ret = steal(&t);
	return 0;
}

/* Blanks, comments and ends of lines, as arrays allow them. */
static void skip_space(struct tomlscan *s)
{
	for (; s->p < s->end && strchr(" \t\r\n#", *s->p) && *s->p; s->p++) {
		if (*s->p == '#') {
			while (s->p + 1 < s->end && s->p[1] != '\n')
				s->p++;
		}
		s->line += *s->p == '\n';
	}
}

static int new_array(struct tomlscan *s, unsigned depth, struct toml **ret)
{
	autoptr(toml) t = NULL;
	int r = toml_new(s, TOML_ARRAY, &t);

	s->p++;
	while (r == 0) {
		struct toml *one = NULL;

		skip_space(s);
		if (toml_at(s, ']'))
			break;
		r = toml_read_value(s, depth + 1, &one);
		if (r == 0)
			r = toml_add(s, t, one);
		if (r < 0)
			return r;
		skip_space(s);
		if (toml_at(s, ','))
			s->p++;
		else if (!toml_at(s, ']'))
			return toml_bad(s, "has an array without an end");
	}
	if (r < 0)
		return r;
	s->p++;
	*ret = steal(&t);
	return 0;
}

static int new_inline_table(struct tomlscan *s, unsigned depth,
			    struct toml **ret)
{
	autoptr(toml) t = NULL;
	int r = toml_new(s, TOML_TABLE, &t);

	s->p++;
	toml_skip_blanks(s);
	while (r == 0 && !toml_at(s, '}')) {
		r = toml_read_pair(s, t, depth + 1);
		if (r < 0)
			return r;
		toml_skip_blanks(s);
		if (!toml_at(s, ',') && !toml_at(s, '}'))
			return toml_bad(s,
					"has an inline table without an end");
		if (toml_at(s, ',')) {
			s->p++;
			toml_skip_blanks(s);
		}
	}
	if (r < 0)
		return r;
	s->p++;
	t->defined = true;
	*ret = steal(&t);
	return 0;
}

int toml_read_value(struct tomlscan *s, unsigned depth, struct toml **ret)
{
	if (depth >= TOML_DEPTH_MAX)
		return toml_bad(s, "is nested too deep");
	if (toml_at(s, '"') || toml_at(s, '\''))
		return new_string(s, ret);
	if (toml_at(s, '['))
		return new_array(s, depth, ret);
	if (toml_at(s, '{'))
		return new_inline_table(s, depth, ret);
	return new_scalar(s, ret);
}

static void set_doubtful(const struct toml *table, const char *key)
{
	for (size_t i = 0; i < table->len; i++) {
		if (strcmp(table->v[i]->key, key) == 0)
			table->v[i]->doubtful = true;
	}
}

static int put_value(struct tomlscan *s, struct toml *table, char **key,
		     unsigned depth)
{
	struct toml *value;
	unsigned line = s->line;
	int r;

	s->p++;
	toml_skip_blanks(s);
	r = toml_read_value(s, depth, &value);
	if (r == -EINVAL)
		return toml_add_broken(s, table, *key);
	if (r < 0)
		return r;
	if (toml_find(table, *key)) {
		toml_free(value);
		set_doubtful(table, *key);
		return toml_bad(s, "sets what is set already");
	}
	value->key = steal(key);
	value->line = line;
	value->defined = true;
	return toml_add(s, table, value);
}

int toml_read_pair(struct tomlscan *s, struct toml *table, unsigned depth)
{
	int r = 0;

	for (; r == 0; depth++) {
		autofree char *key = NULL;

		if (depth >= TOML_DEPTH_MAX)
			return toml_bad(s, "is nested too deep");
		r = toml_read_key(s, &key);
		if (r < 0)
			return r == -EINVAL ? toml_add_broken(s, table, NULL)
					    : r;
		toml_skip_blanks(s);
		if (toml_at(s, '='))
			return put_value(s, table, &key, depth);
		if (!toml_at(s, '.')) {
			toml_bad(s, "has no = behind its name");
			return toml_add_broken(s, table, key);
		}
		s->p++;
		toml_skip_blanks(s);
		r = toml_enter(s, table, key, &table);
	}
	return r;
}
