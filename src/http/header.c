/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each parser walks its text once, with a cursor that never passes the NUL.
 * They are as generous as registries in the field need (missing commas,
 * unquoted URLs) and refuse what could be read in two ways.
 */
#include "http/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/str.h"

#define SECONDS_MAX ((uint64_t)10 * 365 * 86400)

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void skip_blanks(const char **p)
{
	while (is_blank(**p))
		(*p)++;
}

static size_t token_length(const char *s)
{
	size_t n = 0;

	while (is_token_char(s[n]))
		n++;
	return n;
}

static bool equals(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(s, word, n) == 0;
}

/* "…" with backslash escapes (RFC 9110 5.6.4); *p is at the opening quote. */
static int parse_quoted(const char **p, char **ret)
{
	autostr out = {.max = HEADER_MAX};
	const char *s = *p + 1;
	int r = str_add(&out, "");

	for (; r == 0 && *s != '"'; s++) {
		if (*s == '\\')
			s++;
		if (*s == '\0' || is_control(*s))
			return -EBADMSG;
		r = str_addc(&out, *s);
	}
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	*p = s + 1;
	*ret = str_steal(&out);
	return 0;
}

/* A token, or anything up to a delimiter: URLs are seen without quotes. */
static int parse_bare(const char **p, const char *delimiters, char **ret)
{
	const char *s = *p;
	size_t n = 0;
	char *value;

	while (s[n] && !is_blank(s[n]) && !strchr(delimiters, s[n])) {
		if (is_control(s[n]) || s[n] == '"')
			return -EBADMSG;
		n++;
	}
	if (n == 0)
		return -EBADMSG;
	value = strndup(s, n);
	if (!value)
		return -ENOMEM;
	*p = s + n;
	*ret = value;
	return 0;
}

static int parse_value(const char **p, const char *delimiters, char **ret)
{
	skip_blanks(p);
	return **p == '"' ? parse_quoted(p, ret)
			  : parse_bare(p, delimiters, ret);
}

static char **challenge_field(struct challenge *c, const char *name, size_t n)
{
	if (equals(name, n, "realm"))
		return &c->realm;
	if (equals(name, n, "service"))
		return &c->service;
	if (equals(name, n, "scope"))
		return &c->scope;
	if (equals(name, n, "error"))
		return &c->error;
	return NULL;
}

/* *p is at the '='.  A known parameter given twice could be read two ways. */
static int parse_challenge_param(const char **p, const char *name, size_t n,
				 struct challenge *c)
{
	char **field = challenge_field(c, name, n);
	autofree char *value = NULL;
	int r;

	(*p)++;
	r = parse_value(p, ",", &value);
	if (r < 0)
		return r;
	if (!field)
		return 0;
	if (*field)
		return -EBADMSG;
	*field = steal(&value);
	return 0;
}

static enum challenge_scheme scheme_of(const char *s, size_t n)
{
	if (equals(s, n, "basic"))
		return CHALLENGE_BASIC;
	if (equals(s, n, "bearer"))
		return CHALLENGE_BEARER;
	return CHALLENGE_OTHER;
}

/* token68 (Negotiate, NTLM): at least one of its characters, padding, and
 * then the end of the challenge. */
static void skip_token68(const char **p)
{
	const char *s = *p;
	size_t n = 0;

	while (is_token_char(s[n]) || s[n] == '/')
		n++;
	if (n == 0)
		return;
	while (s[n] == '=')
		n++;
	s += n;
	skip_blanks(&s);
	if (*s == ',' || *s == '\0')
		*p = s;
}

static int begin_challenge(const char **p, const char *name, size_t n,
			   struct challenges *ret)
{
	if (ret->len == HEADER_CHALLENGES_MAX)
		return -EBADMSG;
	ret->v[ret->len++] = (struct challenge){.scheme = scheme_of(name, n)};
	if (is_blank(**p)) {
		skip_blanks(p);
		skip_token68(p);
	}
	return 0;
}

/*
 * A name followed by '=' is a parameter of the challenge under way; any other
 * name begins the next one.  Commas say nothing more, and some leave them out.
 */
int header_parse_challenges(const char *value, struct challenges *ret)
{
	struct challenge *current = NULL;
	const char *p = value;
	int r = 0;

	if (strnlen(value, HEADER_MAX + 1) > HEADER_MAX)
		return -EBADMSG;
	while (r == 0) {
		const char *name, *after;
		size_t n;

		while (is_blank(*p) || *p == ',')
			p++;
		if (!*p)
			return 0;
		name = p;
		n = token_length(p);
		p += n;
		after = p;
		skip_blanks(&after);
		if (n == 0 || (*after == '=' && !current))
			return -EBADMSG;
		if (*after == '=') {
			p = after;
			r = parse_challenge_param(&p, name, n, current);
			continue;
		}
		if (*p && *p != ',' && !is_blank(*p))
			return -EBADMSG;
		r = begin_challenge(&p, name, n, ret);
		current = &ret->v[ret->len - 1];
	}
	return r;
}

