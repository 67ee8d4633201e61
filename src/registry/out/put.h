/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What changes a repository's manifests and tags (distribution-spec "Pushing
 * manifests", "Content management").  Any thread; waits for the network.
 * Outcomes that are not known (connection lost after the request was sent) are
 * found out by HEAD before anything is said (faults.md N23).
 */
#include <stdbool.h>
#include <stddef.h>

#include "oci/descriptor.h"
#include "oci/digest.h"
#include "registry/registry.h"

struct put_manifest {
	const char *repository;
	const char *reference;	     /* tag, or NULL: by digest */
	const struct digest *digest; /* of the bytes */
	const struct digest *before; /* what the tag meant till now; NULL: not
					known, or nothing */
	const char *mediatype;	     /* Content-Type, exact */
	const void *bytes;
	size_t len;
};
/*
 * PUT, confirmed by a HEAD.  *ret_subject (may be NULL): the registry says that
 * it indexes the referrer itself (OCI-Subject).
 * -EPERM: the tag is immutable; -EINVAL: MANIFEST_INVALID, TAG_INVALID; -EFBIG;
 * -ENOENT: something it references is not there (after three tries in 10 s), or
 * no such repository; -EDQUOT, -EACCES, -EROFS, -EIO, -ETIMEDOUT.
 * Where the outcome is not known and the tag holds neither this nor `before`,
 * somebody else was there: -EIO, and it is not put once more.
 */
int put_manifest(struct registry *r, const struct put_manifest *p,
		 struct wait *w, bool *ret_subject);

/* 0 also if it was not there.  -EROFS: the registry does not delete. */
int delete_manifest(struct registry *r, const char *repository,
		    const struct digest *d, struct wait *w);
int delete_blob(struct registry *r, const char *repository,
		const struct digest *d, struct wait *w);
/* The tag only.  -EPERM: this registry can only delete by digest, which would
 * take the digest's other tags along. */
int delete_tag(struct registry *r, const char *repository, const char *tag,
	       struct wait *w);

/*
 * The referrers index under the tag made of the subject's digest, for
 * registries without the API: adds `d` (no duplicates), or takes it out.  By
 * If-Match where the registry gives an ETag; a lost race is tried again.  An
 * index that becomes empty stays, as an empty index.
 */
int referrers_add(struct registry *r, const char *repository,
		  const struct digest *subject, const struct descriptor *d,
		  struct wait *w);
int referrers_remove(struct registry *r, const char *repository,
		     const struct digest *subject, const struct digest *d,
		     struct wait *w);
