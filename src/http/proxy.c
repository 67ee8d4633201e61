/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {http,https,all}_proxy and no_proxy.  HTTP_PROXY in capitals is not looked
 * at: a CGI server sets it from a stranger's "Proxy:" header.
 */
#include "http/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int load(const char *name, const char *other, char **ret)
{
	const char *value = getenv(name);
	char *copy;

	if ((!value || !*value) && other)
		value = getenv(other);
	if (!value || !*value)
		return 0;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int proxy_env_load(struct proxy_env *ret)
{
	struct proxy_env e = {0};
	int r;

	r = load("http_proxy", NULL, &e.http);
	if (r == 0)
		r = load("https_proxy", "HTTPS_PROXY", &e.https);
	if (r == 0)
		r = load("all_proxy", "ALL_PROXY", &e.all);
	if (r == 0)
		r = load("no_proxy", "NO_PROXY", &e.no);
	if (r < 0) {
		proxy_env_done(&e);
		return r;
	}
	*ret = e;
	return 0;
}

void proxy_env_done(struct proxy_env *e)
{
	free(e->http);
	free(e->https);
	free(e->all);
	free(e->no);
	memset(e, 0, sizeof(*e));
}

/* ADDRESS or ADDRESS/BITS against an address of `family` (4 or 16 bytes). */
static bool address_matches(int family, const uint8_t *a, const char *word,
			    size_t n)
{
	char text[INET6_ADDRSTRLEN + 4];
	uint8_t net[16];
	size_t bytes = family == AF_INET ? 4 : 16;
	unsigned long bits = bytes * 8;
	char *slash;

	if (n >= sizeof(text))
		return false;
	memcpy(text, word, n);
	text[n] = '\0';
	slash = strchr(text, '/');
	if (slash) {
		char *end;

		*slash = '\0';
		bits = strtoul(slash + 1, &end, 10);
		if (*end || end == slash + 1 || bits > bytes * 8)
			return false;
	}
	if (inet_pton(family, text, net) != 1)
		return false;
	if (memcmp(a, net, bits / 8) != 0)
		return false;
	if (bits % 8 == 0)
		return true;
	return (a[bits / 8] ^ net[bits / 8]) >> (8 - bits % 8) == 0;
}

/* The name itself and everything beneath it; a leading dot is decoration. */
static bool name_matches(const char *host, size_t len, const char *word,
			 size_t n)
{
	if (n > 0 && word[n - 1] == '.')
		n--;
	if (n > 0 && *word == '.') {
		word++;
		n--;
	}
	if (n == 0 || n > len || strncasecmp(host + len - n, word, n) != 0)
		return false;
	return n == len || host[len - n - 1] == '.';
}

static bool excluded(const char *no, const char *host)
{
	uint8_t address[16];
	int family = 0;
	size_t len = strlen(host);

	if (strcmp(no, "*") == 0)
		return true;
	if (inet_pton(AF_INET, host, address) == 1)
		family = AF_INET;
	else if (inet_pton(AF_INET6, host, address) == 1)
		family = AF_INET6;
	else if (len > 0 && host[len - 1] == '.')
		len--;

	for (;;) {
		size_t n;

		no += strspn(no, ", \t");
		n = strcspn(no, ", \t");
		if (n == 0)
			return false;
		if (family ? address_matches(family, address, no, n)
			   : name_matches(host, len, no, n))
			return true;
		no += n;
	}
}

const char *proxy_find(const struct proxy_env *e, const struct url *u)
{
	const char *proxy = u->https ? e->https : e->http;

	if (!proxy)
		proxy = e->all;
	if (proxy && e->no && excluded(e->no, u->host))
		return NULL;
	return proxy;
}
