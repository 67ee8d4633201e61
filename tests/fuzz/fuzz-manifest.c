/* SPDX-License-Identifier: Apache-2.0 */
/* The first line is the type given, the rest the document. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/layout.h"
#include "oci/manifest.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_descriptor(const struct descriptor *d)
{
	struct descriptor copy;

	if (!d->mediatype || (d->size_bytes > DESCRIPTOR_SIZE_MAX &&
			      d->size_bytes != DESCRIPTOR_SIZE_UNKNOWN))
		abort();
	if (descriptor_copy(d, &copy) < 0)
		return;
	if (!digest_equal(&d->digest, &copy.digest) ||
	    strcmp(d->mediatype, copy.mediatype) != 0 ||
	    d->annotations_len != copy.annotations_len)
		abort();
	descriptor_done(&copy);
}

/* The document is what its own type says, whatever it came as. */
static void check_again(const struct manifest *m)
{
	struct manifest *again;

	if (manifest_parse(m->bytes, m->size_bytes, m->mediatype, m->digest.alg,
			   &again, NULL) < 0)
		abort();
	if (again->class != m->class ||
	    again->children_len != m->children_len ||
	    !digest_equal(&again->digest, &m->digest))
		abort();
	manifest_free(again);
}

static void check_layout(const struct manifest *m)
{
	struct descriptor d = {
		.mediatype = m->mediatype,
		.digest = m->digest,
		.size_bytes = m->size_bytes,
	};
	struct str s = {.buf = NULL};

	if (layout_index(&d, m->mediatype, &s) == 0 && s.buf[s.len - 1] != '\n')
		abort();
	str_done(&s);
}

static void check(const struct manifest *m)
{
	const struct descriptor *d;
	struct platform host;

	if (!mediatype_is_document(m->class) ||
	    mediatype_class(m->mediatype) != m->class)
		abort();
	for (size_t i = 0; i < m->children_len; i++)
		check_descriptor(&m->children[i]);
	if (m->class == MEDIATYPE_MANIFEST)
		check_descriptor(&m->config);
	if (m->has_subject)
		check_descriptor(&m->subject);
	platform_host(&host);
	d = manifest_choose(m, &host);
	if (d && m->class != MEDIATYPE_INDEX)
		abort();
	(void)manifest_annotation(m, "org.opencontainers.image.created");
	check_again(m);
	check_layout(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
	size_t type_len = newline ? (size_t)(newline - data) : 0;
	size_t skip = newline ? type_len + 1 : 0;
	struct json_error err;
	struct manifest *m;
	char *type = malloc(type_len + 1);

	if (!type)
		return 0;
	if (type_len > 0)
		memcpy(type, data, type_len);
	type[type_len] = '\0';
	if (manifest_parse((const char *)data + skip, size - skip, type,
			   size % 2 ? HASH_SHA256 : HASH_SHA512, &m,
			   &err) == 0) {
		check(m);
		manifest_free(m);
	}
	free(type);
	return 0;
}
