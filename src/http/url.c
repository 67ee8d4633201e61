/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One strict reader of URLs for everything that decides by a URL (origin,
 * address class, credentials), so that libcurl, which is more generous, can
 * never be led to another place than the one that was judged: user info,
 * backslashes, percent signs in the host and bytes outside printable ASCII
 * are refused.  Paths and queries stay as they were written; signed URLs
 * must not be touched.
 */
#include "http/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/auto.h"
#include "util/encode.h"
#include "util/str.h"

#define HOST_MAX 255

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* Length of "scheme" in "scheme:…" (RFC 3986 3.1), or 0. */
static size_t scheme_length(const char *s)
{
	size_t n = 0;

	while (is_alnum(s[n]) ||
	       (n > 0 && (s[n] == '+' || s[n] == '-' || s[n] == '.')))
		n++;
	return s[n] == ':' && !(s[0] >= '0' && s[0] <= '9') ? n : 0;
}

static bool chars_allowed(const char *s)
{
	size_t n = strnlen(s, URL_MAX + 1);

	if (n > URL_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '\\')
			return false;
	return true;
}

static bool reg_name_allowed(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '.' &&
		    s[i] != '_')
			return false;
	return n > 0 && s[0] != '.';
}

static bool ipv6_allowed(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

	if (n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	return inet_pton(AF_INET6, text, &a) == 1;
}

/* Takes the host off `s`; what follows begins at *ret_rest. */
static int parse_host(const char *s, size_t n, struct url *u, size_t *ret_rest)
{
	size_t len, skip = 0;

	if (n > 0 && s[0] == '[') {
		const char *end = memchr(s, ']', n);

		if (!end || !ipv6_allowed(s + 1, (size_t)(end - s) - 1))
			return -EINVAL;
		skip = 1;
		len = (size_t)(end - s) - 1;
	} else {
		const char *colon = memchr(s, ':', n);

		len = colon ? (size_t)(colon - s) : n;
		if (len > HOST_MAX || !reg_name_allowed(s, len))
			return -EINVAL;
	}
	u->host = strndup(s + skip, len);
	if (!u->host)
		return -ENOMEM;
	for (char *p = u->host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret_rest = len + 2 * skip;
	return 0;
}

static int parse_port(const char *s, size_t n, struct url *u)
{
	unsigned long port = 0;

	u->port = u->https ? 443 : 80;
	if (n == 0)
		return 0;
	if (s[0] != ':')
		return -EINVAL;
	if (n == 1) /* "host:" is the default port (RFC 3986 3.2.3) */
		return 0;
	if (n > 6)
		return -EINVAL;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		port = port * 10 + (unsigned long)(s[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return -EINVAL;
	u->port = (uint16_t)port;
	u->has_port = true;
	return 0;
}

static int parse_path(const char *s, struct url *u)
{
	size_t path = strcspn(s, "?#");

	u->path = path > 0 ? strndup(s, path) : strdup("/");
	if (!u->path)
		return -ENOMEM;
	if (s[path] != '?')
		return 0;
	s += path + 1;
	u->query = strndup(s, strcspn(s, "#"));
	return u->query ? 0 : -ENOMEM;
}

static int parse_into(const char *s, struct url *u)
{
	size_t n, rest;
	int r;

	if (!chars_allowed(s))
		return -EINVAL;
	n = scheme_length(s);
	if (n == 5 && strncasecmp(s, "https", n) == 0)
		u->https = true;
	else if (n != 4 || strncasecmp(s, "http", n) != 0)
		return -EINVAL;
	s += n + 1;
	if (strncmp(s, "//", 2) != 0)
		return -EINVAL;
	s += 2;
	n = strcspn(s, "/?#");
	r = parse_host(s, n, u, &rest);
	if (r < 0)
		return r;
	r = parse_port(s + rest, n - rest, u);
	if (r < 0)
		return r;
	return parse_path(s + n, u);
}

int url_parse(const char *s, struct url *ret)
{
	struct url u = {0};
	int r;

	r = parse_into(s, &u);
	if (r < 0) {
		url_done(&u);
		return r;
	}
	*ret = u;
	return 0;
}

void url_done(struct url *u)
{
	free(u->host);
	free(u->path);
	free(u->query);
	memset(u, 0, sizeof(*u));
}

/* Drops the last segment of a path, down to nothing. */
static void drop_segment(struct str *path)
{
	char *slash = path->len ? strrchr(path->buf, '/') : NULL;

	if (!slash)
		return;
	path->len = (size_t)(slash - path->buf);
	*slash = '\0';
}

/* RFC 3986 5.2.4, segment by segment; `path` begins with '/'. */
static int add_without_dots(const char *path, struct str *out)
{
	autostr clean = {.max = 2 * URL_MAX};
	int r = 0;

	while (r == 0 && *path == '/') {
		size_t n = strcspn(path + 1, "/");
		bool last = path[1 + n] == '\0';
		bool one = n == 1 && path[1] == '.';
		bool two = n == 2 && path[1] == '.' && path[2] == '.';

		if (two)
			drop_segment(&clean);
		if (!one && !two)
			r = str_addn(&clean, path, n + 1);
		else if (last)
			r = str_addc(&clean, '/');
		path += n + 1;
	}
	return r < 0 ? r : str_addn(out, clean.buf, clean.len);
}

/* RFC 3986 5.2.3: the base's directory, then the reference. */
static int merge_path(const struct url *base, const char *ref, size_t n,
		      struct str *out)
{
	const char *slash = strrchr(base->path, '/');
	autostr merged = {.max = 2 * URL_MAX};
	int r = 0;

	if (ref[0] != '/')
		r = str_addn(&merged, base->path,
			     slash ? (size_t)(slash - base->path) + 1 : 0);
	if (r == 0)
		r = str_addn(&merged, ref, n);
	return r < 0 ? r : add_without_dots(merged.buf, out);
}

/* Path and query of a reference without authority. */
static int resolve_local(const struct url *base, const char *ref,
			 struct str *out)
{
	size_t n = strcspn(ref, "?#");
	const char *query = ref[n] == '?' ? ref + n + 1 : NULL;
	int r;

	if (n > 0)
		r = merge_path(base, ref, n, out);
	else
		r = str_add(out, base->path);
	if (r < 0)
		return r;
	if (query)
		return str_addf(out, "?%.*s", (int)strcspn(query, "#"), query);
	if (n == 0 && base->query)
		return str_addf(out, "?%s", base->query);
	return 0;
}

static int add_origin(const struct url *u, struct str *out)
{
	bool v6 = strchr(u->host, ':') != NULL;
	int r;

	r = str_addf(out, "%s://%s%s%s", u->https ? "https" : "http",
		     v6 ? "[" : "", u->host, v6 ? "]" : "");
	if (r == 0 && u->has_port)
		r = str_addf(out, ":%u", u->port);
	return r;
}

static int resolve_absolute(const char *s, struct str *out)
{
	struct url u;
	int r = url_parse(s, &u);

	if (r < 0)
		return r;
	r = add_origin(&u, out);
	if (r == 0)
		r = add_without_dots(u.path, out);
	if (r == 0 && u.query)
		r = str_addf(out, "?%s", u.query);
	url_done(&u);
	return r;
}

int url_resolve(const char *base, const char *ref, char **ret)
{
	autostr out = {.max = URL_MAX};
	struct url b = {0};
	int r;

	if (!chars_allowed(ref))
		return -EINVAL;
	r = url_parse(base, &b);
	if (r < 0)
		return r;
	if (scheme_length(ref) > 0) {
		r = resolve_absolute(ref, &out);
	} else if (strncmp(ref, "//", 2) == 0) {
		autofree char *whole =
			str_printf("%s:%s", b.https ? "https" : "http", ref);

		r = whole ? resolve_absolute(whole, &out) : -ENOMEM;
	} else {
		r = add_origin(&b, &out);
		if (r == 0)
			r = resolve_local(&b, ref, &out);
	}
	url_done(&b);
	if (r < 0)
		return r == -EFBIG ? -EINVAL : r;
	*ret = str_steal(&out);
	return 0;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->https == b->https && a->port == b->port &&
	       strcmp(a->host, b->host) == 0;
}

int url_add_query(char **url, const char *key, const char *value)
{
	autostr out = {.max = 2 * URL_MAX};
	int r;

	r = str_addn(&out, *url, strcspn(*url, "#"));
	if (r == 0)
		r = str_addf(&out, "%c%s=", strchr(out.buf, '?') ? '&' : '?',
			     key);
	if (r == 0)
		r = percent_encode(value, "", &out);
	if (r < 0)
		return r;
	free(*url);
	*url = str_steal(&out);
	return 0;
}

int url_format(const struct url *u, char **ret)
{
	autostr out = {.max = 2 * URL_MAX};
	int r = add_origin(u, &out);

	if (r == 0)
		r = str_add(&out, u->path);
	if (r == 0 && u->query)
		r = str_addf(&out, "?%s", u->query);
	if (r < 0)
		return r;
	*ret = str_steal(&out);
	return 0;
}

/* Works on what url_parse refuses, too: that is what logs are about. */
char *url_redact(const char *s)
{
	size_t n = strcspn(s, "?#");
	const char *authority = strstr(s, "//");
	size_t start, len;

	if (!authority || authority >= s + n)
		return strndup(s, n);
	start = (size_t)(authority - s) + 2;
	len = strcspn(s + start, "/?#");
	for (size_t i = len; i-- > 0;)
		if (s[start + i] == '@')
			return str_printf("%.*s%.*s", (int)start, s,
					  (int)(n - start - i - 1),
					  s + start + i + 1);
	return strndup(s, n);
}

int url_place(const struct url *u, struct str *out)
{
	int r = strchr(u->host, ':') ? str_addf(out, "[%s]", u->host)
				     : str_add(out, u->host);

	if (r == 0 && u->port != (u->https ? 443 : 80))
		r = str_addf(out, ":%u", (unsigned)u->port);
	return r;
}
