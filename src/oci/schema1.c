/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signed schema 1 document is its payload with `signatures` put in before
 * the end.  Each signature's `protected` header tells how to undo that: the
 * first formatLength bytes, then formatTail.  The digest is over the payload,
 * so the payload, and nothing else of the document, may be believed; otherwise
 * members could be smuggled past the digest (CVE-2014-8179).
 */
#include "oci/schema1.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "oci/malformed.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/json.h"

/* Schema 1 has no media types; this is what its blobs are. */
#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar.gzip"

AUTOPTR_DEFINE(json, json_free)

bool schema1_is_signed(const struct json *doc)
{
	const struct json *a = json_find(doc, "signatures");

	return a && json_len(a) > 0;
}

static int decode(const char *s, struct str *ret, const char *what,
		  struct json_error *err)
{
	int r = base64_decode(s, strlen(s), ret);

	if (r == -EINVAL || r == -EFBIG)
		return malformed(err, "%s: not base64url, or too long", what);
	return r;
}

/* What one `protected` header says; *tail is empty before. */
static int read_format(const struct json *signature, size_t len,
		       uint64_t *ret_length, struct str *tail,
		       struct json_error *err)
{
	autostr text = {.max = SCHEMA1_PROTECTED_MAX};
	autoptr(json) header = NULL;
	const char *s;
	int r;

	r = json_need_string(signature, "protected", &s, err);
	if (r < 0)
		return r;
	r = decode(s, &text, "protected", err);
	if (r < 0)
		return r;
	r = json_parse(text.buf, text.len, SCHEMA1_PROTECTED_MAX, &header, err);
	if (r < 0)
		return r;
	if (!json_is_object(header))
		return malformed(err, "protected: not an object");
	r = json_need_u64(header, "formatLength", len, ret_length, err);
	if (r < 0)
		return r;
	r = json_need_string(header, "formatTail", &s, err);
	if (r < 0)
		return r;
	r = decode(s, tail, "formatTail", err);
	if (r < 0)
		return r;
	if (*ret_length == 0 || tail->len == 0)
		return malformed(err, "protected: an empty format");
	return 0;
}

/* All signatures must be of one payload; there is at least one. */
static int common_format(const struct json *signatures, size_t len,
			 uint64_t *ret_length, struct str *tail,
			 struct json_error *err)
{
	size_t n = json_len(signatures);

	if (n > SCHEMA1_SIGNATURES_MAX)
		return malformed(err, "signatures: more than %d",
				 SCHEMA1_SIGNATURES_MAX);
	for (size_t i = 0; i < n; i++) {
		autostr other = {.max = SCHEMA1_PROTECTED_MAX};
		const struct json *one = json_at(signatures, i);
		uint64_t length;
		int r;

		if (!json_is_object(one))
			return malformed(err, "signatures[%zu]: not an object",
					 i);
		r = read_format(one, len, &length, &other, err);
		if (r == -EBADMSG)
			json_error_prefix(err, "signatures[%zu].", i);
		if (r < 0)
			return r;
		if (i == 0) {
			*ret_length = length;
			r = str_addn(tail, other.buf, other.len);
			if (r < 0)
				return r;
		}
		if (length != *ret_length || other.len != tail->len ||
		    memcmp(other.buf, tail->buf, tail->len) != 0)
			return malformed(err,
					 "signatures[%zu]: not of the "
					 "payload of the first",
					 i);
	}
	return 0;
}

int schema1_payload(const struct json *doc, const char *bytes, size_t len,
		    struct str *ret, struct json_error *err)
{
	autostr tail = {.max = SCHEMA1_PROTECTED_MAX};
	uint64_t length = 0;
	int r;

	if (!schema1_is_signed(doc))
		return malformed(err, "signatures: missing");
	r = common_format(json_find(doc, "signatures"), len, &length, &tail,
			  err);
	if (r < 0)
		return r;
	/* No addition fails once there is room for both. */
	r = str_reserve(ret, length + tail.len);
	if (r == 0)
		r = str_addn(ret, bytes, length);
	if (r == 0)
		r = str_addn(ret, tail.buf, tail.len);
	return r;
}

int schema1_layer(const struct json *o, struct descriptor *ret,
		  struct json_error *err)
{
	autofree char *type = NULL;
	struct digest digest;
	const char *s;
	int r;

	r = json_need_string(o, "blobSum", &s, err);
	if (r < 0)
		return r;
	if (digest_parse(s, &digest) < 0)
		return malformed(err, "blobSum: not a digest");
	type = strdup(LAYER_TYPE);
	if (!type)
		return -ENOMEM;
	*ret = (struct descriptor){
		.mediatype = steal(&type),
		.digest = digest,
		.size_bytes = DESCRIPTOR_SIZE_UNKNOWN,
	};
	return 0;
}
