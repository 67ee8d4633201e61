/* SPDX-License-Identifier: Apache-2.0 */
/* A token server's answer, and the realm and scope that lead to it: first
 * line realm, second scope, the rest is the answer. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/login/token.h"
#include "registry/wire/redirect.h"
#include "util/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_realm(const char *realm)
{
	const char *why = NULL;
	char *url = NULL;
	int r = token_judge_realm("https://reg.good.test/v2/", realm,
				  HTTP_PEER_PUBLIC, NULL, &url, &why);

	if (r == 0) {
		assert(str_prefix(url, "https://"));
		assert(strstr(url, "good.test"));
		assert(!strpbrk(url, "\r\n \t"));
		redirect_life_ms(url, 0);
	}
	free(url);
}

static void try_scope(const char *scope)
{
	char *merged = NULL, *again = NULL;

	if (token_merge_scopes(scope, "repository:a:pull", &merged) == 0) {
		assert(strlen(merged) <= TOKEN_SCOPE_MAX);
		assert(token_merge_scopes(merged, scope, &again) == 0);
		assert(strcmp(merged, again) == 0);
	}
	free(merged);
	free(again);
}

static void try_answer(const char *body, size_t len)
{
	char *token = NULL;
	uint64_t life = 0;

	if (token_parse(body, len, &token, &life) == 0) {
		assert(*token && strlen(token) <= TOKEN_MAX);
		assert(!strpbrk(token, "\r\n \t"));
		assert(life >= 60 && life <= 86400);
	}
	token_forget(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest = text, *line;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	line = strsep(&rest, "\n");
	try_realm(line);
	if (rest) {
		line = strsep(&rest, "\n");
		try_scope(line);
	}
	if (rest)
		try_answer(rest, size - (size_t)(rest - text));
	free(text);
	return 0;
}
