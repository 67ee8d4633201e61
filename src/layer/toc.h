/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tables of contents inside layers, which make them readable at random without
 * a pass: eStargz (and legacy stargz) in gzip, zstd:chunked (of containers and
 * of stargz-snapshotter) in zstd.  A table is used only if a verified manifest
 * declares its digest; one that nobody declares proves nothing.
 * Source: containerd/stargz-snapshotter docs/estargz.md, containers/storage
 * pkg/chunked.  No I/O here; any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layer/codec.h"
#include "layer/entry.h"

#define TOC_TAIL_BYTES ((size_t)72)	   /* the longest footer */
#define TOC_PACKED_MAX ((size_t)32 << 20)  /* in the blob */
#define TOC_JSON_MAX ((uint64_t)256 << 20) /* decoded */
#define TOC_ENTRY_MAX ((size_t)1 << 20)	   /* one entry's JSON */

enum toc_kind { TOC_NONE, TOC_ESTARGZ, TOC_ZCHUNKED };

/* What a manifest's layer descriptor declares. */
struct toc_claim {
	enum toc_kind kind;
	uint8_t digest[32];  /* SHA-256 ... */
	bool digest_of_json; /* ... of the decoded JSON, else of the packed
				bytes */
	/* Where it is, if the manifest says so; else packed_bytes is 0 and the
	 * footer tells. */
	uint64_t off, packed_bytes, json_bytes;
};

/* One annotation's value, or NULL. */
typedef const char *(*toc_annotation_fn)(const void *arg, const char *key);
/*
 * Reads a layer's annotations.  kind is TOC_NONE if they declare nothing that
 * can be used; -EBADMSG if they declare both kinds, or something malformed:
 * then the layer is read as the plain archive that it also is.
 */
int toc_claim_read(toc_annotation_fn get, const void *arg,
		   struct toc_claim *ret);

/* Where the table's packed bytes are. */
struct toc_place {
	uint64_t off, packed_bytes;
	uint64_t json_bytes; /* 0: not told */
};
/* From the claim, else from the blob's last bytes (`tail`, up to
 * TOC_TAIL_BYTES of them).  -EBADMSG: no such footer, or it lies. */
int toc_locate(const struct toc_claim *c, const void *tail, size_t tail_len,
	       uint64_t blob_bytes, struct toc_place *ret);

/* Of what the reader of a table needs to know. */
struct toc_info {
	enum codec codec;      /* of the pieces */
	uint64_t prefetch_end; /* bytes [0, prefetch_end) of the blob are what
				  the image's maker wants early; 0: none */
	uint64_t entries;
};
/*
 * Checks the digest, then reads the table, entry by entry, in its order:
 * memory is bounded by one entry and its pieces.  Pieces lie within the blob,
 * before the table.  Landmarks and the table itself are not given to `fn`.
 * -EBADMSG and a reason in `error` (of error_len bytes).
 */
int toc_read(const struct toc_claim *c, const struct toc_place *place,
	     const void *packed, size_t packed_len, layer_entry_fn fn,
	     void *arg, struct toc_info *ret, char *error, size_t error_len);
