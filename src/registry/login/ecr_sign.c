/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canonical request -> string to sign -> signature; every key on the way is
 * wiped.  All headers that matter are signed, in the order of their names.
 */
#include "registry/login/ecr_sign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/auto.h"
#include "util/encode.h"
#include "util/hash.h"

#define TYPE "application/x-amz-json-1.1"
#define ALGORITHM "AWS4-HMAC-SHA256"
#define HEX_LEN 65
#define TEXT_MAX 1024 /* of a request's text, but for path and token */

struct signing {
	const struct ecr_request *q;
	char date[16 + 1]; /* 20240501T100000Z; the day is its beginning */
	char scope[128];
	const char *names; /* of the signed headers */
	char host[320];
};

static void hex_of(const void *bytes, size_t n, char out[HEX_LEN])
{
	uint8_t digest[HASH_MAX];

	hash_once(HASH_SHA256, bytes, n, digest);
	hex_encode(digest, 32, out);
}

/* As the Host line will be: without the scheme's own port. */
static int write_host(struct signing *s)
{
	const struct url *u = s->q->url;
	bool six = strchr(u->host, ':') != NULL;
	bool plain = u->port == (u->https ? 443 : 80);
	autostr host = {.max = sizeof(s->host) - 1};
	int r = str_addf(&host, six ? "[%s]" : "%s", u->host);

	if (r == 0 && !plain)
		r = str_addf(&host, ":%u", u->port);
	if (r == 0)
		memcpy(s->host, host.buf, host.len + 1);
	return r == -ENOMEM || r == 0 ? r : -EINVAL;
}

static int prepare(struct signing *s)
{
	time_t now = (time_t)s->q->now;
	struct tm tm;
	int n;

	if (!gmtime_r(&now, &tm) ||
	    strftime(s->date, sizeof(s->date), "%Y%m%dT%H%M%SZ", &tm) != 16)
		return -EINVAL;
	n = snprintf(s->scope, sizeof(s->scope), "%.8s/%s/%s/aws4_request",
		     s->date, s->q->region, s->q->service);
	if (n < 0 || (size_t)n >= sizeof(s->scope))
		return -EINVAL;
	s->names = s->q->keys->session
			   ? "content-type;host;x-amz-date;"
			     "x-amz-security-token;x-amz-target"
			   : "content-type;host;x-amz-date;x-amz-target";
	/* Then there is nothing to encode, once or twice. */
	if (s->q->url->query ||
	    s->q->url->path[strspn(s->q->url->path, "abcdefghijklmnopqrstuvwxyz"
						    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						    "0123456789-._~/")])
		return -EINVAL;
	return write_host(s);
}

/* What both sides make of the request, by its hash. */
static int hash_request(const struct signing *s, char out[HEX_LEN])
{
	const struct ecr_request *q = s->q;
	autostr text = {.len = 0};
	char body[HEX_LEN];
	int r;

	hex_of(q->body, strlen(q->body), body);
	/* In one piece, so that growing leaves no copies of the token. */
	r = str_reserve(
		&text,
		TEXT_MAX + strlen(q->url->path) +
			(q->keys->session ? strlen(q->keys->session) : 0));
	if (r == 0)
		r = str_addf(&text,
			     "POST\n%s\n\ncontent-type:" TYPE
			     "\nhost:%s\nx-amz-date:%s\n",
			     q->url->path, s->host, s->date);
	if (r == 0 && q->keys->session)
		r = str_addf(&text, "x-amz-security-token:%s\n",
			     q->keys->session);
	if (r == 0)
		r = str_addf(&text, "x-amz-target:%s\n\n%s\n%s", q->target,
			     s->names, body);
	if (r == 0)
		hex_of(text.buf, text.len, out);
	if (text.buf)
		explicit_bzero(text.buf, text.len);
	return r;
}

static int derive(const struct signing *s, uint8_t key[32])
{
	autostr first = {.len = 0};
	int r = str_reserve(&first, 4 + strlen(s->q->keys->secret));

	if (r == 0)
		r = str_addf(&first, "AWS4%s", s->q->keys->secret);
	if (r == 0)
		hmac_sha256(first.buf, first.len, s->date, 8, key);
	if (first.buf)
		explicit_bzero(first.buf, first.len);
	if (r < 0)
		return r;
	hmac_sha256(key, 32, s->q->region, strlen(s->q->region), key);
	hmac_sha256(key, 32, s->q->service, strlen(s->q->service), key);
	hmac_sha256(key, 32, "aws4_request", 12, key);
	return 0;
}

static int sign(const struct signing *s, char out[HEX_LEN])
{
	autostr text = {.len = 0};
	uint8_t key[32], mac[32];
	char request[HEX_LEN];
	int r = hash_request(s, request);

	if (r == 0)
		r = str_addf(&text, ALGORITHM "\n%s\n%s\n%s", s->date, s->scope,
			     request);
	if (r == 0)
		r = derive(s, key);
	if (r == 0) {
		hmac_sha256(key, sizeof(key), text.buf, text.len, mac);
		hex_encode(mac, sizeof(mac), out);
	}
	explicit_bzero(key, sizeof(key));
	return r;
}

static int add_authorization(const struct signing *s, struct lines *l)
{
	autostr value = {.len = 0};
	char signature[HEX_LEN];
	int r = sign(s, signature);

	if (r == 0)
		r = str_addf(&value,
			     ALGORITHM " Credential=%s/%s, SignedHeaders=%s, "
				       "Signature=%s",
			     s->q->keys->id, s->scope, s->names, signature);
	return r < 0 ? r : lines_add(l, "Authorization", value.buf);
}

int ecr_sign(const struct ecr_request *q, struct lines *l)
{
	struct signing s = {.q = q};
	int r = prepare(&s);

	if (r == 0)
		r = lines_add(l, "Content-Type", TYPE);
	if (r == 0)
		r = lines_add(l, "X-Amz-Date", s.date);
	if (r == 0)
		r = lines_add(l, "X-Amz-Target", q->target);
	if (r == 0 && q->keys->session)
		r = lines_add(l, "X-Amz-Security-Token", q->keys->session);
	return r < 0 ? r : add_authorization(&s, l);
}
