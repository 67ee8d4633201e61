/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A manifest document, parsed: image manifest, index, Docker's two, schema 1
 * (read only), and the retired artifact manifest.  Strict about what could be
 * read two ways (CVE-2021-41190): the type given by the registry, the
 * document's own mediaType and its shape must agree.
 * Immutable after the parse; any thread may read it.
 */
#include <stddef.h>
#include <stdint.h>

#include "oci/descriptor.h"
#include "oci/mediatype.h"

#define MANIFEST_BYTES_MAX ((size_t)4 << 20)
#define MANIFEST_CHILDREN_MAX 1000
#define MANIFEST_REFERRERS_MAX 10000
#define MANIFEST_LAYERS_MAX 4096
#define MANIFEST_DEPTH_MAX 4 /* index in index; enforced by who walks */

struct json_error;

struct manifest {
	enum mediatype class; /* INDEX, MANIFEST, SCHEMA1, ARTIFACT */
	char *mediatype;      /* exact, as it must be sent on a push */
	char *artifact_type;  /* or NULL */
	size_t size_bytes;
	struct digest digest;	  /* of the exact bytes */
	struct descriptor config; /* MANIFEST only */
	struct descriptor
		*children; /* INDEX: manifests; else layers, base first */
	size_t children_len;
	bool has_subject;
	struct descriptor subject;
	struct annotation *annotations;
	size_t annotations_len;
	char *bytes; /* the document itself, NUL added */
};

/*
 * `given` is the Content-Type or descriptor media type ("" or generic: decide
 * by content).  Copies the bytes.  -EBADMSG with the reason in err; -EFBIG
 * over MANIFEST_BYTES_MAX.  The digest is computed over exactly these bytes
 * with `alg`; comparing it with what was asked for is the caller's duty.
 * (Signed schema 1: the digest is over the payload, registries.md B.1.)
 */
int manifest_parse(const char *bytes, size_t len, const char *given,
		   enum hash_alg alg, struct manifest **ret,
		   struct json_error *err);
/* The same for an index that a registry makes when it is asked who refers to
 * something: it may have more children. */
int manifest_parse_referrers(const char *bytes, size_t len, const char *given,
			     struct manifest **ret, struct json_error *err);
void manifest_free(struct manifest *m);
const char *manifest_annotation(const struct manifest *m, const char *key);
/* INDEX: the child serving this platform best, first wins; NULL if none. */
const struct descriptor *manifest_choose(const struct manifest *m,
					 const struct platform *want);
