/* SPDX-License-Identifier: Apache-2.0 */
/* Content-Range: what is accepted describes a range that can exist. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct content_range c;
	char *s = malloc(size + 1);

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	if (header_parse_content_range(s, &c) == 0) {
		if (c.first > c.last || c.last >= c.total || c.last > INT64_MAX)
			abort();
	}
	free(s);
	return 0;
}
