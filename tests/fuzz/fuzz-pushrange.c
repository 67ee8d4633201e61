/* SPDX-License-Identifier: Apache-2.0 */
/* What an upload session says it holds: a number of bytes that can be counted
 * on, or a refusal that leaves the result alone. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/push_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	for (uint64_t sent = 0; sent < 3; sent++) {
		uint64_t stored = 77;
		int r = push_parse_range(s, sent, &stored);

		if (r != 0 && (r != -EBADMSG || stored != 77))
			abort();
		if (r == 0 && stored > (uint64_t)INT64_MAX + 1)
			abort();
	}
	free(s);
	return 0;
}
