/* SPDX-License-Identifier: Apache-2.0 */
/* Link, and what is then done with its target; Retry-After beside it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *next)
{
	char *target = NULL;
	struct url u;

	if (!*next || strchr(next, '>'))
		abort();
	if (url_resolve("https://r.test/v2/a/tags/list?n=1", next, &target) < 0)
		return;
	if (url_parse(target, &u) < 0)
		abort();
	url_done(&u);
	free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1), *next = NULL;
	uint64_t seconds, limit, window;

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	if (header_parse_link_next(s, &next) == 0 && next)
		check(next);
	header_parse_retry_after(s, 784111777, &seconds);
	header_parse_ratelimit(s, &limit, &window);
	free(next);
	free(s);
	return 0;
}
