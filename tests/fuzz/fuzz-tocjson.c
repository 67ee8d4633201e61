/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte is how much is fed at once, the rest the document.  However it
 * is cut, the result is the same; and what is accepted is JSON, with as many
 * entries for a parser of the whole.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "layer/tocjson.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t entries;
	bool bad; /* one of them is no JSON after all */
};

static int count(void *arg, const char *element, size_t len)
{
	struct seen *seen = arg;
	struct json *j = NULL;

	if (strnlen(element, len + 1) > len || element[0] != '{')
		abort();
	seen->bad |= json_parse(element, len, len, &j, NULL) < 0;
	if (j && !json_is_object(j))
		abort();
	json_free(j);
	seen->entries++;
	return 0;
}

static int split(const uint8_t *data, size_t size, size_t part,
		 struct seen *ret)
{
	struct tocjson *t;
	int r;

	*ret = (struct seen){.entries = 0};
	if (tocjson_new(count, ret, &t) < 0)
		abort();
	r = tocjson_feed(t, data, 0);
	for (size_t i = 0; r == 0 && i < size; i += part)
		r = tocjson_feed(t, data + i,
				 part < size - i ? part : size - i);
	if (r == 0)
		r = tocjson_end(t);
	if (r < 0 && !*tocjson_error(t))
		abort();
	tocjson_free(t);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct json *entries = NULL;
	struct json *j = NULL;
	struct seen once, parts;
	int r;

	if (size < 1)
		return 0;
	r = split(data + 1, size - 1, size, &once);
	if (split(data + 1, size - 1, (size_t)data[0] % 64 + 1, &parts) != r ||
	    once.entries != parts.entries)
		abort();
	if (r < 0 || once.bad)
		return 0;
	if (json_parse_lenient((const char *)data + 1, size - 1, size, &j,
			       NULL) < 0)
		abort();
	if (json_opt_array(j, "entries", &entries, NULL) < 0 ||
	    (entries ? json_len(entries) : 0) != once.entries)
		abort();
	json_free(j);
	return 0;
}
