/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What points at a manifest: the referrers API, else the tag schema
 * (distribution-spec "Listing Referrers", registries.md A.5). */
#include "oci/manifest.h"
#include "registry/registry.h"

#define REFERRERS_MAX MANIFEST_REFERRERS_MAX

/* 0 and an empty list if there are none.  Caller frees with referrers_free. */
int referrers_fetch(struct registry *r, const char *repository,
		    const struct digest *subject, struct wait *w,
		    struct descriptor **ret, size_t *ret_len);
void referrers_free(struct descriptor *v, size_t len);
/* The tag its index has where there is no API: ALG-HEX.  NULL: no memory. */
char *referrers_tag(const struct digest *subject);
