/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs and references.  What was accepted keeps its meaning when written and
 * read again, and libcurl, asked for its opinion by others, gets no byte that
 * could mean anything but itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_url(const char *s)
{
	struct url a, b;
	char *text;

	if (url_parse(s, &a) < 0)
		return;
	if (url_format(&a, &text) < 0)
		abort();
	/* Adding "/" may make it one byte too long. */
	if (url_parse(text, &b) < 0) {
		if (strlen(s) < URL_MAX)
			abort();
	} else {
		if (!url_same_origin(&a, &b) || strcmp(a.path, b.path) != 0)
			abort();
		url_done(&b);
	}
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '\\')
			abort();
	free(text);
	url_done(&a);
}

static void check_reference(const char *ref)
{
	char *target = NULL, *again = NULL;
	struct url u;

	if (url_resolve("http://base.test:5000/a/b/c?d", ref, &target) < 0)
		return;
	if (url_parse(target, &u) < 0)
		abort();
	if (strstr(u.path, "/../") || strstr(u.path, "/./"))
		abort();
	url_done(&u);
	/* A target resolves to itself. */
	if (url_resolve("http://x/", target, &again) < 0 ||
	    strcmp(target, again) != 0)
		abort();
	free(again);
	free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	check_url(s);
	check_reference(s);
	free(url_redact(s));
	free(s);
	return 0;
}
