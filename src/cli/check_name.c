/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name goes through: scheme, user info (refused), query, the paths of web
 * pages and of the API; what is left is HOST[/REPOSITORY][:TAG][@DIGEST], or a
 * short name of Docker Hub by the rule of docker: the first component is a
 * host if it has a dot or a colon or is localhost.
 */
#include "cli/check_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/hostname.h"
#include "util/auto.h"
#include "util/str.h"

#define HUB "docker.io"

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

struct scheme {
	const char *prefix, *port; /* of one-word hosts; NULL: no URL */
};

static const struct scheme schemes[] = {
	{"https://", "443"}, {"http://", "80"},	    {"docker://", NULL},
	{"oci://", NULL},    {"registry://", NULL},
};

static const struct scheme *take_scheme(const char **s)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t n = strlen(schemes[i].prefix);

		if (strncasecmp(*s, schemes[i].prefix, n) == 0) {
			*s += n;
			return &schemes[i];
		}
	}
	return NULL;
}

/* "user:password@host/…", but not "alpine@sha256:…". */
static bool has_user_info(const char *s)
{
	size_t n = strcspn(s, "/");
	const char *at = memchr(s, '@', n);
	struct digest d;

	return at && reference_parse_digest_name(at + 1, &d) < 0;
}

static void cut_end(char *s)
{
	size_t n;

	s[strcspn(s, "?#")] = '\0';
	n = strlen(s);
	while (n > 0 && s[n - 1] == '/')
		s[--n] = '\0';
}

/* Web pages of two vendors: what their users copy from the address bar. */
static int from_page(char *s, struct check_name *n)
{
	static const struct {
		const char *prefix, *name;
	} pages[] = {
		{"hub.docker.com/_/", HUB "/library/"},
		{"hub.docker.com/r/", HUB "/"},
		{"hub.docker.com/repository/docker/", HUB "/"},
		{"quay.io/repository/", "quay.io/"},
	};
	char rest[CHECK_NAME_MAX];
	size_t parts;

	if (strcmp(s, "hub.docker.com") == 0) {
		n->is_page = true;
		snprintf(s, CHECK_NAME_MAX, "%s", HUB);
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		if (!str_prefix(s, pages[i].prefix))
			continue;
		snprintf(rest, sizeof(rest), "%s", s + strlen(pages[i].prefix));
		parts = str_suffix(pages[i].name, "library/") ? 1 : 2;
		for (char *p = rest; *p; p++) {
			if (*p == '/' && --parts == 0)
				*p = '\0';
			if (!*p)
				break;
		}
		if (snprintf(s, CHECK_NAME_MAX, "%s%s", pages[i].name, rest) >=
		    CHECK_NAME_MAX)
			return -EINVAL;
		n->is_page = true;
		break;
	}
	return 0;
}

/* Puts "HOST/REPOSITORY:REF" or "@REF" for what followed "HOST/v2/". */
static int from_endpoint(char *s, size_t host, const char *rest)
{
	static const char *const ends[] = {"/manifests/", "/blobs/",
					   "/referrers/", "/tags/list"};
	char name[CHECK_NAME_MAX];
	const char *end = NULL, *ref = "", *mark = "";
	struct digest d;
	int n;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends) && !end; i++) {
		end = strstr(rest, ends[i]);
		if (end && i < 3)
			ref = end + strlen(ends[i]);
	}
	if (!end)
		end = *rest == '_' ? rest : rest + strlen(rest);
	if (*ref)
		mark = digest_parse(ref, &d) == 0 ? "@" : ":";
	n = snprintf(name, sizeof(name), "%.*s%s%.*s%s%s", (int)host, s,
		     end > rest ? "/" : "", (int)(end - rest), rest, mark, ref);
	if (n < 0 || (size_t)n >= sizeof(name))
		return -EINVAL;
	memcpy(s, name, (size_t)n + 1);
	return 0;
}

