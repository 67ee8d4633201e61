/* SPDX-License-Identifier: Apache-2.0 */
/* What parses is one spelling of one digest, whichever parser reads it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/digest.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *s, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX], hex[129];
	struct digest again;

	digest_format(d, text);
	if (strcmp(text, s) != 0)
		abort();
	digest_hex(d, hex);
	if (digest_parse_parts(digest_alg_name(d), hex, &again) < 0 ||
	    !digest_equal(d, &again))
		abort();
	if (reference_parse_digest_name(s, &again) < 0 ||
	    !digest_equal(d, &again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct digest d;
	char *s = malloc(size + 1);

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	if (digest_parsen(s, size, &d) == 0)
		check(s, &d);
	if (digest_parse(s, &d) == 0)
		check(s, &d);
	free(s);
	return 0;
}
