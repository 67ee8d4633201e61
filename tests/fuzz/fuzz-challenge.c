/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate: whatever comes, what was understood is clean text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *s)
{
	for (; s && *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct challenges c = {0};
	char *s = malloc(size + 1);

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	/* Two lines of one answer add up. */
	header_parse_challenges(s, &c);
	header_parse_challenges(s, &c);
	if (c.len > HEADER_CHALLENGES_MAX)
		abort();
	for (size_t i = 0; i < c.len; i++) {
		check(c.v[i].realm);
		check(c.v[i].service);
		check(c.v[i].scope);
		check(c.v[i].error);
	}
	challenges_done(&c);
	free(s);
	return 0;
}
