/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Getting manifests and blobs (distribution-spec "Pull"; traps of
 * registries.md 0).  Manifests come back parsed and checked; blob bytes come
 * as a stream whose framing was checked strictly (one range, right place,
 * right length) but whose digest is the caller's to check.  Redirects,
 * authentication, retries and resumption happen inside, and so does asking
 * mirrors first (mirror.h).
 * 404 is -ENOENT; other errors as in registry/wire/fault.h.
 */
#include <stdbool.h>
#include <stdint.h>

#include "oci/manifest.h"
#include "registry/registry.h"

/* GET by tag or by digest text.  By digest: verified, -EBADMSG if not. */
int fetch_manifest(struct registry *r, const char *repository,
		   const char *tag_or_digest, struct wait *w,
		   struct manifest **ret);

/* The same of this registry itself: not of a mirror. */
int fetch_manifest_there(struct registry *r, const char *repository,
			 const char *tag_or_digest, struct wait *w,
			 struct manifest **ret);

struct fetch_resolved {
	struct digest digest;
	char mediatype[MEDIATYPE_MAX + 1];
	uint64_t size_bytes;
	struct manifest *manifest; /* if only a GET could tell; else NULL */
};
/* HEAD by tag; falls back to GET where HEAD says too little. */
int fetch_resolve(struct registry *r, const char *repository, const char *tag,
		  struct wait *w, struct fetch_resolved *ret);

/* HEAD of a blob: it is there, this large, and we may read it. */
int fetch_blob_head(struct registry *r, const char *repository,
		    const struct digest *d, struct wait *w,
		    uint64_t *ret_size_bytes);

struct fetch;
/*
 * Starts reading [off, off+len) of a blob of known size; off=0, len=size sends
 * no Range.  A server may ignore the range (200): the stream then begins at 0
 * and holds the whole blob, and the host is remembered as one without ranges.
 * Waits until the first head is good.
 */
int fetch_blob(struct registry *r, const char *repository,
	       const struct digest *d, uint64_t size_bytes, uint64_t off,
	       uint64_t len, struct wait *w, struct fetch **ret);
uint64_t
fetch_off(const struct fetch *f); /* of the next byte fetch_read gives */
uint64_t fetch_end(const struct fetch *f); /* where the stream will end */
/* Bytes; 0 exactly at fetch_end.  A broken connection is resumed inside by
 * range from where it broke (attempts are counted anew after 1 MiB). */
ssize_t fetch_read(struct fetch *f, void *buf, size_t len, struct wait *w);
/* The bytes so far came, at least in part, from a mirror. */
bool fetch_mirrored(const struct fetch *f);
/* They were wrong: the mirror is passed over for a while. */
void fetch_distrust(struct fetch *f);
/* Some mirror's were, and nobody knows which one's. */
void fetch_distrust_mirrors(struct registry *r);
/* This mount changes what the tag or digest means: from now on mirrors are not
 * asked what it was. */
void fetch_outdate(struct registry *r, const char *repository,
		   const char *reference);
void fetch_close(struct fetch *f); /* cancels what is under way */
/* false once the host has shown that it ignores or mangles ranges. */
bool fetch_has_ranges(const struct registry *r);
