/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Forgetting what is cached of paths that somebody names, without asking
 * anybody for anything: what a tag means, and an image consists of, is what is
 * known of it.  One thread at a time.
 *
 * What is collected is forgotten by the run, all at once: so what only these
 * images share goes, and what another image needs stays, unless it was named
 * itself.  Another image is one whose configuration is in the cache.
 */
#include <stdbool.h>
#include <stdint.h>

#include "content/content.h"

#define FORGET_MAX ((size_t)1 << 20) /* manifests, and blobs, in one run */

struct forget;

int forget_new(struct content *c, struct forget **ret);
void forget_free(struct forget *f); /* NULL is fine */
/* A path as of oci/mountpath.h.  -ENOENT: nothing is known of it; -EINVAL: it
 * names no blobs, or parts of one; -E2BIG: too much for one run; -EPERM. */
int forget_add(struct forget *f, const char *path);

struct forget_how {
	bool indexes; /* of layers and root file systems, too */
	bool shared;  /* what others need, too */
};
struct forget_result {
	uint64_t blobs, bytes; /* that had any */
	uint64_t kept, kept_bytes;
	uint64_t indexes, index_bytes;
};
/* Adds to *ret.  Nothing is collected any more afterwards. */
int forget_run(struct forget *f, const struct forget_how *how,
	       struct forget_result *ret);

/* Everything that is not in use, see store_prune. */
int content_prune(struct content *c, uint64_t *ret_bytes);
/* What the cache holds; see store/inventory.h. */
int content_print_cache(struct content *c, size_t pending, bool json,
			struct str *out);
