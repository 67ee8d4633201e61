/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names come from users, from directory look-ups of any program that walks the
 * mount, and from registries; all of them end up in URLs and in the cache.
 * So each grammar is matched whole, by hand, with no normalisation but lower
 * case in hosts: what is accepted has one spelling (besides its '+' twin).
 *
 *   component  [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*      (distribution-spec)
 *   tag        [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
 *   label      [a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])? (distribution/reference)
 *   host       label(\.label)*(:port)?  or  [IPv6](:port)?
 */
#include "oci/reference.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* A ':' or its twin. */
#define SEPARATORS ":+"

/* <ctype.h> asks the locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Copies n bytes of s as a string, if they fit. */
static int copy(const char *s, size_t n, char *ret, size_t size)
{
	if (n >= size)
		return -EINVAL;
	memcpy(ret, s, n);
	ret[n] = '\0';
	return 0;
}

static bool is_label(const char *s, size_t n)
{
	if (n == 0 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool is_domain(const char *s, size_t n)
{
	size_t start = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && s[i] != '.')
			continue;
		if (!is_label(s + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

/* Hex digits and colons: neither a zone nor an embedded IPv4 address. */
static bool is_ipv6(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (copy(s, n, text, sizeof(text)) < 0 ||
	    strspn(text, "0123456789abcdefABCDEF:") != n)
		return false;
	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* 1 to 65535; no leading zero, for it would be a second spelling. */
static bool is_port(const char *s)
{
	unsigned long port = 0;
	size_t n = 0;

	for (; n < 5 && is_digit(s[n]); n++)
		port = port * 10 + (unsigned long)(s[n] - '0');
	return n > 0 && s[n] == '\0' && s[0] != '0' && port <= 65535;
}

int reference_parse_host(const char *s, char ret[REFERENCE_HOST_MAX + 1])
{
	char host[REFERENCE_HOST_MAX + 1];
	bool bracket = s[0] == '[';
	size_t len = strlen(s), n;

	if (len > REFERENCE_HOST_MAX)
		return -EINVAL;
	/* '+' stands for ':' anywhere, in [++1]+5000 too. */
	for (size_t i = 0; i <= len; i++)
		host[i] = s[i] == '+' ? ':' : to_lower(s[i]);
	n = bracket ? strcspn(host, "]") + 1 : strcspn(host, ":");
	if (n > len)
		return -EINVAL;
	if (bracket ? !is_ipv6(host + 1, n - 2) : !is_domain(host, n))
		return -EINVAL;
	if (host[n] != '\0' && (host[n] != ':' || !is_port(host + n + 1)))
		return -EINVAL;
	/* A bare word is not taken for a host: programs look up such names. */
	if (host[n] == '\0' && !bracket && !memchr(host, '.', n) &&
	    strcmp(host, "localhost") != 0)
		return -EINVAL;
	memcpy(ret, host, len + 1);
	return 0;
}

/* How long a separator inside a component starts here; 0: none. */
static size_t separator_len(const char *s, size_t n)
{
	size_t i = 0;

	if (s[0] == '.')
		return 1;
	if (s[0] == '_')
		return n > 1 && s[1] == '_' ? 2 : 1;
	while (i < n && s[i] == '-')
		i++;
	return i;
}

bool reference_is_component(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t start = i;

		while (i < n && is_lower_alnum(s[i]))
			i++;
		if (i == start)
			return false;
		if (i == n)
			return true;
		i += separator_len(s + i, n - i);
	}
	return false;
}

bool reference_is_repository(const char *s)
{
	if (strlen(s) > REFERENCE_NAME_MAX)
		return false;
	for (;;) {
		size_t n = strcspn(s, "/");

		if (!reference_is_component(s, n))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}

bool reference_is_tag(const char *s)
{
	size_t n = 0;

	if (!is_alnum(s[0]) && s[0] != '_')
		return false;
	while (is_alnum(s[n]) || (s[n] != '\0' && strchr("._-", s[n])))
		n++;
	return n <= REFERENCE_TAG_MAX && s[n] == '\0';
}

bool reference_fits(const char *host, const char *repository)
{
	return strlen(host) + 1 + strlen(repository) <= REFERENCE_NAME_MAX;
}

int reference_parse_digest_name(const char *s, struct digest *ret)
{
	char text[DIGEST_TEXT_MAX];
	size_t n = strcspn(s, SEPARATORS);

	if (s[n] == '\0' || copy(s, strlen(s), text, sizeof(text)) < 0)
		return -EINVAL;
	text[n] = ':';
	return digest_parse(text, ret);
}

/* NAME[:TAG][@DIGEST]; what NAME may be is for others to say. */
struct parts {
	char name[REFERENCE_NAME_MAX + 1];
	char tag[REFERENCE_TAG_MAX + 1];
	bool has_digest;
	struct digest digest;
};

static int take_apart(const char *s, struct parts *ret)
{
	struct parts p = {.name = ""};
	size_t end = strcspn(s, "@");
	size_t n = strcspn(s, SEPARATORS "@");

	if (s[end] == '@') {
		if (reference_parse_digest_name(s + end + 1, &p.digest) < 0)
			return -EINVAL;
		p.has_digest = true;
	}
	if (copy(s, n, p.name, sizeof(p.name)) < 0)
		return -EINVAL;
	if (n < end) {
		if (copy(s + n + 1, end - n - 1, p.tag, sizeof(p.tag)) < 0 ||
		    !reference_is_tag(p.tag))
			return -EINVAL;
	}
	*ret = p;
	return 0;
}

int reference_parse_name(const char *s, struct reference_name *ret)
{
	struct reference_name name = {.kind = REFERENCE_COMPONENT};
	struct parts p;

	if (take_apart(s, &p) < 0 ||
	    !reference_is_component(p.name, strlen(p.name)))
		return -EINVAL;
	/* One directory would have as many names as there are tags. */
	if (p.has_digest && p.tag[0])
		return -EINVAL;
	if (p.has_digest)
		name.kind = REFERENCE_DIGEST;
	else if (p.tag[0])
		name.kind = REFERENCE_TAG;
	memcpy(name.component, p.name, sizeof(name.component));
	memcpy(name.tag, p.tag, sizeof(name.tag));
	name.digest = p.digest;
	*ret = name;
	return 0;
}

int reference_parse(const char *s, struct reference *ret)
{
	struct reference ref = {.host = ""};
	char host[REFERENCE_HOST_MAX + 1];
	size_t n = strcspn(s, "/");
	struct parts p;

	if (copy(s, n, host, sizeof(host)) < 0 ||
	    reference_parse_host(host, ref.host) < 0)
		return -EINVAL;
	if (s[n] == '\0') {
		*ret = ref;
		return 0;
	}
	if (take_apart(s + n + 1, &p) < 0 || !reference_is_repository(p.name) ||
	    !reference_fits(ref.host, p.name))
		return -EINVAL;
	memcpy(ref.repository, p.name, sizeof(ref.repository));
	memcpy(ref.tag, p.tag, sizeof(ref.tag));
	ref.has_digest = p.has_digest;
	ref.digest = p.digest;
	*ret = ref;
	return 0;
}
