/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decodes encodes again to text that decodes to the same, and any bytes
 * survive encoding.  Percent encoding likewise.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
	if (!good)
		abort();
}

static void check_bytes(const void *bytes, size_t n)
{
	autostr text = {0}, back = {0};

	check(base64_encode(bytes, n, &text) == 0);
	check(base64_decode(text.buf, text.len, &back) == 0);
	check(back.len == n && memcmp(back.buf, bytes, n) == 0);
}

static void check_percent(const char *text)
{
	autostr coded = {0}, back = {0};

	check(percent_encode(text, "/", &coded) == 0);
	check(str_reserve(&coded, 0) == 0);
	check(percent_decode(coded.buf, coded.len, &back) == 0);
	check(str_reserve(&back, 0) == 0);
	check(strcmp(back.buf, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autostr bytes = {0}, text = {0};

	if (size > STR_MAX_DEFAULT / 8)
		return 0;
	if (size)
		check_bytes(data, size);
	if (base64_decode((const char *)data, size, &bytes) == 0)
		check_bytes(bytes.buf, bytes.len);
	else
		check(bytes.len == 0);
	if (percent_decode((const char *)data, size, &text) == 0 && text.buf)
		check_percent(text.buf);
	for (size_t i = 0, n; i < size; i += n ? n : 1) {
		n = utf8_sequence((const char *)data + i, size - i);
		check(n <= 4 && n <= size - i);
	}
	return 0;
}
