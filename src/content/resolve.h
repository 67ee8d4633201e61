/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tag -> digest, remembered for tag_ttl.  Known tags are asked again by HEAD,
 * unknown ones by the GET that will be wanted anyway.
 */
#include <stdbool.h>

#include "content/repo.h"
#include "oci/digest.h"
#include "oci/mediatype.h"

struct resolved {
	struct digest digest;
	char mediatype[MEDIATYPE_MAX + 1];
	uint64_t size_bytes;
	uint64_t fresh_ms; /* how long this may be believed, 0: not at all */
};
/* -ENOENT: the registry said that there is no such tag. */
int resolve_tag(struct repo *r, const char *tag, struct wait *w,
		struct resolved *ret);
/* The same from what is known and fresh; -ENOENT otherwise.  Never asks. */
int resolve_peek(struct repo *r, const char *tag, struct resolved *ret);
/* The registry has said a moment ago that it is not there.  Never asks. */
bool resolve_is_absent(struct repo *r, const char *tag);
