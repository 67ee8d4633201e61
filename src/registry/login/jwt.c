/* SPDX-License-Identifier: Apache-2.0 */
/* Token servers that do not say expires_in (Azure, GitLab, Quay) have it in the
 * token: without that it would be asked for anew each minute. */
#include "registry/login/jwt.h"

#include <string.h>

#include "util/auto.h"
#include "util/encode.h"
#include "util/json.h"
#include "util/str.h"

#define CLAIMS_MAX ((size_t)16 << 10)
#define TIME_MAX ((uint64_t)1 << 40)

AUTOPTR_DEFINE(json, json_free)

/* The second of three parts: an object. */
static struct json *read_claims(const char *token)
{
	autostr text = {.max = CLAIMS_MAX};
	const char *claims = strchr(token, '.');
	const char *end = claims ? strchr(claims + 1, '.') : NULL;
	struct json *doc = NULL;

	if (!end || strchr(end + 1, '.'))
		return NULL;
	claims++;
	if (base64_decode(claims, (size_t)(end - claims), &text) < 0 ||
	    !text.buf ||
	    json_parse_lenient(text.buf, text.len, CLAIMS_MAX, &doc, NULL) < 0)
		doc = NULL;
	return doc;
}

uint64_t jwt_life_s(const char *token)
{
	autoptr(json) doc = read_claims(token);
	uint64_t from = 0, until = 0;

	if (!doc || !json_is_object(doc) ||
	    json_opt_u64(doc, "exp", TIME_MAX, &until, NULL) < 0 ||
	    json_opt_u64(doc, "nbf", TIME_MAX, &from, NULL) < 0 ||
	    json_opt_u64(doc, "iat", TIME_MAX, &from, NULL) < 0)
		return 0;
	return from && until > from ? until - from : 0;
}
