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
const struct digest *blob_digest(const struct blob *b);

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
/* Starts to fetch what is missing of [off, off+len), without waiting; it goes
 * on while the blob is open.  After a read has shown that it may be read. */
void blob_prefetch(struct blob *b, uint64_t off, uint64_t len);
/* The same of what is about to be read: no more than that, in as few requests
 * as that takes. */
void blob_want(struct blob *b, uint64_t off, uint64_t len);
uint64_t blob_cached_bytes(const struct blob *b); /* in whole chunks */
unsigned blob_cached_percent(const struct blob *b);
bool blob_verified(const struct blob *b);
/* Records what is wrong with its bytes: the log, `.registryfs/errors`. */
void blob_fault(const struct blob *b, int error, const char *text);
/* What was read is not what a digest of the reader's says: unless all of it was
 * verified, it is fetched again when somebody wants it. */
void blob_reject(struct blob *b);
/* The reader checks by digests of its own whatever it gives out: with
 * verify=strict it need not wait for the whole blob.  Before the first read. */
void blob_reader_checks(struct blob *b);
