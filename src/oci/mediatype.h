/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Media types of documents and layers (image-spec media-types.md, and
 * Docker's), as one const table. */
#include <stdbool.h>

#define MEDIATYPE_MAX 255
#define MEDIATYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIATYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIATYPE_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIATYPE_OCI_EMPTY "application/vnd.oci.empty.v1+json"
#define MEDIATYPE_DOCKER_LIST                                                  \
	"application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIATYPE_DOCKER_MANIFEST                                              \
	"application/vnd.docker.distribution.manifest.v2+json"
#define MEDIATYPE_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIATYPE_DOCKER_SCHEMA1                                               \
	"application/vnd.docker.distribution.manifest.v1+json"
#define MEDIATYPE_DOCKER_SCHEMA1_SIGNED                                        \
	"application/vnd.docker.distribution.manifest.v1+prettyjws"
#define MEDIATYPE_OCI_ARTIFACT                                                 \
	"application/vnd.oci.artifact.manifest.v1+json" /* retired */

enum mediatype {
	MEDIATYPE_OTHER,    /* artifact layers, anything unknown */
	MEDIATYPE_INDEX,    /* OCI index, Docker list */
	MEDIATYPE_MANIFEST, /* OCI, Docker schema 2 */
	MEDIATYPE_SCHEMA1,  /* plain or signed */
	MEDIATYPE_ARTIFACT, /* retired artifact manifest */
	MEDIATYPE_CONFIG,   /* OCI, Docker image configuration */
	MEDIATYPE_LAYER,    /* tar, compressed or not */
	MEDIATYPE_FOREIGN,  /* nondistributable layer */
};

/* Parameters ("; charset=utf-8") are ignored, case does not matter. */
enum mediatype mediatype_class(const char *s);
bool mediatype_is_document(
	enum mediatype m); /* INDEX MANIFEST SCHEMA1 ARTIFACT */
/* "application/json", "text/plain", octet-stream, "": says nothing. */
bool mediatype_is_generic(const char *s);
bool mediatype_equal(const char *a, const char *b); /* less parameters, case */
/* The exact spelling of a type of the table, static; NULL if it is not in it.
 */
const char *mediatype_known(const char *s);
/* Not empty, not over MEDIATYPE_MAX, no control characters: fit for a header.
 */
bool mediatype_is_valid(const char *s);
/* The Accept header value for manifests (registries.md A.2), one line. */
const char *mediatype_accept(void);
