/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A descriptor: what is pointed at, how large, by which digest
 * (image-spec descriptor.md). */
#include <stdbool.h>
#include <stdint.h>

#include "oci/digest.h"
#include "oci/platform.h"

#define DESCRIPTOR_SIZE_MAX ((uint64_t)1 << 50)
#define DESCRIPTOR_SIZE_UNKNOWN UINT64_MAX /* schema 1 names blobs without */
#define DESCRIPTOR_URLS_MAX 256
#define ANNOTATIONS_MAX 4096

struct json;
struct json_error;
struct str;

struct annotation {
	char *key, *value;
};

struct descriptor {
	char *mediatype;     /* never NULL after a parse */
	char *artifact_type; /* or NULL */
	struct digest digest;
	uint64_t size_bytes;
	bool has_platform;
	struct platform platform;
	struct annotation *annotations;
	size_t annotations_len;
	char **urls; /* foreign layers; registryfs does not follow them */
	size_t urls_len;
};

/* Owns its strings; done() also on a zeroed one. */
int descriptor_from_json(const struct json *o, struct descriptor *ret,
			 struct json_error *err);
void descriptor_done(struct descriptor *d);
int descriptor_copy(const struct descriptor *d, struct descriptor *ret);
/* As JSON, on one line, without platform and urls. */
int descriptor_print(const struct descriptor *d, struct str *out);
const char *descriptor_annotation(const struct descriptor *d, const char *key);
/* `annotations` of any object; *ret_len 0 if absent.  Strings only. */
int annotations_from_json(const struct json *o, struct annotation **ret,
			  size_t *ret_len, struct json_error *err);
void annotations_free(struct annotation *a, size_t n);
const char *annotations_find(const struct annotation *a, size_t n,
			     const char *key); /* NULL: absent */
