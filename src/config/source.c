/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical spellings, because the default cache directory is named after
 * these two. */
#include "config/source.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "config/userdirs.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/str.h"

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

/* mount(8) needs a first field even where there is no SOURCE. */
static bool means_all(const char *s)
{
	static const char *const words[] = {"", "registryfs", "none", "all"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(s, words[i]) == 0)
			return true;
	}
	return false;
}

/* A URL names a host of one word beyond doubt; its twin has a port. */
static int parse_host(const char *s, const char *default_port,
		      char ret[REFERENCE_HOST_MAX + 1])
{
	autofree char *with_port = NULL;

	if (reference_parse_host(s, ret) == 0)
		return 0;
	if (!default_port)
		return -EINVAL;
	with_port = str_printf("%s:%s", s, default_port);
	return with_port ? reference_parse_host(with_port, ret) : -ENOMEM;
}

static int check_repository(const char *s, const char **ret_reason)
{
	size_t n = strcspn(s, ":@+");
	autofree char *name = strndup(s, n);

	if (!name)
		return -ENOMEM;
	if (!reference_is_repository(name))
		return refuse(ret_reason,
			      "has a path that no repository can have");
	if (s[n])
		return refuse(ret_reason,
			      "names an image; mount its repository, and the "
			      "image is beneath _tags or _manifests");
	return 0;
}

static const char *strip_scheme(const char *s, const char **ret_port)
{
	static const struct {
		const char *prefix, *port;
	} schemes[] = {
		{"https://", "443"}, {"http://", "80"}, {"docker://", NULL}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		if (!str_prefix(s, schemes[i].prefix))
			continue;
		*ret_port = schemes[i].port;
		return s + strlen(schemes[i].prefix);
	}
	return s;
}

static int join(const char *host, const char *repository, char **ret,
		const char **ret_reason)
{
	autofree char *source = NULL;

	source = *repository ? str_printf("%s/%s", host, repository)
			     : strdup(host);
	if (!source)
		return -ENOMEM;
	if (strlen(source) > REFERENCE_NAME_MAX)
		return refuse(ret_reason, "is too long");
	*ret = steal(&source);
	return 0;
}

int source_parse(const char *s, char **ret, bool *ret_plain_http,
		 const char **ret_reason)
{
	const char *port = NULL, *bare = strip_scheme(s, &port);
	autofree char *copy = strdup(bare);
	char host[REFERENCE_HOST_MAX + 1];
	char *repository;
	int r;

	if (!copy)
		return -ENOMEM;
	if (means_all(s)) {
		*ret = NULL;
		*ret_plain_http = false;
		return 0;
	}
	for (size_t n = strlen(copy); n > 0 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	repository = copy + strcspn(copy, "/");
	if (*repository)
		*repository++ = '\0';
	r = parse_host(copy, port, host);
	if (r == -EINVAL)
		return refuse(ret_reason,
			      "is not a registry: HOST[:PORT][/NAMESPACE], "
			      "such as docker.io or localhost:5000/team");
	if (r == 0 && *repository)
		r = check_repository(repository, ret_reason);
	if (r == 0)
		r = join(hostname_canonical(host), repository, ret, ret_reason);
	if (r == 0)
		*ret_plain_http = str_prefix(s, "http://");
	return r;
}

/* Without "//", "/./" and a '/' at the end. */
static void squeeze(char *path)
{
	char *out = path;

	for (const char *s = path; *s;) {
		size_t n;

		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (n == 0 || (n == 1 && *s == '.')) {
			s += n;
			continue;
		}
		*out++ = '/';
		memmove(out, s, n);
		out += n;
		s += n;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

/* The parent's links resolved where that is possible. */
static int resolve_parent(char *path, char **ret)
{
	char *base = strrchr(path, '/');
	autofree char *parent = NULL;
	char *joined;

	*base++ = '\0';
	parent = realpath(*path ? path : "/", NULL);
	joined = str_printf("%s/%s", parent ? parent : path, base);
	if (!joined)
		return -ENOMEM;
	squeeze(joined);
	*ret = joined;
	return 0;
}

int mountpoint_absolute(const char *s, char **ret)
{
	autofree char *path = NULL;
	char *whole;
	int r;

	if (!*s)
		return -ENOENT;
	r = userdirs_absolute(s, &path);
	if (r < 0)
		return r;
	squeeze(path);
	if (!str_suffix(path, "/.."))
		return resolve_parent(path, ret);
	whole = realpath(path, NULL);
	if (!whole)
		return -errno;
	*ret = whole;
	return 0;
}
