/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WANTS_STATUS -> IN_FIELDS -> COMPLETE; the blank line after a 1xx status
 * leads back to WANTS_STATUS with all fields forgotten.  libcurl passes most
 * oddities through, so what is malformed is refused here (RFC 9112 5).
 */
#include "http/head.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/auto.h"

static void forget_fields(struct http_head *h)
{
	for (size_t i = 0; i < h->len; i++) {
		free(h->names[i]);
		free(h->values[i]);
	}
	h->len = 0;
	h->status = 0;
}

void head_reset(struct head *h)
{
	forget_fields(&h->pub);
	free(h->pub.names);
	free(h->pub.values);
	memset(h, 0, sizeof(*h));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* "HTTP/1.1 200 OK", "HTTP/2 200" */
static int parse_status(struct head *h, const char *s, size_t n)
{
	const char *blank = memchr(s, ' ', n);
	const char *p = blank ? blank + 1 : NULL;
	size_t left = p ? n - (size_t)(p - s) : 0;

	if (n < 5 || strncmp(s, "HTTP/", 5) != 0 || left < 3)
		return -EBADMSG;
	for (int i = 0; i < 3; i++)
		if (!isdigit((unsigned char)p[i]))
			return -EBADMSG;
	if (p[0] == '0' || (left > 3 && p[3] != ' '))
		return -EBADMSG;
	h->pub.status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	h->pub.http2 = s[5] == '2';
	h->state = HEAD_IN_FIELDS;
	return 0;
}

static int grow(struct head *h)
{
	size_t cap = h->cap ? h->cap * 2 : 16;
	char **names, **values;

	if (h->pub.len < h->cap)
		return 0;
	names = realloc(h->pub.names, cap * sizeof(*names));
	if (!names)
		return -ENOMEM;
	h->pub.names = names;
	values = realloc(h->pub.values, cap * sizeof(*values));
	if (!values)
		return -ENOMEM;
	h->pub.values = values;
	h->cap = cap;
	return 0;
}

static int add_field(struct head *h, const char *s, size_t n)
{
	autofree char *name = NULL, *value = NULL;
	const char *colon = memchr(s, ':', n);
	size_t name_len = colon ? (size_t)(colon - s) : 0;
	int r;

	if (name_len == 0)
		return -EBADMSG;
	for (size_t i = 0; i < name_len; i++)
		if (!is_token_char(s[i]))
			return -EBADMSG;
	s += name_len + 1;
	n -= name_len + 1;
	while (n > 0 && is_blank(*s)) {
		s++;
		n--;
	}
	r = grow(h);
	if (r < 0)
		return r;
	name = strndup(colon - name_len, name_len);
	value = strndup(s, n);
	if (!name || !value)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	h->pub.names[h->pub.len] = steal(&name);
	h->pub.values[h->pub.len++] = steal(&value);
	return 0;
}

/* A folded line goes on with the value before it (RFC 9112 5.2). */
static int add_continuation(struct head *h, const char *s, size_t n)
{
	char **value;
	size_t old;
	char *joined;

	if (h->pub.len == 0)
		return -EBADMSG;
	while (n > 0 && is_blank(*s)) {
		s++;
		n--;
	}
	value = &h->pub.values[h->pub.len - 1];
	old = strlen(*value);
	joined = realloc(*value, old + n + 2);
	if (!joined)
		return -ENOMEM;
	joined[old] = ' ';
	memcpy(joined + old + 1, s, n);
	joined[old + 1 + n] = '\0';
	*value = joined;
	return 0;
}

static int end_fields(struct head *h)
{
	/* Nothing was asked to be switched. */
	if (h->pub.status == 101)
		return -EBADMSG;
	if (h->pub.status >= 200) {
		h->state = HEAD_COMPLETE;
		return 0;
	}
	forget_fields(&h->pub);
	h->state = HEAD_WANTS_STATUS;
	return 0;
}

int head_add_line(struct head *h, const char *line, size_t len)
{
	h->bytes += len;
	if (h->bytes > HEAD_BYTES_MAX || memchr(line, '\0', len))
		return -EBADMSG;
	if (h->state == HEAD_COMPLETE)
		return 0;
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (h->state == HEAD_WANTS_STATUS)
		return parse_status(h, line, len);
	if (len == 0)
		return end_fields(h);
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	if (is_blank(*line))
		return add_continuation(h, line, len);
	return add_field(h, line, len);
}

const char *http_header_nth(const struct http_head *h, const char *name,
			    size_t nth)
{
	for (size_t i = 0; i < h->len; i++)
		if (strcasecmp(h->names[i], name) == 0 && nth-- == 0)
			return h->values[i];
	return NULL;
}

const char *http_header(const struct http_head *h, const char *name)
{
	return http_header_nth(h, name, 0);
}

static int parse_length(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -EBADMSG;
	for (; *s; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (digit > 9 || v > (INT64_MAX - digit) / 10)
			return -EBADMSG;
		v = v * 10 + digit;
	}
	*ret = v;
	return 0;
}

int head_length(const struct http_head *h, uint64_t *ret)
{
	uint64_t length = UINT64_MAX;
	const char *value;

	for (size_t i = 0; (value = http_header_nth(h, "content-length", i));
	     i++) {
		uint64_t v;
		int r = parse_length(value, &v);

		if (r < 0 || (i > 0 && v != length))
			return -EBADMSG;
		length = v;
	}
	/* Chunks say themselves how long they are (RFC 9112 6.3). */
	*ret = http_header(h, "transfer-encoding") ? UINT64_MAX : length;
	return 0;
}

bool head_encoded(const struct http_head *h)
{
	const char *value;

	for (size_t i = 0; (value = http_header_nth(h, "content-encoding", i));
	     i++)
		if (*value && strcasecmp(value, "identity") != 0)
			return true;
	return false;
}
