/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as people write them into these files. */
#include "config/endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/credential.h"
#include "config/hostname.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/str.h"

void endpoint_free(struct endpoint *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->headers.len; i++)
		explicit_bzero(e->headers.v[i], strlen(e->headers.v[i]));
	string_list_done(&e->headers);
	string_list_done(&e->cas);
	free(e->where);
	free(e->host);
	free(e->path);
	free(e->client_cert);
	free(e->client_key);
	free(e);
}

bool endpoint_is_own(const struct endpoint *e, const char *host)
{
	return strcmp(e->host, host) == 0 && strcmp(e->path, "/v2") == 0;
}

static bool is_path(const char *s)
{
	for (; *s; s++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
			    "YZ"
			    "0123456789-._~/",
			    *s))
			return false;
	}
	return true;
}

static int parse_host(const char *s, size_t n, char **ret)
{
	char name[REFERENCE_HOST_MAX + 1];
	autofree char *host = strndup(s, n);

	if (!host)
		return -ENOMEM;
	if (reference_parse_host(host, name) == 0) {
		*ret = strdup(hostname_canonical(name));
		return *ret ? 0 : -ENOMEM;
	}
	/* A name of the local network has no dot; here it can be no other. */
	if (n == 0 ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return -EINVAL;
	*ret = steal(&host);
	return 0;
}

int endpoint_parse(const char *s, struct endpoint *e, char **ret_path,
		   const char **ret_why)
{
	enum endpoint_scheme scheme = ENDPOINT_USUAL;
	autofree char *path = NULL;
	char *host;
	size_t n;
	int r;

	if (str_prefix(s, "https://"))
		scheme = ENDPOINT_HTTPS;
	else if (str_prefix(s, "http://"))
		scheme = ENDPOINT_HTTP;
	if (scheme != ENDPOINT_USUAL)
		s += scheme == ENDPOINT_HTTPS ? 8 : 7;
	n = strcspn(s, "/");
	path = strdup(s + n);
	if (!path)
		return -ENOMEM;
	while (*path && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	*ret_why = "is no address";
	if (!is_path(path) || strstr(path, "//") || strstr(path, "/."))
		return -EINVAL;
	r = parse_host(s, n, &host);
	if (r < 0)
		return r;
	free(e->host);
	e->host = host;
	e->scheme = scheme;
	*ret_path = steal(&path);
	return 0;
}
