/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of registries.md C.5.  Every copy of a secret on the way (decoded
 * text, the JSON tree) is overwritten here.
 */
#include "config/authentry.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/encode.h"
#include "util/json.h"
#include "util/str.h"

#define AUTH_MAX ((size_t)1 << 20)

bool authentry_is_printable(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	}
	return true;
}

/* The parser's copy; nobody else has seen the tree. */
static void wipe_member(const struct json *o, const char *key)
{
	const char *s = json_text(json_find(o, key));

	if (s)
		explicit_bzero((char *)(uintptr_t)s, strlen(s));
}

/* A NUL anywhere else would cut a password short. */
static bool ends_in_nuls(const struct str *s)
{
	for (size_t i = strlen(s->buf); i < s->len; i++) {
		if (s->buf[i])
			return false;
	}
	return true;
}

/* "auth": base64 of USER:PASSWORD, padded with NULs by some. */
static int decode_auth(const char *auth, struct credential *ret)
{
	autostr text = {.max = AUTH_MAX};
	char *colon;
	int r;

	/* In one piece, so that growing leaves no copies. */
	r = str_reserve(&text, strlen(auth));
	if (r == 0)
		r = base64_decode(auth, strlen(auth), &text);
	if (r < 0)
		return r;
	colon = text.buf ? memchr(text.buf, ':', text.len) : NULL;
	if (!colon || !ends_in_nuls(&text))
		r = -EINVAL;
	if (r == 0 && colon) {
		ret->user = strndup(text.buf, (size_t)(colon - text.buf));
		ret->secret = strdup(colon + 1);
		if (!ret->user || !ret->secret)
			r = -ENOMEM;
	}
	if (text.buf)
		explicit_bzero(text.buf, text.len);
	return r;
}

static int set_basic(const struct json *o, struct credential *ret)
{
	const char *auth = "", *user = NULL, *password = NULL;
	int r;

	if (json_opt_string(o, "auth", &auth, NULL) < 0 ||
	    json_opt_string(o, "username", &user, NULL) < 0 ||
	    json_opt_string(o, "password", &password, NULL) < 0)
		return -EINVAL;
	if (*auth) {
		r = decode_auth(auth, ret);
		if (r < 0)
			return r;
	} else if (password && *password) {
		ret->user = strdup(user ? user : "");
		ret->secret = strdup(password);
		if (!ret->user || !ret->secret)
			return -ENOMEM;
	} else if (user && *user) {
		ret->user = strdup(user);
		return ret->user ? 0 : -ENOMEM;
	}
	if (ret->secret && *ret->secret)
		ret->kind = CREDENTIAL_BASIC;
	return 0;
}

/* A token beats a password, and one that needs no token server the other. */
static int set_token(const struct json *o, struct credential *ret)
{
	static const struct {
		const char *key;
		enum credential_kind kind;
	} tokens[] = {
		{"registrytoken", CREDENTIAL_REGISTRY_TOKEN},
		{"identitytoken", CREDENTIAL_IDENTITY_TOKEN},
	};

	for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
		const char *token = "";

		if (json_opt_string(o, tokens[i].key, &token, NULL) < 0 ||
		    !authentry_is_printable(token))
			return -EINVAL;
		if (!*token)
			continue;
		credential_wipe(ret->secret);
		ret->kind = tokens[i].kind;
		ret->secret = strdup(token);
		return ret->secret ? 0 : -ENOMEM;
	}
	return 0;
}

int authentry_parse(const struct json *o, struct credential *ret)
{
	int r;

	if (!json_is_object(o))
		return -EINVAL;
	r = set_basic(o, ret);
	if (r == 0)
		r = set_token(o, ret);
	wipe_member(o, "auth");
	wipe_member(o, "password");
	wipe_member(o, "registrytoken");
	wipe_member(o, "identitytoken");
	return r;
}
