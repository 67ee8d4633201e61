/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A blob is one content-addressed object, read as if it were a local file:
 * what the store lacks is fetched, verified and kept.  Never decompresses.
 * All functions may be called from any thread and may wait for the network.
 */
#include <sys/types.h>

#include "content/ahead.h"
#include "content/repo.h"
#include "oci/digest.h"
#include "util/auto.h"

struct blob;

/* No request.  The size is the descriptor's. */
int blob_open(struct repo *r, const struct digest *d, uint64_t size_bytes,
	      struct blob **ret);
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b);
AUTOPTR_DEFINE(blob, blob_unref)
uint64_t blob_size(const struct blob *b);

/*
 * Reads up to len bytes; short only at the end.  `a` is the reader's own
 * (one per open file, may be NULL).  -EBADMSG: digest mismatch; -ESTALE: the
 * registry had it, and has it no more.
 */
ssize_t blob_read(struct blob *b, struct ahead *a, void *buf, size_t len,
		  uint64_t off, struct wait *w);
/* The whole of a small blob, NUL added, verified; -EFBIG over max. */
int blob_read_whole(struct repo *r, const struct digest *d, uint64_t size_bytes,
		    size_t max, struct wait *w, char **ret);
/* Size of a blob that only its digest is known of: granted, else HEAD. */
int blob_find(struct repo *r, const struct digest *d, struct wait *w,
	      uint64_t *ret_size_bytes);
unsigned blob_cached_percent(const struct blob *b);
bool blob_verified(const struct blob *b);
