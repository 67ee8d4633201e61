/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An image configuration (image-spec config.md), what of it we show or check.
 */
#include <stdbool.h>
#include <time.h>

#include "oci/digest.h"
#include "oci/platform.h"

#define IMAGECONF_BYTES_MAX ((size_t)4 << 20)

struct json_error;

struct imageconf_step {
	char *created_by; /* or NULL */
	char *comment;	  /* or NULL */
	struct timespec created;
	bool has_created;
	bool empty_layer;
	int layer; /* index into layers, -1: none */
};

struct imageconf {
	bool has_created;
	struct timespec created;
	struct platform platform;
	struct digest *diff_ids;
	size_t diff_ids_len;
	struct imageconf_step *steps; /* history; none if counts disagree */
	size_t steps_len;
};

/* layers = number of layers in the manifest, to match the history. */
int imageconf_parse(const char *bytes, size_t len, size_t layers,
		    struct imageconf **ret, struct json_error *err);
void imageconf_free(struct imageconf *c);
