/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses a document both ways, walks all of it within the promised depth and
 * number of values, and writes its strings: each must read back as it was.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/str.h"

#define MAX_BYTES (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
	if (!good)
		abort();
}

static void check_string(const char *text)
{
	autostr doc = {.max = 8 * MAX_BYTES};
	struct json *back = NULL;

	check(str_addc(&doc, '[') == 0);
	check(json_add_string(&doc, text) == 0);
	check(str_addc(&doc, ']') == 0);
	check(json_parse(doc.buf, doc.len, doc.max, &back, NULL) == 0);
	check(strcmp(json_text(json_at(back, 0)), text) == 0);
	json_free(back);
}

/* Adds to *values; the recursion is bounded by what the parser promises. */
static void walk(const struct json *j, size_t depth, size_t *values)
{
	const struct json *child;
	const char *key;
	void *iter = NULL;
	uint64_t number;

	check(depth <= JSON_MAX_DEPTH);
	(*values)++;
	if (json_text(j))
		check_string(json_text(j));
	for (size_t i = 0; i < json_len(j); i++)
		walk(json_at(j, i), depth + 1, values);
	while (json_is_object(j) && json_each(j, &iter, &key, &child)) {
		struct json_error err = {""};

		if (json_need_u64(j, key, UINT64_MAX, &number, &err) < 0)
			check(err.text[0] != 0);
		walk(child, depth + 1, values);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct json_error err = {""};
	struct json *strict = NULL, *lenient = NULL;
	size_t values = 0;

	if (json_parse(text, size, MAX_BYTES, &strict, &err) == 0) {
		walk(strict, 0, &values);
		check(values <= JSON_MAX_VALUES);
		check(json_parse_lenient(text, size, MAX_BYTES, &lenient,
					 NULL) == 0);
	} else {
		check(!strict && err.text[0]);
		(void)json_parse_lenient(text, size, MAX_BYTES, &lenient, NULL);
	}
	json_free(strict);
	json_free(lenient);
	return 0;
}
