/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address classes, nearest first.  IPv4 addresses wrapped into IPv6 count as
 * what they wrap, or the check could be walked around.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "http/http.h"

struct block4 {
	uint32_t net;
	int bits;
	enum http_peer peer;
};

static const struct block4 blocks4[] = {
	{0x7f000000, 8, HTTP_PEER_LOOPBACK},
	{0x00000000, 8, HTTP_PEER_LOCAL},  /* "this network" */
	{0xa9fe0000, 16, HTTP_PEER_LOCAL}, /* link-local: cloud metadata */
	{0xe0000000, 4, HTTP_PEER_LOCAL},  /* multicast */
	{0xf0000000, 4, HTTP_PEER_LOCAL},  /* reserved, broadcast */
	{0x0a000000, 8, HTTP_PEER_PRIVATE},
	{0xac100000, 12, HTTP_PEER_PRIVATE},
	{0xc0a80000, 16, HTTP_PEER_PRIVATE},
	{0x64400000, 10, HTTP_PEER_PRIVATE}, /* carrier NAT */
	{0xc0000000, 24, HTTP_PEER_PRIVATE}, /* IETF protocols */
	{0xc6120000, 15, HTTP_PEER_PRIVATE}, /* benchmarks */
};

static enum http_peer class4(uint32_t a)
{
	for (size_t i = 0; i < sizeof(blocks4) / sizeof(*blocks4); i++)
		if ((a ^ blocks4[i].net) >> (32 - blocks4[i].bits) == 0)
			return blocks4[i].peer;
	return HTTP_PEER_PUBLIC;
}

static uint32_t embedded4(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static enum http_peer class6(const uint8_t a[16])
{
	static const uint8_t zero[16];
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

	if (memcmp(a, zero, 15) == 0 && a[15] <= 1)
		return a[15] ? HTTP_PEER_LOOPBACK : HTTP_PEER_LOCAL;
	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0 ||
	    memcmp(a, zero, 12) == 0)
		return class4(embedded4(a + 12));
	if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
		return class4(embedded4(a + 2));
	if (a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80))
		return HTTP_PEER_LOCAL;
	if ((a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0))
		return HTTP_PEER_PRIVATE;
	return HTTP_PEER_PUBLIC;
}

enum http_peer http_peer_class(const char *address)
{
	char text[INET6_ADDRSTRLEN];
	size_t n = strcspn(address, "%"); /* a zone says nothing here */
	struct in6_addr v6;
	struct in_addr v4;

	if (n >= sizeof(text))
		return HTTP_PEER_ANY;
	memcpy(text, address, n);
	text[n] = '\0';
	if (inet_pton(AF_INET6, text, &v6) == 1)
		return class6(v6.s6_addr);
	/* Like the resolver, so that "127.1" and "0x7f000001" are seen
	 * through; trailing words are inet_aton's own idea. */
	if (!strpbrk(text, " \t\n") && inet_aton(text, &v4))
		return class4(ntohl(v4.s_addr));
	return HTTP_PEER_ANY;
}
