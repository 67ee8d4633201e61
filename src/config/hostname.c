/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules that hang on a name are applied to the text, never to what a resolver
 * says: an answer from DNS must not make a host trusted.
 */
#include "config/hostname.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "oci/reference.h"
#include "util/str.h"

const char *hostname_canonical(const char *host)
{
	if (strcasecmp(host, "index.docker.io") == 0 ||
	    strcasecmp(host, "registry-1.docker.io") == 0)
		return "docker.io";
	return host;
}

bool hostname_is_loopback(const char *host)
{
	bool bracket = host[0] == '[';
	size_t n = strcspn(host + bracket, bracket ? "]" : ":");
	char name[REFERENCE_HOST_MAX + 1];
	struct in6_addr six;
	struct in_addr four;

	if (n >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)n, host + bracket);
	if (bracket)
		return inet_pton(AF_INET6, name, &six) == 1 &&
		       IN6_IS_ADDR_LOOPBACK(&six);
	if (inet_pton(AF_INET, name, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return strcmp(name, "localhost") == 0 || str_suffix(name, ".localhost");
}
