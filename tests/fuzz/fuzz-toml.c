/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes: a tree whose nodes are what they say, errors with lines
 * of the text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told(void *arg, unsigned line, const char *what)
{
	const unsigned *lines = arg;

	if (line == 0 || line > *lines || !what || !*what)
		abort();
}

static void walk(const struct toml *t, unsigned lines)
{
	if (t->line == 0 || t->line > lines ||
	    (t->type == TOML_STRING) != (t->text != NULL))
		abort();
	for (size_t i = 0; i < t->len; i++) {
		if ((t->type == TOML_TABLE) != (t->v[i]->key != NULL))
			abort();
		if (t->type == TOML_TABLE && t->v[i]->type != TOML_BROKEN &&
		    toml_find(t, t->v[i]->key) != t->v[i])
			abort();
		if (t->v[i]->type == TOML_BROKEN &&
		    !toml_broken_line(t, t->v[i]->key))
			abort();
		walk(t->v[i], lines);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned lines = 1;
	struct toml *t;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	if (toml_parse(text, size, told, &lines, &t) == 0) {
		walk(t, lines);
		toml_free(t);
	}
	free(text);
	return 0;
}
