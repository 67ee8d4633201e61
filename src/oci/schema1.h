/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Docker image manifest version 2 schema 1: what is signed, and its layers. */
#include <stdbool.h>
#include <stddef.h>

#include "oci/descriptor.h"
#include "util/str.h"

#define SCHEMA1_SIGNATURES_MAX 64
#define SCHEMA1_PROTECTED_MAX ((size_t)64 << 10)

struct json;
struct json_error;

bool schema1_is_signed(const struct json *doc);
/* Appends the signed payload of the document `bytes`, parsed as `doc`.  The
 * signatures themselves are not verified: they prove no one's identity. */
int schema1_payload(const struct json *doc, const char *bytes, size_t len,
		    struct str *ret, struct json_error *err);
/* One element of `fsLayers`; its size is unknown. */
int schema1_layer(const struct json *o, struct descriptor *ret,
		  struct json_error *err);
