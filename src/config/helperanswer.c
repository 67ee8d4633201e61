/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper that fails says why on standard output; that text is shown, cut to
 * a line.  What a helper that succeeded printed is never shown, not even in
 * part: it holds the secret.
 */
#include "config/helperanswer.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "util/auto.h"
#include "util/json.h"

#define TEXT_MAX 200

AUTOPTR_DEFINE(json, json_free)

static int refuse(const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return -EACCES;
}

static int parse_failure(char *answer, struct credential *ret,
			 const char **ret_reason)
{
	static const char blanks[] = " \t\r\n";
	char *text = answer + strspn(answer, blanks);
	size_t n = strlen(text);

	while (n > 0 && strchr(blanks, text[n - 1]))
		n--;
	text[n] = '\0';
	if (strcmp(text, "credentials not found in native keychain") == 0) {
		*ret = (struct credential){.kind = CREDENTIAL_NONE};
		return 0;
	}
	if (n > TEXT_MAX)
		text[TEXT_MAX] = '\0';
	return refuse(n ? text : "no reason given", ret_reason);
}

static int fill(const char *user, const char *secret, struct credential *ret)
{
	autocredential c = {.kind = CREDENTIAL_NONE};

	if (*secret) {
		c.kind = strcmp(user, "<token>") == 0
				 ? CREDENTIAL_IDENTITY_TOKEN
				 : CREDENTIAL_BASIC;
		c.user = strdup(user);
		c.secret = strdup(secret);
		if (!c.user || !c.secret)
			return -ENOMEM;
	}
	*ret = c;
	c = (struct credential){.kind = CREDENTIAL_NONE};
	return 0;
}

/* The parser's copy; nobody else has seen the tree. */
static void wipe(const char *s)
{
	if (s)
		explicit_bzero((char *)(uintptr_t)s, strlen(s));
}

static int parse_success(const char *answer, size_t len, struct credential *ret,
			 const char **ret_reason)
{
	const char *user = "", *secret = "";
	autoptr(json) root = NULL;
	int r;

	r = json_parse_lenient(answer, len, HELPER_ANSWER_MAX, &root, NULL);
	if (r == 0 && !json_is_object(root))
		r = -EBADMSG;
	if (r == 0)
		r = json_opt_string(root, "Username", &user, NULL);
	if (r == 0)
		r = json_opt_string(root, "Secret", &secret, NULL);
	if (r == 0)
		r = fill(user, secret, ret);
	if (root)
		wipe(json_text(json_find(root, "Secret")));
	if (r == -EBADMSG)
		return refuse("no proper JSON", ret_reason);
	return r;
}

int helperanswer_parse(char *answer, size_t len, int exit_status,
		       struct credential *ret, const char **ret_reason)
{
	if (exit_status != 0)
		return parse_failure(answer, ret, ret_reason);
	return parse_success(answer, len, ret, ret_reason);
}
