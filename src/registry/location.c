/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's URL is never taken apart and put together again: path and query
 * hold signatures and base64url states that have to come back byte for byte.
 */
#include "registry/location.h"

#include <errno.h>
#include <string.h>

#include "http/url.h"
#include "registry/redirect.h"
#include "registry/token.h"
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
