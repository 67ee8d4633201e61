/* SPDX-License-Identifier: Apache-2.0 */
/* What parses is safe in a path and a URL, and is itself when parsed again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN                                                                  \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static void only(const char *s, const char *also)
{
	for (; *s; s++)
		if (!strchr(PLAIN, *s) && !strchr(also, *s))
			abort();
}

static void check_host(const char *s)
{
	char host[REFERENCE_HOST_MAX + 1], again[REFERENCE_HOST_MAX + 1];

	if (reference_parse_host(s, host) < 0)
		return;
	only(host, ":[]");
	if (host[0] == '.' || strlen(host) != strlen(s) ||
	    reference_parse_host(host, again) < 0 || strcmp(host, again) != 0)
		abort();
}

static void check_name(const char *s)
{
	struct reference_name n;

	if (reference_parse_name(s, &n) < 0)
		return;
	only(n.component, "");
	only(n.tag, "");
	if (!reference_is_component(n.component, strlen(n.component)) ||
	    (n.kind == REFERENCE_TAG) != reference_is_tag(n.tag) ||
	    (n.kind == REFERENCE_COMPONENT && strcmp(n.component, s) != 0))
		abort();
}

static void check_reference(const char *s)
{
	char text[REFERENCE_HOST_MAX + REFERENCE_NAME_MAX + REFERENCE_TAG_MAX +
		  DIGEST_TEXT_MAX + 8];
	char digest[DIGEST_TEXT_MAX] = "";
	struct reference a, b;

	if (reference_parse(s, &a) < 0)
		return;
	if (a.repository[0] && (!reference_is_repository(a.repository) ||
				!reference_fits(a.host, a.repository)))
		abort();
	if (!a.repository[0] && (a.tag[0] || a.has_digest))
		abort();
	if (a.has_digest)
		digest_format(&a.digest, digest);
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", a.host,
		 a.repository[0] ? "/" : "", a.repository, a.tag[0] ? "+" : "",
		 a.tag, a.has_digest ? "@" : "", digest);
	if (reference_parse(text, &b) < 0 || strcmp(a.host, b.host) != 0 ||
	    strcmp(a.repository, b.repository) != 0 ||
	    strcmp(a.tag, b.tag) != 0 || a.has_digest != b.has_digest ||
	    (a.has_digest && !digest_equal(&a.digest, &b.digest)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);
	struct digest d;

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	check_host(s);
	check_name(s);
	check_reference(s);
	(void)reference_parse_digest_name(s, &d);
	if (reference_is_component(s, size) !=
	    (strlen(s) == size && reference_is_component(s, strlen(s))))
		abort();
	if (reference_is_tag(s))
		only(s, "");
	if (reference_is_repository(s))
		only(s, "/");
	free(s);
	return 0;
}