/* "HOST/v2/…" of a URL, "HOST/v2" of anything. */
static int from_api(char *s, bool is_url, struct check_name *n)
{
	size_t host = strcspn(s, "/");
	const char *path = s + host;

	if (strcmp(path, "/v2") == 0 || strcmp(path, "/v1") == 0) {
		n->is_api = true;
		s[host] = '\0';
	} else if (is_url && str_prefix(path, "/v2/")) {
		n->is_api = true;
		return from_endpoint(s, host, path + 4);
	}
	return 0;
}

/* The host as written, or with the port that its scheme stands for. */
static bool is_host(const char *s, const char *port, char *ret)
{
	autofree char *full = NULL;

	if (reference_parse_host(s, ret) == 0)
		return true;
	full = port ? str_printf("%s:%s", s, port) : NULL;
	return full && reference_parse_host(full, ret) == 0;
}

/* Puts the host before a short name, and writes it as it is known. */
static int complete(char *s, const struct scheme *scheme, struct check_name *n)
{
	char host[REFERENCE_HOST_MAX + 1], first[REFERENCE_HOST_MAX + 1];
	char name[CHECK_NAME_MAX];
	size_t len = strcspn(s, "/");
	const char *rest = s + len, *official = "";
	int written;

	snprintf(first, sizeof(first), "%.*s", (int)len, s);
	n->is_short = len >= sizeof(first) ||
		      !is_host(first, scheme ? scheme->port : NULL, host);
	if (n->is_short) {
		snprintf(host, sizeof(host), "%s", HUB);
		rest = s;
	} else {
		n->is_hostish = !scheme && !*rest && !strchr(first, '.') &&
				!str_prefix(first, "localhost");
		if (*rest == '/')
			rest++;
	}
	if (strcmp(hostname_canonical(host), HUB) == 0) {
		snprintf(host, sizeof(host), "%s", HUB);
		n->is_official = *rest && !strchr(rest, '/');
		official = n->is_official ? "library/" : "";
	}
	written = snprintf(name, sizeof(name), "%s%s%s%s", host,
			   *rest ? "/" : "", official, rest);
	if (written < 0 || (size_t)written >= sizeof(name))
		return -EINVAL;
	memcpy(s, name, (size_t)written + 1);
	return 0;
}

static int why_not(const char *s, const char **ret_reason)
{
	const char *name = strchr(s, '/');
	size_t n = name ? strcspn(name, ":@") : 0;

	for (size_t i = 0; i < n; i++) {
		if (name[i] >= 'A' && name[i] <= 'Z')
			return refuse(ret_reason,
				      "has capitals; repositories are written "
				      "in lower case");
	}
	return refuse(ret_reason,
		      "names no registry: HOST[:PORT][/REPOSITORY][:TAG]"
		      "[@DIGEST], such as registry.example.com/team/app:1.4");
}

int check_name_parse(const char *s, struct check_name *ret,
		     const char **ret_reason)
{
	struct check_name n = {.is_short = false};
	const struct scheme *scheme = take_scheme(&s);
	char text[CHECK_NAME_MAX];
	int r;

	if (strlen(s) >= sizeof(text))
		return refuse(ret_reason, "is too long");
	if (has_user_info(s))
		return refuse(ret_reason,
			      "holds a user's name or password, which other "
			      "users of this machine can see; log in by "
			      "docker login or podman login");
	if (!*s || *s == '/' || *s == '.')
		return refuse(ret_reason, "is a file; name a registry");
	snprintf(text, sizeof(text), "%s", s);
	cut_end(text);
	n.plain_http = scheme && strcmp(scheme->prefix, "http://") == 0;
	r = from_page(text, &n);
	if (r == 0)
		r = from_api(text, scheme && scheme->port, &n);
	if (r == 0)
		r = complete(text, scheme, &n);
	if (r < 0)
		return refuse(ret_reason, "is too long");
	if (reference_parse(text, &n.ref) < 0)
		return why_not(text, ret_reason);
	*ret = n;
	return 0;
}
