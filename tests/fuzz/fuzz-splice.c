/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes documents apart, whether they are JSON or not.  What was JSON must be
 * JSON after each change, with as many elements as it then should have.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/out/splice.h"
#include "util/json.h"

#define MAX_BYTES (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
	if (!good)
		abort();
}

static void check_count(const struct str *doc, size_t want)
{
	struct json *j = NULL;

	check(json_parse(doc->buf, doc->len, 2 * MAX_BYTES, &j, NULL) == 0);
	check(json_len(json_find(j, "manifests")) == want);
	json_free(j);
}

static void check_changes(const struct splice *s)
{
	struct str out = {.max = 2 * MAX_BYTES};

	check(splice_append(s, "{\"a\":[1,2]}", &out) == 0);
	check_count(&out, s->items + 1);
	for (size_t i = 0; i < s->items && i < 16; i++) {
		str_clear(&out);
		check(splice_remove(s, i, &out) == 0);
		check_count(&out, s->items - 1);
	}
	str_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct splice *s = malloc(sizeof(*s));
	struct json *j = NULL;
	int r;

	if (!s || size > MAX_BYTES) {
		free(s);
		return 0;
	}
	r = splice_find(s, (const char *)data, size, "manifests");
	if (json_parse((const char *)data, size, MAX_BYTES, &j, NULL) == 0) {
		if (r == 0) {
			check(json_len(json_find(j, "manifests")) == s->items);
			check_changes(s);
		}
		json_free(j);
	}
	free(s);
	return 0;
}
