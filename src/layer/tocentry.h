/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One element of the `entries` of a table of contents, its fields read and
 * checked; eStargz and zstd:chunked use the same, with few additions.  What
 * needs other elements to be understood is left to tocfiles.h.
 */
#include "layer/entry.h"
#include "util/json.h"
#include "util/str.h"
#include "util/vec.h"

/* Of the decoded bytes that may have to be skipped before a piece. */
#define TOC_INNER_MAX ((uint64_t)256 << 20)

/* A part of a file: that of a `reg` entry, or of a `chunk` behind it. */
struct tocchunk {
	uint64_t off;	    /* in the file */
	uint64_t bytes;	    /* 0: up to the next chunk, or the file's end */
	uint64_t src_off;   /* in the blob */
	uint64_t inner_off; /* behind what of its decoded bytes */
	bool zeros;	    /* a hole */
	bool has_digest;
	uint8_t digest[32];
};

struct tocentry {
	bool is_chunk;		  /* then `chunk` is all there is */
	struct layer_entry entry; /* lent by this struct; no pieces */
	struct tocchunk chunk;
	uint64_t src_end; /* of the file's content; 0: not told */
	bool has_digest;  /* of the whole file */
	uint8_t digest[32];
	/* private: what the entry's pointers point to */
	struct json *doc;
	VEC(struct layer_xattr) xattrs;
	struct str values;
};

/* From an element's text.  -EBADMSG. */
int tocentry_read(const char *element, size_t len, struct tocentry *ret,
		  struct json_error *err);
void tocentry_done(struct tocentry *e); /* zeroes it; then again is fine */
/*
 * Just its offset, 0 if it has none: many times faster than reading it.  Of
 * text that is no JSON it makes what it can.
 */
uint64_t tocentry_src_off(const char *element, size_t len);
