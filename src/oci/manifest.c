/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to struct manifest: the kind is decided first (doctype), then
 * the members of that kind are read.  Nothing is looked at that the digest
 * does not cover, and nothing is repaired: a document is pushed again as the
 * bytes it came as.
 */
#include "oci/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/doctype.h"
#include "oci/malformed.h"
#include "oci/schema1.h"
#include "util/auto.h"
#include "util/json.h"

/* BuildKit's mark on entries that describe another one. */
#define ATTESTATION "vnd.docker.reference.type"

AUTOPTR_DEFINE(json, json_free)
AUTOPTR_DEFINE(manifest, manifest_free)

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	free(m->mediatype);
	free(m->artifact_type);
	descriptor_done(&m->config);
	for (size_t i = 0; i < m->children_len; i++)
		descriptor_done(&m->children[i]);
	free(m->children);
	descriptor_done(&m->subject);
	annotations_free(m->annotations, m->annotations_len);
	free(m->bytes);
	free(m);
}

const char *manifest_annotation(const struct manifest *m, const char *key)
{
	return annotations_find(m->annotations, m->annotations_len, key);
}

/* Whatever was read is m's, on failure too. */
static int read_children(const struct json *doc, const char *key, size_t max,
			 struct manifest *m, struct json_error *err)
{
	const struct json *a = NULL;
	size_t n;
	int r;

