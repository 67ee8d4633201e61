/* SPDX-License-Identifier: Apache-2.0 */
/* Error bodies of registries, token servers and proxies. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "registry/wire/fault_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char code[64], text[FAULT_TEXT_MAX];
	char again_code[64], again_text[FAULT_TEXT_MAX];
	const char *body = (const char *)data;

	fault_read_body(body, size, code, text);
	assert(memchr(code, '\0', sizeof(code)));
	assert(memchr(text, '\0', sizeof(text)));
	fault_parse_body(body, size, again_code, again_text);
	assert(strcmp(code, again_code) == 0 && strcmp(text, again_text) == 0);
	assert(fault_from_status(404, code) < 0);
	assert(fault_from_status(400, code) < 0);
	fault_is_html(body, size);
	return 0;
}
