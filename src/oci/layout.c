/* SPDX-License-Identifier: Apache-2.0 */
/*
 * These bytes are served as files, so they must not vary: sizes are shown
 * before anything is read, and a copy of a copy is compared with cmp.
 */
#include "oci/layout.h"

#include <errno.h>
#include <inttypes.h>

#include "oci/mediatype.h"
#include "util/json.h"

#define REF_NAME "org.opencontainers.image.ref.name"

const char *layout_marker(void)
{
	return "{\"imageLayoutVersion\":\"1.0.0\"}";
}

static int add_descriptor(const struct descriptor *d, const char *ref_name,
			  struct str *out)
{
	char digest[DIGEST_TEXT_MAX];
	int r;

	digest_format(&d->digest, digest);
	r = str_add(out, "{\"mediaType\":");
	if (r == 0)
		r = json_add_string(out, d->mediatype);
	if (r == 0)
		r = str_addf(out, ",\"digest\":\"%s\",\"size\":%" PRIu64,
			     digest, d->size_bytes);
	if (r == 0 && ref_name) {
		r = str_add(out, ",\"annotations\":{\"" REF_NAME "\":");
		if (r == 0)
			r = json_add_string(out, ref_name);
		if (r == 0)
			r = str_addc(out, '}');
	}
	return r < 0 ? r : str_addc(out, '}');
}

int layout_index(const struct descriptor *d, const char *ref_name,
		 struct str *out)
{
	autostr text = {.max = out->max};
	int r;

	/* A layout must state sizes; manifests always have one. */
	if (d->size_bytes > DESCRIPTOR_SIZE_MAX)
		return -EINVAL;
	r = str_add(&text,
		    "{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX
		    "\",\"manifests\":[");
	if (r == 0)
		r = add_descriptor(d, ref_name, &text);
	if (r == 0)
		r = str_add(&text, "]}\n");
	if (r == 0)
		r = str_addn(out, text.buf, text.len);
	return r;
}
