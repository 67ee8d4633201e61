/* SPDX-License-Identifier: Apache-2.0 */
/* The same bytes as lines of a configuration file, as -o words, as a pattern,
 * and as SOURCE. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/optionline.h"
#include "config/optiontable.h"
#include "config/pattern.h"
#include "config/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct optionline *l, struct options *o)
{
	const struct option_row *row = option_find(l->name, strlen(l->name));
	autostr why = {.max = 0};

	if (row && option_set(row, l->value, true, o, &why) < 0 && !why.len)
		abort();
}

static void lines(const char *text, size_t len)
{
	struct options o = {.source = NULL};
	const char *end = text + len;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		struct optionline l;
		const char *reason = NULL;

		if (optionline_parse(text, n, &l, &reason) == 0) {
			if (l.name)
				apply(&l, &o);
			optionline_done(&l);
		} else if (!reason) {
			abort();
		}
		text += n + 1;
	}
	options_done(&o);
}

/* What was split, escaped and split again is the same. */
static void words(const char *text)
{
	autostrings once = {.v = NULL};
	autostrings twice = {.v = NULL};
	autostr escaped = {.max = 0};
	const char *reason;

	if (optionwords_split(text, &once, &reason) < 0 || once.len == 0)
		return;
	for (size_t i = 0; i < once.len; i++) {
		if (optionwords_add(&escaped, once.v[i]) < 0)
			abort();
	}
	if (optionwords_split(escaped.buf, &twice, &reason) < 0 ||
	    once.len != twice.len)
		abort();
	for (size_t i = 0; i < once.len; i++) {
		if (strcmp(once.v[i], twice.v[i]) != 0)
			abort();
	}
}

static void pattern(const char *text)
{
	const char *reason;
	struct pattern p;

	if (pattern_parse(text, true, &p, &reason) < 0)
		return;
	/* a pattern without stars matches what it says */
	if (!strchr(p.host, '*') && !pattern_match_host(&p, p.host))
		abort();
	if (!strchr(p.path, '*') &&
	    pattern_match_path(&p, p.path) == PATTERN_NO)
		abort();
	pattern_match_host(&p, "aaaaaaaaaaaaaaaaaaaaaaaa.io:5000");
	pattern_match_path(&p, "aaaaaaaaaa/b/c-d/e");
	pattern_done(&p);
}

/* What is canonical stays as it is. */
static void source(const char *text)
{
	char *once = NULL, *twice = NULL;
	const char *reason;
	bool plain;

	if (source_parse(text, &once, &plain, &reason) < 0 || !once)
		return;
	if (source_parse(once, &twice, &plain, &reason) < 0 || !twice ||
	    strcmp(once, twice) != 0)
		abort();
	free(once);
	free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	lines(text, size);
	words(text);
	pattern(text);
	source(text);
	free(text);
	return 0;
}
