/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's URL is never taken apart and put together again: path and query
 * hold signatures and base64url states that have to come back byte for byte.
 */
#include "registry/location.h"

#include <errno.h>
#include <string.h>

#include "http/url.h"
#include "registry/login/token.h"
#include "registry/wire/redirect.h"
#include "util/auto.h"
#include "util/str.h"

/* The same place, but for its being asked without TLS. */
static bool is_downgraded(const struct url *from, const struct url *to)
{
	return from->https && !to->https && strcmp(from->host, to->host) == 0 &&
	       (from->port == to->port ||
		(from->port == 443 && to->port == 80));
}

/* Puts `from`'s scheme and port before what `url` asks for. */
static int keep_https(const char *from, char **url)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	char *better = NULL;
	int r = url_parse(from, &a);

	if (r == 0)
		r = url_parse(*url, &b);
	if (r == 0 && is_downgraded(&a, &b)) {
		b.https = true;
		b.port = a.port;
		b.has_port = a.has_port;
		r = url_format(&b, &better);
	}
	url_done(&a);
	url_done(&b);
	if (r == 0 && better) {
		token_forget(*url);
		*url = better;
	}
	return r;
}

int push_location(const char *from, const char *location, enum http_peer peer,
		  char **ret, const char **ret_why)
{
	char *absolute = NULL;
	int r = url_resolve(from, location, &absolute);

	if (r == 0)
		r = keep_https(from, &absolute);
	if (r == 0) {
		r = redirect_judge(from, absolute, peer, ret, ret_why);
	} else if (r != -ENOMEM) {
		*ret_why = "is no http or https URL";
		r = -EACCES;
	}
	token_forget(absolute);
	return r;
}

/* Up to the scheme, and the port that goes with it. */
static bool is_same_place(const struct url *a, const struct url *b)
{
	bool plain = a->port == (a->https ? 443 : 80) &&
		     b->port == (b->https ? 443 : 80);

	return strcmp(a->host, b->host) == 0 && (a->port == b->port || plain);
}

static int is_listed(const struct url *u, struct allow *allow)
{
	autostr name = {.max = URL_MAX};
	int r = url_place(u, &name);

	if (r < 0)
		return r;
	return allow && allow_names(allow, name.buf);
}

int push_location_judge(const char *home, const char *url, struct allow *allow,
			const char **ret_why)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	int r = url_parse(home, &a);

	if (r == 0)
		r = url_parse(url, &b);
	if (r == 0)
		r = is_same_place(&a, &b) ? 1 : is_listed(&b, allow);
	url_done(&a);
	url_done(&b);
	if (r == -ENOMEM || r > 0)
		return r < 0 ? r : 0;
	*ret_why = "is on another host, which is not on the allow list";
	return -EACCES;
}

int push_location_digest(const char *url, const struct digest *d, char **ret)
{
	const char *query = strchr(url, '?');
	const char *sep = "&";
	char hex[129];

	if (!query)
		sep = "?";
	else if (str_suffix(url, "?") || str_suffix(url, "&"))
		sep = "";
	digest_hex(d, hex);
	*ret = str_printf("%s%sdigest=%s%%3A%s", url, sep, digest_alg_name(d),
			  hex);
	return *ret ? 0 : -ENOMEM;
}
