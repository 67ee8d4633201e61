/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern decides what a mount may touch, so it is taken apart strictly when
 * it is read: what could never match a valid name is refused then, instead of
 * silently allowing nothing.
 */
#include "config/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "oci/reference.h"
#include "util/auto.h"

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

/* '*' by going back to the last one only: time is at most n * m. */
static bool glob(const char *p, size_t n, const char *s, size_t m)
{
	size_t i = 0, k = 0, star = n, mark = 0;

	while (k < m) {
		if (i < n && p[i] == '*') {
			star = i++;
			mark = k;
		} else if (i < n && p[i] == s[k]) {
			i++;
			k++;
		} else if (star < n) {
			i = star + 1;
			k = ++mark;
		} else {
			return false;
		}
	}
	while (i < n && p[i] == '*')
		i++;
	return i == n;
}

static char fold_host_char(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '+' ? ':' : c;
}

static int parse_host(const char *s, size_t n, char **ret,
		      const char **ret_reason)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "0123456789.-:*[]";
	char canonical[REFERENCE_HOST_MAX + 1];
	autofree char *host = strndup(s, n);

	if (!host)
		return -ENOMEM;
	if (n == 0 || n > REFERENCE_HOST_MAX)
		return refuse(ret_reason, "has no host, or one too long");
	for (char *c = host; *c; c++)
		*c = fold_host_char(*c);
	if (!strchr(host, '*')) {
		if (reference_parse_host(host, canonical) < 0)
			return refuse(ret_reason,
				      "does not begin with a registry host "
				      "(a.example.com, localhost, name:PORT)");
		*ret = strdup(hostname_canonical(canonical));
		return *ret ? 0 : -ENOMEM;
	}
	if (strspn(host, allowed) != n)
		return refuse(ret_reason, "has a character no host can have");
	*ret = steal(&host);
	return 0;
}

static bool is_component_pattern(const char *s, size_t n)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "0123456789._-*";

	if (!memchr(s, '*', n))
		return reference_is_component(s, n);
	return strspn(s, allowed) >= n && !memmem(s, n, "**", 2);
}

static int parse_path(const char *s, char **ret, bool *ret_beneath,
		      const char **ret_reason)
{
	autofree char *path = strdup(s);
	bool beneath = false;
	size_t at = 0;

	if (!path)
		return -ENOMEM;
	for (;;) {
		size_t n = strcspn(path + at, "/");

		if (strcmp(path + at, "**") == 0) {
			path[at ? at - 1 : 0] = '\0';
			beneath = true;
			break;
		}
		if (!is_component_pattern(path + at, n))
			return refuse(ret_reason,
				      "has a path that no repository can have");
		if (path[at + n] == '\0')
			break;
		at += n + 1;
	}
	*ret = steal(&path);
	*ret_beneath = beneath;
	return 0;
}

int pattern_parse(const char *s, bool with_path, struct pattern *ret,
		  const char **ret_reason)
{
	size_t n = strcspn(s, "/");
	autofree char *host = NULL;
	autofree char *path = NULL;
	bool beneath = true;
	int r;

	if (strlen(s) > PATTERN_MAX)
		return refuse(ret_reason, "is too long");
	if (s[n] && !with_path)
		return refuse(ret_reason, "is not HOST[:PORT]");
	r = parse_host(s, n, &host, ret_reason);
	if (r < 0)
		return r;
	if (s[n]) {
		r = parse_path(s + n + 1, &path, &beneath, ret_reason);
		if (r < 0)
			return r;
	} else {
		path = strdup("");
		if (!path)
			return -ENOMEM;
	}
	ret->host = steal(&host);
	ret->path = steal(&path);
	ret->beneath = beneath;
	return 0;
}

void pattern_done(struct pattern *p)
{
	free(p->host);
	free(p->path);
	*p = (struct pattern){0};
}

bool pattern_is_one_host(const struct pattern *p)
{
	return !strchr(p->host, '*');
}

bool pattern_match_host(const struct pattern *p, const char *host)
{
	return glob(p->host, strlen(p->host), host, strlen(host));
}

enum pattern_fit pattern_match_path(const struct pattern *p,
				    const char *repository)
{
	const char *want = p->path, *have = repository;

	while (*want && *have) {
		size_t n = strcspn(want, "/"), m = strcspn(have, "/");

		if (!glob(want, n, have, m))
			return PATTERN_NO;
		want += n + (want[n] == '/');
		have += m + (have[m] == '/');
	}
	if (*want)
		return PATTERN_ON_THE_WAY;
	if (*have)
		return p->beneath ? PATTERN_YES : PATTERN_NO;
	return p->beneath && *p->path ? PATTERN_ON_THE_WAY : PATTERN_YES;
}
