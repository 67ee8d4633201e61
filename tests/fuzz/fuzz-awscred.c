/* SPDX-License-Identifier: Apache-2.0 */
/* A shared credentials file; behind '!' what GetAuthorizationToken answers. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/awscred.h"
#include "registry/ecr.h"
#include "util/json.h"
#include "util/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *s)
{
	assert(*s && strlen(s) <= AWSCRED_VALUE_MAX);
	for (; *s; s++)
		assert(*s > ' ' && (unsigned char)*s < 0x7f);
}

static void try_file(const char *text, size_t len)
{
	struct awskeys k = {.id = NULL};
	const char *reason = NULL;

	if (awscred_parse(text, len, "default", "fuzz", &k, &reason) == 0) {
		check_line(k.id);
		check_line(k.secret);
		if (k.session)
			check_line(k.session);
	}
	awskeys_done(&k);
}

static void try_answer(const char *text, size_t len)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	char account[ECR_ACCOUNT_LEN + 1];
	uint64_t life_s;
	struct json *doc;

	if (json_parse_lenient(text, len, 1 << 20, &doc, NULL) < 0)
		return;
	if (ecr_read_token(doc, 1714557600, &c, &life_s, account) == 0) {
		assert(*c.user && *c.secret && !strchr(c.user, ':'));
		assert(life_s >= 60 && life_s <= 43200);
		assert(!*account || strlen(account) == ECR_ACCOUNT_LEN);
	}
	json_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size ? size : 1); /* no byte more */

	if (!text)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	if (size)
		memcpy(text, data, size);
	if (size && *text == '!')
		try_answer(text + 1, size - 1);
	else
		try_file(text, size);
	free(text);
	return 0;
}