	r = json_opt_array(doc, key, &a, err);
	if (r < 0)
		return r;
	n = a ? json_len(a) : 0;
	if (n > max)
		return malformed(err, "%s: more than %zu", key, max);
	m->children = calloc(n + 1, sizeof(*m->children));
	if (!m->children)
		return -ENOMEM;
	for (; m->children_len < n; m->children_len++) {
		struct descriptor *d = &m->children[m->children_len];
		bool schema1 = m->class == MEDIATYPE_SCHEMA1;
		/* schema 1 names the top first */
		size_t i = schema1 ? n - 1 - m->children_len : m->children_len;
		const struct json *o = json_at(a, i);

		if (!json_is_object(o))
			return malformed(err, "%s[%zu]: not an object", key, i);
		r = schema1 ? schema1_layer(o, d, err)
			    : descriptor_from_json(o, d, err);
		if (r == -EBADMSG)
			json_error_prefix(err, "%s[%zu].", key, i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* 1: read, 0: absent. */
static int read_member(const struct json *doc, const char *key,
		       struct descriptor *ret, struct json_error *err)
{
	const struct json *o = NULL;
	int r;

	r = json_opt_object(doc, key, &o, err);
	if (r < 0 || !o)
		return r;
	r = descriptor_from_json(o, ret, err);
	if (r == -EBADMSG)
		json_error_prefix(err, "%s.", key);
	return r < 0 ? r : 1;
}

/* What OCI has added: Docker's specs do not know these members. */
static int read_oci_members(const struct json *doc, struct manifest *m,
			    struct json_error *err)
{
	const char *s = NULL;
	int r;

	r = json_opt_string(doc, "artifactType", &s, err);
	if (r < 0)
		return r;
	if (s && s[0]) {
		if (!mediatype_is_valid(s))
			return malformed(err, "artifactType: no media type");
		m->artifact_type = strdup(s);
		if (!m->artifact_type)
			return -ENOMEM;
	}
	r = read_member(doc, "subject", &m->subject, err);
	if (r < 0)
		return r;
	m->has_subject = r > 0;
	return annotations_from_json(doc, &m->annotations, &m->annotations_len,
				     err);
}

static bool is_docker(const struct manifest *m)
{
	return strcmp(m->mediatype, MEDIATYPE_DOCKER_LIST) == 0 ||
	       strcmp(m->mediatype, MEDIATYPE_DOCKER_MANIFEST) == 0;
}

static int read_manifest(const struct json *doc, struct manifest *m,
			 struct json_error *err)
{
	int r;

	r = read_member(doc, "config", &m->config, err);
	if (r < 0)
		return r;
	if (r == 0)
		return malformed(err, "config: missing");
	return read_children(doc, "layers", MANIFEST_LAYERS_MAX, m, err);
}

/* The members of the document, by its kind; schema 1 is read elsewhere. */
static int read_document(const struct json *doc, size_t index_max,
			 struct manifest *m, struct json_error *err)
{
	int r;

	if (m->class == MEDIATYPE_INDEX)
		r = read_children(doc, "manifests", index_max, m, err);
	else if (m->class == MEDIATYPE_MANIFEST)
		r = read_manifest(doc, m, err);
	else
		r = read_children(doc, "blobs", MANIFEST_LAYERS_MAX, m, err);
	if (r < 0 || is_docker(m))
		return r;
	return read_oci_members(doc, m, err);
}

/* Of a signed document only the payload is read. */
static int read_signed(const struct json *doc, enum hash_alg alg,
		       struct manifest *m, struct json_error *err)
{
	autostr payload = {.buf = NULL};
	autoptr(json) inner = NULL;
	const char *type;
	int r;

	r = schema1_payload(doc, m->bytes, m->size_bytes, &payload, err);
	if (r < 0)
		return r;
	r = json_parse(payload.buf, payload.len, payload.len, &inner, err);
	if (r < 0)
		return r;
	if (!json_is_object(inner))
		return malformed(err, "payload: not an object");
	r = doctype_decide(inner, m->mediatype, &type, err);
	if (r < 0)
		return r;
	digest_of(alg, payload.buf, payload.len, &m->digest);
	return read_children(inner, "fsLayers", MANIFEST_LAYERS_MAX, m, err);
}

static int read_schema1(const struct json *doc, enum hash_alg alg,
			struct manifest *m, struct json_error *err)
{
	if (schema1_is_signed(doc) ||
	    strcmp(m->mediatype, MEDIATYPE_DOCKER_SCHEMA1_SIGNED) == 0)
		return read_signed(doc, alg, m, err);
	return read_children(doc, "fsLayers", MANIFEST_LAYERS_MAX, m, err);
}

static int copy_bytes(const char *bytes, size_t len, const char *type,
		      struct manifest *m)
{
	m->mediatype = strdup(type);
	m->bytes = malloc(len + 1);
	if (!m->mediatype || !m->bytes)
		return -ENOMEM;
	memcpy(m->bytes, bytes, len);
	m->bytes[len] = '\0';
	m->size_bytes = len;
	m->class = mediatype_class(type);
	return 0;
}

struct source {
	const char *bytes;
	size_t len;
	const char *given;
	enum hash_alg alg;
	size_t index_max;
};

static int parse(const struct source *s, struct manifest **ret,
		 struct json_error *err)
{
	autoptr(manifest) m = NULL;
	autoptr(json) doc = NULL;
	const char *type;
	int r;

	if (s->len > MANIFEST_BYTES_MAX) {
		(void)malformed(err, "larger than %zu bytes",
				MANIFEST_BYTES_MAX);
		return -EFBIG;
	}
	r = json_parse(s->bytes, s->len, MANIFEST_BYTES_MAX, &doc, err);
	if (r < 0)
		return r;
	if (!json_is_object(doc))
		return malformed(err, "not an object");
	r = doctype_decide(doc, s->given, &type, err);
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	r = copy_bytes(s->bytes, s->len, type, m);
	if (r < 0)
		return r;
	digest_of(s->alg, s->bytes, s->len, &m->digest);
	r = m->class == MEDIATYPE_SCHEMA1
		    ? read_schema1(doc, s->alg, m, err)
		    : read_document(doc, s->index_max, m, err);
	if (r < 0)
		return r;
	*ret = steal(&m);
	return 0;
}

int manifest_parse(const char *bytes, size_t len, const char *given,
		   enum hash_alg alg, struct manifest **ret,
		   struct json_error *err)
{
	const struct source s = {.bytes = bytes,
				 .len = len,
				 .given = given,
				 .alg = alg,
				 .index_max = MANIFEST_CHILDREN_MAX};

	return parse(&s, ret, err);
}

int manifest_parse_referrers(const char *bytes, size_t len, const char *given,
			     struct manifest **ret, struct json_error *err)
{
	const struct source s = {.bytes = bytes,
				 .len = len,
				 .given = given,
				 .alg = HASH_SHA256,
				 .index_max = MANIFEST_REFERRERS_MAX};

	return parse(&s, ret, err);
}

/* May this entry of an index stand for the image itself? */
static bool is_candidate(const struct descriptor *d)
{
	if (!mediatype_is_document(mediatype_class(d->mediatype)))
		return false;
	if (d->has_platform && platform_is_unknown(&d->platform))
		return false;
	return !descriptor_annotation(d, ATTESTATION);
}

static bool has_platform(const struct descriptor *d)
{
	return d->has_platform && (d->platform.os[0] || d->platform.arch[0]);
}

const struct descriptor *manifest_choose(const struct manifest *m,
					 const struct platform *want)
{
	const struct descriptor *best = NULL, *only = NULL;
	int best_score = 0, candidates = 0;

	if (m->class != MEDIATYPE_INDEX)
		return NULL;
	for (size_t i = 0; i < m->children_len; i++) {
		const struct descriptor *d = &m->children[i];
		int score;

		if (!is_candidate(d))
			continue;
		candidates++;
		only = d;
		if (!has_platform(d))
			continue;
		/* An artifact beside the image (SOCI) has its platform too. */
		score = 2 * platform_match(want, &d->platform);
		if (score > 0 && !d->artifact_type)
			score++;
		if (score > best_score) {
			best = d;
			best_score = score;
		}
	}
	if (!best && candidates == 1 && !has_platform(only))
		return only;
	return best;
}
