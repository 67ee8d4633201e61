/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The two files of an OCI image layout that are not blobs (image-layout.md). */
#include "oci/descriptor.h"
#include "util/str.h"

/* Contents of the file `oci-layout`. */
const char *layout_marker(void);
/* index.json with one descriptor; ref_name NULL: no ref.name annotation. */
int layout_index(const struct descriptor *d, const char *ref_name,
		 struct str *out);
