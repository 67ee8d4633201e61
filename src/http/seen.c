/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection is like, for whoever has to explain it: address, proxy,
 * TLS version, certificate.  libcurl tells the version only in the words that
 * it has for people, and the certificate only of a hand-shake that succeeded.
 * All is noted by the engine's thread before the head is published.
 */
#include "http/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/transfer.h"
#include "util/str.h"

#define TLS_WORDS "SSL connection using "
#define CERT_WORD "Cert:"
#define CERT_MAX ((size_t)64 << 10)

static int on_words(CURL *easy, curl_infotype type, char *data, size_t size,
		    void *arg)
{
	struct http_transfer *t = arg;
	const char *end = data + size, *p = data + strlen(TLS_WORDS);
	size_t n = 0;

	(void)easy;
	if (type != CURLINFO_TEXT || size <= strlen(TLS_WORDS) ||
	    memcmp(data, TLS_WORDS, strlen(TLS_WORDS)) != 0)
		return 0;
	while (p + n < end && p[n] != ' ' && p[n] != '\n')
		n++;
	if (n < sizeof(t->seen.tls))
		snprintf(t->seen.tls, sizeof(t->seen.tls), "%.*s", (int)n, p);
	return 0;
}

/* Without user and password. */
static void note_proxy(struct http_transfer *t)
{
	const char *at = strrchr(t->proxy, '@');
	const char *scheme = strstr(t->proxy, "://");

	if (!at)
		snprintf(t->seen.proxy, sizeof(t->seen.proxy), "%s", t->proxy);
	else
		snprintf(t->seen.proxy, sizeof(t->seen.proxy), "%.*s%s",
			 scheme ? (int)(scheme + 3 - t->proxy) : 0, t->proxy,
			 at + 1);
}

CURLcode seen_setup(struct http_transfer *t)
{
	CURLcode c;

	if (t->proxy)
		note_proxy(t);
	c = curl_easy_setopt(t->easy, CURLOPT_CERTINFO, 1L);
	if (c == CURLE_OK)
		c = curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
	if (c == CURLE_OK)
		c = curl_easy_setopt(t->easy, CURLOPT_DEBUGFUNCTION, on_words);
	if (c == CURLE_OK)
		c = curl_easy_setopt(t->easy, CURLOPT_DEBUGDATA, t);
	return c == CURLE_OK ? curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L)
			     : c;
}

/* The server's own is the first; the others lead to its signer. */
static void note_certificate(struct http_transfer *t)
{
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(t->easy, CURLINFO_CERTINFO, &info) != CURLE_OK ||
	    !info || info->num_of_certs < 1)
		return;
	for (struct curl_slist *s = info->certinfo[0]; s; s = s->next) {
		if (!str_prefix(s->data, CERT_WORD) ||
		    strlen(s->data) > CERT_MAX)
			continue;
		free(t->seen.cert);
		t->seen.cert = strdup(s->data + strlen(CERT_WORD));
	}
}

void seen_connected(struct http_transfer *t, const char *address, int port)
{
	snprintf(t->seen.address, sizeof(t->seen.address), "%s", address);
	t->seen.port = port > 0 ? (unsigned)port : 0;
	if (t->https)
		note_certificate(t);
}
