/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotes make a value literal; a '#' begins a comment only at the start of a
 * line or behind a blank, so patterns and paths may hold one.
 */
#include "config/optionline.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

void optionline_done(struct optionline *l)
{
	free(l->name);
	free(l->value);
	*l = (struct optionline){.name = NULL};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

static size_t name_length(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789_-");
}

/* In double quotes a backslash takes the next character as it is. */
static int parse_quoted(const char *s, char **ret, const char **ret_reason)
{
	autofree char *value = malloc(strlen(s) + 1);
	char quote = *s++;
	size_t n = 0;

	if (!value)
		return -ENOMEM;
	for (; *s && *s != quote; s++) {
		if (*s == '\\' && quote == '"' && s[1])
			s++;
		value[n++] = *s;
	}
	if (*s != quote)
		return refuse(ret_reason, "has no closing quote");
	value[n] = '\0';
	s = skip_blanks(s + 1);
	if (*s && *s != '#')
		return refuse(ret_reason, "goes on behind the closing quote");
	*ret = steal(&value);
	return 0;
}

static int parse_plain(const char *s, char **ret)
{
	size_t n = 0;

	while (s[n] && !(s[n] == '#' && (n == 0 || is_blank(s[n - 1]))))
		n++;
	while (n > 0 && is_blank(s[n - 1]))
		n--;
	*ret = strndup(s, n);
	return *ret ? 0 : -ENOMEM;
}

static int parse_line(const char *s, struct optionline *l,
		      const char **ret_reason)
{
	size_t n;

	s = skip_blanks(s);
	if (!*s || *s == '#')
		return 0;
	n = name_length(s);
	if (n == 0)
		return refuse(ret_reason, "is not \"name = value\"");
	l->name = strndup(s, n);
	if (!l->name)
		return -ENOMEM;
	s = skip_blanks(s + n);
	if (!*s || *s == '#')
		return 0;
	if (*s != '=')
		return refuse(ret_reason, "is not \"name = value\"");
	s = skip_blanks(s + 1);
	if (*s == '"' || *s == '\'')
		return parse_quoted(s, &l->value, ret_reason);
	return parse_plain(s, &l->value);
}

int optionline_parse(const char *line, size_t n, struct optionline *ret,
		     const char **ret_reason)
{
	struct optionline l = {.name = NULL};
	autofree char *copy = NULL;
	int r;

	if (n > OPTIONLINE_MAX)
		return refuse(ret_reason, "is too long");
	if (memchr(line, '\0', n))
		return refuse(ret_reason, "has a NUL byte");
	copy = strndup(line, n);
	if (!copy)
		return -ENOMEM;
	r = parse_line(copy, &l, ret_reason);
	if (r < 0) {
		optionline_done(&l);
		return r;
	}
	*ret = l;
	return 0;
}

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' &&
	       s[2] >= '0' && s[2] <= '7';
}

/* One character, escaped or not, from *s. */
static char take(const char **s)
{
	const char *p = *s;

	if (p[0] != '\\' || p[1] == '\0') {
		*s += 1;
		return p[0];
	}
	if (is_octal(p + 1)) {
		*s += 4;
		return (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 |
			      (p[3] - '0'));
	}
	*s += 2;
	return p[1];
}

int optionwords_split(const char *s, struct string_list *ret,
		      const char **ret_reason)
{
	autofree char *word = malloc(strlen(s) + 1);
	autostrings list = {.v = NULL};
	size_t n = 0;
	int r = 0;

	if (!word)
		return -ENOMEM;
	for (;;) {
		if (*s && *s != ',') {
			word[n] = take(&s);
			if (word[n++] == '\0')
				return refuse(ret_reason, "has a NUL byte");
			continue;
		}
		word[n] = '\0';
		if (list.len >= OPTIONWORDS_MAX)
			return refuse(ret_reason, "has too many words");
		if (n > 0)
			r = string_list_add(&list, word);
		if (r < 0)
			return r;
		n = 0;
		if (*s++ == '\0')
			break;
	}
	for (size_t i = 0; r == 0 && i < list.len; i++)
		r = string_list_add(ret, list.v[i]);
	return r;
}

int optionwords_add(struct str *out, const char *word)
{
	size_t before = out->len;
	int r = 0;

	if (out->len > 0)
		r = str_addc(out, ',');
	for (; r == 0 && *word; word++) {
		if (*word == ',' || *word == '\\')
			r = str_addc(out, '\\');
		if (r == 0)
			r = str_addc(out, *word);
	}
	if (r < 0)
		str_truncate(out, before);
	return r;
}