void challenges_done(struct challenges *c)
{
	for (size_t i = 0; i < c->len; i++) {
		free(c->v[i].realm);
		free(c->v[i].service);
		free(c->v[i].scope);
		free(c->v[i].error);
	}
	memset(c, 0, sizeof(*c));
}

/* Digits up to INT64_MAX: no offset in this program is larger. */
static bool parse_number(const char **p, uint64_t *ret)
{
	uint64_t v = 0;

	if (!is_digit(**p))
		return false;
	for (; is_digit(**p); (*p)++) {
		uint64_t digit = (uint64_t)(**p - '0');

		if (v > (INT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret = v;
	return true;
}

static bool skip_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

int header_parse_content_range(const char *value, struct content_range *ret)
{
	struct content_range c = {.total = UINT64_MAX};
	const char *p = value;

	/* Unit names are case-insensitive (RFC 9110 14.1). */
	if (strncasecmp(p, "bytes ", 6) != 0)
		return -EBADMSG;
	p += 6;
	if (!parse_number(&p, &c.first) || !skip_char(&p, '-') ||
	    !parse_number(&p, &c.last) || !skip_char(&p, '/'))
		return -EBADMSG;
	if (!skip_char(&p, '*') && !parse_number(&p, &c.total))
		return -EBADMSG;
	if (*p || c.first > c.last || c.last >= c.total)
		return -EBADMSG;
	*ret = c;
	return 0;
}

/* rel="prev next": a blank-separated list. */
static bool relations_have_next(const char *s)
{
	while (*s) {
		size_t n;

		skip_blanks(&s);
		n = strcspn(s, " \t");
		if (equals(s, n, "next"))
			return true;
		s += n;
	}
	return false;
}

/* ;name=value;name… ; only the first rel counts (RFC 8288 3.3). */
static int parse_link_params(const char **p, bool *ret_next)
{
	bool seen_rel = false;

	for (;;) {
		autofree char *value = NULL;
		const char *name;
		size_t n;
		int r;

		skip_blanks(p);
		if (!skip_char(p, ';'))
			return 0;
		skip_blanks(p);
		name = *p;
		n = token_length(name);
		*p += n;
		skip_blanks(p);
		if (n == 0 || !skip_char(p, '='))
			continue;
		r = parse_value(p, ",;", &value);
		if (r < 0)
			return r;
		if (!seen_rel && equals(name, n, "rel")) {
			seen_rel = true;
			*ret_next = relations_have_next(value);
		}
	}
}

static int copy_target(const char *s, size_t n, char **ret)
{
	char *copy;

	if (n == 0)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		if (is_control(s[i]))
			return -EBADMSG;
	copy = strndup(s, n);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int header_parse_link_next(const char *value, char **ret)
{
	const char *p = value;

	if (strnlen(value, HEADER_MAX + 1) > HEADER_MAX)
		return -EBADMSG;
	for (;;) {
		const char *target, *end;
		bool next = false;
		int r;

		while (is_blank(*p) || *p == ',')
			p++;
		if (!*p) {
			*ret = NULL;
			return 0;
		}
		if (!skip_char(&p, '<'))
			return -EBADMSG;
		target = p;
		end = strchr(p, '>');
		if (!end)
			return -EBADMSG;
		p = end + 1;
		r = parse_link_params(&p, &next);
		if (r < 0)
			return r;
		if (*p && *p != ',')
			return -EBADMSG;
		if (next)
			return copy_target(target, (size_t)(end - target), ret);
	}
}

int header_parse_retry_after(const char *value, int64_t now,
			     uint64_t *ret_seconds)
{
	const char *p = value;
	bool negative = skip_char(&p, '-');
	uint64_t v = 0;
	int64_t date;

	if (is_digit(*p)) {
		for (; is_digit(*p); p++)
			if (v <= SECONDS_MAX)
				v = v * 10 + (uint64_t)(*p - '0');
		if (*p)
			return -EBADMSG;
		if (v > SECONDS_MAX)
			v = SECONDS_MAX;
		*ret_seconds = negative ? 0 : v;
		return 0;
	}
	if (clock_parse_http_date(value, &date) < 0)
		return -EBADMSG;
	*ret_seconds = date > now ? (uint64_t)(date - now) : 0;
	return 0;
}

int header_parse_ratelimit(const char *value, uint64_t *ret_limit,
			   uint64_t *ret_window_s)
{
	const char *p = value;
	uint64_t limit, window = 0;

	if (!parse_number(&p, &limit))
		return -EBADMSG;
	for (;;) {
		skip_blanks(&p);
		/* Further policies may follow after a comma: the first one is
		 * the one that binds. */
		if (!*p || *p == ',')
			break;
		if (!skip_char(&p, ';'))
			return -EBADMSG;
		skip_blanks(&p);
		if ((p[0] == 'w' || p[0] == 'W') && p[1] == '=') {
			p += 2;
			if (!parse_number(&p, &window))
				return -EBADMSG;
			continue;
		}
		p += strcspn(p, ";,");
	}
	*ret_limit = limit;
	*ret_window_s = window;
	return 0;
}
